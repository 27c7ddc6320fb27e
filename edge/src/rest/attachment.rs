//! `POST /chat/chat-attachment/`: stores a file as a message, on its way through as a stream.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use netrox_proto::{
    error::DOMAIN,
    ids::UserId,
    v1::{
        ErrorReason, Failure, UploadAttachmentRequest, UploadAttachmentResponse, UploadFinish,
        UploadStart, upload_attachment_request::Part as UploadPart,
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic_types::StatusExt;

use super::multipart::{Form, Part};
use crate::{
    caller::Caller,
    edge::Edge,
    error::PublicError,
    wire::v1::rest::{self, Participants, Uploaded},
};

/// What the form may take beside the file.
pub(super) const FORM_BYTES: u64 = 64 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;
/// How many chunks wait for the core before the client has to wait.
const WAITING_CHUNKS: usize = 2;
/// How long the core may take no part of an upload.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);
/// From the last part to the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Of the text of a UUID, and then some: what is longer is none.
const RECEIVER_BYTES: usize = 64;

pub(super) async fn upload(
    State(edge): State<Edge>,
    Caller(sender_id): Caller,
    request: Request,
) -> Result<Response, PublicError> {
    let limits = &edge.shared.config.limits;
    let boundary = Form::boundary(request.headers())?;
    let _place = edge.shared.limiter.upload(sender_id).await?;
    edge.shared.limiter.send_in_turn(sender_id).await?;
    let max_bytes = limits.max_attachment_bytes.saturating_add(FORM_BYTES);
    let (head, body) = request.into_parts();
    let min_size = min_size(&head.headers);
    let body = at_the_rate_of(edge.clone(), sender_id, body);
    let form = Form::new(boundary, &head.headers, body, max_bytes)?;
    let max_body_bytes = limits.max_body_bytes;
    let upload = Upload { edge: edge.clone(), sender_id, max_body_bytes, min_size };
    match carry(&edge, |parts| async move { upload.send(form, &parts).await }).await {
        Ok(answer) => render(&answer),
        Err(NotStored::Form(refusal)) => Err(refusal),
        Err(NotStored::Core(status)) => Err(edge.refusal(sender_id, &status)),
        Err(NotStored::Unknown(status)) => Err(PublicError::outcome_unknown(status.message())),
    }
}

/// How many bytes the file of a form has at least, where the form says how long it is.
pub(super) fn min_size(headers: &HeaderMap) -> i64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length: u64 = length.and_then(|text| text.parse().ok()).unwrap_or_default();
    i64::try_from(length.saturating_sub(FORM_BYTES)).unwrap_or(i64::MAX)
}

/// Why an upload has no answer of the core's.
pub(super) enum NotStored<E> {
    /// The form is not good.
    Form(E),
    Core(Status),
    /// It may be stored.
    Unknown(Status),
}

/// Hands the core the parts that `send` makes of a form, and gives its answer.
pub(super) async fn carry<S, E>(
    edge: &Edge,
    send: impl FnOnce(Parts) -> S,
) -> Result<UploadAttachmentResponse, NotStored<E>>
where
    S: Future<Output = Result<(), E>>,
{
    let (parts, waiting) = mpsc::channel(WAITING_CHUNKS);
    let is_finished = Arc::new(AtomicBool::new(false));
    let mut stored = pin!(store(edge, waiting, Arc::clone(&is_finished)));
    let mut sent = pin!(send(parts));
    // Where either side fails both are dropped, and with them the core's stream before `finish`:
    // nothing is stored.
    let answer = tokio::select! {
        biased;
        answer = &mut stored => answer,
        sent = &mut sent => {
            sent.map_err(NotStored::Form)?;
            in_time(stored).await
        }
    };
    answer.map_err(|status| {
        let is_unknown = is_finished.load(Ordering::Relaxed) && !is_certain(&status);
        if is_unknown { NotStored::Unknown(status) } else { NotStored::Core(status) }
    })
}

