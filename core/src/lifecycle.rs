//! A core from its opening to its close.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use netrox_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        attachment_service_server::AttachmentServiceServer, chat_service_server::ChatServiceServer,
        directory_service_server::DirectoryServiceServer,
    },
};
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::{Routes, interceptor::InterceptedService};

use crate::{
    attachment::{Attachments, MAX_CHUNK_BYTES, draft},
    auth::ServiceAuth,
    bus::{self, Bus},
    chat::Chat,
    committer,
    config::{Config, Database, MediaLocation},
    directory::Directory,
    error::Error,
    feed_check, health,
    hub::Hub,
    media::{Media, StoreError},
    store::{self, Store, Writer},
};

/// Of a request besides its largest field.
const REQUEST_OVERHEAD_BYTES: usize = 64 * 1024;
/// A thousand users with the largest profiles.
const MAX_DIRECTORY_REQUEST_BYTES: usize = 20 * 1024 * 1024;
const LOCK_FILE: &str = "lock";

/// Why a core could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process uses {}", .0.display())]
    Locked(PathBuf),
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("database {database}: {error}")]
    Database { database: Database, error: store::OpenError },
    #[error("media {media}: {error}")]
    Media { media: MediaLocation, error: StoreError },
    #[error("bus: {0}")]
    Bus(#[from] bus::OpenError),
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// An open core: a cheap handle.
#[derive(Debug, Clone)]
pub struct Core {
    routes: Routes,
    store: Store,
    hub: Hub,
    tasks: TaskTracker,
    /// Ends the acceptance of work.
    draining: CancellationToken,
    failed: CancellationToken,
    shutdown: Arc<Mutex<Shutdown>>,
}

/// What closing takes.
#[derive(Debug)]
struct Shutdown {
    /// Gives the writer back.
    commit_task: Option<JoinHandle<Writer>>,
    /// Held until the database is closed.
    locks: Vec<File>,
}

impl Core {
    /// Locks the data directory, opens the database, removes what a crash left behind.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let locks = lock(&config)?;
        let failed = CancellationToken::new();
        let unopened = |error| OpenError::Database { database: config.database.clone(), error };
        let (store, writer) =
            Store::open(&config.database, failed.clone()).await.map_err(unopened)?;
        let media = open_media(&config.media).await?;

        let tasks = TaskTracker::new();
        let draining = CancellationToken::new();
        let hub = match store.cluster() {
            None => Hub::default(),
            Some(cluster) => {
                let hub = Hub::clustered();
                if let Some(bus) = &config.bus {
                    let (tasks, stop) = (tasks.clone(), draining.clone());
                    let history = store.history().clone();
                    hub.use_bus(Bus::open(bus, cluster, history, hub.clone(), tasks, stop).await?);
                }
                hub
            }
        };
        let (committer, commit_task, health) =
            committer::new(writer, hub.clone(), draining.clone());
        if store.cluster().is_some() {
            let (store, hub, health) = (store.clone(), hub.clone(), health.clone());
            tasks.spawn(feed_check::run(store, hub, health, draining.clone()));
        }
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let commit_task = tasks.spawn(commit_task.run());
        tasks.spawn(health::report(reporter, health, draining.clone(), failed.clone()));
        // Read before anyone can begin another.
        let cut_off = store.list_cut_off_uploads().await.map_err(|error| unopened(error.into()))?;
        let cleaner = draft::Cleaner {
            store: store.clone(),
            media: media.clone(),
            committer: committer.clone(),
        };
        tasks.spawn(cleaner.run(cut_off, draining.clone()));

        let chat = Chat {
            store: store.clone(),
            committer: committer.clone(),
            hub: hub.clone(),
            tasks: tasks.clone(),
            max_body_bytes: config.max_body_bytes,
        };
        let attachments = Attachments {
            store: store.clone(),
            committer: committer.clone(),
            media,
            tasks: tasks.clone(),
            max_body_bytes: config.max_body_bytes,
            max_attachment_bytes: config.max_attachment_bytes,
        };
        let directory = Directory { store: store.clone(), committer };
        let auth = ServiceAuth::new(config.service_tokens);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // One that is a little too large is told so by its reason; beyond that gRPC refuses it.
        let max_request_bytes =
            MAX_CHUNK_BYTES.max(config.max_body_bytes) * 2 + REQUEST_OVERHEAD_BYTES;
        let routes = Routes::new(InterceptedService::new(
            ChatServiceServer::new(chat).max_decoding_message_size(max_request_bytes),
            auth.clone(),
        ))
        .add_service(InterceptedService::new(
            AttachmentServiceServer::new(attachments).max_decoding_message_size(max_request_bytes),
            auth.clone(),
        ))
        .add_service(InterceptedService::new(
            DirectoryServiceServer::new(directory)
                .max_decoding_message_size(MAX_DIRECTORY_REQUEST_BYTES),
            auth.clone(),
        ))
        .add_service(InterceptedService::new(reflection().build_v1()?, auth.clone()))
        .add_service(InterceptedService::new(reflection().build_v1alpha()?, auth))
        // Open to probes that cannot carry a credential; it tells nothing else.
        .add_service(health_service)
        .prepare();
        let shutdown = Shutdown { commit_task: Some(commit_task), locks };
        let shutdown = Arc::new(Mutex::new(shutdown));
        Ok(Self { routes, store, hub, tasks, draining, failed, shutdown })
    }

    /// The services, to be called in process or served over a socket.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Refuses new work and ends the live streams; what was taken is finished.
    pub fn drain(&self) {
        self.draining.cancel();
        self.hub.close(&Error::ShuttingDown);
    }

    /// Drains, waits for the work that was taken, and closes the database. A core that is only dropped
    /// keeps its database and its locks until the end of the process.
    pub async fn close(&self) {
        self.drain();
        self.tasks.close();
        self.tasks.wait().await;
        let mut shutdown = self.shutdown.lock().await;
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
        shutdown.locks.clear();
    }

    /// Cancelled when the database is damaged: the process must end, so that nothing more is
    /// acknowledged.
    pub fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }
}

