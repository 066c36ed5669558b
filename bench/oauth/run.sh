#!/usr/bin/env bash
# Refreshes and client credentials beside npm `oidc-provider`, all over loopback with the same load, one after the other.
#   bench/oauth/run.sh [SECONDS] [CLIENTS]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10} clients=${2:-64}
program=${PORTCULLIS:-target/release/portcullis}
work=$(mktemp -d) pids=()
trap '((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=$PWD/bench/target
(cd bench && cargo build --quiet --release -p bench-oauth)
load() { "$CARGO_TARGET_DIR/release/bench-oauth" "$1" "$seconds"; }

"$program" demo --listen 127.0.0.1:18931 --data "$work/demo" >"$work/demo.log" 2>&1 &
demo=$!
pids+=("$demo")
until [[ -s $work/demo/card.json ]]; do sleep 0.1; kill -0 "$demo"; done
for grant in refresh client_credentials; do
  node bench/oauth/target.mjs "$work/demo/card.json" "$demo" "$clients" "$grant" >"$work/target.json"
  load "$work/target.json"
done
kill "$demo"

cp bench/oauth/peer/* "$work/"
(cd "$work" && npm install --no-audit --no-fund --loglevel=error >/dev/null)
port=18932
for format in opaque jwt; do
  node --no-warnings "$work/server.mjs" "$port" "$format" "$clients" >"$work/out" 2>"$work/err" &
  pids+=("$!")
  until grep -q '^{' "$work/out"; do sleep 0.1; kill -0 "${pids[-1]}" || { cat "$work/err"; exit 1; }; done
  grep '^{' "$work/out" >"$work/target.json"
  load "$work/target.json"
  kill "${pids[-1]}"
  port=$((port + 1))
done
