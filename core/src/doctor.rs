//! What is wrong with what a core works on: database, bus, files and disk. Cores may be at work on them meanwhile; nothing is
//! left, and no lock is taken that a core takes.
//!
//! * [`disk`]: room, and how long a sync takes.

mod disk;

use std::time::Duration;

use netrox_diagnosis::{Report, Subject};
use tokio::join;
use uuid::Uuid;

use crate::{
    config::{BusConfig, Config, Database, MediaLocation},
    delivery::bus,
    lifecycle::{self, OpenError},
    media, store,
};

const DATABASE_TIMEOUT: Duration = Duration::from_secs(25);
const BUS_TIMEOUT: Duration = Duration::from_secs(12);
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(10);
/// Of what is asked of a bucket; who may enter is found out before.
const BUCKET_TIMEOUT: Duration = Duration::from_secs(12);
const MEDIA_TIMEOUT: Duration = Duration::from_secs(25);
const DISK_TIMEOUT: Duration = Duration::from_secs(15);

/// Looks at all of it. It takes half a minute at most.
pub async fn examine(config: &Config) -> Report {
    let engines = async {
        let mut report = Report::default();
        let cluster = examine_database(config, &mut report).await;
        if let Some(bus) = &config.bus {
            examine_bus(bus, cluster, &mut report).await;
        }
        report
    };
    let files = async {
        let mut report = Report::default();
        examine_media(config, &mut report).await;
        report
    };
    let disk = async {
        let mut report = Report::default();
        let what = "a disk";
        report
            .within(Subject::Disk, DISK_TIMEOUT, what, async |report| {
                disk::examine(config, report).await;
            })
            .await;
        report
    };
    let (mut report, files, disk) = join!(engines, files, disk);
    report.add(files);
    report.add(disk);
    report
}

async fn examine_database(config: &Config, report: &mut Report) -> Option<Uuid> {
    let mut cluster = None;
    let what = format!("the database {}", config.database);
    report
        .within(Subject::Database, DATABASE_TIMEOUT, &what, async |report| match &config.database {
            Database::Postgres(database) => {
                let require_data = config.require_existing_data;
                cluster = store::examine_postgres(database, require_data, report).await;
            }
            Database::Sqlite(path) => match lifecycle::look(config) {
                Ok(store::Expected::Nothing) => {
                    let text = format!("{}: the first start makes it", path.display());
                    report.note(Subject::Database, text);
                }
                Ok(store::Expected::File | store::Expected::Database) => {
                    store::examine_sqlite(path, report).await;
                }
                Err(error) => report.find(Subject::Database, &error, of(&error)),
            },
        })
        .await;
    cluster
}

async fn examine_bus(bus: &BusConfig, cluster: Option<Uuid>, report: &mut Report) {
    let what = format!("the bus {}", bus.url);
    report
        .within(Subject::Bus, BUS_TIMEOUT, &what, async |report| {
            bus::examine(bus, cluster, report).await;
        })
        .await;
}

async fn examine_media(config: &Config, report: &mut Report) {
    match &config.media {
        MediaLocation::S3(url) => {
            let what = format!("the bucket {url}");
            report
                .within(Subject::Media, MEDIA_TIMEOUT, &what, async |report| {
                    media::examine_bucket(url, BUCKET_TIMEOUT, report).await;
                })
                .await;
        }
        MediaLocation::Directory(path) if path.is_dir() => {
            let what = format!("the directory {}", path.display());
            report
                .within(Subject::Media, DIRECTORY_TIMEOUT, &what, async |report| {
                    media::examine_directory(path, report).await;
                })
                .await;
        }
        MediaLocation::Directory(path) => match lifecycle::check_directory(path) {
            Ok(()) => {
                report.note(Subject::Media, format!("a start makes {}", path.display()));
            }
            Err(error) => {
                report.find(Subject::Media, &error, "mount its volume, or mend --media-url");
            }
        },
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
