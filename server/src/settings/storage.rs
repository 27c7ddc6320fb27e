//! Database, media and bus of a core: by URL, of which those with a password can lie in files.

use std::path::{Path, PathBuf};

use netrox_core::{
    AcceptedSettings, BusConfig, Database, MediaLocation, PostgresDatabase, PostgresUrl,
};

use crate::{
    cli::{BusArgs, DatabaseArgs, PostgresArgs, StorageArgs, path_of_url},
    file_mode,
    secret::{self, Secret, Warnings},
    sources::{SettingError, Sources},
};

/// Where a core keeps things, and how it hears of the others.
pub(crate) struct Storage {
    pub(crate) database: Database,
    pub(crate) media: MediaLocation,
    pub(crate) bus: Option<BusConfig>,
    /// Whether a new chat is refused.
    pub(crate) is_required: bool,
}

impl Storage {
    pub(crate) fn new(
        args: StorageArgs,
        data_dir: &Path,
        sources: &Sources,
        warnings: &mut Warnings,
    ) -> Result<Self, SettingError> {
        let is_required = args.require_existing_data;
        let mut database = database(&args.database, data_dir, sources, warnings)?;
        if let Database::Postgres(database) = &mut database {
            database.connection_lifetime = args.database_connection_lifetime;
        }
        if let (Database::Sqlite(path), true) = (&database, is_required) {
            require(path, sources)?;
        }
        let mut reader = Reader { sources, warnings };
        let bus = reader.bus(&args.bus, &database)?;
        let media = args.media_url;
        let media = media.unwrap_or_else(|| MediaLocation::Directory(data_dir.join("media")));
        Ok(Self { database, media, bus, is_required })
    }

    /// Warns of files that other users can read.
    pub(crate) fn warn_if_open(&self, warnings: &mut Warnings) {
        if let Database::Sqlite(path) = &self.database {
            file_mode::warn_if_open(path, warnings);
        }
        if let MediaLocation::Directory(path) = &self.media {
            file_mode::warn_if_open(path, warnings);
        }
    }
}

/// Before anything is made beside it, as the secrets are.
fn require(database: &Path, sources: &Sources) -> Result<(), SettingError> {
    if database.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        return Ok(());
    }
    let flags = ["database-url", "database-url-file"];
    let flag = flags.into_iter().find(|flag| sources.is_given(flag)).unwrap_or("data-dir");
    let reason = format!(
        "{} is missing or empty, and --require-existing-data makes no new one: is its volume mounted?",
        database.display()
    );
    Err(sources.refuse(flag, reason))
}

/// Where a core keeps what is no file.
pub(crate) fn database(
    args: &DatabaseArgs,
    data_dir: &Path,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<Database, SettingError> {
    let mut reader = Reader { sources, warnings };
    let (value, file) = (args.database_url.as_ref(), args.database_url_file.as_ref());
    let database = reader.url("database-url", value, file, parse_database_url)?;
    let mut database = database.unwrap_or_else(|| Database::Sqlite(data_dir.join("chat.db")));
    if let Database::Postgres(database) = &database {
        let is_file = args.database_url_file.is_some();
        let flag = if is_file { "database-url-file" } else { "database-url" };
        warn_of_ignored(flag, &database.url, sources, warnings);
    }
    let PostgresArgs { database_schema, .. } = &args.postgres;
    let accepted = args.postgres.accepted();
    match &mut database {
        Database::Postgres(database) => {
            warn_of_accepted(accepted, sources, warnings);
            database.schema.clone_from(database_schema);
            database.accepted = accepted;
        }
        Database::Sqlite(_) => {
            let flags = [
                ("database-schema", database_schema.is_some()),
                ("accept-database-setting", !accepted.is_empty()),
            ];
            if let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) {
                let reason =
                    "is of PostgreSQL, and this is SQLite: it needs --database-url postgres://…";
                return Err(sources.refuse(flag, reason));
            }
        }
    }
    Ok(database)
}

/// Of what tunes, and has no effect.
pub(crate) fn warn_of_ignored(
    flag: &str,
    url: &PostgresUrl,
    sources: &Sources,
    warnings: &mut Warnings,
) {
    let ignored = url.ignored_parameters();
    if !ignored.is_empty() {
        warnings.add(format!("{}: without effect: {}", sources.name(flag), ignored.join(", ")));
    }
}

