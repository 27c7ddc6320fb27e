//! A core from its opening to its close.

use std::{io, path::PathBuf, sync::Arc};

use netrox_metrics::By;
use netrox_proto::{
    FILE_DESCRIPTOR_SET,
    health::health_server::HealthServer,
    v1::{
        admin_service_server::AdminServiceServer,
        attachment_service_server::AttachmentServiceServer, chat_service_server::ChatServiceServer,
        directory_service_server::DirectoryServiceServer,
        session_service_server::SessionServiceServer,
    },
};
use netrox_tls::{HandshakeFailure, ServerTls};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::{Mutex, Semaphore, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::{Routes, interceptor::InterceptedService};

use crate::{
    admin::Admin,
    attachment::{Attachments, DamagedFiles, MAX_CHUNK_BYTES, MAX_UPLOADS, cleaner::Cleaner},
    auth::{Administrators, Guarded, ServiceAuth},
    chat::{Chat, Windows},
    committer::{self, Waits},
    config::{Config, Database, MediaLocation},
    delivery::{Delivery, bus},
    directory::{Budgeted, Directory},
    erasure::Eraser,
    error::Error,
    feed_lookup,
    health::{self, Health},
    indexer::Indexer,
    lock::LockFile,
    media::{self, Claim, Media, StoreError},
    metrics::Metrics,
    presence::{Presence, Roll},
    quotas::QuotaTeller,
    request::Identified,
    retention::Remover,
    session::{Board, News, Sessions},
    store::{self, DatabaseState, Expected, Opened, Store, Writer},
    ticket::Tickets,
};

mod data_dir;
mod looking;
mod presence;
mod restoring;

use self::data_dir::{lock, mark_made};
pub use self::presence::Vanished;
pub(crate) use self::{
    data_dir::{create_dir, lock_database},
    looking::{
        check_data_dir, check_database_files, check_directory, check_places, existing_above,
    },
    presence::{check_existing, look},
    restoring::RestoreTarget,
};

/// Of a request besides its largest field.
const REQUEST_OVERHEAD_BYTES: usize = 64 * 1024;
/// A thousand users with the largest profiles.
const MAX_DIRECTORY_REQUEST_BYTES: usize = 20 * 1024 * 1024;
/// What an edge says of a user.
const MAX_SESSION_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// The name of a service.
const MAX_HEALTH_REQUEST_BYTES: usize = 1024;

/// Why a core could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process uses {}", .0.display())]
    Locked(PathBuf),
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// A database is not where it was.
    #[error("{0}")]
    Vanished(Vanished),
    /// Its messages would be lost, and the file be damaged by it.
    #[error(
        "{} was put in the place of a database that was open, and {} is the log of that one: nothing was \
         changed; put that file back, or to go on with this one remove {}",
        .database.display(), .log.display(), .log.display()
    )]
    LogOfAnother { database: PathBuf, log: PathBuf },
    #[error("database {database}: {error}")]
    Database { database: Database, error: store::OpenError },
    #[error("media {media}: {error}")]
    Media { media: MediaLocation, error: StoreError },
    #[error("bus: {0}")]
    Bus(#[from] bus::OpenError),
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl OpenError {
    /// Whether it is no setting that is wrong, but the file that is not sound.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Database { error, .. } if error.is_damage())
    }

    /// Whether it is no setting that is wrong, but a database that is out of reach and may be in reach later.
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Database { error, .. } if error.is_out_of_reach())
    }
}

/// An open core: a cheap handle.
#[derive(Debug, Clone)]
pub struct Core {
    routes: Routes,
    auth: ServiceAuth,
    /// Of its socket, and how many handshakes failed.
    tls: Option<(ServerTls, By<HandshakeFailure, Counter>)>,
    store: Store,
    delivery: Delivery,
    health: Health,
    tasks: TaskTracker,
    /// What waits for the database does not wait for much longer.
    hurries: CancellationToken,
    /// Ends the acceptance of work.
    draining: CancellationToken,
    damaged: CancellationToken,
    died: CancellationToken,
    is_new: bool,
    shutdown: Arc<Mutex<Shutdown>>,
}

/// What closing takes.
#[derive(Debug)]
struct Shutdown {
    /// Gives the writer back.
    commit_task: Option<JoinHandle<Writer>>,
    /// Held until the database is closed.
    locks: Vec<Arc<LockFile>>,
    claim: Option<Arc<Claim>>,
}

