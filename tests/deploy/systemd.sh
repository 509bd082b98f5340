#!/bin/sh
# Checks the units with systemd's own tools: their syntax, and how exposed they leave the service.
# Prints one line; exit 0 when all is well, 1 when not, 77 where the tools are not installed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
unit=smtp-oauth-relay.service
# Of 100, the most that is allowed: more means that a line of the hardening was lost.
threshold=15

fail() {
  echo "FAIL systemd: $1"
  exit 1
}

if ! command -v systemd-analyze > /dev/null; then
  echo "skipped: systemd-analyze is not installed"
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The executable need not be installed for the unit to be right: any will do in its place.
sed "s#^ExecStart=/usr/local/bin/smtp-oauth-relay#ExecStart=/bin/true#" \
  "$root/deploy/systemd/$unit" > "$work/$unit"
grep -q "^ExecStart=/bin/true serve$" "$work/$unit" || fail "ExecStart is not where it is expected"

cp "$root"/deploy/systemd/*.socket "$root"/deploy/systemd/*-certificate.* "$work/"
# It says what it does not know or cannot read on standard error, and may still exit 0.
said=$(systemd-analyze verify "$work/$unit" "$work"/*.socket "$work"/*-certificate.* 2>&1) || fail "$said"
[ -z "$said" ] || fail "$said"

report=$(systemd-analyze security --offline=true --threshold=$threshold --no-pager "$work/$unit" 2>&1) ||
  fail "$(echo "$report" | tail -n 1)"
exposure=$(echo "$report" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')

stop=$(sed -n 's/^TimeoutStopSec=//p' "$work/$unit")
[ "$stop" -gt 90 ] || fail "TimeoutStopSec=$stop does not leave SHUTDOWN_TIMEOUT its 90 s"

echo "ok systemd: the units are valid, exposure $exposure of 10"
