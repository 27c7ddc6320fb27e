//! What an operator can set of a core.

use std::{fmt, path::PathBuf, time::Duration};

use netrox_audit::Audit;
use netrox_tls::ServerTls;

use crate::{auth::ServicesFile, quotas::Quotas};

mod postgres_url;
mod url;

pub use self::{
    postgres_url::PostgresUrl,
    url::{BusUrl, S3Url, UrlError},
};

#[derive(Clone)]
pub struct Config {
    /// Locked against a second process while the core is open.
    pub data_dir: PathBuf,
    pub database: Database,
    /// Whether a database without data of ours is refused instead of filled.
    pub require_existing_data: bool,
    pub media: MediaLocation,
    /// What connects the cores of a cluster. Without one, what other cores store is found by looking into
    /// the database now and then.
    pub bus: Option<BusConfig>,
    /// Of the gRPC socket; absent for plaintext.
    pub tls: Option<ServerTls>,
    /// The bearer credentials that callers may present, at least one.
    pub service_tokens: Vec<String>,
    /// Services that may do less, by name.
    pub services: Option<ServicesFile>,
    /// Where administrative and security events are told.
    pub audit: Audit,
    /// How long a write waits for a database that is away.
    pub store_wait: Duration,
    /// How long it does so from when the process begins to end.
    pub drain_wait: Duration,
    /// Bytes of UTF-8 of a message body.
    pub max_body_bytes: usize,
    /// Bytes of an uploaded file.
    pub max_attachment_bytes: u64,
    /// How long after it was sent a message may be edited; absent for ever, 0 for never.
    pub edit_window: Option<Duration>,
    /// The same of its deletion for everyone.
    pub delete_window: Option<Duration>,
    /// How long messages are kept, with their files; absent for ever.
    pub retain_messages: Option<Duration>,
    /// How long an expiring link to a file is good: a day at most.
    pub link_ttl: Duration,
    /// How much of what is kept a user may take.
    pub quotas: Quotas,
    /// Whether messages are indexed, and can be searched for.
    pub search: bool,
}

/// The bus between the cores of a cluster, and how it is entered.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// May hold a user and password, or a token.
    pub url: BusUrl,
    /// JWT and seed of a NATS user.
    pub credentials_file: Option<PathBuf>,
    /// Seed of a NATS user that is known by its public key.
    pub nkey_file: Option<PathBuf>,
    /// PEM: who signs the certificates of the servers, instead of the authorities of the system.
    pub tls_ca_file: Option<PathBuf>,
    /// PEM: certificate and private key that are shown to the servers.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// Whether TLS comes before the servers say who they are (`handshake_first`).
    pub tls_first: bool,
}

/// Where users, threads and messages are kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of this core alone; created where it is missing.
    Sqlite(PathBuf),
    /// A database that several cores may share.
    Postgres(PostgresDatabase),
}

/// A database of a PostgreSQL server, and what of it is ours.
#[derive(Debug, Clone)]
pub struct PostgresDatabase {
    pub url: PostgresUrl,
    /// The schema of the tables. Without one it is that which has them; a new database has them in the first schema
    /// of the role's search path.
    pub schema: Option<String>,
    pub accepted: AcceptedSettings,
    /// After it, or a quarter of it sooner, a connection that reads is replaced.
    pub connection_lifetime: Duration,
}

impl PostgresDatabase {
    pub const DEFAULT_CONNECTION_LIFETIME: Duration = Duration::from_secs(30 * 60);
}

/// A setting of PostgreSQL that may be off where the server is durable otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseSetting {
    Fsync,
    FullPageWrites,
}

impl DatabaseSetting {
    /// As PostgreSQL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::FullPageWrites => "full_page_writes",
        }
    }
}

/// Those that the operator answers for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptedSettings {
    fsync: bool,
    full_page_writes: bool,
}

impl FromIterator<DatabaseSetting> for AcceptedSettings {
    fn from_iter<I: IntoIterator<Item = DatabaseSetting>>(settings: I) -> Self {
        let mut accepted = Self::default();
        for setting in settings {
            match setting {
                DatabaseSetting::Fsync => accepted.fsync = true,
                DatabaseSetting::FullPageWrites => accepted.full_page_writes = true,
            }
        }
        accepted
    }
}

impl AcceptedSettings {
    fn names(self) -> impl Iterator<Item = &'static str> {
        let fsync = self.fsync.then_some(DatabaseSetting::Fsync);
        let full_page_writes = self.full_page_writes.then_some(DatabaseSetting::FullPageWrites);
        fsync.into_iter().chain(full_page_writes).map(DatabaseSetting::name)
    }

    pub fn is_empty(self) -> bool {
        self.names().next().is_none()
    }

    pub(crate) fn contains(self, name: &str) -> bool {
        self.names().any(|accepted| accepted == name)
    }
}

impl fmt::Display for AcceptedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

/// Where the bytes of attachments are kept.
#[derive(Debug, Clone)]
pub enum MediaLocation {
    /// Created where it is missing. Cores that share a database have to share it, too.
    Directory(PathBuf),
    S3(S3Url),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(database) => write!(f, "{database}"),
        }
    }
}

impl fmt::Display for PostgresDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}

impl fmt::Display for MediaLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::S3(url) => write!(f, "{url}"),
        }
    }
}

/// Credentials stay out of logs.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("database", &self.database)
            .field("media", &self.media)
            .field("bus", &self.bus)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_attachment_bytes", &self.max_attachment_bytes)
            .field("edit_window", &self.edit_window)
            .field("delete_window", &self.delete_window)
            .field("retain_messages", &self.retain_messages)
            .field("link_ttl", &self.link_ttl)
            .field("quotas", &self.quotas)
            .field("search", &self.search)
            .finish_non_exhaustive()
    }
}