impl Core {
    /// Locks the data directory, opens the database, removes what a crash left behind.
    pub async fn open(config: Config, metrics: Metrics) -> Result<Self, OpenError> {
        let expected = presence::look(&config)?;
        let unopened = |error| OpenError::Database { database: config.database.clone(), error };
        if let (Database::Sqlite(_), Expected::Nothing, true) =
            (&config.database, expected, config.require_existing_data)
        {
            return Err(unopened(store::OpenError::NoData));
        }
        let locks = lock(&config)?;
        let (damaged, died) = (CancellationToken::new(), CancellationToken::new());
        // Beside it: it takes its time to sync.
        let media = tokio::spawn(open_media(config.media.clone()));
        let require_data = config.require_existing_data;
        let opened = Store::open(
            &config.database,
            expected,
            require_data,
            damaged.clone(),
            config.quotas,
            config.search,
            config.retain_messages.is_some(),
        )
        .await;
        let Opened { store, writer, is_new } = opened.map_err(unopened)?;
        mark_made(&config, &locks);
        let media = media.await.map_err(|error| OpenError::Media {
            media: config.media.clone(),
            error: StoreError::new(error.to_string()),
        })??;
        let media = media.counted(&metrics.media);
        store.show(&metrics.store);

        let tls = config.tls.clone().map(|tls| (tls, metrics.failed_handshakes.clone()));
        let tasks = TaskTracker::new();
        let draining = CancellationToken::new();
        // Cancelled when whoever tells last has told.
        let told_all = CancellationToken::new();
        let roll = Roll::new(store.cluster().is_some(), &metrics.presence);
        let delivery = match store.cluster() {
            None => Delivery::alone(metrics.signals.clone(), Arc::clone(&roll)),
            Some(cluster) => {
                let (tasks, stop) = (tasks.clone(), (draining.clone(), told_all.clone()));
                let metrics = (metrics.bus, metrics.signals.clone());
                let (bus, history) = (config.bus.as_ref(), store.history().clone());
                let roll = Arc::clone(&roll);
                Delivery::clustered(bus, cluster, history, roll, (tasks, stop), metrics).await?
            }
        };
        let hurries = CancellationToken::new();
        let waits = Waits {
            store: config.store_wait,
            hurries: hurries.clone(),
            hurried: config.drain_wait,
            ends: told_all.clone(),
        };
        let teller = QuotaTeller { refused: metrics.quota_refusals, audit: config.audit.clone() };
        let watch = committer::Watch { commits: metrics.commits, quotas: teller.clone() };
        let (committer, commit_task, health) =
            committer::new(writer, delivery.clone(), draining.clone(), waits, watch);
        tasks.spawn(delivery.clone().check(store.clone(), health.clone(), draining.clone()));
        tasks.spawn(delivery.clone().follow_blocks(store.clone(), draining.clone()));
        {
            let (store, draining) = (store.clone(), draining.clone());
            let metrics = metrics.store.clone();
            tasks.spawn(async move {
                draining.run_until_cancelled(store.watch_snapshots(&metrics)).await;
            });
        }
        {
            let health = health.clone();
            store.ask_first(move || *health.borrow() == DatabaseState::Serving);
        }
        let (reporter, health_service) = health::service();
        let commit_task = tasks.spawn(commit_task.run());
        let ends = health::Ends { damaged: damaged.clone(), died: died.clone() };
        let (takes_files, files_taken) = watch::channel(true);
        tasks.spawn(media::watch(media.clone(), takes_files, draining.clone()));
        tasks.spawn(health::report(
            reporter,
            health,
            files_taken,
            draining.clone(),
            ends,
            metrics.serving,
        ));
        if let Some(open_files) = store.open_files() {
            open_files
                .watch_locks(&locks)
                .map_err(|error| OpenError::File { path: config.data_dir.clone(), error })?;
            tasks.spawn(open_files.run(draining.clone()));
        }
        let mut cleaner = Cleaner {
            store: store.clone(),
            media: media.clone(),
            committer: committer.clone(),
            held: None,
        };
        // Read before anyone can begin another.
        let cut_off = store.list_cut_off_uploads().await.map_err(|error| unopened(error.into()))?;
        let (cut_off, claim) = match store.cluster() {
            Some(_) => (cut_off, None),
            None => cleaner.claim(&config.media, cut_off).await,
        };
        tasks.spawn(cleaner.run(cut_off, draining.clone()));

        if config.search {
            let (store, committer) = (store.for_bulk(), committer.clone());
            let indexer = Indexer { store, committer, metrics: metrics.search.clone() };
            tasks.spawn(indexer.run(draining.clone()));
        }

        if let Some(kept) = config.retain_messages {
            let (store, committer) = (store.for_bulk(), committer.clone());
            let remover = Remover { store, committer, metrics: metrics.retention.clone(), kept };
            tasks.spawn(remover.run(draining.clone()));
        }
        let eraser = Eraser::new(store.for_bulk(), committer.clone(), metrics.retention);
        tasks.spawn(eraser.run(draining.clone()));

        let (lookup, looking_up) =
            feed_lookup::new(store.clone(), draining.clone(), &metrics.streams.queues);
        tasks.spawn(looking_up);
        let presence = Presence {
            roll,
            store: store.for_bulk(),
            looks: Arc::default(),
            delivery: delivery.clone(),
            committer: committer.clone(),
            begun: Instant::now(),
        };
        tasks.spawn(presence.clone().settle(draining.clone()));
        tasks.spawn(presence.clone().read_profiles(draining.clone()));
        let telling = TaskTracker::new();
        telling.spawn(presence.clone().store_seen(draining.clone()));
        if store.cluster().is_some() {
            telling.spawn(presence.clone().tell(draining.clone()));
            telling.spawn(presence.clone().share_by_database(draining.clone()));
        }
        telling.close();
        {
            let draining = draining.clone();
            tasks.spawn(async move {
                draining.cancelled().await;
                // They wait for little, and each for so long at most.
                telling.wait().await;
                told_all.cancel();
            });
        }
        let chat = Chat {
            presence: presence.clone(),
            store: store.clone(),
            bulk: store.for_bulk(),
            lookup,
            committer: committer.clone(),
            delivery: delivery.clone(),
            streams: metrics.streams.clone(),
            tasks: tasks.clone(),
            max_body_bytes: config.max_body_bytes,
            windows: Windows { edit: config.edit_window, delete: config.delete_window },
            searches: config.search,
        };
        let places = Arc::new(Semaphore::new(MAX_UPLOADS));
        let free = Arc::downgrade(&places);
        let refused = metrics.media.queues.add_refusing("uploads", MAX_UPLOADS, move || {
            Some(MAX_UPLOADS.saturating_sub(free.upgrade()?.available_permits()))
        });
        let attachments = Attachments {
            store: store.for_bulk(),
            committer: committer.clone(),
            media,
            claim: claim.clone(),
            damaged: DamagedFiles::default(),
            places,
            refused,
            metrics: metrics.media,
            tasks: tasks.clone(),
            max_body_bytes: config.max_body_bytes,
            max_attachment_bytes: config.max_attachment_bytes,
            quotas: config.quotas,
            teller,
        };
        let board = Board::default();
        let news = News::new(&committer, &store);
        let sessions = Sessions {
            streams: metrics.streams,
            presence,
            store: store.clone(),
            committer: committer.clone(),
            board: board.clone(),
            news: news.clone(),
            tickets: Tickets::new(&store, &committer, config.link_ttl, metrics.tickets),
            tasks: tasks.clone(),
            draining: draining.clone(),
            audit: config.audit.clone(),
        };
        if store.cluster().is_some() {
            tasks.spawn(news.follow(store.clone(), board, draining.clone()));
            tasks.spawn(sessions.clone().see_edges());
        }
        let admin = Admin {
            chat: chat.clone(),
            sessions: sessions.clone(),
            media: attachments.media.clone(),
            damaged: attachments.damaged.clone(),
            draining: draining.clone(),
            audit: config.audit.clone(),
        };
        let directory = Directory {
            store: store.clone(),
            committer,
            audit: config.audit.clone(),
            conflicts: Arc::default(),
        };
        let services = config.services.as_ref();
        let auth = ServiceAuth::new(config.service_tokens, services, metrics.callers, config.audit);
        if let Some(services) = services {
            let (watch, draining) = (auth.watch(services), draining.clone());
            tasks.spawn(async move {
                draining.run_until_cancelled(watch.run()).await;
            });
        }
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(netrox_proto::health::FILE_DESCRIPTOR_SET)
                // What the details of a refusal are.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        // One that is a little too large is told so by its reason; beyond that gRPC refuses it.
        let max_request_bytes =
            MAX_CHUNK_BYTES.max(config.max_body_bytes) * 2 + REQUEST_OVERHEAD_BYTES;
        let routes = Routes::new(Identified::new(Guarded::new(
            ChatServiceServer::new(chat).max_decoding_message_size(max_request_bytes),
            &auth,
        )))
        .add_service(Identified::new(Guarded::new(
            AttachmentServiceServer::new(attachments).max_decoding_message_size(max_request_bytes),
            &auth,
        )))
        .add_service(Identified::new(Guarded::new(
            Budgeted::new(
                DirectoryServiceServer::new(directory)
                    .max_decoding_message_size(MAX_DIRECTORY_REQUEST_BYTES),
            ),
            &auth,
        )))
        .add_service(Identified::new(Guarded::new(
            SessionServiceServer::new(sessions)
                .max_decoding_message_size(MAX_SESSION_REQUEST_BYTES),
            &auth,
        )))
        .add_service(Identified::new(Guarded::new(
            AdminServiceServer::new(admin).max_decoding_message_size(REQUEST_OVERHEAD_BYTES),
            &auth,
        )))
        .add_service(InterceptedService::new(reflection().build_v1()?, auth.clone()))
        .add_service(InterceptedService::new(reflection().build_v1alpha()?, auth.clone()))
        // Open to probes that cannot carry a credential; it tells nothing else.
        .add_service(InterceptedService::new(
            HealthServer::new(health_service.clone())
                .max_decoding_message_size(MAX_HEALTH_REQUEST_BYTES),
            auth.clone().open_to_all(),
        ))
        .prepare();
        let shutdown = Shutdown { commit_task: Some(commit_task), locks, claim };
        let shutdown = Arc::new(Mutex::new(shutdown));
        Ok(Self {
            routes,
            auth,
            tls,
            store,
            delivery,
            health: health_service,
            tasks,
            hurries,
            draining,
            damaged,
            died,
            is_new,
            shutdown,
        })
    }

