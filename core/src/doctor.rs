//! What is wrong with what a core works on: database, bus, files and disk. Cores may be at work on them meanwhile; nothing is
//! left, and no lock is taken that a core takes. Each part has a thread of its own: files may be on a file system that hangs.
//!
//! * [`disk`]: room, and how long a sync takes.

mod disk;

use std::{path::Path, time::Duration};

use netrox_diagnosis::{Report, Subject};
use tokio::{join, sync::oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config::{BusConfig, Config, Database, MediaLocation, S3Url},
    delivery::bus,
    lifecycle::{self, OpenError},
    media, store,
};

const LOCKS_TIMEOUT: Duration = Duration::from_secs(10);
const DATABASE_TIMEOUT: Duration = Duration::from_secs(25);
const BUS_TIMEOUT: Duration = Duration::from_secs(12);
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(10);
/// Of what is asked of a bucket; who may enter is found out before.
const BUCKET_TIMEOUT: Duration = Duration::from_secs(12);
/// What was written has been removed by then.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(40);
const DISK_TIMEOUT: Duration = Duration::from_secs(15);

/// By what the cores of a database know each other on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cluster {
    Is(Uuid),
    /// The first start makes it.
    New,
    Unknown,
}

/// Looks at all of it. It takes 40 seconds at most: the bus is looked at when the database has said by what its cores know
/// each other there, or does not say it. With `stop` it ends as soon as what was written is removed.
pub async fn examine(config: &Config, stop: CancellationToken) -> Report {
    let (known, cluster) = oneshot::channel();
    let engines = async {
        let bus = async {
            let cluster = cluster.await.unwrap_or(Cluster::Unknown);
            match &config.bus {
                Some(bus) => examine_bus(bus.clone(), cluster).await,
                None => Report::default(),
            }
        };
        let (mut report, bus) = join!(examine_database(config.clone(), known), bus);
        report.add(bus);
        report
    };
    let disk_config = config.clone();
    let others = async {
        let disk =
            Report::aside(Subject::Disk, DISK_TIMEOUT, "a disk".to_owned(), async move |report| {
                disk::examine(&disk_config, report)
            });
        let (mut report, locks, disk) = join!(engines, examine_locks(config.clone()), disk);
        report.add(locks);
        report.add(disk);
        report
    };
    let files = examine_media(config, stop.clone());
    let (others, files) = join!(stop.run_until_cancelled(others), files);
    let mut report = others.unwrap_or_default();
    report.add(files);
    report
}

/// What keeps a second core away has to be there, or possible.
async fn examine_locks(config: Config) -> Report {
    let what = format!("the directory {}", config.data_dir.display());
    Report::aside(Subject::Disk, LOCKS_TIMEOUT, what, async move |report| {
        if let Err(error) = lifecycle::check_data_dir(&config) {
            report.find(Subject::Disk, &error, of(&error));
        }
    })
    .await
}

async fn examine_database(config: Config, known: oneshot::Sender<Cluster>) -> Report {
    let what = format!("the database {}", config.database);
    Report::aside(Subject::Database, DATABASE_TIMEOUT, what, async move |report| {
        match &config.database {
            Database::Postgres(database) => {
                let needs =
                    store::Needs { data: config.require_existing_data, search: config.search };
                store::examine_postgres(database, needs, known, report).await;
            }
            Database::Sqlite(path) => examine_sqlite(&config, path, report).await,
        }
    })
    .await
}

async fn examine_sqlite(config: &Config, path: &Path, report: &mut Report) {
    let looked = lifecycle::look(config).and_then(|expected| {
        lifecycle::check_database_files(config, path)?;
        Ok(expected)
    });
    match looked {
        Ok(store::Expected::Nothing) => {
            let text = format!("{}: the first start makes it", path.display());
            report.note(Subject::Database, text);
        }
        Ok(expected @ (store::Expected::File | store::Expected::Database)) => {
            let require_data = config.require_existing_data;
            store::examine_sqlite(path, expected, require_data, report).await;
        }
        Err(error) => report.find(Subject::Database, &error, of(&error)),
    }
}

async fn examine_bus(bus: BusConfig, cluster: Cluster) -> Report {
    let what = format!("the bus {}", bus.url);
    Report::aside(Subject::Bus, BUS_TIMEOUT, what, async move |report| {
        bus::examine(&bus, cluster, report).await;
    })
    .await
}

async fn examine_media(config: &Config, stop: CancellationToken) -> Report {
    match &config.media {
        MediaLocation::S3(url) => examine_bucket(url.clone(), stop).await,
        MediaLocation::Directory(path) => {
            let what = format!("the directory {}", path.display());
            let path = path.clone();
            // What is tried there is one call of a thread, which takes away what it wrote.
            Report::aside(Subject::Media, DIRECTORY_TIMEOUT, what, async move |report| {
                examine_directory(&path, report).await;
            })
            .await
        }
    }
}

async fn examine_bucket(url: S3Url, stop: CancellationToken) -> Report {
    let what = format!("the bucket {url}");
    Report::aside(Subject::Media, MEDIA_TIMEOUT, what, async move |report| {
        media::examine_bucket(&url, BUCKET_TIMEOUT, &stop, report).await;
    })
    .await
}

async fn examine_directory(path: &Path, report: &mut Report) {
    if path.is_dir() {
        return media::examine_directory(path, report).await;
    }
    match lifecycle::check_directory(path) {
        Ok(()) => report.note(Subject::Media, format!("a start makes {}", path.display())),
        Err(error) => report.find(Subject::Media, &error, "mount its volume, or mend --media-url"),
    }
}

/// What to do about what a start would refuse before it opens a database.
fn of(error: &OpenError) -> &'static str {
    match error {
        OpenError::Vanished(_) => {
            "mount the volume of the data directory, or do what the line says"
        }
        OpenError::LogOfAnother { .. } => "do what the line says",
        OpenError::Locked(_) => "stop the other process",
        OpenError::File { .. } => "look at the path that is named: its owner, its mode, its volume",
        OpenError::Database { .. }
        | OpenError::Media { .. }
        | OpenError::Bus(_)
        | OpenError::Reflection(_) => "look at what is named",
    }
}
