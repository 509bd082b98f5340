# shellcheck shell=bash disable=SC2154
# The replay of docs/recipes.md, run by ../clients.sh in namespaces of its own. Of it: $root, $here,
# $work, and $debian with the programs.

debian=$work/debian
page=$root/docs/recipes.md
tenant=11111111-1111-1111-1111-111111111111
app=22222222-2222-2222-2222-222222222222
# With what a client secret of Entra ID has in it.
secret=Gx8Q~any.secret-_1
machine=printserver.example.net
# With --device, the username of a device that has a password of its own in place of the secret.
own_id=
export AZURE_TOKEN_CREDENTIALS=EnvironmentCredential

# The clients' own functions: `replay_` and the heading.
# shellcheck source=/dev/null
. "$here/clients/recipes.sh"

# The code block below the heading $1 that has $2 in it, filled in.
block() {
  awk -v heading="### $1" -v wanted="$2" '
    /^#/ && !inside { below = ($0 == heading) }
    /^```/ {
      if (inside && below && index(text, wanted)) { printf "%s", text; exit }
      text = ""; inside = !inside; next
    }
    inside { text = text $0 "\n" }' "$page" |
    sed "${own_id:+s/TENANT_ID\(@\|%40\)CLIENT_ID/$own_id/g}
      s/TENANT_ID/$tenant/g; s/CLIENT_ID/$app/g; s/CLIENT_SECRET/$secret/g
      s/RELAY_FINGERPRINT/${fingerprint:-}/g" |
    grep . || { echo "there is no block with $2 below $1" >&2; return 1; }
}

# Writes the block with $2 below the heading $1 into the file $3 of the directory with the programs.
file() {
  local path=$debian$3
  mkdir -p "$(dirname "$path")"
  block "$1" "$2" > "$path"
}

# Runs a program where the others are.
in_debian() {
  env -i PATH=/usr/sbin:/usr/bin HOME=/root USER=root LOGNAME=root chroot "$debian" "$@"
}

# A message as cron and scripts hand it over: no From, no Date.
message() {
  printf 'To: you@example.com\nSubject: Report\n\nAll is well.\n'
}

# Starts a server: $1 its log's name, $2 a line that it prints once it is there.
serve() {
  local log=$work/$1.log ready=$2
  shift 2
  : > "$log"
  "$@" > "$log" 2>&1 &
  until_true grep -q "$ready" "$log" || { tail -n 5 "$log" >&2; fail "no \"$ready\""; }
}

# Waits until a command says yes, at most 30 s.
until_true() {
  for _ in $(seq 300); do
    "$@" && return
    sleep 0.1
  done
  return 1
}

prepare() {
  ip link set lo up
  # The machine's own. (OpenSMTPD looks up no names where there is 127.0.0.1 and nothing else.)
  ip address add 127.0.0.2/8 dev lo
  hostname "$machine"
  mount --make-rprivate /
  for device in null zero random urandom; do
    touch "$debian/dev/$device"
    mount --bind "/dev/$device" "$debian/dev/$device"
  done
  mkdir -p "$debian"/{proc,tmp,root,run,etc/ssl/certs} "$debian"/var/{empty,mail,log}
  chmod 1777 "$debian/tmp"
  mount -t proc proc "$debian/proc"

  # What the packages' scripts would have set up.
  cat "$debian/usr/share/base-passwd/passwd.master" - > "$debian/etc/passwd" << 'END'
Debian-exim:x:901:901::/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:902:902::/var/empty:/usr/sbin/nologin
opensmtpq:x:903:903::/var/empty:/usr/sbin/nologin
postfix:x:904:904::/var/spool/postfix:/usr/sbin/nologin
smmta:x:905:905::/var/lib/sendmail:/usr/sbin/nologin
smmsp:x:906:906::/var/lib/sendmail:/usr/sbin/nologin
END
  cat "$debian/usr/share/base-passwd/group.master" - > "$debian/etc/group" << 'END'
Debian-exim:x:901:
opensmtpd:x:902:
opensmtpq:x:903:
postfix:x:904:
smmta:x:905:
smmsp:x:906:
postdrop:x:907:
END
  echo "$machine" > "$debian/etc/mailname"
  printf '127.0.0.1 localhost\n127.0.0.2 %s printserver\n' "$machine" > "$debian/etc/hosts"
  echo 'nameserver 127.0.0.1' > "$debian/etc/resolv.conf"
  echo 'hosts: files dns' > "$debian/etc/nsswitch.conf"
  # For the programs of the machine, in these namespaces only.
  mount --bind "$debian/etc/hosts" /etc/hosts
  mount --bind "$debian/etc/resolv.conf" /etc/resolv.conf

  local bun=$root/node_modules/.bin/bun
  serve names "names are served" "$bun" "$here/clients/names.mjs"

  # As the README has it.
  (cd "$work" && bash -ec "$(awk '/^ *```/ { inside = !inside; next } inside { sub(/^ +/, ""); print }' \
    "$root/README.md" |
    sed -n '/^mkdir -p certs/,/-addext/p')") 2> "$work/openssl.log"
  cp "$work/certs/cert.pem" "$debian/etc/ssl/relay-cert.pem"
  fingerprint=$(block dma 'openssl x509' | sed "s#/etc/ssl#$debian/etc/ssl#" | bash)

  SMTP_LISTEN=127.0.0.1:0 HTTP_LISTEN=127.0.0.1:8027 \
    serve sandbox "Ctrl-C ends the sandbox" "$bun" "$root/src/main.ts" sandbox
  export AZURE_AUTHORITY_HOST=http://127.0.0.1:8027/entra GRAPH_ENDPOINT=http://127.0.0.1:8027/graph
  export TLS_CERT_FILEPATH=$work/certs/cert.pem TLS_KEY_FILEPATH=$work/certs/key.pem
  export SERVER_HOSTNAME=smtp.example.com LOG_LEVEL=DEBUG
  [ "${RECIPES_FOR:-}" != device ] || make_device "$bun" "$root/src/main.ts"
  SMTP_LISTEN=127.0.0.1:8025,127.0.0.1:587 SMTPS_LISTEN=127.0.0.1:8465 HTTP_LISTEN=off \
    serve relay "Relay started" "$bun" "$root/src/main.ts" serve
}

