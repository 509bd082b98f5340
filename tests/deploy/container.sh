#!/bin/sh
# Builds the Containerfile with buildah, and sends a message through the image.
#
# No image is pulled: both base images are stand-ins, made here of this machine's own files. The
# first is node and npm with what they need, the second the C library alone. npm inside the first
# is configured as it is outside. So this shows that the Containerfile builds, and what the image
# it makes can do; it does not show that the real base images fit.
#
# Needs root, buildah, curl, node and npm. Prints one line; exit 0 when all is well, 1 when not, 77
# where buildah is not installed. Everything is made in a directory of its own and removed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
work=
sandbox=

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
  if [ -n "$sandbox" ]; then
    kill -KILL "$(innermost "$sandbox")" 2> /dev/null || true
    wait "$sandbox" 2> /dev/null || true
  fi
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
set -- --env npm_config_globalconfig=/root/npmrc-global --env HOME=/root \
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
grep -q 'TLS_KEY_FILEPATH "certs/key.pem" cannot be read by this user (uid 65532)' "$log" ||
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

kill -TERM "$(innermost $sandbox)"
status=0
wait $sandbox || status=$?
sandbox=
[ $status -eq 0 ] || fail "the sandbox ended with $status"
grep -q 'Relay stopped' "$log" || fail "the sandbox did not stop in good order"

size=$(du -sm "$(storage mount "$container")" | cut -f 1)
storage umount "$container" > /dev/null
echo "ok container: built on stand-ins, $size MB with the C library; $version"
