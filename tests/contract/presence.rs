//! `SetPresence`, `GetPresence`, `WatchPresence` and `ReportSockets`: who is online, and who may know.

use std::time::{Duration, Instant};

use netrox_harness::{eventually, within};
use netrox_proto::v1::{
    ErrorReason, EventKind, GetPresenceRequest, Presence, ReportSocketsRequest,
    ReportSocketsResponse, SetPresenceRequest, SubscribeRequest, UpsertUsersRequest, User,
    UserChange, Visibility, WatchPresenceRequest, WatchPresenceResponse, event::Change,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::{
    refusal::{assert_invalid, assert_refused},
    running::{Connection, Core},
};

/// From the last socket to when others are told, and what a machine under load adds.
const GRACE: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(8);
/// For how long a core that has begun answers nobody.
const SETTLED: Duration = Duration::from_secs(3);
/// How often an edge says something.
const BEAT: Duration = Duration::from_secs(4);

/// An edge that says who has a socket.
pub(crate) struct Reports {
    requests: mpsc::Sender<ReportSocketsRequest>,
    _responses: Streaming<ReportSocketsResponse>,
}

fn ids(users: &[&String]) -> Vec<u8> {
    let id = |user: &&String| Uuid::parse_str(user).expect("a UUID").into_bytes();
    users.iter().flat_map(id).collect()
}

impl Reports {
    pub(crate) async fn open(connection: &Connection) -> Self {
        let (requests, taken) = mpsc::channel(16);
        let answer = connection.sessions().report_sockets(ReceiverStream::new(taken)).await;
        let beating = requests.downgrade();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                let Some(requests) = beating.upgrade() else { return };
                if requests.send(ReportSocketsRequest::default()).await.is_err() {
                    return;
                }
            }
        });
        Self { requests, _responses: answer.expect("a core that listens").into_inner() }
    }

    pub(crate) async fn say(&self, online: &[&String], offline: &[&String]) {
        let request = ReportSocketsRequest { online: ids(online), offline: ids(offline) };
        self.requests.send(request).await.expect("a core that listens");
    }
}

impl Connection {
    pub(crate) async fn hide(&self, user: &str, hides: bool) -> Result<(), Status> {
        let visibility = if hides { Visibility::Nobody } else { Visibility::Peers };
        let request = SetPresenceRequest { user_id: user.into(), visibility: visibility.into() };
        self.chat().set_presence(request).await.map(drop)
    }

    pub(crate) async fn presences(
        &self,
        user: &str,
        peers: &[&String],
    ) -> Result<Vec<Presence>, Status> {
        let peer_ids = peers.iter().map(ToString::to_string).collect();
        let request = GetPresenceRequest { user_id: user.into(), peer_ids };
        Ok(self.chat().get_presence(request).await?.into_inner().presences)
    }

    async fn is_online(&self, user: &str, peer: &String) -> bool {
        let presences = self.presences(user, &[peer]).await.expect("an answer");
        assert_eq!(presences[0].peer_id, *peer);
        presences[0].online
    }

    async fn visibility(&self, user: &str) -> Visibility {
        let request = GetPresenceRequest { user_id: user.into(), peer_ids: vec![] };
        self.chat().get_presence(request).await.expect("an answer").into_inner().visibility()
    }
}

/// One who watches.
pub(crate) struct Watcher(Streaming<WatchPresenceResponse>);

impl Watcher {
    /// With how all are at first.
    pub(crate) async fn open(
        connection: &Connection,
        user: &str,
        peers: &[&String],
    ) -> (Self, Vec<Presence>) {
        let peer_ids = peers.iter().map(ToString::to_string).collect();
        let request = WatchPresenceRequest { user_id: user.into(), peer_ids };
        let stream = connection.chat().watch_presence(request).await.expect("a stream");
        let mut watcher = Self(stream.into_inner());
        let first = watcher.next().await.presences;
        (watcher, first)
    }

    async fn next(&mut self) -> WatchPresenceResponse {
        within("a change", self.0.message()).await.expect("no failure").expect("a response")
    }

    /// The next change of somebody's presence.
    pub(crate) async fn change(&mut self) -> Presence {
        self.changes().await.remove(0)
    }

    /// The same with what is told at once.
    pub(crate) async fn changes(&mut self) -> Vec<Presence> {
        loop {
            let response = self.next().await;
            if !response.presences.is_empty() {
                return response.presences;
            }
        }
    }