/// One process per data directory, and per database file wherever it lies: its writer keeps in memory
/// what other writers would have it read anew for each batch.
fn lock(config: &Config) -> Result<Vec<File>, OpenError> {
    create_dir(&config.data_dir)?;
    let mut locks = vec![lock_file(&config.data_dir, config.data_dir.join(LOCK_FILE))?];
    if let Database::Sqlite(path) = &config.database {
        locks.push(lock_database(path)?);
    }
    Ok(locks)
}

pub(crate) fn lock_database(path: &Path) -> Result<File, OpenError> {
    let mut database_lock = real_path(path)?.into_os_string();
    database_lock.push(".lock");
    lock_file(path, database_lock.into())
}

async fn open_media(location: &MediaLocation) -> Result<Media, OpenError> {
    let opened = match location {
        MediaLocation::Directory(path) => {
            create_dir(path)?;
            Media::local(path)
        }
        MediaLocation::S3(url) => Media::s3(url).await,
    };
    opened.map_err(|error| OpenError::Media { media: location.clone(), error })
}

/// The path without links, of a file that may not exist yet.
fn real_path(path: &Path) -> Result<PathBuf, OpenError> {
    let unusable = |error| OpenError::File { path: path.to_owned(), error };
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let name = path.file_name().ok_or_else(|| unusable(io::ErrorKind::InvalidInput.into()))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(directory.canonicalize().map_err(unusable)?.join(name))
}

fn lock_file(guarded: &Path, path: PathBuf) -> Result<File, OpenError> {
    let file = match File::options().create(true).truncate(false).write(true).open(&path) {
        Ok(file) => file,
        Err(error) => return Err(OpenError::File { path, error }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(guarded.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::File { path, error }),
    }
}

fn create_dir(path: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(path).map_err(|error| OpenError::File { path: path.to_owned(), error })
}
