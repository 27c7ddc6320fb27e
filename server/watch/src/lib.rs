//! Files that are read again while the program runs: when they have changed, when they could not be used the last time, and
//! whenever somebody asks for it. What cannot be used changes nothing.
//!
//! * [`Files`]: how they look from outside.
//! * `looks`: what of that is a reason to read them.

mod looks;
mod stamp;

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{select, sync::watch, task::spawn_blocking, time::sleep};

use self::looks::Looks;

/// Between two looks. A change counts when it is there at two of them, unaltered.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Why files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// They may have changed.
    InPassing,
    /// Somebody has asked for it: they are read in any case.
    Asked,
}

/// Who knows what to do with the files.
pub trait Reread: Send + Sync {
    /// Reads them and uses what they say, or tells why nothing has changed. Blocks.
    fn read_again(&self, look: Look) -> Result<(), String>;

    /// Tells people that they cannot be used. Called when the cause becomes another, when somebody has asked, and once a
    /// minute.
    fn refused(&self, cause: &str);
}

/// Files that belong together, and how they looked when they were read.
#[derive(Debug, Clone)]
pub struct Files {
    paths: Vec<PathBuf>,
    looks: Looks,
}

impl Files {
    /// Files that are about to be read for the first time: whatever changes from here on is a change. Blocks.
    pub fn before_reading(paths: Vec<PathBuf>) -> Self {
        let stamps = stamp::of(&paths);
        Self { paths, looks: Looks::since(Some(stamps)) }
    }

    /// Files that were read some time ago: they are read once more, since they may have changed.
    pub fn read_before(paths: Vec<PathBuf>) -> Self {
        Self { paths, looks: Looks::since(None) }
    }

    /// Looks at them once. Blocks.
    fn look(&mut self, look: Look, reread: &dyn Reread) {
        if !self.looks.are_due(look, stamp::of(&self.paths)) {
            return;
        }
        match reread.read_again(look) {
            Ok(()) => self.looks.used(),
            Err(cause) => {
                if self.looks.is_to_be_told(look, &cause) {
                    reread.refused(&cause);
                }
            }
        }
    }
}

