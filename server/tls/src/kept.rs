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
/// Between two lines about files that cannot be used, for as long as they stay so.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);
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
    /// Why they could not be used when they were read last.
    refusal: Option<Refusal>,
}

struct Refusal {
    cause: String,
    told_at: Instant,
}

impl Looks {
    /// Whether files are to be read: those that have changed, and those that could not be used. What kept them from it need
    /// not be seen from outside.
    fn are_due(&mut self, look: Look, stamps: Vec<Stamp>) -> bool {
        let is_still = stamps == self.seen;
        let has_changed = stamps != self.read;
        self.seen.clone_from(&stamps);
        let is_due = match look {
            Look::Asked => true,
            Look::InPassing => is_still && (has_changed || self.refusal.is_some()),
        };
        if is_due {
            self.read = stamps;
        }
        is_due
    }

    /// Whether that is to be told: at every try, it would be the same line again and again.
    fn refused(&mut self, look: Look, cause: String) -> bool {
        let is_known = self
            .refusal
            .as_ref()
            .is_some_and(|last| last.cause == cause && last.told_at.elapsed() < REFUSAL_INTERVAL);
        if is_known && look == Look::InPassing {
            return false;
        }
        self.refusal = Some(Refusal { cause, told_at: Instant::now() });
        true
    }
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
            looks: Mutex::new(Looks { read: stamps.clone(), seen: stamps, shown, refusal: None }),
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

/// That files were read again, or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the certificates are of.
    pub name: &'static str,
    pub refusal: Option<String>,
}

trait Looked: Send + Sync {
    /// What there is to tell of it.
    fn look(&self, look: Look) -> Option<Reading>;
    fn warn(&self);
}

