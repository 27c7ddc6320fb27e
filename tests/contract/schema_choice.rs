//! Which schema of a database is ours: the one that has the tables, whatever else is there.

use netrox_harness::{
    Builder, Role, Store,
    database::Database,
    process::{self, Ended},
};
use sqlx::AssertSqlSafe;

use crate::running::Core;

const COUNT_TABLES: &str = "select count(*) from pg_class where relname = 'messages'";
/// What another program has noted of itself.
const OTHERS_MIGRATIONS: &str = "\
    create table public._sqlx_migrations (version bigint primary key, description text not null,
        installed_on timestamptz not null default now(), success boolean not null,
        checksum bytea not null, execution_time bigint not null);
    insert into public._sqlx_migrations (version, description, success, checksum, execution_time)
    values (1, 'accounts', true, '\\x01', 1), (20230101000000, 'invoices', true, '\\x02', 1)";
const READ_OTHERS: &str = "\
    select string_agg(m::text, ' ' order by version) from public._sqlx_migrations m";

async fn execute(database: &Database, statements: &str) {
    let mut connection = database.connect().await;
    let executed = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await;
    executed.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

async fn count_tables(database: &Database) -> i64 {
    let count = sqlx::query_scalar(COUNT_TABLES).fetch_one(&mut database.connect().await).await;
    count.expect("a count")
}

async fn others_migrations(database: &Database) -> String {
    let read = sqlx::query_scalar(READ_OTHERS).fetch_one(&mut database.connect().await).await;
    read.expect("the rows of another program")
}

/// A core on a database that is not its own alone.
fn core_at(url: &str) -> Builder {
    Core::builder().store(Store::Sqlite).set("database-url", url)
}

/// A core that does not come up.
async fn refused_at(url: &str, variables: &[(&str, &str)]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let variables = [("NETROX_CHAT_DATABASE_URL", url), ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")]
        .into_iter()
        .chain(variables.iter().copied());
    process::run(directory.path(), ["core"], variables).await
}

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word} is not in {ended:?}");
    }
}

fn path_of(url: &str, schema: &str) -> String {
    format!("{url}?options=-c%20search_path%3D{schema}")
}

/// A conversation of its own, which is all that there is of it.
async fn talk(core: &Core, body: &str) -> [String; 2] {
    let users: [String; 2] = core.users().await;
    core.send(&users[0], &users[1], body).await.expect("stored");
    users
}

async fn assert_history(core: &Core, [ada, bob]: &[String; 2], bodies: &[&str]) {
    let history = core.history(ada, bob).await.expect("a history");
    let stored: Vec<_> = history.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(stored, bodies);
}

/// The default path is `"$user", public`: the role's schema comes first once it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_named_like_the_role_hides_nothing() {
    let mut core = Core::start().await;
    let users = talk(&core, "before").await;
    let first = core.history(&users[0], &users[1]).await.expect("a history")[0].id;
    execute(core.process.database(), "create schema postgres authorization postgres").await;
    // On the connections that are open,
    core.send(&users[0], &users[1], "meanwhile").await.expect("stored");
    // and on those of a new process.
    core.kill_and_restart().await;
    let last = core.send(&users[0], &users[1], "after").await.expect("stored");
    assert!(last.message_id > first + 1, "{last:?}");
    assert_history(&core, &users, &["before", "meanwhile", "after"]).await;
    assert_eq!(count_tables(core.process.database()).await, 1, "a second set of tables");
    // The same where the role's path names the new schema before the other, or it alone.
    for path in ["postgres, public", "postgres"] {
        let database = core.process.database();
        let set = format!(
            "do $$ begin execute format('alter database %I set search_path = {path}',
                current_database()); end $$"
        );
        execute(database, &set).await;
        core.kill_and_restart().await;
        assert_history(&core, &users, &["before", "meanwhile", "after"]).await;
        assert_eq!(count_tables(core.process.database()).await, 1, "a second set of tables");
    }
}

