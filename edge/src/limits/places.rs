//! Places for what may be under way so many at a time, and the wait for one.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use super::pace::Pace;

/// How often it is looked whether somebody is too slow to keep a place that others wait for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// So many places for each key. Who finds none waits in order; a place that is free goes to who has waited longest.
pub(crate) struct Places<K: Key> {
    shared: Arc<Shared<K>>,
}

/// What places are counted by.
pub(crate) trait Key: Copy + Eq + Hash + Send + 'static {}

impl<K: Copy + Eq + Hash + Send + 'static> Key for K {}

struct Shared<K: Key> {
    /// At a time, of each key.
    max: usize,
    /// How many of each key wait at most.
    max_waiting: usize,
    lines: Mutex<HashMap<K, Line<K>>>,
}

/// All of a key. Forgotten when it is empty.
struct Line<K: Key> {
    next_id: u64,
    holders: BTreeMap<u64, Holder>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiter<K>>,
}

/// Who has a place; may lose it where the pace is known.
type Holder = Option<Arc<Pace>>;

struct Waiter<K: Key> {
    holder: Holder,
    place: oneshot::Sender<Place<K>>,
}

/// No place was to be had in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Free again when it is dropped.
pub(crate) struct Place<K: Key> {
    shared: Arc<Shared<K>>,
    key: K,
    id: u64,
}

/// One's turn in a line; left when it is dropped.
struct Turn<K: Key> {
    shared: Arc<Shared<K>>,
    key: K,
    id: u64,
}

impl<K: Key> Places<K> {
    /// `max` places for each key, and as many who wait for one as `max_waiting`.
    pub(crate) fn new(max: usize, max_waiting: usize) -> Self {
        let lines = Mutex::default();
        Self { shared: Arc::new(Shared { max, max_waiting, lines }) }
    }

    /// A place of `key`, which is waited for until `until`. One who is given by a pace loses it when it is far too slow
    /// and others wait.
    pub(crate) async fn take(
        &self,
        key: K,
        holder: Option<&Arc<Pace>>,
        until: Instant,
    ) -> Result<Place<K>, Full> {
        let (turn, mut place) = match self.shared.enter(key, holder.cloned())? {
            Entered::Place(place) => return Ok(place),
            Entered::Line(turn, place) => (turn, place),
        };
        loop {
            self.shared.make_room(turn.key);
            tokio::select! {
                biased;
                place = &mut place => return place.map_err(|_| Full),
                () = sleep_until(until) => return Err(Full),
                () = sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    #[cfg(test)]
    fn lines(&self) -> MutexGuard<'_, HashMap<K, Line<K>>> {
        self.shared.lines()
    }
}

enum Entered<K: Key> {
    Place(Place<K>),
    Line(Turn<K>, oneshot::Receiver<Place<K>>),
}

impl<K: Key> Shared<K> {
    fn lines(&self) -> MutexGuard<'_, HashMap<K, Line<K>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, key: K, holder: Holder) -> Result<Entered<K>, Full> {
        let mut lines = self.lines();
        let line = lines.entry(key).or_insert_with(|| Line {
            next_id: 0,
            holders: BTreeMap::new(),
            waiting: BTreeMap::new(),
        });
        let id = line.next_id;
        if line.holders.len() < self.max {
            line.next_id += 1;
            line.holders.insert(id, holder);
            return Ok(Entered::Place(self.place(key, id)));
        }
        if line.waiting.len() >= self.max_waiting {
            return Err(Full);
        }
        line.next_id += 1;
        let (sender, place) = oneshot::channel();
        line.waiting.insert(id, Waiter { holder, place: sender });
        let turn = Turn { shared: Arc::clone(self), key, id };
        Ok(Entered::Line(turn, place))
    }

    fn place(self: &Arc<Self>, key: K, id: u64) -> Place<K> {
        Place { shared: Arc::clone(self), key, id }
    }

    /// Ends the slowest of those who are far too slow, unless as many are ending already as wait.
    fn make_room(&self, key: K) {
        let now = Instant::now();
        let lines = self.lines();
        let Some(line) = lines.get(&key) else { return };
        let paces = || line.holders.values().flatten();
        if paces().filter(|pace| pace.is_ended()).count() >= line.waiting.len() {
            return;
        }
        let slow = paces().filter(|pace| !pace.is_ended() && pace.is_far_too_slow(now));
        if let Some(slowest) = slow.min_by_key(|pace| pace.recent(now)) {
            slowest.end();
        }
    }

    /// Gives the place of a holder to who has waited longest.
    fn pass_on(self: &Arc<Self>, key: K, id: u64) {
        let next = {
            let mut lines = self.lines();
            let Some(line) = lines.get_mut(&key) else { return };
            line.holders.remove(&id);
            let next = if line.holders.len() < self.max { line.waiting.pop_first() } else { None };
            match next {
                Some((id, waiter)) => {
                    line.holders.insert(id, waiter.holder);
                    Some((id, waiter.place))
                }
                None => {
                    if line.holders.is_empty() && line.waiting.is_empty() {
                        lines.remove(&key);
                    }
                    None
                }
            }
        };
        if let Some((id, waiter)) = next {
            // Where nobody waits there any more it is dropped, and so passed on.
            drop(waiter.send(self.place(key, id)));
        }
    }
}

impl<K: Key> Drop for Place<K> {
    fn drop(&mut self) {
        self.shared.pass_on(self.key, self.id);
    }
}

impl<K: Key> Drop for Turn<K> {
    fn drop(&mut self) {
        if let Some(line) = self.shared.lines().get_mut(&self.key) {
            line.waiting.remove(&self.id);
        }
    }
}

impl<K: Key> std::fmt::Debug for Place<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

#[cfg(test)]
mod tests;
