//! A running deployment.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, PoisonError},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Builder, Edge, Socket, User,
    database::{self, Database},
    eventually,
    process::{self, Ended, Log, Process},
    rest::Request,
    settings::{self, variable_name},
};

/// Which processes make up a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// Core and edge in one process, on SQLite.
    Serve,
    /// A core on SQLite and one or more edges.
    Split,
    /// Several cores and several edges, on PostgreSQL and NATS.
    Cluster,
}

/// One process of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Serve,
    Core(usize),
    Edge(usize),
}

/// A running deployment with a data directory of its own.
///
/// Dropping it kills the processes and fails the test where one of them panicked or wrote a token
/// or a message body ("canary") to its log.
#[derive(Debug)]
pub struct TestChat {
    builder: Builder,
    directory: TempDir,
    address: Ipv4Addr,
    processes: BTreeMap<Role, Process>,
    /// Of every process that was started, in order.
    logs: Vec<(Role, Log)>,
    http: BTreeMap<Role, SocketAddr>,
    grpc: BTreeMap<Role, SocketAddr>,
    /// Of metrics and health.
    admin: BTreeMap<Role, SocketAddr>,
    /// The edges of users, by their ids.
    homes: Mutex<HashMap<String, usize>>,
    /// Other ways of edges to the core.
    ways: BTreeMap<Role, SocketAddr>,
    /// Where that is on a server. Dropped after the processes have ended.
    database: Option<Database>,
}

impl TestChat {
    pub async fn start(arrangement: Arrangement) -> Self {
        Self::builder(arrangement).start().await
    }

    pub fn builder(arrangement: Arrangement) -> Builder {
        Builder::new(arrangement)
    }

    pub(crate) async fn launch(builder: Builder) -> Self {
        let roles = builder.roles();
        let database = builder.database().await;
        let address = builder.address();
        let mut chat = Self {
            builder,
            directory: tempfile::tempdir().expect("a temporary directory"),
            address,
            processes: BTreeMap::new(),
            logs: Vec::new(),
            http: BTreeMap::new(),
            grpc: BTreeMap::new(),
            admin: BTreeMap::new(),
            homes: Mutex::default(),
            ways: BTreeMap::new(),
            database,
        };
        // Cores start together, as they do in a cluster that is set up; edges are told where they listen.
        let (cores, others): (Vec<_>, Vec<_>) =
            roles.into_iter().partition(|role| matches!(role, Role::Core(_)));
        for roles in [cores, others] {
            for role in &roles {
                chat.begin(*role);
            }
            for role in roles {
                chat.listens(role).await;
            }
        }
        chat.ready().await;
        chat
    }

    /// A setting of the processes that are started from now on.
    pub fn set(&mut self, flag: &str, value: &str) {
        self.builder = self.builder.clone().set(flag, value);
    }

    /// The program of the processes that are started from now on; `None` is that under test.
    pub fn use_program(&mut self, program: Option<PathBuf>) {
        self.builder = self.builder.clone().program(program);
    }

    /// The same of one that they have no more.
    pub fn unset(&mut self, flag: &str) {
        self.builder = self.builder.clone().unset(flag);
    }

    /// Starts a process that is not running, on the data directory and ports it had before, and
    /// waits until it listens.
    pub async fn spawn(&mut self, role: Role) {
        self.begin(role);
        self.listens(role).await;
    }

    /// The same of one that may refuse to start: how it ended then.
    pub async fn try_spawn(&mut self, role: Role) -> Option<ExitStatus> {
        self.begin(role);
        let log = self.log(role);
        let is_over = eventually("a start, or its end", async || {
            let listens = log.contains("\"http.addr\"") || log.contains("\"grpc.addr\"");
            let is_over = !self.process(role).is_running();
            (listens || is_over).then_some(is_over)
        })
        .await;
        if is_over {
            return Some(self.ended(role).await);
        }
        self.listens(role).await;
        None
    }

