#!/usr/bin/env bash
# SQLite 3.54: a row value in a list does not prove that its columns are not null, so `(a, b) in (values …)` is not looked up in
# a partial index on (a, b) `where b is not null`, as `a = … and b in (…)` is.
#
# One would expect the two to be looked up alike, as each of the rows in the list has to be equal in both columns. In fact the
# row value takes whatever other index begins with `a`, and reads all that has this `a`; without one it reads the whole table.
# `(a, b) = (…)`, of a single row, is looked up by both, and so is a join with the rows of the list. The list is, too, where
# `and b is not null` is said aloud.
#
# Seen (what the plan says of the table):
#   a = and b in:             by_b (a=? AND b=?)
#   (a, b) =:                 by_b (a=? AND b=?)
#   (a, b) in:                by_c (a=?)
#   (a, b) in, b is not null: by_b (a=? AND b=?)
#   a join:                   by_b (a=? AND b=?)
# Needs Python 3.10 or later with venv. Takes 10 seconds.
set -euo pipefail
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT

python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" --quiet --disable-pip-version-check install --only-binary :all: apsw==3.54.1.0

"$directory/venv/bin/python" - >"$directory/seen" <<'PYTHON'
import apsw

database = apsw.Connection(":memory:")
database.execute("""
    create table t (id integer primary key, a integer not null, b integer, c integer not null);
    create unique index by_b on t (a, b) where b is not null;
    create unique index by_c on t (a, c);
""")
for name, query in [
    ("a = and b in", "select b from t where a = 1 and b in (2, 3)"),
    ("(a, b) =", "select b from t where (a, b) = (1, 2)"),
    ("(a, b) in", "select b from t where (a, b) in (values (1, 2), (1, 3))"),
    ("(a, b) in, b is not null", "select b from t where (a, b) in (values (1, 2), (1, 3)) and b is not null"),
    ("a join", "with w (a, b) as (values (1, 2), (1, 3)) select t.b from w cross join t where t.a = w.a and t.b = w.b"),
]:
    plan = [row[3] for row in database.execute("explain query plan " + query)]
    of_table = next(step for step in plan if step.startswith(("SEARCH t ", "SCAN t")))
    print(f"{name + ':':25} {of_table.partition(' INDEX ')[2]}")
PYTHON
cat "$directory/seen"
diff "$directory/seen" - <<'SEEN'
a = and b in:             by_b (a=? AND b=?)
(a, b) =:                 by_b (a=? AND b=?)
(a, b) in:                by_c (a=?)
(a, b) in, b is not null: by_b (a=? AND b=?)
a join:                   by_b (a=? AND b=?)
SEEN
