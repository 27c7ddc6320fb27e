//! What commands hold in memory until they are answered (PROTOCOL section 5, `--store-wait`).

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use netrox_proto::ids::UserId;
use prometheus_client::metrics::gauge::Gauge;

/// Of all users.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_BYTES_PER_USER: usize = MAX_BYTES / 16;
/// Of a command besides its text.
const OVERHEAD_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Rooms {
    bytes: Gauge,
    /// Of those who send.
    by_user: Mutex<HashMap<UserId, Weak<RoomOfUser>>>,
}

/// Looked up once by each who sends, and not for each command.
#[derive(Debug)]
pub(super) struct RoomOfUser {
    rooms: Arc<Rooms>,
    user: UserId,
    bytes: AtomicUsize,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// For this user.
    User,
    /// For anyone.
    All,
}

/// Free again when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    of_user: Arc<RoomOfUser>,
    bytes: usize,
}

impl Room {
    pub(super) fn user(&self) -> UserId {
        self.of_user.user
    }
}

impl Rooms {
    /// `bytes` shows what commands hold.
    pub(super) fn new(bytes: Gauge) -> Self {
        Self { bytes, by_user: Mutex::default() }
    }

    /// Whether there was so much room.
    fn take(&self, bytes: usize) -> bool {
        let max = MAX_BYTES as i64 - bytes as i64;
        let within = |held| (held <= max).then_some(held + bytes as i64);
        self.bytes.inner().fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    fn take_more(&self, bytes: usize) {
        self.bytes.inc_by(bytes as i64);
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.dec_by(bytes as i64);
    }

    fn by_user(&self) -> MutexGuard<'_, HashMap<UserId, Weak<RoomOfUser>>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for all who ask for a user.
    pub(super) fn of(self: &Arc<Self>, user: UserId) -> Arc<RoomOfUser> {
        let mut by_user = self.by_user();
        let known = by_user.entry(user).or_default();
        known.upgrade().unwrap_or_else(|| {
            let rooms = Arc::clone(self);
            let of_user = Arc::new(RoomOfUser { rooms, user, bytes: AtomicUsize::new(0) });
            *known = Arc::downgrade(&of_user);
            of_user
        })
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> i64 {
        self.bytes.get()
    }
}

impl RoomOfUser {
    pub(super) fn user(&self) -> UserId {
        self.user
    }

    /// Room for a command with so much text.
    pub(super) fn take(self: &Arc<Self>, text_bytes: usize) -> Result<Room, Full> {
        let bytes = OVERHEAD_BYTES + text_bytes;
        let within = |max| move |held: usize| (held + bytes <= max).then_some(held + bytes);
        // One command has room whatever its length.
        let of_user = |held| if held == 0 { Some(bytes) } else { within(MAX_BYTES_PER_USER)(held) };
        if !self.rooms.take(bytes) {
            return Err(Full::All);
        }
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, of_user).is_err() {
            self.rooms.give_back(bytes);
            return Err(Full::User);
        }
        Ok(Room { of_user: Arc::clone(self), bytes })
    }

    /// The same beyond all limits.
    pub(super) fn take_more(self: &Arc<Self>, text_bytes: usize) -> Room {
        let bytes = OVERHEAD_BYTES + text_bytes;
        self.rooms.take_more(bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Room { of_user: Arc::clone(self), bytes }
    }
}

impl Drop for RoomOfUser {
    fn drop(&mut self) {
        // It may have been asked for again since.
        if let Entry::Occupied(known) = self.rooms.by_user().entry(self.user)
            && known.get().strong_count() == 0
        {
            known.remove();
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of_user.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of_user.rooms.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_user_has_a_sixteenth_and_gives_it_back() {
        let rooms = Arc::new(Rooms::default());
        let of = |number| rooms.of(UserId(Uuid::from_u128(number)));
        let fill = |number| -> Vec<Room> {
            std::iter::repeat_with(|| of(number).take(512)).map_while(Result::ok).collect()
        };
        let mut of_all: Vec<_> = (0..16).map(fill).collect();
        assert!(of_all.iter().all(|rooms| rooms.len() == 1_024));
        assert_eq!(of(0).take(0).err(), Some(Full::All));
        of_all[1].pop();
        assert_eq!(of(0).take(0).err(), Some(Full::User));
        assert!(of(16).take(0).is_ok());
        let more = of(0).take_more(512);
        drop(of_all);
        assert_eq!(rooms.bytes(), 1_024);
        drop(more);
        assert_eq!(rooms.bytes(), 0);
        assert!(rooms.by_user().is_empty());
        assert!(of(0).take(2 * MAX_BYTES_PER_USER).is_ok(), "a single one");
    }
}