    /// Starts a process without waiting for anything.
    pub fn begin(&mut self, role: Role) {
        assert!(!self.processes.contains_key(&role), "{role:?} is running already");
        let process = Process::spawn(self.command(&[], role));
        self.logs.push((role, process.log()));
        self.processes.insert(role, process);
    }

    /// Runs the program to its end with the command line and the variables of a process, behind other words: `doctor`, for
    /// example.
    pub async fn run_before(&self, words: &[&str], role: Role) -> Ended {
        process::run_command(self.command(words, role)).await
    }

    fn command(&self, before: &[&str], role: Role) -> Command {
        let any_port = SocketAddr::from((self.address, 0));
        let http = self.http.get(&role).copied().unwrap_or(any_port);
        let grpc = self.grpc.get(&role).copied().unwrap_or(any_port);
        let database = self.database.as_ref();
        let mut command = self.builder.command(before, role, self.directory(), database);
        let address = |flag, value: SocketAddr| (variable_name(flag), value.to_string());
        match role {
            Role::Serve => {
                command.envs([address("http-addr", http), address("grpc-addr", grpc)]);
            }
            Role::Core(_) => {
                command.envs([address("grpc-addr", grpc)]);
            }
            Role::Edge(index) => {
                command.envs([address("http-addr", http)]);
                let way = self.ways.get(&role).map(|way| format!("http://{way}"));
                let cores = way.unwrap_or_else(|| self.cores_for(index));
                command.env(variable_name("core"), cores);
            }
        }
        command
    }

    async fn listens(&mut self, role: Role) {
        let mut log = self.log(role);
        if matches!(role, Role::Serve | Role::Edge(_)) {
            self.http.insert(role, log.address("http.addr").await);
        }
        if matches!(role, Role::Serve | Role::Core(_)) {
            self.grpc.insert(role, log.address("grpc.addr").await);
        }
        if self.builder.get("admin-addr") != Some("none") {
            self.admin.insert(role, log.address("admin.addr").await);
        }
    }

    /// What an edge is told of the cores: each begins with another one.
    fn cores_for(&self, edge: usize) -> String {
        let scheme =
            if self.builder.get("grpc-tls-cert-file").is_some() { "https" } else { "http" };
        let mut cores: Vec<_> =
            self.grpc.values().map(|core| format!("{scheme}://{core}")).collect();
        if !cores.is_empty() {
            let first = edge % cores.len();
            cores.rotate_left(first);
        }
        cores.join(",")
    }

    /// Waits until every running edge answers `/readyz` with 200.
    pub async fn ready(&self) {
        let has_tls = self.builder.get("http-tls-cert-file").is_some();
        for (role, address) in &self.http {
            if self.processes.contains_key(role) {
                // That of metrics and health is plaintext.
                let edge = if has_tls { self.admin(*role) } else { Edge { address: *address } };
                eventually("readyz", || async {
                    let answer = edge.get("/readyz").try_send().await.ok()?;
                    (answer.status == 200).then_some(())
                })
                .await;
            }
        }
    }

    /// Metrics and health of one process.
    pub fn admin(&self, role: Role) -> Edge {
        let address = self.admin.get(&role);
        Edge { address: *address.unwrap_or_else(|| panic!("{role:?} shows no metrics")) }
    }

    pub fn arrangement(&self) -> Arrangement {
        self.builder.arrangement
    }

    /// The process that holds the database; in a cluster, the first of those that share it.
    pub fn core_role(&self) -> Role {
        self.core_roles()[0]
    }

    /// Every process that works on the database.
    pub fn core_roles(&self) -> Vec<Role> {
        let is_core = |role: &Role| matches!(role, Role::Serve | Role::Core(_));
        self.roles().into_iter().filter(is_core).collect()
    }

    /// The process that clients talk to; of several, the first.
    pub fn edge_role(&self) -> Role {
        self.edge_roles()[0]
    }

    /// Every process that clients talk to.
    pub fn edge_roles(&self) -> Vec<Role> {
        let is_edge = |role: &Role| matches!(role, Role::Serve | Role::Edge(_));
        self.roles().into_iter().filter(is_edge).collect()
    }