/// The body of an upload, which is read as fast as all uploads of the user together may be.
pub(super) fn at_the_rate_of(edge: Edge, user: UserId, body: Body) -> Body {
    let chunks = body.into_data_stream().then(move |chunk| {
        let edge = edge.clone();
        async move {
            let bytes = chunk.as_ref().map_or(0, Bytes::len);
            edge.shared.limiter.pace_upload(user, bytes).await;
            chunk
        }
    });
    Body::from_stream(chunks)
}

/// The answer to an upload whose last part was handed over.
async fn in_time<T>(stored: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded("the core did not answer an upload in time"));
    timeout(ANSWER_TIMEOUT, stored).await.unwrap_or_else(late)
}

/// Whether a refusal after the last part says that nothing was stored. The core always gives a reason; whoever else
/// speaks does not know what it did.
pub(super) fn is_certain(status: &Status) -> bool {
    let details = status.get_error_details();
    let is_of_core = details.error_info().is_some_and(|info| info.domain == DOMAIN);
    is_of_core && Failure::from(status).reason() != ErrorReason::OutcomeUnknown
}

/// Hands the upload to the core, once there is something to hand over. Sets `is_finished` when the last
/// part is on its way.
async fn store(
    edge: &Edge,
    mut waiting: mpsc::Receiver<UploadAttachmentRequest>,
    is_finished: Arc<AtomicBool>,
) -> Result<UploadAttachmentResponse, Status> {
    let Some(start) = waiting.recv().await else {
        return Err(Status::internal("an upload without a start"));
    };
    let parts = stream::iter([start]).chain(ReceiverStream::new(waiting));
    let parts = parts.inspect(move |request| {
        if let Some(UploadPart::Finish(_)) = request.part {
            is_finished.store(true, Ordering::Relaxed);
        }
    });
    let answer = edge.shared.core.upload.clone().upload_attachment(parts).await?;
    Ok(answer.into_inner())
}

fn render(answer: &UploadAttachmentResponse) -> Result<Response, PublicError> {
    let message = answer
        .message
        .as_ref()
        .ok_or_else(|| PublicError::internal("an upload without message"))?;
    let user = |id: &str| {
        let user = answer.users.iter().find(|user| user.id == id);
        user.ok_or_else(|| PublicError::internal("an upload without its users"))
    };
    let participants = Participants::new(user(&message.sender_id)?, user(&message.receiver_id)?);
    let message = participants.and_then(|participants| participants.render(message));
    let entity = Uploaded { message: message.map_err(PublicError::internal)? };
    rest::success(StatusCode::CREATED, Some(entity), Some(rest::UPLOADED))
        .map_err(PublicError::internal)
}

/// Turns a form into the parts of an upload.
struct Upload {
    edge: Edge,
    sender_id: UserId,
    max_body_bytes: usize,
    min_size: i64,
}

pub(super) type Parts = mpsc::Sender<UploadAttachmentRequest>;

impl Upload {
    /// Reads the form to its end. `finish` goes out only when every field was found good.
    async fn send(&self, mut form: Form, parts: &Parts) -> Result<(), PublicError> {
        let (mut receiver, mut message, mut has_file) = (None, None, false);
        while let Some(part) = form.next().await? {
            match part.form_data.name.as_str() {
                "receiver" => {
                    refuse_repetition("receiver", receiver.is_some())?;
                    receiver = Some(self.receiver(part).await?);
                }
                "message" => {
                    refuse_repetition("message", message.is_some())?;
                    message = Some(self.message(part).await?);
                }
                "attached_file" => {
                    refuse_repetition("attached_file", has_file)?;
                    has_file = true;
                    self.send_file(part, parts).await?;
                }
                _ => part.skip().await?,
            }
        }
        let missing = |field| PublicError::invalid_field(field, "This field is required");
        let receiver: UserId = receiver.ok_or_else(|| missing("receiver"))?;
        if !has_file {
            return Err(missing("attached_file"));
        }
        let finish = UploadFinish {
            receiver_id: receiver.to_string(),
            body: message.unwrap_or_default(),
            form: form.sent_form(),
            ..Default::default()
        };
        hand_over(parts, UploadPart::Finish(finish)).await
    }

