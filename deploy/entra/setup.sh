#!/usr/bin/env bash
# Registers an app for the relay in Entra ID with the Azure CLI, and prints what to enter where: by
# default username and client secret; with a certificate or a federated credential, no secret at all.
#
# Written from Microsoft's public documentation. It has been run against a stand-in for `az` only,
# never against a tenant. docs/entra.md explains each step, and how to take them back.
#
# Run again, it finds what is there and adds what is missing. A secret is never written to a file and
# never an argument of a process; a private key that it makes is in one file, which only you can read.
set -euo pipefail

GRAPH=00000003-0000-0000-c000-000000000000 # Microsoft Graph's app id, the same in every tenant
MAIL_SEND=b633e1c5-b582-4048-a93e-9f11b44c7e96
MAIL_READWRITE=e2a3a72e-5f79-4c64-b1b1-878b674786c9
# What the credentials of these scripts are called.
SECRET_NAME=smtp-oauth-relay

usage() {
  cat <<'TEXT'
Usage: setup.sh --mailbox ADDRESS [--mailbox ADDRESS…] [OPTION…]
       setup.sh --all-mailboxes [OPTION…]

Registers an app, adds a client secret, and prints the SMTP username and password. With one of the
options under "Without a secret", it adds that credential in place of a secret, for devices with
passwords of their own, and prints what to set for the relay.
Sign in first: az login --allow-no-subscriptions

  --mailbox ADDRESS   the app may send as this mailbox (recommended): prints the commands
                      for Exchange Online that say so. May be given several times
  --all-mailboxes     the app may send as everybody: Graph's Mail.Send with admin consent
  --large-messages    also Mail.ReadWrite, for messages of over 3 MB: the app can then READ
                      the mail in these mailboxes
  --name NAME         the app's name (SMTP relay)
  --client-id ID      use this existing app, whatever its name
  --tenant ID         stop if the Azure CLI is signed in to another tenant
  --secret-days N     how long the secret is good, 1 to 730 (365)
  --new-secret        add a secret even if there is one that is still good; both work then
  --delimiter C       the relay's USERNAME_DELIMITER: @ : or | (@)
  --dry-run           look, say what would be done, and change nothing
  --help

Without a secret (docs/devices_without_secrets.md):

  --make-certificate DIRECTORY
                      make a key and a certificate, client-key.pem and client-cert.pem in this
                      directory, unless they are there, and register the certificate
  --certificate-days N
                      how long the certificate that is made is good, 1 to 1095 (365)
  --certificate FILE  register this certificate (PEM), of a key that you have already; what is
                      registered stays, so that both work while the relay changes
  --managed-identity NAME_OR_CLIENT_ID
                      trust this user-assigned managed identity of the same tenant
  --federated-issuer URL
  --federated-subject SUBJECT
                      trust this subject of another issuer, such as a service account of a
                      Kubernetes cluster: system:serviceaccount:NAMESPACE:NAME
TEXT
}

fail() {
  echo "setup.sh: $1" >&2
  exit "${2:-1}"
}
refuse() { fail "$1 (--help shows the options)" 2; }
say() { echo "$1" >&2; }

# --- what is wanted ---

name="SMTP relay" client_id="" tenant_wanted="" secret_days=365 delimiter=@
all_mailboxes=false large=false new_secret=false dry_run=false
certificate="" certificate_directory="" certificate_days=365
managed_identity="" federated_issuer="" federated_subject=""
mailboxes=()

is_uuid() { [[ $1 =~ ^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$ ]]; }
lower() { tr '[:upper:]' '[:lower:]' <<<"$1"; }

