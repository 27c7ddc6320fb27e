//! The command line: the roles, and which flags each of them has (PROTOCOL section 6).
//!
//! Every flag is an environment variable as well; that rule is applied to all of them in
//! [`command`]. A role is given the variables of its own flags alone, so that one environment can be
//! shared by all of them.

#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "what is said of a flag is its help, which clap prints as it stands"
)]

mod admin;
mod audit;
mod backup;
mod demo;
mod doctor;
mod epoch;
mod grpc;
mod http;
mod jwt;
mod limits;
mod log;
mod migrate;
mod original;
mod pages;
mod quotas;
mod refusal;
mod service;
mod shadow;
mod storage;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod traces;
mod transfer;
mod user;
mod value;
mod variables;

use std::ffi::OsString;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::{
    admin::{AdminAddress, AdminArgs},
    audit::AuditArgs,
    backup::{BackupArgs, RestoreArgs},
    demo::DemoArgs,
    doctor::{CheckArgs, DoctorArgs, Serving, asks_for_json, is_doctor},
    epoch::{EpochAction, EpochArgs},
    grpc::{CoreEndpointsArgs, GrpcArgs, ServiceTokenArgs},
    http::HttpArgs,
    jwt::{
        DEFAULT_TYPE_CLAIM, DEFAULT_USER_CLAIM, JwtClaimArgs, JwtKeyArgs, JwtSecretArgs,
        UserIdKind, check_claims, parse_type_claim, parse_user_claim,
    },
    limits::{
        CommonLimitArgs, DrainArgs, EdgeLimitArgs, SPREAD_ALONE, SPREAD_AMONG_EDGES, WaitArgs,
    },
    log::{LogArgs, LogFilter, LogFormat},
    migrate::MigrateArgs,
    original::OriginalArgs,
    pages::{CompletionsArgs, ManArgs, Shell},
    quotas::QuotaArgs,
    service::{ServiceTokenMintArgs, ServicesArgs},
    shadow::ShadowArgs,
    storage::{BusArgs, DEFAULT_DATA_DIR, DataDirArgs, DatabaseArgs, PostgresArgs, StorageArgs},
    tls::{CoreTlsArgs, GrpcTlsArgs, HttpTlsArgs},
    token::MintArgs,
    traces::{ClientTraceArgs, TraceArgs},
    transfer::{ChatArgs, ExportArgs, ExportFormat, ImportArgs, ImportFormat},
    user::{LinkArgs, TapArgs, UserAction, UserArgs, WhoArgs},
    value::path_of_url,
    variables::warn as warn_of_variables,
};
use crate::sources::{SettingError, Sources, variable};

/// Behind the list of the roles.
const ABOUT_ROLES: &str = "\
Without a role the program is `serve`, and takes its flags: `netrox-chat --http-addr 0.0.0.0:8080`.
`netrox-chat <ROLE> --help` lists the flags of a role. Each is an environment variable as well
(--http-addr: NETROX_CHAT_HTTP_ADDR); the command line counts before the environment, a variable
of a flag that a role does not have is ignored, and one that no role has is warned about.";
/// This and what follows is on the page for `man` as well, in sections of its own.
pub(crate) const EXAMPLES: &str = "  netrox-chat
      Everything in one process, with its data in ./data
  netrox-chat token --user-id 3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90
      An access token of that user, for the server on ./data
  netrox-chat token --check < token
      Whether that server takes the token, and why not
  netrox-chat service-token billing --scope send --scope read
      A token of a service that may do no more, and its entry for --service-tokens-file
  netrox-chat core --data-dir /var/lib/netrox-chat --grpc-addr 10.0.0.5:50051
  netrox-chat edge --core http://10.0.0.5:50051 --http-addr 0.0.0.0:8080 \\
      --service-token-file /run/secrets/service-token --jwt-secret-file /run/secrets/jwt-secret
      Core and edge apart
  netrox-chat migrate --from sqlite://data/chat.db --to-file /run/secrets/database-url
      The data of one machine into PostgreSQL
  netrox-chat core --database-url-file /run/secrets/database-url --bus-url nats://10.0.0.9:4222 \\
      --media-url s3://bucket --grpc-addr 10.0.0.5:50051
      One of several cores, on PostgreSQL, NATS and S3
  netrox-chat export --all ./exported
      All of ./data as JSON lines and files, which `netrox-chat import jsonl ./exported` takes elsewhere
  netrox-chat import django --from-file /run/secrets/original-url --media /srv/mediafiles --dry-run
      What of the original server would be taken, and what not; without --dry-run it is
  netrox-chat shadow --original https://old.example --candidate http://127.0.0.1:8080 \\
      --users users.txt --jwt-secret-file /run/secrets/jwt-secret --sample 1000
      Whether both say the same to a thousand of these users
  netrox-chat export django ./back --original-file /run/secrets/original-url
      What the original server lacks by now, for its `manage.py loaddata`
  netrox-chat user sessions 3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90
      Who of that user is connected, from where; by the core of the server on ./data
  netrox-chat backup --to /var/backups/netrox-chat --keep 7
      A copy of ./data, beside the server on it, and of the older ones the newest six
  netrox-chat restore --from /var/backups/netrox-chat --data-dir ./restored
      The newest of them, for a server on ./restored
  netrox-chat doctor core --database-url-file /run/secrets/database-url --media-url s3://bucket
      What is wrong with what this core works on, and what to do: a start command behind `doctor`
  netrox-chat check edge --core http://10.0.0.5:50051
      Whether a start with these settings would refuse one of them; nothing is made or asked";
