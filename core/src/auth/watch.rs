//! Reads the file of services again when it has changed, or when somebody asks for it. A file that cannot be used changes
//! nothing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use netrox_audit::{Audit, Name};
use tokio::{sync::Notify, time::timeout};

use super::{
    file::{ServicesError, ServicesFile, Stamp},
    services::Services,
};

/// Between two looks at the file. It is also how late streams of an expired token may end.
const INTERVAL: Duration = Duration::from_secs(2);

/// To be run until the core drains.
pub(crate) struct Watch {
    pub(crate) services: Arc<Services>,
    pub(crate) path: PathBuf,
    /// Of what was looked at last; nothing where there was no file.
    pub(crate) seen: Option<Stamp>,
    /// Somebody wants it to be read.
    pub(crate) asked: Arc<Notify>,
    pub(crate) audit: Audit,
}

impl Watch {
    pub(crate) async fn run(mut self) {
        loop {
            let is_asked = timeout(INTERVAL, self.asked.notified()).await.is_ok();
            self.services.end_expired();
            let (path, seen) = (self.path.clone(), self.seen);
            let looked = tokio::task::spawn_blocking(move || {
                let there = Stamp::at(&path);
                (is_asked || there != seen).then(|| (there, ServicesFile::read(&path)))
            });
            match looked.await {
                Ok(None) => {}
                Ok(Some((there, read))) => {
                    self.seen = read.as_ref().map_or(there, |file| Some(file.stamp));
                    self.take(read);
                }
                Err(error) => tracing::error!(%error, "the file of services was not looked at"),
            }
        }
    }

    fn take(&self, read: Result<ServicesFile, ServicesError>) {
        match read {
            Ok(file) => {
                self.services.replace(&file.services);
                let names: Vec<_> = file.services.iter().map(|it| it.name.to_string()).collect();
                let services = names.join(",");
                tracing::info!(services, "the file of services was read again");
                self.audit.reloaded(Name::ServiceTokensReloaded, Ok(services));
            }
            Err(error) => {
                tracing::error!(%error, "the new file of services is not used, the old services stay");
                self.audit.reloaded(Name::ServiceTokensReloaded, Err(error.to_string()));
            }
        }
    }
}
