//! What a deployment is started with.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    chat::{Arrangement, Role, TestChat},
    database::{Database, Server},
    engine, process,
};

/// Long enough for HS512.
pub const JWT_SECRET: &str = "a-secret-of-the-tests-that-is-64-bytes-long-for-HS512-0123456789";
pub const SERVICE_TOKEN: &str = "a-service-token-of-the-tests-0123456789";

/// Which database a core keeps its data in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In its data directory.
    Sqlite,
    /// On the shared server, or on one of the test's own.
    Postgres,
}

/// What the cores of a deployment share with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    Postgres,
    Nats,
}

/// A deployment that is not started yet.
///
/// Settings are given as environment variables, because a role ignores those of flags that it does
/// not have (PROTOCOL section 6): one list serves all of them.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) arrangement: Arrangement,
    cores: usize,
    edges: usize,
    /// Of its own unless told.
    address: Option<Ipv4Addr>,
    store: Store,
    /// Servers of the test's own, in place of the shared ones.
    engines: BTreeMap<Engine, Server>,
    /// Other ways of a core to an engine.
    routes: BTreeMap<(Role, Engine), SocketAddr>,
    /// By flag, without its dashes.
    settings: BTreeMap<String, OsString>,
    variables: Vec<(Role, OsString, OsString)>,
    arguments: Vec<(Role, OsString)>,
    launchers: BTreeMap<Role, Vec<OsString>>,
    /// In place of the program under test.
    program: Option<PathBuf>,
}

impl Builder {
    pub(crate) fn new(arrangement: Arrangement) -> Self {
        let (nodes, store) = match arrangement {
            Arrangement::Serve | Arrangement::Split => (1, Store::Sqlite),
            Arrangement::Cluster => (2, Store::Postgres),
        };
        let builder = Self {
            arrangement,
            cores: nodes,
            edges: nodes,
            address: None,
            store,
            engines: BTreeMap::new(),
            routes: BTreeMap::new(),
            settings: BTreeMap::new(),
            variables: Vec::new(),
            arguments: Vec::new(),
            launchers: BTreeMap::new(),
            program: None,
        };
        builder
            .set("log-format", "json")
            .set("admin-addr", "127.0.0.1:0")
            .set("jwt-secret", JWT_SECRET)
            .set("service-token", SERVICE_TOKEN)
    }

    /// Sets an option of every role that has it; `flag` without its dashes.
    pub fn set(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        self.settings.insert(flag.to_owned(), value.into());
        self
    }

    /// Leaves an option at its default.
    pub fn unset(mut self, flag: &str) -> Self {
        self.settings.remove(flag);
        self
    }

