//! Which schema of the database is ours, and the tables in it.
//!
//! A search path finds a table anew at each statement: a schema named like the role, made years later, would come
//! before the one that holds the chat, and an empty set of tables be made there. So the schema is found once, at the
//! start and by its tables, and every session has it alone in its path.

use std::{pin::pin, time::Duration};

use sqlx::{
    AssertSqlSafe, FromRow, PgConnection,
    migrate::{MigrateError, Migrator},
};

use super::{FIRST_ANSWER_TIMEOUT, session};
use crate::store::{OpenError, engine::within, error::migration_failed, search};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// Of the first migration. It tells our table of migrations from another program's.
const FIRST_MIGRATION: i64 = 1;
const MIGRATIONS: &str = "_sqlx_migrations";
/// Where another program has that name.
const OWN_MIGRATIONS: &str = "netrox_chat_migrations";
/// How often is asked whether another core is done with the schema. Nobody waits inside of a statement: it would hold
/// up an index that is being built beside running cores, and that index the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

const LOCK: &str = "select pg_try_advisory_lock(hashtext('netrox-chat schema'))";
const UNLOCK: &str = "select pg_advisory_unlock(hashtext('netrox-chat schema'))";
/// Schemas whose tables have the columns that ours have had from the first version on, as far as the role owns or may
/// use them: those of another role's deployment are not ours.
const FIND: &str = "\
    select n.nspname::text
    from (values
            ('cluster', 'id', 'uuid'),
            ('feeds', 'user_key', 'bigint'),
            ('feeds', 'last_seq', 'bigint'),
            ('messages', 'thread_id', 'bigint'),
            ('messages', 'id', 'bigint'),
            ('messages', 'sender', 'bigint'),
            ('messages', 'receiver', 'bigint'),
            ('messages', 'body', 'text'),
            ('messages', 'created', 'bigint'),
            ('messages', 'seen', 'boolean'),
            ('messages', 'deleted', 'boolean'),
            ('messages', 'sender_seq', 'bigint'),
            ('messages', 'receiver_seq', 'bigint'),
            ('messages', 'client_ref', 'uuid')
        ) as ours (relation, name, type)
    join pg_class c on c.relname = ours.relation and c.relkind in ('r', 'p')
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attname = ours.name and not a.attisdropped
        and format_type(a.atttypid, null) = ours.type
    where c.relpersistence <> 't' and (pg_has_role(c.relowner, 'usage')
        or has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'insert'))
    group by n.nspname having count(*) = 14
    order by n.nspname";
const PATH: &str = "\
    select setting, source, current_schemas(false)::text[] as schemas,
        array(select name from unnest(current_schemas(false)) with ordinality as s (name, place)
            where has_schema_privilege(name, 'create') order by place)::text[] as creatable
    from pg_settings where name = 'search_path'";
const EXISTS: &str = "select exists (select 1 from pg_namespace where nspname = $1)";
/// Tables in a schema that is there, or else the schema.
const MAY_MAKE: &str = "\
    select coalesce(
        (select has_schema_privilege(n.oid, 'create') from pg_namespace n where n.nspname = $1),
        has_database_privilege(current_database(), 'create'))";
const USE: &str = "select set_config('search_path', $1, false)";
const FIND_MIGRATIONS: &str = "\
    select c.relname::text as name,
        pg_has_role(c.relowner, 'usage') or has_table_privilege(c.oid, 'select') as readable
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relname in ('_sqlx_migrations', 'netrox_chat_migrations')";
/// Or nobody's: a first start may have been cut off before its first migration.
const MIGRATIONS_ARE_OURS: &str = "\
    select not exists (select 1 from _sqlx_migrations)
        or exists (select 1 from _sqlx_migrations where version = $1 and checksum = $2)";

const DONE: &str = "select version, checksum, success from _sqlx_migrations order by version";
const DONE_BESIDE_ANOTHER: &str =
    "select version, checksum, success from netrox_chat_migrations order by version";

/// Those that a migration makes beside running cores.
const BUILT_INDEXES: [&str; 5] =
    ["messages_turns", "messages_files", "threads_begun", "messages_created", "messages_removed"];