    /// Every process of the deployment, in the order in which they are started.
    pub fn roles(&self) -> Vec<Role> {
        self.builder.roles()
    }

    pub fn process(&mut self, role: Role) -> &mut Process {
        self.processes.get_mut(&role).unwrap_or_else(|| panic!("{role:?} is not running"))
    }

    /// SIGKILL.
    pub fn kill(&mut self, role: Role) {
        self.process(role).kill();
        self.processes.remove(&role);
    }

    /// SIGKILL to a process that may have ended before.
    pub fn stop_if_running(&mut self, role: Role) {
        if let Some(mut process) = self.processes.remove(&role) {
            process.kill();
        }
    }

    /// Processes that are started from now on work on another database, on PostgreSQL.
    pub fn move_to(&mut self, database: Database) {
        self.database = Some(database);
    }

    /// Starts an edge again, which reaches a core by another address from now on: a proxy, for example.
    pub async fn lead(&mut self, edge: Role, way: SocketAddr) {
        self.ways.insert(edge, way);
        self.restart(edge).await;
    }

    /// SIGTERM, and how the process ended.
    pub async fn terminate(&mut self, role: Role) -> ExitStatus {
        self.process(role).signal(Signal::TERM);
        self.ended(role).await
    }

    /// Waits for a process to end by itself.
    pub async fn ended(&mut self, role: Role) -> ExitStatus {
        let status = self.process(role).wait().await;
        self.processes.remove(&role);
        status
    }

    /// Kills a process and starts it again; returns when every edge is ready.
    pub async fn restart(&mut self, role: Role) {
        self.kill(role);
        self.spawn(role).await;
        self.ready().await;
    }

    /// What the newest process of this role has logged.
    pub fn log(&self, role: Role) -> Log {
        let newest = self.logs.iter().rev().find(|(of, _)| *of == role);
        newest.unwrap_or_else(|| panic!("{role:?} was never started")).1.clone()
    }