while (($# > 0)); do
  case $1 in
    --mailbox | --name | --client-id | --tenant | --secret-days | --delimiter | \
      --certificate | --make-certificate | --certificate-days | \
      --managed-identity | --federated-issuer | --federated-subject)
      (($# > 1)) || refuse "$1 needs a value"
      ;;
  esac
  case $1 in
    --mailbox) mailboxes+=("$2") && shift ;;
    --name) name=$2 && shift ;;
    --client-id) client_id=$2 && shift ;;
    --tenant) tenant_wanted=$2 && shift ;;
    --secret-days) secret_days=$2 && shift ;;
    --delimiter) delimiter=$2 && shift ;;
    --certificate) certificate=$2 && shift ;;
    --make-certificate) certificate_directory=$2 && shift ;;
    --certificate-days) certificate_days=$2 && shift ;;
    --managed-identity) managed_identity=$2 && shift ;;
    --federated-issuer) federated_issuer=$2 && shift ;;
    --federated-subject) federated_subject=$2 && shift ;;
    --all-mailboxes) all_mailboxes=true ;;
    --large-messages) large=true ;;
    --new-secret) new_secret=true ;;
    --dry-run | --what-if) dry_run=true ;;
    --help | -h) usage && exit 0 ;;
    *) refuse "unknown option '$1'" ;;
  esac
  shift
done

# No quotes and no wildcards: the name goes into filters and into PowerShell commands. Exchange's
# names end at 64 characters, of which " Mail.ReadWrite" takes 15.
[[ $name =~ ^[A-Za-z0-9][A-Za-z0-9\ ._-]{0,47}$ ]] ||
  refuse "--name '$name' must be 1 to 48 letters, digits, spaces, dots, hyphens or underscores"
[[ -z $client_id ]] || is_uuid "$client_id" || refuse "--client-id '$client_id' must be a UUID"
[[ -z $tenant_wanted ]] || is_uuid "$tenant_wanted" || refuse "--tenant '$tenant_wanted' must be a UUID"
if [[ ! $secret_days =~ ^[1-9][0-9]{0,2}$ ]] || ((secret_days > 730)); then
  refuse "--secret-days '$secret_days' must be a number from 1 to 730"
