#!/bin/bash
# The packages, as those who install them see them. In a bare Debian (mmdebstrap) the .deb is installed
# by apt; in another one, whose distribution is imitated by an empty package with what the .rpm needs,
# the .rpm is installed by rpm. In each systemd is booted, in namespaces of its own, and then: the
# service is configured, started, sends a message to an imitated cloud, is upgraded from an older
# package, and removed; on Debian from a repository, and changed over from install-service, too. Before
# that: the same packages twice, lintian, man page and completions.
#
# packages.sh [DIRECTORY]: of the packages in there, and not of dist/smtp-oauth-relay
#
# Needs root, an x64 machine, and Debian's packages: mmdebstrap rpm lintian mandoc zsh fish apt-utils
# createrepo-c gnupg curl openssl iproute2. Exit 0 when all is well, 1 when not, 77 where it cannot be done.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
name=smtp-oauth-relay
service=$name.service
configuration=/etc/$name
bun=$root/node_modules/.bin/bun

# The second half of the way in: the first program in its namespaces, which becomes the systemd of a
# root file system. What else it sees of the machine, it cannot write.
if [ "${1:-}" = boot ]; then
  new=$2
  mount --make-rprivate /
  mount --bind "$new" "$new"
  # Nothing that speaks to the kernel for the whole machine: no kernel settings, devices, mounts.
  for target in sysinit local-fs; do
    wants=$new/usr/lib/systemd/system/$target.target.wants
    if [ -d "$wants" ]; then mount -t tmpfs tmpfs "$wants"; fi
  done
  mount -t proc proc "$new/proc"
  mount --bind "$new/proc/sys" "$new/proc/sys"
  mount -o remount,bind,ro "$new/proc/sys"
  mount -t sysfs -o ro sysfs "$new/sys"
  mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$new/dev"
  mkdir -p "$new/dev/shm" "$new/dev/pts" "$new/old"
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
  exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=multi-user.target --log-target=journal --show-status=no
fi

skip() {
  echo "skipped: $1"
  exit 77
}
for tool in dpkg-deb rpmbuild mmdebstrap lintian mandoc zsh fish apt-ftparchive createrepo_c gpg \
  curl openssl ip unshare nsenter; do
  command -v "$tool" > /dev/null || skip "$tool is not installed"
done
[ "$(id -u)" = 0 ] || skip "only root can make a root file system"
[ "$(dpkg --print-architecture)" = amd64 ] || skip "it is for x64"
executable=$root/dist/$name
[ -x "$executable" ] || skip "dist/$name is missing: npm run build"
sources=
for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
  if [ -s "$file" ]; then sources=$file && break; fi
done
[ -n "$sources" ] || skip "apt of this machine has no list of Debian's packages"

work=$(mktemp -d)
pid=
cgroup=
stop_system() {
  [ -z "$pid" ] || kill -KILL "$pid" 2> /dev/null || true
  [ -z "$pid" ] || wait "$pid" 2> /dev/null || true
  pid=
  if [ -n "$cgroup" ]; then
    for _ in $(seq 50); do
      find "$cgroup" -depth -type d -exec rmdir {} + 2> /dev/null || true
      [ -d "$cgroup" ] || break
      sleep 0.1
    done
  fi
  cgroup=
}
# shellcheck disable=SC2317,SC2329 # Called by the trap.
clean() {
  stop_system
  rm -rf "$work"
}
trap clean EXIT

begun=$SECONDS
system=
fail() {
  echo "FAIL packages: $1"
  if [ -n "$pid" ]; then
    inside systemctl status --no-pager --full "$service" || true
    inside journalctl --no-pager --lines=40 || true
  fi
  exit 1
}
# Reads to the end: what it reads from would else be told that nobody does.
grep_all() {
  grep "$@" > /dev/null
}

# --- the packages ---

