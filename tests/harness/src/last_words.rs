//! What a failed test says once more at its very end: the logs of its processes are long, and come behind its panic.

use std::{cell::RefCell, sync::Once};

/// The first that went wrong is the cause, as a rule; the last is what ended the test.
const KEPT: usize = 8;

thread_local! {
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes what helps to understand a failure of the test that this thread runs.
pub fn note(text: String) {
    // A thread that ends has none any more.
    let _ = NOTES.try_with(|notes| {
        let Ok(mut notes) = notes.try_borrow_mut() else { return };
        if notes.len() == KEPT {
            notes.remove(KEPT / 2);
        }
        notes.push(text);
    });
}

/// Says all that was noted of this thread, its panics first of all, when it is dropped by one.
pub(crate) struct LastWords(());

impl LastWords {
    pub(crate) fn begin() -> Self {
        static WATCH: Once = Once::new();
        WATCH.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                usual(panic);
                note(panic.to_string());
            }));
        });
        NOTES.take();
        Self(())
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- why it failed\n{}", NOTES.take().join("\n"));
        }
    }
}