/// Indexes of ours that are not complete, quoted.
const UNFINISHED_INDEXES: &str = "\
    select format('%I.%I', n.nspname, c.relname)
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and t.relname in ('messages', 'threads')
        and c.relname = any($2) and not i.indisvalid";

/// The schema that holds, or is to hold, our tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schema(String);

impl Schema {
    /// The value of a session's `search_path` that finds our tables and nobody else's.
    pub(super) fn path(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// Where a session looks for tables that are named without a schema.
#[derive(Debug, FromRow)]
struct Path {
    setting: String,
    /// Who has set it (`pg_settings.source`).
    source: String,
    /// Those of it that exist and may be used, in its order.
    schemas: Vec<String>,
    /// Those of them in which the role can make a table.
    creatable: Vec<String>,
}

impl Path {
    /// Whether somebody has chosen it: for the role, the database, the server, or in the URL.
    fn is_explicit(&self) -> bool {
        let default = |c: &char| !c.is_whitespace() && *c != '"';
        self.source != "default" && self.setting.chars().filter(default).ne("$user,public".chars())
    }

    /// Whether it was given to this process alone, by its URL or `PGOPTIONS`.
    fn is_of_this_process(&self) -> bool {
        self.is_explicit() && self.source == "client"
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Ours(String),
    /// One without our tables.
    New(String),
}

/// A schema whose tables are up to date.
pub(super) struct Prepared {
    pub(super) schema: Schema,
    pub(super) migrations: Migrations,
    /// Whether its tables were made.
    pub(super) is_new: bool,
}

/// Finds our schema, or chooses where it shall be, and brings its tables up to date; the session has it in its path
/// then. Cores that start together take their turns. `named`: what the operator says. `searches`: whether there is to be an index
/// for search.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    named: Option<&str>,
    require_data: bool,
    searches: bool,
) -> Result<Prepared, OpenError> {
    lock(connection).await?;
    let found = async { Ok(find(connection, named, require_data).await) };
    let (schema, is_new) = within(FIRST_ANSWER_TIMEOUT, found).await??;
    session::lift_limits(connection).await?;
    let migrations = change(connection, &schema).await?;
    session::limit(connection).await?;
    if searches {
        search::postgres::enable(connection).await?;
    } else if search::postgres::is_built(connection).await? {
        tracing::warn!(
            "other cores of this database index messages for search (--search), and this one does not: what it stores \
             is indexed some seconds later"
        );
    }
    sqlx::query(UNLOCK).execute(connection).await?;
    Ok(Prepared { schema, migrations, is_new })
}

/// Finds our schema where it is and changes nothing; the session has it in its path then.
pub(super) async fn enter(
    connection: &mut PgConnection,
    named: Option<&str>,
) -> Result<Migrations, OpenError> {
    let ours: Vec<String> = sqlx::query_scalar(FIND).fetch_all(&mut *connection).await?;
    let path: Path = sqlx::query_as(PATH).fetch_one(&mut *connection).await?;
    let Choice::Ours(name) = choose(&ours, &path, named)? else {
        return Err(OpenError::NoTables);
    };
    let schema = Schema(name);
    sqlx::query(USE).bind(schema.path()).execute(&mut *connection).await?;
    Ok(migrator(connection, &schema).await?.1)
}

/// Where a start would find our tables, or make them.
pub(in crate::store) enum Place {
    /// The session has it in its path.
    Ours(Migrations),
    New {
        schema: String,
        /// Whether the role may.
        may_make: bool,
    },
}

/// Decides as a start does and makes nothing.
pub(super) async fn look(
    connection: &mut PgConnection,
    named: Option<&str>,
) -> Result<Place, OpenError> {
    let ours: Vec<String> = sqlx::query_scalar(FIND).fetch_all(&mut *connection).await?;
    let path: Path = sqlx::query_as(PATH).fetch_one(&mut *connection).await?;
    match choose(&ours, &path, named)? {
        Choice::Ours(name) => {
            let schema = Schema(name);
            sqlx::query(USE).bind(schema.path()).execute(&mut *connection).await?;
            Ok(Place::Ours(migrator(connection, &schema).await?.1))
        }
        Choice::New(name) => {
            refuse_misspelling(connection, &name, &ours).await?;
            let may_make =
                sqlx::query_scalar(MAY_MAKE).bind(&name).fetch_one(&mut *connection).await?;
            Ok(Place::New { schema: name, may_make })
        }
    }
}

/// Refuses tables of which this program does not know how they were made, and gives the last migration.
pub(in crate::store) async fn check(
    connection: &mut PgConnection,
    migrations: Migrations,
) -> Result<i64, OpenError> {
    let statement = match migrations {
        Migrations::Usual => DONE,
        Migrations::Own => DONE_BESIDE_ANOTHER,
    };
    let done: Vec<(i64, Vec<u8>, bool)> = sqlx::query_as(statement).fetch_all(connection).await?;
    let mut found = 0;
    for (version, checksum, is_whole) in done {
        let Some(known) = MIGRATOR.iter().find(|migration| migration.version == version) else {
            return Err(OpenError::NewerSchema(version));
        };
        if *known.checksum != *checksum {
            return Err(OpenError::Migrate(MigrateError::VersionMismatch(version)));
        }
        // One that is not is under way, or was cut off, and is made anew by the next start.
        found = if is_whole { version } else { found };
    }
    Ok(found)
}

/// The table that tells which migrations were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Migrations {
    /// That of the migrator's own name.
    Usual,
    /// Beside another program's of that name.
    Own,
}

#[cfg(test)]
pub(in crate::store) fn migrations() -> impl Iterator<Item = &'static str> {
    MIGRATOR.iter().map(|migration| migration.sql.as_str())
}

