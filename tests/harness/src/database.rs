//! A database of a deployment's own on a PostgreSQL server.

use std::{fmt, net::SocketAddr, path::Path, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection,
    sqlite::SqliteConnectOptions,
};
use uuid::Uuid;

use crate::{engine, eventually};

/// The address of a server and who it is used as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    scheme: String,
    /// `user`, `user:password`, or nothing.
    user: String,
    /// `host:port`.
    host: String,
}

impl Server {
    /// Of a URL; its path is left out.
    pub fn parse(url: &str) -> Self {
        let uri: http::Uri = url.parse().unwrap_or_else(|error| panic!("{error}: {url:?}"));
        let authority = uri.authority().expect("a URL with a host").as_str();
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let scheme = uri.scheme_str().expect("a URL with a scheme").to_owned();
        Self { scheme, user: user.to_owned(), host: host.to_owned() }
    }

    /// The same server by way of another address.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { host: address.to_string(), ..self.clone() }
    }

    /// Its `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL of one database.
    pub fn database(&self, name: &str) -> String {
        format!("{self}/{name}")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.user.is_empty() { "" } else { "@" };
        write!(f, "{}://{}{at}{}", self.scheme, self.user, self.host)
    }
}

/// A new database; dropping it drops it on the server too.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
    /// Whether the server outlives it.
    shared: bool,
}

impl Database {
    /// On a server of the test's own, which is thrown away as a whole.
    pub async fn create(server: &Server) -> Self {
        Self::create_on(server.clone(), false).await
    }

    /// On the server that all tests share.
    pub async fn create_on_shared() -> Self {
        Self::create_on(engine::shared_postgres(), true).await
    }

    async fn create_on(server: Server, shared: bool) -> Self {
        let name = format!("netrox_chat_{}", Uuid::new_v4().simple());
        let database = Self { server, name, shared };
        database.administer(&format!("create database {} template template0", database.name)).await;
        database
    }

    /// One of another name on the same server.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self { server: self.server.clone(), name: name.to_owned(), shared: self.shared }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a statement in it.
    pub async fn execute(&self, statement: &str) {
        let executed =
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.connect().await).await;
        executed.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Of its server.
    pub fn address(&self) -> SocketAddr {
        self.server.host().parse().expect("the address of a server")
    }

    /// Runs a statement on the server, beside this database.
    pub(crate) async fn administer(&self, statement: &str) {
        let executed = execute(&self.server, statement).await;
        executed.unwrap_or_else(|error| panic!("{statement} on {}: {error}", self.server));
    }

    pub fn url(&self) -> String {
        self.server.database(&self.name)
    }

    /// The URL by way of another address.
    pub fn url_at(&self, address: SocketAddr) -> String {
        self.server.at(address).database(&self.name)
    }

    /// Files noted as begun and not finished.
    pub(crate) async fn unfinished_files(&self) -> Vec<String> {
        let paths = sqlx::query_scalar("select path from uploads");
        paths.fetch_all(&mut self.connect().await).await.expect("the noted uploads")
    }

    /// Makes uploads that are not finished old enough to be removed by the next core that starts.
    pub async fn age_unfinished_files(&self) {
        let aged = sqlx::query("update uploads set begun = 0");
        aged.execute(&mut self.connect().await).await.expect("aged");
    }

    /// How many deadlocks the sessions of others met, when all of them have ended.
    pub async fn deadlocks(&self) -> i64 {
        let mut connection = self.connect().await;
        eventually("the end of other sessions", async || {
            let counts: (i32, i64) = sqlx::query_as(
                "select numbackends, deadlocks from pg_stat_database
                 where datname = current_database()",
            )
            .fetch_one(&mut connection)
            .await
            .expect("the counts of a database");
            (counts.0 == 1).then_some(counts.1)
        })
        .await
    }

    pub(crate) async fn change_rows(&self, statements: &[&str]) {
        run(&mut self.connect().await, statements).await;
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        let count = sqlx::query_scalar(AssertSqlSafe(query));
        count.fetch_one(&mut self.connect().await).await.expect("a count")
    }

    /// A session of the test's own.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("connect to the database")
    }
}

/// Runs one statement where databases are made.
async fn execute(server: &Server, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&server.database("postgres")).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.shared {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // Not on the test's runtime: nothing can be awaited here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let statement = format!("drop database if exists {name} with (force)");
                let dropped = execute(&server, &statement);
                tokio::time::timeout(Duration::from_secs(20), dropped).await
            })
        });
        // One that stays goes with the server.
        if let Ok(Err(_) | Ok(Err(_))) = dropping.join() {
            eprintln!("the database {} was not dropped", self.name);
        }
    }
}

/// Changes rows of an SQLite file that a core may use.
pub async fn change_file(path: &Path, statements: &[&str]) {
    let options = SqliteConnectOptions::new().filename(path);
    run(&mut SqliteConnection::connect_with(&options).await.expect("open the file"), statements)
        .await;
}

/// What a query gives that counts rows of an SQLite file.
pub(crate) async fn count_in_file(path: &Path, query: &str) -> i64 {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut file = SqliteConnection::connect_with(&options).await.expect("open the file");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut file).await.expect("a count")
}

async fn run<C: Connection>(connection: &mut C, statements: &[&str])
where
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    for statement in ["begin"].iter().chain(statements).chain(&["commit"]) {
        let changed = connection.execute(AssertSqlSafe(*statement)).await;
        changed.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}
