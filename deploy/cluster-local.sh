#!/usr/bin/env bash
# A whole cluster on this machine, to try it out: PostgreSQL, NATS, two cores and two edges, each a private
# process on 127.0.0.1 that is started again when it ends, as a supervisor would do.
#
#   deploy/cluster-local.sh [DIRECTORY]        keeps everything in DIRECTORY [default: ./cluster-data]
#
# Ctrl-C stops all of it. Started again on the same directory, it goes on with the same data.
#
# Needs the programs of PostgreSQL 15 or later and nats-server 2.9 or later, anywhere on this machine:
# `apt-get install postgresql nats-server` brings both. Runs the netrox-chat of NETROX_CHAT_PROGRAM, else
# target/release/netrox-chat, which it builds. Takes six ports, from NETROX_CHAT_CLUSTER_PORT [default: 8081] on.
set -euo pipefail

first_port="${NETROX_CHAT_CLUSTER_PORT:-8081}"
edge_ports=("$first_port" "$((first_port + 1))")
core_ports=("$((first_port + 2))" "$((first_port + 3))")
postgres_port="$((first_port + 4))"
nats_port="$((first_port + 5))"

say() { echo "cluster-local: $*" >&2; }
fail() { say "$*"; exit 1; }

# --- one process, again and again ---------------------------------------------------------------------------

# supervise NAME SIGNAL COMMAND…, in a process of its own that ends with the script; SIGNAL stops the command.
supervise() {
    local name="$1" signal="$2" child='' stopping=''
    shift 2
    trap 'stopping=1; if [ -n "$child" ]; then kill -s "$signal" "$child" 2>/dev/null || true; fi' TERM
    while [ -z "$stopping" ]; do
        "$@" >>"log/$name" 2>&1 &
        child=$!
        echo "$child" >"pid/$name"
        # A signal ends the wait before its time.
        while kill -0 "$child" 2>/dev/null; do wait "$child" 2>/dev/null || true; done
        if [ -z "$stopping" ]; then
            say "$name has ended, and is started again"
            sleep 1
        fi
    done
    rm -f "pid/$name"
}

if [ "${1-}" = --supervise ]; then
    shift
    supervise "$@"
    exit
fi

# --- what is needed -----------------------------------------------------------------------------------------

self="$(realpath "$0")"
repository="$(dirname "$(dirname "$self")")"
directory="${1:-cluster-data}"

program="${NETROX_CHAT_PROGRAM:-}"
if [ -z "$program" ]; then
    (cd "$repository" && cargo build --release --locked)
    program="${CARGO_TARGET_DIR:-$repository/target}/release/netrox-chat"
fi
program="$(realpath "$program")"
[ -x "$program" ] || fail "$program is not there"