    async fn user(&mut self) -> User {
        loop {
            let response = self.next().await;
            if let Some(user) = response.users.into_iter().next() {
                return user;
            }
        }
    }
}

#[tokio::test]
async fn online_at_once_and_offline_after_ten_seconds() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&bob, &ada, "hello").await.expect("stored");
    let (mut watcher, first) = Watcher::open(&core, &ada, &[&bob]).await;
    assert_eq!(first, [Presence { peer_id: bob.clone(), online: false, last_seen: None }]);
    let edge = Reports::open(&core).await;
    edge.say(&[&bob], &[]).await;
    let came = watcher.change().await;
    assert!(came.online && came.last_seen.is_some(), "{came:?}");
    // Flapping within the time is nothing.
    for _ in 0..20 {
        edge.say(&[], &[&bob]).await;
        edge.say(&[&bob], &[]).await;
    }
    let begun = Instant::now();
    edge.say(&[], &[&bob]).await;
    let left = watcher.change().await;
    let took = begun.elapsed();
    assert!(!left.online && left.last_seen.is_some(), "{left:?}");
    assert!(took >= GRACE && took < GRACE + SLACK, "{took:?}");
    let seen = left.last_seen.expect("a time");
    assert_eq!((seen.seconds % 60, seen.nanos), (0, 0), "to the minute");
    // It is stored, and to be had without a watch.
    let query = "select count(*) from last_seen";
    eventually("when Bob was last seen", async || {
        (core.process.count(query).await == 1).then_some(())
    })
    .await;
    let presences = core.presences(&ada, &[&bob]).await.expect("an answer");
    assert_eq!(presences[0].last_seen, Some(seen));
}

#[tokio::test]
async fn an_edge_that_breaks_off_leaves_nobody_online() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&bob, &ada, "hello").await.expect("stored");
    let (one, two) = (Reports::open(&core).await, Reports::open(&core).await);
    one.say(&[&bob], &[]).await;
    two.say(&[&bob], &[]).await;
    let (mut watcher, _) = Watcher::open(&core, &ada, &[&bob]).await;
    eventually("Bob", async || core.is_online(&ada, &bob).await.then_some(())).await;
    drop(one);
    // The other has a socket of Bob's.
    two.say(&[&ada], &[]).await;
    let begun = Instant::now();
    drop(two);
    loop {
        let change = watcher.change().await;
        if !change.online {
            break;
        }
    }
    assert!(begun.elapsed() >= GRACE - Duration::from_millis(100), "{:?}", begun.elapsed());
    // A core that starts again knows what was stored.
    core.kill_and_restart().await;
    let presences = core.presences(&ada, &[&bob]).await.expect("an answer");
    assert!(!presences[0].online, "{presences:?}");
}

#[tokio::test]
async fn nobody_buys_presence_and_a_reply_opens_it() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let edge = Reports::open(&core).await;
    edge.say(&[&ada, &bob], &[]).await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    eventually("Ada", async || core.is_online(&bob, &ada).await.then_some(())).await;
    let (mut watcher, first) = Watcher::open(&core, &ada, &[&bob]).await;
    assert_eq!(first, [Presence { peer_id: bob.clone(), online: false, last_seen: None }]);
    core.send(&bob, &ada, "hello").await.expect("stored");
    assert!(watcher.change().await.online);
    assert!(core.is_online(&ada, &bob).await);
}

#[tokio::test]
async fn a_block_closes_it_both_ways_and_at_once() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    for (sender, receiver) in [(&ada, &bob), (&bob, &ada)] {
        core.send(sender, receiver, "hello").await.expect("stored");
    }
    let edge = Reports::open(&core).await;
    edge.say(&[&ada, &bob], &[]).await;
    eventually("Ada", async || core.is_online(&bob, &ada).await.then_some(())).await;
    let (mut at_ada, _) = Watcher::open(&core, &ada, &[&bob]).await;
    let (mut at_bob, _) = Watcher::open(&core, &bob, &[&ada]).await;
    core.block(&ada, &bob).await.expect("blocked");
    for (user, peer) in [(&ada, &bob), (&bob, &ada)] {
        let presences = core.presences(user, &[peer]).await.expect("an answer");
        let nothing = Presence { peer_id: peer.clone(), online: false, last_seen: None };
        assert_eq!(presences, [nothing]);
    }
    for watcher in [&mut at_ada, &mut at_bob] {
        let change = watcher.change().await;
        assert!(!change.online && change.last_seen.is_none(), "{change:?}");
    }
    core.unblock(&ada, &bob).await.expect("unblocked");
    for watcher in [&mut at_ada, &mut at_bob] {
        assert!(watcher.change().await.online);
    }
}

