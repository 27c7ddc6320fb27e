//! netrox-chat, started by the bench in a directory of its own.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{
    Target,
    child::Running,
    keys::{Certificate, Keys, Tokens},
    process::Processes,
    program,
};
use crate::{
    Result,
    client::{Door, http},
};

const SERVICE_TOKEN: &str = "a-service-token-of-the-bench-0123456789";
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(2);

/// Which processes make up a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrangement {
    /// Core and edge in one process, on SQLite.
    Serve,
    /// Core and edge in a process each, on SQLite.
    Split,
    /// As `split`, on PostgreSQL.
    Postgres,
    /// As `postgres`, with NATS for a bus.
    Cluster,
}

impl Arrangement {
    /// Whether it wants a database of a PostgreSQL server.
    pub(crate) fn is_on_postgres(self) -> bool {
        matches!(self, Self::Postgres | Self::Cluster)
    }
}

/// What deployments are started from.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    /// Where data directories are made; on the disk that is to be measured.
    pub(crate) directory: PathBuf,
    /// A database that the deployment may fill, where it is on PostgreSQL.
    pub(crate) database_url: Option<String>,
    /// The program of [`Arrangement::Cluster`].
    pub(crate) nats_server: PathBuf,
    /// Whether both doors speak TLS.
    pub(crate) tls: bool,
    pub(crate) tokens: Tokens,
}

/// A running deployment. Dropping it kills its processes and removes its data.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) target: Target,
    /// From the start of the first process until the last was ready.
    pub(crate) started_in: Duration,
    // In this order: the processes end before their directory goes.
    processes: Vec<Running>,
    directory: TempDir,
}

impl Launcher {
    /// The same of another build.
    pub(crate) fn of(&self, program: &Path) -> Result<Self> {
        Ok(Self { program: program::find(Some(program))?.canonicalize()?, ..self.clone() })
    }

    pub(crate) async fn start(&self, arrangement: Arrangement) -> Result<Deployment> {
        let directory =
            tempfile::Builder::new().prefix("netrox-bench-").tempdir_in(&self.directory)?;
        self.start_in(arrangement, directory).await
    }

    /// Starts on what an earlier deployment left.
    pub(crate) async fn start_in(
        &self,
        arrangement: Arrangement,
        directory: TempDir,
    ) -> Result<Deployment> {
        let keys = Keys::make(directory.path(), self.tokens, self.tls)?;
        let start = Instant::now();
        let (mut processes, mut admin) = (Vec::new(), Vec::new());
        let http_address = match arrangement {
            Arrangement::Serve => {
                let serve = Running::spawn(self.command("serve", directory.path(), &keys))?;
                let [http, metrics] = serve.addresses(["http.addr", "admin.addr"])?;
                admin.push(metrics);
                processes.push(serve);
                http
            }
            Arrangement::Split | Arrangement::Postgres | Arrangement::Cluster => {
                let mut core = self.command("core", directory.path(), &keys);
                if arrangement == Arrangement::Cluster {
                    let (nats, address) = self.start_nats().await?;
                    core.env("NETROX_CHAT_BUS_URL", format!("nats://{address}"));
                    processes.push(nats);
                }
                if arrangement.is_on_postgres() {
                    let url = self.database_url.as_ref().ok_or("--postgres-url is missing")?;
                    core.env("NETROX_CHAT_DATABASE_URL", url);
                }
                let core = Running::spawn(core)?;
                let [grpc, metrics] = core.addresses(["grpc.addr", "admin.addr"])?;
                admin.push(metrics);
                let mut edge = self.command("edge", directory.path(), &keys);
                let scheme = if self.tls { "https" } else { "http" };
                edge.env("NETROX_CHAT_CORE", format!("{scheme}://{grpc}"));
                let edge = Running::spawn(edge)?;
                let [http, metrics] = edge.addresses(["http.addr", "admin.addr"])?;
                admin.push(metrics);
                processes.extend([core, edge]);
                http
            }
        };
        let tls = keys.certificate.as_ref().map(Certificate::client).transpose()?;
        let door = Door { address: http_address, tls };
        wait_until_ready(&door).await?;
        let started_in = start.elapsed();
        let target = Target {
            doors: vec![door],
            signer: keys.signer,
            admin,
            processes: Some(Processes(processes.iter().map(Running::id).collect())),
            database: (!arrangement.is_on_postgres()).then(|| database(directory.path())),
        };
        Ok(Deployment { target, started_in, processes, directory })
    }

    /// A server of NATS that takes connections.
    async fn start_nats(&self) -> Result<(Running, SocketAddr)> {
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(&self.nats_server);
        command.args(["--addr", "127.0.0.1", "--port", &address.port().to_string()]);
        let nats = Running::spawn(command)
            .map_err(|error| format!("{}: {error}", self.nats_server.display()))?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while TcpStream::connect(address).await.is_err() {
            if Instant::now() > deadline {
                return Err(format!("no server of NATS answers at {address}").into());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok((nats, address))
    }

    fn command(&self, role: &str, directory: &Path, keys: &Keys) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(role).current_dir(directory);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("NETROX_CHAT_") {
                command.env_remove(key);
            }
        }
        // Given as variables, because a role ignores those of flags that it does not have.
        command
            .env("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0")
            .env("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")
            .env("NETROX_CHAT_ADMIN_ADDR", "127.0.0.1:0")
            .env("NETROX_CHAT_DATA_DIR", directory.join("data"))
            .env("NETROX_CHAT_SERVICE_TOKEN", SERVICE_TOKEN)
            .env("NETROX_CHAT_LOG_FORMAT", "json")
            // The load is of few users who send, mark and come back much.
            .env("NETROX_CHAT_SEND_RATE", "0")
            .env("NETROX_CHAT_RECEIPT_RATE", "0")
            .env("NETROX_CHAT_MAX_CONNECTIONS_PER_USER", "1000")
            .envs(keys.variables());
        command
    }
}

impl Deployment {
    /// Kills the processes and keeps what they stored.
    pub(crate) fn stop(self) -> TempDir {
        let Self { processes, directory, .. } = self;
        drop(processes);
        directory
    }
}

/// The embedded database of a deployment.
pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("data").join("chat.db")
}

async fn wait_until_ready(door: &Door) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    while !http::is_ready(door).await {
        if Instant::now() > deadline {
            return Err(format!("{} is not ready", door.address).into());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Ok(())
}
