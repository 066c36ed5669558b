#!/usr/bin/env bash
# A throw-away PostgreSQL for tests:
#   postgres.sh start DIR   makes one in DIR (or starts it again) and prints its URL, for PORTCULLIS_TEST_POSTGRES
#   postgres.sh stop DIR    stops it and removes what start made
# It trusts everyone who reaches its socket or 127.0.0.1, and does not wait for the disk (fsync = off). Never for data.
set -euo pipefail

usage() { echo "usage: $0 start|stop DIR" >&2; exit 2; }
[ $# -eq 2 ] || usage
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$bin" ] || { echo "no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql" >&2; exit 1; }

# PostgreSQL refuses to run as root.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && setpriv --reuid=postgres --regid=postgres --init-groups -- "$@")
    else
        "$@"
    fi
}

free_port() {
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    echo "no free port" >&2
    return 1
}

start() {
    if [ ! -f "$dir/data/PG_VERSION" ]; then
        mkdir -p "$dir/data" "$dir/socket"
        [ "$(id -u)" -ne 0 ] || chown postgres: "$dir/data" "$dir/socket"
        # A linguistic default order, so that a forgotten COLLATE "C" shows; plain C where ICU is not built in.
        init=("$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync --no-instructions)
        if ! as_postgres "${init[@]}" --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US >"$dir/initdb.log" 2>&1; then
            as_postgres "${init[@]}" --locale=C >>"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
        fi
        free_port >"$dir/port"
    fi
    port=$(cat "$dir/port")
    if ! as_postgres "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; then
        options="-k '$dir/socket' -h 127.0.0.1 -p $port -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
        options="$options -c max_connections=300 -c shared_buffers=64MB"
        as_postgres "$bin/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/data/server.log" -o "$options" start >/dev/null 2>&1 \
            || { cat "$dir/data/server.log" >&2; exit 1; }
    fi
    echo "host=$dir/socket port=$port user=postgres dbname=postgres"
}

stop() {
    if as_postgres "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; then
        as_postgres "$bin/pg_ctl" -D "$dir/data" -w -m immediate stop >/dev/null
    fi
    rm -rf "$dir/data" "$dir/socket" "$dir/port" "$dir/initdb.log"
    rmdir "$dir" 2>/dev/null || true
}

case $action in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
