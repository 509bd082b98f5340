#!/bin/bash
# The service under a real systemd, which is booted in namespaces of its own: installed by the
# program itself, started, watched, reloaded, stopped, and activated by its sockets; mail goes
# through it to an imitated cloud. Needs root, systemd, curl and openssl; touches nothing outside of
# a temporary directory and one cgroup.
# Exit 0 when all is well, 1 when not, 77 where it cannot be done.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
executable=$root/dist/smtp-oauth-relay
service=smtp-oauth-relay.service

# The second half of the way in: first program in its namespaces, makes a file system out of this
# machine's /usr, and becomes systemd. What else it sees of the machine, it cannot write.
if [ "${1:-}" = boot ]; then
  new=$2
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$new"
  mkdir -p "$new"/{usr,etc/systemd/system,proc,sys,dev/shm,run,tmp,var/log/journal,var/lib,root,old}
  mount --bind /usr "$new/usr"
  mount -o remount,bind,ro "$new/usr"
  mount -t tmpfs tmpfs "$new/usr/local"
  mkdir -p "$new/usr/local/bin"
  for directory in bin sbin lib lib64; do
    if [ -L "/$directory" ]; then ln -s "usr/$directory" "$new/$directory"; fi
  done
  cp -a /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache "$new/etc/"
  echo 127.0.0.1 localhost > "$new/etc/hosts"
  tr -d - < /proc/sys/kernel/random/uuid > "$new/etc/machine-id"
  cp "$executable" "$new/root/relay"
  # Nothing that speaks to the kernel for the whole machine: no kernel settings, devices, mounts.
  for target in sysinit local-fs multi-user; do
    mkdir -p "$new/tmp/$target"
    if [ -d "$new/usr/lib/systemd/system/$target.target.wants" ]; then
      mount --bind "$new/tmp/$target" "$new/usr/lib/systemd/system/$target.target.wants"
    fi
  done
  mount -t proc proc "$new/proc"
  mount --bind "$new/proc/sys" "$new/proc/sys"
  mount -o remount,bind,ro "$new/proc/sys"
  mount -t sysfs -o ro sysfs "$new/sys"
  mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$new/dev"
  mkdir -p "$new/dev/shm" "$new/dev/pts"
  for device in null zero full random urandom tty; do
    touch "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
  done
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
  ln -s pts/ptmx "$new/dev/ptmx"
  ln -s /proc/self/fd "$new/dev/fd"
  mount -t tmpfs tmpfs "$new/run"
  cd "$new"
  pivot_root . old
  umount -l /old
  # As a container's manager does it: credentials are mounted by a child, for its parent to see.
  mount --make-rshared /
  # shellcheck disable=SC2093 # Nothing comes after it.
  exec env -i container=test PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=multi-user.target --log-target=journal --show-status=no
fi

skip() {
  echo "skipped: $1"
  exit 77
}
for tool in unshare nsenter systemctl curl openssl; do
  command -v "$tool" > /dev/null || skip "$tool is not installed"
