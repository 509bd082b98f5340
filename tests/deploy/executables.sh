#!/bin/sh
# Builds the executables of all systems, and shows that the same source gives the same octets in
# another directory, that the sums fit, and that what can run here does:
#
# - this machine's, in a root file system with nothing but the C library, certificate authorities,
#   /proc and the executable, read-only, as a user without rights, with an empty environment and without a
#   network: sandbox, healthcheck, check, serve, and a message by each of the two
# - the one for x64 on a processor without AVX, and the one for arm64, both by qemu
# - of the others, that the form of the file is right, and the signature of those for macOS
#
# Nothing is written to dist/. Needs root, an x64 Linux with glibc, npm with its registry, curl, file,
# ip, qemu-user-static and libc6-arm64-cross. Prints one line; exit 0 when all is well, 1 when not,
# 77 on another machine or where qemu is not installed. Some 2 GB of temporary files are made and removed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
name=smtp-oauth-relay
arm_libraries=/usr/aarch64-linux-gnu

if [ "${1:-}" != inside ]; then
  [ "$(uname -m)" = x86_64 ] || {
    echo "skipped: it is for x64"
    exit 77
  }
  for tool in qemu-x86_64-static qemu-aarch64-static; do
    command -v $tool > /dev/null || {
      echo "skipped: qemu-user-static is not installed"
      exit 77
    }
  done
  for tool in npm node curl file ip unshare chroot; do
    command -v $tool > /dev/null || {
      echo "FAIL executables: $tool is needed"
      exit 1
    }
  done
  [ -d $arm_libraries ] || {
    echo "FAIL executables: libc6-arm64-cross is needed"
    exit 1
  }
  work=$(mktemp -d)
else
  work=$2
fi
log=$work/log

fail() {
  echo "FAIL executables: $1"
  [ ! -s "$log" ] || tail -n 20 "$log" >&2
  exit 1
}

expect() {
  case $2 in
    $3) ;;
    *) fail "$1: $2" ;;
  esac
}

# Waits until the file $1 has a line that begins with $2, of the process $3.
wait_for() {
  tries=0
  until grep -q "^$2" "$1"; do
    tries=$((tries + 1))
    [ $tries -le 300 ] || fail "no \"$2\" in time"
    kill -0 "$3" 2> /dev/null || fail "ended before \"$2\""
    sleep 0.2
  done
}

# The value behind a name in what the sandbox says: field FILE NAME
field() {
  sed -n "s/^  $2 *\([^ ]*\).*/\1/p" "$1"
}

# A message by curl: send ADDRESS USERNAME PASSWORD SUBJECT [curl options]
send() {
  address=$1
  login=$2:$3
  printf 'From: me@example.com\r\nTo: you@example.org\r\nSubject: %s\r\n\r\nIt works.\r\n' "$4" \
    > "$work/message"
  shift 4
  curl --silent --show-error --max-time 60 --url "smtp://$address" --user "$login" \
    --mail-from me@example.com --mail-rcpt you@example.org --upload-file "$work/message" "$@" \
    2> "$log" || fail "curl cannot send a message"
}

# --- inside: namespaces of its own for the network and for mounts ---

if [ "${1:-}" = inside ]; then
  ip link set lo up
  mount --bind "$work/bare" "$work/bare"
  mount -o remount,bind,ro "$work/bare"
  # Bun finds the program by it.
  mount -t proc proc "$work/bare/proc"
  ! touch "$work/bare/file" 2> /dev/null || fail "the root file system can be written to"
  alone() {
    exec env -i "$@"
  }
  as_nobody="$(command -v chroot) --userspec=65532:65532 $work/bare /relay"
  running=
  trap 'for pid in $running; do kill -KILL $pid 2> /dev/null || true; done' EXIT

  expect "version" "$(alone $as_nobody version 2>&1)" "$name "*" (test-of-executables) on Bun "*
  status=0
  (alone $as_nobody serve) > "$log" 2>&1 || status=$?
  grep -q 'TLS_CERT_FILEPATH "certs/cert.pem" does not exist' "$log" || fail "serve without settings"
  [ $status -eq 78 ] || fail "serve without settings ends with $status and not 78"
  : > "$log"

  # On its ports by default: there is nobody else in here.
  (alone $as_nobody sandbox) > "$work/said" 2> "$log" &
  sandbox=$!
  running=$sandbox
  wait_for "$work/said" "Ctrl-C ends the sandbox" $sandbox
  user=$(field "$work/said" Username)
  password=$(field "$work/said" Password)
  inbox=http://127.0.0.1:8026
  (alone $as_nobody healthcheck) > /dev/null 2> "$log" || fail "the health check says no"
  send 127.0.0.1:8025 "$user" "$password" "From the sandbox" --ssl-reqd --insecure

  settings="TLS_SOURCE=off REQUIRE_TLS=false SMTP_LISTEN=127.0.0.1:2525 HTTP_LISTEN=127.0.0.1:2526
    AZURE_AUTHORITY_HOST=$inbox/entra GRAPH_ENDPOINT=$inbox/graph"
  (alone $settings RELAY_PASSWORD="$password" $as_nobody check --username "$user") > "$log" 2>&1 ||
    fail "check finds fault"
  (alone $settings $as_nobody serve) 2> "$work/served" &
  relay=$!
  running="$sandbox $relay"
  wait_for "$work/served" ".* Relay started" $relay
  send 127.0.0.1:2525 "$user" "$password" "From the relay"
  list=$(curl --silent --max-time 20 $inbox/api/messages)
  for subject in "From the sandbox" "From the relay"; do
    expect "the inbox has no \"$subject\"" "$list" "*\"subject\":\"$subject\"*"
  done

  for pid in $relay $sandbox; do
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    [ $status -eq 0 ] || fail "a stop ended with $status"
  done
  running=
  exit 0
