#!/bin/bash
# The packages for Windows, under Wine: the same packages twice; the host of the service with a program that
# stands in for the relay (stop, reload, crash, hanging, wrong setting, a flood of lines); and then the .msi as
# an administrator would use it, by scripts/try_msi.mjs, with the real executable.
#
# windows.sh [EXECUTABLE]: with this one for Windows, and not one that is built here
#
# Wine has the service manager, Windows Installer and the registry, but no event log, no access rights and no
# restarts of services: what it is told of these is looked at, and what they do is tried in the release alone.
# Needs Debian's packages wine64 gcc-mingw-w64-x86-64 msitools gcab zip unzip openssl, and npm with its registry.
# Exit 0 when all is well, 1 when not, 77 where it cannot be done.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
name=smtp-oauth-relay
bun=$root/node_modules/.bin/bun
here=$root/tests/deploy/windows

skip() {
  echo "skipped: $1"
  exit 77
}
[ "$(uname -m)" = x86_64 ] || skip "it is for x64"
# Debian's package has no other names for them.
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64
for program in $wine $wineserver; do
  [ -x "$program" ] || skip "wine64 is not installed"
done
for tool in x86_64-w64-mingw32-gcc msibuild msiinfo gcab zip unzip openssl node; do
  command -v $tool > /dev/null || skip "$tool is not installed"
done

work=$(mktemp -d)
export WINEPREFIX=$work/wine WINEARCH=win64 WINEDEBUG=-all
keeper=
finish() {
  if [ -n "$keeper" ]; then kill "$keeper" 2> /dev/null || true; fi
  # Ends what runs in this prefix, and nothing else.
  if [ -d "$WINEPREFIX" ]; then "$wineserver" -k || true; fi
  rm -rf "$work" 2> /dev/null || { sleep 2 && rm -rf "$work"; }
}
trap finish EXIT
fail() {
  echo "FAIL windows: $1"
  if [ -s "$work/log" ]; then tail -n 20 "$work/log" >&2; fi
  exit 1
}

# --- the packages, twice ---

mkdir "$work/from"
executable=${1:-}
if [ -z "$executable" ]; then
  # Not into dist/, which may have a release.
  mkdir "$work/build"
  (cd "$root" && tar -cf - --exclude=./node_modules --exclude=./dist --exclude=./.git .) |
    tar -xf - -C "$work/build"
  # A symbolic link would lead out of the copy. Hard links are quick, where the file system is the same.
  cp -al "$root/node_modules" "$work/build/" 2> /dev/null || {
    rm -rf "$work/build/node_modules"
    cp -a "$root/node_modules" "$work/build/"
  }
  (cd "$work/build" && "$bun" scripts/build.ts --target windows-x64) > "$work/log" 2>&1 ||
    fail "it is not built"
  executable=$work/build/dist/$name-windows-x64.exe