/// Of what the operator answers for.
pub(crate) fn warn_of_accepted(
    accepted: AcceptedSettings,
    sources: &Sources,
    warnings: &mut Warnings,
) {
    if !accepted.is_empty() {
        warnings.add(format!(
            "{}: {accepted} of PostgreSQL may be off: where its storage is not durable by other \
             means, what was acknowledged is lost in a crash",
            sources.name("accept-database-setting")
        ));
    }
}

fn parse_database_url(url: &str) -> Result<Database, String> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let url = url.parse().map_err(|error| format!("{error}"))?;
        let (schema, accepted) = Default::default();
        let connection_lifetime = PostgresDatabase::DEFAULT_CONNECTION_LIFETIME;
        let database = PostgresDatabase { url, schema, accepted, connection_lifetime };
        return Ok(Database::Postgres(database));
    }
    if !url.starts_with("sqlite://") {
        return Err(
            "must be sqlite://PATH or postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE".to_owned()
        );
    }
    path_of_url(url, "sqlite").map(Database::Sqlite)
}

struct Reader<'a> {
    sources: &'a Sources,
    warnings: &'a mut Warnings,
}

impl Reader<'_> {
    /// What the URL of `flag` or of `<flag>-file` says.
    fn url<T>(
        &mut self,
        flag: &str,
        value: Option<&Secret>,
        file: Option<&PathBuf>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let given = secret::given_if_secret(
            flag,
            value,
            file,
            holds_credential,
            self.sources,
            self.warnings,
        )?;
        let Some(url) = given else { return Ok(None) };
        let flag = if file.is_some() { format!("{flag}-file") } else { flag.to_owned() };
        let parsed = parse(url.reveal().trim());
        parsed.map(Some).map_err(|reason| self.sources.refuse(&flag, reason))
    }

    fn bus(
        &mut self,
        args: &BusArgs,
        database: &Database,
    ) -> Result<Option<BusConfig>, SettingError> {
        let parse = |url: &str| url.parse().map_err(|error| format!("{error}"));
        let url = self.url("bus-url", args.bus_url.as_ref(), args.bus_url_file.as_ref(), parse)?;
        let credentials_file = args.bus_credentials_file.as_ref();
        let nkey_file = args.bus_nkey_file.as_ref();
        let tls_ca_file = args.bus_tls_ca_file.as_ref();
        let (cert, key) = (args.bus_tls_cert_file.as_ref(), args.bus_tls_key_file.as_ref());
        let Some(url) = url else {
            let others = [
                ("bus-credentials-file", credentials_file.is_some()),
                ("bus-nkey-file", nkey_file.is_some()),
                ("bus-tls-ca-file", tls_ca_file.is_some()),
                ("bus-tls-cert-file", cert.is_some()),
                ("bus-tls-key-file", key.is_some()),
                ("bus-tls-first", args.bus_tls_first),
            ];
            return match others.into_iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => {
                    Err(self.sources.refuse(flag, "takes effect with a bus-url alone"))
                }
                None => Ok(None),
            };
        };
        if let Database::Sqlite(_) = database {
            let flag = if args.bus_url_file.is_some() { "bus-url-file" } else { "bus-url" };
            let reason = "a bus connects cores that share a database: it needs --database-url \
                          postgres://…";
            return Err(self.sources.refuse(flag, reason));
        }
        // Read now for the sake of an error that names the setting.
        for (flag, file) in [("bus-tls-ca-file", tls_ca_file), ("bus-tls-cert-file", cert)] {
            if let Some(file) = file {
                secret::read_file(file).map_err(|error| self.sources.refuse(flag, error))?;
            }
        }
        for (flag, file) in [
            ("bus-credentials-file", credentials_file),
            ("bus-nkey-file", nkey_file),
            ("bus-tls-key-file", key),
        ] {
            if let Some(file) = file {
                let read = secret::read_secret(file, self.warnings);
                read.map_err(|error| self.sources.refuse(flag, error))?;
            }
        }
        if credentials_file.is_some() && nkey_file.is_some() {
            return Err(self.sources.conflict("bus-nkey-file", "bus-credentials-file"));
        }
        let tls_client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.sources.refuse("bus-tls-cert-file", "needs --bus-tls-key-file"));
            }
            (None, Some(_)) => {
                return Err(self.sources.refuse("bus-tls-key-file", "needs --bus-tls-cert-file"));
            }
        };
        Ok(Some(BusConfig {
            url,
            credentials_file: credentials_file.cloned(),
            nkey_file: nkey_file.cloned(),
            tls_ca_file: tls_ca_file.cloned(),
            tls_client,
            tls_first: args.bus_tls_first,
        }))
    }
}

