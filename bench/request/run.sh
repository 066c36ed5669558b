#!/bin/sh
# Compares the processor time of GET /rest/api/3/issue/{key} with and without the guard.
#
# Portcullis has no switch that turns the guard off, not even at build time. So the sources are copied into target/, the copy
# is changed by bypass.patch, and this benchmark is built twice: on the sources and on the copy.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-7} requests=${2:-5000}
copy=$PWD/bench/target/bypassed bin=$PWD/bench/target/request
export CARGO_TARGET_DIR="$PWD/bench/target"

mkdir -p "$copy" "$bin"
rm -rf "$copy/crates" "$copy/bench"
cp -R Cargo.toml crates "$copy/"
mkdir "$copy/bench"
cp -R bench/Cargo.toml bench/Cargo.lock bench/decision bench/request bench/oauth bench/webhooks "$copy/bench/"
patch -s -p1 -d "$copy" < bench/request/bypass.patch

build() { # workspace, name
    (cd "$1" && cargo build --quiet --release -p request-bench ${JOBS:+-j "$JOBS"})
    cp "$CARGO_TARGET_DIR/release/request-bench" "$bin/$2"
}
build bench guarded
build "$copy/bench" bypassed

"$bin/guarded" token
rm -f "$bin"/*.us
round=0
while [ "$round" -lt "$rounds" ]; do
    "$bin/guarded" "$requests" >> "$bin/guarded.us"
    "$bin/bypassed" "$requests" >> "$bin/bypassed.us"
    BYPASS_LOCATE=1 "$bin/bypassed" "$requests" >> "$bin/found.us"
    round=$((round + 1))
done
median() { sort -n "$bin/$1.us" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
guarded=$(median guarded) bypassed=$(median bypassed) found=$(median found)
echo "Processor time per request, median of $rounds rounds of $requests requests:"
echo "guarded                                          $guarded us"
echo "no authentication, no decision                   $bypassed us"
echo "the same, and the issue need not be found        $found us"
awk -v g="$guarded" -v b="$bypassed" -v f="$found" \
    'BEGIN { printf "guarded / bypassed: %.3f, limit 1.10; without finding the issue: %.3f\n", g / b, g / f }'