mkdir "$work/from"
ln -s "$executable" "$work/from/$name-linux-x64"
# Its octets do not matter to a package.
ln -s "$executable" "$work/from/$name-linux-arm64"
package() { # where, and more options
  local output=$work/$1
  shift
  "$bun" "$root/scripts/package.ts" --from "$work/from" --output "$output" --uncompressed "$@" \
    > "$work/log" 2>&1 || fail "npm run package: $(cat "$work/log")"
}
package old --version 0.0.1-before.1 linux-x64
# A pre-release: a tilde in the version, and none in the names of the files.
(cd "$work/old" && sha256sum -- * > "$work/sums" && mv "$work/sums" SHA256SUMS)
node "$root/scripts/release/sums.mjs" "$work/old" > "$work/log" 2>&1 ||
  fail "a release would not take a pre-release's packages: $(cat "$work/log")"
[ "$(dpkg-deb -f "$work"/old/*.deb Version)" = 0.0.1~before.1-1 ] ||
  fail "the .deb of a pre-release has no tilde in its version"
# rpm replaces settings only where the package's own have changed, too.
echo "# Of another version." > "$work/settings"
package older --version 0.0.1-before.1 --settings "$work/settings" linux-x64
if [ -n "${1:-}" ]; then
  new=$(cd "$1" && pwd)
else
  new=$work/new
  package new linux-x64 linux-arm64
  # In another directory, time zone, language and with another mask.
  (umask 077 && export TZ=Asia/Tokyo LC_ALL=C TMPDIR="$work/from" && package again linux-x64)
  for file in "$work/again"/*; do
    cmp "$file" "$new/${file##*/}" || fail "the same source gives another ${file##*/}"
  done
  for file in "$new"/*_arm64.deb "$new"/*.aarch64.rpm; do
    [ -f "$file" ] || fail "there is no package for arm64"
  done
  [ "$(dpkg-deb -f "$new"/*_arm64.deb Architecture)" = arm64 ] || fail "the .deb is not for arm64"
  [ "$(rpm -qp --queryformat '%{ARCH}' "$new"/*.aarch64.rpm)" = aarch64 ] ||
    fail "the .rpm is not for arm64"
fi
deb=$(echo "$new"/*_amd64.deb)
rpm=$(echo "$new"/*.x86_64.rpm)
old_deb=$(echo "$work"/old/*.deb)
old_rpm=$(echo "$work"/older/*.rpm)
dpkg --compare-versions "$(dpkg-deb -f "$old_deb" Version)" lt "$(dpkg-deb -f "$deb" Version)" ||
  fail "the older .deb is no older one"

said=$(lintian --allow-root --fail-on error,warning \
  --suppress-tags uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball \
  "$deb" 2>&1) || fail "lintian: $said"

dpkg-deb -x "$deb" "$work/tree"
share=$work/tree/usr/share
gunzip --stdout "$share/man/man1/$name.1.gz" > "$work/$name.1"
said=$(mandoc -T lint -W warning "$work/$name.1") || fail "the man page: $said"
mandoc -T ascii "$work/$name.1" | sed 's/.\x08//g' | grep_all "$name check --service" ||
  fail "the man page has no example"
"$share/doc/$name/deploy/entra/setup.sh" --help | grep_all 'setup.sh --mailbox ADDRESS' ||
  fail "the script for Entra ID is not there"

completes() { # shell, what it completes, words that it must offer
  local shell=$1 line=$2 offered
  shift 2
  case $shell in
    bash)
      offered=$(bash -c '
        source "$1"
        read -ra COMP_WORDS <<< "$2"
        [[ $2 != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _smtp_oauth_relay 2> /dev/null
        printf "%s\n" "${COMPREPLY[@]}"' - "$share/bash-completion/completions/$name" "$line")
      ;;
    fish)
      offered=$(HOME=$work fish --no-config -c "source $share/fish/vendor_completions.d/$name.fish
        complete -C '$line'" | cut -f 1)
      ;;
    zsh)
      HOME=$work timeout 30 zsh -f "$root/tests/deploy/complete.zsh" "$share/zsh/vendor-completions" \
        "$work/zcompdump" "$line" "$@" || fail "zsh does not complete \"$line\" by $*"
      return
      ;;
  esac
  for word; do
    grep -qxF -e "$word" <<< "$offered" || fail "$shell does not complete \"$line\" by $word: $offered"
  done
}
for shell in bash fish zsh; do
  completes $shell "$name " serve check install-service
  completes $shell "$name lookup " list set-password
  completes $shell "$name check --" --username --password-file --service
done
(cd "$work/from" && completes bash "$name check --password-file " "$name-linux-x64")

# --- a repository ---

export GNUPGHOME=$work/keys
mkdir -m 700 "$GNUPGHOME" "$work/for_repository"
gpg --batch --quiet --passphrase '' --quick-generate-key relay@example.com ed25519 sign 2> "$work/log" ||
  fail "gpg: $(cat "$work/log")"
ln "$deb" "$rpm" "$work/for_repository/" 2> /dev/null || cp "$deb" "$rpm" "$work/for_repository/"
sh "$root/scripts/package/repository.sh" "$work/for_repository" "$work/repository" relay@example.com \
  > "$work/log" 2>&1 || fail "the repository: $(cat "$work/log")"
gpgconf --kill all
gpg --verify "$work"/repository/rpm/repodata/repomd.xml.asc \
  "$work/repository/rpm/repodata/repomd.xml" 2> "$work/log" || fail "repomd.xml: $(cat "$work/log")"
gunzip --stdout "$work"/repository/rpm/repodata/*-primary.xml.gz |
  grep_all "<location href=\"${rpm##*/}\"/>" || fail "the .rpm is not in its repository"

