#!/usr/bin/env bash
# From starting the program to its first answer, on a demo site that exists; then its idle memory.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${PORTCULLIS:-target/release/portcullis}
rounds=${1:-20} port=${PORT:-18917}
data=$(mktemp -d)
pid=
stop() { [ -z "$pid" ] || { kill "$pid"; wait "$pid" || true; pid=; }; }
trap 'stop; rm -rf "$data"' EXIT
exec {nap}<> <(:)

# Waits for a 200, without starting a process; prints nothing.
answered() {
    local line
    while :; do
        if { exec {socket}<>"/dev/tcp/127.0.0.1/$port"; } 2> /dev/null; then
            printf 'GET /rest/api/3/serverInfo HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$port" >&"$socket"
            IFS= read -r line <&"$socket" || line=
            exec {socket}>&-
            case $line in "HTTP/1.1 200"*) return ;; esac
        fi
        kill -0 "$pid" || { cat "$data/log" >&2; exit 1; }
        read -rt 0.001 -u "$nap" || true
    done
}

start() {
    "$program" demo --listen "127.0.0.1:$port" --data "$data/site" > "$data/log" 2>&1 &
    pid=$!
}

start && answered && stop # makes the site
for ((round = 0; round < rounds; round++)); do
    stop
    began=${EPOCHREALTIME/./}
    start && answered
    echo "$(((${EPOCHREALTIME/./} - began + 50) / 100))" >> "$data/times"
done
sort -n "$data/times" | awk '
    { v[NR] = $1 / 10 }
    END { printf "start to first answer: min %.1f, median %.1f, max %.1f ms; limit 80 ms\n", v[1], v[int((NR + 1) / 2)], v[NR] }'
sleep 5
awk '/^VmRSS/ { printf "idle memory: %.1f MiB; limit 40 MB (38.1 MiB)\n", $2 / 1024 }' "/proc/$pid/status"
