#!/bin/bash
# Does what the README tells a stranger to do, in a fresh clone without node_modules, word for word: the
# sandbox, then the steps from the certificate to a test message, with the sandbox's imitation in the
# place of Microsoft's services. (The README's other command, `npm test`, is what runs all tests; here
# it runs those of the docs.)
#
# Commands are taken from README.md (tests/docs/readme_test.ts asks for each of its blocks here); only
# TENANT_ID and the like are filled in. Needs ports 8025 and 8026 of the loopback to be free, as the README
# does, and git, npm, openssl and curl. Prints one line, with the seconds; exit 0 when all is well, 1 when
# not.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
clone=$work/clone
started=()

finish() {
  # The whole group of each: npm leaves its children behind.
  for pid in "${started[@]}"; do kill -- "-$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "FAIL readme: $1"
  tail -n 20 "$work"/*.log >&2 2> /dev/null || true
  exit 1
}

# The block of commands that has $1 in it, without its fences.
block() {
  awk -v wanted="$1" '
    /^ *```/ { if (inside) { if (index(text, wanted)) { printf "%s", text; exit } text = "" } inside = !inside; next }
    inside { sub(/^ +/, ""); text = text $0 "\n" }' "$clone/README.md"
}

# Runs a command in the background, apart from this script's signals. $1: its log
start() {
  local log=$work/$1.log
  shift
  setsid bash -c "$*" > "$log" 2>&1 < /dev/null &
  started+=($!)
}

# Waits until the log $1 has a line with $2.
wait_for() {
  for _ in $(seq 600); do
    grep -q "$2" "$work/$1.log" && return
    kill -0 "${started[-1]}" 2> /dev/null || fail "$1 ended early"
    sleep 0.5
  done
  fail "$1 never said: $2"
}

# Ctrl-C, as the terminal sends it: to the whole group.
interrupt() {
  local pid=${started[-1]}
  kill -INT -- "-$pid"
  wait "$pid" || true
  unset 'started[-1]'
}

for tool in git npm openssl curl; do
  command -v "$tool" > /dev/null || fail "$tool is needed"
done
git clone -q "$root" "$clone"
cd "$clone"
# What no step may reach for.
export AZURE_TOKEN_CREDENTIALS=EnvironmentCredential

# --- Try it ---
begun=$SECONDS
start sandbox "$(block 'npm run sandbox')"
wait_for sandbox "Ctrl-C ends the sandbox"
subject=$(curl -sS http://127.0.0.1:8026/api/messages | grep -o '"subject":"[^"]*"' | head -n 1)
[ -n "$subject" ] || fail "the sandbox's own message is not in its inbox"
tried=$((SECONDS - begun))
interrupt
curl -s -o /dev/null http://127.0.0.1:8026/healthz && fail "the sandbox outlived Ctrl-C"
$(block 'npm test') -- tests/docs > "$work/test.log" 2>&1 || fail "npm test"

# --- Use it ---
tenant=11111111-1111-1111-1111-111111111111
app=22222222-2222-2222-2222-222222222222
SMTP_LISTEN=127.0.0.1:0 HTTP_LISTEN=127.0.0.1:0 start cloud "npm run sandbox"
wait_for cloud "Ctrl-C ends the sandbox"
cloud=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$work/cloud.log" | head -n 1)
export AZURE_AUTHORITY_HOST=$cloud/entra GRAPH_ENDPOINT=$cloud/graph

used=$SECONDS
bash -c "$(block 'openssl req')" > "$work/certificate.log" 2>&1 || fail "the certificate"
start relay "$(block 'npm run build && LOG_LEVEL=INFO dist')"
wait_for relay "Relay started"

filled() {
  block "$1" | sed "s/TENANT_ID/$tenant/; s/CLIENT_ID/$app/; s/CLIENT_SECRET/any-secret/"
}
bash -c "$(filled 'curl -v --ssl-reqd')" > "$work/curl.log" 2>&1 || fail "curl"
messages=$(curl -sS "$cloud/api/messages" | grep -o '"from":"scanner@example.com"' | wc -l)
[ "$messages" = 1 ] || fail "$messages of 1 message arrived"
first_message=$SECONDS

dist/smtp-oauth-relay install-service --print > "$work/install.log" 2>&1 ||
  fail "install-service --print"
grep -q '^\[Service\]' "$work/install.log" || fail "install-service prints no unit"
# The relay has the ports that check would look at.
interrupt
dist/smtp-oauth-relay check > "$work/check.log" 2>&1 || [ $? = 1 ] || fail "check"
grep -q '^ok' "$work/check.log" || fail "check finds nothing right"

echo "ok readme: in a fresh clone its commands do what it says: $tried s to the sandbox's first message," \
  "$((first_message - used)) s from the certificate to a message of one's own"