# --- a bare Debian, and one that rpm takes for its own ---

release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mmdebstrap --quiet --variant=minbase "$release" "$work/bare" "$sources" \
  > "$work/log" 2>&1 || skip "a bare Debian cannot be made: $(tail -n 1 "$work/log")"
in_root() { # a command, with systemd not running
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    chroot "$system" "$@"
}
system=$work/bare
bare=$SECONDS
in_root apt-get update --quiet > "$work/log" 2>&1 || skip "apt-get update: $(tail -n 1 "$work/log")"
cp -a "$work/bare" "$work/rpm_root"
mv "$work/bare" "$work/deb_root"
cp "$old_deb" "$work/deb_root/root/old.deb"
cp "$deb" "$work/deb_root/root/new.deb"
cp "$work/tree/usr/bin/$name" "$work/deb_root/root/relay"
mkdir -p "$work/deb_root/etc/apt/keyrings" "$work/deb_root/srv"
mv "$work/repository" "$work/deb_root/srv/repository"
cp "$work/deb_root/srv/repository/key.asc" "$work/deb_root/etc/apt/keyrings/$name.asc"
cp "$old_rpm" "$work/rpm_root/root/old.rpm"
cp "$rpm" "$work/rpm_root/root/new.rpm"

# (--force-debian: Debian's rpm warns where it is not meant for the system.)
# Seen from rpm, a distribution that has what the relay's package needs.
cat > "$work/distribution.spec" <<- 'EOF'
	Name: distribution
	Version: 1
	Release: 1
	Summary: What the package needs
	License: MIT
	BuildArch: noarch
	Provides: libc.so.6(GLIBC_2.17)(64bit)
	Provides: systemd = 252
	Provides: /bin/sh
	%description
	%files
EOF
rpmbuild -bb --quiet --define "_topdir $work/distribution" "$work/distribution.spec" > "$work/log" 2>&1 ||
  fail "the imitated distribution: $(cat "$work/log")"

# What an installation has left, before systemd runs.
expect_installed() {
  grep_all "^$name:[^:]*:[0-9]*:[0-9]*:[^:]*:/var/lib/$name:/usr/sbin/nologin" "$system/etc/passwd" ||
    fail "there is no user"
  [ "$(stat -c '%a %U %G' "$system$configuration/environment")" = "640 root root" ] ||
    fail "the settings: $(stat -c '%a %U %G' "$system$configuration/environment")"
  if find "$system/etc/systemd/system" -name "$name*" | grep .; then fail "the service is enabled"; fi
  local said
  said=$(in_root systemd-analyze verify --man=no "$service" $name.socket $name-smtps.socket \
    $name-certificate.path 2>&1) || fail "the units: $said"
  [ -z "$said" ] || fail "the units: $said"
  said=$(in_root systemd-analyze security --offline=true --threshold=15 --no-pager \
    "/usr/lib/systemd/system/$service" 2>&1) || fail "the unit: $(tail -n 1 <<< "$said")"
}

