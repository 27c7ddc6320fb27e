//! From the flags of a role to what its parts are built from.

mod demo;
mod issuers;
mod key;
mod key_file;
mod link;
mod part;
mod services;
mod storage;
mod tls;
mod traces;

use std::time::Duration;

use http::Uri;
use netrox_audit::Target;
use netrox_core::Database;
use netrox_tls::{ClientTls, Watched};

use self::{demo::Circumstances, storage::Storage, tls::TlsFiles, traces::traces};
pub(crate) use self::{
    key::{JWT_SECRET, JwtSettings, Keys},
    link::{LinkSettings, link},
    part::{CoreLimits, CoreSettings, EdgeSettings},
    storage::{database, warn_of_accepted, warn_of_ignored},
    traces::TraceSettings,
};
use crate::{
    admin::AdminSettings,
    cli::{
        CoreArgs, DataDirArgs, EdgeArgs, LogArgs, SPREAD_ALONE, SPREAD_AMONG_EDGES, ServeArgs,
        Serving, StorageArgs,
    },
    secret::{DataDir, Purpose, Warnings},
    sources::{SettingError, Sources},
    welcome::{Schemes, Welcome},
};

/// All that a serving role needs to know.
pub(crate) struct Settings {
    pub(crate) parts: Parts,
    /// From the first signal to the drain: all is served still.
    pub(crate) drain_delay: Duration,
    /// From the drain to the hard stop.
    pub(crate) drain_timeout: Duration,
    pub(crate) admin: AdminSettings,
    pub(crate) log: LogArgs,
    /// Absent where nobody collects traces.
    pub(crate) traces: Option<TraceSettings>,
    /// Certificates that are read again when they change.
    pub(crate) watched: Vec<Watched>,
    pub(crate) audit: Option<Target>,
    pub(crate) warnings: Warnings,
    /// Said when everything runs; only where it can be tried out at once.
    pub(crate) welcome: Option<Welcome>,
    pub(crate) sources: Sources,
}

/// Which parts run in this process.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Parts {
    Serve { core: CoreSettings, edge: EdgeSettings },
    Core { core: CoreSettings },
    Edge { edge: EdgeSettings, cores: Vec<Uri>, tls: Option<ClientTls> },
}

impl Parts {
    /// The role of the process, in a word.
    pub(crate) fn role(&self) -> &'static str {
        match self {
            Self::Serve { .. } => "serve",
            Self::Core { .. } => "core",
            Self::Edge { .. } => "edge",
        }
    }

    pub(crate) fn has_core(&self) -> bool {
        match self {
            Self::Serve { .. } | Self::Core { .. } => true,
            Self::Edge { .. } => false,
        }
    }

    pub(crate) fn core(&self) -> Option<&CoreSettings> {
        match self {
            Self::Serve { core, .. } | Self::Core { core } => Some(core),
            Self::Edge { .. } => None,
        }
    }

    pub(crate) fn core_mut(&mut self) -> Option<&mut CoreSettings> {
        match self {
            Self::Serve { core, .. } | Self::Core { core } => Some(core),
            Self::Edge { .. } => None,
        }
    }

    pub(crate) fn edge(&self) -> Option<&EdgeSettings> {
        match self {
            Self::Serve { edge, .. } | Self::Edge { edge, .. } => Some(edge),
            Self::Core { .. } => None,
        }
    }

    /// What callers of the core show; of an edge, its own.
    pub(crate) fn service_tokens(&self) -> &[String] {
        match self {
            Self::Serve { core, .. } | Self::Core { core } => &core.config.service_tokens,
            Self::Edge { edge, .. } => &edge.service_tokens,
        }
    }

    pub(crate) fn edge_mut(&mut self) -> Option<&mut EdgeSettings> {
        match self {
            Self::Serve { edge, .. } | Self::Edge { edge, .. } => Some(edge),
            Self::Core { .. } => None,
        }
    }
}

