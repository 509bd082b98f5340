#!/bin/bash
# What docs/high_availability.md promises, with its haproxy configuration as it stands there (only
# addresses and ports are filled in) and two relays: a client comes to the same relay each time; when a
# relay is stopped, its message in progress is finished and the next one goes to the other; when one is
# killed, mail goes on; and one can be drained. The sandbox says what arrived, and that nothing did twice.
#
# Needs haproxy, curl, openssl and python3. Where keepalived and root are there, its configuration is
# checked as well. Prints one line; exit 0 when all is well, 1 when not, 77 without haproxy.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
page=$root/docs/high_availability.md
bun=$root/node_modules/.bin/bun
work=$(mktemp -d)
declare -A pids=()

finish() {
  # The shell's own words about processes that it kills.
  exec 2> /dev/null
  for pid in "${pids[@]}"; do kill -KILL "$pid"; done
  wait
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "FAIL high_availability: $1"
  tail -n 8 "$work"/*.log >&2 || true
  exit 1
}

PATH=$PATH:/usr/sbin
command -v haproxy > /dev/null || {
  echo "skipped: haproxy is not installed"
  exit 77
}
for tool in curl openssl python3; do
  command -v $tool > /dev/null || fail "$tool is needed"
done

# The fenced block that has $1 in it, without its fences.
block() {
  awk -v wanted="$1" '
    /^```/ { if (inside) { if (index(text, wanted)) { printf "%s", text; exit } text = "" } inside = !inside; next }
    inside { text = text $0 "\n" }' "$page"
}

until_true() {
  for _ in $(seq 300); do
    "${@:2}" > /dev/null 2>&1 && return
    sleep 0.1
  done
  fail "$1"
}

# haproxy takes no port 0.
read -r entry smtp1 smtp2 http1 http2 < <(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
print(*(each.getsockname()[1] for each in held))')

export AZURE_TOKEN_CREDENTIALS=EnvironmentCredential LOG_LEVEL=INFO
SMTP_LISTEN=127.0.0.1:0 HTTP_LISTEN=127.0.0.1:0 STATUS_MESSAGES=0 \
  "$bun" "$root/src/main.ts" sandbox > "$work/sandbox.log" 2>&1 &
pids[sandbox]=$!
until_true "the sandbox does not start" grep -q "Ctrl-C ends the sandbox" "$work/sandbox.log"
cloud=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$work/sandbox.log" | head -n 1)
curl -sSf -X DELETE "$cloud/api/messages" > "$work/delete.log"

mkdir "$work/certs"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$work/certs/key.pem" \
  -out "$work/certs/cert.pem" -subj /CN=localhost > "$work/openssl.log" 2>&1
cd "$work"

# Starts the relay $1, with its ports $2 and $3.
relay() {
  # What the page sets; its password file is not there, and is not needed on the loopback.
  PROXY_PROTOCOL_NETWORKS=127.0.0.1 GRAPH_CONCURRENCY=2 \
    AZURE_AUTHORITY_HOST=$cloud/entra GRAPH_ENDPOINT=$cloud/graph \
    SMTP_LISTEN=127.0.0.1:$2 HTTP_LISTEN=127.0.0.1:$3 \
    "$bun" "$root/src/main.ts" serve >> "$work/$1.log" 2>&1 &
  pids[$1]=$!
  until_true "$1 does not start" curl -sSf "http://127.0.0.1:$3/readyz"
}
relay relay1 "$smtp1" "$http1"
relay relay2 "$smtp2" "$http2"

block "balance source" | sed "
  s|bind :587|bind 127.0.0.1:$entry|
  s|/run/haproxy/admin.sock|$work/admin.sock|
  s|10.0.0.20:8025\(.*\) port 8026|127.0.0.1:$smtp1\1 port $http1|
  s|10.0.0.21:8025\(.*\) port 8026|127.0.0.1:$smtp2\1 port $http2|" > "$work/haproxy.cfg"
[ "$(grep -c "127.0.0.1:" "$work/haproxy.cfg")" = 3 ] || fail "the page has another configuration"
haproxy -c -f "$work/haproxy.cfg" > "$work/check.log" 2>&1 || fail "haproxy -c"
haproxy -db -f "$work/haproxy.cfg" > "$work/haproxy.log" 2>&1 &
pids[haproxy]=$!
until_true "haproxy does not start" test -S "$work/admin.sock"

# A command for haproxy, as socat gives it.
haproxy_says() {
  python3 -c '
import socket, sys
at = socket.socket(socket.AF_UNIX)
at.connect(sys.argv[1])
at.sendall(sys.argv[2].encode() + b"\n")
print(at.makefile().read())' "$work/admin.sock" "$1"
}
# Its state for the relay $1 ("show stat"): UP, DOWN, DRAIN …
state() {
  haproxy_says "show stat" | awk -F, -v name="$1" '$2 == name { print $18 }'
}
has_state() { [[ $(state "$1") == $2* ]]; }

sent=0
# A message from the client's address $1, with more options for curl. Its subject is its number.
send() {
  local number=$((++sent)) client=$1
  {
    printf 'From: scanner@example.com\r\nTo: you@example.com\r\nSubject: number %s\r\n\r\n' "$number"
    [ $# = 1 ] || head -c 225000 /dev/zero | tr '\0' x | fold -w 75 | sed 's/$/\r/'
  } > "$work/message$number"
  curl -sS --insecure --ssl-reqd --interface "$client" --url "smtp://127.0.0.1:$entry" \
    --user 11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-222222222222:any-secret \
    --mail-from scanner@example.com --mail-rcpt you@example.com "${@:2}" \
    --upload-file "$work/message$number" > "$work/curl$number.log" 2>&1
}
# How many messages of the client $2 the relay $1 has sent.
by() { grep -c "Message sent .*client=$2 " "$work/$1.log" || true; }
# Sends from the client $1, and says which relay did it.
way_of() {
  local before after
  before=$(by relay1 "$1")
  send "$1" || fail "a message of $1"
  until_true "no line for a message of $1" eval \
    "(( \$(by relay1 $1) + \$(by relay2 $1) == $before + ${2:-0} + 1 ))"
  after=$(by relay1 "$1")
  if ((after > before)); then way=relay1; else way=relay2; fi
}

# A client comes to the same relay each time, and both have clients.
first='' second=''
for last in $(seq 2 30); do
  client=127.0.0.$last
  way_of "$client"
  way1=$way
  way_of "$client" "$(by relay2 "$client")"
  [ "$way" = "$way1" ] || fail "$client comes to both relays"
  if [ "$way" = relay1 ]; then first=$client; else second=$client; fi
  [ -z "$first" ] || [ -z "$second" ] || break
done
[[ -n $first && -n $second ]] || fail "one relay has all clients"

# relay1 is stopped while it has a message of its client.
send "$first" --limit-rate 60k &
slow=$!
((++sent))
sleep 1.5
kill -TERM "${pids[relay1]}"
status=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$http1/readyz" || true)
[ "$status" = 503 ] || fail "/readyz of a relay that stops: $status"
way_of "$first" "$(by relay2 "$first")"
[ "$way" = relay2 ] || fail "the next message went to the relay that stops"
kill -0 "${pids[relay1]}" || fail "the message in progress was too quick"
wait "$slow" || fail "the message in progress was cut off"
wait "${pids[relay1]}" || fail "the stop ended with $?"
unset 'pids[relay1]'

# It comes back, and so do its clients.
relay relay1 "$smtp1" "$http1"
until_true "haproxy does not see that relay1 is back" has_state relay1 UP
way_of "$first" "$(by relay2 "$first")"
[ "$way" = relay1 ] || fail "a client does not come back to its relay"

# relay2 breaks.
kill -KILL "${pids[relay2]}"
wait "${pids[relay2]}" 2> /dev/null || true
unset 'pids[relay2]'
way_of "$second" "$(by relay2 "$second")"
[ "$way" = relay1 ] || fail "a message to the broken relay"
until_true "haproxy does not see that relay2 is down" has_state relay2 DOWN
relay relay2 "$smtp2" "$http2"
until_true "haproxy does not see that relay2 is back" has_state relay2 UP

# relay1 is drained, with the page's words.
drain=$(block "state drain" | sed -n 's/^echo "\(.*state drain\)".*/\1/p')
haproxy_says "$drain" > "$work/drain.log"
has_state relay1 DRAIN || fail "relay1 is not drained: $(state relay1)"
way_of "$first" "$(by relay2 "$first")"
[ "$way" = relay2 ] || fail "a message to the drained relay"
haproxy_says "$(block "state drain" | sed -n 's/^echo "\(.*state ready\)".*/\1/p')" > "$work/ready.log"
has_state relay1 UP || fail "relay1 is not ready again: $(state relay1)"

# All of them, each once.
arrived=$(curl -sS "$cloud/api/messages" | grep -o '"subject":"number [0-9]*"' | sort)
[ "$(wc -l <<< "$arrived")" = "$(uniq <<< "$arrived" | wc -l)" ] || fail "a message arrived twice"
[ "$(wc -l <<< "$arrived")" = "$sent" ] || fail "$(wc -l <<< "$arrived") of $sent messages arrived"

also=''
# The page's interface has to be there: of a kind that this kernel has.
interface='ip link add eth0 type dummy || ip link add eth0 type bridge'
if command -v keepalived > /dev/null && unshare -n bash -c "$interface" 2> /dev/null; then
  block "vrrp_instance" > "$work/keepalived.conf"
  # Its status says nothing: it ends itself by a signal.
  said=$(unshare -n bash -c "{ $interface; } 2> /dev/null
    setsid -w keepalived --config-test -f '$work/keepalived.conf'" 2>&1 || true)
  [[ $said != *keepalived.conf* && $said != *SECURITY* ]] || fail "keepalived: $said"
  also="; keepalived accepts its part"
fi
echo "ok high_availability: $sent messages by haproxy, through a stop, a kill and a drain, each once$also"
