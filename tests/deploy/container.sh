#!/bin/sh
# Builds the Containerfile with buildah, and sends a message through the image.
#
# No image is pulled: both base images are stand-ins, made here of this machine's own files. The
# first is node and npm with what they need, the second the C library alone. npm inside the first
# is configured as it is outside. So this shows that the Containerfile builds, and what the image
# it makes can do; it does not show that the real base images fit.
#
# Then the Python relay's documented deployments are replayed with this image: its environment, its
# mounts for docker, compose and Kubernetes, its TCP probes. buildah runs neither a daemon nor a
# cluster, and sets no limit of memory: what the relay takes at most is read from the kernel.
#
# Needs root, buildah, curl, node and npm. Prints what the image holds, and one line of result; exit
# 0 when all is well, 1 when not, 77 where buildah is not installed. Everything is made in a
# directory of its own and removed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
work=
sandbox=
serving=
# Of the build, and to be found nowhere in the image.
canary=canary-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')

if ! command -v buildah > /dev/null; then
  echo "skipped: buildah is not installed"
  exit 77
fi
for tool in curl node npm ldd openssl; do
  command -v $tool > /dev/null || {
    echo "FAIL container: $tool is needed"
    exit 1
  }
done

work=$(mktemp -d)
log=$work/log

storage() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

fail() {
  echo "FAIL container: $1"
  [ ! -s "$log" ] || tail -n 20 "$log" >&2
  exit 1
}

# The process at the end of the chain that begins with $1: buildah starts the program through
# helpers, and only the program itself ends in good order.
innermost() {
  pid=$1
  while child=$(cat /proc/[0-9]*/stat 2> /dev/null |
    sed 's/^\([0-9]*\) (.*) [A-Za-z] \([0-9]*\) .*/\2 \1/' |
    awk -v parent="$pid" '$1 == parent { print $2; exit }') && [ -n "$child" ]; do
    pid=$child
  done
  echo "$pid"
}

cleanup() {
  status=$?
  trap - EXIT INT TERM
  for process in $serving $sandbox; do
    kill -KILL "$(innermost "$process")" 2> /dev/null || true
    wait "$process" 2> /dev/null || true
  done
  storage rm --all > /dev/null 2>&1 || true
  storage rmi --all --force > /dev/null 2>&1 || true
  rm -rf "$work"
  exit $status
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Copies programs into a root file system at the places where they are, with their libraries.
copy_programs() {
  target=$1
  shift
  for program in "$@"; do
    place=$(command -v "$program")
    mkdir -p "$target$(dirname "$place")"
    cp -L "$place" "$target$place"
    copy_files "$target" $(libraries "$place")
  done
}

copy_files() {
  target=$1
  shift
  for file in "$@"; do
    mkdir -p "$target$(dirname "$file")"
    [ -e "$target$file" ] || cp -L "$file" "$target$file"
  done
}

libraries() {
  ldd "$1" 2> /dev/null | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p'
}

# Makes an image of a root file system: image_of NAME ROOT [buildah config options]
image_of() {
  name=$1
  files=$2
  shift 2
  container=$(storage from scratch)
  storage copy --quiet "$container" "$files" / > /dev/null
  [ $# -eq 0 ] || storage config "$@" "$container"
  storage commit --quiet "$container" "$name" > /dev/null
  storage rm "$container" > /dev/null
}

base_files() {
  for folder in etc tmp root proc dev usr/bin usr/sbin usr/lib usr/lib64; do
    mkdir -p "$1/$folder"
  done
  for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$1/$folder"; done
  chmod 1777 "$1/tmp"
  printf 'root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532:nonroot:/:/bin/false\n' > "$1/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' > "$1/etc/group"
}

# --- the stand-in for the build base ---

build_base=$work/build-base
base_files "$build_base"
copy_programs "$build_base" sh env node cat cp chmod ln ls mkdir mv rm sed uname
npm_home=$(npm root --global 2> /dev/null)/npm
[ -f "$npm_home/bin/npm-cli.js" ] || fail "npm is not where it says: $npm_home"
mkdir -p "$build_base/usr/local/lib/node_modules" "$build_base/usr/local/bin"
cp -R "$npm_home" "$build_base/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$build_base/usr/local/bin/npm"
# npm's configuration, whatever it is: from files, and from the environment below.
global=$(npm config get globalconfig 2> /dev/null)
user=$(npm config get userconfig 2> /dev/null)
[ ! -f "$global" ] || cp "$global" "$build_base/root/npmrc-global"
[ ! -f "$user" ] || cp "$user" "$build_base/root/.npmrc"
printf '\n; %s\n' "$canary" >> "$build_base/root/.npmrc"
set -- --env "BUILD_TOKEN=$canary" --env npm_config_globalconfig=/root/npmrc-global --env HOME=/root \
  --env "PATH=/usr/local/bin:/usr/bin:/bin:$(dirname "$(command -v node)")"
authorities=${NODE_EXTRA_CA_CERTS:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
if [ -f "$authorities" ]; then
  mkdir -p "$build_base/etc/ssl/certs"
  cp -L "$authorities" "$build_base/etc/ssl/certs/ca-certificates.crt"
  set -- "$@" --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi
for name in $(env | sed -n 's/^\(npm_config_[A-Za-z0-9_]*\)=.*/\1/p') \
  HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
  eval "value=\${$name:-}"
  case $name in
    # Paths of the machine; and inside of `npm test`, npm tells its children these.
    npm_config_globalconfig | npm_config_userconfig | npm_config_prefix | npm_config_cache | \
      npm_config_local_prefix | npm_config_global_prefix | npm_config_node_gyp | npm_config_noproxy)
      continue ;;
  esac
  [ -z "$value" ] || set -- "$@" --env "$name=$value"
done
image_of localhost/build-base "$build_base" "$@" 2> "$log" || fail "the build base cannot be made"

# --- the stand-in for the runtime base: the C library, a user, and nothing else ---

runtime_base=$work/runtime-base
base_files "$runtime_base"
for library in $(libraries "$(command -v node)"); do
  case $(basename "$library") in
    libc.so.* | ld-linux* | ld-musl*) copy_files "$runtime_base" "$library" ;;
  esac
  case $(basename "$library") in
    libc.so.6)
      for part in libpthread.so.0 libdl.so.2 libm.so.6; do
        copy_files "$runtime_base" "$(dirname "$library")/$part"
      done
      ;;
  esac
