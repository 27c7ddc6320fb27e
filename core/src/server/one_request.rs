//! The body of a call that takes one request: none, two, or half a one is refused, and not carried out as far as it goes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};

/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Counts the messages of a body that passes.
pub(super) struct OneRequest<R> {
    body: Body,
    at: At,
    /// To be told of a refusal.
    refused: R,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the prefix, of which this much is read.
    Prefix { read: usize, length: u32 },
    /// This much of the message is missing.
    Message(u32),
    /// The message has come whole.
    Whole,
}

#[derive(Debug, PartialEq, Eq)]
struct Second;

impl At {
    fn after(self, mut data: &[u8]) -> Result<Self, Second> {
        let mut at = self;
        while !data.is_empty() {
            at = match at {
                Self::Prefix { read, length } => {
                    let length = if read == 0 { 0 } else { length << 8 | u32::from(data[0]) };
                    data = &data[1..];
                    match read + 1 {
                        PREFIX_BYTES if length == 0 => Self::Whole,
                        PREFIX_BYTES => Self::Message(length),
                        read => Self::Prefix { read, length },
                    }
                }
                Self::Message(missing) => {
                    let here = u32::try_from(data.len()).unwrap_or(u32::MAX).min(missing);
                    data = data.get(here as usize..).unwrap_or_default();
                    match missing - here {
                        0 => Self::Whole,
                        missing => Self::Message(missing),
                    }
                }
                Self::Whole => return Err(Second),
            };
        }
        Ok(at)
    }
}

impl<R: FnMut()> OneRequest<R> {
    pub(super) fn new(body: Body, refused: R) -> Self {
        Self { body, at: At::Prefix { read: 0, length: 0 }, refused }
    }

    /// gRPC's own code for it ("Request cardinality violation", doc/statuscodes.md), unlike INTERNAL one that says that nothing
    /// was stored.
    fn refuse(&mut self, problem: &'static str) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        (self.refused)();
        // Nothing more is asked for.
        self.body = Body::empty();
        self.at = At::Whole;
        Poll::Ready(Some(Err(Status::unimplemented(problem))))
    }
}

impl<R: FnMut() + Unpin> HttpBody for OneRequest<R> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => match self.at.after(frame.data_ref().map_or(&[], |data| data)) {
                Ok(at) => self.at = at,
                Err(Second) => {
                    return self.refuse("the method takes one request, and there are more");
                }
            },
            None => match self.at {
                At::Whole => {}
                At::Prefix { read: 0, .. } => {
                    return self.refuse("the method takes one request, and there is none");
                }
                At::Prefix { .. } | At::Message(_) => {
                    return self.refuse("the request ends before its message does");
                }
            },
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.at == At::Whole && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: At = At::Prefix { read: 0, length: 0 };

    /// The same, whatever the pieces that it comes in.
    fn after(bytes: &[u8]) -> Result<At, Second> {
        let whole = START.after(bytes);
        let mut at = START;
        for byte in bytes {
            match at.after(&[*byte]) {
                Ok(next) => at = next,
                Err(Second) => {
                    assert_eq!(whole, Err(Second));
                    return whole;
                }
            }
        }
        assert_eq!(whole, Ok(at));
        whole
    }

    #[test]
    fn messages_are_counted() {
        assert_eq!(after(&[0, 0, 0, 0, 3, 7, 7, 7]), Ok(At::Whole));
        assert_eq!(after(&[0, 0, 0, 0, 0]), Ok(At::Whole));
        assert_eq!(after(&[1, 0, 0, 1, 2, 7, 7]), Ok(At::Message(256)));
        assert_eq!(after(&[0, 0xff, 0xff, 0xff, 0xff, 7]), Ok(At::Message(u32::MAX - 1)));
        assert_eq!(after(&[0, 0, 0]), Ok(At::Prefix { read: 3, length: 0 }));
        assert_eq!(after(&[0, 0, 0, 0, 1, 7, 0]), Err(Second));
        assert_eq!(after(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Second));
    }
}
