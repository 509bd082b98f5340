#!/usr/bin/env bash
# A stand-in for `az`, for tests/deploy/entra_test.ts: knows the calls that deploy/entra/setup.sh
# makes, each to the letter, and refuses every other one. Its tenant is the folder $AZ_STATE; the
# calls are written to `calls` in it.
set -euo pipefail
cd "$AZ_STATE"

GRAPH=00000003-0000-0000-c000-000000000000
GRAPH_OBJECT=99999999-9999-4999-8999-999999999999
OBJECT=0b1ec700-0000-4000-8000-00000000b1ec
URL=https://graph.microsoft.com/v1.0/servicePrincipals

printf '%s\n' "$*" >>calls
no() {
  echo "ERROR: $1" >&2
  exit "${2:-1}"
}
[[ " $* " == *" --only-show-errors "* && " $* " == *" --output tsv "* ]] || no "not for a script: $*" 2
call=" $*"
call=${call/ --only-show-errors/}
call=${call/ --output tsv/}
call=${call# }
app=$(cat next_app_id)

case $call in
  "account show --query tenantId")
    [[ -s tenant ]] || no "Please run 'az login' to setup account."
    cat tenant
    ;;
  "cloud show --query name") cat cloud ;;
  "cloud show --query endpoints.microsoftGraphResourceId") echo https://graph.microsoft.com/ ;;

  "ad app list --filter displayName eq '"*"' --query [].[appId,signInAudience]")
    name=${call#*\'} name=${name%\'*}
    awk -F '\t' -v name="$name" -v OFS='\t' '$3 == name { print $1, $2 }' apps
    ;;
  "ad app list --app-id "*" --query [].[appId,signInAudience]")
    awk -F '\t' -v id="${5:-}" -v OFS='\t' '$1 == id { print $1, $2 }' apps
    ;;
  "ad app create --display-name "*" --sign-in-audience AzureADMyOrg --query appId")
    [[ ! -s apps ]] || no "there is an app already"
    printf '%s\tAzureADMyOrg\t%s\n' "$app" "$5" >>apps
    echo "$app"
    ;;

  "ad sp list --filter appId eq '$GRAPH' --query [].id") echo $GRAPH_OBJECT ;;
  "ad sp list --filter appId eq '$app' --query [].id") cat principals ;;
  "ad sp create --id $app --query id")
    # Right after its creation the app is not known everywhere.
    if [[ -s not_known_yet ]]; then
      : >not_known_yet
      no "When using this permission, the backing application must be in the local tenant"
    fi
    [[ ! -s principals ]] || no "there is a service principal already"
    echo $OBJECT | tee -a principals
    ;;

  "rest --method get --url $URL/$OBJECT/appRoleAssignments --query value[].appRoleId") cat granted ;;
  "ad app permission list --id $app --query [?resourceAppId=='$GRAPH'].resourceAccess[].id")
    cat requested
    ;;
  "ad app permission add --id $app --api $GRAPH --api-permissions "*"=Role")
    role=${call##* } role=${role%=Role}
    ! grep -q "$role" requested || no "it is listed already"
    echo "$role" >>requested
    ;;
  "rest --method post --url $URL/$GRAPH_OBJECT/appRoleAssignedTo --body "*)
    [[ ! -s forbidden ]] || no "Forbidden: Insufficient privileges to complete the operation."
    body="{\"principalId\":\"$OBJECT\",\"resourceId\":\"$GRAPH_OBJECT\",\"appRoleId\":\"*\"}"
    given=${call#*--body }
    # shellcheck disable=SC2053 # the role is any
    [[ $given == $body ]] || no "body: $given" 2
    role=${given%\"*} role=${role##*\"}
    ! grep -q "$role" granted || no "Permission being assigned already exists on the object"
    echo "$role" >>granted
    echo '{"id": "an assignment"}'
    ;;

  "ad app credential list --id $app --query [?displayName=='smtp-oauth-relay'].endDateTime")
    cat secrets
    ;;
  "ad app credential reset --id $app --append --display-name smtp-oauth-relay --end-date "*" --query password")
    [[ ! -s no_secrets ]] || no "Credential type not allowed as per assigned policy"
    end=${call#*--end-date } end=${end%% *}
    [[ $end =~ ^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$ ]] ||
      no "--end-date $end" 2
    echo "$end" >>secrets
    cat next_secret
    ;;

  "ad app credential list --id $app --cert --query [].customKeyIdentifier") cat certificates ;;
  "ad app credential reset --id $app --append --display-name smtp-oauth-relay --end-date "*" --cert "*)
    # The certificate's DER form in base64, and nothing else: no key, no PEM.
    given=${call#*--cert }
    ended=$(base64 -d <<<"$given" | openssl x509 -inform DER -noout -enddate) || no "--cert $given" 2
    end=${call#*--end-date } end=${end%% *}
    [[ $(date -u -d "${ended#*=}" +%Y-%m-%dT%H:%M:%SZ) == "$end" ]] || no "--end-date $end" 2
    base64 -d <<<"$given" | openssl x509 -inform DER -noout -fingerprint -sha1 |
      sed 's/.*=//' | tr -d : >>certificates
    ;;
  "ad sp list --filter "*" --query [?servicePrincipalType=='ManagedIdentity'].[id,appId,join(' ',alternativeNames)]")
    filter=${call#*--filter } filter=${filter%% --query*}
    name=${filter#*\'} name=${name%\'}
    case $filter in
      "appId eq '"*"'") awk -F '\t' -v id="$name" -v OFS='\t' '$2 == id { print $1, $2, $4 }' identities ;;
      "displayName eq '"*"'") awk -F '\t' -v n="$name" -v OFS='\t' '$3 == n { print $1, $2, $4 }' identities ;;
      *) no "filter: $filter" 2 ;;
    esac
    ;;
  "ad app federated-credential list --id $app --query [].[issuer,subject]") cat federated ;;
  "ad app federated-credential create --id $app --parameters "*" --query name")
    given=${call#*--parameters } given=${given% --query name}
    python3 - "$given" <<'PY' >>federated || no "--parameters $given" 2
import json, sys
given = json.loads(sys.argv[1])
assert sorted(given) == ["audiences", "issuer", "name", "subject"] and len(given["audiences"]) == 1
print(given["issuer"], given["subject"], sep="\t")
PY
    printf '%s\n' "$given" >>parameters
    ;;
  *) no "unexpected call: $call" 2 ;;
esac
