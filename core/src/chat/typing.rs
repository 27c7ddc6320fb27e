//! Who types to whom.

use futures_util::{StreamExt as _, stream};
use netrox_proto::v1::{Failure, SetTypingRequest, SetTypingResult};

use crate::{
    change::Typing,
    command::parse,
    delivery::{Delivery, audience::Standing},
    error::Error,
    store::Store,
};

/// Of one batch; documented in the proto.
const MAX_REQUESTS: usize = 1_000;
/// Of a batch, whose pairs are looked up at a time.
const AT_ONCE: usize = 8;

/// Tells the peer, if it may be told.
pub(super) async fn set(
    delivery: &Delivery,
    store: &Store,
    request: &SetTypingRequest,
) -> Result<(), Error> {
    let from = parse::user_id("user_id", &request.user_id)?;
    let to = parse::user_id("peer_id", &request.peer_id)?;
    if from == to {
        return Err(Error::UserUnknown);
    }
    match delivery.typing(store, Typing { from, to, typing: request.typing }).await? {
        Standing::Told | Standing::NotTold => Ok(()),
        Standing::PeerUnknown | Standing::UserUnknown => Err(Error::UserUnknown),
        Standing::UserDeleted => Err(Error::UserDeleted),
    }
}

/// The same of many, each answered by itself.
pub(super) async fn set_all(
    delivery: &Delivery,
    store: &Store,
    requests: Vec<SetTypingRequest>,
) -> Result<Vec<SetTypingResult>, Error> {
    if requests.len() > MAX_REQUESTS {
        let problem = "more than 1,000";
        return Err(Error::InvalidField { field: "requests", problem });
    }
    let results = stream::iter(requests)
        .map(async |request| {
            let failure = set(delivery, store, &request).await.err().map(Failure::from);
            SetTypingResult { failure }
        })
        .buffered(AT_ONCE);
    Ok(results.collect().await)
}
