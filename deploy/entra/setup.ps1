<#
.SYNOPSIS
Registers an app for the relay in Entra ID, lets it send as given mailboxes, and returns what to
enter where: username and secret, or with a certificate or a federated credential no secret at all.

.DESCRIPTION
Written from Microsoft's public documentation. It has not been run, neither against a tenant nor at
all: no PowerShell was at hand. Begin with -WhatIf. docs/entra.md explains each step, and how to
take them back.

Run again, it finds what is there and adds what is missing. It needs the modules
Microsoft.Graph.Authentication and, with -Mailbox, ExchangeOnlineManagement, and asks you to sign in
to each. The secret is in the object that it returns, and nowhere else.

.PARAMETER Mailbox
The app may send as these mailboxes (recommended): RBAC for Applications in Exchange Online.
Mailboxes of an earlier run that are not in the list keep their place; take them out of the group.

.PARAMETER AllMailboxes
The app may send as everybody: Graph's Mail.Send with admin consent.

.PARAMETER LargeMessages
Also Mail.ReadWrite, for messages of over 3 MB: the app can then READ the mail in these mailboxes.

.PARAMETER Name
The name of the app, and of the group, the scope and the assignments in Exchange.

.PARAMETER ClientId
Use this existing app, whatever its name.

.PARAMETER TenantId
The tenant to sign in to.

.PARAMETER SecretDays
How long the secret is good.

.PARAMETER NewSecret
Add a secret even if there is one that is still good; both work then.

.PARAMETER Delimiter
The relay's USERNAME_DELIMITER.

.PARAMETER Cloud
The relay's AZURE_CLOUD.

.PARAMETER MakeCertificate
In place of a secret: makes a key and a certificate, client-key.pem and client-cert.pem in this
directory, unless they are there, and registers the certificate. Needs PowerShell 7.

.PARAMETER CertificateDays
How long the certificate that is made is good.

.PARAMETER Certificate
In place of a secret: registers this certificate (PEM or DER), of a key that you have already. What
is registered stays, so that both work while the relay changes.

.PARAMETER ManagedIdentity
In place of a secret: trusts this user-assigned managed identity of the tenant, by its name or its
client id.

.PARAMETER FederatedIssuer
In place of a secret: trusts FederatedSubject of this issuer, such as that of a Kubernetes cluster.

.PARAMETER FederatedSubject
Such as system:serviceaccount:NAMESPACE:NAME.

.EXAMPLE
./setup.ps1 -Mailbox scanner@example.com -MakeCertificate C:\relay

