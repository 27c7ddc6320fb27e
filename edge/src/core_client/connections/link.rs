//! Which calls share connections. What a client, a bucket or a stranger paces is apart from chat, and each stream may hold
//! little of what its connection can: whatever is not read, the others go on.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;

/// A kind of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core_client) enum Link {
    /// Sends, subscriptions, and what they need.
    Chat,
    /// Answers as long as their readers take: files, histories, lists of threads.
    Bulk,
    /// Files on their way to the core.
    Uploads,
    /// What is asked before anything is known of who asks.
    Strangers,
}

/// The most that there is. The memory that it stands for is that of the streams.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// As many streams as a core takes on a connection.
const MAX_STREAMS: usize = 32_768;
const _: () = {
    let most = Link::Chat.stream_window_bytes() as u64;
    assert!(MAX_STREAMS as u64 * most <= CONNECTION_WINDOW_BYTES as u64 / 2 + 1);
};
/// Beyond what an edge is asked to take by default, and as many as it may be told to.
const MAX_BULK: usize = 8_192;
/// What they may hold is a quarter of what a connection may at the core.
const MAX_UPLOADS: usize = 256;
/// Each is one look into the database.
const MAX_OF_STRANGERS: usize = 256;

impl Link {
    /// To each address. A broken connection takes only its share of the streams with it.
    pub(in crate::core_client) const fn connections(self) -> usize {
        match self {
            Self::Chat | Self::Bulk => 2,
            Self::Uploads | Self::Strangers => 1,
        }
    }

    /// What a stream may hold of its connection, unread: all streams that the core admits have less than half of it. Each
    /// reader who stalls makes an edge hold as much.
    pub(super) const fn stream_window_bytes(self) -> u32 {
        match self {
            Self::Bulk => 12 * 1024,
            Self::Chat | Self::Uploads | Self::Strangers => 32 * 1024,
        }
    }

    /// Calls under way on one connection.
    pub(super) const fn places(self) -> usize {
        match self {
            Self::Chat => MAX_STREAMS,
            Self::Bulk => MAX_BULK,
            Self::Uploads => MAX_UPLOADS,
            Self::Strangers => MAX_OF_STRANGERS,
        }
    }

    /// A call, as an operator may read of it.
    pub(super) fn call(self) -> &'static str {
        match self {
            Self::Chat => "a call",
            Self::Bulk => "a download or list",
            Self::Uploads => "an upload",
            Self::Strangers => "a look-up of a file",
        }
    }

    /// Whether what becomes of its connections is worth a line: those of the others share their fate.
    pub(super) fn is_told(self) -> bool {
        self == Self::Chat
    }
}

/// An answer that keeps its place to its end.
pub(super) fn holding(answer: Response<Incoming>, place: OwnedSemaphorePermit) -> Response<Body> {
    answer.map(|body| Body::new(Holding { body, _place: place }))
}

struct Holding {
    body: Incoming,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
