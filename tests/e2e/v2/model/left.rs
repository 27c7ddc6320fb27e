//! Who was online in a case and is no longer: others are told that they left, once it is over.

use netrox_harness::{TestChat, User};
use serde_json::json;

use super::{action::USERS, case::Case, told::Facts};
use crate::v2::client::Client;

/// One of a case, who comes back alone.
#[derive(Debug)]
pub(super) struct Left {
    user: User,
    /// With whether the user is shown when they were last seen.
    peers: Vec<(User, bool)>,
    /// When all of them came.
    since: String,
    pub(super) kills: usize,
}

/// As times of the server are told of those who were last seen.
fn minute_of(time: &str) -> String {
    format!("{}:00.000000Z", &time[.."2000-01-01T00:00".len()])
}

impl Left {
    pub(super) fn of(case: &Case<'_>, facts: &Facts) -> Self {
        let peers = (1..USERS).map(|peer| (case.users[peer].clone(), facts.is_shown(0, peer)));
        let (since, kills) = (case.since.clone(), case.kills);
        Self { user: case.users[0].clone(), peers: peers.collect(), since, kills }
    }

    /// They look as they left: all but when they were last seen may be lost with a core that was killed.
    pub(super) async fn check(&self, chat: &TestChat, has_kills: bool) {
        let mut client = Client::live(chat.edge(), &self.user).await;
        let ids: Vec<_> = self.peers.iter().map(|(peer, _)| peer.id.as_str()).collect();
        let watch = json!({"action": "presence_watch", "peer_ids": ids});
        let ack = client.ask(watch).await;
        let mut states = ack["states"].as_array().expect("states").clone();
        while states.iter().any(|state| state["online"] == true) {
            let frame = client.next_of("presence").await;
            let state = states.iter_mut().find(|state| state["peer_id"] == frame["peer_id"]);
            let state = state.expect("one who is watched");
            for key in ["online", "last_seen"] {
                state[key] = frame[key].clone();
            }
        }
        let now = client.ask(json!({"action": "ping"})).await["time"].clone();
        let now = minute_of(now.as_str().expect("a time"));
        for ((peer, is_shown), state) in self.peers.iter().zip(&states) {
            assert_eq!(state["peer_id"], peer.id, "{state}");
            let last_seen = state["last_seen"].as_str();
            assert!(*is_shown || last_seen.is_none(), "{state} is not to be told");
            assert!(!is_shown || last_seen.is_some() || has_kills, "{state}: nobody knows when");
            let since = minute_of(&self.since);
            let is_plausible = last_seen.is_none_or(|at| at >= &*since && at <= &*now);
            assert!(is_plausible, "{state} is not between {since} and {now}");
        }
    }
}