done
image_of localhost/runtime-base "$runtime_base" --user 65532 2> "$log" ||
  fail "the runtime base cannot be made"

# --- the image ---

storage bud --isolation chroot --format docker --pull=false -t localhost/relay \
  --build-arg BUILD_BASE=localhost/build-base --build-arg RUNTIME_BASE=localhost/runtime-base \
  --build-arg RELAY_BUILD_COMMIT=test-of-container "$root" > "$log" 2>&1 ||
  fail "the Containerfile cannot be built"

storage inspect --type image localhost/relay > "$work/image.json"
inspect() {
  node -p 'JSON.stringify(JSON.parse(fs.readFileSync(process.argv[1])).Docker.config[process.argv[2]])' \
    "$work/image.json" "$1"
}
expect() {
  [ "$2" = "$3" ] || fail "$1 is $2 and not $3"
}
expect "the user" "$(inspect User)" '"65532:65532"'
expect "the working directory" "$(inspect WorkingDir)" '"/usr/src/smtp-relay"'
expect "the entry point" "$(inspect Entrypoint)" '["/usr/local/bin/smtp-oauth-relay"]'
expect "the list of ports" "$(inspect ExposedPorts)" '{"8025/tcp":{},"8026/tcp":{}}'
inspect Healthcheck | grep -q '"/usr/local/bin/smtp-oauth-relay","healthcheck"' ||
  fail "the health check is $(inspect Healthcheck)"

# --- what it does ---

container=$(storage from --pull=false localhost/relay)
# The program, as the image runs it: run [options of `buildah run`] -- [arguments]
run() {
  options=
  while [ "$1" != -- ]; do
    options="$options $1"
    shift
  done
  shift
  # The options have no spaces in them.
  storage run --isolation chroot --user 65532:65532 $options "$container" \
    /usr/local/bin/smtp-oauth-relay "$@"
}

version=$(run -- version 2> "$log") || fail "version does not run"
case $version in
  "smtp-oauth-relay "*"(test-of-container)"*) ;;
  *) fail "version says: $version" ;;
esac

# A key that the image's user may not read: the relay says just that, and does not start.
mkdir "$work/certs"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost \
  -keyout "$work/certs/key.pem" -out "$work/certs/cert.pem" 2> /dev/null