/// Of a role that is looked at, and not started.
pub(crate) fn of(role: Serving, sources: Sources) -> Result<Settings, SettingError> {
    match role {
        Serving::Serve(args) => serve(*args, sources, Purpose::Look),
        Serving::Core(args) => core(*args, sources, Purpose::Look),
        Serving::Edge(args) => edge(*args, sources),
    }
}

pub(crate) fn serve(
    args: ServeArgs,
    sources: Sources,
    purpose: Purpose,
) -> Result<Settings, SettingError> {
    args.limits.check(&args.common, &args.drain, &sources)?;
    let mut warnings = Warnings::of_environment();
    args.admin.warn(&mut warnings);
    let mut data_dir = data_dir(&args.data_dir, &args.storage, purpose);
    let storage = Storage::new(args.storage, data_dir.path(), &sources, &mut warnings)?;
    let mut keys = Keys::new(&sources, Some(&mut data_dir), &mut warnings);
    let service_tokens = keys.service_tokens(&args.service_token)?;
    let jwt = keys.jwt(&args.jwt_key, &args.jwt_claims)?;
    let mut tls = TlsFiles::new(&sources, &mut warnings);
    let (http_tls, grpc_tls) = (tls.http(&args.http_tls)?, tls.grpc(&args.grpc_tls)?);
    let asked = args.client_traces.client_traces_per_second;
    let traces = traces(&args.traces, asked, &sources, &mut tls)?;
    let watched = tls.watched();
    prepare(&data_dir, &storage, &sources, &mut warnings)?;
    args.http.warn(http_tls.is_some(), &mut warnings);
    args.grpc.warn(grpc_tls.is_some(), &mut warnings);
    let services = services::read(&args.services, &sources, &mut warnings)?;

    let edge_limits = args.limits.to_limits(&args.common, &args.wait, &args.drain, SPREAD_ALONE);
    let drain_delay = args.http.drain_delay;
    let schemes = Schemes { http: http_tls.is_some(), grpc: grpc_tls.is_some() };
    let user_ids = jwt.jwt.issuers.first().map(|issuer| issuer.user_ids.clone());
    let circumstances = Circumstances {
        http_addr: args.http.http_addr,
        data_dir: &data_dir,
        key: &args.jwt_key,
        claims: &args.jwt_claims,
        issuers: &jwt.jwt.issuers,
    };
    let demo = demo::demo(args.demo.demo, &circumstances, &sources, &mut warnings)?;
    let mut edge = EdgeSettings::new(args.http, http_tls, jwt, edge_limits, &service_tokens);
    edge.config.demo = demo;
    let limits = CoreLimits {
        common: &args.common,
        wait: &args.wait,
        drain: &args.drain,
        quotas: &args.quotas,
    };
    let mut core =
        CoreSettings::new(&args.grpc, grpc_tls, &data_dir, storage, limits, service_tokens);
    core.config.services = services;
    let is_first_start = match &core.config.database {
        Database::Sqlite(path) => !path.exists(),
        Database::Postgres(_) => false,
    };
    let (key, claims) = (&args.jwt_key, &args.jwt_claims);
    let demo_key = edge.config.demo.as_ref().map(|demo| demo.key.clone());
    let welcome = Welcome::new(is_first_start, &data_dir, schemes, key, claims, user_ids.as_ref())
        .with_demo(demo_key);
    Ok(Settings {
        parts: Parts::Serve { core, edge },
        drain_delay,
        drain_timeout: args.drain.drain_timeout,
        admin: AdminSettings::of_edge(args.admin),
        log: args.log,
        traces,
        watched,
        audit: args.audit.audit_log,
        warnings,
        welcome: Some(welcome),
        sources,
    })
}

