//! The line of the log that says what has started, and where.

use std::fmt::Display;

use netrox_core::Database;
use netrox_edge::config::{Issuer, UserIds};

use crate::{listener::Addresses, settings::Parts};

/// What an operator would ask of a process that runs. Nothing of it shows a credential.
#[derive(Debug)]
pub(crate) struct StartLine {
    roles: &'static str,
    /// Of a core.
    database: Option<String>,
    /// Settings of the database that the operator answers for.
    accepted: Option<String>,
    media: Option<String>,
    bus: Option<String>,
    /// Of an edge: what users' ids are made of, where they are mapped. Another makes all users others.
    mapped_users: Option<String>,
    /// Of an edge on its own.
    cores: Option<String>,
}

impl StartLine {
    pub(crate) fn new(parts: &Parts) -> Self {
        let (roles, core, cores) = match parts {
            Parts::Serve { core, .. } => ("serve (core, edge)", Some(core), None),
            Parts::Core { core } => ("core", Some(core), None),
            Parts::Edge { cores, .. } => ("edge", None, Some(list(cores))),
        };
        let edge = match parts {
            Parts::Serve { edge, .. } | Parts::Edge { edge, .. } => Some(edge),
            Parts::Core { .. } => None,
        };
        let config = core.map(|core| &core.config);
        Self {
            roles,
            database: config.map(|config| config.database.to_string()),
            accepted: config.and_then(|config| match &config.database {
                Database::Postgres(database) if !database.accepted.is_empty() => {
                    Some(database.accepted.to_string())
                }
                Database::Postgres(_) | Database::Sqlite(_) => None,
            }),
            media: config.map(|config| config.media.to_string()),
            bus: config.map(|config| {
                config.bus.as_ref().map_or("none".to_owned(), |bus| bus.url.to_string())
            }),
            mapped_users: edge.and_then(|edge| mapped_users(&edge.config.jwt.issuers)),
            cores,
        }
    }

    /// Nothing else says it in JSON, and to whom it comes as a surprise it is a loss.
    pub(crate) fn warn_of_new_chat(&self) {
        tracing::warn!(
            database = self.database,
            "there was no data: a new, empty chat begins. Where there should have been some, stop, and look \
             whether its volume is mounted; --require-existing-data refuses such a start"
        );
    }

    /// Scripts find the addresses in it.
    pub(crate) fn log(&self, addresses: &Addresses) {
        let Self { roles, database, accepted, media, bus, mapped_users, cores } = self;
        tracing::info!(
            http.addr = addresses.http.map(tracing::field::display),
            grpc.addr = addresses.grpc.map(tracing::field::display),
            admin.addr = addresses.admin.map(tracing::field::display),
            version = env!("CARGO_PKG_VERSION"),
            roles,
            database,
            accepted_database_settings = accepted,
            media,
            bus,
            mapped_users,
            cores,
            "listening"
        );
    }
}

/// Each issuer that others share their users with is said once.
fn mapped_users(issuers: &[Issuer]) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    for issuer in issuers {
        let one = match &issuer.user_ids {
            UserIds::Mapped { issuer, namespace } => {
                format!("of issuer {issuer:?} in namespace {namespace}")
            }
            UserIds::Uuids { .. } => continue,
        };
        if !all.contains(&one) {
            all.push(one);
        }
    }
    (!all.is_empty()).then(|| all.join(", "))
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
