//! What was read of files, and is read again (`netrox-watch`). It stays as it was where they cannot be used any more.

use std::{
    convert::Infallible,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use netrox_watch::{Files, Look, Reread};
use tokio::{sync::watch, time::sleep};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{chain, expiry, files::TlsError};

/// Between two warnings of a certificate that expires.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A configuration, and the certificates that are shown by it.
pub(crate) struct Read<C> {
    pub(crate) config: C,
    pub(crate) shown: Vec<CertificateDer<'static>>,
}

pub(crate) struct Kept<C> {
    /// What it is of, for the log.
    name: &'static str,
    files: Files,
    read: Box<dyn Fn() -> Result<Read<C>, TlsError> + Send + Sync>,
    current: RwLock<Arc<C>>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
    /// Whether the files, as they were read last, cannot be used.
    is_refused: AtomicBool,
}

impl<C> Kept<C> {
    /// Reads what has to be there.
    pub(crate) fn open(
        name: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<Read<C>, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        let files = Files::before_reading(files);
        let Read { config, shown } = read()?;
        let (current, shown) = (RwLock::new(Arc::new(config)), Mutex::new(shown));
        let is_refused = AtomicBool::new(false);
        Ok(Arc::new(Self { name, files, read: Box::new(read), current, shown, is_refused }))
    }

    pub(crate) fn current(&self) -> Arc<C> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn shown(&self) -> MutexGuard<'_, Vec<CertificateDer<'static>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is to say of the certificate that is shown.
    #[expect(clippy::disallowed_methods, reason = "certificates end by the wall clock")]
    pub(crate) fn warning(&self) -> Option<String> {
        let warning = expiry::warning(&self.shown(), SystemTime::now())?;
        Some(format!("the certificate of {} {warning}", self.name))
    }

    /// All that there is to say against it, as clients would.
    #[expect(clippy::disallowed_methods, reason = "certificates begin and end by the wall clock")]
    fn faults(&self) -> Vec<Fault> {
        let shown = self.shown();
        let fault = |cause: String, remedy| {
            let cause = format!("the certificate of {} {cause}", self.name);
            Fault { cause, remedy }
        };
        let now = SystemTime::now();
        let of_time = expiry::warning(&shown, now).or_else(|| expiry::too_early(&shown, now));
        if let Some(cause) = of_time {
            let remedy = "renew it, or mend what does; the program reads its files again";
            return vec![fault(cause, remedy)];
        }
        if let Some(cause) = chain::ended(&shown, now) {
            return vec![fault(cause, chain::REMEDY_OF_ENDED)];
        }
        let of_chain = chain::fault(&shown, now);
        of_chain.map(|cause| fault(cause, chain::REMEDY)).into_iter().collect()
    }
}

impl<C> fmt::Debug for Kept<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("files", &self.files).finish_non_exhaustive()
    }
}

/// That files were read again, or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the certificates are of.
    pub name: &'static str,
    pub refusal: Option<String>,
}

/// What is wrong with a certificate that is shown, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub cause: String,
    pub remedy: &'static str,
}

/// What is kept, whatever it is.
pub(crate) trait Renewed: Send + Sync {
    fn name(&self) -> &'static str;
    fn files(&self) -> Files;
    fn renew(&self) -> Result<(), TlsError>;
    fn warn(&self);
    fn faults(&self) -> Vec<Fault>;
    /// When the certificate that is shown ends, in Unix time. Nothing where none is.
    fn end(&self) -> Option<u64>;
    /// Whether it ends soon, or has ended.
    fn ends_soon(&self) -> bool;
    fn is_refused(&self) -> bool;
}

impl<C: Send + Sync> Renewed for Kept<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn files(&self) -> Files {
        self.files.clone()
    }

    fn renew(&self) -> Result<(), TlsError> {
        let read = (self.read)();
        self.is_refused.store(read.is_err(), Ordering::Relaxed);
        let Read { config, shown } = read?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        *self.shown() = shown;
        Ok(())
    }

    fn warn(&self) {
        if let Some(warning) = self.warning() {
            tracing::warn!("{warning}");
        }
    }

    fn faults(&self) -> Vec<Fault> {
        self.faults()
    }

    fn end(&self) -> Option<u64> {
        expiry::end(&self.shown())
    }

    fn ends_soon(&self) -> bool {
        self.warning().is_some()
    }

    fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }
}

/// Something that is kept.
#[derive(Clone)]
pub struct Watched(pub(crate) Arc<dyn Renewed>);

impl Watched {
    pub(crate) fn new<C: Send + Sync + 'static>(kept: &Arc<Kept<C>>) -> Self {
        Self(Arc::clone(kept) as _)
    }

    /// What is wrong with the certificate that is shown.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.faults()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

/// Tells of what is read.
struct Told<F> {
    renewed: Arc<dyn Renewed>,
    told: F,
}

impl<F: Fn(Reading) + Send + Sync> Reread for Told<F> {
    fn read_again(&self, _: Look) -> Result<(), String> {
        self.renewed.renew().map_err(|error| error.to_string())?;
        let name = self.renewed.name();
        tracing::info!("the certificates of {name} were read again");
        self.renewed.warn();
        (self.told)(Reading { name, refusal: None });
        Ok(())
    }

    fn refused(&self, cause: &str) {
        let name = self.renewed.name();
        tracing::error!(
            error = %cause,
            "the certificates of {name} cannot be used, those before stay"
        );
        (self.told)(Reading { name, refusal: Some(cause.to_owned()) });
    }
}

/// Reads again what changes, and all of it whenever `asked` changes, for as long as it is polled.
pub async fn keep_current(
    watched: Vec<Watched>,
    asked: watch::Receiver<u64>,
    told: impl Fn(Reading) + Clone + Send + Sync + 'static,
) -> Infallible {
    let keep = |Watched(renewed): &Watched| {
        let files = renewed.files();
        let told = Told { renewed: Arc::clone(renewed), told: told.clone() };
        netrox_watch::keep(files, Arc::new(told), asked.clone())
    };
    let warn = async {
        loop {
            sleep(WARNING_INTERVAL).await;
            watched.iter().for_each(|Watched(renewed)| renewed.warn());
        }
    };
    tokio::join!(join_all(watched.iter().map(keep)), warn).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_leaves_what_was_there() {
        let content = Arc::new(Mutex::new(Ok("first")));
        let read = Arc::clone(&content);
        let kept = Kept::open("a test", Vec::new(), move || {
            let content = *read.lock().expect("no panic");
            let config = content.map_err(|error: &str| TlsError::new(None, error))?;
            Ok(Read { config, shown: Vec::new() })
        })
        .expect("read");
        let tells = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&tells);
        let told = Told {
            renewed: Arc::clone(&kept) as _,
            told: move |reading| telling.lock().expect("no panic").push(reading),
        };
        *content.lock().expect("no panic") = Err("is no certificate");
        let cause = told.read_again(Look::Asked).expect_err("no certificate");
        told.refused(&cause);
        assert_eq!(*kept.current(), "first");
        assert!(kept.is_refused());
        *content.lock().expect("no panic") = Ok("second");
        assert_eq!(told.read_again(Look::InPassing), Ok(()));
        assert_eq!(*kept.current(), "second");
        assert!(!kept.is_refused());
        let of = |refusal| Reading { name: "a test", refusal };
        assert_eq!(*tells.lock().expect("no panic"), [of(Some(cause)), of(None)]);
    }
}
