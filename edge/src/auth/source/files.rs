//! Files of keys, which are read again when they change (`netrox-watch`). What is not usable changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use netrox_audit::{Audit, Name};
use netrox_watch::{Files, Look, Reread};
use tokio::sync::watch;

use super::{Source, key_set};
use crate::{
    config::{JwtKey, KeyFile},
    tasks::Tasks,
};

/// Has all files read, and all URLs asked, now.
#[derive(Debug)]
pub(in crate::auth) struct Reload {
    files: watch::Sender<u64>,
    sources: Vec<Arc<Source>>,
}

impl Reload {
    pub(in crate::auth) fn now(&self) {
        self.files.send_modify(|count| *count += 1);
        for remote in self.sources.iter().filter_map(|source| source.as_remote()) {
            remote.fetch_now();
        }
    }
}

/// Keeps the files of all sources until the drain.
pub(super) fn keep(sources: &[Arc<Source>], audit: &Audit, tasks: &Tasks) -> Reload {
    let reload = Reload { files: watch::Sender::default(), sources: sources.to_vec() };
    for (source, file) in sources.iter().filter_map(|source| Some((source, source.file()?))) {
        let files = Files::read_before(vec![file.path.clone()]);
        let watched = Watched {
            source: Arc::clone(source),
            file: file.clone(),
            key: Mutex::new(file.key.clone()),
            audit: audit.clone(),
        };
        let kept = netrox_watch::keep(files, Arc::new(watched), reload.files.subscribe());
        let draining = tasks.draining().clone();
        tasks.spawn(async move {
            draining.run_until_cancelled(kept).await;
        });
    }
    reload
}

struct Watched {
    source: Arc<Source>,
    file: KeyFile,
    /// What is used.
    key: Mutex<JwtKey>,
    audit: Audit,
}

impl Reread for Watched {
    fn read_again(&self, _: Look) -> Result<(), String> {
        let name = &self.source.name;
        let read = (self.file.read)()?;
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if read == *key {
            return Ok(());
        }
        let parsed = key_set(&read).map_err(|error| error.reason().to_owned())?;
        if !self.source.takes(&parsed.set) {
            return Err("its keys are for none of the algorithms that are taken".to_owned());
        }
        if !parsed.left_out.is_empty() {
            let reason = &parsed.left_out;
            tracing::warn!(source = name, reason, "keys of {name} are left out");
        }
        let count = parsed.set.len();
        self.source.put(parsed.set);
        *key = read;
        tracing::info!(source = name, keys = count, "new keys of access tokens, of {name}");
        self.audit.reloaded(Name::KeysReloaded, Ok(name.clone()));
        Ok(())
    }

    fn refused(&self, cause: &str) {
        let name = &self.source.name;
        tracing::error!(
            source = name,
            error = cause,
            "{name} has changed and is not usable, its last keys stay"
        );
        self.audit.reloaded(Name::KeysReloaded, Err(format!("{name}: {cause}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeySource;

    /// One whose file holds these, one after the other.
    fn watched(contents: Vec<Result<JwtKey, String>>) -> Watched {
        let contents = Mutex::new(contents);
        let read = Arc::new(move || contents.lock().expect("no panic").remove(0));
        let key = JwtKey::Secret(b"one".to_vec());
        let file = KeyFile { path: "key".into(), key: key.clone(), read };
        let source = Source::new(&KeySource::File(file.clone()), |_, _| unreachable!());
        let source = Arc::new(source.expect("a usable key"));
        Watched { source, file, key: Mutex::new(key), audit: Audit::default() }
    }

    #[test]
    fn what_is_not_usable_leaves_the_last_keys() {
        let unread = Err("too many open files".to_owned());
        let unusable = Err("it is no key".to_owned());
        let secret = |text: &str| Ok(JwtKey::Secret(text.into()));
        let watched = watched(vec![unread, secret("one"), secret("two"), unusable, secret("two")]);
        let read = || watched.read_again(Look::InPassing).map_err(|_| watched.source.changes());
        assert_eq!(read(), Err(0));
        assert_eq!((read(), watched.source.changes()), (Ok(()), 0));
        assert_eq!((read(), watched.source.changes()), (Ok(()), 1));
        assert_eq!(read(), Err(1));
        assert_eq!((read(), watched.source.changes()), (Ok(()), 1));
    }

    #[test]
    fn keys_for_other_algorithms_are_not_taken() {
        let other = JwtKey::PublicKeyPem(include_bytes!("../keys/p256.pub.pem").to_vec());
        let watched = watched(vec![Ok(other)]);
        watched.source.only_for(&super::super::key::OF_SECRETS);
        assert!(watched.read_again(Look::Asked).is_err());
        assert_eq!(watched.source.changes(), 0);
        assert!(*watched.key.lock().expect("no panic") == JwtKey::Secret(b"one".to_vec()));
    }
}