pub(crate) fn core(
    args: CoreArgs,
    sources: Sources,
    purpose: Purpose,
) -> Result<Settings, SettingError> {
    args.common.check(&sources)?;
    let mut warnings = Warnings::of_environment();
    args.admin.warn(&mut warnings);
    let mut data_dir = data_dir(&args.data_dir, &args.storage, purpose);
    let storage = Storage::new(args.storage, data_dir.path(), &sources, &mut warnings)?;
    let mut keys = Keys::new(&sources, Some(&mut data_dir), &mut warnings);
    let service_tokens = keys.service_tokens(&args.service_token)?;
    let mut tls = TlsFiles::new(&sources, &mut warnings);
    let grpc_tls = tls.grpc(&args.grpc_tls)?;
    // No public client reaches it.
    let traces = traces(&args.traces, 0, &sources, &mut tls)?;
    let watched = tls.watched();
    prepare(&data_dir, &storage, &sources, &mut warnings)?;
    args.grpc.warn(grpc_tls.is_some(), &mut warnings);
    let services = services::read(&args.services, &sources, &mut warnings)?;

    let limits = CoreLimits {
        common: &args.common,
        wait: &args.wait,
        drain: &args.drain,
        quotas: &args.quotas,
    };
    let mut core =
        CoreSettings::new(&args.grpc, grpc_tls, &data_dir, storage, limits, service_tokens);
    core.config.services = services;
    Ok(Settings {
        parts: Parts::Core { core },
        // Its edges go elsewhere as soon as its health says so, and need no time for it.
        drain_delay: Duration::ZERO,
        drain_timeout: args.drain.drain_timeout,
        admin: AdminSettings::of_core(args.admin),
        log: args.log,
        traces,
        watched,
        audit: args.audit.audit_log,
        warnings,
        welcome: None,
        sources,
    })
}

pub(crate) fn edge(args: EdgeArgs, sources: Sources) -> Result<Settings, SettingError> {
    args.limits.check(&args.common, &args.drain, &sources)?;
    let mut warnings = Warnings::of_environment();
    args.admin.warn(&mut warnings);
    let mut keys = Keys::new(&sources, None, &mut warnings);
    let service_tokens = keys.service_tokens(&args.service_token)?;
    let jwt = keys.jwt(&args.jwt_key, &args.jwt_claims)?;

    let edge_limits =
        args.limits.to_limits(&args.common, &args.wait, &args.drain, SPREAD_AMONG_EDGES);
    let drain_delay = args.http.drain_delay;
    let cores = args.core.core.0;
    let mut tls = TlsFiles::new(&sources, &mut warnings);
    let http_tls = tls.http(&args.http_tls)?;
    let tls_to_cores = tls.of_cores(&args.core_tls, &cores)?;
    let asked = args.client_traces.client_traces_per_second;
    let traces = traces(&args.traces, asked, &sources, &mut tls)?;
    let watched = tls.watched();
    args.http.warn(http_tls.is_some(), &mut warnings);
    let edge = EdgeSettings::new(args.http, http_tls, jwt, edge_limits, &service_tokens);
    Ok(Settings {
        parts: Parts::Edge { edge, cores, tls: tls_to_cores },
        drain_delay,
        drain_timeout: args.drain.drain_timeout,
        admin: AdminSettings::of_edge(args.admin),
        log: args.log,
        traces,
        watched,
        audit: args.audit.audit_log,
        warnings,
        welcome: None,
        sources,
    })
}

/// An edge on its own has none, and makes nothing.
fn data_dir(args: &DataDirArgs, storage: &StorageArgs, purpose: Purpose) -> DataDir {
    let data_dir = DataDir::new(&args.data_dir, purpose);
    if storage.require_existing_data { data_dir.complete() } else { data_dir }
}

fn prepare(
    data_dir: &DataDir,
    storage: &Storage,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<(), SettingError> {
    let prepared = data_dir.create().and_then(|()| data_dir.check_mode(warnings));
    prepared.map_err(|error| sources.refuse("data-dir", error))?;
    storage.warn_if_open(warnings);
    data_dir.warn_of_generated(warnings);
    Ok(())
}
