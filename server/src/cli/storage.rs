//! Where things are kept, and what connects several cores.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use netrox_core::{AcceptedSettings, DatabaseSetting, MediaLocation};

use super::value::{duration, not_empty, path_of_url};
use crate::secret::Secret;

/// Of a name in PostgreSQL, which cuts off the rest.
const MAX_SCHEMA_BYTES: usize = 63;
const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const DEFAULT_DATA_DIR: &str = "./data";

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct DataDirArgs {
    /// Directory of the embedded database, the media and the generated secrets
    ///
    /// Created with mode 0700 where it is missing. Two processes never share one.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct DatabaseArgs {
    /// Database: sqlite://PATH, or postgres://… for several cores
    /// [default: sqlite://<data-dir>/chat.db]
    ///
    /// postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE is PostgreSQL 15 or newer, with the parameters of
    /// libpq: sslmode, sslrootcert, sslcert, sslkey and so on. One that is not known, or promises what is
    /// not kept, is refused by its name. A URL with a password is better given by environment or file: a
    /// command line is seen by other users of the machine.
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<Secret>,

    /// File that holds the URL of the database
    #[arg(long, value_name = "FILE")]
    pub(crate) database_url_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) postgres: PostgresArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,

    /// Age at which a connection that reads PostgreSQL is replaced, or up to a quarter of it sooner
    ///
    /// One at a time, and when another is open. A shorter one bounds the memory of the server's processes,
    /// and fits a balancer that cuts old connections.
    #[arg(long, value_name = "TIME", default_value = "30m")]
    #[arg(value_parser = duration(SHORTEST_LIFETIME..=LONGEST_LIFETIME))]
    pub(crate) database_connection_lifetime: Duration,

    /// Uploaded files: file://PATH or s3://BUCKET[/PREFIX] [default: file://<data-dir>/media]
    ///
    /// Cores that share a database share the media as well: a bucket, or a directory of a shared
    /// filesystem. Region, endpoint and credentials of a bucket are those of the usual variables:
    /// AWS_REGION, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and so on.
    #[arg(long, value_name = "URL", value_parser = parse_media_url)]
    pub(crate) media_url: Option<MediaLocation>,

    /// Start on data that is there, or not at all: make no new chat and no new secrets
    ///
    /// A data directory on a volume that is not mounted would become an empty chat.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) require_existing_data: bool,

    #[command(flatten)]
    pub(crate) bus: BusArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct PostgresArgs {
    /// Schema of a PostgreSQL database that holds the tables [default: the one that has them, in a new
    /// database the first of the role's search_path]
    ///
    /// Needed where several schemas of one database have such tables. In a new database it is created where
    /// it is missing.
    #[arg(long, value_name = "NAME", value_parser = parse_schema)]
    pub(crate) database_schema: Option<String>,

    /// Take a PostgreSQL whose fsync or full_page_writes is off, since its storage is durable otherwise;
    /// may be repeated
    ///
    /// Some services make commits durable by other means and show these settings as off. Elsewhere what was
    /// acknowledged is lost in a crash.
    #[arg(long, value_name = "NAME", value_parser = parse_setting, value_delimiter = ',')]
    pub(crate) accept_database_setting: Vec<DatabaseSetting>,
}

impl PostgresArgs {
    pub(crate) fn accepted(&self) -> AcceptedSettings {
        self.accept_database_setting.iter().copied().collect()
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bus")]
pub(crate) struct BusArgs {
    /// NATS servers that connect several cores: nats://… or tls://…, comma separated
    /// [default: none, one core alone]
    ///
    /// nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT]. Needs a database that cores can share. A URL with
    /// credentials is better given by environment or file: a command line is seen by other users of the
    /// machine.
    #[arg(long, value_name = "URL,…")]
    pub(crate) bus_url: Option<Secret>,

    /// File that holds the URL of the bus
    #[arg(long, value_name = "FILE")]
    pub(crate) bus_url_file: Option<PathBuf>,

    /// File with the credentials of a NATS user: JWT and seed (.creds)
    #[arg(long, value_name = "FILE")]
    pub(crate) bus_credentials_file: Option<PathBuf>,

    /// File with the seed of a NATS user that the servers know by its public key (nkey)
    #[arg(long, value_name = "FILE")]
    pub(crate) bus_nkey_file: Option<PathBuf>,

    /// Begin each connection to NATS with TLS, before the server has said anything: for servers with
    /// handshake_first
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) bus_tls_first: bool,

    /// PEM file of the authorities that sign the certificates of the NATS servers [default: those of
    /// the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) bus_tls_ca_file: Option<PathBuf>,

    /// PEM file of the certificate that is shown to the NATS servers; with --bus-tls-key-file
    #[arg(long, value_name = "FILE")]
    pub(crate) bus_tls_cert_file: Option<PathBuf>,

    /// PEM file of the private key of --bus-tls-cert-file
    #[arg(long, value_name = "FILE")]
    pub(crate) bus_tls_key_file: Option<PathBuf>,
}

pub(super) fn parse_media_url(url: &str) -> Result<MediaLocation, String> {
    if url.starts_with("s3://") {
        return url.parse().map(MediaLocation::S3).map_err(|error| format!("{error}"));
    }
    if !url.starts_with("file://") {
        return Err("must be file://PATH or s3://BUCKET[/PREFIX]".to_owned());
    }
    path_of_url(url, "file").map(MediaLocation::Directory)
}

fn parse_setting(name: &str) -> Result<DatabaseSetting, &'static str> {
    let known = [DatabaseSetting::Fsync, DatabaseSetting::FullPageWrites];
    match known.into_iter().find(|setting| setting.name() == name) {
        Some(setting) => Ok(setting),
        None if name == "synchronous_commit" => {
            Err("a core waits for its commits in any case: fsync or full_page_writes")
        }
        None => Err("must be fsync or full_page_writes"),
    }
}

fn parse_schema(name: &str) -> Result<String, String> {
    // A search path takes the first for the role's name, a session's options end at the second, and a name ends
    // after that many bytes.
    if name == "$user" || name.chars().any(|c| c.is_control()) || name.len() > MAX_SCHEMA_BYTES {
        return Err("no name of a schema".to_owned());
    }
    not_empty(name)
}
