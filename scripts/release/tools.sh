#!/bin/sh
# Installs Debian's packages that bring programs, where the programs are not there yet:
# `sh scripts/release/tools.sh rpmbuild:rpm dpkg-deb:dpkg`. Needs root or sudo if one is missing.
set -eu

missing=
for pair in "$@"; do
  command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
echo "installing$missing"
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
$as_root apt-get update -qq
# shellcheck disable=SC2086 # several words
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing \
  > /dev/null
for pair in "$@"; do
  command -v "${pair%%:*}" > /dev/null || {
    echo "tools: ${pair%%:*} is not in ${pair#*:}" >&2
    exit 1
  }
done
