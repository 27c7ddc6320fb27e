//! Memory that a rush took goes back to the system when the rush is over. Nothing is counted meanwhile: how much there is
//! is looked up now and then.

use std::{convert::Infallible, time::Duration};

use tokio::task::spawn_blocking;

/// What the start left behind goes back first.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// So much more than was left the last time is worth the effort.
const WORTH_BYTES: u64 = 8 * 1024 * 1024;
/// While it grows by more from one look to the next, it is in use.
const STEADY_BYTES: u64 = 1024 * 1024;

/// Gives back what is no longer needed, for as long as it is polled.
pub(crate) async fn give_back() -> Infallible {
    let mut kept = Kept::default();
    let mut wait = FIRST_LOOK;
    loop {
        tokio::time::sleep(wait).await;
        wait = LOOK_INTERVAL;
        let looked = spawn_blocking(move || {
            kept.look(netrox_heap::resident_bytes, netrox_heap::give_back);
            kept
        });
        // Without a thread for it there is nothing to be done.
        kept = looked.await.unwrap_or(kept);
    }
}

/// What was found, in bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    /// After something was given back.
    left: Option<u64>,
    last: u64,
}

impl Kept {
    fn look(&mut self, resident: impl Fn() -> Option<u64>, give_back: impl FnOnce()) {
        let Some(now) = resident() else { return };
        let is_steady = now <= self.last.saturating_add(STEADY_BYTES);
        let is_worth_it =
            self.left.is_none_or(|left| is_steady && now >= left.saturating_add(WORTH_BYTES));
        self.last = now;
        if is_worth_it {
            give_back();
            self.last = resident().unwrap_or(now);
            self.left = Some(self.last);
        } else {
            // What else shrinks counts as left, too.
            self.left = self.left.map(|left| left.min(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn memory_is_given_back_at_first_and_after_a_rush_and_not_in_it() {
        let (resident, given_back) = (Cell::new(0), Cell::new(0));
        let mut kept = Kept::default();
        // How much there is, how much of it is free, and whether that goes back.
        for (now, free, expected) in [
            (30, 5, true),
            (30, 5, false),
            (100, 0, false),
            (200, 0, false),
            (200, 180, true),
            (27, 0, false),
            (28, 8, true),
            (24, 4, false),
            (16, 0, false),
            (24, 8, false),
            (24, 8, true),
        ] {
            resident.set(now * MIB);
            given_back.set(0);
            kept.look(
                || Some(resident.get()),
                || {
                    given_back.set(1);
                    resident.set((now - free) * MIB);
                },
            );
            assert_eq!(given_back.get() == 1, expected, "{now} MiB, {free} free");
        }
        kept.look(|| None, || panic!("nothing is known"));
    }
}