system=$work/deb_root
said=$(in_root apt-get install --yes --quiet --no-install-recommends /root/old.deb 2>&1) ||
  fail "apt-get install: $said"
grep_all "^$name: put cert.pem and key.pem .* then: systemctl enable --now $name$" <<< "$said" ||
  fail "it is not said what is to be done: $said"
expect_installed

system=$work/rpm_root
by_rpm=-$SECONDS
cp "$work"/distribution/RPMS/noarch/*.rpm "$system/root/distribution.rpm"
said=$(in_root apt-get install --yes --quiet --no-install-recommends systemd rpm 2>&1) ||
  fail "apt-get install systemd rpm: $said"
said=$(in_root rpm --force-debian -i /root/old.rpm 2>&1) && fail "it has no dependencies"
grep_all "libc.so.6(GLIBC_2.17)(64bit) is needed" <<< "$said" || fail "its dependencies: $said"
in_root rpm --force-debian -i /root/distribution.rpm || fail "the imitated distribution"
said=$(in_root rpm --force-debian -i /root/old.rpm 2>&1) || fail "rpm -i: $said"
grep_all "^$name: put cert.pem and key.pem .* then: systemctl enable --now $name$" <<< "$said" ||
  fail "it is not said what is to be done: $said"
in_root rpm --force-debian -V $name || fail "rpm -V"
expect_installed
((by_rpm += SECONDS)) || true

# --- each under its systemd ---

start_system() {
  local mounted init=
  mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  [ -n "$mounted" ] || skip "there are no cgroups of version 2"
  cgroup=$mounted/relay-packages-$$
  mkdir "$cgroup" 2> /dev/null || { cgroup=; skip "no cgroup can be made"; }
  echo 127.0.0.1 localhost > "$system/etc/hosts"
  tr -d - < /proc/sys/kernel/random/uuid > "$system/etc/machine-id"
  (
    echo "$BASHPID" > "$cgroup/cgroup.procs" || exit 77
    exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup \
      bash "$0" boot "$system"
  ) < /dev/null > "$work/boot" 2>&1 &
  pid=$!
  for _ in $(seq 300); do
    kill -0 "$pid" 2> /dev/null || break
    # Its first process, seen from here.
    init=$(tr -d ' ' < "/proc/$pid/task/$pid/children" 2> /dev/null || true)
    first=$init
    if [ -n "$init" ] && [ "$(cat "/proc/$init/comm")" = systemd ] &&
      inside systemctl is-system-running 2> /dev/null | grep_all -E 'running|degraded'; then
      nsenter --target "$init" --net ip link set lo up
      return
    fi
    sleep 0.1
  done
  skip "systemd does not boot here: $(tail -n 1 "$work/boot")"
}
inside() {
  nsenter --target "$first" --mount --uts --ipc --net --pid --cgroup --root \
    env -i -C / PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    AZURE_TOKEN_CREDENTIALS=EnvironmentCredential timeout 120 "$@"
}
# This machine's curl, in their network.
curl_inside() {
  nsenter --target "$first" --net curl --silent --show-error --max-time 20 "$@"
}
property() {
  inside systemctl show --property="$1" --value "$service"
}
is() {
  [ "$(property "$1")" = "$2" ]
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
arrived() {
  curl_inside http://127.0.0.1:9026/api/messages | grep_all -F "\"subject\":\"$1\""
}
mail() { # subject
  printf 'From: scanner@example.com\r\nTo: you@example.org\r\nSubject: %s\r\n\r\nHello\r\n' "$1" |
    curl_inside --insecure --ssl-reqd --url smtp://127.0.0.1:8025 \
      --user '11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-222222222222:secret' \
      --mail-from scanner@example.com --mail-rcpt you@example.org --upload-file - ||
    fail "the message \"$1\" did not get through"
  arrived "$1" || fail "the message \"$1\" did not arrive"
}
settings_kept() {
  inside grep -q '^SERVER_HOSTNAME=relay.example.com$' "$1" || fail "the settings are lost: $1"
}

# From a package that was just installed to the service's first message.
configure_and_send() {
  is ActiveState inactive || fail "it was started without being configured"
  is UnitFileState disabled || fail "it is enabled: $(property UnitFileState)"
  inside systemd-run --quiet --unit=cloud --setenv=SMTP_LISTEN=127.0.0.1:9025 \
    --setenv=HTTP_LISTEN=127.0.0.1:9026 --setenv=SERVER_HOSTNAME=localhost $name sandbox
  until_ok "the sandbox does not start" curl_inside --fail http://127.0.0.1:9026/readyz
  local status=0 said
  said=$(inside $name install-service 2>&1) || status=$?
  [ $status = 69 ] || fail "install-service beside the package ends with $status: $said"
  grep_all "machine with the relay's package.*systemctl enable --now $name$" <<< "$said" ||
    fail "install-service beside the package: $said"

  configure
  inside systemctl enable --now $name 2> /dev/null || fail "it does not start"
  mail "first"
  is User $name || fail "it does not run as the package's user"
  main=$(property MainPID)
  inside stat -c %U "/proc/$main" | grep_all -x $name || fail "another user runs it"
  inside stat -c '%U %a' /var/lib/$name | grep_all -x "$name 700" || fail "the state directory"
  inside touch /var/lib/$name/queue.db
  said=$(inside $name check --service) || fail "check --service: $said"
}
configure() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=relay.example.com \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2> /dev/null
  inside tee $configuration/cert.pem < "$work/cert.pem" > /dev/null
  inside install -m 600 /dev/null $configuration/key.pem
  inside tee $configuration/key.pem < "$work/key.pem" > /dev/null
  inside tee -a $configuration/environment > /dev/null <<- 'EOF'
		SERVER_HOSTNAME=relay.example.com
		AZURE_AUTHORITY_HOST=http://127.0.0.1:9026/entra
		GRAPH_ENDPOINT=http://127.0.0.1:9026/graph
	EOF
}

# It ran, so it was restarted with the new version; its settings are as they were.
expect_upgraded() {
  is ActiveState active || fail "it does not run after the upgrade"
  [ "$(property MainPID)" != "$main" ] || fail "the upgrade did not restart it"
  inside readlink "/proc/$(property MainPID)/exe" | grep_all -x "/usr/bin/$name" ||
    fail "the old executable runs on"
  settings_kept $configuration/environment
  mail "after the upgrade"
}
expect_removed() {
  is ActiveState inactive || fail "it runs after its removal"
  inside test ! -e /usr/bin/$name || fail "the executable is left"
  inside test -e /var/lib/$name/queue.db || fail "the queue was removed"
}

system=$work/deb_root
start_system
configure_and_send
by_deb=$((SECONDS - bare - by_rpm))
# As the page has it, but for the address; the network has none.
echo "deb [signed-by=/etc/apt/keyrings/$name.asc] file:/srv/repository/deb ./" |
  inside tee /etc/apt/sources.list.d/$name.list > /dev/null
said=$(inside apt-get update --quiet -o Dir::Etc::sourcelist=sources.list.d/$name.list \
  -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 2>&1) || fail "apt-get update: $said"
said=$(inside apt-get install --yes --quiet $name 2>&1) || fail "the upgrade: $said"
# shellcheck disable=SC2016 # It is dpkg-query's.
[ "$(inside dpkg-query --show --showformat='${Version}' $name)" = "$(dpkg-deb -f "$deb" Version)" ] ||
  fail "apt does not see the newer version in the repository: $said"
expect_upgraded
if inside find $configuration -name 'environment?*' | grep .; then fail "settings beside the settings"; fi
# What was stopped stays stopped.
inside systemctl stop $name
inside dpkg -i /root/new.deb > /dev/null 2>&1 || fail "once more"
is ActiveState inactive || fail "an upgrade starts what was stopped"
inside systemctl start $name $name.socket $name-smtps.socket 2> /dev/null ||
  inside systemctl start $name
said=$(inside apt-get remove --yes --quiet $name 2>&1) || fail "apt-get remove: $said"
expect_removed
settings_kept $configuration/environment
inside dpkg -i /root/new.deb > /dev/null 2>&1 || fail "installed again"
is UnitFileState enabled || fail "it was enabled, and is not after it was installed again"
is ActiveState inactive || fail "it was started without a question"
# Beside units of install-service, it says so, and a purge keeps what they need.
echo "# not the package's" | inside tee /etc/systemd/system/$service > /dev/null
said=$(inside apt-get purge --yes --quiet $name 2>&1) || fail "apt-get purge: $said"
settings=$(inside ls $configuration)
[[ $settings == *key.pem* ]] || fail "a purge takes from install-service what it needs"
inside rm /etc/systemd/system/$service
inside dpkg -i /root/new.deb > /dev/null 2>&1 || fail "installed again"
said=$(inside apt-get purge --yes --quiet $name 2>&1) || fail "apt-get purge: $said"
inside test ! -e $configuration -a ! -e /var/lib/$name || fail "a purge leaves settings or queue"
inside rm /etc/apt/sources.list.d/$name.list /etc/apt/keyrings/$name.asc
left=$(inside find / -xdev -name "*$name*" -not -path '/proc/*' -not -path '/root/*' \
  -not -path '/srv/*' -not -path '/var/log/*' -not -path '/var/lib/apt/*')
[ -z "$left" ] || fail "a purge leaves $left"

# Changed over from install-service as the page says: settings, certificate and queue stay.
inside mkdir $configuration
configure
said=$(inside /root/relay install-service) || fail "install-service: $said"
mail "by install-service"
# shellcheck disable=SC2016 # It is the other shell's.
inside sh -c 'touch "$1/queue.db" && chown --reference="$1" "$1/queue.db"' - /var/lib/private/$name
# shellcheck disable=SC2016 # They are backticks.
sed -n '/^## Change over/,/^## Build/ s/^   //p' "$root/docs/packages.md" |
  sed -n '/^```sh$/,/^```$/ { /^```/d; p }' > "$work/change_over"
grep_all "^rm /usr/local/bin/$name" "$work/change_over" || fail "docs/packages.md has no commands"
inside sh < "$work/change_over" > "$work/log" 2>&1 || fail "the commands of the page: $(cat "$work/log")"
said=$(inside apt-get install --yes --quiet -o Dpkg::Options::=--force-confold /root/new.deb 2>&1) ||
  fail "changing over: $said"
inside systemctl enable --now $name 2> /dev/null || fail "it does not start after changing over"
mail "changed over"
is FragmentPath "/lib/systemd/system/$service" || is FragmentPath "/usr/lib/systemd/system/$service" ||
  fail "the unit is $(property FragmentPath)"
inside stat -c '%U' /var/lib/$name/queue.db | grep_all -x $name || fail "the queue belongs to another"
stop_system

system=$work/rpm_root
((by_rpm -= SECONDS)) || true
start_system
configure_and_send
((by_rpm += SECONDS)) || true
said=$(inside rpm --force-debian -U /root/new.rpm 2>&1) || fail "rpm -U: $said"
[[ $said == "warning: $configuration/environment created as $configuration/environment.rpmnew" ]] ||
  fail "rpm -U says $said"
expect_upgraded
said=$(inside rpm --force-debian -e $name 2>&1) || fail "rpm -e: $said"
expect_removed
settings_kept $configuration/environment.rpmsave
if inside find /etc/systemd/system -name "$name*" | grep .; then fail "an erased service is enabled"; fi
stop_system

echo "ok packages: the same twice, lintian is content; as .deb and .rpm installed, configured, sent," \
  "upgraded, removed; from a bare system to the first message: by apt $by_deb s, by rpm" \
  "$by_rpm s, all $((SECONDS - begun)) s"
