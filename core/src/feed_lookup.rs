//! Looks up where feeds end for the subscriptions that begin: those that begin at once in one statement, so that a burst
//! of them, as of an edge that lost its core, neither waits for a connection each nor takes those of other reads.

use netrox_metrics::Queues;
use netrox_proto::{ids::UserId, request_id::RequestId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::{
    error::Error,
    metrics::length,
    store::{Store, feed::FeedOwner, history::Position},
};

/// In one statement.
const AT_ONCE: usize = 256;
/// Of those, how many are named in a line that is logged about all.
const NAMED_AT_ONCE: usize = 16;
/// For the next ones. Further ones wait to be taken in.
const WAITING: usize = 1_024;

/// A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct FeedLookup(mpsc::Sender<LookupRequest>);

#[derive(Debug)]
struct LookupRequest {
    user: UserId,
    after: Position,
    request: Option<RequestId>,
    found: oneshot::Sender<Result<Option<FeedOwner>, Error>>,
}

/// With what answers, until `stop`.
pub(crate) fn new(
    store: Store,
    stop: CancellationToken,
    queues: &Queues,
) -> (FeedLookup, impl Future<Output = ()> + Send + 'static) {
    let (wanted, waiting) = mpsc::channel(WAITING);
    let looked_at = wanted.downgrade();
    // Nothing is refused: those that begin wait.
    queues.add("feed_lookups", WAITING, move || length(&looked_at));
    let answering = async move {
        // What waits then is told so by its channel.
        stop.run_until_cancelled(answer(&store, waiting)).await;
    };
    (FeedLookup(wanted), answering)
}

impl FeedLookup {
    /// `after` is the position that is asked for, if one is.
    pub(crate) async fn find(
        &self,
        user: UserId,
        after: Position,
    ) -> Result<Option<FeedOwner>, Error> {
        let (found, answer) = oneshot::channel();
        let wanted = LookupRequest { user, after, request: RequestId::current(), found };
        self.0.send(wanted).await.map_err(|_| Error::ShuttingDown)?;
        answer.await.unwrap_or(Err(Error::ShuttingDown))
    }
}

async fn answer(store: &Store, mut waiting: mpsc::Receiver<LookupRequest>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, AT_ONCE).await > 0 {
        // Who has gone needs no answer.
        batch.retain(|wanted| !wanted.found.is_closed());
        let asked: Vec<_> = batch.iter().map(|wanted| (wanted.user, wanted.after)).collect();
        let found = store.find_feeds(&asked).await;
        let found = found.map_err(|error| span_of(&batch).in_scope(|| Error::from(error)));
        let mut found = found.map(Vec::into_iter);
        for wanted in batch.drain(..) {
            let answer = match &mut found {
                Ok(found) => Ok(found.next().flatten()),
                Err(error) => Err(error.clone()),
            };
            // They may have gone meanwhile.
            let _ = wanted.found.send(answer);
        }
    }
}

/// For what is logged about all of them.
fn span_of(batch: &[LookupRequest]) -> Span {
    let ids = batch.iter().filter_map(|wanted| Some(wanted.request.as_ref()?.to_string()));
    let ids = ids.take(NAMED_AT_ONCE).collect::<Vec<_>>().join(",");
    tracing::info_span!("subscriptions", request_id = ids)
}
