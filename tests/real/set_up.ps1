<#
.SYNOPSIS
Makes an app for the test against a real tenant, lets it send as two mailboxes, and writes the settings
file of `npm run real`.

.DESCRIPTION
The app, its secret (good for a week), the group, the scope and the assignments are made by
deploy/entra/setup.ps1, which is a part of what is tested; tear_down.ps1 removes them. It has not been
run, neither against a tenant nor at all: no PowerShell was at hand. Begin with -WhatIf.

The app can then READ all mail in the two mailboxes: take mailboxes that are used for nothing else.

.PARAMETER Sender
The mailbox that sends.

.PARAMETER Second
Another mailbox of the tenant, which receives.

.PARAMETER Outside
A mailbox of the tenant that the app must not send as. It gets no mail.

.PARAMETER External
An address of yours in another organization. It gets five messages at most.

.PARAMETER Alias
Another address of the sender.

.PARAMETER Shared
A shared mailbox, which the app may send as too.

.PARAMETER Group
A group that the sender is a member of, without the right to send as it.

.PARAMETER Name
The name of all that is made.

.PARAMETER Exchange
Also lets the app send by SMTP: RBAC for Applications, role SMTP.SendAsApp.

.PARAMETER SettingsFile
The file to write. It has the secret.

.EXAMPLE
./set_up.ps1 -Sender a@contoso.com -Second b@contoso.com -Outside c@contoso.com -External me@example.com -WhatIf
#>
[CmdletBinding(SupportsShouldProcess)]
param(
  [Parameter(Mandatory)]
  [string] $Sender,

  [Parameter(Mandatory)]
  [string] $Second,

  [Parameter(Mandatory)]
  [string] $Outside,

  [Parameter(Mandatory)]
  [string] $External,

  [string] $Alias,

  [string] $Shared,

  [string] $Group,

  [ValidatePattern('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,47}$')]
  [string] $Name = 'SMTP relay test',

  [switch] $Exchange,

  [string] $SettingsFile = 'real.json'
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

if (Test-Path -Path $SettingsFile) { throw "$SettingsFile is there already" }

$inside = @($Sender, $Second) + @(if ($Shared) { $Shared })
$output = & (Join-Path $PSScriptRoot '../../deploy/entra/setup.ps1') -Mailbox $inside `
  -LargeMessages -Name $Name -SecretDays 7 -NewSecret -WhatIf:$WhatIfPreference
# Should a cmdlet of a module have written something too, the result is the last.
$made = @($output)[-1]
if ($WhatIfPreference) {
  Write-Host "What if: Write $SettingsFile"
  return
}

if ($Exchange) {
  $assignment = "$Name SMTP.SendAsApp"
  $role = 'Application SMTP.SendAsApp'
  if (-not (Get-ManagementRoleAssignment -Role $role | Where-Object { $_.Name -eq $assignment })) {
    $null = New-ManagementRoleAssignment -Name $assignment -App $made.ObjectId -Role $role `
      -CustomResourceScope $Name
  }
  Write-Host "If SMTP AUTH is off: Set-CASMailbox $Sender -SmtpClientAuthenticationDisabled `$false"
}

$mailboxes = [ordered] @{
  sender = $Sender; second = $Second; outside = $Outside; external = $External
}
if ($Alias) { $mailboxes['alias'] = $Alias }
if ($Shared) { $mailboxes['shared'] = $Shared }
if ($Group) { $mailboxes['group'] = $Group }
$settings = [ordered] @{
  tenant = $made.TenantId
  app = [ordered] @{ clientId = $made.ClientId; secret = $made.Password }
  mailboxes = $mailboxes
  setUpBy = 'tests/real/set_up.ps1'
}
if ($Exchange) { $settings['exchange'] = 'smtp://smtp.office365.com:587' }

# Only this user may read it, from before it has the secret.
$null = New-Item -Path $SettingsFile -ItemType File -Force
if ($env:OS -ne 'Windows_NT') { chmod 600 $SettingsFile }
ConvertTo-Json -InputObject $settings -Depth 4 | Set-Content -Path $SettingsFile -Encoding ascii
Write-Host "Wrote $SettingsFile. Graph may need up to two hours to see the new permissions."