pub(crate) const EXIT_STATUS: &str = "  0  ended by SIGTERM or SIGINT: drained, or cut off after --drain-timeout with a warning in the log
  1  failed while running, or a second signal after a second or more; doctor: it found something;
     shadow: the two differ
  2  a wrong setting; one line on stderr names it
  3  damaged storage: not to be started again before somebody has looked at it; shadow:
     not all was compared";
pub(crate) const SIGNALS: &str = "\
SIGTERM and SIGINT drain: no new work, in-flight work finished, sockets closed. At SIGHUP certificates
are read again; other settings are read once, at the start.";

fn after_help() -> String {
    format!("{ABOUT_ROLES}\n\nExamples:\n{EXAMPLES}\n\nExit status:\n{EXIT_STATUS}\n\n{SIGNALS}")
}

/// One-to-one chat back end: REST and WebSocket for clients, gRPC for services.
#[derive(Debug, Parser)]
#[command(name = "netrox-chat", version, propagate_version = true, after_help = after_help())]
#[command(override_usage = "netrox-chat [ROLE] [OPTIONS]", subcommand_help_heading = "Roles")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Core and edge in one process, with an embedded database; the default
    Serve(Box<ServeArgs>),
    /// The gRPC service alone: keeps database and media
    Core(Box<CoreArgs>),
    /// The REST and WebSocket adapter alone, talking to --core: keeps nothing
    Edge(Box<EdgeArgs>),
    /// Prints an access token of one user, signed with the HS256 secret, or explains one (--check)
    Token(Box<TokenArgs>),
    /// Prints a new token of a service, and its entry for --service-tokens-file
    ServiceToken(Box<ServiceTokenMintArgs>),
    /// Shows, ends, revokes, deletes or exports what there is of one user, by way of a core
    User(Box<UserArgs>),
    /// Shows what a user's devices learn, as they learn it, by way of a core
    Tap(Box<TapArgs>),
    /// Writes a whole chat as JSON lines and files, or what the original server lacks, beside servers on it or not
    Export(Box<ExportArgs>),
    /// Takes JSON lines and their files, or the original server's, into a database that no server runs on
    Import(Box<ImportArgs>),
    /// Holds what another server says to its users against what this one says, and changes nothing
    Shadow(Box<ShadowArgs>),
    /// Copies a SQLite database into PostgreSQL: from one machine to several
    Migrate(Box<MigrateArgs>),
    /// Tells all that the database has gone back, where nothing else can tell
    Epoch(Box<EpochArgs>),
    /// Copies a SQLite database and its files, while a server runs on them or not
    Backup(Box<BackupArgs>),
    /// Restores a backup into a data directory without a database, or looks whether it is sound
    Restore(Box<RestoreArgs>),
    /// Tells whether a start of a role with these settings would refuse one; makes and asks nothing
    Check(CheckArgs),
    /// Looks what is wrong with what a role works on, and says what to do; leaves nothing behind
    Doctor(DoctorArgs),
    /// Prints what bash, zsh or fish completes command lines of this program by
    Completions(CompletionsArgs),
    /// Writes the pages for `man`
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) http_tls: HttpTlsArgs,
    #[command(flatten)]
    pub(crate) grpc: GrpcArgs,
    #[command(flatten)]
    pub(crate) grpc_tls: GrpcTlsArgs,
    #[command(flatten)]
    pub(crate) service_token: ServiceTokenArgs,
    #[command(flatten)]
    pub(crate) services: ServicesArgs,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) jwt_key: JwtKeyArgs,
    #[command(flatten)]
    pub(crate) jwt_claims: JwtClaimArgs,
    #[command(flatten)]
    pub(crate) common: CommonLimitArgs,
    #[command(flatten)]
    pub(crate) limits: EdgeLimitArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) quotas: QuotaArgs,

    #[command(flatten)]
    pub(crate) drain: DrainArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    #[command(flatten)]
    pub(crate) client_traces: ClientTraceArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CoreArgs {
    #[command(flatten)]
    pub(crate) grpc: GrpcArgs,
    #[command(flatten)]
    pub(crate) grpc_tls: GrpcTlsArgs,
    #[command(flatten)]
    pub(crate) service_token: ServiceTokenArgs,
    #[command(flatten)]
    pub(crate) services: ServicesArgs,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) common: CommonLimitArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) quotas: QuotaArgs,

    #[command(flatten)]
    pub(crate) drain: DrainArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EdgeArgs {
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) http_tls: HttpTlsArgs,
    #[command(flatten)]
    pub(crate) core: CoreEndpointsArgs,
    #[command(flatten)]
    pub(crate) core_tls: CoreTlsArgs,
    #[command(flatten)]
    pub(crate) service_token: ServiceTokenArgs,
    #[command(flatten)]
    pub(crate) jwt_key: JwtKeyArgs,
    #[command(flatten)]
    pub(crate) jwt_claims: JwtClaimArgs,
    #[command(flatten)]
    pub(crate) common: CommonLimitArgs,
    #[command(flatten)]
    pub(crate) limits: EdgeLimitArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    #[command(flatten)]
    pub(crate) drain: DrainArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    #[command(flatten)]
    pub(crate) client_traces: ClientTraceArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) mint: MintArgs,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) jwt_key: JwtKeyArgs,
    #[command(flatten)]
    pub(crate) jwt_claims: JwtClaimArgs,
}