fi
[[ $delimiter == [@:\|] ]] || refuse "--delimiter '$delimiter' must be @, : or |"
if $all_mailboxes; then
  ((${#mailboxes[@]} == 0)) || refuse "--mailbox and --all-mailboxes exclude each other"
else
  ((${#mailboxes[@]} > 0)) || refuse "say which mailboxes: --mailbox ADDRESS, or --all-mailboxes"
  for mailbox in "${mailboxes[@]}"; do
    [[ $mailbox =~ ^[A-Za-z0-9._+-]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]{2,}$ ]] ||
      refuse "--mailbox '${mailbox//[[:cntrl:]]/?}' must be an address, such as scanner@example.com"
  done
fi
printable() { echo "${1//[[:cntrl:]]/?}"; }
# The credential that takes the secret's place, as the lookup's column `credential` names it.
credential="" others=0
chosen() { credential=$1 && others=$((others + 1)); }
[[ -z $certificate ]] || chosen certificate
[[ -z $certificate_directory ]] || chosen certificate
[[ -z $managed_identity ]] || chosen managed-identity
[[ -z $federated_issuer$federated_subject ]] || chosen workload-identity
((others < 2)) ||
  refuse "--certificate, --make-certificate, --managed-identity and --federated-… exclude each other: run this once for each"
if [[ ! $certificate_days =~ ^[1-9][0-9]{0,3}$ ]] || ((certificate_days > 1095)); then
  refuse "--certificate-days '$certificate_days' must be a number from 1 to 1095"
fi
# The values go into JSON and into filters.
[[ -z $managed_identity || $managed_identity =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$ ]] ||
  refuse "--managed-identity '$(printable "$managed_identity")' must be the name or the client id of a managed identity"
if [[ $credential == workload-identity ]]; then
  [[ $federated_issuer =~ ^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$ ]] ||
    refuse "--federated-issuer '$(printable "$federated_issuer")' must be an https URL, such as the issuer of a Kubernetes cluster"
  [[ $federated_subject =~ ^[A-Za-z0-9._:/@-]{1,600}$ ]] ||
    refuse "--federated-subject '$(printable "$federated_subject")' must be a subject, such as system:serviceaccount:smtp-relay:smtp-oauth-relay"
fi
command -v az >/dev/null || fail "the Azure CLI (az) is not installed: see https://aka.ms/azure-cli, or run this in Azure Cloud Shell, which has it"
if [[ $credential == certificate ]]; then
  command -v openssl >/dev/null || fail "openssl is not installed"
fi
if [[ -n $certificate ]]; then
  openssl x509 -in "$certificate" -noout 2>/dev/null ||
    refuse "--certificate '$(printable "$certificate")' must be a file with a certificate in PEM form"
  openssl x509 -in "$certificate" -noout -checkend 0 >/dev/null ||
    refuse "--certificate '$(printable "$certificate")' has ended"
fi

# --- the Azure CLI ---

# What goes wrong, az says on standard error.
ask() { az "$@" --only-show-errors --output tsv || fail "az $1 $2 $3 failed"; }

# A new object may take some seconds to be known everywhere.
ask_patiently() {
  local try
  for try in 1 2 3 4 5; do
    if az "$@" --only-show-errors --output tsv; then return; fi
    ((try == 5)) || sleep "${SETUP_RETRY_SECONDS:-5}"
  done
  fail "az $1 $2 $3 failed five times"
}

would() {
  $dry_run || return 1
  say "would $1"
}

tenant=$(az account show --only-show-errors --query tenantId --output tsv) ||
  fail "the Azure CLI is not signed in: az login --allow-no-subscriptions"
tenant=$(lower "$tenant")
is_uuid "$tenant" || fail "az account show does not name a tenant"
[[ -z $tenant_wanted || $tenant == "$(lower "$tenant_wanted")" ]] ||
  fail "the Azure CLI is signed in to the tenant $tenant: az login --tenant $tenant_wanted"
cloud=$(ask cloud show --query name)
graph_url=$(ask cloud show --query endpoints.microsoftGraphResourceId)
graph_url=${graph_url%/}

# --- the app ---

if [[ -n $client_id ]]; then
  found=$(ask ad app list --app-id "$client_id" --query '[].[appId,signInAudience]')
  [[ -n $found ]] || fail "the tenant $tenant has no app with the client id $client_id"
else
  found=$(ask ad app list --filter "displayName eq '$name'" --query '[].[appId,signInAudience]')
fi
[[ $found != *$'\n'* ]] || fail "several apps are called '$name': choose one with --client-id"
if [[ -n $found ]]; then
  client_id=${found%%$'\t'*}
  say "The app is there: $client_id"
  [[ $found == *AzureADMyOrg ]] ||
    say "WARNING: it can be used from other tenants; set its supported account types to this one only"
elif would "register the app '$name', for this tenant only"; then
  client_id=""
else
  client_id=$(ask ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId)
  say "Registered the app '$name': $client_id"
fi
client_id=$(lower "$client_id")

# --- its service principal, the "enterprise application" ---

object_id=""
[[ -z $client_id ]] || object_id=$(ask ad sp list --filter "appId eq '$client_id'" --query '[].id')
if [[ -z $object_id ]] && ! would "create its service principal"; then
  object_id=$(ask_patiently ad sp create --id "$client_id" --query id)
  say "Created its service principal: $object_id"
fi

# --- the permission, where Entra ID gives it ---

granted=""
[[ -z $object_id ]] || granted=$(ask_patiently rest --method get \
  --url "$graph_url/v1.0/servicePrincipals/$object_id/appRoleAssignments" --query 'value[].appRoleId')

grant() { # id, name
  local requested
  if [[ $granted == *$1* ]]; then
    say "$2 for all mailboxes is granted"
    return
  fi
  would "grant $2 for ALL mailboxes of the tenant" && return
  # So that the admin center lists it; az would list it twice.
  requested=$(ask ad app permission list --id "$client_id" \
    --query "[?resourceAppId=='$GRAPH'].resourceAccess[].id")
  [[ $requested == *$1* ]] ||
    ask ad app permission add --id "$client_id" --api "$GRAPH" --api-permissions "$1=Role"
  # The consent itself. `az ad app permission admin-consent` knows the public cloud only.
  ask rest --method post --url "$graph_url/v1.0/servicePrincipals/$graph_id/appRoleAssignedTo" \
    --body "{\"principalId\":\"$object_id\",\"resourceId\":\"$graph_id\",\"appRoleId\":\"$1\"}" >/dev/null
  say "Granted $2 for all mailboxes"
}

if $all_mailboxes; then
  graph_id=$(ask ad sp list --filter "appId eq '$GRAPH'" --query '[].id')
  grant "$MAIL_SEND" Mail.Send
  ! $large || grant "$MAIL_READWRITE" Mail.ReadWrite
elif [[ $granted == *$MAIL_SEND* || $granted == *$MAIL_READWRITE* ]]; then
  say "WARNING: the app has Mail.Send or Mail.ReadWrite for ALL mailboxes. Take it back under" \
    "API permissions, or the list of mailboxes limits nothing"
fi

# --- the credential: last, so that no step after it can fail and lose it ---

at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ; }
now=$(date +%s)

make_certificate() { # directory
  certificate=$1/client-cert.pem certificate_key=$1/client-key.pem
  if [[ -e $certificate && -e $certificate_key ]]; then
    say "The certificate is there: $certificate"
    return
  fi
  [[ ! -e $certificate && ! -e $certificate_key ]] ||
    fail "one of $certificate and $certificate_key is there without the other"
  would "make a key and a certificate, good for $certificate_days days, in $1, and register it" && return
  # The key is never readable for others, not even for a moment.
  (
    umask 077
    mkdir -p "$1"
    openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days "$certificate_days" \
      -subj /CN=smtp-oauth-relay -keyout "$certificate_key" -out "$certificate" 2>/dev/null
  ) || fail "openssl could not make the certificate in $1"
  chmod 644 "$certificate"
  say "Made $certificate and its key, $certificate_key"
}

octets() { printf '%b' "$(tr -d ':-' <<<"$1" | sed 's/../\\x&/g')"; }
# Graph shows the SHA-1 thumbprint. Its form is not documented: hexadecimal and base64 are known.
is_registered() { # SHA-1 in hexadecimal, upper case
  local known
  for known in $registered; do
    [[ $(tr '[:lower:]' '[:upper:]' <<<"$known") != "$1" && $known != "$(octets "$1" | base64)" ]] || return 0
  done
  return 1
}

fingerprint() { # algorithm
  openssl x509 -in "$certificate" -noout -fingerprint "-$1" | sed 's/.*=//' | tr -d ':\n'
}

register_certificate() {
  local registered="" public end
  [[ -e $certificate ]] || return 0
  # Given by one line of base64, without the key that may be in the file.
  public=$(openssl x509 -in "$certificate" -outform DER | base64 | tr -d '\n')
  thumbprint=$(fingerprint sha1)
  end=$(openssl x509 -in "$certificate" -noout -enddate)
  end=$(date -u -d "${end#*=}" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null ||
    date -u -j -f '%b %d %T %Y %Z' "${end#*=}" +%Y-%m-%dT%H:%M:%SZ)
  certificate_end=$end
  [[ -z $client_id ]] || registered=$(ask ad app credential list --id "$client_id" --cert \
    --query '[].customKeyIdentifier')
  if is_registered "$thumbprint"; then
    say "The certificate is registered: thumbprint $thumbprint"
  elif ! would "register the certificate with the thumbprint $thumbprint"; then
    ask ad app credential reset --id "$client_id" --append --display-name "$SECRET_NAME" \
      --end-date "$end" --cert "$public" >/dev/null
    say "Registered the certificate: thumbprint $thumbprint"
  fi
}

# Entra ID's, of this cloud.
case $cloud in
  AzureUSGovernment) authority=https://login.microsoftonline.us audience=api://AzureADTokenExchangeUSGov ;;
  AzureChinaCloud)
    authority=https://login.partner.microsoftonline.cn audience=api://AzureADTokenExchangeChina
    ;;
  *) authority=https://login.microsoftonline.com audience=api://AzureADTokenExchange ;;
esac

find_managed_identity() {
  local column=displayName found names
  ! is_uuid "$managed_identity" || column=appId
  found=$(ask ad sp list --filter "$column eq '$managed_identity'" \
    --query "[?servicePrincipalType=='ManagedIdentity'].[id,appId,join(' ',alternativeNames)]")
  [[ -n $found ]] || fail "the tenant $tenant has no managed identity '$managed_identity'"
  [[ $found != *$'\n'* ]] ||
    fail "several managed identities are called '$managed_identity': give its client id"
  IFS=$'\t' read -r federated_subject identity_id names <<<"$found"
  [[ $names == */userAssignedIdentities/* ]] ||
    fail "'$managed_identity' is the system-assigned identity of a resource: Entra ID trusts only user-assigned ones"
  federated_issuer=$authority/$tenant/v2.0
}

trust_issuer() {
  local known="" other name
  [[ -z $client_id ]] || known=$(ask ad app federated-credential list --id "$client_id" \
    --query '[].[issuer,subject]')
  if grep -qxF "$federated_issuer"$'\t'"$federated_subject" <<<"$known"; then
    say "The app trusts the subject $federated_subject"
    return
  fi
  would "let the app trust the subject $federated_subject of $federated_issuer" && return
  other=0
  [[ -z $known ]] || other=$(wc -l <<<"$known")
  # A name cannot be changed or given twice.
  name=$SECRET_NAME-$((other + 1))
  ask ad app federated-credential create --id "$client_id" --parameters \
    "{\"name\":\"$name\",\"issuer\":\"$federated_issuer\",\"subject\":\"$federated_subject\",\"audiences\":[\"$audience\"]}" \
    --query name >/dev/null
  say "The app trusts the subject $federated_subject of $federated_issuer now"
}

certificate_key="" thumbprint="" certificate_end="" identity_id=""
case $credential in
  certificate)
    [[ -z $certificate_directory ]] || make_certificate "$certificate_directory"
    register_certificate
    ;;
  managed-identity) find_managed_identity && trust_issuer ;;
  workload-identity) trust_issuer ;;
esac

good_until="" secrets=0
if [[ -n $client_id ]]; then
  ends=$(ask ad app credential list --id "$client_id" \
    --query "[?displayName=='$SECRET_NAME'].endDateTime")
  for end in $ends; do
    # Times in UTC, the longest part first: as text they sort as times.
    [[ $end > $(at "$now") ]] || continue
    secrets=$((secrets + 1))
    if [[ $end > $good_until ]]; then good_until=$end; fi
  done
fi
secret="" secret_line=""
if [[ -n $credential ]] && ! $new_secret; then
  ((secrets == 0)) || say "The app still has $secrets client secret(s) of these scripts. Delete them" \
    "once no device logs in with one: az ad app credential list --id $client_id"
elif [[ -n $good_until ]] && ! $new_secret; then
  secret_line="as before, good until $good_until (--new-secret adds another)"
elif ! would "add a client secret, good for $secret_days days"; then
  end=$(at $((now + secret_days * 86400)))
  # A tenant's policy (Entra admin center: Application policies) can forbid client secrets.
  secret=$(az ad app credential reset --id "$client_id" --append --display-name "$SECRET_NAME" \
    --end-date "$end" --query password --only-show-errors --output tsv) ||
    fail "the client secret could not be added; if the tenant forbids client secrets, use --make-certificate"
  secret_line="$secret"
fi

# --- what to enter, and what to do next ---

# The 16 octets of a UUID, in the order of RFC 9562, in base64url.
short() { octets "$1" | base64 | tr '+/' '-_' | tr -d '=\n'; }

if [[ -n $client_id ]]; then
  echo "Tenant id    $tenant"
  echo "Client id    $client_id"
  [[ -z $object_id ]] || echo "Object id    $object_id"
  if [[ -z $credential || -n $secret ]]; then
    echo "Username     $tenant$delimiter$client_id"
    echo "  or short   $(short "$tenant")$delimiter$(short "$client_id")"
  fi
  [[ -z $secret_line ]] || echo "Password     $secret_line"
  [[ -z $secret ]] || echo "             good until $end; not shown again"
fi

absolute() { [[ $1 == /* ]] && echo "$1" || echo "$PWD/$1"; }

settings() {
  case $credential in
    certificate)
      echo "CLIENT_CERTIFICATE_FILEPATH=$(absolute "$certificate")"
      if [[ -n $certificate_key ]]; then echo "CLIENT_KEY_FILEPATH=$(absolute "$certificate_key")"; else echo "CLIENT_KEY_FILEPATH=(the file of its key)"; fi
      ;;
    managed-identity) echo "MANAGED_IDENTITY_CLIENT_ID=$identity_id" ;;
    workload-identity) ;;
  esac
  echo "LOOKUP_FILE=/var/lib/smtp-oauth-relay/lookup.json"
}

# The id of a mailbox's entry: what stands before its @.
lookup_commands() { # address
  local id=${1%%@*}
  echo "smtp-oauth-relay lookup set $id tenant_id=$tenant client_id=$client_id from_email=$1 credential=$credential"
  echo "smtp-oauth-relay lookup set-password $id"
}

if [[ -n $credential && -n $client_id ]]; then
  if [[ -n $thumbprint ]]; then
    echo "Thumbprint   $thumbprint"
    echo "  SHA-256    $(fingerprint sha256)"
    echo "  good until $certificate_end"
  fi
  if [[ -n $federated_issuer ]]; then
    echo "Issuer       $federated_issuer"
    echo "Subject      $federated_subject"
    echo "Audience     $audience"
  fi
  echo
  echo "Settings of the relay (the user that it runs as must be able to read these files):"
  [[ $credential != workload-identity ]] ||
    echo "(AZURE_FEDERATED_TOKEN_FILE comes from the cluster, with the label azure.workload.identity/use)"
  settings
  echo
  echo "With these settings, for each device, an entry and its password, which is shown once:"
  if $all_mailboxes; then
    lookup_commands scanner@example.com
    echo "(scanner: any name for the device; from_email: the mailbox that it sends as)"
  else
    for mailbox in "${mailboxes[@]}"; do lookup_commands "$mailbox"; done
  fi
  echo "Its username is the entry's id, such as $($all_mailboxes && echo scanner || echo "${mailboxes[0]%%@*}")."
fi

connect=Connect-ExchangeOnline
case $cloud in
  AzureCloud) ;;
  AzureUSGovernment)
    connect+=" -ExchangeEnvironmentName O365USGovGCCHigh   # DoD: O365USGovDoD"
    say "Set AZURE_CLOUD=usgov for the relay (DoD: usgov-dod)"
    ;;
  AzureChinaCloud)
    connect+=" -ExchangeEnvironmentName O365China"
    say "Set AZURE_CLOUD=china for the relay"
    ;;
  *) say "Set AZURE_CLOUD for the relay to the cloud that az calls $cloud" ;;
esac

if $all_mailboxes; then
  [[ -z $client_id ]] || say "Next: enter username and password in the device." \
    "$([[ -z $credential ]] && echo "It" || echo "The relay") may send as anybody."
  exit 0
fi
app=${client_id:-CLIENT_ID} object=${object_id:-OBJECT_ID}
cat <<TEXT

Next, in PowerShell, as Exchange administrator (each line that says that its object is there
already has nothing to do):

Install-Module ExchangeOnlineManagement   # once
$connect
New-ServicePrincipal -AppId $app -ObjectId $object -DisplayName '$name'
New-DistributionGroup -Name '$name' -DisplayName '$name' -Type Security -MemberJoinRestriction Closed -MemberDepartRestriction Closed
Set-DistributionGroup -Identity '$name' -HiddenFromAddressListsEnabled \$true
TEXT
for mailbox in "${mailboxes[@]}"; do
  echo "Add-DistributionGroupMember -Identity '$name' -Member '$mailbox'"
done
cat <<TEXT
\$group = (Get-DistributionGroup -Identity '$name').DistinguishedName
New-ManagementScope -Name '$name' -RecipientRestrictionFilter "MemberOfGroup -eq '\$group'"
New-ManagementRoleAssignment -Name '$name Mail.Send' -App $object -Role 'Application Mail.Send' -CustomResourceScope '$name'
TEXT
! $large || echo "New-ManagementRoleAssignment -Name '$name Mail.ReadWrite' -App $object" \
  "-Role 'Application Mail.ReadWrite' -CustomResourceScope '$name'"
for mailbox in "${mailboxes[@]}"; do
  echo "Test-ServicePrincipalAuthorization -Identity $object -Resource '$mailbox' | Format-Table"
done
echo
echo "InScope must be True. Graph may need up to two hours to see it."