    /// Resident memory of all processes together, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.processes.values().map(Process::resident_bytes).sum()
    }

    /// The same without what is read of files, such as the program itself.
    pub fn private_bytes(&self) -> u64 {
        self.processes.values().map(Process::private_bytes).sum()
    }

    /// Where the processes run, and where each keeps its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory of the core; of several, of the first.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir_of(self.core_role())
    }

    pub fn data_dir_of(&self, role: Role) -> PathBuf {
        self.directory().join(self.builder.data_dir(role))
    }

    /// Where the attachments are kept.
    pub fn media_dir(&self) -> PathBuf {
        self.directory().join(self.builder.media_dir())
    }

    /// The database on PostgreSQL.
    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("a deployment on PostgreSQL")
    }

    /// Changes rows by hand, as one transaction of another program's.
    pub async fn change_rows(&self, statements: &[&str]) {
        match &self.database {
            Some(database) => database.change_rows(statements).await,
            None => database::change_file(&self.data_dir().join("chat.db"), statements).await,
        }
    }

    /// What a query gives that counts rows.
    pub async fn count(&self, query: &str) -> i64 {
        match &self.database {
            Some(database) => database.count(query).await,
            None => database::count_in_file(&self.data_dir().join("chat.db"), query).await,
        }
    }

    /// Every attachment below the media directory, unfinished ones included.
    pub fn media_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.media_dir().join("attachments")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files
    }

    /// Waits until that many files are left: what a refused upload had written is removed after its answer.
    pub async fn keeps_files(&self, count: usize) {
        let what = format!("the media directory to keep {count} files");
        crate::eventually(&what, async || (self.media_files().len() == count).then_some(())).await;
    }

    /// The same below that directory, without what marks those that are still being written.
    pub fn media_paths(&self) -> Vec<String> {
        let media = self.media_dir();
        let relative = |file: &PathBuf| file.strip_prefix(&media).expect("a file of it").to_owned();
        let paths = self.media_files().into_iter().map(|file| relative(&file));
        let names = paths.map(|path| path.to_string_lossy().into_owned());
        names.map(|name| name.split('#').next().unwrap_or_default().to_owned()).collect()
    }

    /// Files that a core which is gone had begun. Where several cores share a database, they stay for as long
    /// as another core could still be writing them; a single core removes them when it starts.
    pub async fn unfinished_files(&self) -> Vec<String> {
        match &self.database {
            Some(database) => database.unfinished_files().await,
            None => Vec::new(),
        }
    }

    /// The core; of several, the first.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address_of(self.core_role())
    }

    pub fn grpc_address_of(&self, core: Role) -> SocketAddr {
        *self.grpc.get(&core).unwrap_or_else(|| panic!("{core:?} was not started"))
    }

    /// The edge; of several, the first.
    pub fn edge(&self) -> Edge {
        Edge { address: self.http[&self.edge_role()] }
    }

    /// One of the edges. A single one is every one.
    pub fn edge_at(&self, index: usize) -> Edge {
        let edges = self.edge_roles();
        Edge { address: self.http[&edges[index % edges.len()]] }
    }

    /// All edges.
    pub fn edges(&self) -> Vec<Edge> {
        (0..self.edge_roles().len()).map(|index| self.edge_at(index)).collect()
    }

    /// Where this user's requests go. In a cluster users are spread over the edges in the order in
    /// which they come, so that two who talk with each other are at different ones; elsewhere all are
    /// at the first.
    pub fn edge_of(&self, user: &User) -> Edge {
        if self.arrangement() != Arrangement::Cluster {
            return self.edge();
        }
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        let next = homes.len();
        self.edge_at(*homes.entry(user.id.clone()).or_insert(next))
    }

    /// A user that the program has not seen yet, `<name>@example.com`.
    pub fn stranger(&self, name: &str) -> User {
        User::new(name, self.jwt_secret())
    }

    /// A user in the directory.
    pub async fn user(&self, name: &str) -> User {
        let user = self.stranger(name);
        let edge = self.edge_of(&user);
        eventually("the user in the directory", || async {
            let answer = edge.get("/chat/get-user-threads/").bearer(&user.token).send().await;
            // The test may have killed a core just before: 503 asks for another attempt.
            assert!([200, 503].contains(&answer.status), "provision {name}: {answer:?}");
            (answer.status == 200).then_some(())
        })
        .await;
        user
    }

    /// A user with an open socket.
    pub async fn join(&self, name: &str) -> (User, Socket) {
        let user = self.stranger(name);
        let socket = self.connect(&user).await;
        (user, socket)
    }

    pub async fn connect(&self, user: &User) -> Socket {
        self.edge_of(user).connect(user).await
    }

    pub fn get(&self, path: &str) -> Request {
        self.edge().get(path)
    }

    pub fn post(&self, path: &str) -> Request {
        self.edge().request("POST", path)
    }

    /// The messages of a conversation, as `reader` sees them.
    pub async fn history(&self, reader: &User, peer: &User) -> Vec<serde_json::Value> {
        self.edge_of(reader).history(reader, peer).await
    }

    fn jwt_secret(&self) -> &str {
        self.builder.get("jwt-secret").unwrap_or(settings::JWT_SECRET)
    }

    fn forbidden_in_logs(&self) -> Option<String> {
        let secrets = ["jwt-secret", "service-token"].map(|flag| self.builder.get(flag));
        // Every JWT begins with "eyJ", and the bodies that tests send on purpose with "canary".
        let words = secrets.into_iter().flatten().chain(["eyJ", "canary", "panicked"]);
        for word in words.filter(|word| !word.is_empty()) {
            for (role, log) in &self.logs {
                if let Some(line) = log.lines().into_iter().find(|line| line.contains(word)) {
                    return Some(format!("{word:?} in the log of {role:?}: {line}"));
                }
            }
        }
        None
    }
}

impl Drop for TestChat {
    fn drop(&mut self) {
        self.processes.clear();
        if std::thread::panicking() {
            for (role, log) in &self.logs {
                eprintln!("--- log of {role:?}\n{}", log.lines().join("\n"));
            }
        } else if let Some(found) = self.forbidden_in_logs() {
            panic!("{found}");
        }
    }
}