    /// The services, to be called in process or served over a socket.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Of the socket.
    pub(crate) fn tls(&self) -> Option<(ServerTls, By<HandshakeFailure, Counter>)> {
        self.tls.clone()
    }

    /// Has the file of services be read again, whether it looks changed or not; within two seconds. Where it cannot be used,
    /// the services of before stay.
    pub fn reload_services(&self) {
        self.auth.reload();
    }

    /// Who may administer this process: services with the scope `admin`, as they are known now, and who has one of its
    /// service tokens.
    pub fn administrators(&self) -> Administrators {
        Administrators(self.auth())
    }

    /// Who may call.
    pub(crate) fn auth(&self) -> ServiceAuth {
        self.auth.clone()
    }

    /// Why it does not serve, in a word; nothing where it does. `grpc.health.v1` says the same of the empty name.
    pub fn reason_against_serving(&self) -> Option<&'static str> {
        if self.draining.is_cancelled() {
            return Some("draining");
        }
        self.health.reason_against()
    }

    /// Whether the database had nothing of ours: a new chat begins.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What waits for a database that is away is refused when `Config::drain_wait` is over. To be called when the process
    /// begins to end, of which this core may be the last part.
    pub fn hurry(&self) {
        self.hurries.cancel();
    }

    /// Refuses new work and ends the live streams; what was taken is finished.
    pub fn drain(&self) {
        self.hurry();
        self.draining.cancel();
        self.delivery.close(&Error::ShuttingDown);
    }

    /// Drains, waits for the work that was taken, and closes the database. A core that is only dropped
    /// keeps its database and its locks until the end of the process.
    pub async fn close(&self) {
        self.drain();
        self.tasks.close();
        self.tasks.wait().await;
        let mut shutdown = self.shutdown.lock().await;
        // Whoever stops it may have put another file in its place before.
        if let Some(open_files) = self.store.open_files() {
            open_files.look().await;
        }
        // The writer last: it removes the write-ahead log, which a reader could not.
        self.store.close().await;
        if let Some(commit_task) = shutdown.commit_task.take() {
            match commit_task.await {
                Ok(writer) => {
                    if let Err(error) = writer.close().await {
                        tracing::warn!(%error, "the database did not close cleanly");
                    }
                }
                Err(error) => tracing::error!(%error, "the task that commits has died"),
            }
        }
        for lock in shutdown.locks.drain(..) {
            if let Err(error) = lock.release() {
                tracing::warn!(path = %lock.path().display(), %error, "cannot release a lock");
            }
        }
        if let Some(claim) = shutdown.claim.take() {
            claim.release();
        }
    }

    /// Cancelled when the database is damaged or no longer where it was: the process must end, so that
    /// nothing more is acknowledged.
    pub fn damaged(&self) -> CancellationToken {
        self.damaged.clone()
    }

    /// Cancelled when the core can take no more work, by a fault of its own: the process must end, and
    /// may be started again.
    pub fn died(&self) -> CancellationToken {
        self.died.clone()
    }
}

/// Where it takes files, or will when there is room.
async fn open_media(location: MediaLocation) -> Result<Media, OpenError> {
    let opened = match &location {
        MediaLocation::Directory(path) => {
            create_dir(path)?;
            Media::local(path)
        }
        MediaLocation::S3(url) => Media::s3(url).await,
    };
    let tried = async {
        let media = opened?;
        media.try_out().await?;
        Ok(media)
    };
    tried.await.map_err(|error| OpenError::Media { media: location, error })
}
