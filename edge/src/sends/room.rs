//! What commands hold in memory until they are answered (PROTOCOL section 5, `--store-wait`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netrox_proto::ids::UserId;

/// Of all users.
const MAX_BYTES: usize = 16 * 1024 * 1024;
const MAX_BYTES_PER_USER: usize = MAX_BYTES / 16;
/// Of a command besides its text.
const OVERHEAD_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    by_user: HashMap<UserId, usize>,
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
    rooms: Arc<Rooms>,
    user: UserId,
    bytes: usize,
}

impl Rooms {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a command with so much text.
    pub(super) fn take(self: &Arc<Self>, user: UserId, text_bytes: usize) -> Result<Room, Full> {
        let bytes = OVERHEAD_BYTES + text_bytes;
        let mut held = self.held();
        let of_user = held.by_user.get(&user).copied().unwrap_or(0);
        if held.bytes + bytes > MAX_BYTES {
            return Err(Full::All);
        }
        // One command has room whatever its length.
        if of_user > 0 && of_user + bytes > MAX_BYTES_PER_USER {
            return Err(Full::User);
        }
        Ok(held.take(self, user, bytes))
    }

    /// The same beyond all limits.
    pub(super) fn take_more(self: &Arc<Self>, user: UserId, text_bytes: usize) -> Room {
        self.held().take(self, user, OVERHEAD_BYTES + text_bytes)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.held().bytes
    }
}

impl Held {
    fn take(&mut self, rooms: &Arc<Rooms>, user: UserId, bytes: usize) -> Room {
        *self.by_user.entry(user).or_default() += bytes;
        self.bytes += bytes;
        Room { rooms: Arc::clone(rooms), user, bytes }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut held = self.rooms.held();
        held.bytes -= self.bytes;
        match held.by_user.get_mut(&self.user) {
            Some(of_user) if *of_user > self.bytes => *of_user -= self.bytes,
            _ => {
                held.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_user_has_a_sixteenth_and_gives_it_back() {
        let rooms = Arc::new(Rooms::default());
        let user = |number| UserId(Uuid::from_u128(number));
        let fill = |number| -> Vec<Room> {
            std::iter::repeat_with(|| rooms.take(user(number), 512)).map_while(Result::ok).collect()
        };
        let mut of_all: Vec<_> = (0..16).map(fill).collect();
        assert!(of_all.iter().all(|rooms| rooms.len() == 1_024));
        assert_eq!(rooms.take(user(0), 0).err(), Some(Full::All));
        of_all[1].pop();
        assert_eq!(rooms.take(user(0), 0).err(), Some(Full::User));
        assert!(rooms.take(user(16), 0).is_ok());
        drop(of_all);
        assert_eq!(rooms.bytes(), 0);
        assert!(rooms.held().by_user.is_empty());
        assert!(rooms.take(user(0), 2 * MAX_BYTES_PER_USER).is_ok(), "a single one");
    }
}
