//! What a long run says meanwhile, on stderr.

use std::{sync::OnceLock, time::Instant};

/// Notes what is going on, with the time since the first note.
pub(crate) fn note(text: impl std::fmt::Display) {
    static START: OnceLock<Instant> = OnceLock::new();
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs();
    eprintln!("[{:>2}:{:02}] {text}", seconds / 60, seconds % 60);
}
