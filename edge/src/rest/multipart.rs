//! Forms with a file, read as a stream: one part after another, none of them held as a whole but
//! short texts (RFC 7578).
//!
//! `multer` finds the parts. It limits neither a part's headers nor what it reads ahead, and it
//! misreads some file names, so that is done here.

mod digest;
mod scrub;

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, header};
use netrox_proto::v1::SentForm;
use tower_http::timeout::TimeoutError;

use self::{digest::Digester, scrub::Scrubber};
use super::disposition::FormData;
use crate::error::PublicError;

const MAX_PARTS: usize = 32;
/// Of one part's headers, and of what stands before the first part.
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// The parts of a form.
pub(super) struct Form {
    parts: multer::Multipart<'static>,
    digester: Option<Digester>,
    budget: Arc<AtomicUsize>,
    count: usize,
}

/// One part; to be read to its end before the next is asked for.
pub(super) struct Part {
    pub(super) form_data: FormData,
    field: multer::Field<'static>,
    budget: Arc<AtomicUsize>,
}

impl Form {
    /// Refuses what is not `multipart/form-data`, or is encoded.
    pub(super) fn boundary(headers: &HeaderMap) -> Result<String, PublicError> {
        let unsupported = PublicError::unsupported_media_type;
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(unsupported("The body must not have a Content-Encoding"));
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match multer::parse_boundary(content_type.unwrap_or_default()) {
            Ok(boundary) => Ok(boundary),
            Err(multer::Error::NoBoundary) => {
                Err(PublicError::bad_request("The multipart boundary is missing"))
            }
            Err(_) => Err(unsupported("The body must be multipart/form-data")),
        }
    }

    /// Refuses what announces more than `max_bytes`.
    pub(super) fn new(
        boundary: String,
        headers: &HeaderMap,
        body: Body,
        max_bytes: u64,
    ) -> Result<Self, PublicError> {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.is_some_and(|bytes| bytes.parse().is_ok_and(|bytes: u64| bytes > max_bytes)) {
            return Err(PublicError::form_too_large());
        }
        let budget = Arc::new(AtomicUsize::new(0));
        let digester = Digester::of(&boundary);
        let paced = PacedBody {
            body: body.into_data_stream(),
            scrubber: Scrubber::new(&boundary),
            digester: digester.clone(),
            budget: Arc::clone(&budget),
            has_rested: true,
        };
        let limit = multer::SizeLimit::new().whole_stream(max_bytes);
        let constraints = multer::Constraints::new().size_limit(limit);
        let parts = multer::Multipart::with_constraints(paced, boundary, constraints);
        Ok(Self { parts, digester, budget, count: 0 })
    }

    /// What tells it from others; to be asked for after its last part. Nothing where its boundary does not.
    pub(super) fn sent_form(&self) -> Option<SentForm> {
        self.digester.as_ref().map(Digester::form)
    }

    /// The next part; `None` after the last. The part before must have been read to its end.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, PublicError> {
        self.budget.store(MAX_HEADER_BYTES, Ordering::Relaxed);
        let Some(field) = self.parts.next_field().await.map_err(|error| refusal(&error))? else {
            return Ok(None);
        };
        self.count += 1;
        if self.count > MAX_PARTS {
            return Err(PublicError::bad_request("The form has too many parts"));
        }
        let mut dispositions = field.headers().get_all(header::CONTENT_DISPOSITION).iter();
        let form_data = match (dispositions.next(), dispositions.next()) {
            (Some(disposition), None) => FormData::parse(disposition.as_bytes()).ok(),
            _ => None,
        };
        let form_data = form_data.ok_or_else(|| {
            PublicError::bad_request("A part's Content-Disposition is missing or malformed")
        })?;
        Ok(Some(Part { form_data, field, budget: Arc::clone(&self.budget) }))
    }
}

impl Part {
    /// The next bytes of the content; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, PublicError> {
        self.budget.store(usize::MAX, Ordering::Relaxed);
        self.field.chunk().await.map_err(|error| refusal(&error))
    }

    /// The whole content, or `None` where it is longer than `max_bytes`.
    pub(super) async fn bytes(mut self, max_bytes: usize) -> Result<Option<Vec<u8>>, PublicError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > max_bytes {
                return Ok(None);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    pub(super) async fn skip(mut self) -> Result<(), PublicError> {
        while self.chunk().await?.is_some() {}
        Ok(())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of multer")]
fn refusal(error: &multer::Error) -> PublicError {
    match error {
        multer::Error::StreamSizeExceeded { .. } => PublicError::form_too_large(),
        multer::Error::StreamReadFailed(cause) => {
            if cause.is::<HeadersTooLarge>() {
                return PublicError::bad_request("A part's headers are too large");
            }
            let mut cause: Option<&(dyn Error + 'static)> = Some(&**cause);
            while let Some(error) = cause {
                if error.is::<TimeoutError>() {
                    return PublicError::request_timeout();
                }
                cause = error.source();
            }
            PublicError::bad_request("The body broke off")
        }
        _ => PublicError::bad_request("The multipart body is malformed"),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("headers of a part are too large")]
struct HeadersTooLarge;

/// The body of a request as `multer` may see it: it gives one chunk a time, so that no more is read
/// ahead, and no more than a budget, which counts while a part's headers are looked for.
struct PacedBody {
    body: BodyDataStream,
    scrubber: Scrubber,
    digester: Option<Digester>,
    budget: Arc<AtomicUsize>,
    /// Whether it was pending since the last chunk.
    has_rested: bool,
}

impl Stream for PacedBody {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.has_rested {
            self.has_rested = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let budget = self.budget.load(Ordering::Relaxed);
        if budget == 0 {
            return Poll::Ready(Some(Err(Box::new(HeadersTooLarge))));
        }
        let chunk = ready!(Pin::new(&mut self.body).poll_next(context));
        if let Some(Ok(chunk)) = &chunk {
            self.budget.store(budget.saturating_sub(chunk.len()), Ordering::Relaxed);
            self.has_rested = false;
        }
        let chunk = chunk.map(|chunk| chunk.map(|chunk| self.take(&chunk)));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(Into::into)))
    }
}

impl PacedBody {
    fn take(&mut self, chunk: &Bytes) -> Bytes {
        let scrubbed = self.scrubber.scrub(chunk.clone());
        if let Some(digester) = &self.digester {
            digester.update(&chunk[..self.scrubber.form_bytes()]);
        }
        scrubbed
    }
}
