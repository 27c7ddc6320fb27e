//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, value_parser};
use http::Uri;

use crate::{
    Result, all,
    client::{Door, user::Signer},
    server::{
        Target,
        deployment::{Arrangement, Deployment, Launcher},
        keys::Tokens,
        postgres::TemporaryDatabase,
        program,
    },
    yardstick::relay,
};

/// Measures netrox-chat, or any server that speaks its documented protocol
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every scenario and its yardsticks, as a table
    All(All),
    /// So many messages of each pair in flight, the next when one has arrived
    Closed(ClosedArgs),
    /// Messages at a steady rate, without coordinated omission
    Open(OpenArgs),
    /// One connection that sends pipelined, and the history that it leaves
    History(HistoryArgs),
    /// Memory of idle connections
    Idle(CountArgs<10_000>),
    /// Reads of /metrics while connections are idle
    Scrape(CountArgs<10_000>),
    /// Clients that are cut off and come back all at once
    Storm(CountArgs<5_000>),
    /// The thread list of a user with many threads
    Threads(CountArgs<10_000>),
    /// A long feed, caught up with and come back to (second generation)
    Feed(FeedArgs),
    /// The first page of the thread list, all unread and none (second generation)
    Lists(CountArgs<10_000>),
    /// Signals of who types, and as many messages that are stored (second generation)
    Typing(TypingArgs),
    /// Clients that come and go, watched and unwatched (second generation)
    Presence(CountArgs<10_000>),
    /// One user who comes and goes before many watchers (second generation)
    Star(CountArgs<10_000>),
    /// A large file, there and back
    Upload(UploadArgs),
    /// What the bare database can do, and the bare WebSocket
    Yardsticks(Yardsticks),
    #[command(name = relay::SUBCOMMAND, hide = true)]
    Relay,
}

#[derive(Debug, Args)]
pub(crate) struct All {
    #[command(flatten)]
    pub(crate) start: Start,
    /// Messages of the large database: 10,000,000 take minutes and 4 GB
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u64,
    /// Seconds that each load is measured
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Only these, and what they are held against
    #[arg(long, value_delimiter = ',', value_parser = all::NUMBERS)]
    pub(crate) only: Vec<String>,
    /// Holds each figure against another build of the program, by turns: its path
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) against: Option<PathBuf>,
    /// The other build is started without --tls, and with --tokens hs256
    #[arg(long, requires = "against")]
    pub(crate) against_plain: bool,
    /// Turns of both builds; a figure that seems more than 3 % worse gets ten more, and those count
    #[arg(long, default_value_t = 5, requires = "against", value_parser = value_parser!(u32).range(1..))]
    pub(crate) turns: u32,
    /// Writes all that was measured to a file
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The program [default: netrox-chat beside this]
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where data directories are made: the disk that is measured [default: beside the build]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// A PostgreSQL server on which a database may be made: postgres://…
    #[arg(long)]
    pub(crate) postgres_url: Option<String>,
    /// The program that a cluster has its bus from
    #[arg(long, value_name = "PROGRAM", default_value = "nats-server")]
    nats_server: PathBuf,
    /// Has both doors speak TLS, by certificates that the openssl program makes
    #[arg(long)]
    tls: bool,
    /// How access tokens are signed; by a key, the openssl program makes it
    #[arg(long, value_enum, default_value = "hs256")]
    tokens: Tokens,
}

impl Start {
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        match &self.directory {
            Some(directory) => Ok(directory.clone()),
            // Not the system's: that may be in memory.
            None => Ok(std::env::current_exe()?.with_file_name("")),
        }
    }

    pub(crate) fn launcher(&self) -> Result<Launcher> {
        let program = program::find(self.program.as_deref())?;
        Ok(Launcher {
            program: program.canonicalize()?,
            directory: self.directory()?.canonicalize()?,
            database_url: None,
            nats_server: self.nats_server.clone(),
            tls: self.tls,
            tokens: self.tokens,
        })
    }
}

/// The server to measure: one that runs, or one to be started.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// A running server, http://HOST:PORT; several share the connections
    #[arg(long, requires = "jwt_secret")]
    url: Vec<Uri>,
    /// What its access tokens are signed with, HS256
    #[arg(long, env = "NETROX_CHAT_JWT_SECRET", hide_env_values = true)]
    jwt_secret: Option<String>,
    /// What to start where there is no --url
    #[arg(long, value_enum, default_value = "serve")]
    arrangement: Arrangement,
    #[command(flatten)]
    start: Start,
}

/// A server and what must be put away after it.
pub(crate) struct Opened {
    pub(crate) target: Target,
    deployment: Option<Deployment>,
    database: Option<TemporaryDatabase>,
}

impl TargetArgs {
    pub(crate) async fn open(self) -> Result<Opened> {
        if let (false, Some(jwt_secret)) = (self.url.is_empty(), self.jwt_secret) {
            let doors = self.url.iter().map(Door::try_from).collect::<Result<_>>()?;
            let signer = Signer::by_secret(&jwt_secret);
            let target =
                Target { doors, signer, processes: None, database: None, admin: Vec::new() };
            return Ok(Opened { target, deployment: None, database: None });
        }
        let mut launcher = self.start.launcher()?;
        let mut database = None;
        if self.arrangement.is_on_postgres() {
            let url = self.start.postgres_url.as_ref().ok_or("--postgres-url is missing")?;
            let created = TemporaryDatabase::create(url).await?;
            launcher.database_url = Some(created.url.clone());
            database = Some(created);
        }
        let deployment = launcher.start(self.arrangement).await?;
        Ok(Opened { target: deployment.target.clone(), deployment: Some(deployment), database })
    }
}

impl Opened {
    pub(crate) async fn close(self) -> Result<()> {
        drop(self.deployment);
        match self.database {
            Some(database) => database.remove().await,
            None => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ClosedArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Receivers, each with its own senders
    #[arg(long, default_value_t = 50)]
    pub(crate) receivers: usize,
    /// Senders of each receiver
    #[arg(long, default_value_t = 1)]
    pub(crate) senders: usize,
    /// Messages of each sender under way
    #[arg(long, default_value_t = 8)]
    pub(crate) in_flight: usize,
    #[arg(long, default_value_t = 64)]
    pub(crate) body_bytes: usize,
    /// Receivers are of the second generation, and mark each message as seen
    #[arg(long)]
    pub(crate) marks: bool,
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Messages of the feed, 100,000 at least
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u32,
}

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[arg(long, default_value_t = 50)]
    pub(crate) pairs: usize,
    /// Messages a second of all pairs together
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rate: u32,
    #[arg(long, default_value_t = 64)]
    pub(crate) body_bytes: usize,
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TypingArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Those who type, to one peer each: at most one signal a second of each passes
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..))]
    pub(crate) pairs: u32,
    /// Signals a second of all together
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[arg(long, default_value_t = 100_000)]
    pub(crate) messages: u32,
    /// Messages under way while they are sent
    #[arg(long, default_value_t = 256)]
    pub(crate) in_flight: usize,
    /// How often the history is read
    #[arg(long, default_value_t = 5)]
    pub(crate) reads: u32,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs<const DEFAULT: usize> {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// How many
    #[arg(long, default_value_t = DEFAULT)]
    pub(crate) count: usize,
}

#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[arg(long, default_value_t = 26_214_400)]
    pub(crate) bytes: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Yardsticks {
    #[command(flatten)]
    pub(crate) start: Start,
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