# Debian keeps the programs of PostgreSQL out of the path.
postgres_bin=
for candidate in "$(dirname "$(realpath "$(command -v postgres || echo /)")")" /usr/lib/postgresql/*/bin; do
    if [ -x "$candidate/postgres" ] && [ -x "$candidate/initdb" ]; then postgres_bin="$candidate"; fi
done
[ -n "$postgres_bin" ] || fail "PostgreSQL is needed: apt-get install postgresql"
nats_server="$(command -v nats-server || true)"
[ -n "$nats_server" ] || fail "nats-server is needed: apt-get install nats-server"

for port in "${edge_ports[@]}" "${core_ports[@]}" "$postgres_port" "$nats_port"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then fail "port $port is in use"; fi
done

# --- the directory ------------------------------------------------------------------------------------------

mkdir -p "$directory"
cd "$directory"
directory="$PWD"
mkdir -p log pid media
mkdir -p -m 700 secret

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
for name in service-token jwt-secret postgres-password nats-token; do
    if [ ! -s "secret/$name" ]; then (umask 077 && random >"secret/$name"); fi
done
(
    umask 077
    echo "postgres://netrox@127.0.0.1:$postgres_port/netrox?password=$(cat secret/postgres-password)" \
        >secret/database-url
    echo "nats://$(cat secret/nats-token)@127.0.0.1:$nats_port" >secret/bus-url
    echo "authorization { token: \"$(cat secret/nats-token)\" }" >secret/nats.conf
)

# PostgreSQL refuses to run as root.
unprivileged=(setpriv)
if [ "$(id -u)" = 0 ]; then
    user=nobody
    if id postgres >/dev/null 2>&1; then user=postgres; fi
    unprivileged=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups)
    mkdir -p postgres
    chown "$user" postgres
    "${unprivileged[@]}" test -w postgres || fail "$user cannot reach $directory: run this as another user, or elsewhere"
fi
if [ ! -e postgres/PG_VERSION ]; then
    say "creating a database cluster in $directory/postgres"
    (umask 077 && cp secret/postgres-password postgres-password)
    chown "${user:-$(id -u)}" postgres-password
    "${unprivileged[@]}" "$postgres_bin/initdb" --pgdata postgres --username netrox \
        --pwfile postgres-password --auth scram-sha-256 --encoding UTF8 --no-locale \
        --data-checksums >log/initdb 2>&1 || fail "initdb failed: see $directory/log/initdb"
    rm postgres-password
fi

# --- what runs ----------------------------------------------------------------------------------------------

supervisors=()

# start NAME SIGNAL COMMAND…. A session of its own keeps the Ctrl-C of the terminal away from it: processes
# are stopped one after the other.
start() {
    setsid setpriv --pdeathsig TERM bash "$self" --supervise "$@" &
    supervisors+=($!)
}

# In the opposite order of their start, so that each finds what it needs for its last work.
stop() {
    trap - EXIT
    trap '' INT TERM HUP
    say "stopping"
    local index
    for ((index = ${#supervisors[@]} - 1; index >= 0; index--)); do
        kill "${supervisors[$index]}" 2>/dev/null || true
        wait "${supervisors[$index]}" 2>/dev/null || true
    done
}
trap stop EXIT
trap 'exit 0' INT TERM
trap 'exit 0' HUP

# wait_for NAME COMMAND…: until the command succeeds.
wait_for() {
    local name="$1"
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    tail -n 20 "log/$name" >&2
    fail "$name does not answer: see $directory/log/$name"
}
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
ready() {
    local status
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return
    printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    read -r _ status _ <&3
    exec 3<&- 3>&-
    [ "$status" = 200 ]
}

# --pdeathsig again, as it is lost where the user changes.
start postgres INT "${unprivileged[@]}" --pdeathsig INT "$postgres_bin/postgres" -D postgres \
    -p "$postgres_port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200
wait_for postgres answers "$postgres_port"
export PGPASSWORD
PGPASSWORD="$(cat secret/postgres-password)"
psql=("$postgres_bin/psql" -h 127.0.0.1 -p "$postgres_port" -U netrox -d postgres -tAc)
wait_for postgres "${psql[@]}" 'select 1'
if [ "$("${psql[@]}" "select count(*) from pg_database where datname = 'netrox'")" = 0 ]; then
    "${psql[@]}" 'create database netrox' >/dev/null
fi
unset PGPASSWORD

start nats TERM setpriv --pdeathsig TERM "$nats_server" --addr 127.0.0.1 --port "$nats_port" \
    --config secret/nats.conf
wait_for nats answers "$nats_port"

cores=
for number in 1 2; do
    port="${core_ports[$((number - 1))]}"
    start "core-$number" TERM setpriv --pdeathsig TERM "$program" core --grpc-addr "127.0.0.1:$port" \
        --data-dir "core-$number" --media-url file://media \
        --database-url-file secret/database-url --bus-url-file secret/bus-url \
        --service-token-file secret/service-token
    wait_for "core-$number" answers "$port"
    cores="$cores${cores:+,}http://127.0.0.1:$port"
done
for number in 1 2; do
    port="${edge_ports[$((number - 1))]}"
    start "edge-$number" TERM setpriv --pdeathsig TERM "$program" edge --http-addr "127.0.0.1:$port" \
        --core "$cores" --service-token-file secret/service-token --jwt-secret-file secret/jwt-secret
    wait_for "edge-$number" ready "$port"
done

cat <<END

A cluster of two cores and two edges runs, with its data in $directory.

  REST and WebSocket   http://127.0.0.1:${edge_ports[0]}   http://127.0.0.1:${edge_ports[1]}
  gRPC                 127.0.0.1:${core_ports[0]}          127.0.0.1:${core_ports[1]}
                       service token: $directory/secret/service-token

An access token for a user:

  $program token --jwt-secret-file $directory/secret/jwt-secret \\
      --user-id a11ce000-0000-4000-8000-000000000001 --email alice@example.com

End a process, and it is started again: kill -9 \$(cat $directory/pid/core-1)
Logs are in $directory/log. Ctrl-C stops everything.
END

# Until a signal comes.
while true; do
    wait -n || true
    for supervisor in "${supervisors[@]}"; do
        kill -0 "$supervisor" 2>/dev/null || fail "a supervisor has ended: see $directory/log"
    done
done
