#!/bin/sh
# deploy/compose.yaml and deploy/kubernetes, as docker-compose and kubectl read them: no daemon and
# no cluster is asked. docker-compose knows its schema. kubectl builds the kustomizations, and reads
# the deployment into its own types: a field that it does not know would be gone afterwards.
# Prints one line; exit 0 when all is well, 1 when not, 77 where neither tool is installed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)

fail() {
  echo "FAIL manifests: $1"
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
done=

if command -v docker-compose > /dev/null; then
  docker-compose -f "$root/deploy/compose.yaml" config > "$work/compose" 2> "$work/said" ||
    fail "docker-compose: $(cat "$work/said")"
  [ ! -s "$work/said" ] || fail "docker-compose: $(cat "$work/said")"
  grep -q 'stop_grace_period: ' "$work/compose" || fail "docker-compose lost the grace period"
  done="compose.yaml by docker-compose"
fi

# How many fields there are: lines with a key, whatever their order and indentation.
fields() {
  sed -n 's/^[ -]*\([A-Za-z][A-Za-z.\/]*\):.*/\1/p' "$1" | grep -v '^\(status\|creationTimestamp\|strategy\|resources\)$' | sort
}

if command -v kubectl > /dev/null; then
  for folder in base overlays/azure; do
    kubectl kustomize "$root/deploy/kubernetes/$folder" > "$work/all" 2> "$work/said" ||
      fail "kubectl kustomize $folder: $(cat "$work/said")"
    [ ! -s "$work/said" ] || fail "kubectl kustomize $folder: $(cat "$work/said")"
    awk 'BEGIN { RS = "---\n"; ORS = "" } /\nkind: Deployment\n/' "$work/all" > "$work/deployment"
    kubectl set image --local -f "$work/deployment" relay=registry.example.com/other:1 -o yaml \
      > "$work/read" 2> "$work/said" || fail "kubectl reads $folder: $(cat "$work/said")"
    grep -q 'image: registry.example.com/other:1' "$work/read" || fail "kubectl changed nothing"
    fields "$work/deployment" > "$work/before"
    fields "$work/read" > "$work/after"
    lost=$(diff "$work/before" "$work/after" || true)
    [ -z "$lost" ] || fail "fields of the deployment that kubectl does not know, in $folder: $lost"
  done
  done="${done:+$done, }kubernetes by kubectl"
fi

if [ -z "$done" ]; then
  echo "skipped: neither docker-compose nor kubectl is installed"
  exit 77
fi
echo "ok manifests: $done"