#[tokio::test]
async fn who_hides_is_shown_nobody_and_it_is_stored() {
    let mut core = Core::start().await;
    let [ada, bob, gone] = core.users().await;
    for (sender, receiver) in [(&ada, &bob), (&bob, &ada)] {
        core.send(sender, receiver, "hello").await.expect("stored");
    }
    let edge = Reports::open(&core).await;
    edge.say(&[&ada, &bob], &[]).await;
    eventually("Ada", async || core.is_online(&bob, &ada).await.then_some(())).await;
    assert!(core.is_online(&ada, &bob).await);
    let (mut at_ada, _) = Watcher::open(&core, &ada, &[&bob]).await;
    let (mut at_bob, _) = Watcher::open(&core, &bob, &[&ada]).await;
    assert_eq!(core.visibility(&ada).await, Visibility::Peers);
    for _ in 0..2 {
        core.hide(&ada, true).await.expect("hidden");
        assert_eq!(core.visibility(&ada).await, Visibility::Nobody);
        assert!(!core.is_online(&ada, &bob).await && !core.is_online(&bob, &ada).await);
    }
    for watcher in [&mut at_ada, &mut at_bob] {
        let change = watcher.change().await;
        assert!(!change.online && change.last_seen.is_none(), "{change:?}");
    }
    core.hide(&ada, false).await.expect("shown");
    for watcher in [&mut at_ada, &mut at_bob] {
        assert!(watcher.change().await.online);
    }
    core.hide(&ada, true).await.expect("hidden");
    core.kill_and_restart().await;
    assert_eq!(core.visibility(&ada).await, Visibility::Nobody);
    // Refusals.
    let nobody = Uuid::new_v4().to_string();
    assert_refused(core.hide(&nobody, true).await, ErrorReason::UserUnknown);
    core.delete_user(&gone).await.expect("deleted");
    assert_refused(core.hide(&gone, true).await, ErrorReason::UserDeleted);
    let request = SetPresenceRequest { user_id: ada.clone(), visibility: 7 };
    assert_invalid(core.chat().set_presence(request).await, "visibility");
}

#[tokio::test]
async fn peers_are_told_in_the_order_asked_and_those_who_are_unknown_look_offline() {
    let core = Core::start().await;
    let [ada, bob, gone] = core.users().await;
    for sender in [&bob, &gone] {
        core.send(sender, &ada, "hello").await.expect("stored");
    }
    let edge = Reports::open(&core).await;
    edge.say(&[&bob, &gone, &ada], &[]).await;
    eventually("Bob", async || core.is_online(&ada, &bob).await.then_some(())).await;
    core.delete_user(&gone).await.expect("deleted");
    let nobody = Uuid::new_v4().to_string();
    let asked = [&gone, &bob, &nobody, &ada, &bob];
    let presences = core.presences(&ada, &asked).await.expect("an answer");
    let told: Vec<_> = presences.iter().map(|one| (&one.peer_id, one.online)).collect();
    let expected = [(&gone, false), (&bob, true), (&nobody, false), (&ada, false), (&bob, true)];
    assert_eq!(told, expected);
    let many: Vec<_> = (0..101).map(|_| Uuid::new_v4().to_string()).collect();
    let all: Vec<_> = many.iter().collect();
    assert_eq!(core.presences(&ada, &all[..100]).await.expect("an answer").len(), 100);
    assert_invalid(core.presences(&ada, &all).await, "peer_ids");
    assert_invalid(core.presences(&ada, &[&"nobody".to_owned()]).await, "peer_ids");
    assert_refused(core.presences(&nobody, &[]).await, ErrorReason::UserUnknown);
    assert_refused(core.presences(&gone, &[]).await, ErrorReason::UserDeleted);
}

