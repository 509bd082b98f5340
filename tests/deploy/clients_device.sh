#!/bin/bash
# Replays the recipes as clients.sh does, each client as a device with a password of its own.
set -euo pipefail
exec bash "$(dirname "$0")/clients.sh" --device "$@"
