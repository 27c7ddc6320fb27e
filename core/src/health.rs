//! Tells `grpc.health.v1` whether the core can serve.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::committer::Health;

/// Of the whole server, and of each service.
const SERVICES: [&str; 4] = [
    "",
    "netrox.chat.v1.AttachmentService",
    "netrox.chat.v1.ChatService",
    "netrox.chat.v1.DirectoryService",
];

/// What ends the process.
pub(crate) struct Ends {
    /// Cancelled when the database is damaged.
    pub(crate) damaged: CancellationToken,
    /// Cancelled when the task that commits has died.
    pub(crate) died: CancellationToken,
}

/// Follows the database, and whether the directory of files takes any, until the drain.
pub(crate) async fn report(
    mut reporter: HealthReporter,
    mut health: watch::Receiver<Health>,
    mut takes_files: watch::Receiver<bool>,
    draining: CancellationToken,
    ends: Ends,
) {
    loop {
        let status = match *health.borrow_and_update() {
            Health::Serving if *takes_files.borrow_and_update() => ServingStatus::Serving,
            Health::Serving => ServingStatus::NotServing,
            Health::Unavailable => ServingStatus::NotServing,
            Health::Damaged => {
                ends.damaged.cancel();
                ServingStatus::NotServing
            }
        };
        set_all(&reporter, status).await;
        tokio::select! {
            changed = health.changed() => if changed.is_err() {
                if !draining.is_cancelled() {
                    ends.died.cancel();
                }
                break;
            },
            Ok(()) = takes_files.changed() => {}
            () = draining.cancelled() => break,
        }
    }
    set_all(&reporter, ServingStatus::NotServing).await;
    // Watchers are told, and then their streams end: an open one would hold up the drain.
    for service in SERVICES {
        reporter.clear_service_status(service).await;
    }
}

async fn set_all(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}
