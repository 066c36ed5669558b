#!/usr/bin/env bash
# Forge apps over HTTP, guard and journal included: deployments, invocations, apps that idle; beside a Node.js process for each invocation.
#   bench/forge/run.sh [APPS]
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${PORTCULLIS:-target/release/portcullis}
work=$(mktemp -d)
trap 'kill "$demo" 2>/dev/null || true; rm -rf "$work"' EXIT
"$program" demo --listen 127.0.0.1:18942 --data "$work/demo" >"$work/demo.log" 2>&1 &
demo=$!
until [[ -s $work/demo/card.json ]]; do sleep 0.1; kill -0 "$demo"; done
node bench/forge/run.mjs "$work/demo/card.json" "$demo" "${1:-1000}"