impl<C: Send + Sync> Looked for Kept<C> {
    fn look(&self, look: Look) -> Option<Reading> {
        let stamps = stamps(&self.files);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if !looks.are_due(look, stamps) {
            return None;
        }
        let name = self.name;
        match (self.read)() {
            Ok(Read { config, shown }) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                looks.shown = shown;
                looks.refusal = None;
                drop(looks);
                tracing::info!("the certificates of {name} were read again");
                self.warn();
                Some(Reading { name, refusal: None })
            }
            Err(error) => {
                let refusal = error.to_string();
                if !looks.refused(look, refusal.clone()) {
                    return None;
                }
                tracing::error!(
                    "the certificates of {name} cannot be used, those before stay: {refusal}"
                );
                Some(Reading { name, refusal: Some(refusal) })
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
pub async fn keep_current(
    watched: Vec<Watched>,
    mut asked: watch::Receiver<u64>,
    told: impl Fn(Reading) + Clone + Send + 'static,
) -> Infallible {
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
        let (watched, told) = (watched.clone(), told.clone());
        let looking = tokio::task::spawn_blocking(move || {
            for Watched(kept) in &watched {
                kept.look(look).into_iter().for_each(&told);
                if is_due {
                    kept.warn();
                }
            }
        });
        // It ends early with the runtime alone.
        let _ = looking.await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Two files, which are good where they hold the same.
    struct Two {
        directory: tempfile::TempDir,
        kept: Arc<Kept<String>>,
        reads: Arc<AtomicUsize>,
    }

    impl Two {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let [certificate, key] = ["certificate", "key"].map(|name| directory.path().join(name));
            for file in [&certificate, &key] {
                fs::write(file, "first").expect("written");
            }
            let reads = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&reads);
            let files = vec![certificate.clone(), key.clone()];
            let kept = Kept::open("a test", files, move || {
                count.fetch_add(1, Ordering::Relaxed);
                let text = |path: &Path| {
                    fs::read_to_string(path).map_err(|_| TlsError::new(Some(path), "is not there"))
                };
                let (config, other) = (text(&certificate)?, text(&key)?);
                if config == other {
                    Ok(Read { config, shown: Vec::new() })
                } else {
                    Err(TlsError::new(None, "do not fit"))
                }
            });
            Self { directory, kept: kept.expect("read"), reads }
        }

        /// As a program that renews certificates.
        fn put(&self, name: &str, text: &str) {
            let place = self.directory.path().join(name);
            let beside = place.with_extension("new");
            fs::write(&beside, text).expect("written");
            fs::rename(&beside, &place).expect("renamed");
        }

        fn look(&self) {
            self.kept.look(Look::InPassing);
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_change_counts_once_when_it_was_seen_twice() {
        let two = Two::new();
        two.look();
        two.put("certificate", "second");
        two.look();
        two.put("key", "second");
        two.look();
        assert_eq!((two.reads(), two.kept.current().as_str()), (1, "first"));
        two.look();
        assert_eq!((two.reads(), two.kept.current().as_str()), (2, "second"));
        two.look();
        assert_eq!(two.reads(), 2);
        two.kept.look(Look::Asked);
        assert_eq!(two.reads(), 3);
    }

    #[test]
    fn a_certificate_that_is_there_long_before_its_key_is_used_with_it() {
        let two = Two::new();
        two.put("certificate", "second");
        for _ in 0..3 {
            two.look();
        }
        assert_eq!(two.kept.current().as_str(), "first");
        two.put("key", "second");
        two.look();
        two.look();
        assert_eq!(two.kept.current().as_str(), "second");
    }

    /// As orchestrators do: a link to a directory with all files is exchanged.
    #[test]
    fn a_link_that_is_put_elsewhere_is_a_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| directory.path().join(path);
        for name in ["first", "second"] {
            fs::create_dir(at(name)).expect("created");
            fs::write(at(name).join("file"), name).expect("written");
        }
        let link = |to: &str| {
            std::os::unix::fs::symlink(at(to), at("new")).expect("linked");
            fs::rename(at("new"), at("current")).expect("renamed");
        };
        link("first");
        let file = at("current").join("file");
        let read = file.clone();
        let kept = Kept::open("a test", vec![file], move || {
            let config = fs::read_to_string(&read);
            let config = config.map_err(|_| TlsError::new(Some(&read), "is not there"))?;
            Ok(Read { config, shown: Vec::new() })
        })
        .expect("read");
        link("second");
        kept.look(Look::InPassing);
        kept.look(Look::InPassing);
        assert_eq!(kept.current().as_str(), "second");
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_though_it_looks_as_before() {
        let is_readable = Arc::new(AtomicUsize::new(1));
        let reads = Arc::new(AtomicUsize::new(0));
        let (readable, count) = (Arc::clone(&is_readable), Arc::clone(&reads));
        let kept = Kept::open("a test", Vec::new(), move || {
            let config = count.fetch_add(1, Ordering::Relaxed);
            match readable.load(Ordering::Relaxed) {
                0 => Err(TlsError::new(None, "permission denied")),
                _ => Ok(Read { config, shown: Vec::new() }),
            }
        })
        .expect("read");
        is_readable.store(0, Ordering::Relaxed);
        kept.look(Look::Asked);
        kept.look(Look::InPassing);
        assert_eq!((*kept.current(), reads.load(Ordering::Relaxed)), (0, 3));
        is_readable.store(1, Ordering::Relaxed);
        kept.look(Look::InPassing);
        kept.look(Look::InPassing);
        assert_eq!((*kept.current(), reads.load(Ordering::Relaxed)), (3, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_when_it_changes_or_once_a_minute() {
        let (read, seen, shown) = (Vec::new(), Vec::new(), Vec::new());
        let mut looks = Looks { read, seen, shown, refusal: None };
        let mut is_told = |cause: &str| looks.refused(Look::InPassing, cause.to_owned());
        assert!(is_told("one") && !is_told("one") && is_told("another") && is_told("one"));
        tokio::time::advance(REFUSAL_INTERVAL).await;
        assert!(is_told("one") && !is_told("one"));
        assert!(looks.refused(Look::Asked, "one".to_owned()), "who asks is told");
    }
}
