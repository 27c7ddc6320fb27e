//! What was read of files: it is read again when they change, or when somebody asks for it, and stays as it was where it
//! cannot be used any more.

use std::{
    convert::Infallible,
    fmt,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep},
};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{expiry, files::TlsError};

/// Between two looks at the files. A change counts when it is there at two of them, unaltered: of files that are written one
/// after the other, the first would else be taken with the old second.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Between two warnings of a certificate that expires.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A configuration, and the certificates that are shown by it.
pub(crate) struct Read<C> {
    pub(crate) config: C,
    pub(crate) shown: Vec<CertificateDer<'static>>,
}

/// How files look from outside.
type Stamp = Option<(u64, u64, u64, [i64; 4])>;

pub(crate) struct Kept<C> {
    /// What it is of, for the log.
    name: &'static str,
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<Read<C>, TlsError> + Send + Sync>,
    current: RwLock<Arc<C>>,
    looks: Mutex<Looks>,
}

struct Looks {
    /// When they were read last.
    read: Vec<Stamp>,
    /// At the last look.
    seen: Vec<Stamp>,
    shown: Vec<CertificateDer<'static>>,
}

impl<C> Kept<C> {
    /// Reads what has to be there.
    pub(crate) fn open(
        name: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<Read<C>, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(&files);
        let Read { config, shown } = read()?;
        Ok(Arc::new(Self {
            name,
            files,
            read: Box::new(read),
            current: RwLock::new(Arc::new(config)),
            looks: Mutex::new(Looks { read: stamps.clone(), seen: stamps, shown }),
        }))
    }

    pub(crate) fn current(&self) -> Arc<C> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What there is to say of the certificate that is shown.
    #[expect(clippy::disallowed_methods, reason = "certificates end by the wall clock")]
    pub(crate) fn warning(&self) -> Option<String> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let warning = expiry::warning(&looks.shown, SystemTime::now())?;
        Some(format!("the certificate of {} {warning}", self.name))
    }
}

impl<C> fmt::Debug for Kept<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let data = std::fs::metadata(file).ok()?;
        let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
        Some((data.dev(), data.ino(), data.len(), times))
    };
    files.iter().map(stamp).collect()
}

/// Why files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// They may have changed.
    InPassing,
    /// Somebody has asked for it.
    Asked,
}

trait Looked: Send + Sync {
    fn look(&self, look: Look);
    fn warn(&self);
}

impl<C: Send + Sync> Looked for Kept<C> {
    fn look(&self, look: Look) {
        let stamps = stamps(&self.files);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = stamps != looks.read && stamps == looks.seen;
        looks.seen.clone_from(&stamps);
        if look == Look::InPassing && !has_changed {
            return;
        }
        looks.read = stamps;
        match (self.read)() {
            Ok(Read { config, shown }) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                looks.shown = shown;
                drop(looks);
                tracing::info!("the certificates of {} were read again", self.name);
                self.warn();
            }
            Err(error) => {
                tracing::error!(
                    "the certificates of {} cannot be used, those before stay: {error}",
                    self.name
                );
            }
        }
    }

    fn warn(&self) {
        if let Some(warning) = self.warning() {
            tracing::warn!("{warning}");
        }
    }
}

/// Something that is kept.
#[derive(Clone)]
pub struct Watched(Arc<dyn Looked>);

impl Watched {
    pub(crate) fn new<C: Send + Sync + 'static>(kept: &Arc<Kept<C>>) -> Self {
        Self(Arc::clone(kept) as _)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

/// Reads again what changes, and all of it whenever `asked` does, for as long as it is polled.
pub async fn keep_current(watched: Vec<Watched>, mut asked: watch::Receiver<u64>) -> Infallible {
    if watched.is_empty() {
        std::future::pending::<()>().await;
    }
    let mut warned_at = Instant::now();
    loop {
        let look = select! {
            () = sleep(LOOK_INTERVAL) => Look::InPassing,
            Ok(()) = asked.changed() => Look::Asked,
        };
        let is_due = warned_at.elapsed() >= WARNING_INTERVAL;
        if is_due {
            warned_at = Instant::now();
        }
        let watched = watched.clone();
        let looking = tokio::task::spawn_blocking(move || {
            for Watched(kept) in &watched {
                kept.look(look);
                if is_due {
                    kept.warn();
                }
            }
        });
        // It ends early with the runtime alone.
        let _ = looking.await;
    }
}