done
[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
[ "$(id -u)" = 0 ] || skip "only root can boot a systemd"
[ -x "$executable" ] || skip "dist/smtp-oauth-relay is missing: npm run build"

work=$(mktemp -d)
pid=
cgroup=
# shellcheck disable=SC2317,SC2329 # Called by the trap.
clean() {
  [ -z "$pid" ] || kill -KILL "$pid" 2> /dev/null || true
  [ -z "$pid" ] || wait "$pid" 2> /dev/null || true
  if [ -n "$cgroup" ]; then
    for _ in $(seq 50); do
      find "$cgroup" -depth -type d -exec rmdir {} + 2> /dev/null || true
      [ -d "$cgroup" ] || break
      sleep 0.1
    done
  fi
  rm -rf "$work"
}
trap clean EXIT

# A cgroup of its own, where version 2 is mounted: the other processes of the machine stay where they
# are.
mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$mounted" ] || skip "there are no cgroups of version 2"
cgroup=$mounted/relay-test-$$
mkdir "$cgroup" 2> /dev/null || { cgroup=; skip "no cgroup can be made"; }
mkdir "$work/root"
(
  echo "$BASHPID" > "$cgroup/cgroup.procs" || exit 77
  exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup \
    bash "$0" boot "$work/root"
) < /dev/null > "$work/boot" 2>&1 &
pid=$!

# Its first process, seen from here.
init=
for _ in $(seq 100); do
  init=$(tr -d ' ' < "/proc/$pid/task/$pid/children" 2> /dev/null || true)
  [ -n "$init" ] && break
  kill -0 "$pid" 2> /dev/null || skip "namespaces cannot be made: $(tail -n 1 "$work/boot")"
  sleep 0.1
done
[ -n "$init" ] || skip "namespaces cannot be made"

# Reads to the end: what it reads from would else be told that nobody does.
grep_all() {
  grep "$@" > /dev/null
}
inside() {
  nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup --root \
    env -i -C / PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    AZURE_TOKEN_CREDENTIALS=EnvironmentCredential timeout 120 "$@"
}
booted=
for _ in $(seq 150); do
  if [ "$(cat "/proc/$init/comm")" = systemd ] &&
    inside systemctl is-system-running 2> /dev/null | grep_all -E 'running|degraded'; then
    booted=yes
    break
  fi
  kill -0 "$pid" 2> /dev/null || break
  sleep 0.2
done
[ -n "$booted" ] || skip "systemd does not boot here: $(tail -n 1 "$work/boot")"

fail() {
  echo "FAIL systemd_real: $1"
  inside systemctl status --no-pager --full "$service" || true
  inside journalctl --no-pager --lines=40 || true
  exit 1
}
property() {
  inside systemctl show --property="$1" --value "$service"
}
# Waits until a command has succeeded, 20 s at most.
until_ok() {
  local what=$1
  shift
  for _ in $(seq 200); do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$what"
}
logged() {
  inside journalctl --no-pager -u "$service" | grep_all "$1"
}
is() {
  [ "$(property "$1")" = "$2" ]
}
arrived() {
  inside curl --silent --max-time 20 http://127.0.0.1:9026/api/messages | grep_all -F "$1"
}
mail() { # where, with which curl options
  local url=$1
  shift
  printf 'From: scanner@example.com\r\nTo: you@example.org\r\nSubject: %s\r\n\r\nHello\r\n' "$url" |
    inside curl --silent --show-error --max-time 20 --insecure --ssl-reqd --url "$url" \
      --user '11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-222222222222:secret' \
      --mail-from scanner@example.com --mail-rcpt you@example.org --upload-file - "$@" ||
    fail "a message to $url did not get through"
  arrived "$url" ||
    fail "a message to $url did not arrive"
}
certificate() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$1" -keyout "$work/key.pem" \
    -out "$work/cert.pem" 2> /dev/null
  inside tee /etc/smtp-oauth-relay/cert.pem < "$work/cert.pem" > /dev/null
  inside install -m 600 /dev/null /etc/smtp-oauth-relay/key.pem
  inside tee /etc/smtp-oauth-relay/key.pem < "$work/key.pem" > /dev/null
}

# An imitated cloud.
inside systemd-run --quiet --unit=cloud --setenv=SMTP_LISTEN=127.0.0.1:9025 \
  --setenv=HTTP_LISTEN=127.0.0.1:9026 --setenv=SERVER_HOSTNAME=localhost /root/relay sandbox
until_ok "the sandbox does not start" \
  inside curl --silent --fail --output /dev/null http://127.0.0.1:9026/readyz

# Installed by itself; without a certificate it says what is missing, and does not start.
said=$(inside /root/relay install-service) || fail "install-service: $said"
echo "$said" | grep_all "not started: .*cert.pem and .*key.pem are missing" ||
  fail "install-service does not tell of the missing certificate: $said"
is ActiveState inactive || fail "it runs without a certificate"
inside cmp --quiet /root/relay /usr/local/bin/smtp-oauth-relay || fail "it was not copied"

# Started all the same, it says by itself what is wrong, once, where an administrator looks.
if inside systemctl start "$service" 2> /dev/null; then fail "it starts without a certificate"; fi
is ExecMainStatus 78 || fail "status $(property ExecMainStatus) without a certificate"
property StatusText | grep_all cert.pem || fail "status text: $(property StatusText)"
is NRestarts 0 || fail "it was started again although its settings are bad"
inside journalctl --no-pager -u "$service" -t smtp-oauth-relay -p crit -o cat |
  grep_all "^CRITICAL .*cert.pem" || fail "journalctl -p crit does not show why it does not start"

certificate first
inside tee -a /etc/smtp-oauth-relay/environment > /dev/null <<- 'EOF'
	AZURE_AUTHORITY_HOST=http://127.0.0.1:9026/entra
	GRAPH_ENDPOINT=http://127.0.0.1:9026/graph
	EOF
inside mkdir -p /etc/systemd/system/$service.d
inside tee /etc/systemd/system/$service.d/test.conf > /dev/null <<- 'EOF'
	[Service]
	WatchdogSec=3
	RestartSec=1
	EOF