fi

# --- outside ---

sandbox=
cleanup() {
  status=$?
  trap - EXIT INT TERM
  [ -z "$sandbox" ] || kill -KILL "$sandbox" 2> /dev/null || true
  rm -rf "$work"
  exit $status
}
trap cleanup EXIT
trap 'exit 1' INT TERM
chmod 755 "$work"

copy() {
  mkdir -p "$1"
  (cd "$root" && tar -cf - --exclude=./node_modules --exclude=./dist --exclude=./.git .) |
    tar -xf - -C "$1"
  # Links where it can be: there is much of it.
  cp -al "$root/node_modules" "$1/" 2> /dev/null || {
    rm -rf "$1/node_modules"
    cp -a "$root/node_modules" "$1/"
  }
}

first=$work/first
second=$work/another/and/deeper/second
copy "$first"
copy "$second"
# As it were another commit's, and in no clone at all.
export RELAY_BUILD_COMMIT=test-of-executables
(cd "$first" && npm run --silent build -- --all) > "$log" 2>&1 || fail "build --all"
(umask 077 && cd "$second" && TZ=Asia/Tokyo LC_ALL=C npm run --silent build) > "$log" 2>&1 ||
  fail "build"
: > "$log"

cd "$first/dist"
sha256sum --check --quiet SHA256SUMS > "$log" 2>&1 || fail "the sums do not fit"
[ "$(wc -l < SHA256SUMS)" -eq "$(ls | grep -cv SHA256SUMS)" ] || fail "a file has no sum"
cmp $name-linux-x64 "$second/dist/$name" > "$log" 2>&1 ||
  fail "the same source gives other octets in another directory"

form() {
  expect "$name-$1 is" "$(file --brief "$name-$1")" "$2"
}
form linux-x64 "ELF 64-bit LSB executable, x86-64*/lib64/ld-linux-x86-64.so.2*"
form linux-x64-musl "ELF 64-bit LSB executable, x86-64*/lib/ld-musl-x86_64.so.1*"
form linux-arm64 "ELF 64-bit LSB executable, ARM aarch64*/lib/ld-linux-aarch64.so.1*"
form linux-arm64-musl "ELF 64-bit LSB executable, ARM aarch64*/lib/ld-musl-aarch64.so.1*"
form darwin-x64 "Mach-O 64-bit x86_64 executable*"
form darwin-arm64 "Mach-O 64-bit arm64 executable*"
form windows-x64.exe "PE32+ executable (console) x86-64*"
for mac in darwin-x64 darwin-arm64; do
  "$root/node_modules/.bin/bun" -e '
    const { isSigned } = await import(process.argv[1]);
    process.exit(isSigned(require("node:fs").readFileSync(process.argv[2])) ? 0 : 1);
  ' "$root/scripts/build/mach_o.ts" "$PWD/$name-$mac" || fail "the signature of $name-$mac"
done

# --- this machine's, alone ---

bare=$work/bare
mkdir -p "$bare/etc/ssl/certs" "$bare/proc"
for library in $(ldd $name-linux-x64 | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p'); do
  mkdir -p "$bare$(dirname "$library")"
  cp -L "$library" "$bare$library"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$bare/etc/ssl/certs/"
cp $name-linux-x64 "$bare/relay"
unshare --mount --net sh "$root/tests/deploy/executables.sh" inside "$work" || exit 1

# --- others that run here, by qemu ---

emulated="$name * (test-of-executables) on Bun *"
expect "version on arm64" \
  "$(qemu-aarch64-static -L $arm_libraries ./$name-linux-arm64 version 2>&1)" "$emulated"
# Nehalem, of 2008: SSE4.2 and neither AVX nor AVX2.
old="qemu-x86_64-static -cpu Nehalem ./$name-linux-x64"
expect "version on an old processor" "$($old version 2>&1)" "$emulated"
env -i PATH="$PATH" SMTP_LISTEN=127.0.0.1:0 HTTP_LISTEN=127.0.0.1:0 $old sandbox \
  > "$work/said-old" 2> "$log" &
sandbox=$!
wait_for "$work/said-old" "Ctrl-C ends the sandbox" $sandbox
send "$(field "$work/said-old" 'SMTP server')" "$(field "$work/said-old" Username)" \
  "$(field "$work/said-old" Password)" "From an old processor" --ssl-reqd --insecure
kill -TERM $sandbox
status=0
wait $sandbox || status=$?
sandbox=
[ $status -eq 0 ] || fail "the sandbox on an old processor ended with $status"

echo "ok executables: $(ls $name-* | grep -c -v json) systems, the same octets in two directories;" \
  "run alone, on an old x64 and on arm64; not run: musl, macOS, Windows"
