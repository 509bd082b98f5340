<#
.SYNOPSIS
Removes what set_up.ps1 has made: the app with its secret, the assignments, the scope, the group, and the
settings file.

.DESCRIPTION
It has not been run, neither against a tenant nor at all: no PowerShell was at hand. Begin with -WhatIf.
It stops if the app of the settings file has another name than the one given: then it is not the test's;
and if Exchange is signed in to another tenant. It leaves a group that has other members than the test's.
Messages that a run has left are deleted by hand: their subjects begin with "Relay test".

.PARAMETER SettingsFile
The file that set_up.ps1 has written.

.PARAMETER Name
The name that was given to set_up.ps1.

.EXAMPLE
./tear_down.ps1 -SettingsFile real.json -WhatIf
#>
[CmdletBinding(SupportsShouldProcess)]
param(
  [string] $SettingsFile = 'real.json',

  [ValidatePattern('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,47}$')]
  [string] $Name = 'SMTP relay test'
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# -WhatIf is for the steps below, not for what the modules do inside of themselves to sign in.
$dryRun = [bool] $WhatIfPreference
$WhatIfPreference = $false

function Invoke-Step([string] $What, [scriptblock] $Action) {
  if ($dryRun) {
    Write-Host "What if: $What"
    return
  }
  Write-Host $What
  & $Action
}

$settings = Get-Content -Path $SettingsFile -Raw | ConvertFrom-Json
$appId = $settings.app.clientId
if ($appId -notmatch '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$') {
  throw "$SettingsFile names no app"
}

Connect-MgGraph -Scopes 'Application.ReadWrite.All' -TenantId $settings.tenant -NoWelcome
$apps = @((Invoke-MgGraphRequest -Method GET -Uri "v1.0/applications?`$filter=appId eq '$appId'").value)
if ($apps.Count -eq 1 -and $apps[0].displayName -ne $Name) {
  throw "The app $appId is called '$($apps[0].displayName)', and not '$Name'"
}

Connect-ExchangeOnline -ShowBanner:$false
# Another account may have been chosen there, or a session is open: names alone do not tell whose they are.
$elsewhere = @(Get-ConnectionInformation | Where-Object { $_.TenantID -ne $settings.tenant })
if ($elsewhere.Count -gt 0) {
  throw 'Exchange Online is signed in to another tenant than the settings name: Disconnect-ExchangeOnline'
}
foreach ($role in 'Mail.Send', 'Mail.ReadWrite', 'SMTP.SendAsApp') {
  # By -Role and a comparison: with -Identity, a name that is not there returns all of them.
  $assignments = Get-ManagementRoleAssignment -Role "Application $role" |
    Where-Object { $_.Name -eq "$Name $role" }
  foreach ($assignment in $assignments) {
    Invoke-Step "Remove the role 'Application $role'" {
      Remove-ManagementRoleAssignment -Identity $assignment.Identity -Confirm:$false
    }
  }
}
if (Get-ManagementScope | Where-Object { $_.Name -eq $Name }) {
  Invoke-Step "Remove the scope '$Name'" {
    Remove-ManagementScope -Identity $Name -Confirm:$false
  }
}
$own = @('sender', 'second', 'shared') | Where-Object { $settings.mailboxes.PSObject.Properties[$_] } |
  ForEach-Object { $settings.mailboxes.$_ }
foreach ($group in @(Get-DistributionGroup -Filter "DisplayName -eq '$Name'")) {
  # Anybody's group may have this name, but not these members.
  $others = @(Get-DistributionGroupMember -Identity $group.DistinguishedName -ResultSize Unlimited |
      Where-Object { $own -notcontains $_.PrimarySmtpAddress })
  if ($others.Count -gt 0) {
    Write-Warning "The group '$($group.PrimarySmtpAddress)' has other members, and is left"
    continue
  }
  Invoke-Step "Remove the group '$Name'" {
    Remove-DistributionGroup -Identity $group.DistinguishedName -Confirm:$false
  }
}
foreach ($principal in @(Get-ServicePrincipal | Where-Object { $_.AppId -eq $appId })) {
  Invoke-Step 'Remove the service principal from Exchange' {
    Remove-ServicePrincipal -Identity $principal.ObjectId -Confirm:$false
  }
}
foreach ($app in $apps) {
  Invoke-Step "Delete the app '$Name' and its secrets" {
    Invoke-MgGraphRequest -Method DELETE -Uri "v1.0/applications/$($app.id)"
  }
}
Invoke-Step "Delete $SettingsFile" { Remove-Item -Path $SettingsFile }