chmod 755 "$work" "$work/certs"
chmod 600 "$work/certs/key.pem"
status=0
run "--volume=$work/certs:/usr/src/smtp-relay/certs:ro" -- serve > "$log" 2>&1 || status=$?
# To the letter as docs/coming_from_python_relay.md has it.
told="TLS_KEY_FILEPATH \"certs/key.pem\" cannot be read by this user (uid 65532): change the file's owner or mode"
grep -qF "$told" "$root/docs/coming_from_python_relay.md" || fail "the migration page does not have: $told"
grep -qF "smtp-oauth-relay: $told" "$log" ||
  fail "an unreadable key is not told of (status $status)"
[ $status -eq 78 ] || fail "an unreadable key ends with $status and not 78"

run --env=SMTP_LISTEN=127.0.0.1:0 --env=HTTP_LISTEN=127.0.0.1:0 -- sandbox \
  > "$work/said" 2> "$log" &
sandbox=$!
tries=0
until grep -q '^Ctrl-C ends the sandbox' "$work/said"; do
  tries=$((tries + 1))
  [ $tries -le 150 ] || fail "the sandbox does not start"
  kill -0 $sandbox 2> /dev/null || fail "the sandbox has ended"
  sleep 0.2
done
field() {
  sed -n "s/^  $1 *\([^ ]*\).*/\1/p" "$work/said"
}
inbox=$(field Inbox)
address=${inbox#http://}
run "--env=HTTP_LISTEN=${address%/}" -- healthcheck > /dev/null 2> "$log" ||
  fail "the health check says no"

printf 'From: me@example.com\r\nTo: you@example.org\r\nSubject: From a container\r\n\r\nIt works.\r\n' \
  > "$work/message"
curl --silent --show-error --max-time 20 --ssl-reqd --insecure --url "smtp://$(field 'SMTP server')" \
  --user "$(field Username):$(field Password)" --mail-from me@example.com \
  --mail-rcpt you@example.org --upload-file "$work/message" 2> "$log" ||
  fail "curl cannot send a message"
list=$(curl --silent --max-time 20 "${inbox}api/messages")
id=$(echo "$list" | sed -n 's/^\[{"id":"\([^"]*\)".*"subject":"From a container".*/\1/p')
[ -n "$id" ] || fail "the message is not in the inbox: $list"
curl --silent --max-time 20 --output "$work/raw" "${inbox}api/messages/$id/raw"
# Behind the Received field stands what was sent, octet for octet.
tail -c "$(wc -c < "$work/message")" "$work/raw" | cmp -s - "$work/message" ||
  fail "the message was changed on its way"

# --- the Python relay's deployments, with this image ---

sandbox_container=$container
send() { # SUBJECT ADDRESS
  printf 'From: me@example.com\r\nTo: you@example.org\r\nSubject: %s\r\n\r\nIt works.\r\n' "$1" \
    > "$work/message"
  curl --silent --show-error --max-time 20 --ssl-reqd --insecure --url "smtp://$2" \
    --user "$(field Username):$(field Password)" --mail-from me@example.com \
    --mail-rcpt you@example.org --upload-file "$work/message" 2> "$log"
}

# Connects and is gone without a word, as kubelet and load balancers do: by FIN and by RST.
probe() { # ADDRESS
  node -e '
    const { connect } = require("node:net");
    const [host, port] = process.argv[1].split(":");
    (async () => {
      for (let i = 0; i < 10; i++) {
        await new Promise((resolve, reject) => {
          const socket = connect(port, host, () => i % 2 ? socket.resetAndDestroy() : socket.destroy());
          socket.on("error", reject).on("close", resolve);
        });
      }
    })();
  ' "$1" 2> "$log"
}

# replay NAME MOUNT: `serve` with the original's variables and this mount; a message, probes, a stop.
replay() {
  name=$1
  container=$(storage from --pull=false localhost/relay)
  # Those of the original's compose file and ConfigMap, and of its env file.
  storage config --env LOG_LEVEL=INFO --env TLS_SOURCE=file --env REQUIRE_TLS=true \
    --env "SERVER_GREETING=Microsoft Graph SMTP OAuth Relay" --env USERNAME_DELIMITER=@ \
    --env "AZURE_AUTHORITY_HOST=${inbox}entra" --env "GRAPH_ENDPOINT=${inbox}graph" \
    --env SMTP_LISTEN=127.0.0.1:0 --env HTTP_LISTEN=127.0.0.1:0 "$container"
  # The original has no arguments: the entry point alone has to serve.
  run "--volume=$2" -- > "$work/served" 2>&1 &
  serving=$!
  tries=0
  until grep -q 'Relay started' "$work/served"; do
    tries=$((tries + 1))
    [ $tries -le 150 ] || fail "$name: the relay does not start: $(cat "$work/served")"
    kill -0 $serving 2> /dev/null || fail "$name: the relay has ended: $(cat "$work/served")"
    sleep 0.2
  done
  smtp=$(sed -n 's/.*Relay started.* smtp=\([0-9.:]*\).*/\1/p' "$work/served")
  # About the certificate of a day, and the limit of open files here.
  warnings=$(grep -c WARNING "$work/served")
  probe "$smtp" || fail "$name: the port cannot be probed"
  send "$name" "$smtp" || fail "$name: curl cannot send a message"
  curl --silent --max-time 20 "${inbox}api/messages" | grep -q "\"subject\":\"$name\"" ||
    fail "$name: the message has not arrived"
  grep -q 'INFO Message sent' "$work/served" || fail "$name: the message is not in the log"
  [ "$(grep -c WARNING "$work/served")" -eq "$warnings" ] ||
    fail "$name: probes and a message make warnings: $(grep WARNING "$work/served")"
  pid=$(innermost $serving)
  peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status")
  [ "$peak" -lt $((256 * 1024)) ] || fail "$name: $peak kB do not fit into a pod with 256Mi"
  kill -TERM "$pid"
  status=0
  wait $serving || status=$?
  serving=
  [ $status -eq 0 ] || fail "$name: the relay ended with $status"
  storage rm "$container" > /dev/null
}

# docker and compose: certs/ as it is on the machine, writable mount and all. The one change:
chown 65532 "$work/certs/key.pem"
chmod 400 "$work/certs/key.pem"
replay docker "$work/certs:/usr/src/smtp-relay/certs"

# Kubernetes: the files of a Secret are links into a folder that is exchanged as a whole, root's and
# 0644, where the manifest says nothing else.
secret=$work/secret
mkdir -p "$secret/..2026_11_24"
cp "$work/certs/cert.pem" "$work/certs/key.pem" "$secret/..2026_11_24"
chown -R 0:0 "$secret"
chmod 755 "$secret" "$secret/..2026_11_24"
chmod 644 "$secret/..2026_11_24/"*
ln -s ..2026_11_24 "$secret/..data"
ln -s ..data/cert.pem ..data/key.pem "$secret"
replay kubernetes "$secret:/usr/src/smtp-relay/certs:ro"

# --- a durable queue, in a container that is replaced by another one ---

# As a container engine makes it: a new volume gets owner and mode of the image's directory.
state=$work/state
mkdir -m 700 "$state"
chown 65532:65532 "$state"
openssl rand -base64 32 > "$work/queue.key"
chown 65532 "$work/queue.key"
chmod 400 "$work/queue.key"

# queued_relay [MORE OPTIONS]: a new container, which serves with the queue on the volume.
queued_relay() {
  container=$(storage from --pull=false localhost/relay)
  storage config --env LOG_LEVEL=INFO --env DELIVERY_MODE=queue \
    --env QUEUE_URL=sqlite:/var/lib/smtp-oauth-relay/queue.db --env QUEUE_KEY_FILE=/run/queue.key \
    --env "AZURE_AUTHORITY_HOST=${inbox}entra" --env "GRAPH_ENDPOINT=${inbox}graph" \
    --env SMTP_LISTEN=127.0.0.1:0 --env HTTP_LISTEN=off "$container"
  run "--volume=$work/certs:/usr/src/smtp-relay/certs:ro" \
    "--volume=$work/queue.key:/run/queue.key:ro" "$@" -- > "$work/served" 2>&1 &
  serving=$!
  tries=0
  until grep -q 'Relay started' "$work/served"; do
    tries=$((tries + 1))
    [ $tries -le 150 ] || fail "queue: the relay does not start: $(cat "$work/served")"
    kill -0 $serving 2> /dev/null || fail "queue: the relay has ended: $(cat "$work/served")"
    sleep 0.2
  done
  smtp=$(sed -n 's/.*Relay started.* smtp=\([0-9.:]*\).*/\1/p' "$work/served")
}

# Graph is away, and the container is killed.
curl --silent --max-time 20 --output /dev/null -H 'Content-Type: application/json' \
  -d '{"on":"sendMail","times":1000,"status":503}' "${inbox}api/faults"
queued_relay "--volume=$state:/var/lib/smtp-oauth-relay"
send "Kept in a queue" "$smtp" || fail "queue: curl cannot send a message"
# The log's lines are written some milliseconds after the reply.
for _ in {1..50}; do grep -q 'INFO Message queued' "$work/served" && break || sleep 0.1; done
grep -q 'INFO Message queued' "$work/served" || fail "queue: the message is not queued"
kill -KILL "$(innermost $serving)"
wait $serving || true
storage rm "$container" > /dev/null
curl --silent --max-time 20 --request DELETE "${inbox}api/faults"
queued_relay "--volume=$state:/var/lib/smtp-oauth-relay"
tries=0
until curl --silent --max-time 20 "${inbox}api/messages" | grep -q '"subject":"Kept in a queue"'; do
  tries=$((tries + 1))
  [ $tries -le 150 ] || fail "queue: the message has not arrived: $(cat "$work/served")"
  sleep 0.2
done
[ "$(stat -c %u "$state/queue.db")" -eq 65532 ] || fail "queue: it belongs to another user"
kill -TERM "$(innermost $serving)"
status=0
wait $serving || status=$?
serving=
[ $status -eq 0 ] || fail "queue: the relay ended with $status: $(cat "$work/served")"
storage rm "$container" > /dev/null
container=$sandbox_container

kill -TERM "$(innermost $sandbox)"
status=0
wait $sandbox || status=$?
sandbox=
[ $status -eq 0 ] || fail "the sandbox ended with $status"
grep -q 'Relay stopped' "$log" || fail "the sandbox did not stop in good order"

# --- what it holds ---

# From the image itself: the container above has had mounts, and buildah's own files.
container=$(storage from --pull=false localhost/relay)
files=$(storage mount "$container")
(cd "$files" && find . -mindepth 1 | sed 's/^\.//' | sort) > "$work/holds"
(cd "$runtime_base" && find . -mindepth 1 | sed 's/^\.//' | sort) > "$work/base-holds"
added=$(comm -23 "$work/holds" "$work/base-holds" | tr '\n' ' ')
# The directory for a queue, and the one that it is in.
state=" /var /var/lib /var/lib/smtp-oauth-relay "
expect "the directory for a queue" \
  "$(find "$files/var/lib/smtp-oauth-relay" -printf '%m %U:%G %y %P')" "755 65532:65532 d "
expect "what is added to the base" "$added" \
  "/usr/local /usr/local/bin /usr/local/bin/smtp-oauth-relay /usr/src /usr/src/smtp-relay$state"

found=$(find "$files" \( -name '*sh' -o -name busybox -o -name toybox -o -name env \) ! -type d)
[ -z "$found" ] || fail "there is a shell: $found"
# /tmp is the base's, as in the real one.
found=$(find "$files" -mindepth 1 ! -type l ! -path "$files/tmp" \
  ! -path "$files/var/lib/smtp-oauth-relay" \
  \( -perm -0002 -o -user 65532 -perm -0200 -o -group 65532 -perm -0020 \))
[ -z "$found" ] || fail "user 65532 may write to: $found"
found=$(find "$files" ! -path "$files/var/lib/smtp-oauth-relay" \( -user 65532 -o -group 65532 \))
[ -z "$found" ] || fail "user 65532 owns: $found"
found=$(find "$files" -type f -perm /6000)
[ -z "$found" ] || fail "setuid or setgid: $found"
found=$(find "$files" \( -name '*.pem' -o -name '*.key' -o -name '.npmrc' -o -name '.env' \))
[ -z "$found" ] || fail "there may be a secret in: $found"
found=$(grep -rlF "$canary" "$files" "$work/image.json" || true)
[ -z "$found" ] || fail "a secret of the build is in: $found"
variables=$(node -p \
  '(JSON.parse(fs.readFileSync(process.argv[1])).Docker.config.Env ?? []).map((line) => line.split("=")[0]).join(" ")' \
  "$work/image.json")
case $variables in
  # The image logs each message; nothing else of it is an environment of its own.
  "PATH LOG_LEVEL" | LOG_LEVEL) ;;
  *) fail "the image has variables of the build: $variables" ;;
esac

echo "what the image holds (in bytes, with the stand-in for its base):"
(cd "$files" && find . -mindepth 1 -type f -printf '  %m %U:%G %10s %P\n' | sort -k 4)
layers=$(node -p 'JSON.parse(fs.readFileSync(process.argv[1])).OCIv1.rootfs.diff_ids.length' \
  "$work/image.json")
program=$(du -m "$files/usr/local/bin/smtp-oauth-relay" | cut -f 1)
size=$(du -sm "$files" | cut -f 1)
storage umount "$container" > /dev/null
echo "ok container: built on stand-ins, $layers layers, $size MB, of which the program $program MB," \
  "peak memory $((peak / 1024)) MB; $version"