/// Why there is no role to run.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `--help` or `--version`: a text for stdout.
    Answer(clap::Error),
    Setting(SettingError),
}

/// Reads the command line (with the program's name first) and the environment.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<(Role, Sources), Refusal> {
    let arguments = with_role(arguments);
    let sources = Sources::new(&arguments);
    let cli = command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| refusal::classify(error, &arguments, &sources))?;
    Ok((cli.role, sources))
}

/// The default role is put in as a word: were its flags those of the whole program, then their
/// variables would be read for every role.
fn with_role(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let place = doctor::place_of_role(&arguments);
    let first = arguments.get(place).and_then(|argument| argument.to_str());
    let whole_program = ["-h", "--help", "-V", "--version"];
    if first.is_none_or(|first| first.starts_with('-') && !whole_program.contains(&first)) {
        arguments.insert(arguments.len().min(place), "serve".into());
    }
    arguments
}

fn command() -> clap::Command {
    let is_empty = |name: &str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    Cli::command().mut_subcommands(|role| with_variables(role, &|name| !is_empty(name)))
}

/// To be described, not to be read: every flag with its variable, whatever the environment has.
pub(crate) fn described() -> clap::Command {
    Cli::command().mut_subcommands(|role| with_variables(role, &|_| true))
}

/// Those that count, also of the roles that stand behind others.
fn with_variables(role: clap::Command, counts: &dyn Fn(&str) -> bool) -> clap::Command {
    let role = role.mut_args(|argument| match argument.get_long() {
        Some(flag) => {
            let variable = variable(flag);
            let argument = if counts(&variable) { argument.env(variable) } else { argument };
            argument.hide_env_values(true).allow_negative_numbers(true)
        }
        None => argument,
    });
    role.mut_subcommands(|role| with_variables(role, counts))
}