# Started: READY=1 was told, by a user that is nobody's, without any capability.
said=$(inside /root/relay install-service) || fail "install-service: $said"
is ActiveState active || fail "it is $(property ActiveState)"
echo "$said" | grep_all "started: Listening on \[::\]:8025" || fail "install-service says: $said"
main=$(property MainPID)
inside grep -q "^CapBnd:[[:space:]]0000000000000000$" "/proc/$main/status" || fail "it has capabilities"
[ "$(inside stat -c %u "/proc/$main")" -ge 61184 ] || fail "it has a user of the system"
mail smtp://127.0.0.1:8025
has_status() {
  property StatusText | grep_all "$1"
}
until_ok "the status line is not told anew" has_status "1 message sent"

# Its lines have priorities: an administrator who asks for warnings gets them, and nothing else.
inside curl --silent --max-time 20 --insecure --ssl-reqd --url smtp://127.0.0.1:8025 \
  --user '11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-222222222222:wrong-secret' \
  --mail-from scanner@example.com --mail-rcpt you@example.org --upload-file /etc/hosts &&
  fail "a wrong secret is accepted"
until_ok "the refused login is not logged" logged "Login refused"
journal() {
  inside journalctl --no-pager -u "$service" -t smtp-oauth-relay -o cat "$@"
}
journal > "$work/all"
journal -p warning > "$work/warnings"
for line in "INFO Message sent id=" "INFO Connection ended" "WARNING Relay started" \
  "WARNING Login refused"; do
  grep -q "^$line" "$work/all" || fail "the journal has no line \"$line\""
done
grep -v '^INFO' "$work/all" > "$work/expected"
diff "$work/expected" "$work/warnings" > "$work/diff" ||
  fail "journalctl -p warning shows something else: $(cat "$work/diff")"
grep -qvE '^(WARNING|CRITICAL) [A-Z]' "$work/warnings" && fail "there is more: $(cat "$work/warnings")"
grep -q '^[0-9]' "$work/all" && fail "lines have a time of their own"
grep -q 'WARNING Relay started .*hint=' "$work/all" && fail "the unit does not set LOG_LEVEL"

# Again: nothing is changed, nothing restarted.
said=$(inside /usr/local/bin/smtp-oauth-relay install-service) || fail "install-service: $said"
echo "$said" | grep_all "runs on: Listening on" || fail "install-service again: $said"
is MainPID "$main" || fail "a second install-service restarts it"

# Checked as the service runs: by its unit, drop-in, environment and credentials, beside it.
said=$(inside /usr/local/bin/smtp-oauth-relay check --service) || fail "check --service: $said"
echo "$said" | grep_all "^ok   service: .*$service, with .*test.conf: .*credentials cert.pem, key.pem" ||
  fail "check --service does not tell of the unit: $said"
echo "$said" | grep_all "SMTP_LISTEN.*in use by the relay that is running" ||
  fail "check --service does not know the relay: $said"
echo "$said" | grep_all 'TLS_CERT_FILEPATH "/etc/smtp-oauth-relay/cert.pem"' ||
  fail "check --service looks at another certificate: $said"

# A renewed certificate is taken by itself and without a restart; the files may stay root's alone.
serial() {
  openssl x509 -in "$work/cert.pem" -noout -serial
}
serves() {
  [ "$(inside openssl s_client -connect 127.0.0.1:8025 -starttls smtp < /dev/null 2> /dev/null |
    openssl x509 -noout -serial)" = "$1" ]
}
until_ok "it does not serve its certificate" serves "$(serial)"
certificate renewed
until_ok "a renewed certificate is not taken" serves "$(serial)"
is MainPID "$main" || fail "a renewed certificate restarts it"
logged "Certificate replaced" || fail "the new certificate is not logged"
mode=$(inside stat -L -c %a /run/smtp-oauth-relay)
[ "$mode" = 700 ] || fail "others can read the copy of the key: mode $mode"

# Reloaded: RELOADING=1, then READY=1 again; and a certificate that is new just then is taken at once.
certificate again
inside systemctl reload "$service" || fail "reload"
until_ok "a reload does not take a renewed certificate" serves "$(serial)"
until_ok "it does not come back from a reload" is ActiveState active
until_ok "the reload is not logged" logged "Reading certificates and LOOKUP_FILE again"
is MainPID "$main" || fail "a reload restarts it"