fi
ln -s "$(realpath "$executable")" "$work/from/$name-windows-x64.exe"
package() { # where, and more options
  local output=$work/$1
  shift
  "$bun" "$root/scripts/package.ts" windows-x64 --from "$work/from" --output "$output" "$@" \
    > "$work/log" 2>&1 || fail "npm run package"
}
package new
(umask 077 && export TZ=Asia/Tokyo LC_ALL=C TMPDIR="$work/from" && package again)
for file in "$work/again"/*; do
  cmp "$file" "$work/new/${file##*/}" || fail "the same source gives another ${file##*/}"
done
package older --uncompressed --version 0.0.1-before.1
msi=$work/new/$name-windows-x64.msi
property() {
  msiinfo export "$1" Property | tr -d '\r' | awk -v name="$2" -F '\t' '$1 == name { print $2 }'
}
older=$work/older/$name-windows-x64.msi
[ "$(property "$older" ProductVersion)" = 0.0.1 ] || fail "the older package has another version"
[ "$(property "$older" UpgradeCode)" = "$(property "$msi" UpgradeCode)" ] ||
  fail "Windows Installer would not know the older package"
[ "$(property "$older" ProductCode)" != "$(property "$msi" ProductCode)" ] ||
  fail "Windows Installer would take both packages for one"

# --- Wine ---

compile() { # what, and options
  x86_64-w64-mingw32-gcc -Os -Wall -Werror -s "$@"
}
timeout 200 "$wine" wineboot -i > /dev/null 2>&1 || fail "Wine does not start"
timeout 60 "$wine" winecfg -v win10 > /dev/null 2>&1 || fail "Wine cannot be Windows 10"
# The service manager of these two ends a little later, and must not take what is for the next one.
timeout 60 "$wineserver" -w || fail "Wine does not end"
system=$WINEPREFIX/drive_c/windows/system32
[ -e "$system/bcryptprimitives.dll" ] ||
  compile -shared -o "$system/bcryptprimitives.dll" "$here/bcryptprimitives.c" -ladvapi32
compile -o "$work/control.exe" "$here/control.c" -ladvapi32

# --- the host, with what stands in for the relay ---

programs=$WINEPREFIX/drive_c/host
data="$WINEPREFIX/drive_c/data of the relay"
mkdir -p "$programs" "$data/logs"
unzip -q -j "$work/new/$name-windows-x64.zip" "$name/$name-service.exe" -d "$programs" ||
  fail "the .zip has no host"
compile -o "$programs/$name.exe" "$here/stand_in.c"
# The service manager runs while a program does, and hands its standard error on to services.
WINEDEBUG=+eventlog "$wine" "$work/control.exe" > /dev/null 2> "$work/events" &
keeper=$!
sleep 1
sc() {
  timeout 30 "$wine" sc "$@" > "$work/log" 2>&1 || fail "sc $*: status $?"
}
state() {
  timeout 30 "$wine" sc query $name 2> /dev/null | tr -d '\r' |
    awk '$1 == "STATE" { state = $4 } $1 == "WIN32_EXIT_CODE" { error = $3 }
      $1 == "SERVICE_EXIT_CODE" { print state, error, $3 }'
}
reaches() { # state, error and code
  for _ in $(seq 60); do
    now=$(state)
    if [ "$now" = "$1" ]; then return; fi
    sleep 0.5
  done
  cp "$data/logs/relay.log" "$work/log" 2> /dev/null || true
  fail "$2: the service is at $now, and not at $1"
}
log=$data/logs/relay.log
has() {
  for _ in $(seq 20); do
    if grep -qF -- "$1" "$log" 2> /dev/null; then return; fi
    sleep 0.25
  done
  cp "$log" "$work/log"
  fail "the log has no \"$1\""
}
event() {
  for _ in $(seq 20); do
    if grep -qF -- "$1" "$work/events"; then return; fi
    sleep 0.25
  done
  cp "$work/events" "$work/log"
  fail "no event has \"$1\""
}
behave() {
  printf '%s\r\n' "$1" > "$data/relay.env"
  rm -f "$data/logs/"*
}

create() { # the folder
  sc create $name binPath= "\"C:\\host\\smtp-oauth-relay-service.exe\" \"$1\" 8192" start= demand
}
create 'C:\data of the relay'
behave well
sc start $name
reaches "RUNNING 0 0" start
# The command line, and what the relay knows its host by.
has 'argument 1: --env-file'
has 'argument 2: C:\data of the relay\relay.env'
has 'argument 3: serve'
has 'NOTIFY_SOCKET=- WATCHDOG_USEC=60000000'
event 'Relay started smtp='
# SERVICE_CONTROL_PARAMCHANGE
timeout 30 "$wine" "$work/control.exe" 6 || fail "no control for a reload"
has 'request: reload'
# SERVICE_CONTROL_PRESHUTDOWN is for the system alone: a stop takes the same way.
sc stop $name
reaches "STOPPED 0 0" stop
has 'Relay stopped'

behave 'wrong setting'
sc start $name
reaches "STOPPED 1066 78" "a wrong setting"
grep -Eq '^[0-9]{4}-[0-9T:.-]+Z CRITICAL smtp-oauth-relay: SMTP_LISTEN is wrong' "$log" ||
  fail "the log does not say when it did not start"
event 'SMTP_LISTEN is wrong'
event 'did not start, and ended with exit status 78 (a setting is wrong)'

behave crash
sc start $name
reaches "RUNNING 0 0" "before a crash"
reaches "STOPPED 1066 5" "a crash"
has 'panic: this is no line of the log'
event 'ended by itself with exit status 5'

behave hang
sc start $name
reaches "RUNNING 0 0" "before it hangs"
begun=$SECONDS
sc stop $name
reaches "STOPPED 0 0" "one that hangs"
# It has asked for 3 s.
[ $((SECONDS - begun)) -le 10 ] || fail "one that hangs is ended after $((SECONDS - begun)) s"
event 'The relay hangs, and is ended'

mv "$programs/$name.exe" "$programs/away.exe"
sc start $name
# ERROR_FILE_NOT_FOUND
reaches "STOPPED 2 0" "a relay that is missing"
event 'smtp-oauth-relay.exe cannot be started: Windows error 2'
mv "$programs/away.exe" "$programs/$name.exe"

behave leave
sc start $name
reaches "RUNNING 0 0" "before it ends"
# ERROR_PROCESS_ABORTED: a failure, although its own status is 0.
reaches "STOPPED 1067 0" "one that ends without having been asked to"

behave forge
sc start $name
reaches "RUNNING 0 0" "a line that is too long"
has 'CRITICAL Forged'
event 'Percent client=fe80::1% 1 text=% % 5%'
! grep -q 'Z CRITICAL Forged' "$work/events" || fail "the rest of a line is an event of its own"
sc stop $name
reaches "STOPPED 0 0" "after a line that is too long"

# Files of other users, which Wine tells by the owner.
if [ "$(id -u)" = 0 ]; then
  behave well
  for file in relay.env certs/planted.pem logs; do
    mkdir -p "$data/certs"
    [ -e "$data/$file" ] || touch "$data/$file"
    chown 12345 "$data/$file"
    sc start $name
    reaches "STOPPED 1066 78" "another user's $file"
    event "${file##*/} belongs to S-1-5-"
    status=0
    timeout 30 "$wine" 'C:\host\smtp-oauth-relay-service.exe' --check 'C:\data of the relay' \
      > "$work/log" 2> /dev/null || status=$?
    if [ $status -ne 1 ] || ! grep -q 'belongs to S-1-5-' "$work/log"; then
      fail "--check ends with $status for another user's $file"
    fi
    chown 0 "$data/$file"
  done
fi
timeout 30 "$wine" 'C:\host\smtp-oauth-relay-service.exe' --check 'C:\data of the relay' ||
  fail "--check finds something in data that are all ours"

# Paths that Windows could not open.
sc delete $name
create "C:\\$(printf '%0250d' 0)"
sc start $name
# ERROR_FILENAME_EXCED_RANGE
reaches "STOPPED 206 0" "a folder with a long path"
sc delete $name
create 'C:\data of the relay'

before=$(wc -l < "$work/events")
behave flood
sc start $name
reaches "RUNNING 0 0" "a flood"
has 'Not a line of text'
sc stop $name
reaches "STOPPED 0 0" "after a flood"
# The newest lines, in files of 8 KiB.
for file in relay.log relay.log.1 relay.log.2 relay.log.3 relay.log.4; do
  size=$(stat -c %s "$data/logs/$file") || fail "$file is missing"
  [ "$size" -le 8192 ] || fail "$file has $size octets"
done
[ "$(find "$data/logs" -type f | wc -l)" -eq 5 ] || fail "more than five files of the log"
cat "$data/logs/relay.log".{4,3,2,1} "$log" | tr -d '\r' | grep -o 'number=[0-9]*' > "$work/numbers"
sort -c "$work/numbers" || fail "the log is out of order"
[ "$(tail -n 1 "$work/numbers")" = number=1000 ] || fail "the newest lines are missing"
[ "$(uniq "$work/numbers" | wc -l)" -eq "$(wc -l < "$work/numbers")" ] || fail "lines are there twice"
events=$(tail -n +"$((before + 1))" "$work/events" | grep -c 'Login refused') || true
[ "$events" -eq 100 ] || fail "a flood has made $events events"
event 'More than 100 warnings and errors within an hour'

# It says that it is ready, and nothing more: its watchdog has 60 s.
behave silent
sc start $name
reaches "RUNNING 0 0" "before it is silent"
sleep 55
reaches "RUNNING 0 0" "one that is silent for less than a minute"
reaches "STOPPED 1066 1" "one that is silent"

# The host is killed, and the relay with it: its ports have to be free for the next start.
behave well
sc start $name
reaches "RUNNING 0 0" "before the host is killed"
pid=$(pgrep -f 'host.smtp-oauth-relay-service.exe' | head -n 1)
kill -KILL "$pid"
for _ in $(seq 40); do
  pgrep -f 'host.smtp-oauth-relay.exe' > /dev/null || break
  sleep 0.25
done
! pgrep -f 'host.smtp-oauth-relay.exe' > /dev/null || fail "the relay goes on without its host"
sc delete $name

# --- the .msi, with the executable ---

WINE=$wine node "$root/scripts/try_msi.mjs" "$msi" "$older" > "$work/log" 2>&1 ||
  fail "scripts/try_msi.mjs"
[ "$(grep -c '^ok ' "$work/log")" -eq 8 ] || fail "scripts/try_msi.mjs has left something out"

# --- install-service, with what stands in for programs that Wine does not have in full ---

mkdir "$WINEPREFIX/drive_c/new"
unzip -q -j "$work/new/$name-windows-x64.zip" -d "$WINEPREFIX/drive_c/new"
compile -o "$work/recorder.exe" "$here/recorder.c"
for program in sc reg icacls whoami; do
  rm -f "$system/$program.exe"
  cp "$work/recorder.exe" "$system/$program.exe"
done
rm -rf "$WINEPREFIX/drive_c/ProgramData/$name"
install_service() {
  WINEDLLOVERRIDES='sc.exe,reg.exe,icacls.exe,whoami.exe=n' timeout 60 \
    "$wine" 'C:\new\smtp-oauth-relay.exe' install-service "$@" 2>&1 | tr -d '\r'
}
install_service --print > "$work/plan"
install_service > "$work/log" || true
grep -q 'not started: .*cert.pem and .*key.pem are missing' "$work/log" || fail "install-service"
for file in "Program Files/$name/$name.exe" "Program Files/$name/$name-service.exe" \
  "ProgramData/$name/relay.env" "ProgramData/$name/certs" "ProgramData/$name/queue"; do
  [ -e "$WINEPREFIX/drive_c/$file" ] || fail "install-service has not made $file"
done
recorded=$WINEPREFIX/drive_c/recorded.txt
cp "$recorded" "$work/log"
# In one piece, with its quotes.
tr -d '\r' < "$recorded" | grep -A 1 -x 'binPath=' | grep -qFx \
  '"C:\Program Files\smtp-oauth-relay\smtp-oauth-relay-service.exe" "C:\ProgramData\smtp-oauth-relay"' ||
  fail "sc.exe gets another binPath="
tr -d '\r' < "$recorded" | grep -qFx 'NT SERVICE\smtp-oauth-relay' || fail "sc.exe gets no account"
# Each command that is printed was run, and no other but questions.
printed=$(grep -cE '^(sc|reg|icacls)\.exe ' "$work/plan")
asked=$(grep -cE '^(query|/groups)' "$recorded")
started=$(grep -c '^> ' "$recorded")
# The start is printed, and waits for a certificate.
[ $((started - asked)) -eq $((printed - 1)) ] || fail "$printed are printed, $started run, $asked ask"

echo "ok windows: packages twice the same; service and .msi under $("$wine" --version)"
