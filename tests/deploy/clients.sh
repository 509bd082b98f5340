#!/bin/bash
# Replays the recipes of docs/recipes.md with the programs that they are for: mail servers, what
# stands in for one, monitoring, libraries. Each takes its configuration or its source from the page
# as it stands there (only ids, secret and fingerprint are filled in) and sends one message. The
# sandbox, behind a relay with the README's certificate, says what arrived, from whom and for whom.
#
# Nothing of the machine is changed or used: the programs are taken from Debian's packages into a
# directory of their own, where they run in namespaces with a network that has a loopback and
# nothing else. So the ports are those of the page, and the relay's name is served there.
#
# Needs root (a container's is enough), apt-get of Debian 12, and msmtp, python3, openssl, curl,
# unshare and ip. Names of clients as arguments: only those. With --device before them, each client
# logs in as a device that has a password of its own, and no client secret. Prints one line; exit 0
# when all is well, 1 when not.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034
root=$(cd "$here/../.." && pwd)

fail() {
  echo "FAIL clients: $1"
  exit 1
}

# --- In the namespaces: see below ---
if [ "${1:-}" = --inside ]; then
  work=$2
  shift 2
  # shellcheck source=/dev/null
  . "$here/clients/replay.sh"
  replay "$@"
  exit
fi

if [ "${1:-}" = --device ]; then
  export RECIPES_FOR=device
  shift
fi
for tool in apt-get dpkg-deb msmtp python3 openssl curl unshare ip; do
  command -v "$tool" > /dev/null || fail "$tool is needed"
done
[ "$(id -u)" = 0 ] || fail "it has to be run as root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debian=$work/debian
archives=$work/cache/archives
mkdir -p "$archives/partial" "$work/lists/partial" "$work/alone" "$debian"

# With what they need, as if nothing were installed.
together=(
  base-passwd coreutils dash grep sed exim4-daemon-light monit prometheus-alertmanager libsasl2-modules
  libauthen-sasl-perl libio-socket-ssl-perl libmailtools-perl ruby git s-nail mono-mcs mono-runtime m4
  netbase libevent-2.1-7 libesmtp6 libgnutls-openssl27 libicu72 libldap-2.5-0 liblockfile1 libnsl2
  libwrap0
)
# Each of these conflicts with another.
alone=(
  opensmtpd nullmailer dma ssmtp esmtp postfix sendmail-bin sendmail-cf git-email ca-certificates-mono
)
apt() {
  apt-get -qq -y -o Debug::NoLocking=1 -o APT::Install-Recommends=0 -o APT::Sandbox::User=root \
    -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" "${lists[@]}" "$@"
}
fetch() {
  apt install --download-only "${together[@]}" && (cd "$work/alone" && apt download "${alone[@]}")
}
lists=()
if ! fetch > "$work/apt.log" 2>&1; then
  # The machine's lists are missing or old.
  lists=(-o Dir::State::lists="$work/lists")
  if ! { apt update && fetch; } > "$work/apt.log" 2>&1; then
    tail -n 5 "$work/apt.log" >&2
    fail "the packages cannot be fetched"
  fi
fi

# Into merged directories, as every Debian of today has them.
for directory in bin sbin lib lib64; do
  mkdir -p "$debian/usr/$directory"
  ln -s "usr/$directory" "$debian/$directory"
done
mkdir "$debian/run" "$debian/var"
ln -s ../run "$debian/var/run"
for package in "$archives"/*.deb "$work"/alone/*.deb; do
  name=${package##*/}
  # The one file that all of them have becomes sendmail.postfix, sendmail.nullmailer and so on.
  dpkg-deb --fsys-tarfile "$package" |
    tar -x -C "$debian" --keep-directory-symlink --transform "s#/sbin/sendmail\$#&.${name%%_*}#S" \
      --exclude=./usr/share/{doc,man,locale,zoneinfo}
done
rm -rf "$work/cache" "$work/alone"

# Whatever is started in there ends with it.
timeout 300 unshare --mount --net --uts --ipc --pid --fork --kill-child --mount-proc \
  bash "$here/clients.sh" --inside "$work" "$@"