/// Has files read again for as long as it is polled. Whoever changes the number that `asked` sees has them read at once.
pub async fn keep(
    files: Files,
    reread: Arc<dyn Reread>,
    mut asked: watch::Receiver<u64>,
) -> Infallible {
    let files = Arc::new(Mutex::new(files));
    let mut may_ask = true;
    loop {
        let look = select! {
            () = sleep(LOOK_INTERVAL) => Look::InPassing,
            changed = asked.changed(), if may_ask => {
                may_ask = changed.is_ok();
                if may_ask { Look::Asked } else { continue }
            }
        };
        let (files, reread) = (Arc::clone(&files), Arc::clone(&reread));
        // A look may hang with its disk. Then there is no other beside it.
        let looked = spawn_blocking(move || {
            files.lock().unwrap_or_else(PoisonError::into_inner).look(look, &*reread);
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "files that are to be read again were not looked at");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Two files, which are good where they hold the same.
    struct Two {
        directory: tempfile::TempDir,
        files: Files,
        content: Content,
    }

    #[derive(Default)]
    struct Content {
        paths: Vec<PathBuf>,
        read: Mutex<Vec<String>>,
        refused: Mutex<Vec<String>>,
    }

    impl Reread for Content {
        fn read_again(&self, _: Look) -> Result<(), String> {
            let text = |path: &PathBuf| fs::read_to_string(path).map_err(|error| error.to_string());
            let texts = self.paths.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            if texts.iter().any(|text| *text != texts[0]) {
                return Err("they do not fit".to_owned());
            }
            self.read.lock().expect("no panic").push(texts[0].clone());
            Ok(())
        }

        fn refused(&self, cause: &str) {
            self.refused.lock().expect("no panic").push(cause.to_owned());
        }
    }

    impl Two {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let paths = ["certificate", "key"].map(|name| directory.path().join(name)).to_vec();
            let two = |files| Self {
                directory,
                files,
                content: Content { paths: paths.clone(), ..Content::default() },
            };
            for path in &paths {
                fs::write(path, "first").expect("written");
            }
            two(Files::before_reading(paths.clone()))
        }

        /// As a program that renews certificates.
        fn put(&self, name: &str, text: &str) {
            put(&self.directory.path().join(name), text);
        }

        fn look(&mut self, look: Look) {
            self.files.look(look, &self.content);
        }

        fn look_in_passing(&mut self, times: usize) {
            for _ in 0..times {
                self.look(Look::InPassing);
            }
        }

        fn read(&self) -> Vec<String> {
            self.content.read.lock().expect("no panic").clone()
        }

        fn refused(&self) -> usize {
            self.content.refused.lock().expect("no panic").len()
        }
    }

    fn put(place: &Path, text: &str) {
        let beside = place.with_extension("new");
        fs::write(&beside, text).expect("written");
        fs::rename(&beside, place).expect("renamed");
    }

    #[test]
    fn a_change_counts_once_when_it_was_seen_twice() {
        let mut two = Two::new();
        two.look_in_passing(3);
        two.put("certificate", "second");
        two.look_in_passing(1);
        two.put("key", "second");
        two.look_in_passing(1);
        assert_eq!(two.read(), [""; 0]);
        two.look_in_passing(3);
        assert_eq!(two.read(), ["second"]);
        assert_eq!(two.refused(), 0);
        two.look(Look::Asked);
        assert_eq!(two.read(), ["second"; 2]);
    }

    #[test]
    fn a_certificate_that_is_there_long_before_its_key_is_used_with_it() {
        let mut two = Two::new();
        two.put("certificate", "second");
        two.look_in_passing(5);
        assert_eq!((two.read().len(), two.refused()), (0, 1));
        two.put("key", "second");
        two.look_in_passing(2);
        assert_eq!(two.read(), ["second"]);
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_though_it_looks_as_before() {
        let mut two = Two::new();
        two.content.paths.push(two.directory.path().join("not there yet"));
        two.look(Look::Asked);
        two.look_in_passing(3);
        assert_eq!((two.read().len(), two.refused()), (0, 1));
        // Not among the files that are looked at.
        two.put("not there yet", "first");
        two.look_in_passing(2);
        assert_eq!(two.read(), ["first"], "and once it was read, no more");
    }

    #[test]
    fn what_was_read_some_time_ago_is_read_once_more() {
        let mut two = Two::new();
        two.files = Files::read_before(two.content.paths.clone());
        two.look_in_passing(5);
        assert_eq!(two.read(), ["first"]);
    }

    /// As orchestrators do: a link to a directory with all files is exchanged.
    #[test]
    fn a_link_that_is_put_elsewhere_is_a_change() {
        let mut two = Two::new();
        let directory = two.directory.path().to_owned();
        let at = |path: &str| directory.join(path);
        for name in ["third", "fourth"] {
            fs::create_dir(at(name)).expect("created");
            fs::write(at(name).join("file"), name).expect("written");
        }
        let link = |to: &str| {
            std::os::unix::fs::symlink(at(to), at("link")).expect("linked");
            fs::rename(at("link"), at("current")).expect("renamed");
        };
        link("third");
        let paths = vec![at("current").join("file")];
        two.files = Files::before_reading(paths.clone());
        two.content.paths = paths;
        two.look_in_passing(2);
        link("fourth");
        two.look_in_passing(2);
        assert_eq!(two.read(), ["fourth"]);
    }

    #[tokio::test]
    async fn who_asks_has_them_read_at_once() {
        let two = Two::new();
        let content = Arc::new(two.content);
        let (ask, asked) = watch::channel(0);
        let kept = keep(two.files, Arc::clone(&content) as _, asked);
        ask.send_modify(|count| *count += 1);
        let read = async {
            while content.read.lock().expect("no panic").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        select! {
            never = kept => match never {},
            () = read => {}
        }
    }
}