#[tokio::test]
async fn a_changed_profile_of_a_watched_peer_is_told_once() {
    let core = Core::start().await;
    let [ada, bob, stranger] = core.users().await;
    core.send(&bob, &ada, "hello").await.expect("stored");
    let (mut watcher, _) = Watcher::open(&core, &ada, &[&bob, &stranger]).await;
    let upsert = async |user: &String, email: &str| {
        let change =
            UserChange { id: user.clone(), email: Some(email.into()), ..Default::default() };
        let request = UpsertUsersRequest { users: vec![change] };
        core.directory().upsert_users(request).await.expect("upserted");
    };
    upsert(&bob, "one@example.com").await;
    assert_eq!(watcher.user().await.email, "one@example.com");
    // The same again is no change, and a stranger's is nobody's business.
    upsert(&bob, "one@example.com").await;
    upsert(&stranger, "stranger@example.com").await;
    upsert(&bob, "two@example.com").await;
    let user = watcher.user().await;
    assert_eq!((&user.id, user.email.as_str()), (&bob, "two@example.com"));
}

#[tokio::test]
async fn a_subscription_carries_presence_and_profiles_if_they_are_asked_for() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&bob, &ada, "hello").await.expect("stored");
    let request = SubscribeRequest {
        user_id: ada.clone(),
        kinds: vec![EventKind::Presence.into(), EventKind::User.into()],
        watched_peer_ids: vec![bob.clone()],
        ..Default::default()
    };
    let stream = core.chat().subscribe(request.clone()).await.expect("a subscription");
    let mut stream = stream.into_inner();
    let mut next = async || loop {
        let response = within("an event", stream.message()).await.expect("no failure");
        let response = response.expect("a response");
        if let Some(event) = response.events.into_iter().next() {
            return (event, response.last_seq);
        }
    };
    let (event, position) = next().await;
    let first = Presence { peer_id: bob.clone(), online: false, last_seen: None };
    assert_eq!((event.seq, event.change), (0, Some(Change::Presence(first))));
    let edge = Reports::open(&core).await;
    edge.say(&[&bob], &[]).await;
    let (event, _) = next().await;
    assert!(matches!(event.change, Some(Change::Presence(Presence { online: true, .. }))));
    let change =
        UserChange { id: bob.clone(), email: Some("new@example.com".into()), ..Default::default() };
    let users = UpsertUsersRequest { users: vec![change] };
    core.directory().upsert_users(users).await.expect("upserted");
    let (event, after) = next().await;
    let Some(Change::User(user)) = event.change else { panic!("{event:?}") };
    assert_eq!((user.email.as_str(), after), ("new@example.com", position));
    core.send(&bob, &ada, "after").await.expect("stored");
    let (event, last_seq) = next().await;
    assert_eq!((event.seq, last_seq), (position + 1, position + 1));
    let watched_peer_ids = vec!["nobody".to_owned()];
    let refused = core.chat().subscribe(SubscribeRequest { watched_peer_ids, ..request }).await;
    assert_invalid(refused, "watched_peer_ids");
}

/// Edges come back within a moment. Until then nobody is told that somebody is offline.
#[tokio::test]
async fn a_core_that_has_just_begun_waits_for_those_who_are_online() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&bob, &ada, "hello").await.expect("stored");
    // On a machine that is busy the edge may come too late.
    for _ in 0..10 {
        let begun = Instant::now();
        core.kill_and_restart().await;
        let reports = async {
            let edge = Reports::open(&core).await;
            edge.say(&[&bob], &[]).await;
            (edge, begun.elapsed())
        };
        let peers = [&bob];
        let (watched, asked, (_edge, said)) =
            tokio::join!(Watcher::open(&core, &ada, &peers), core.presences(&ada, &peers), reports);
        if said < SETTLED - Duration::from_millis(500) {
            assert!(watched.1[0].online, "{:?}", watched.1);
            assert!(asked.expect("an answer")[0].online);
            return;
        }
    }
    panic!("a core takes too long to start");
}

/// Ten thousand is what a server has to bear; here as many as a test may take.
#[tokio::test]
async fn many_who_watch_one_are_all_told() {
    const WATCHERS: usize = 200;
    let core = Core::start().await;
    let [bob] = core.users().await;
    let users: Vec<_> = (0..WATCHERS).map(|_| Uuid::new_v4().to_string()).collect();
    core.upsert(&users).await;
    let mut watchers = Vec::new();
    for user in &users {
        core.send(&bob, user, "hello").await.expect("stored");
        watchers.push(Watcher::open(&core, user, &[&bob]).await.0);
    }
    let edge = Reports::open(&core).await;
    edge.say(&[&bob], &[]).await;
    for watcher in &mut watchers {
        assert!(watcher.change().await.online);
    }
}
