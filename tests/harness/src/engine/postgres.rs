//! A PostgreSQL server of a test's own.

use std::{
    ffi::OsString,
    fs::File,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use super::{postgres_program, process::ServerProcess};
use crate::{
    database::Server, eventually, process::bound_to_its_test, settings, small_disk::SmallDisk,
};

/// A PostgreSQL server on an address and with data of its own, as durable as a real one.
#[derive(Debug)]
pub struct PostgresServer {
    /// `None` while it is stopped.
    process: Option<ServerProcess>,
    address: SocketAddr,
    server: Server,
    directory: TempDir,
    /// What starts it, if that is another program.
    launcher: Vec<OsString>,
}

impl PostgresServer {
    /// Makes a cluster, starts it, and waits until it answers.
    pub async fn start() -> Self {
        let mut postgres = Self::init();
        postgres.start_again().await;
        postgres
    }

    /// One whose cluster is made, and that is not started yet.
    pub(super) fn init() -> Self {
        Self::on_data_of(|directory| {
            let mut initdb = command("initdb", directory);
            initdb.args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8"]);
            initdb.args(["--no-locale", "--no-sync", "--pgdata"]);
            initdb
        })
    }

    /// One whose tables are on a small disk. The log of its transactions is not.
    pub async fn start_with_tables_on(disk: &SmallDisk) -> Self {
        let mut postgres = Self::start().await;
        postgres.kill();
        postgres.launcher = disk.launcher();
        if unprivileged().is_none() {
            // Nobody is root in there for PostgreSQL, which refuses to run as root.
            let words = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"];
            postgres.launcher.extend(words.map(OsString::from));
        }
        postgres.start_again().await;
        let directory = disk.directory_of("tables", unprivileged());
        let url = postgres.server.database("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("connect");
        for statement in [
            format!("create tablespace small location '{}'", directory.display()),
            "alter role postgres set default_tablespace = small".to_owned(),
        ] {
            let made = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
            made.expect("a tablespace");
        }
        postgres
    }

    /// A standby of this server, which follows it.
    pub async fn start_standby(&self) -> Self {
        self.start_standby_by(self.address).await
    }

    /// The same by way of another address.
    pub async fn start_standby_by(&self, address: SocketAddr) -> Self {
        let mut standby = self.back_up_by(address, &["--write-recovery-conf"]);
        standby.start_again().await;
        standby
    }

    /// A server on a base backup of this one, taken by way of an address, that is not started yet.
    pub(super) fn back_up_by(&self, address: SocketAddr, arguments: &[&str]) -> Self {
        Self::on_data_of(|directory| {
            let mut backup = command("pg_basebackup", directory);
            backup.args(["--dbname", &self.server.at(address).database("")]);
            backup.args(arguments).args(["--checkpoint", "fast", "--no-sync", "--pgdata"]);
            backup
        })
    }

    /// The command is given the directory to make.
    fn on_data_of(command: impl FnOnce(&Path) -> Command) -> Self {
        let address = settings::free_address();
        let directory = tempfile::tempdir().expect("a temporary directory");
        give_away(directory.path());
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(directory.path(), mode).expect("set the mode of a directory");
        let mut command = command(directory.path());
        let made = command.arg(directory.path().join("data")).output().expect("run PostgreSQL");
        assert!(made.status.success(), "{made:?}");
        let server = Server::parse(&format!("postgres://postgres@{address}"));
        Self { process: None, address, server, directory, launcher: Vec::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Starts it where it has ended, on the same data and address, and waits until it answers.
    pub async fn start_again(&mut self) {
        self.start_with(&[]).await;
    }

    /// The same with settings, `fsync=off` for example, which it has until it ends.
    pub async fn start_with(&mut self, settings: &[&str]) {
        assert!(self.process.is_none(), "PostgreSQL is running already");
        let log = File::options().create(true).append(true).open(self.log_path());
        let mut command = command_by(&self.launcher, "postgres", self.directory.path());
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.address.port().to_string()]);
        let directory = self.directory.path().display();
        for setting in [
            format!("listen_addresses={}", self.address.ip()),
            format!("unix_socket_directories={directory}"),
            "max_connections=300".into(),
            "shared_buffers=32MB".into(),
            "max_wal_size=256MB".into(),
        ] {
            command.args(["-c", &setting]);
        }
        // The last one counts.
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).stderr(log.expect("a log"));
        let mut process = ServerProcess::spawn(command);
        let url = self.server.database("postgres");
        eventually("PostgreSQL", async || {
            process.assert_running();
            PgConnection::connect(&url).await.ok()?.close().await.ok()
        })
        .await;
        self.process = Some(process);
    }

    /// Changes a setting while it runs, `fsync = off` for example; it is kept, and can be changed again. What it was
    /// started with cannot.
    pub async fn reload_with(&self, setting: &str) {
        self.execute(&format!("alter system set {setting}")).await;
        self.execute("select pg_reload_conf()").await;
    }

    /// Runs one statement, as its superuser.
    pub async fn execute(&self, statement: &str) {
        let connection = PgConnection::connect(&self.server.database("postgres")).await;
        let mut connection = connection.expect("connect to PostgreSQL");
        let executed = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await;
        executed.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// SIGKILL to every process of it.
    pub fn kill(&mut self) {
        self.running().kill();
        self.process = None;
    }

    /// What `pg_ctl stop` does: sessions are ended, and all is written down.
    pub async fn stop(&mut self) {
        self.running().signal(Signal::INT);
        self.running().wait().await;
        self.process = None;
    }

    /// What `pg_ctl stop -m immediate` does: it ends without a checkpoint, as in a crash.
    pub async fn stop_immediately(&mut self) {
        self.running().signal(Signal::QUIT);
        self.running().wait().await;
        self.process = None;
    }

    /// SIGSTOP to every process of it.
    pub fn pause(&mut self) {
        self.running().signal_all(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.running().signal_all(Signal::CONT);
    }

    /// SIGSTOP to the process of one session.
    pub fn pause_session(&mut self, process: i32) {
        self.running().signal_child(process, Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume_session(&mut self, process: i32) {
        self.running().signal_child(process, Signal::CONT);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(super) fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.directory.path().join("log")
    }

    fn running(&mut self) -> &mut ServerProcess {
        self.process.as_mut().expect("PostgreSQL is not running")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("--- log of PostgreSQL\n{}", self.log());
        }
    }
}

/// One of its programs, as somebody who is not root.
fn command(program: &str, directory: &Path) -> Command {
    command_by(&[], program, directory)
}

/// The same, started by another program.
fn command_by(launcher: &[OsString], program: &str, directory: &Path) -> Command {
    let program = postgres_program(program);
    let mut words = launcher.to_vec();
    // All of it ends at once; nobody needs its data.
    words.extend(bound_to_its_test("QUIT"));
    if let Some((user, group)) = unprivileged() {
        let (user, group) = (user.to_string(), group.to_string());
        let unprivileged = ["--reuid", &user, "--regid", &group, "--clear-groups"];
        words.extend(unprivileged.map(OsString::from));
    }
    words.push(program.into());
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir(directory);
    command
}

/// To whom it runs as.
pub(super) fn give_away(path: &Path) {
    if let Some((user, group)) = unprivileged() {
        chown(path, Some(user), Some(group)).expect("give a file away");
    }
}

/// Whom PostgreSQL runs as where the tests run as root, as which it refuses to run.
fn unprivileged() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").expect("a process").uid() != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    ["postgres", "nobody"].iter().find_map(|name| {
        let mut fields = accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(fields)
        })?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
