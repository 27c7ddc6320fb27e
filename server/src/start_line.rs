//! The line of the log that says what has started, and where.

use std::fmt::Display;

use tracing::field::display;

use crate::{listener::Addresses, settings::Parts};

/// What an operator would ask of a process that runs. Nothing of it shows a credential.
#[derive(Debug)]
pub(crate) struct StartLine {
    roles: &'static str,
    /// Of a core.
    database: Option<String>,
    media: Option<String>,
    bus: Option<String>,
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
        let config = core.map(|core| &core.config);
        Self {
            roles,
            database: config.map(|config| config.database.to_string()),
            media: config.map(|config| config.media.to_string()),
            bus: config.map(|config| {
                config.bus.as_ref().map_or("none".to_owned(), |bus| bus.url.to_string())
            }),
            cores,
        }
    }

    /// Scripts find the addresses in it.
    pub(crate) fn log(&self, addresses: &Addresses) {
        let Self { roles, database, media, bus, cores } = self;
        tracing::info!(
            http.addr = addresses.http.map(display),
            grpc.addr = addresses.grpc.map(display),
            version = env!("CARGO_PKG_VERSION"),
            roles,
            database,
            media,
            bus,
            cores,
            "listening"
        );
    }
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
