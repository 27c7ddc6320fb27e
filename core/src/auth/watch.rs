//! Has the file of services read again (`netrox-watch`), and streams ended whose token is over. A file that cannot be used
//! changes nothing.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netrox_audit::{Audit, Event, Name};
use netrox_watch::{Files, Look, Reread};
use tokio::{sync::watch, time::sleep};

use super::{file::ServicesFile, services::Services};

/// So late may streams of an expired token end.
const INTERVAL: Duration = Duration::from_secs(2);

async fn end_expired(services: &Services) {
    loop {
        sleep(INTERVAL).await;
        services.end_expired();
    }
}

/// To be run until the core drains.
pub(crate) struct Watch {
    pub(crate) services: Arc<Services>,
    pub(crate) path: PathBuf,
    /// Changes when somebody wants the file to be read.
    pub(crate) asked: watch::Receiver<u64>,
    pub(crate) audit: Audit,
}

impl Watch {
    pub(crate) async fn run(self) {
        let Self { services, path, asked, audit } = self;
        let files = Files::read_before(vec![path.clone()]);
        let is_refused = AtomicBool::default();
        let file = File { services: Arc::clone(&services), path, is_refused, audit };
        // Apart: the file may be on a disk that hangs.
        tokio::join!(end_expired(&services), netrox_watch::keep(files, Arc::new(file), asked));
    }
}

struct File {
    services: Arc<Services>,
    path: PathBuf,
    /// That it could not be used was told last.
    is_refused: AtomicBool,
    audit: Audit,
}

impl Reread for File {
    fn read_again(&self, look: Look) -> Result<(), String> {
        let file = ServicesFile::read(&self.path).map_err(|error| error.to_string())?;
        let changes = self.services.replace(&file.services);
        let was_refused = self.is_refused.swap(false, Ordering::Relaxed);
        if changes.is_empty() && look == Look::InPassing && !was_refused {
            return Ok(());
        }
        let names: Vec<_> = file.services.iter().map(|it| it.name.to_string()).collect();
        let services = names.join(",");
        tracing::info!(services, "the file of services was read again");
        self.audit.record(Event::new(Name::ServiceTokensReloaded).targets(changes));
        Ok(())
    }

    fn refused(&self, cause: &str) {
        self.is_refused.store(true, Ordering::Relaxed);
        tracing::error!(
            error = cause,
            "the new file of services is not used, the old services stay"
        );
        self.audit.reloaded(Name::ServiceTokensReloaded, Err(cause.to_owned()));
    }
}