/// A running core whose tables are moved away says so, and goes on when they are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_renamed_is_found_again() {
    let mut core = Core::start().await;
    let users = talk(&core, "before").await;
    let rename = "alter schema public rename to \"The \"\"Chat\"\"\"; create schema public";
    execute(core.process.database(), rename).await;
    let unavailable = core.send(&users[0], &users[1], "nowhere").await.expect_err("stored");
    assert_eq!(unavailable.code(), tonic::Code::Unavailable, "{unavailable:?}");
    core.kill_and_restart().await;
    core.send(&users[0], &users[1], "after").await.expect("stored");
    assert_history(&core, &users, &["before", "after"]).await;
    assert_eq!(count_tables(core.process.database()).await, 1, "a second set of tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deployments_side_by_side_stay_apart() {
    let database = Database::create_on_shared().await;
    let url = database.url();
    execute(&database, "create schema a; create schema b").await;
    let one = Core::launch(core_at(&path_of(&url, "a"))).await;
    let ones = talk(&one, "of one").await;

    // Nobody gets into the first by accident, and no third is made by a misspelling.
    let elsewhere = refused_at(&path_of(&url, "b"), &[]).await;
    assert_refused(&elsewhere, &["search_path given is b", "in schema a:", "--database-schema"]);
    let misspelt = refused_at(&url, &[("NETROX_CHAT_DATABASE_SCHEMA", "bb")]).await;
    assert_refused(&misspelt, &["\"bb\"", " a ", "--database-schema"]);

    let other = Core::launch(core_at(&url).set("database-schema", "b")).await;
    let others = talk(&other, "of the other").await;
    drop((one, other));
    assert_eq!(count_tables(&database).await, 2);

    // Of two, one has to be named.
    let both = ["schemas a, b", "--database-schema"];
    assert_refused(&refused_at(&url, &[]).await, &both);
    assert_refused(&refused_at(&path_of(&url, "b,a"), &[]).await, &both);
    assert_refused(&refused_at(&url, &[("PGOPTIONS", "-c search_path=public")]).await, &both);
    let named = core_at(&url).set("database-schema", "a");
    let by_url = core_at(&path_of(&url, "public,b"));
    let by_variable = core_at(&url).variable(Role::Core(0), "PGOPTIONS", "-c search_path=b,public");
    // What is named counts before any path.
    let before_path = core_at(&path_of(&url, "b")).set("database-schema", "a");
    for (builder, users, body) in [
        (named, &ones, "of one"),
        (by_url, &others, "of the other"),
        (by_variable, &others, "of the other"),
        (before_path, &ones, "of one"),
    ] {
        let core = Core::launch(builder).await;
        assert_history(&core, users, &[body]).await;
        let strangers = if users == &ones { &others } else { &ones };
        core.history(&strangers[0], &strangers[1]).await.expect_err("of another deployment");
    }
    assert_eq!(count_tables(&database).await, 2);
}

/// Another role's tables are not ours, though they are in a schema that everybody may use.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_role_are_not_ours() {
    let core = Core::start().await;
    let users = talk(&core, "of one").await;
    let database = core.process.database();
    let role = format!("netrox_{}", uuid::Uuid::new_v4().simple());
    let create = format!("create role {role} login; create schema {role} authorization {role}");
    execute(database, &create).await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    assert_ne!(url, database.url());
    let other = Core::launch(core_at(&url)).await;
    let others = talk(&other, "of the other").await;
    assert_history(&core, &users, &["of one"]).await;
    assert_history(&other, &others, &["of the other"]).await;
    assert_eq!(count_tables(database).await, 2);
    drop(other);
    execute(database, &format!("drop owned by {role}; drop role {role}")).await;
}

/// It may have the same library, and so a table of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn another_programs_migrations_are_left_alone() {
    let database = Database::create_on_shared().await;
    execute(&database, OTHERS_MIGRATIONS).await;
    let before = others_migrations(&database).await;
    // In one schema,
    let mut core = Core::launch(core_at(&database.url())).await;
    let users = talk(&core, "in public").await;
    core.kill_and_restart().await;
    assert_history(&core, &users, &["in public"]).await;
    assert_eq!(others_migrations(&database).await, before);
    drop(core);

    // and in two.
    let database = Database::create_on_shared().await;
    execute(&database, "create schema postgres").await;
    let mut core = Core::launch(core_at(&database.url())).await;
    let users = talk(&core, "elsewhere").await;
    execute(&database, OTHERS_MIGRATIONS).await;
    let before = others_migrations(&database).await;
    core.kill_and_restart().await;
    assert_history(&core, &users, &["elsewhere"]).await;
    assert_eq!(others_migrations(&database).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_named_is_made_in_a_new_database() {
    let database = Database::create_on_shared().await;
    let named = || core_at(&database.url()).set("database-schema", "Chat \"1\"");
    let mut core = Core::launch(named()).await;
    let users = talk(&core, "hello").await;
    core.kill_and_restart().await;
    assert_history(&core, &users, &["hello"]).await;
    let schema =
        "select n.nspname::text from pg_class c join pg_namespace n on n.oid = relnamespace
        where relname in ('messages', '_sqlx_migrations') group by 1";
    let schema: String =
        sqlx::query_scalar(schema).fetch_one(&mut database.connect().await).await.expect("one");
    assert_eq!(schema, "Chat \"1\"");
}
