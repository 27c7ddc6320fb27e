//! What a subscriber asks for.

use netrox_proto::{ids::UserId, v1};

use super::{Chat, presence::watched};
use crate::{
    change::{FeedScope, Wanted},
    command::parse,
    error::Error,
    metrics::Stream,
    store::history::Position,
    subscribe::{After, Subscription, Watch, Watched},
};

pub(super) async fn open(chat: &Chat, request: v1::SubscribeRequest) -> Result<Watched, Error> {
    let v1::SubscribeRequest { user_id, after_seq, received_only, epoch, kinds, .. } = request;
    let has = |kind: v1::EventKind| kinds.contains(&kind.into());
    let (presence, users) = (has(v1::EventKind::Presence), has(v1::EventKind::User));
    let peers = watched("watched_peer_ids", &request.watched_peer_ids)?;
    let wanted = wanted(received_only, &kinds)?;
    let user: UserId = parse::user_id("user_id", &user_id)?;
    let after = match (after_seq, epoch) {
        (None, _) => None,
        (Some(seq), None) => Some(After::Seq(seq)),
        (Some(seq), Some(epoch)) => {
            let start = chat.store.history().parse_epoch(&epoch).ok_or(Error::EpochChanged)?;
            Some(After::Position(Position { start, seq }))
        }
    };
    let subscription = Subscription::open(
        &chat.store,
        &chat.lookup,
        &chat.delivery,
        user,
        after,
        wanted,
        chat.streams.clone(),
    );
    let subscription = subscription.await?;
    let watch = (presence || users).then(|| {
        let stream = chat.presence.watch(user, peers, chat.streams.open(Stream::Presence));
        Watch { stream, presence, users }
    });
    Ok(Watched::new(subscription, watch))
}

fn wanted(received_only: bool, kinds: &[i32]) -> Result<Wanted, Error> {
    let invalid = |problem| Error::InvalidField { field: "kinds", problem };
    let has = |kind: v1::EventKind| kinds.contains(&kind.into());
    if received_only && !kinds.is_empty() {
        return Err(invalid("not with received_only"));
    }
    // What is not known is not carried, which is all that a caller of a later version can ask for.
    let scope = match (received_only, has(v1::EventKind::Thread)) {
        (true, _) => FeedScope::Received,
        (false, false) => FeedScope::Messages,
        (false, true) => FeedScope::MessagesAndThreads,
    };
    Ok(Wanted { scope, typing: has(v1::EventKind::Typing) })
}