# Frozen: the watchdog notices, and it is started again.
sleep 4 # Longer than the watchdog's patience: it must have been told meanwhile.
is MainPID "$main" || fail "the watchdog ended a relay that was alive"
inside kill -STOP "$main"
until_ok "a frozen relay is not restarted" is NRestarts 1
until_ok "a frozen relay does not come back" is ActiveState active
logged "Watchdog timeout" || fail "it was not the watchdog"
mail smtp://127.0.0.1:8025

# A stop waits for a message under way, longer than its TimeoutStopSec=: the relay asks for more time.
echo TimeoutStopSec=3 | inside tee -a /etc/systemd/system/$service.d/test.conf > /dev/null
inside systemctl daemon-reload
inside curl --silent --fail --output /dev/null --header 'Content-Type: application/json' \
  --data '{"on":"sendMail","after":"take","status":202,"delay":8000}' http://127.0.0.1:9026/api/faults
mail smtp://localhost:8025 &
client=$!
until_ok "the message does not get as far as the cloud" arrived smtp://localhost:8025
inside systemctl stop "$service" || fail "stop"
is Result success || fail "the stop with a message under way: $(property Result)"
wait "$client" || fail "a message under way did not survive the stop"
inside systemctl start "$service" || fail "start"

# Stopped, in good order.
inside systemctl stop "$service" || fail "stop"
is Result success || fail "the stop's result is $(property Result)"
is ExecMainStatus 0 || fail "the stop's status is $(property ExecMainStatus)"
logged "Relay stopped" || fail "the stop is not logged"

# Its sockets: the ports below 1024, still without a capability, and open while it is restarted.
said=$(inside /usr/local/bin/smtp-oauth-relay install-service --socket-activation) ||
  fail "install-service --socket-activation: $said"
echo "$said" | grep_all "Listening on \[::\]:25, \[::\]:587, \[::\]:465" || fail "sockets: $said"
main=$(property MainPID)
inside grep -q "^CapBnd:[[:space:]]0000000000000000$" "/proc/$main/status" || fail "it has capabilities"
mail smtp://127.0.0.1:25
mail smtp://127.0.0.1:587
mail smtps://127.0.0.1:465
said=$(inside /usr/local/bin/smtp-oauth-relay check --service) || fail "check --service: $said"
echo "$said" | grep_all "smtp-oauth-relay.socket opens 25, 587 in place of SMTP_LISTEN" ||
  fail "check --service does not know the sockets: $said"
(
  # Each connection must be taken, and greeted sooner or later.
  for _ in $(seq 60); do
    # shellcheck disable=SC2016 # It is the other shell's variable.
    inside bash -c 'exec 3<> /dev/tcp/127.0.0.1/25 && read -t 10 -r line <&3 && [[ $line == 220* ]]' ||
      exit 1
  done
) &
clients=$!
inside systemctl restart "$service" || fail "restart"
[ "$(property MainPID)" != "$main" ] || fail "it was not restarted"
inside systemctl restart "$service" || fail "restart"
wait "$clients" || fail "a client was refused during a restart"
inside systemctl stop "$service" 2> /dev/null || fail "stop"
is ActiveState inactive || fail "it is $(property ActiveState) after a stop"
mail smtp://127.0.0.1:25
is ActiveState active || fail "a connection does not start it"

# Removed by the commands of the page, while clients go on connecting.
# shellcheck disable=SC2016 # They are backticks.
commands=$(sed -n '/^\*\*To remove the service/,/^```$/p' "$root/deploy/systemd/README.md" |
  sed '1,/^```sh$/d; /^```$/d')
echo "$commands" | grep_all daemon-reload || fail "the page does not say how to remove the service"
inside touch /run/connecting
(
  # shellcheck disable=SC2016 # It is the other shell's variable.
  inside bash -c 'while [ -e /run/connecting ]; do
    (exec 3<> /dev/tcp/127.0.0.1/25) 2> /dev/null || sleep 0.01
  done'
) &
clients=$!
said=$(inside bash -euc "$commands" 2>&1) || fail "removal: $said"
inside rm /run/connecting
wait "$clients" || true
is ActiveState inactive || fail "it runs after its removal: $(property ActiveState)"
said=$(inside systemctl list-units --all --plain --no-legend 'smtp-oauth-relay*')
[ -z "$said" ] || fail "units are left: $said"
said=$(inside find /etc /usr/local -name '*smtp-oauth-relay*')
[ -z "$said" ] || fail "files are left: $said"
inside test -d /var/lib/smtp-oauth-relay || fail "the queue's directory was removed"

version=$(inside systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
echo "ok systemd_real: under systemd $version installed, started, renewed, watched, reloaded, stopped, activated, removed"
