#!/bin/sh
# deploy/compose.yaml and deploy/kubernetes, as docker-compose and kubectl read them: no daemon and
# no cluster is asked. docker-compose knows its schema. kubectl builds the kustomizations, and reads
# deployment and service into its own types: a field that it does not know would be gone afterwards.
# It has no command that does so for the other kinds without a cluster.
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
  docker-compose -f "$root/deploy/compose.yaml" -f "$root/deploy/compose.queue.yaml" config \
    > "$work/compose" 2> "$work/said" || fail "docker-compose with a queue: $(cat "$work/said")"
  [ ! -s "$work/said" ] || fail "docker-compose with a queue: $(cat "$work/said")"
  for kept in 'QUEUE_URL: ' 'SMTPS_LISTEN: ' '/certs:ro' 'queue:/var/lib/smtp-oauth-relay'; do
    grep -q "$kept" "$work/compose" || fail "docker-compose with a queue lost $kept"
  done
  done="compose.yaml and compose.queue.yaml by docker-compose"
fi

# The keys of a manifest, whatever their order and indentation.
fields() {
  sed -n 's/^[ -]*\([A-Za-z][A-Za-z.\/-]*\):.*/\1/p' "$1" | sort
}

# reads KIND COMMAND…: one document of all, read and written by a command of kubectl's that has types.
reads() {
  kind=$1
  shift
  awk -v "kind=\nkind: $kind\n" 'BEGIN { RS = "---\n"; ORS = "" } index($0, kind)' \
    "$work/all" > "$work/one"
  kubectl set "$@" --local -f "$work/one" -o yaml > "$work/read" 2> "$work/said" ||
    fail "kubectl reads $kind in $folder: $(cat "$work/said")"
  grep -q "^kind: $kind\$" "$work/read" || fail "kubectl wrote no $kind in $folder"
  fields "$work/one" > "$work/before"
  fields "$work/read" > "$work/after"
  # kubectl adds some of its own.
  lost=$(comm -23 "$work/before" "$work/after")
  [ -z "$lost" ] || fail "fields of the $kind that kubectl does not know, in $folder: $lost"
}

if command -v kubectl > /dev/null; then
  for folder in base overlays/azure overlays/queue overlays/azure_queue; do
    kubectl kustomize "$root/deploy/kubernetes/$folder" > "$work/all" 2> "$work/said" ||
      fail "kubectl kustomize $folder: $(cat "$work/said")"
    [ ! -s "$work/said" ] || fail "kubectl kustomize $folder: $(cat "$work/said")"
    kind=Deployment
    [ "$folder" != overlays/queue ] || kind=StatefulSet
    reads $kind image relay=registry.example.com/other:1
    reads Service selector app.kubernetes.io/name=smtp-oauth-relay
  done
  done="${done:+$done, }kubernetes by kubectl"
fi

if [ -z "$done" ]; then
  echo "skipped: neither docker-compose nor kubectl is installed"
  exit 77
fi
echo "ok manifests: $done"
