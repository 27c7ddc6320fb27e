//! What cores say, and what clients hold, against the model.

use netrox_proto::v1::{SubscribeRequest, ThreadState};
use proptest::{prelude::*, test_runner::TestCaseError};

use super::{USERS, World, held::Held, stored::Stored};
use crate::subscribe::Subscription;

impl World {
    /// Whether a conversation is what the model says, for one of its users.
    pub(super) async fn check(&self, user: usize, peer: usize) -> Result<(), TestCaseError> {
        let (core, Self { users, model, .. }) = (self.core(), self);
        let history = core.history(&users[user], &users[peer]).await.expect("a history");
        let (seen, delivered) = model.marks(user, peer);
        let (peer_seen, peer_delivered) = model.shown_marks(peer, user);
        // Both see a file from its upload on.
        let is_there = |it: &&Stored| {
            it.is_between(user, peer) && !it.hidden[user] && (it.sender == user || !it.is_swallowed)
        };
        let expected: Vec<_> = model
            .messages
            .iter()
            .filter(is_there)
            .map(|it| {
                let mark = if it.sender == user { peer_seen } else { seen };
                (it.id, it.body_for(user), it.is_deleted, it.is_sent && it.id <= mark)
            })
            .collect();
        let found = history.iter().map(|it| (it.id, it.body.as_str(), it.deleted, it.seen));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        let last_id = model.last_id(user, peer);
        if last_id == 0 {
            prop_assert!(core.thread(&users[user], &users[peer]).await.is_err());
            return Ok(());
        }
        let state = core.state(&users[user], &users[peer]).await;
        let expected = ThreadState {
            thread_id: state.thread_id,
            peer_id: users[peer].clone(),
            last_id,
            unread: i32::try_from(model.unread(user, peer)).expect("few"),
            seen_id: seen,
            delivered_id: delivered,
            // A mark may be on what the user never saw.
            peer_seen_id: peer_seen.min(last_id),
            peer_delivered_id: peer_delivered.min(last_id),
            blocked: model.blocks.contains(&(user, peer)),
            rev: state.rev,
        };
        prop_assert_eq!(state, expected);
        Ok(())
    }

    pub(super) async fn check_list(&self, user: usize) -> Result<(), TestCaseError> {
        let (core, Self { users, model, .. }) = (self.core(), self);
        let page = core.thread_page(&users[user], 200, "").await.expect("a page");
        let mut expected: Vec<_> = (0..USERS)
            .filter(|peer| *peer != user)
            .map(|peer| (model.last_id(user, peer), users[peer].clone()))
            .filter(|(last_id, _)| *last_id > 0)
            .collect();
        expected.sort_unstable_by(|one, other| other.cmp(one));
        let state = |thread: netrox_proto::v1::Thread| thread.state.expect("a state");
        let found = page.threads.into_iter().map(state).map(|state| (state.last_id, state.peer_id));
        let found: Vec<_> = found.filter(|(_, peer)| *peer != self.fence).collect();
        prop_assert_eq!(found, expected);
        let unread: usize = (0..USERS)
            .filter(|peer| *peer != user && !model.blocks.contains(&(user, *peer)))
            .map(|peer| model.unread(user, peer))
            .sum();
        // And that of the fence.
        prop_assert_eq!(page.unread_total as usize, unread + 1);
        Ok(())
    }

    /// Folds what a subscription brings on top of what is held.
    pub(super) async fn follow(&self, user: usize, held: &mut Held) -> Result<(), TestCaseError> {
        let (core, Self { users, .. }) = (self.core(), self);
        let request = SubscribeRequest { user_id: users[user].clone(), ..Default::default() };
        let end = Subscription::try_open(core, request).await.expect("open").last_seq();
        let mut feed = Subscription::with_threads(core, &users[user], Some(held.seq)).await;
        while feed.last_seq() < end || feed.has_more() {
            let event = feed.event().await;
            held.take(event.change.expect("a change"));
        }
        held.seq = end;
        self.holds(user, held)
    }

    /// Whether a device holds what the model says.
    pub(super) fn holds(&self, user: usize, held: &Held) -> Result<(), TestCaseError> {
        let Self { users, model, .. } = self;
        for it in &model.messages {
            let has = held.messages.get(&it.id);
            prop_assert_eq!(has.is_some(), it.is_known_to(user), "{:?}", it);
            let Some(has) = has else { continue };
            let body = if it.hidden[user] { "" } else { it.body_for(user) };
            prop_assert_eq!(
                (has.body.as_str(), has.deleted, has.hidden),
                (body, it.is_deleted, it.hidden[user])
            );
        }
        for peer in (0..USERS).filter(|peer| *peer != user) {
            let id = &users[peer];
            prop_assert_eq!(held.unread(id), model.unread(user, peer), "{} of {}", user, peer);
            if let Some(state) = held.states.get(id) {
                let marks = (state.seen_id, state.delivered_id);
                let peers = (state.peer_seen_id, state.peer_delivered_id);
                // Of what the user had been shown by then.
                let (seen, delivered) = model.shown_marks(peer, user);
                prop_assert_eq!(peers, (seen.min(state.last_id), delivered.min(state.last_id)));
                prop_assert_eq!(state.blocked, model.blocks.contains(&(user, peer)));
                // One's own "delivered" is no change for one's devices.
                prop_assert_eq!(marks.0, model.marks(user, peer).0);
            }
        }
        Ok(())
    }
}

/// What each user's devices hold that were connected all the time.
pub(super) async fn follow_live(
    world: &World,
    feeds: &mut [Subscription],
    held: &mut [Held],
) -> Result<(), TestCaseError> {
    for (user, (feed, held)) in feeds.iter_mut().zip(held).enumerate() {
        let request = SubscribeRequest { user_id: world.users[user].clone(), ..Default::default() };
        let end = Subscription::try_open(world.core(), request).await.expect("open").last_seq();
        while feed.last_seq() < end || feed.has_more() {
            held.take(feed.event().await.change.expect("a change"));
        }
        world.holds(user, held)?;
    }
    Ok(())
}