# Gives a device a password of its own; its senders are those of the page, and what OpenSMTPD leaves
# in From. $@: the program.
make_device() {
  own_id=server
  export LOOKUP_FILE=$work/lookup.json CLIENT_SECRET=$secret
  "$@" lookup set "$own_id" tenant_id="$tenant" client_id="$app" allowed_senders="@example.com,@$machine" \
    credential=secret > "$work/lookup.log"
  secret=$("$@" lookup set-password "$own_id" 2>> "$work/lookup.log")
}

inbox() {
  curl -sS "http://127.0.0.1:8027/api/messages$1" "${@:2}"
}

# What arrived, a line for each message: mailbox, From, and the recipients in order.
arrived() {
  inbox '' | python3 -c '
import json, sys
from urllib.request import urlopen
for entry in json.load(sys.stdin):
    with urlopen("http://127.0.0.1:8027/api/messages/" + entry["id"]) as answer:
        message = json.load(answer)
    print(message["mailbox"], message["from"], ",".join(sorted(message["recipients"])))' | sort
}

# Whether $1 messages have arrived.
enough() {
  [ "$(inbox '' | grep -o '"id"' | wc -l)" -ge "$1" ]
}

# Replays the recipe below the heading $1: what arrives must be what its function says is expected.
one() {
  local heading=$1 name expected got code
  name=replay_$(tr 'A-Z -' 'a-z__' <<< "$heading")
  expected="server@example.com server@example.com you@example.com"
  inbox '' -X DELETE
  # It may say what else is expected. (Behind `||` or `if`, its errors would not end it.)
  set +e
  (set -e; "$name" "$heading" 3> "$work/expected") > "$work/$name.log" 2>&1
  code=$?
  set -e
  [ "$code" = 0 ] || { tail -n 20 "$work/$name.log" >&2; fail "$heading: it does not end well"; }
  [ ! -s "$work/expected" ] || expected=$(cat "$work/expected")
  until_true enough "$(wc -l <<< "$expected")" || true
  got=$(arrived)
  [ "$got" = "$expected" ] && return
  tail -n 20 "$work/$name.log" "$work/relay.log" >&2
  fail "$heading: expected \"$expected\", arrived \"$got\""
}

replay() {
  local clients=("$@") heading count=0
  if [ $# = 0 ]; then
    # The recipes: what is below these headings, but for what the page says is not replayed.
    mapfile -t clients < <(awk '
      /^## / { recipes = /^## (Mail servers|In place of a mail server|Monitoring|Programs)$/ }
      recipes && /^### / { print substr($0, 5) }' "$page" | grep -vxF "$NOT_REPLAYED")
  fi
  prepare
  for heading in "${clients[@]}"; do
    one "$heading"
    count=$((count + 1))
  done
  echo "ok clients${own_id:+ as devices without secrets}: $count recipes of docs/recipes.md send what they say, as whom and to whom they say"
}
