#!/bin/sh
# Checks the shell scripts that users and releases run with ShellCheck. Prints one line; exit 0 when all is well,
# 1 when not, 77 where it is not installed.
set -eu

cd "$(dirname "$0")/../.."
if ! command -v shellcheck > /dev/null; then
  echo "skipped: shellcheck is not installed"
  exit 77
fi
shellcheck deploy/entra/setup.sh tests/support/azure_cli.bash scripts/package/repository.sh \
  deploy/packages/debian/postinst deploy/packages/debian/prerm deploy/packages/debian/postrm || {
  echo "FAIL shellcheck"
  exit 1
}
echo "ok shellcheck: nothing to find fault with"
