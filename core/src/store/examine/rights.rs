//! What the role of a core may do with the tables of PostgreSQL.

use netrox_diagnosis::{Report, Subject};
use sqlx::{FromRow, PgConnection};

use super::super::OpenError;
use crate::config::PostgresDatabase;

/// What a core does with each table.
const TABLES: [(&str, &str); 28] = [
    ("users", "select, insert, update"),
    ("feeds", "select, insert, update"),
    ("feed_starts", "select, insert"),
    ("threads", "select, insert, update"),
    ("thread_states", "select, insert, update"),
    ("messages", "select, insert, update, delete"),
    ("blocks", "select, insert, delete"),
    ("message_words", "select, insert, update, delete"),
    ("unindexed_messages", "select, insert, update, delete"),
    ("search_build", "select, update"),
    ("hidden_users", "select, insert, update"),
    ("last_seen", "select, insert, update, delete"),
    ("rolls", "select, insert, update, delete"),
    ("uploads", "select, insert, update, delete"),
    ("erasures", "select, insert, update, delete"),
    ("user_storage", "select, insert, update"),
    ("sent_forms", "select, insert, update"),
    ("refused_sends", "select, insert, delete"),
    ("external_ids", "select, insert, update, delete"),
    ("session_notices", "select, insert, update, delete"),
    ("session_edges", "select, insert, update, delete"),
    ("session_answers", "select, insert, delete"),
    // It locks the rows that it removes, which takes the right to update.
    ("spent_tickets", "select, insert, update, delete"),
    ("ticket_keys", "select, insert, delete"),
    ("starts", "select, insert"),
    ("cluster", "select"),
    ("copy", "select"),
    ("write_probe", "select, insert, update"),
];

/// `$1` are tables, `$2` what is done with each. One that there is not yet, the next start makes.
const FORBIDDEN: &str = "\
    select (select coalesce(string_agg(w.name || ' (' || w.missing || ')', ', ' order by w.name), '')
        from (select t.name, string_agg(trim(r.name), ', ') as missing
            from unnest($1::text[], $2::text[]) as t (name, rights)
            join pg_class c on c.relname = t.name and c.relkind in ('r', 'p')
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = current_schema()
            cross join unnest(string_to_array(t.rights, ',')) as r (name)
            where not has_table_privilege(c.oid, trim(r.name)) group by t.name) as w) as tables,
        (select coalesce(string_agg(c.relname, ', ' order by c.relname), '')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = current_schema() and c.relkind = 'S'
            and c.relname in ('message_ids', 'thread_ids', 'users_key_seq')
            and not (has_sequence_privilege(c.oid, 'usage') and has_sequence_privilege(c.oid, 'select'))) as sequences,
        (select coalesce(string_agg(p.proname, ', ' order by p.proname), '')
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = current_schema() and p.proname = 'store_messages'
            and not has_function_privilege(p.oid, 'execute')) as functions";
/// Tables that a migration may change, which none but their owner may.
const OF_OTHERS: &str = "\
    select coalesce(string_agg(c.relname, ', ' order by c.relname), '') as tables,
        has_schema_privilege(current_schema(), 'create') as may_make
    from unnest($1::text[]) as t (name)
    join pg_class c on c.relname = t.name and c.relkind in ('r', 'p')
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = current_schema()
    where not pg_has_role(c.relowner, 'usage')";

#[derive(FromRow)]
struct Forbidden {
    tables: String,
    sequences: String,
    functions: String,
}

/// Of the schema in the path. One that `is_older` the next start brings up to date, which takes more.
pub(super) async fn look(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    is_older: bool,
    report: &mut Report,
) -> Result<(), OpenError> {
    let (tables, rights): (Vec<_>, Vec<_>) = TABLES.iter().copied().unzip();
    let Forbidden { tables: forbidden, sequences, functions } =
        sqlx::query_as(FORBIDDEN).bind(&tables).bind(&rights).fetch_one(&mut *connection).await?;
    let remedy = "as the owner of the tables run: grant select, insert, update, delete on all tables in schema SCHEMA \
                  to ROLE; grant usage, select on all sequences in schema SCHEMA to ROLE; grant execute on all \
                  functions in schema SCHEMA to ROLE";
    for (what, forbidden) in
        [("use the tables", forbidden), ("use the sequences", sequences), ("call", functions)]
    {
        if !forbidden.is_empty() {
            let cause = format!("{database}: the role may not {what} {forbidden}");
            report.find(Subject::Database, cause, remedy);
        }
    }
    if !is_older {
        return Ok(());
    }
    let (of_others, may_make): (String, bool) =
        sqlx::query_as(OF_OTHERS).bind(&tables).fetch_one(connection).await?;
    if !of_others.is_empty() || !may_make {
        let cause = match &*of_others {
            "" => "may make no tables in the schema".to_owned(),
            of_others => format!("does not own {of_others}"),
        };
        let cause = format!(
            "{database}: the next start brings the schema up to date, and the role {cause}"
        );
        let remedy = "start a core of this version once as the owner of the schema and its tables, or give them to ROLE";
        report.find(Subject::Database, cause, remedy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::super::postgres::migrations, *};

    /// Of a copy alone; what only a full disk makes use of.
    const OTHERS: [&str; 2] = ["copied_tables", "write_room"];

    #[test]
    fn each_table_that_is_made_is_known_here() {
        let mut made: Vec<&str> = Vec::new();
        for line in migrations().flat_map(str::lines) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let rest = match words[..] {
                ["create", "table", ref rest @ ..]
                | ["create", "unlogged", "table", ref rest @ ..] => rest,
                _ => continue,
            };
            made.extend(rest.iter().copied().find(|word| !["if", "not", "exists"].contains(word)));
        }
        made.sort_unstable();
        let mut known: Vec<_> = TABLES.iter().map(|(name, _)| *name).chain(OTHERS).collect();
        known.sort_unstable();
        assert_eq!(made, known);
    }
}
