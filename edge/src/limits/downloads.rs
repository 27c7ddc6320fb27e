//! The places of a download: of its user, of its address, and of all.

use std::sync::Arc;

use netrox_metrics::By;
use netrox_proto::ids::UserId;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

use super::{PATIENCE, Pace, Place, Places, share_of_files};
use crate::{client_address::ClientAddress, config::Config, metrics::Limit};

/// A file on its way holds a connection and, where the core is in this process, the file.
const FILES_OF_DOWNLOAD: usize = 2;
/// How many wait for a place of theirs, and how many for one of all.
const MAX_WAITING: usize = 64;
const MAX_WAITING_OF_ALL: usize = 256;

pub(crate) struct Downloads {
    by_user: Places<UserId>,
    by_address: Places<ClientAddress>,
    all: Places<()>,
    hits: By<Limit, Counter>,
}

/// A download's places, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Download {
    _of_user: Option<Place<UserId>>,
    _of_address: Option<Place<ClientAddress>>,
    _of_all: Place<()>,
    pace: Arc<Pace>,
}

impl Download {
    pub(crate) fn took(&self, bytes: usize) {
        self.pace.took(bytes);
    }
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDownload {
    /// The user or the address has as many as they may.
    OfTheirs,
    /// This edge has.
    OfAll,
}

impl Downloads {
    pub(super) fn new(config: &Config, hits: By<Limit, Counter>) -> Self {
        let limits = &config.limits;
        let share = |wanted| share_of_files(config, wanted * FILES_OF_DOWNLOAD) / FILES_OF_DOWNLOAD;
        let (max, max_waiting) = (share(limits.max_downloads), share(MAX_WAITING_OF_ALL));
        Self {
            by_user: Places::new(limits.max_downloads_per_user, MAX_WAITING),
            by_address: Places::new(limits.max_downloads_per_address, MAX_WAITING),
            all: Places::new(max.max(1), max_waiting),
            hits,
        }
    }

    /// Waits for the places that a download needs. A user and an address count where they are known.
    pub(crate) async fn begin(
        &self,
        user: Option<UserId>,
        address: Option<ClientAddress>,
        pace: Arc<Pace>,
    ) -> Result<Download, NoDownload> {
        let until = Instant::now() + PATIENCE;
        let of_theirs = |_| {
            self.hits.count(Limit::DownloadsOfTheirs);
            NoDownload::OfTheirs
        };
        let of_user = match user {
            Some(user) => {
                Some(self.by_user.take(user, Some(&pace), until).await.map_err(of_theirs)?)
            }
            None => None,
        };
        let of_address = match address {
            Some(address) => {
                Some(self.by_address.take(address, Some(&pace), until).await.map_err(of_theirs)?)
            }
            None => None,
        };
        let of_all = self.all.take((), Some(&pace), until).await;
        let of_all = of_all.map_err(|_| {
            self.hits.count(Limit::Downloads);
            NoDownload::OfAll
        })?;
        Ok(Download { _of_user: of_user, _of_address: of_address, _of_all: of_all, pace })
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::*;
    use crate::{config::Limits, stub_core};

    fn downloads(open_files: Option<u64>) -> Downloads {
        let limits = Limits {
            max_downloads_per_user: 2,
            max_downloads_per_address: 3,
            max_downloads: 5,
            ..Limits::default()
        };
        Downloads::new(&Config { open_files, ..stub_core::config(limits) }, By::counters("limit"))
    }

    async fn begin(
        downloads: &Downloads,
        user: Option<u128>,
        address: Option<&str>,
    ) -> Result<Download, NoDownload> {
        let user = user.map(|user| UserId(Uuid::from_u128(user)));
        let address = address.map(|address| ClientAddress::new(address.parse().expect("an IP")));
        let pace = Arc::new(Pace::new(CancellationToken::new()));
        downloads.begin(user, address, pace).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_counts_for_its_user_its_address_and_all() {
        let downloads = downloads(None);
        let mut held = Vec::new();
        for (user, address, expected) in [
            (Some(1), Some("192.0.2.1"), Ok(())),
            (Some(1), Some("192.0.2.2"), Ok(())),
            (Some(1), Some("192.0.2.3"), Err(NoDownload::OfTheirs)),
            (Some(2), Some("192.0.2.1"), Ok(())),
            (None, Some("192.0.2.1"), Ok(())),
            (None, Some("192.0.2.1"), Err(NoDownload::OfTheirs)),
            (None, None, Ok(())),
            (None, None, Err(NoDownload::OfAll)),
            (Some(3), Some("192.0.2.9"), Err(NoDownload::OfAll)),
        ] {
            let begun = begin(&downloads, user, address).await;
            assert_eq!(begun.as_ref().map(|_| ()).map_err(|error| *error), expected);
            held.extend(begun);
        }
        held.remove(0);
        assert!(begin(&downloads, Some(1), Some("192.0.2.1")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_open_files_are_kept_for_chat() {
        let downloads = downloads(Some(16));
        let _held = [begin(&downloads, None, None).await, begin(&downloads, None, None).await];
        assert_eq!(begin(&downloads, None, None).await.err(), Some(NoDownload::OfAll));
    }
}
