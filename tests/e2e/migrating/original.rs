//! The original: `tests/django`, on a database and a media directory of the test's own.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

use netrox_harness::{
    Edge, User,
    database::Database,
    eventually,
    process::{Ended, Process, TERMINATE, bound_to_its_test, run_command},
    settings::{JWT_SECRET, free_address},
};
use serde_json::Value;
use tempfile::TempDir;

use super::rows::{self, Rows};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/django");

/// Which database it has.
#[derive(Clone, Copy)]
pub(super) enum On {
    Sqlite,
    Postgres,
}

pub(super) struct Original {
    directory: TempDir,
    database: Option<Database>,
    /// Always at the same address.
    edge: Edge,
    process: Option<Process>,
}

impl Original {
    /// With so many messages and files, not served yet.
    pub(super) async fn filled(on: On, messages: usize, files: usize) -> Self {
        let database = match on {
            On::Sqlite => None,
            On::Postgres => Some(Database::create_on_shared().await),
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let edge = Edge { address: free_address() };
        let original = Self { directory, database, edge, process: None };
        fs::create_dir(original.media()).expect("a media directory");
        if let Some(database) = &original.database {
            // As Django has it: the owner of its tables, and no more.
            let name = database.name();
            let role = format!("create role {name} login; alter database {name} owner to {name}");
            database.execute(&role).await;
        }
        original.manage(&["migrate", "--verbosity", "0"]).await;
        let [messages, files] = [messages, files].map(|count| count.to_string());
        let filled = original.printed(&["fill", "--messages", &messages, "--files", &files]).await;
        assert_eq!(
            [&filled["messages"], &filled["files"]].map(Value::to_string),
            [messages, files]
        );
        original
    }

    /// Its database, as its own role has it.
    pub(super) fn url(&self) -> String {
        match &self.database {
            Some(database) => {
                format!("postgres://{0}@{1}/{0}", database.name(), database.address())
            }
            None => format!("sqlite://{}", self.file().display()),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("db.sqlite3")
    }

    pub(super) fn media(&self) -> PathBuf {
        self.directory.path().join("media")
    }

    pub(super) fn edge(&self) -> Edge {
        self.edge
    }

    fn python(&self) -> Command {
        let interpreter = env::var_os("NETROX_CHAT_TEST_PYTHON");
        let packages = env::var_os("NETROX_CHAT_TEST_DJANGO");
        let (Some(interpreter), Some(packages)) = (interpreter, packages) else {
            panic!("NETROX_CHAT_TEST_DJANGO: tests/run has it for migrating");
        };
        let [launcher, arguments @ ..] = bound_to_its_test("KILL");
        let mut command = Command::new(launcher);
        command.args(arguments).arg(interpreter).current_dir(SOURCES);
        command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("ORIGINAL_DATABASE_URL", self.url());
        command.env("ORIGINAL_MEDIA", self.media()).env("ORIGINAL_SIGNING_KEY", JWT_SECRET);
        command
    }

    /// Runs `manage.py` to its end, which must be a good one.
    pub(super) async fn manage(&self, arguments: &[&str]) -> Ended {
        let mut command = self.python();
        command.arg("manage.py").args(arguments);
        let ended = run_command(command).await;
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        ended
    }

    /// The JSON that a command of it prints.
    pub(super) async fn printed(&self, arguments: &[&str]) -> Value {
        let ended = self.manage(arguments).await;
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// All users, with tokens that SimpleJWT made.
    pub(super) async fn users(&self) -> Vec<User> {
        let tokens = self.printed(&["tokens"]).await;
        let tokens: BTreeMap<String, String> = serde_json::from_value(tokens).expect("tokens");
        let user = |(id, token)| User { id, email: String::new(), token };
        tokens.into_iter().map(user).collect()
    }

    pub(super) async fn serve(&mut self) {
        self.start(false).await;
    }

    async fn start(&mut self, is_read_only: bool) {
        let mut command = self.python();
        if is_read_only {
            command.env("ORIGINAL_READ_ONLY", "1");
        }
        command.args(["-m", "uvicorn", "original.asgi:application", "--no-access-log"]);
        // Sockets of clients that stay are closed, and then it ends.
        command.args(["--lifespan", "off", "--timeout-graceful-shutdown", "5"]);
        command.args(["--host", &self.edge.address.ip().to_string()]);
        command.args(["--port", &self.edge.address.port().to_string()]);
        let process = self.process.insert(Process::spawn(command));
        let log = process.log();
        eventually("the original to listen", async || {
            assert!(process.is_running(), "{:#?}", log.lines());
            log.contains("Uvicorn running on").then_some(())
        })
        .await;
    }

    /// Ends it as its supervisor would. What it has begun to write it has written then.
    async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(TERMINATE);
            process.wait().await;
        }
    }

    /// From now on it is read alone, as the page says.
    pub(super) async fn write_no_more(&mut self) {
        let Some(database) = &self.database else {
            self.stop().await;
            return self.start(true).await;
        };
        let role = database.name();
        let statements = format!(
            "begin;
            lock table chat_thread, chat_message in share mode;
            revoke insert, update, delete, truncate on chat_thread, chat_message from {role};
            commit"
        );
        database.execute(&statements).await;
    }

    /// The way back from there: other processes write first, and then it is started again.
    pub(super) async fn write_again(&mut self, others: impl AsyncFnOnce(&Self)) {
        if let Some(database) = &self.database {
            let role = database.name();
            let grant = format!(
                "grant insert, update, delete, truncate on chat_thread, chat_message to {role}"
            );
            database.execute(&grant).await;
        }
        self.stop().await;
        others(self).await;
        self.serve().await;
    }

    /// Leaves nothing on a server that others use.
    pub(super) async fn end(mut self) {
        self.stop().await;
        if let Some(database) = &self.database {
            let name = database.name();
            let statements = format!(
                "alter database {name} owner to current_user; drop owned by {name}; drop role {name}"
            );
            database.execute(&statements).await;
        }
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.process.as_ref().map(|process| process.log().lines()).unwrap_or_default()
    }

    /// Its messages.
    pub(super) async fn rows(&self) -> Rows {
        match &self.database {
            Some(database) => rows::read(&mut database.connect().await).await,
            None => rows::read_file(&self.file()).await,
        }
    }
}
