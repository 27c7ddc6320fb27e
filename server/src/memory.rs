//! Memory that a rush took goes back to the system when the rush is over. Nothing is counted meanwhile: how much there is
//! is looked up now and then.

use std::{convert::Infallible, time::Duration};

use tokio::task::spawn_blocking;

/// What the start left behind goes back first.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// So much more than the least that there ever was is worth an attempt, and an eighth of that least: how much of it is free is
/// not told. What two edges and two cores keep together stays below 16 MiB.
const WORTH_BYTES: u64 = 3 * 1024 * 1024;
const WORTH_PART: u64 = 8;
/// An attempt that gives back less, or only what is taken again at once, makes the next ones rarer, down to one in so many
/// looks, and one more for so many bytes, since it takes the longer the more there is.
const LITTLE_BYTES: u64 = 2 * 1024 * 1024;
const MOST_SKIPPED: u64 = 5;
const SKIPPED_MORE_BYTES: u64 = 64 * 1024 * 1024;
/// While it grows by more from one look to the next, it is in use.
const STEADY_BYTES: u64 = 1024 * 1024;

/// Gives back what is no longer needed, for as long as it is polled.
pub(crate) async fn give_back() -> Infallible {
    // A rush may begin before the first look.
    let mut kept = Kept { least: netrox_heap::resident_bytes(), ..Kept::default() };
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
    /// The least that there ever was.
    least: Option<u64>,
    has_tried: bool,
    last: u64,
    /// Before the last attempt, until the next look.
    before: Option<u64>,
    /// Looks between attempts, and those left until the next.
    skipped: u64,
    to_skip: u64,
}

impl Kept {
    fn look(&mut self, resident: impl Fn() -> Option<u64>, give_back: impl FnOnce()) {
        let Some(now) = resident() else { return };
        match self.before.take() {
            Some(before) if now.saturating_add(LITTLE_BYTES) > before => self.skip_more(now),
            Some(_) => self.skipped = 0,
            None => {}
        }
        let is_steady = now <= self.last.saturating_add(STEADY_BYTES);
        let is_much = self
            .least
            .is_none_or(|least| now >= least.saturating_add(WORTH_BYTES.max(least / WORTH_PART)));
        let is_due = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        self.last = now;
        if self.has_tried && !(is_steady && is_much && is_due) {
            return;
        }
        self.has_tried = true;
        give_back();
        let left = resident().unwrap_or(now);
        let is_little = now.saturating_sub(left) < LITTLE_BYTES;
        if is_little {
            self.skip_more(now);
        } else {
            self.before = Some(now);
        }
        self.last = left;
        self.least = Some(self.least.map_or(left, |least| least.min(left)));
    }

    fn skip_more(&mut self, now: u64) {
        let most = MOST_SKIPPED + now / SKIPPED_MORE_BYTES;
        self.skipped = (self.skipped * 2 + 1).min(most);
        self.to_skip = self.skipped;
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
        // How much there is, how much of it is free, and whether it is tried to give that back.
        for (now, free, expected) in [
            (30, 5, true),
            (30, 5, false),
            (100, 0, false),
            (200, 0, false),
            // In use still: less often from here on.
            (200, 1, true),
            (199, 1, false),
            (199, 1, false),
            (199, 1, false),
            // Free by now, though nothing shows it.
            (199, 170, true),
            (31, 0, false),
            (31, 4, true),
            // It was taken again at once, so that it is needed.
            (31, 4, false),
            (31, 4, true),
            (31, 4, false),
            (31, 4, false),
            (31, 4, false),
            (31, 4, true),
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

    #[test]
    fn a_rush_at_the_start_is_no_measure() {
        let mut kept = Kept { least: Some(10 * MIB), ..Kept::default() };
        let resident = Cell::new(60 * MIB);
        let mut looks = 0;
        // It is over after some looks, and nothing shows it.
        while resident.get() > 20 * MIB {
            looks += 1;
            let give_back = || resident.set(if looks > 4 { 12 } else { 60 } * MIB);
            kept.look(|| Some(resident.get()), give_back);
            assert!(looks < 12, "never tried again");
        }
    }
}
