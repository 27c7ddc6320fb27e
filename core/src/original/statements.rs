//! What the tables of the original are asked, on either engine: each value as text where the engines, or what was made of the same
//! model, have it in several types.

use std::collections::HashMap;

use super::{Connection, Mapping, OriginalError};

const POSTGRES_COLUMNS: &str = "\
    select attname::text, format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";
const SQLITE_COLUMNS: &str = "select name, lower(type) from pragma_table_info($1)";

#[derive(Debug)]
pub(super) struct Statements {
    /// $1: how many; $2: the key before them.
    pub(super) users_first: String,
    pub(super) users_next: String,
    pub(super) threads: String,
    /// $3: the last id.
    pub(super) messages: String,
    pub(super) counts: String,
    /// $1: ids of a span; $2: the last id.
    pub(super) spans: String,
    /// Whether the database has checked that profiles are JSON.
    pub(super) profile_is_json: bool,
}

/// The columns of a table, with their types.
struct Table {
    /// As it stands in a statement.
    name: String,
    given: String,
    types: HashMap<String, String>,
    is_postgres: bool,
}

impl Statements {
    pub(super) async fn of(
        connection: &mut Connection,
        mapping: &Mapping,
    ) -> Result<Self, OriginalError> {
        let schema = mapping.schema.as_deref();
        let users = Table::find(connection, schema, &mapping.users.table).await?;
        let threads = Table::find(connection, schema, &mapping.threads.table).await?;
        let messages = Table::find(connection, schema, &mapping.messages.table).await?;
        let profile = mapping.users.profile.as_deref();
        let profile = users.optional(profile, "profile")?;
        let (users_first, users_next) = of_users(&users, mapping, profile)?;
        Ok(Self {
            users_first,
            users_next,
            threads: of_threads(&threads, mapping)?,
            messages: of_messages(&messages, mapping)?,
            counts: format!(
                "select coalesce((select max(t.{}) from {} t), 0){bigint}, \
                 coalesce((select max(t.{}) from {} t), 0){bigint}, \
                 (select count(*) from {}), (select count(*) from {})",
                messages.column(&mapping.messages.id)?,
                messages.name,
                threads.column(&mapping.threads.id)?,
                threads.name,
                users.name,
                threads.name,
                bigint = messages.cast("bigint"),
            ),
            spans: of_spans(&messages, mapping)?,
            profile_is_json: profile.is_some_and(|column| {
                let kind = users.types.get(column).map(String::as_str);
                matches!(kind, Some("json" | "jsonb"))
                    || (!users.is_postgres && kind == Some("text"))
            }),
        })
    }
}

fn of_users(
    users: &Table,
    mapping: &Mapping,
    profile: Option<&str>,
) -> Result<(String, String), OriginalError> {
    let names = &mapping.users;
    let email = users.optional(names.email.as_deref(), "email")?;
    let id = users.column(&names.id)?;
    let head = format!(
        "select {} as key, {} as email, {} as profile from {} t",
        users.text(&names.id)?,
        users.text_or_null(email)?,
        users.text_or_null(profile)?,
        users.name,
    );
    // The key was read as text: to be compared it becomes what it is in its table again.
    let after = match users.types.get(&names.id) {
        Some(kind) if users.is_postgres => format!("$2::text::{kind}"),
        Some(_) | None => "$2".to_owned(),
    };
    let tail = format!("order by t.{id} limit $1");
    Ok((format!("{head} {tail}"), format!("{head} where t.{id} > {after} {tail}")))
}

fn of_threads(threads: &Table, mapping: &Mapping) -> Result<String, OriginalError> {
    let names = &mapping.threads;
    let id = threads.column(&names.id)?;
    Ok(format!(
        "select {} as id, {} as user_one, {} as user_two, {} as created from {} t \
         where t.{id} > $2 order by t.{id} limit $1",
        threads.number(&names.id)?,
        threads.text(&names.user_one)?,
        threads.text(&names.user_two)?,
        threads.time(&names.created)?,
        threads.name,
    ))
}

fn of_messages(messages: &Table, mapping: &Mapping) -> Result<String, OriginalError> {
    let names = &mapping.messages;
    let size = messages.optional(names.attached_file_size.as_deref(), "attached_file_size")?;
    let id = messages.column(&names.id)?;
    Ok(format!(
        "select {} as id, {} as thread, {} as sender, {} as receiver, {} as message, \
         {} as attached_file, {} as attached_file_name, {} as attached_file_size, \
         {} as seen, {} as deleted, {} as created, {} as updated from {} t \
         where t.{id} > $2 and t.{id} <= $3 order by t.{id} limit $1",
        messages.number(&names.id)?,
        messages.number(&names.thread)?,
        messages.text(&names.sender)?,
        messages.text(&names.receiver)?,
        messages.text(&names.message)?,
        messages.text(&names.attached_file)?,
        messages.text(&names.attached_file_name)?,
        messages.text_or_null(size)?,
        messages.flag(&names.seen)?,
        messages.flag(&names.deleted)?,
        messages.time(&names.created)?,
        messages.time(&names.updated)?,
        messages.name,
    ))
}

/// As `intake::span` has it of ours.
fn of_spans(messages: &Table, mapping: &Mapping) -> Result<String, OriginalError> {
    let names = &mapping.messages;
    let (id, seen) = (messages.number(&names.id)?, messages.flag(&names.seen)?);
    let deleted = messages.flag(&names.deleted)?;
    let (file, body) = (messages.text(&names.attached_file)?, messages.text(&names.message)?);
    let (created, updated) = (messages.column(&names.created)?, messages.column(&names.updated)?);
    let latest = messages.time_of(&format!("max(coalesce(t.{updated}, t.{created}))"));
    let bigint = messages.cast("bigint");
    let place = format!("({id} % $1 + 1)");
    Ok(format!(
        "select {id} / $1 as number, count(*) as messages, \
         sum(case when {seen} then {place} else 0 end){bigint} as seen, \
         sum(case when {deleted} then {place} else 0 end){bigint} as deleted, \
         sum(case when {file} <> '' then 1 else 0 end){bigint} as files, \
         sum(case when {deleted} then 0 else {place} * length(coalesce({body}, '')) end){bigint} \
             as characters, \
         {latest} as updated \
         from {} t where t.{} <= $2 group by 1 order by 1",
        messages.name,
        messages.column(&names.id)?,
    ))
}

