//! What users find, while others write and at the end.

use std::collections::BTreeSet;

use netrox_harness::{User, eventually};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    action::{DEVICES, USERS},
    asked::Asked,
    case::Case,
    check::WAIT,
};
use crate::v2::view::{Rest, View};

/// Less than what is said in a case: most of what is found comes in pages.
const PAGE: usize = 17;
/// What is in all texts.
const ALL: &str = "canary";
/// What is in some. Of the last word the beginning is enough.
const SOME: [&str; 6] =
    [ALL, "edited", "fence", "canary+documented", "elsewhere+canary+1", "canary+2"];

fn id_of(message: &Value) -> i64 {
    message["id"].as_i64().expect("an id")
}

/// Whether a query finds a text: its words are in it, the last as the beginning of one.
fn finds(query: &str, text: &str) -> bool {
    let words: Vec<_> = text.split(' ').collect();
    query.split('+').all(|wanted| words.iter().any(|word| word.starts_with(wanted)))
}

impl Case<'_> {
    /// What was acknowledged before is found or not found, as it was.
    pub(super) async fn search(&mut self, user: usize) {
        let mut gone = BTreeSet::new();
        let mut sent = BTreeSet::new();
        for (index, device) in self.devices.iter().enumerate() {
            let is_own = index / DEVICES == user;
            for (asked, answer) in device.told.iter().filter(|(_, it)| it["action"] == "ack") {
                match asked {
                    Asked::Delete { id, is_for_everyone } if is_own || *is_for_everyone => {
                        gone.insert(*id);
                    }
                    Asked::Send { .. } if is_own => {
                        sent.insert(answer["message_id"].as_i64().expect("an id"));
                    }
                    Asked::Send { .. }
                    | Asked::Edit { .. }
                    | Asked::Delete { .. }
                    | Asked::Mark { .. }
                    | Asked::Block { .. }
                    | Asked::Type
                    | Asked::Watch
                    | Asked::Hide => {}
                }
            }
        }
        // It may be deleted by now, although nobody was told so.
        sent.retain(|id| !self.deletions.contains(&(user, *id)));
        let edge = self.edge();
        let rest = Rest { edge, user: &self.users[user] };
        let Some(found) = rest.found(ALL, None, PAGE).await else { return };
        for message in &found {
            let is_of = |key: &str| message[key] == self.users[user].id;
            let is_there = message["deleted"] == false && message["hidden"] == false;
            assert!(is_there && (is_of("sender_id") || is_of("receiver_id")), "{message}");
            assert!(finds(ALL, message["message"].as_str().expect("a text")), "{message}");
            assert!(!gone.contains(&id_of(message)), "it was deleted: {message}");
        }
        let found: Vec<_> = found.iter().map(id_of).collect();
        assert!(found.is_sorted_by(|one, other| one > other), "{found:?}");
        let missed = sent.iter().find(|id| !found.contains(id));
        assert!(missed.is_none(), "{missed:?} is stored, and not among {found:?}");
    }

    /// Whatever is visible is found by its words, as it stands, and nothing else.
    pub(super) async fn check_search(&mut self, user: usize) {
        let deadline = Instant::now() + WAIT;
        loop {
            let before = self.view(user).await;
            let difference = self.search_differs(user, &before).await;
            // What was cut off may take effect between two reads.
            let is_same = before.has_the_messages_of(&self.view(user).await);
            match difference {
                Some(difference) if is_same => panic!("{difference}"),
                None => return,
                Some(difference) => assert!(Instant::now() < deadline, "{difference}"),
            }
        }
    }

    async fn search_differs(&mut self, user: usize, view: &View) -> Option<String> {
        let of_one = (0..USERS).filter(|peer| *peer != user).map(|peer| (ALL, Some(peer)));
        for (query, peer) in SOME.map(|query| (query, None)).into_iter().chain(of_one) {
            let peer = peer.map(|peer| self.users[peer].clone());
            let edge = self.edge();
            let rest = Rest { edge, user: &self.users[user] };
            let found =
                eventually("what is found", async || rest.found(query, peer.as_ref(), PAGE).await);
            let found = found.await;
            let mut expected: Vec<_> = view
                .messages()
                .filter(|message| message["deleted"] == false && is_with(message, peer.as_ref()))
                .filter(|message| finds(query, message["message"].as_str().expect("a text")))
                .cloned()
                .collect();
            expected.reverse();
            if found != expected {
                return Some(format!(
                    "user {user} finds {found:?} by {query}, and sees {expected:?}"
                ));
            }
        }
        None
    }
}

/// Whether it is sent by or to the peer, if there is one.
fn is_with(message: &Value, peer: Option<&User>) -> bool {
    peer.is_none_or(|peer| {
        [&message["sender_id"], &message["receiver_id"]].into_iter().any(|id| *id == peer.id)
    })
}