.EXAMPLE
./setup.ps1 -Mailbox scanner@example.com, alerts@example.com -WhatIf
#>
[CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Given')]
param(
  [Parameter(Mandatory, ParameterSetName = 'Given')]
  [ValidatePattern('^[A-Za-z0-9._+-]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]{2,}$')]
  [string[]] $Mailbox,

  [Parameter(Mandatory, ParameterSetName = 'All')]
  [switch] $AllMailboxes,

  [switch] $LargeMessages,

  # No quotes: the name goes into filters. Exchange's names end at 64 characters, of which
  # " Mail.ReadWrite" takes 15.
  [ValidatePattern('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,47}$')]
  [string] $Name = 'SMTP relay',

  [ValidatePattern('^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$')]
  [string] $ClientId,

  [ValidatePattern('^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$')]
  [string] $TenantId,

  [ValidateRange(1, 730)]
  [int] $SecretDays = 365,

  [switch] $NewSecret,

  [ValidateSet('@', ':', '|')]
  [string] $Delimiter = '@',

  [ValidateSet('public', 'usgov', 'usgov-dod', 'china')]
  [string] $Cloud = 'public',

  [string] $MakeCertificate,

  [ValidateRange(1, 1095)]
  [int] $CertificateDays = 365,

  [string] $Certificate,

  [ValidatePattern('^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$')]
  [string] $ManagedIdentity,

  [ValidatePattern('^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$')]
  [string] $FederatedIssuer,

  [ValidatePattern('^[A-Za-z0-9._:/@-]{1,600}$')]
  [string] $FederatedSubject
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# -WhatIf is for the steps below, not for what the modules do inside of themselves to sign in.
$DryRun = [bool] $WhatIfPreference
$WhatIfPreference = $false

$Graph = '00000003-0000-0000-c000-000000000000' # Microsoft Graph's app id, the same in every tenant
$Roles = [ordered] @{ 'Mail.Send' = 'b633e1c5-b582-4048-a93e-9f11b44c7e96' }
if ($LargeMessages) { $Roles['Mail.ReadWrite'] = 'e2a3a72e-5f79-4c64-b1b1-878b674786c9' }
$SecretName = 'smtp-oauth-relay'
# The credential that takes the secret's place, as the lookup's column `credential` names it.
$chosen = @(
  if ($MakeCertificate) { 'certificate' }
  if ($Certificate) { 'certificate' }
  if ($ManagedIdentity) { 'managed-identity' }
  if ($FederatedIssuer -or $FederatedSubject) { 'workload-identity' }
)
if ($chosen.Count -gt 1) {
  throw 'Choose one of -MakeCertificate, -Certificate, -ManagedIdentity and -FederatedIssuer; run this once for each'
}
$credential = if ($chosen.Count -eq 1) { $chosen[0] } else { '' }
if ([bool] $FederatedIssuer -ne [bool] $FederatedSubject) {
  throw '-FederatedIssuer and -FederatedSubject need each other'
}
if ($MakeCertificate -and $PSVersionTable.PSVersion.Major -lt 7) {
  throw '-MakeCertificate needs PowerShell 7. Make the certificate with another tool, and give it as -Certificate'
}
$Authorities = @{
  'public' = 'https://login.microsoftonline.com'; 'usgov' = 'https://login.microsoftonline.us'
  'usgov-dod' = 'https://login.microsoftonline.us'; 'china' = 'https://login.partner.microsoftonline.cn'
}
$Audiences = @{
  'public' = 'api://AzureADTokenExchange'; 'usgov' = 'api://AzureADTokenExchangeUSGov'
  'usgov-dod' = 'api://AzureADTokenExchangeUSGov'; 'china' = 'api://AzureADTokenExchangeChina'
}
$GraphClouds = @{ 'public' = 'Global'; 'usgov' = 'USGov'; 'usgov-dod' = 'USGovDoD'; 'china' = 'China' }
$ExchangeClouds = @{
  'public' = 'O365Default'; 'usgov' = 'O365USGovGCCHigh'
  'usgov-dod' = 'O365USGovDoD'; 'china' = 'O365China'
}

# The 16 octets of a UUID, in the order of RFC 9562, in base64url. Not Guid.ToByteArray(): that
# turns the first three fields around.
function ConvertTo-ShortId([string] $Id) {
  $hex = $Id.Replace('-', '')
  $octets = [byte[]] (0..15 | ForEach-Object { [Convert]::ToByte($hex.Substring(2 * $_, 2), 16) })
  [Convert]::ToBase64String($octets).TrimEnd('=').Replace('+', '-').Replace('/', '_')
}

# Does a step, or says that it would.
function Invoke-Step([string] $What, [scriptblock] $Action) {
  if ($DryRun) {
    Write-Host "What if: $What"
    return
  }
  Write-Host $What
  & $Action
}

function Get-FromGraph([string] $Path) {
  (Invoke-MgGraphRequest -Method GET -Uri "v1.0/$Path").value
}

function Send-ToGraph([string] $Path, [hashtable] $Body, [string] $Method = 'POST') {
  $json = ConvertTo-Json -InputObject $Body -Depth 6 -Compress
  # A new object may take some seconds to be known everywhere (404, or 400 for its id).
  for ($try = 1; ; $try++) {
    try {
      return Invoke-MgGraphRequest -Method $Method -Uri "v1.0/$Path" -Body $json `
        -ContentType 'application/json'
    }
    catch {
      if ($try -eq 5 -or "$_" -match 'Forbidden|Authorization_RequestDenied') { throw }
      Start-Sleep -Seconds 5
    }
  }
}

# --- Entra ID: the app and its service principal, the "enterprise application" ---

$scopes = @('Application.ReadWrite.All')
if ($AllMailboxes) { $scopes += 'AppRoleAssignment.ReadWrite.All' }
$signIn = @{ Scopes = $scopes; Environment = $GraphClouds[$Cloud]; NoWelcome = $true }
if ($TenantId) { $signIn['TenantId'] = $TenantId }
Connect-MgGraph @signIn
# Other names than the parameters', whose validation would hold for these values too.
$tenant = (Get-MgContext).TenantId

$filter = if ($ClientId) { "appId eq '$ClientId'" } else { "displayName eq '$Name'" }
$apps = @(Get-FromGraph "applications?`$filter=$filter")
if ($apps.Count -gt 1) { throw "Several apps are called '$Name': choose one with -ClientId" }
if ($ClientId -and $apps.Count -eq 0) { throw "The tenant $tenant has no app $ClientId" }
$app = if ($apps.Count -eq 1) { $apps[0] } else {
  Invoke-Step "Register the app '$Name', for this tenant only" {
    Send-ToGraph 'applications' @{ displayName = $Name; signInAudience = 'AzureADMyOrg' }
  }
}
if ($app -and $app.signInAudience -ne 'AzureADMyOrg') {
  Write-Warning 'The app can be used from other tenants: set its supported account types to this one only'
}
$appId = if ($app) { $app.appId } else { '' }

$principal = if ($app) { Get-FromGraph "servicePrincipals?`$filter=appId eq '$appId'" }
if (-not $principal) {
  $principal = Invoke-Step 'Create its service principal' {
    Send-ToGraph 'servicePrincipals' @{ appId = $appId }
  }
}
$objectId = if ($principal) { $principal.id } else { '' }

# --- the permission, by Entra ID or by Exchange ---

$granted = @(if ($principal) {
    Get-FromGraph "servicePrincipals/$objectId/appRoleAssignments" | ForEach-Object { $_.appRoleId }
  })

if ($AllMailboxes) {
  # In the list of the admin center too: granting the listed permissions there takes back others.
  $listed = @(if ($app) { $app.requiredResourceAccess })
  $ours = @($listed | Where-Object { $_.resourceAppId -eq $Graph } |
      ForEach-Object { $_.resourceAccess })
  $ids = @($ours | ForEach-Object { $_.id })
  $missing = @($Roles.Values | Where-Object { $ids -notcontains $_ } |
      ForEach-Object { @{ id = $_; type = 'Role' } })
  if ($missing.Count -gt 0) {
    Invoke-Step 'List the permission among those that the app asks for' {
      $others = @($listed | Where-Object { $_.resourceAppId -ne $Graph })
      $null = Send-ToGraph "applications/$($app.id)" -Method PATCH -Body @{
        requiredResourceAccess = @($others) + @(
          @{ resourceAppId = $Graph; resourceAccess = @($ours) + @($missing) }
        )
      }
    }
  }
  $resource = (Get-FromGraph "servicePrincipals?`$filter=appId eq '$Graph'").id
  foreach ($role in $Roles.Keys) {
    if ($granted -contains $Roles[$role]) { continue }
    Invoke-Step "Grant $role for ALL mailboxes of the tenant" {
      $null = Send-ToGraph "servicePrincipals/$resource/appRoleAssignedTo" @{
        principalId = $objectId; resourceId = $resource; appRoleId = $Roles[$role]
      }
    }
  }
}
else {
  $known = 'b633e1c5-b582-4048-a93e-9f11b44c7e96', 'e2a3a72e-5f79-4c64-b1b1-878b674786c9'
  if ($granted | Where-Object { $known -contains $_ }) {
    Write-Warning ('The app has Mail.Send or Mail.ReadWrite for ALL mailboxes. Take it back under ' +
      'API permissions, or the list of mailboxes limits nothing')
  }
  Connect-ExchangeOnline -ExchangeEnvironmentName $ExchangeClouds[$Cloud] -ShowBanner:$false
  # All first, so that a slip of the pen changes nothing.
  $boxes = @($Mailbox | ForEach-Object { Get-Mailbox -Identity $_ })

  if (-not (Get-ServicePrincipal | Where-Object { $_.AppId -eq $appId })) {
    Invoke-Step 'Tell Exchange of the service principal' {
      $null = New-ServicePrincipal -AppId $appId -ObjectId $objectId -DisplayName $Name
    }
  }
  $group = Get-DistributionGroup -Filter "DisplayName -eq '$Name'"
  if (-not $group) {
    $group = Invoke-Step "Create the mail-enabled security group '$Name'" {
      New-DistributionGroup -Name $Name -DisplayName $Name -Type Security `
        -MemberJoinRestriction Closed -MemberDepartRestriction Closed
    }
    if ($group) {
      Set-DistributionGroup -Identity $group.DistinguishedName -HiddenFromAddressListsEnabled $true
    }
  }
  $members = @(if ($group) {
      Get-DistributionGroupMember -Identity $group.DistinguishedName -ResultSize Unlimited |
        ForEach-Object { $_.DistinguishedName }
    })
  foreach ($box in $boxes) {
    if ($members -contains $box.DistinguishedName) { continue }
    Invoke-Step "Put $($box.PrimarySmtpAddress) into the group" {
      Add-DistributionGroupMember -Identity $group.DistinguishedName -Member $box.DistinguishedName
    }
  }
  if (-not (Get-ManagementScope | Where-Object { $_.Name -eq $Name })) {
    Invoke-Step "Make the group the management scope '$Name'" {
      $dn = $group.DistinguishedName.Replace("'", "''")
      $null = New-ManagementScope -Name $Name -RecipientRestrictionFilter "MemberOfGroup -eq '$dn'"
    }
  }
  foreach ($role in $Roles.Keys) {
    $assignment = "$Name $role"
    # By -Role and a comparison: with -Identity, a name that is not there returns all of them.
    if (Get-ManagementRoleAssignment -Role "Application $role" |
        Where-Object { $_.Name -eq $assignment }) { continue }
    Invoke-Step "Assign the role 'Application $role' for this scope" {
      $null = New-ManagementRoleAssignment -Name $assignment -App $objectId `
        -Role "Application $role" -CustomResourceScope $Name
    }
  }
  if (-not $DryRun) {
    foreach ($box in $boxes) {
      Write-Host "$($box.PrimarySmtpAddress): InScope must be True; Graph may need up to two hours"
      Test-ServicePrincipalAuthorization -Identity $objectId -Resource $box.PrimarySmtpAddress |
        Format-Table | Out-Host
    }
  }
}

# --- the credential: last, so that no step after it can fail and lose it ---

$now = [DateTime]::UtcNow
function ConvertTo-Text([object] $Time) {
  if ($Time -is [DateTime]) { return $Time.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ss.FFFFFFFZ') }
  "$Time"
}

function ConvertTo-Pem([string] $Label, [byte[]] $Octets) {
  $lines = [Convert]::ToBase64String($Octets) -split '(.{64})' | Where-Object { $_ }
  (@("-----BEGIN $Label-----") + $lines + "-----END $Label-----" -join "`n") + "`n"
}

# The key is never readable for others, not even for a moment.
function Save-Key([string] $Path, [string] $Pem) {
  $null = New-Item -ItemType File -Path $Path
  if ($IsWindows) {
    $user = [Security.Principal.WindowsIdentity]::GetCurrent().Name
    $null = icacls $Path /inheritance:r /grant:r "${user}:(F)"
  }
  else { chmod 600 $Path }
  if ($LASTEXITCODE) { throw "The permissions of $Path could not be set" }
  Set-Content -Path $Path -Value $Pem -NoNewline
}

function New-ClientCertificate([string] $Path, [string] $KeyPath) {
  $rsa = [Security.Cryptography.RSA]::Create(3072)
  $request = [Security.Cryptography.X509Certificates.CertificateRequest]::new(
    'CN=smtp-oauth-relay', $rsa, [Security.Cryptography.HashAlgorithmName]::SHA256,
    [Security.Cryptography.RSASignaturePadding]::Pkcs1)
  # A clock that is slightly behind takes it, too.
  $made = $request.CreateSelfSigned($now.AddMinutes(-5), $now.AddDays($CertificateDays))
  $null = New-Item -ItemType Directory -Force -Path (Split-Path $Path)
  Save-Key $KeyPath (ConvertTo-Pem 'PRIVATE KEY' $rsa.ExportPkcs8PrivateKey())
  Set-Content -Path $Path -Value (ConvertTo-Pem 'CERTIFICATE' $made.RawData) -NoNewline
}

$certificatePath = ''
$keyPath = ''
$x509 = $null
if ($MakeCertificate) {
  $folder = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($MakeCertificate)
  $certificatePath = Join-Path $folder 'client-cert.pem'
  $keyPath = Join-Path $folder 'client-key.pem'
  $there = @($certificatePath, $keyPath | Where-Object { Test-Path $_ })
  if ($there.Count -eq 1) { throw "$($there[0]) is there without the other file" }
  if ($there.Count -eq 0) {
    Invoke-Step "Make a key and a certificate, good for $CertificateDays days, in $folder" {
      New-ClientCertificate $certificatePath $keyPath
    }
  }
}
elseif ($Certificate) { $certificatePath = (Resolve-Path $Certificate).Path }
if ($certificatePath -and (Test-Path $certificatePath)) {
  $x509 = [Security.Cryptography.X509Certificates.X509Certificate2]::new($certificatePath)
  if ($x509.NotAfter.ToUniversalTime() -lt $now) { throw "The certificate $certificatePath has ended" }
  $keys = @(if ($app -and $app.keyCredentials) { $app.keyCredentials })
  # Graph shows the SHA-1 thumbprint. Its form is not documented: hexadecimal and base64 are known.
  $names = $x509.Thumbprint, [Convert]::ToBase64String($x509.GetCertHash())
  if (@($keys | Where-Object { $names -contains "$($_.customKeyIdentifier)" }).Count -gt 0) {
    Write-Host "The certificate is registered: thumbprint $($x509.Thumbprint)"
  }
  else {
    Invoke-Step "Register the certificate with the thumbprint $($x509.Thumbprint)" {
      # The whole list is replaced: those that are there go along, unchanged.
      $kept = @($keys | ForEach-Object {
          $key = @{}
          foreach ($column in $_.Keys) { $key[$column] = $_[$column] }
          foreach ($column in 'startDateTime', 'endDateTime') { $key[$column] = ConvertTo-Text $_[$column] }
          $key
        })
      $null = Send-ToGraph "applications/$($app.id)" -Method PATCH -Body @{
        keyCredentials = @($kept) + @(@{
            displayName   = $SecretName
            type          = 'AsymmetricX509Cert'
            usage         = 'Verify'
            key           = [Convert]::ToBase64String($x509.RawData)
            startDateTime = ConvertTo-Text $x509.NotBefore
            endDateTime   = ConvertTo-Text $x509.NotAfter
          })
      }
    }
  }
}

$identity = $null
$issuer = $FederatedIssuer
$subject = $FederatedSubject
if ($ManagedIdentity) {
  $column = if ($ManagedIdentity -match '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$') { 'appId' } else { 'displayName' }
  $identities = @(Get-FromGraph "servicePrincipals?`$filter=$column eq '$ManagedIdentity'" |
      Where-Object { $_.servicePrincipalType -eq 'ManagedIdentity' })
  if ($identities.Count -eq 0) { throw "The tenant $tenant has no managed identity '$ManagedIdentity'" }
  if ($identities.Count -gt 1) { throw "Several managed identities are called '$ManagedIdentity': give its client id" }
  $identity = $identities[0]
  if ("$($identity.alternativeNames)" -notmatch '/userAssignedIdentities/') {
    throw "'$ManagedIdentity' is the system-assigned identity of a resource: Entra ID trusts only user-assigned ones"
  }
  $issuer = "$($Authorities[$Cloud])/$tenant/v2.0"
  $subject = $identity.id
}
if ($issuer) {
  $trusted = @(if ($app) { Get-FromGraph "applications/$($app.id)/federatedIdentityCredentials" })
  if (@($trusted | Where-Object { $_.issuer -ceq $issuer -and $_.subject -ceq $subject }).Count -gt 0) {
    Write-Host "The app trusts the subject $subject"
  }
  else {
    Invoke-Step "Let the app trust the subject $subject of $issuer" {
      $null = Send-ToGraph "applications/$($app.id)/federatedIdentityCredentials" @{
        name      = "$SecretName-$($trusted.Count + 1)"
        issuer    = $issuer
        subject   = $subject
        audiences = @($Audiences[$Cloud])
      }
    }
  }
}

$good = @(if ($app) {
    $app.passwordCredentials | Where-Object {
      $_.displayName -eq $SecretName -and ([DateTime] $_.endDateTime).ToUniversalTime() -gt $now
    }
  })
$secret = if ($NewSecret -or ($good.Count -eq 0 -and -not $credential)) {
  Invoke-Step "Add a client secret, good for $SecretDays days" {
    Send-ToGraph "applications/$($app.id)/addPassword" @{
      passwordCredential = @{
        displayName = $SecretName
        endDateTime = $now.AddDays($SecretDays).ToString('yyyy-MM-ddTHH:mm:ssZ')
      }
    }
  }
}
elseif (-not $credential) { Write-Host 'The app has a secret that is still good; -NewSecret adds another' }
elseif ($good.Count -gt 0) {
  Write-Host "The app still has $($good.Count) client secret(s) of these scripts. Delete them once no device logs in with one"
}

# --- what to enter, and where ---

function Get-LookupCommand([string] $Address) {
  # The id of a mailbox's entry: what stands before its @.
  $id = $Address.Split('@')[0]
  "smtp-oauth-relay lookup set $id tenant_id=$tenant client_id=$appId from_email=$Address credential=$credential"
  "smtp-oauth-relay lookup set-password $id"
}

if ($app) {
  $result = [ordered] @{ TenantId = $tenant; ClientId = $appId; ObjectId = $objectId }
  if (-not $credential -or $secret) {
    $result['Username'] = "$tenant$Delimiter$appId"
    $result['ShortUsername'] = "$(ConvertTo-ShortId $tenant)$Delimiter$(ConvertTo-ShortId $appId)"
    $result['Password'] = if ($secret) { $secret.secretText }
    $result['GoodUntil'] = if ($secret) { $secret.endDateTime }
  }
  if ($x509) {
    $result['Thumbprint'] = $x509.Thumbprint
    $result['CertificateGoodUntil'] = $x509.NotAfter
  }
  if ($issuer) {
    $result['Issuer'] = $issuer
    $result['Subject'] = $subject
    $result['Audience'] = $Audiences[$Cloud]
  }
  if ($credential) {
    $result['Settings'] = @(
      if ($x509) {
        "CLIENT_CERTIFICATE_FILEPATH=$certificatePath"
        "CLIENT_KEY_FILEPATH=$(if ($keyPath) { $keyPath } else { '(the file of its key)' })"
      }
      if ($identity) { "MANAGED_IDENTITY_CLIENT_ID=$($identity.appId)" }
      'LOOKUP_FILE=/var/lib/smtp-oauth-relay/lookup.json'
    )
    $result['Commands'] = @(
      foreach ($address in @(if ($AllMailboxes) { 'scanner@example.com' } else { $Mailbox })) {
        Get-LookupCommand $address
      }
    )
  }
  [pscustomobject] $result
}
