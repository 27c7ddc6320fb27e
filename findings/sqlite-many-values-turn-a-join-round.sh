#!/usr/bin/env bash
# SQLite 3.54: a join of some values with a table that has a unique index on what they name (a number and a blob) looks each
# value up, but not if there are some hundreds of values. Then it goes through the whole table, whatever its size, and looks each
# of its rows up in an index that it makes of the values. With some thousands of values it looks them up again.
#
# One would expect the plan to follow the size of the table: a thousand values against half a million rows are a thousand
# lookups. In fact `analyze`, which tells that size, changes nothing. `cross join`, which SQLite does not turn round, is looked up
# at any count, and so is a plain join by two numbers.
#
# Seen (the outer loop of the join, and how many rows it went through):
#   200 values:                   values, 200
#   300 values:                   table, 500000
#   1000 values:                  table, 500000
#   2000 values:                  values, 2000
#   1000 values, cross join:      values, 1000
#   1000 values, after analyze:   table, 500000
# Needs Python 3.10 or later with venv. Takes 15 seconds.
set -euo pipefail
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT

python3 -m venv "$directory/venv"
"$directory/venv/bin/pip" --quiet --disable-pip-version-check install --only-binary :all: apsw==3.54.1.0

"$directory/venv/bin/python" - >"$directory/seen" <<'PYTHON'
import apsw

database = apsw.Connection(":memory:")
database.execute("""
    create table t (id integer primary key, a integer not null, b blob not null);
    create unique index by_a_b on t (a, b);
    with recursive n (i) as (select 1 union all select i + 1 from n where i < 500000)
        insert into t select i, i % 100, cast(i as blob) from n;
""")


def show(name, count, join):
    values = ", ".join(["(?, ?)"] * count)
    query = f"with w (a, b) as (values {values}) select t.id from w {join} t where t.a = w.a and t.b = w.b"
    bound = [value for i in range(1, count + 1) for value in (i % 100, b"%d" % i)]
    plan = [row[3] for row in database.execute("explain query plan " + query, bound)]
    outer = next(step for step in plan if step.startswith(("SCAN w", "SCAN t")))
    found = database.execute(query, bound).fetchall()
    assert len(found) == count
    rows = count if outer.startswith("SCAN w") else database.execute("select count(*) from t").fetchone()[0]
    print(f"{name + ':':29} {'values' if outer.startswith('SCAN w') else 'table'}, {rows}")


for count in (200, 300, 1000, 2000):
    show(f"{count} values", count, "join")
show("1000 values, cross join", 1000, "cross join")
database.execute("analyze")
show("1000 values, after analyze", 1000, "join")
PYTHON
cat "$directory/seen"
diff "$directory/seen" - <<'SEEN'
200 values:                   values, 200
300 values:                   table, 500000
1000 values:                  table, 500000
2000 values:                  values, 2000
1000 values, cross join:      values, 1000
1000 values, after analyze:   table, 500000
SEEN
