//! A running deployment.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Builder, Edge, Socket, User, eventually,
    process::{Log, Process},
    rest::Request,
    settings::{self, variable_name},
};

/// Which processes make up a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// Core and edge in one process.
    Serve,
    /// A core and one or more edges.
    Split,
}

/// One process of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Serve,
    Core,
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
    grpc: Option<SocketAddr>,
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
        let mut chat = Self {
            builder,
            directory: tempfile::tempdir().expect("a temporary directory"),
            address: settings::own_address(),
            processes: BTreeMap::new(),
            logs: Vec::new(),
            http: BTreeMap::new(),
            grpc: None,
        };
        for role in &roles {
            chat.spawn(*role).await;
        }
        chat.ready().await;
        chat
    }

    /// Starts a process that is not running, on the data directory and ports it had before, and
    /// waits until it listens.
    pub async fn spawn(&mut self, role: Role) {
        assert!(!self.processes.contains_key(&role), "{role:?} is running already");
        let any_port = SocketAddr::from((self.address, 0));
        let http = self.http.get(&role).copied().unwrap_or(any_port);
        let grpc = self.grpc.unwrap_or(any_port);
        let mut command = self.builder.command(role, self.directory.path());
        let address = |flag, value: SocketAddr| (variable_name(flag), value.to_string());
        match role {
            Role::Serve => {
                command.envs([address("http-addr", http), address("grpc-addr", grpc)]);
            }
            Role::Core => {
                command.envs([address("grpc-addr", grpc)]);
            }
            Role::Edge(_) => {
                command.envs([address("http-addr", http)]);
                command.env(variable_name("core"), format!("http://{grpc}"));
            }
        }
        let process = Process::spawn(command);
        let mut log = process.log();
        self.processes.insert(role, process);
        self.logs.push((role, log.clone()));
        if role != Role::Core {
            self.http.insert(role, log.address("http.addr").await);
        }
        if matches!(role, Role::Serve | Role::Core) {
            self.grpc = Some(log.address("grpc.addr").await);
        }
    }

    /// Waits until every running edge answers `/readyz` with 200.
    pub async fn ready(&self) {
        for (role, address) in &self.http {
            if self.processes.contains_key(role) {
                let edge = Edge { address: *address };
                eventually("readyz", || async {
                    let answer = edge.get("/readyz").try_send().await.ok()?;
                    (answer.status == 200).then_some(())
                })
                .await;
            }
        }
    }

    pub fn arrangement(&self) -> Arrangement {
        self.builder.arrangement
    }

    /// The process that holds the database.
    pub fn core_role(&self) -> Role {
        match self.builder.arrangement {
            Arrangement::Serve => Role::Serve,
            Arrangement::Split => Role::Core,
        }
    }

    /// The process that clients talk to: the first edge.
    pub fn edge_role(&self) -> Role {
        match self.builder.arrangement {
            Arrangement::Serve => Role::Serve,
            Arrangement::Split => Role::Edge(0),
        }
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

    /// Where the processes run; the data directory of the core is `data` in it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Every file below the media directory, unfinished ones included.
    pub fn media_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.data_dir().join("media")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files
    }

    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc.expect("a core was started")
    }

    /// The first edge.
    pub fn edge(&self) -> Edge {
        Edge { address: self.http[&self.edge_role()] }
    }

    /// One of several edges.
    pub fn edge_at(&self, index: usize) -> Edge {
        match self.builder.arrangement {
            Arrangement::Serve => self.edge(),
            Arrangement::Split => Edge { address: self.http[&Role::Edge(index)] },
        }
    }

    /// A user that the program has not seen yet, `<name>@example.com`.
    pub fn stranger(&self, name: &str) -> User {
        User::new(name, self.jwt_secret())
    }

    /// A user in the directory.
    pub async fn user(&self, name: &str) -> User {
        let user = self.stranger(name);
        let answer = self.get("/chat/get-user-threads/").bearer(&user.token).send().await;
        assert_eq!(answer.status, 200, "provision {name}: {answer:?}");
        user
    }

    /// A user with an open socket.
    pub async fn join(&self, name: &str) -> (User, Socket) {
        let user = self.stranger(name);
        let socket = self.connect(&user).await;
        (user, socket)
    }

    pub async fn connect(&self, user: &User) -> Socket {
        self.edge().connect(user).await
    }

    pub fn get(&self, path: &str) -> Request {
        self.edge().get(path)
    }

    pub fn post(&self, path: &str) -> Request {
        self.edge().request("POST", path)
    }

    /// The messages of a conversation, as `reader` sees them.
    pub async fn history(&self, reader: &User, peer: &User) -> Vec<serde_json::Value> {
        self.edge().history(reader, peer).await
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
