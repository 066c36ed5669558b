#!/usr/bin/env bash
# Webhook deliveries to a sink on this machine, beside a bare loop of the same requests.
#   bench/webhooks/run.sh [CHANGES] [WEBHOOKS]
set -euo pipefail
cd "$(dirname "$0")/../.."
changes=${1:-300} webhooks=${2:-100}
program=${PORTCULLIS:-target/release/portcullis}
work=$(mktemp -d)
trap 'kill "$demo" 2>/dev/null || true; rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=$PWD/bench/target
(cd bench && cargo build --quiet --release -p bench-webhooks)
"$program" demo --listen 127.0.0.1:18941 --data "$work/demo" >"$work/demo.log" 2>&1 &
demo=$!
until [[ -s $work/demo/card.json ]]; do sleep 0.1; kill -0 "$demo"; done
"$CARGO_TARGET_DIR/release/bench-webhooks" "$work/demo/card.json" "$demo" "$changes" "$webhooks"
