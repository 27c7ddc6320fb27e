//! Reads the file of services again when it has changed, or when somebody asks for it. A file that cannot be used changes
//! nothing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use netrox_audit::{Audit, Event, Name};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    file::{ServicesError, ServicesFile, Stamp},
    services::Services,
};

/// Between two looks at the file, and at whose time is over: so late may streams of an expired token end.
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
    /// Of what was looked at last; nothing where there was no file.
    pub(crate) seen: Option<Stamp>,
    /// Why it could not be used the last time. Until it can, it is read at each look: what kept it from being read may pass.
    pub(crate) refusal: Option<String>,
    /// Somebody wants it to be read.
    pub(crate) asked: Arc<Notify>,
    pub(crate) audit: Audit,
}

impl Watch {
    pub(crate) async fn run(self) {
        let services = Arc::clone(&self.services);
        // Apart: the file may be on a disk that hangs.
        tokio::join!(end_expired(&services), self.look());
    }

    async fn look(mut self) {
        loop {
            let is_asked = timeout(INTERVAL, self.asked.notified()).await.is_ok();
            let (path, seen, is_refused) = (self.path.clone(), self.seen, self.refusal.is_some());
            let looked = tokio::task::spawn_blocking(move || {
                let there = Stamp::at(&path);
                (is_asked || is_refused || there != seen)
                    .then(|| (there, ServicesFile::read(&path)))
            });
            match looked.await {
                Ok(None) => {}
                Ok(Some((there, read))) => {
                    self.seen = read.as_ref().map_or(there, |file| Some(file.stamp));
                    self.take(read, is_asked);
                }
                Err(error) => tracing::error!(%error, "the file of services was not looked at"),
            }
        }
    }

    fn take(&mut self, read: Result<ServicesFile, ServicesError>, is_asked: bool) {
        match read {
            Ok(file) => {
                self.refusal = None;
                let changes = self.services.replace(&file.services);
                let names: Vec<_> = file.services.iter().map(|it| it.name.to_string()).collect();
                let services = names.join(",");
                tracing::info!(services, "the file of services was read again");
                self.audit.record(Event::new(Name::ServiceTokensReloaded).targets(changes));
            }
            Err(error) => {
                let refusal = Some(error.to_string());
                if self.refusal == refusal && !is_asked {
                    return;
                }
                self.refusal = refusal;
                tracing::error!(%error, "the new file of services is not used, the old services stay");
                self.audit.reloaded(Name::ServiceTokensReloaded, Err(error.to_string()));
            }
        }
    }
}