/// Whether a URL has a password or a token; rather yes than no.
fn holds_credential(url: &Secret) -> bool {
    let url = url.reveal();
    let in_authority = url.split(',').any(|url| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        // The name of a PostgreSQL user is no secret; a bare name in the URL of NATS is a token.
        user.is_some_and(|user| user.contains(':') || !scheme.starts_with("postgres"))
    });
    in_authority || url.contains("password")
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs};

    use super::*;
    use crate::cli::{self, Role};

    fn storage(arguments: &[&str]) -> (Result<Storage, SettingError>, Vec<String>) {
        let arguments = ["netrox-chat", "core"].iter().chain(arguments).map(OsString::from);
        let (role, sources) = cli::parse(arguments.collect()).expect("flags");
        let Role::Core(args) = role else { panic!("another role") };
        let mut warnings = Warnings::default();
        let storage = Storage::new(args.storage, Path::new("data"), &sources, &mut warnings);
        (storage, warnings.into_iter().collect())
    }

    #[test]
    fn all_of_it_is_local_unless_it_is_said_otherwise() {
        let (storage, warnings) = storage(&[]);
        let storage = storage.expect("defaults");
        assert_eq!(storage.database.to_string(), "data/chat.db");
        assert_eq!(storage.media.to_string(), "data/media");
        assert!(storage.bus.is_none());
        assert!(warnings.is_empty());
    }

    #[test]
    fn the_urls_of_a_cluster_arrive_and_their_passwords_are_warned_about() {
        let (storage, warnings) = storage(&[
            "--database-url=postgres://chat:hunter2@db/chat",
            "--bus-url=nats://hunter2@bus-1,tls://bus-2:4223",
            "--media-url=s3://bucket/some/prefix/",
        ]);
        let storage = storage.expect("settings");
        assert_eq!(storage.database.to_string(), "postgres://db:5432/chat");
        assert_eq!(storage.media.to_string(), "s3://bucket/some/prefix");
        let bus = storage.bus.expect("a bus");
        assert_eq!(bus.url.to_string(), "nats://bus-1:4222,tls://bus-2:4223");
        let flags: Vec<_> = warnings.iter().map(|warning| warning.split(' ').next()).collect();
        assert_eq!(flags, [Some("--database-url"), Some("--bus-url")]);
        assert!(!warnings.concat().contains("hunter2"));
    }

    #[test]
    fn what_has_no_effect_in_a_url_is_warned_about_and_what_is_not_known_is_refused() {
        let url = "--database-url=postgres://chat@db/chat?connect_timeout=3&keepalives=1";
        let (taken, warnings) = storage(&[url]);
        taken.expect("settings");
        assert_eq!(warnings, ["--database-url: without effect: connect_timeout, keepalives"]);
        let refused = storage(&["--database-url=postgres://chat@db/chat?ssl_mode=verify-full"]).0;
        let refused = refused.err().expect("an unknown parameter").to_string();
        assert!(
            refused.starts_with("--database-url: ") && refused.contains("ssl_mode"),
            "{refused}"
        );
    }

    #[test]
    fn a_schema_is_one_of_postgres() {
        let schema = |arguments: &[&str]| match storage(arguments).0 {
            Ok(storage) => match storage.database {
                Database::Postgres(database) => Ok(database.schema),
                Database::Sqlite(_) => Ok(None),
            },
            Err(error) => Err(error.to_string()),
        };
        let url = "--database-url=postgres://chat@db/chat";
        assert_eq!(schema(&[url, "--database-schema=Chat 2"]), Ok(Some("Chat 2".to_owned())));
        assert_eq!(schema(&[url]), Ok(None));
        for others in [&[][..], &["--database-url=sqlite://chat.db"]] {
            let refused = schema(&[others, &["--database-schema=chat"]].concat()).unwrap_err();
            assert!(refused.starts_with("--database-schema: "), "{refused}");
            assert!(refused.contains("SQLite"), "{refused}");
        }
    }

    #[test]
    fn what_is_of_the_bus_needs_one_and_a_user_is_named_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seed");
        fs::write(&path, "SU").unwrap();
        let file = |flag: &str| format!("--{flag}={}", path.display());
        let (nkey, credentials) = (file("bus-nkey-file"), file("bus-credentials-file"));
        for given in [&nkey, "--bus-tls-first"] {
            let refused = storage(&[given]).0.err().expect("no bus").to_string();
            assert!(refused.contains("takes effect with a bus-url alone"), "{refused}");
        }
        let cluster = ["--database-url=postgres://chat@db/chat", "--bus-url=tls://bus"];
        let arguments = [&cluster[..], &[&nkey, &credentials]].concat();
        let refused = storage(&arguments).0.err().expect("two users").to_string();
        assert!(refused.contains("bus-nkey-file") && refused.contains("bus-credentials-file"));
        let bus = storage(&[&cluster[..], &[&nkey, "--bus-tls-first"]].concat()).0;
        let bus = bus.expect("settings").bus.expect("a bus");
        assert_eq!((bus.nkey_file, bus.tls_first), (Some(path.clone()), true));
    }

    #[test]
    fn settings_of_postgres_are_accepted_one_by_one_and_loudly() {
        let url = "--database-url=postgres://chat@db/chat";
        let flag = "--accept-database-setting";
        let (taken, warnings) =
            storage(&[url, flag, "full_page_writes", flag, "fsync", &format!("{flag}=fsync")]);
        let Database::Postgres(database) = taken.expect("settings").database else {
            panic!("another database")
        };
        assert_eq!(database.accepted.to_string(), "fsync,full_page_writes");
        assert!(warnings[0].contains("fsync,full_page_writes"), "{warnings:?}");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let refused = storage(&[flag, "fsync"]).0.err().expect("SQLite").to_string();
        assert!(refused.starts_with("--accept-database-setting: "), "{refused}");
        for unknown in ["synchronous_commit", "full-page-writes"] {
            let arguments = ["netrox-chat", "core", url, flag, unknown].map(OsString::from);
            assert!(cli::parse(arguments.into()).is_err(), "{unknown}");
        }
    }

    #[test]
    fn the_files_of_a_cluster_are_taken_without_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, mode).unwrap();
            format!("--{name}={}", path.display())
        };
        let (storage, warnings) = storage(&[
            &file("database-url-file", "postgres://chat:hunter2@db:5433/chat\n"),
            &file("bus-url-file", "tls://bus\n"),
            &file("bus-credentials-file", "creds"),
            &file("bus-tls-ca-file", "ca"),
            &file("bus-tls-cert-file", "cert"),
            &file("bus-tls-key-file", "key"),
        ]);
        let storage = storage.expect("settings");
        assert_eq!(storage.database.to_string(), "postgres://db:5433/chat");
        let bus = storage.bus.expect("a bus");
        assert_eq!(bus.credentials_file, Some(dir.path().join("bus-credentials-file")));
        assert_eq!(bus.tls_ca_file, Some(dir.path().join("bus-tls-ca-file")));
        let client = ["bus-tls-cert-file", "bus-tls-key-file"].map(|name| dir.path().join(name));
        assert_eq!(bus.tls_client, Some(client.into()));
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_url_with_a_credential_is_told_from_one_without() {
        for (url, expected) in [
            ("postgres://db/chat", false),
            ("postgres://chat@db/chat", false),
            ("postgres://chat:hunter2@db/chat", true),
            ("postgres://db/chat?password=hunter2", true),
            ("nats://bus:4222,nats://other", false),
            ("nats://bus:4222,nats://hunter2@other", true),
            ("tls://chat:hunter2@bus", true),
            ("sqlite://data/chat.db", false),
        ] {
            assert_eq!(holds_credential(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