impl Table {
    async fn find(
        connection: &mut Connection,
        schema: Option<&str>,
        table: &str,
    ) -> Result<Self, OriginalError> {
        let quoted_table = quoted(table);
        let name = match schema {
            Some(schema) => format!("{}.{quoted_table}", quoted(schema)),
            None => quoted_table,
        };
        let (rows, name, is_postgres): (Vec<(String, String)>, _, _) = match connection {
            Connection::Postgres(connection) => {
                let columns = sqlx::query_as(POSTGRES_COLUMNS).bind(&name);
                (columns.fetch_all(connection).await?, name, true)
            }
            Connection::Sqlite(_) if schema.is_some() => {
                let reason = "the mapping names a schema, and a database of SQLite has none";
                return Err(OriginalError::Tables(reason.to_owned()));
            }
            Connection::Sqlite(connection) => {
                let columns = sqlx::query_as(SQLITE_COLUMNS).bind(table);
                (columns.fetch_all(connection).await?, name, false)
            }
        };
        if rows.is_empty() {
            let reason = format!(
                "it has no table {table:?}, or not for this role: name its tables in a --mapping"
            );
            return Err(OriginalError::Tables(reason));
        }
        let types = rows.into_iter().collect();
        Ok(Self { name, given: table.to_owned(), types, is_postgres })
    }

    /// Quoted, and there.
    fn column(&self, name: &str) -> Result<String, OriginalError> {
        if self.types.contains_key(name) {
            return Ok(quoted(name));
        }
        Err(OriginalError::Tables(format!(
            "its table {:?} has no column {name:?}: name its columns in a --mapping",
            self.given
        )))
    }

    /// One that the preset names may be missing, and one that the mapping names may not.
    fn optional<'a>(
        &self,
        name: Option<&'a str>,
        preset: &str,
    ) -> Result<Option<&'a str>, OriginalError> {
        match name {
            Some(name) if name == preset && !self.types.contains_key(name) => Ok(None),
            Some(name) => self.column(name).map(|_| Some(name)),
            None => Ok(None),
        }
    }

    /// A cast of what may be wider, on the engine that is strict.
    fn cast(&self, kind: &str) -> String {
        if self.is_postgres { format!("::{kind}") } else { String::new() }
    }

    fn text(&self, name: &str) -> Result<String, OriginalError> {
        let column = self.column(name)?;
        Ok(match self.is_postgres {
            true => format!("t.{column}::text"),
            false => format!("cast(t.{column} as text)"),
        })
    }

    fn text_or_null(&self, name: Option<&str>) -> Result<String, OriginalError> {
        let null = if self.is_postgres { "null::text" } else { "cast(null as text)" };
        name.map_or_else(|| Ok(null.to_owned()), |name| self.text(name))
    }

    fn number(&self, name: &str) -> Result<String, OriginalError> {
        let column = self.column(name)?;
        Ok(match self.is_postgres {
            true => format!("t.{column}::bigint"),
            false => format!("cast(t.{column} as integer)"),
        })
    }

    /// What is null is not so.
    fn flag(&self, name: &str) -> Result<String, OriginalError> {
        let column = self.column(name)?;
        Ok(match self.is_postgres {
            true => format!("coalesce(t.{column}::boolean, false)"),
            false => format!("cast(coalesce(t.{column}, 0) as integer)"),
        })
    }

    fn time(&self, name: &str) -> Result<String, OriginalError> {
        let kind = self.types.get(name).filter(|_| self.is_postgres);
        if kind.is_some_and(|kind| is_local(kind)) {
            return Err(OriginalError::Tables(format!(
                "its table {:?} has times without a time zone in {name:?}: name a view in a --mapping \
                 that has them `at time zone` of the one in which they are",
                self.given
            )));
        }
        Ok(self.time_of(&format!("t.{}", self.column(name)?)))
    }

    /// Of PostgreSQL as microseconds, of SQLite as Django wrote it.
    fn time_of(&self, expression: &str) -> String {
        match self.is_postgres {
            true => format!("round(extract(epoch from {expression}) * 1000000)::bigint::text"),
            false => format!("cast({expression} as text)"),
        }
    }
}

/// `timestamp without time zone`, or `timestamp(6) without time zone`: what it says is known to whoever wrote it.
fn is_local(kind: &str) -> bool {
    kind.starts_with("timestamp") && kind.ends_with("without time zone")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_no_zone_are_refused_by_name() {
        let table = |kind: &str, is_postgres| Table {
            name: quoted("chat_message"),
            given: "chat_message".to_owned(),
            types: HashMap::from([("created".to_owned(), kind.to_owned())]),
            is_postgres,
        };
        for kind in ["timestamp without time zone", "timestamp(6) without time zone"] {
            let refused = table(kind, true).time("created").expect_err(kind).to_string();
            assert!(refused.contains("\"created\"") && refused.contains("view"), "{refused}");
        }
        for kind in ["timestamp with time zone", "timestamp(3) with time zone", "bigint"] {
            assert!(table(kind, true).time("created").is_ok(), "{kind}");
        }
        assert!(table("datetime", false).time("created").is_ok());
    }
}