    async fn receiver(&self, part: Part) -> Result<UserId, PublicError> {
        let text = part.bytes(RECEIVER_BYTES).await?.unwrap_or_default();
        let receiver: Option<UserId> =
            str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let receiver =
            receiver.ok_or_else(|| PublicError::invalid_field("receiver", "Not a UUID"))?;
        if receiver == self.sender_id {
            return Err(PublicError::invalid_field("receiver", "Must not be the sender"));
        }
        Ok(receiver)
    }

    async fn message(&self, part: Part) -> Result<String, PublicError> {
        let invalid = |problem| PublicError::invalid_field("message", problem);
        let text = part.bytes(self.max_body_bytes).await?;
        let text = text.ok_or_else(|| {
            let limit = self.max_body_bytes;
            PublicError::invalid_field("message", format_args!("Longer than {limit} bytes"))
        })?;
        let text = String::from_utf8(text).map_err(|_| invalid("Not UTF-8"))?;
        if text.contains('\0') {
            return Err(invalid("Must not contain NUL"));
        }
        Ok(text)
    }

    async fn send_file(&self, mut part: Part, parts: &Parts) -> Result<(), PublicError> {
        let file_name = file_name(&mut part)?;
        let start = UploadStart {
            sender_id: self.sender_id.to_string(),
            file_name,
            min_size: self.min_size,
            ..Default::default()
        };
        hand_over(parts, UploadPart::Start(start)).await?;
        send_content(&self.edge, self.sender_id, part, parts).await
    }
}

pub(super) fn file_name(part: &mut Part) -> Result<String, PublicError> {
    let file_name = part.form_data.file_name.take().filter(|name| !name.is_empty());
    file_name.ok_or_else(|| PublicError::invalid_field("attached_file", "Needs a file name"))
}

/// Hands over the bytes of the file.
pub(super) async fn send_content(
    edge: &Edge,
    sender: UserId,
    mut part: Part,
    parts: &Parts,
) -> Result<(), PublicError> {
    let mut size = 0;
    while let Some(mut bytes) = part.chunk().await? {
        size += bytes.len() as u64;
        if size > edge.shared.config.limits.max_attachment_bytes {
            return Err(PublicError::file_too_large());
        }
        edge.shared.limiter.upload_bytes(sender, bytes.len() as u64)?;
        while !bytes.is_empty() {
            let chunk: Bytes = bytes.split_to(bytes.len().min(CHUNK_BYTES));
            hand_over(parts, UploadPart::Chunk(chunk)).await?;
        }
    }
    Ok(())
}

pub(super) fn refuse_repetition(field: &str, is_repeated: bool) -> Result<(), PublicError> {
    if is_repeated {
        return Err(PublicError::invalid_field(field, "Must not be repeated"));
    }
    Ok(())
}

pub(super) async fn hand_over(parts: &Parts, part: UploadPart) -> Result<(), PublicError> {
    let request = UploadAttachmentRequest { part: Some(part) };
    match timeout(PROGRESS_TIMEOUT, parts.send(request)).await {
        Ok(Ok(())) => Ok(()),
        // Nobody receives where the core has answered early; that answer is the one that counts.
        Ok(Err(_)) => Err(PublicError::unavailable()),
        Err(_) => {
            tracing::warn!("the core takes no more of an upload");
            Err(PublicError::unavailable())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_core_that_takes_no_more_is_given_up() {
        let (parts, _waiting) = mpsc::channel(1);
        let chunk = || UploadPart::Chunk(Bytes::from_static(b"x"));
        hand_over(&parts, chunk()).await.expect("room");
        let refusal = hand_over(&parts, chunk()).await.expect_err("no room");
        assert_eq!(refusal.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_not_of_the_core() {
        let late = in_time(std::future::pending::<Result<(), _>>()).await.expect_err("a deadline");
        assert!(!is_certain(&late));
        assert!(!is_certain(&Status::unavailable("the connection broke")));
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("FULL", "proxy.example.com", []);
        let of_a_proxy = Status::with_error_details(tonic::Code::NotFound, "no route", details);
        assert!(!is_certain(&of_a_proxy));
        assert!(!is_certain(&Failure::new(ErrorReason::OutcomeUnknown, "why").into()));
        assert!(is_certain(&Failure::new(ErrorReason::StoreUnavailable, "why").into()));
    }
}