/// The last migration that this program knows.
pub(in crate::store) fn last_migration() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

async fn lock(connection: &mut PgConnection) -> Result<(), OpenError> {
    let mut told = tokio::time::Instant::now() + FIRST_ANSWER_TIMEOUT;
    loop {
        let locked = sqlx::query_scalar(LOCK).fetch_one(&mut *connection);
        if within(FIRST_ANSWER_TIMEOUT, locked).await? {
            return Ok(());
        }
        if told.elapsed() > Duration::ZERO {
            tracing::info!("waiting for another core that works on the schema of the database");
            told += Duration::from_secs(60);
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}

async fn find(
    connection: &mut PgConnection,
    named: Option<&str>,
    require_data: bool,
) -> Result<(Schema, bool), OpenError> {
    let ours: Vec<String> = sqlx::query_scalar(FIND).fetch_all(&mut *connection).await?;
    let path: Path = sqlx::query_as(PATH).fetch_one(&mut *connection).await?;
    let (schema, is_new) = match choose(&ours, &path, named)? {
        Choice::Ours(name) => (Schema(name), false),
        Choice::New(_) if require_data => return Err(OpenError::NoData),
        Choice::New(name) => (make(connection, name, &ours).await?, true),
    };
    sqlx::query(USE).bind(schema.path()).execute(connection).await?;
    Ok((schema, is_new))
}

fn choose(ours: &[String], path: &Path, named: Option<&str>) -> Result<Choice, OpenError> {
    if let Some(named) = named {
        let is_ours = ours.iter().any(|name| name == named);
        return Ok(if is_ours { Choice::Ours } else { Choice::New }(named.to_owned()));
    }
    match ours {
        [] => match path.creatable.first() {
            Some(name) => Ok(Choice::New(name.clone())),
            None => Err(OpenError::NoSchema),
        },
        // Whoever gives a path of its own to one process may mean a second deployment: to let it into the
        // first would show the messages of one to the users of the other.
        [one] if path.is_of_this_process() && !path.schemas.is_empty() => {
            if path.schemas.contains(one) {
                return Ok(Choice::Ours(one.clone()));
            }
            Err(OpenError::SchemaNotInPath { path: path.setting.clone(), ours: one.clone() })
        }
        [one] => Ok(Choice::Ours(one.clone())),
        several => {
            let is_named = |name: &&String| path.is_explicit() && path.schemas.contains(name);
            let mut named = several.iter().filter(is_named);
            match (named.next(), named.next()) {
                (Some(one), None) => Ok(Choice::Ours(one.clone())),
                _ => Err(OpenError::SeveralSchemas(several.join(", "))),
            }
        }
    }
}

/// Makes sure that there is a schema of this name. One is made where the database has none of ours: elsewhere it
/// would be a misspelling.
async fn make(
    connection: &mut PgConnection,
    name: String,
    ours: &[String],
) -> Result<Schema, OpenError> {
    let exists = refuse_misspelling(connection, &name, ours).await?;
    let schema = Schema(name);
    if !exists {
        let create = format!("create schema {}", schema.path());
        sqlx::query(AssertSqlSafe(create)).execute(connection).await?;
    }
    let schema_name = &schema.0;
    if ours.is_empty() {
        tracing::info!(schema = %schema_name, "making the tables of a new database");
    } else {
        let others = ours.join(", ");
        tracing::warn!(schema = %schema_name, %others, "making tables beside those of others");
    }
    Ok(schema)
}

/// Gives whether there is a schema of this name.
async fn refuse_misspelling(
    connection: &mut PgConnection,
    name: &str,
    ours: &[String],
) -> Result<bool, OpenError> {
    let exists: bool = sqlx::query_scalar(EXISTS).bind(name).fetch_one(connection).await?;
    if !exists && !ours.is_empty() {
        return Err(OpenError::MissingSchema { named: name.to_owned(), ours: ours.join(", ") });
    }
    Ok(exists)
}

/// However long it takes: a change of a large table must not be given up half-way at each attempt.
async fn change(connection: &mut PgConnection, schema: &Schema) -> Result<Migrations, OpenError> {
    let (migrator, migrations) = migrator(connection, schema).await?;
    let unfinished = sqlx::query_scalar(UNFINISHED_INDEXES).bind(&schema.0).bind(BUILT_INDEXES);
    let unfinished: Vec<String> = unfinished.fetch_all(&mut *connection).await?;
    for index in unfinished {
        // A start that was ended while it built it left it. The migration makes it anew.
        sqlx::query(AssertSqlSafe(format!("drop index concurrently {index}")))
            .execute(&mut *connection)
            .await?;
    }
    let mut changed = pin!(migrator.run(connection));
    let in_time = tokio::time::timeout(FIRST_ANSWER_TIMEOUT, &mut changed).await;
    let changed = match in_time {
        Ok(changed) => changed,
        Err(_) => {
            tracing::info!("waiting for the schema of the database to be brought up to date");
            changed.await
        }
    };
    changed.map(|_| migrations).map_err(migration_failed)
}

/// Notes what it has done in a table of ours, also where another program's has the usual name.
async fn migrator(
    connection: &mut PgConnection,
    schema: &Schema,
) -> Result<(Migrator, Migrations), OpenError> {
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    let tables: Vec<(String, bool)> =
        sqlx::query_as(FIND_MIGRATIONS).bind(&schema.0).fetch_all(&mut *connection).await?;
    let find = |wanted| tables.iter().find(|(name, _)| name == wanted);
    let is_ours = match (find(OWN_MIGRATIONS), find(MIGRATIONS)) {
        (Some(_), _) | (None, Some((_, false))) => false,
        (None, None) => true,
        (None, Some((_, true))) => {
            let mut migrations = migrator.iter();
            let first = migrations.find(|migration| migration.version == FIRST_MIGRATION);
            let checksum = first.map(|migration| migration.checksum.to_vec());
            let ours = sqlx::query_scalar(MIGRATIONS_ARE_OURS).bind(FIRST_MIGRATION).bind(checksum);
            ours.fetch_one(connection).await?
        }
    };
    if is_ours {
        return Ok((migrator, Migrations::Usual));
    }
    migrator.dangerous_set_table_name(OWN_MIGRATIONS);
    Ok((migrator, Migrations::Own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(setting: &str, source: &str, schemas: &[&str]) -> Path {
        let schemas: Vec<_> = schemas.iter().map(ToString::to_string).collect();
        let creatable = schemas.clone();
        Path { setting: setting.to_owned(), source: source.to_owned(), schemas, creatable }
    }

    fn default_path() -> Path {
        path("\"$user\", public", "default", &["chat", "public"])
    }

    fn chosen(ours: &[&str], path: &Path, named: Option<&str>) -> Result<Choice, String> {
        let ours: Vec<_> = ours.iter().map(ToString::to_string).collect();
        choose(&ours, path, named).map_err(|error| error.to_string())
    }

    fn ours(name: &str) -> Result<Choice, String> {
        Ok(Choice::Ours(name.to_owned()))
    }

    fn new(name: &str) -> Result<Choice, String> {
        Ok(Choice::New(name.to_owned()))
    }

    #[test]
    fn tables_are_made_in_the_first_schema_of_the_path_or_in_the_one_that_is_named() {
        assert_eq!(chosen(&[], &default_path(), None), new("chat"));
        assert_eq!(chosen(&[], &path("a, b", "user", &["a", "b"]), None), new("a"));
        let mut second = path("a, b", "user", &["a", "b"]);
        second.creatable.remove(0);
        assert_eq!(chosen(&[], &second, None), new("b"));
        assert_eq!(chosen(&[], &default_path(), Some("other")), new("other"));
        let refused = chosen(&[], &path("nowhere", "client", &[]), None).unwrap_err();
        assert!(refused.contains("--database-schema"), "{refused}");
    }

    #[test]
    fn the_one_that_there_is_counts_whatever_a_role_finds_first() {
        for path in [
            default_path(),
            path("chat, public", "user", &["chat", "public"]),
            path("chat", "database user", &["chat"]),
            path("chat", "configuration file", &["chat"]),
            path("old_name", "client", &[]),
            path("public, chat", "client", &["public", "chat"]),
        ] {
            assert_eq!(chosen(&["public"], &path, None), ours("public"), "{path:?}");
        }
    }

    #[test]
    fn a_path_of_one_process_elsewhere_is_no_way_into_a_deployment() {
        let refused = chosen(&["public"], &path("b", "client", &["b"]), None).unwrap_err();
        for word in ["given is b,", "in schema public:", "--database-schema"] {
            assert!(refused.contains(word), "{word} is not in {refused:?}");
        }
        assert_eq!(chosen(&["public"], &path("b", "client", &["b"]), Some("b")), new("b"));
    }

    #[test]
    fn of_several_the_one_that_is_named_counts() {
        let both = ["chat", "public"];
        assert_eq!(chosen(&both, &default_path(), Some("public")), ours("public"));
        for source in ["user", "client", "database", "database user"] {
            assert_eq!(chosen(&both, &path("chat", source, &["chat"]), None), ours("chat"));
            let among_others = path("ext, public", source, &["ext", "public"]);
            assert_eq!(chosen(&both, &among_others, None), ours("public"));
        }
        for path in [
            default_path(),
            // As good as nothing.
            path("$user,public", "user", &["chat", "public"]),
            path("chat, public", "client", &["chat", "public"]),
            path("ext", "user", &["ext"]),
        ] {
            let refused = chosen(&both, &path, None).unwrap_err();
            for word in ["chat", "public", "--database-schema"] {
                assert!(refused.contains(word), "{word} is not in {refused:?}");
            }
        }
    }

    #[test]
    fn each_index_that_is_built_beside_running_cores_is_made_anew_if_it_was_cut_off() {
        let built: Vec<_> = migrations()
            .flat_map(|sql| sql.split("index concurrently ").skip(1))
            .filter_map(|rest| rest.strip_prefix("if not exists ")?.split_whitespace().next())
            .collect();
        let all: usize = migrations().map(|sql| sql.matches("index concurrently").count()).sum();
        assert_eq!(built.len(), all);
        for index in BUILT_INDEXES {
            assert!(built.contains(&index), "{index} is in no migration");
        }
        for index in built {
            assert!(BUILT_INDEXES.contains(&index), "{index} is not in the list");
        }
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(Schema("we\"ird $user".into()).path(), "\"we\"\"ird $user\"");
    }
}
