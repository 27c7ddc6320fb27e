//! What answers have in common: a value as a whole, or a page, which is taken piece by piece by a reader who has a place.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use netrox_proto::{ids::UserId, v1::Message};
use serde::Serialize;

use crate::{
    rest::listing::Read,
    wire::{
        v1::rest::respond,
        v2::{object::MessageObject, problem::Problem},
    },
};

/// What a page holds of items, but for one that is longer by itself.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// What is taken at a time.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) fn value(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let json = serde_json::to_vec(value).map_err(Problem::internal)?;
    Ok(respond(status, json))
}

/// A message as `user` sees it.
pub(super) fn message(
    status: StatusCode,
    message: Option<&Message>,
    user: UserId,
) -> Result<Response, Problem> {
    let message = message.ok_or_else(|| Problem::internal("an answer without its message"))?;
    value(status, &MessageObject::of(message, user))
}

/// The items of a page, as JSON.
#[derive(Default)]
pub(super) struct Items {
    json: Vec<u8>,
    pub(super) count: usize,
}

impl Items {
    /// Adds an item; false where there is no room for it.
    pub(super) fn push(&mut self, item: &impl Serialize) -> Result<bool, Problem> {
        let end = self.json.len();
        if self.count > 0 {
            self.json.push(b',');
        }
        serde_json::to_writer(&mut self.json, item).map_err(Problem::internal)?;
        if self.count > 0 && self.json.len() > MAX_PAGE_BYTES {
            self.json.truncate(end);
            return Ok(false);
        }
        self.count += 1;
        Ok(true)
    }

    /// The page `{"NAME":[…],…}`, with what follows the items.
    pub(super) fn page(
        self,
        name: &str,
        rest: &impl Serialize,
        read: Read,
    ) -> Result<Response, Problem> {
        let rest = serde_json::to_vec(rest).map_err(Problem::internal)?;
        let mut json = format!(r#"{{"{name}":["#).into_bytes();
        json.reserve_exact(self.json.len() + rest.len() + 1);
        json.extend_from_slice(&self.json);
        json.extend_from_slice(b"],");
        // An object, which is never empty, without its brace.
        json.extend_from_slice(&rest[1..]);
        Ok(respond(StatusCode::OK, Body::new(PageBody { json: json.into(), read })))
    }
}

/// The body of a page. The read ends when it is done or dropped.
struct PageBody {
    json: Bytes,
    read: Read,
}

impl http_body::Body for PageBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.json.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.json.len().min(PIECE_BYTES);
        let piece = self.json.split_to(length);
        self.read.took(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.json.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.json.len() as u64)
    }
}
