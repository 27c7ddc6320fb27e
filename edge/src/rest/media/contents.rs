//! The bytes of a download on their way. Nothing of the core is held for a client that takes none.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use netrox_proto::v1::{DownloadAttachmentRequest, DownloadAttachmentResponse};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};
use tracing::Span;

use crate::{edge::Edge, limits::Download, rest::listing, strangers::Occupied, written::Written};

/// A client that takes nothing for so long holds no stream of the core's any more: neither its file nor its buffers, nor
/// what they take of a connection that others use.
const IDLE: Duration = Duration::from_millis(250);

/// What may wait to be written of a download when it is given another piece. At first less than one, so that a reader who
/// stalls holds little more; of one who has taken much a sixty-fourth of that.
const UNWRITTEN_BYTES: RangeInclusive<u64> = 4 * 1024..=64 * 1024;
const TAKEN_PER_UNWRITTEN: u64 = 64;

type Pieces = Streaming<DownloadAttachmentResponse>;

/// What is left of a download.
pub(super) struct Contents {
    edge: Edge,
    /// What has yet to come.
    wanted: DownloadAttachmentRequest,
    source: Arc<Mutex<Source>>,
    download: Download,
    _occupied: Option<Occupied>,
    /// What was written on the connection, and how much of it before.
    written: Option<(u64, Arc<Written>)>,
    given: u64,
    /// Of the request.
    span: Span,
    done: CancellationToken,
    _done: DropGuard,
}

struct Source {
    /// Absent while a piece is awaited, and after a pause of the client's.
    pieces: Option<Pieces>,
    /// Since when the client has not asked for more.
    idle_since: Instant,
}

fn source(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Contents {
    /// The rest of what was `wanted`, of which `pieces` has begun to come.
    pub(super) fn new(
        edge: &Edge,
        wanted: DownloadAttachmentRequest,
        pieces: Pieces,
        download: Download,
        (occupied, written): (Option<Occupied>, Option<Arc<Written>>),
    ) -> Self {
        let source = Source { pieces: Some(pieces), idle_since: Instant::now() };
        let source = Arc::new(Mutex::new(source));
        let done = CancellationToken::new();
        let contents = Self {
            edge: edge.clone(),
            wanted,
            source,
            download,
            _occupied: occupied,
            written: written.map(|written| (written.bytes(), written)),
            given: 0,
            span: Span::current(),
            _done: done.clone().drop_guard(),
            done,
        };
        contents.watch();
        contents
    }

    /// Lets go of the core's stream when the client pauses.
    fn watch(&self) {
        let (done, source) = (self.done.clone(), Arc::clone(&self.source));
        self.edge.shared.tasks.spawn(async move {
            done.run_until_cancelled(let_go(source)).await;
        });
    }

    /// The body that gives `first` and then the rest.
    pub(super) fn body(mut self, first: Bytes) -> Body {
        self.note(&first);
        let state = Some((Some(first), self));
        Body::from_stream(stream::unfold(state, async |state| {
            let (first, mut contents) = state?;
            if let Some(first) = first {
                return Some((Ok(first), Some((None, contents))));
            }
            match contents.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some((None, contents)))),
                Ok(None) => None,
                Err(status) => {
                    let error = status.message();
                    contents.span.in_scope(|| tracing::warn!(error, "a download breaks off"));
                    Some((Err(status), None))
                }
            }
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.wanted.length == Some(0) {
            return Ok(None);
        }
        // What is given before it can be written is held in memory.
        if let Some((before, written)) = &self.written {
            let unwritten = (self.given / TAKEN_PER_UNWRITTEN)
                .clamp(*UNWRITTEN_BYTES.start(), *UNWRITTEN_BYTES.end());
            written.reaches((before + self.given).saturating_sub(unwritten)).await;
        }
        let pieces = source(&self.source).pieces.take();
        let is_new = pieces.is_none();
        let mut pieces = match pieces {
            Some(pieces) => pieces,
            None => {
                let mut attachments = self.edge.shared.core.downloads.clone();
                attachments.download_attachment(self.wanted.clone()).await?.into_inner()
            }
        };
        let Some(piece) = listing::next(&mut pieces).await? else { return Ok(None) };
        *source(&self.source) = Source { pieces: Some(pieces), idle_since: Instant::now() };
        if is_new {
            self.watch();
        }
        self.note(&piece.chunk);
        Ok(Some(piece.chunk))
    }

    fn note(&mut self, piece: &Bytes) {
        let bytes = i64::try_from(piece.len()).unwrap_or(i64::MAX);
        self.wanted.offset = self.wanted.offset.saturating_add(bytes);
        self.wanted.length = self.wanted.length.map(|length| length.saturating_sub(bytes).max(0));
        self.given += piece.len() as u64;
        self.download.took(piece.len());
    }
}

/// Drops the core's stream when the client has not asked for more for a while.
async fn let_go(of: Arc<Mutex<Source>>) {
    loop {
        sleep(IDLE).await;
        let pieces = {
            let mut source = source(&of);
            if source.idle_since.elapsed() >= IDLE { source.pieces.take() } else { None }
        };
        if pieces.is_some() {
            return;
        }
    }
}
