//! Which users have a WebSocket on this edge: a core is told, and tells whoever may know (PROTOCOL-2 section 6).
//!
//! One stream to a core says all there is when it is opened, then who comes and who leaves. What it said holds as long as it stands,
//! so that a killed edge leaves nobody online. A core that is gone is replaced by another, which is told all anew.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::{ids::UserId, v1::ReportSocketsRequest};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{backoff::Backoff, core_client::CoreClient};

const FIRST_RETRY: Duration = Duration::from_millis(50);
const MAX_RETRY: Duration = Duration::from_secs(2);
/// For a core to answer, and to take what it is told.
const CORE_TIME: Duration = Duration::from_secs(5);
/// How often a core hears something.
const BEAT: Duration = Duration::from_secs(4);
/// What happens within it is told at once.
const GATHER: Duration = Duration::from_millis(20);
/// Users in one request.
const MAX_USERS: usize = 3_000;
/// For the last who leave to be told when the edge ends.
const END_TIME: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct OnlineUsers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// How many sockets each has.
    sockets: HashMap<UserId, u32>,
    /// Of whom the core has yet to be told.
    untold: HashSet<UserId>,
}

/// A socket of a user, until it is dropped.
pub(crate) struct Online {
    users: OnlineUsers,
    user: UserId,
}

impl OnlineUsers {
    /// A few instructions that do not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, user: UserId) -> Online {
        let mut state = self.state();
        let count = state.sockets.entry(user).or_default();
        *count += 1;
        if *count == 1 {
            state.untold.insert(user);
            drop(state);
            self.0.changed.notify_one();
        }
        Online { users: self.clone(), user }
    }

    fn remove(&self, user: UserId) {
        let mut state = self.state();
        let Some(count) = state.sockets.get_mut(&user) else { return };
        *count -= 1;
        if *count == 0 {
            state.sockets.remove(&user);
            state.untold.insert(user);
            drop(state);
            self.0.changed.notify_one();
        }
    }

    /// All there are.
    fn all(&self) -> Vec<ReportSocketsRequest> {
        let mut state = self.state();
        state.untold.clear();
        let users: Vec<_> = state.sockets.keys().copied().collect();
        let request =
            |users: &[UserId]| ReportSocketsRequest { online: ids(users), offline: vec![] };
        users.chunks(MAX_USERS).map(request).collect()
    }

    /// Who came or left since they were last taken.
    fn news(&self) -> Vec<ReportSocketsRequest> {
        let mut state = self.state();
        let untold: Vec<_> = std::mem::take(&mut state.untold).into_iter().collect();
        let request = |users: &[UserId]| {
            let is_online = |user: &UserId| state.sockets.contains_key(user);
            let (online, offline): (Vec<_>, Vec<_>) =
                users.iter().partition(|user| is_online(user));
            ReportSocketsRequest { online: ids(&online), offline: ids(&offline) }
        };
        untold.chunks(MAX_USERS).map(request).collect()
    }

    /// Reports until `ended`, and then that nobody is left.
    pub(crate) async fn report(self, core: CoreClient, ended: impl Future<Output = ()>) {
        let mut last = None;
        tokio::select! {
            () = self.report_for_good(&core, &mut last) => {}
            () = ended => {}
        }
        if let Some(requests) = last {
            let _ = timeout(END_TIME, async {
                for request in self.news() {
                    // A core that is gone has forgotten them.
                    let _ = requests.send(request).await;
                }
            })
            .await;
        }
    }

    /// Never ends. `last` is where requests go, while there is a core that takes them.
    async fn report_for_good(
        &self,
        core: &CoreClient,
        last: &mut Option<mpsc::Sender<ReportSocketsRequest>>,
    ) {
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        loop {
            let begun = Instant::now();
            if let Err(broken) = self.report_once(core, last).await {
                tracing::debug!(error = %broken, "no core is told which sockets there are");
            }
            *last = None;
            if begun.elapsed() >= MAX_RETRY {
                backoff.reset();
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Until the core is gone.
    async fn report_once(
        &self,
        core: &CoreClient,
        last: &mut Option<mpsc::Sender<ReportSocketsRequest>>,
    ) -> Result<(), tonic::Status> {
        let late = || tonic::Status::deadline_exceeded("the core takes nothing");
        let (requests, taken) = mpsc::channel(1);
        let mut sessions = core.sessions.clone();
        let opened = timeout(CORE_TIME, sessions.report_sockets(ReceiverStream::new(taken)));
        let mut responses = opened.await.map_err(|_| late())??.into_inner();
        let requests = &*last.insert(requests);
        let mut next = self.all();
        loop {
            for request in next {
                let sent = timeout(CORE_TIME, requests.send(request)).await;
                sent.map_err(|_| late())?.map_err(|_| late())?;
            }
            let beat = Instant::now() + BEAT;
            tokio::select! {
                response = responses.message() => {
                    if response?.is_none() {
                        return Ok(());
                    }
                    next = Vec::new();
                    continue;
                }
                () = self.0.changed.notified() => {
                    sleep(GATHER).await;
                    next = self.news();
                }
                () = sleep_until(beat) => next = vec![ReportSocketsRequest::default()],
            }
        }
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        self.users.remove(self.user);
    }
}

fn ids<'a>(users: impl IntoIterator<Item = &'a UserId>) -> Vec<u8> {
    users.into_iter().flat_map(|user| user.0.into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub_core::user;

    fn told(requests: &[ReportSocketsRequest]) -> (usize, usize) {
        let count = |ids: &[u8]| ids.len() / 16;
        let counts = requests.iter().map(|it| (count(&it.online), count(&it.offline)));
        counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    #[test]
    fn a_user_is_there_from_the_first_socket_to_the_last() {
        let users = OnlineUsers::default();
        let (one, two) = (users.add(user(1)), users.add(user(1)));
        assert_eq!(told(&users.news()), (1, 0));
        drop(one);
        assert_eq!(told(&users.news()), (0, 0));
        drop(two);
        assert_eq!(told(&users.news()), (0, 1));
        // Who was there for less than a moment was there for nobody.
        drop(users.add(user(2)));
        assert_eq!(told(&users.news()), (0, 1));
        let _all: Vec<_> = (0..7_000).map(|number| users.add(user(number))).collect();
        assert_eq!(users.all().len(), 3);
        assert_eq!(told(&users.all()), (7_000, 0));
        assert_eq!(told(&users.news()), (0, 0));
    }
}