    /// Sets an environment variable of one role, as it stands.
    pub fn variable(
        mut self,
        role: Role,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Self {
        self.variables.push((role, name.into(), value.into()));
        self
    }

    /// Adds a command line argument of one role.
    pub fn argument(mut self, role: Role, argument: impl Into<OsString>) -> Self {
        self.arguments.push((role, argument.into()));
        self
    }

    /// Starts one role by another program, `prlimit --nofile=100` for example, which is to `exec` the
    /// command line that follows its own.
    pub fn launcher(mut self, role: Role, words: impl IntoIterator<Item: Into<OsString>>) -> Self {
        self.launchers.insert(role, words.into_iter().map(Into::into).collect());
        self
    }

    /// Starts another program: that of another version.
    pub fn program(mut self, program: Option<PathBuf>) -> Self {
        self.program = program;
        self
    }

    /// How many edges there are beside the cores; one unless told, two in a cluster.
    pub fn edges(mut self, edges: usize) -> Self {
        self.edges = edges;
        self
    }

    /// The address of this machine that its processes listen on: a certificate has to name it, for example.
    pub fn at(mut self, address: Ipv4Addr) -> Self {
        self.address = Some(address);
        self
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.unwrap_or_else(own_address)
    }

    /// How many cores a cluster has; two unless told.
    pub fn cores(mut self, cores: usize) -> Self {
        assert_eq!(self.arrangement, Arrangement::Cluster, "only a cluster has several cores");
        self.cores = cores;
        self
    }

    /// Where a single core keeps its data; a cluster is always on PostgreSQL.
    pub fn store(mut self, store: Store) -> Self {
        assert!(self.arrangement != Arrangement::Cluster || store == Store::Postgres);
        self.store = store;
        self
    }

    /// A server of the test's own instead of the shared one.
    pub fn engine(mut self, engine: Engine, server: &Server) -> Self {
        self.engines.insert(engine, server.clone());
        self
    }

    /// The way of one core to an engine: a proxy, for example.
    pub fn route(mut self, core: Role, engine: Engine, address: SocketAddr) -> Self {
        self.routes.insert((core, engine), address);
        self
    }

    /// Starts the processes and waits until each is ready.
    pub async fn start(self) -> TestChat {
        TestChat::launch(self).await
    }

    pub(crate) fn get(&self, flag: &str) -> Option<&str> {
        self.settings.get(flag).and_then(|value| value.to_str())
    }

    /// The roles of the deployment, in the order in which they are started.
    pub(crate) fn roles(&self) -> Vec<Role> {
        match self.arrangement {
            Arrangement::Serve => vec![Role::Serve],
            Arrangement::Split | Arrangement::Cluster => {
                (0..self.cores).map(Role::Core).chain((0..self.edges).map(Role::Edge)).collect()
            }
        }
    }

    /// The database that the deployment needs on a server, if any.
    pub(crate) async fn database(&self) -> Option<Database> {
        match (self.store, self.engines.get(&Engine::Postgres)) {
            (Store::Sqlite, _) => None,
            (Store::Postgres, Some(server)) => Some(Database::create(server).await),
            (Store::Postgres, None) => Some(Database::create_on_shared().await),
        }
    }

    /// Where a process keeps its files, below the directory of the deployment.
    pub(crate) fn data_dir(&self, role: Role) -> PathBuf {
        match (role, self.arrangement) {
            (Role::Core(index), Arrangement::Cluster) => format!("core-{index}").into(),
            (Role::Serve | Role::Core(_), _) => "data".into(),
            (Role::Edge(index), _) => format!("edge-{index}").into(),
        }
    }

    /// Where attachments are kept.
    pub(crate) fn media_dir(&self) -> &Path {
        Path::new(if self.arrangement == Arrangement::Cluster { "media" } else { "data/media" })
    }

    /// The URLs of what a core shares with others.
    fn shared(&self, role: Role, directory: &Path, database: &Database) -> Vec<(String, String)> {
        let route = |engine| self.routes.get(&(role, engine)).copied();
        let url = route(Engine::Postgres).map_or_else(|| database.url(), |at| database.url_at(at));
        let mut variables = vec![(variable_name("database-url"), url)];
        if self.arrangement == Arrangement::Cluster {
            let nats = self.engines.get(&Engine::Nats).cloned();
            let nats = nats.unwrap_or_else(engine::shared_nats);
            let nats = route(Engine::Nats).map_or_else(|| nats.clone(), |at| nats.at(at));
            variables.push((variable_name("bus-url"), nats.to_string()));
            let media = directory.join(self.media_dir());
            variables.push((variable_name("media-url"), format!("file://{}", media.display())));
        }
        variables
    }

    /// `before` are the words before the role.
    pub(crate) fn command(
        &self,
        before: &[&str],
        role: Role,
        directory: &Path,
        database: Option<&Database>,
    ) -> Command {
        let launcher = self.launchers.get(&role).map_or(&[][..], Vec::as_slice);
        let mut command = match &self.program {
            Some(program) => process::command_of(program, launcher, directory),
            None => process::command_by(launcher, directory),
        };
        command.args(before).arg(match role {
            Role::Serve => "serve",
            Role::Core(_) => "core",
            Role::Edge(_) => "edge",
        });
        if let (Role::Serve | Role::Core(_), Some(database)) = (role, database) {
            command.envs(self.shared(role, directory, database));
        }
        command.envs(self.settings.iter().map(|(flag, value)| (variable_name(flag), value)));
        if !self.settings.contains_key("data-dir") {
            command.env(variable_name("data-dir"), directory.join(self.data_dir(role)));
        }
        for (of, name, value) in &self.variables {
            if *of == role {
                command.env(name, value);
            }
        }
        command.args(self.arguments.iter().filter(|(of, _)| *of == role).map(|(_, text)| text));
        command
    }
}

/// `--http-addr`: `NETROX_CHAT_HTTP_ADDR`.
pub fn variable_name(flag: &str) -> String {
    format!("NETROX_CHAT_{}", flag.to_uppercase().replace('-', "_"))
}

/// A loopback address of the deployment's own, so that no other test's connection can sit on a
/// port that a restarted process wants back.
pub fn own_address() -> Ipv4Addr {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    // From 1 to 254, and again: two at a time never have the same.
    let number = (NEXT.fetch_add(1, Ordering::Relaxed) % 254) as u8 + 1;
    Ipv4Addr::new(127, high.max(1), low, number)
}

/// A free port at an address of its own.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((own_address(), 0)).expect("bind a loopback address");
    listener.local_addr().expect("a bound address")
}
