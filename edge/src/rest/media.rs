//! `GET /mediafiles/attachments/…`: the bytes of an attachment (PROTOCOL section 4).

mod contents;
mod version;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use headers::{AcceptRanges, ContentLength, ContentRange, HeaderMapExt};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use netrox_proto::{
    attachment_path,
    ids::UserId,
    time,
    v1::{Attachment, DownloadAttachmentRequest, ErrorReason, Failure, GetAttachmentRequest},
};
use tonic::{Code, Status};

use self::{contents::Contents, version::Version};
use super::{
    disposition, listing,
    range::{self, Selection},
};
use crate::{
    auth::query_token,
    config::MediaAccess,
    edge::Edge,
    error::PublicError,
    limits::{Download, NoDownload},
    strangers::{Occupied, Visitor},
    ticket::{self, Ticket},
    wire::v1::MEDIA_PREFIX,
    written::Written,
};

pub(super) async fn download(
    State(edge): State<Edge>,
    request: Request,
) -> Result<Response, PublicError> {
    let path = core_path(request.uri().path()).ok_or_else(PublicError::not_found)?;
    let (headers, query) = (request.headers(), request.uri().query());
    let signature = signature(headers, query, edge.shared.config.media_access);
    let reader = match &signature {
        Some(signature) => Some(holder(&edge, signature, path).await?),
        None => reader(&edge, headers, query, request.extensions()).await?,
    };
    // Of whoever holds a link nothing is known.
    let known = reader.filter(|_| signature.is_none());
    if known.is_some() {
        Visitor::become_known(request.extensions());
    }
    let user_id = reader.map(|user_id| user_id.to_string());

    let lookup = GetAttachmentRequest { path: path.to_owned(), user_id: user_id.clone() };
    let found = edge.shared.core.lookups.clone().get_attachment(lookup).await;
    let found = found.map_err(|status| refusal(&status))?.into_inner();
    let attachment =
        found.attachment.ok_or_else(|| PublicError::internal("an attachment without data"))?;
    let created = found.created.as_ref().map(time::micros).unwrap_or_default();
    let version = Version::new(path, created).map_err(PublicError::internal)?;
    let size = u64::try_from(attachment.size).map_err(PublicError::internal)?;

    if !version.is_wanted(request.headers()) {
        return Err(PublicError::precondition_failed());
    }
    let mut headers = file_headers(&attachment, &version, reader.is_none());
    if version.is_current(request.headers()) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let is_get = request.method() == Method::GET;
    // A range has no meaning for other methods (RFC 9110 section 14.2).
    let wanted = request.headers().get(header::RANGE).filter(|_| is_get);
    let wanted = wanted.filter(|_| version.may_be_continued(request.headers()));
    let (status, first, length) = match range::select(wanted, size) {
        Selection::Whole => (StatusCode::OK, 0, size),
        Selection::Part { first, last } => {
            let content_range = ContentRange::bytes(first..=last, size);
            headers.typed_insert(content_range.map_err(PublicError::internal)?);
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Selection::Unsatisfiable => {
            let mut response = PublicError::range_not_satisfiable().into_response();
            response.headers_mut().typed_insert(ContentRange::unsatisfied_bytes(size));
            return Ok(response);
        }
    };
    headers.typed_insert(ContentLength(length));
    if length == 0 {
        return Ok((status, headers).into_response());
    }
    let pace = Visitor::pace(request.extensions());
    let address = Visitor::address(request.extensions());
    let download = edge.shared.limiter.downloads.begin(known, address, pace).await;
    let download = download.map_err(|refused| match refused {
        NoDownload::OfTheirs => PublicError::too_many_requests(),
        NoDownload::OfAll => PublicError::unavailable(),
    })?;
    // Who holds the path was given it; from here on it is a download that counts.
    let occupied = Visitor::is_occupied(request.extensions());
    // Without a body its last byte tells whether all of it is there.
    let (first, length) = if is_get { (first, length) } else { (size - 1, 1) };
    let wanted = DownloadAttachmentRequest {
        path: path.to_owned(),
        user_id,
        offset: i64::try_from(first).map_err(PublicError::internal)?,
        length: Some(i64::try_from(length).map_err(PublicError::internal)?),
    };
    let body =
        contents(&edge, wanted, (download, occupied, Visitor::written(request.extensions())))
            .await?;
    let body = if is_get { body } else { Body::empty() };
    Ok((status, headers, body).into_response())
}

/// That of an expiring link. Where it counts who reads, an `Authorization` header counts before it.
fn signature(headers: &HeaderMap, query: Option<&str>, access: MediaAccess) -> Option<Ticket> {
    if access == MediaAccess::Participants && headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    let signature = query?.split('&').find_map(|pair| pair.strip_prefix("signature="))?;
    // Other parameters change nothing, whatever they are called.
    Ticket::is_well_formed(signature).then(|| Ticket(signature.to_owned()))
}

/// For whom a link was made, by whoever holds it. To who holds one that is not good any more there is nothing here.
async fn holder(edge: &Edge, signature: &Ticket, path: &str) -> Result<UserId, PublicError> {
    let shared = &edge.shared;
    let redeemed = ticket::redeem_link(&shared.core, signature, path).await;
    let identity = redeemed.map_err(|status| {
        // A core of the last version, while others are upgraded.
        let is_unknown = status.code() == Code::Unimplemented;
        if is_unknown { PublicError::unavailable() } else { refusal(&status) }
    })?;
    let patience = edge.patience(&Method::GET);
    let revocations = shared.authenticator.revocations();
    match revocations.check(identity.user_id, &identity.token, patience).await {
        Ok(()) => Ok(identity.user_id),
        Err(refused) if refused.is_temporary() => Err(PublicError::unavailable()),
        Err(_) => Err(PublicError::not_found()),
    }
}

/// Who reads, where that counts. To anyone without a good token there is nothing here.
async fn reader(
    edge: &Edge,
    headers: &HeaderMap,
    query: Option<&str>,
    request: &Extensions,
) -> Result<Option<UserId>, PublicError> {
    if edge.shared.config.media_access == MediaAccess::Capability {
        return Ok(None);
    }
    let token = query_token(query);
    match edge.identify(headers, token.as_deref(), request, edge.patience(&Method::GET)).await {
        Ok(identity) => Ok(Some(identity.user_id)),
        Err(refused) if refused.is_unauthenticated() => Err(PublicError::not_found()),
        Err(refused) => Err(refused),
    }
}

fn refusal(status: &Status) -> PublicError {
    use ErrorReason as R;
    let failure = Failure::from(status);
    match failure.reason() {
        // As to anyone without a good token.
        R::AttachmentNotFound
        | R::InvalidField
        | R::UserDeleted
        | R::TicketUnknown
        | R::TicketExpired => PublicError::not_found(),
        R::Unspecified
        | R::BodyTooLarge
        | R::AttachmentTooLarge
        | R::ReceiverUnknown
        | R::ReceiverIsSender
        | R::UserUnknown
        | R::MessageNotFound
        | R::RangeNotSatisfiable
        | R::Overloaded
        | R::StoreUnavailable
        | R::HandedBack
        | R::ShuttingDown
        | R::EpochChanged
        | R::OutcomeUnknown
        | R::Overtaken
        | R::MessageNotAllowed
        | R::TooLate
        | R::ThreadNotFound
        | R::ScopeMissing
        | R::RateLimited
        | R::StorageQuotaExceeded
        | R::TooManyRevocations
        | R::NotEnabled
        | R::Internal => failure.into(),
    }
}

/// The bytes asked for. The first piece is awaited, so that a refusal can still be the answer; if
/// the stream breaks later the body ends with an error, short of its `Content-Length`.
async fn contents(
    edge: &Edge,
    wanted: DownloadAttachmentRequest,
    (download, occupied, written): (Download, Option<Occupied>, Option<Arc<Written>>),
) -> Result<Body, PublicError> {
    let pieces = edge.shared.core.downloads.clone().download_attachment(wanted.clone()).await;
    let mut pieces = pieces.map_err(|status| refusal(&status))?.into_inner();
    let first = listing::next(&mut pieces).await.map_err(|status| refusal(&status))?;
    let first = first.ok_or_else(|| PublicError::internal("a file without its bytes"))?;
    let contents = Contents::new(edge, wanted, pieces, download, (occupied, written));
    Ok(contents.body(first.chunk))
}

/// The core's path in that of a request, where it has the one spelling of one.
fn core_path(path: &str) -> Option<&str> {
    path.strip_prefix(MEDIA_PREFIX).filter(|path| attachment_path::is_valid(path))
}

const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Another user of the same browser, or one who may not read it any more, is not to have it of the cache.
const ASKED_EACH_TIME: HeaderValue = HeaderValue::from_static("private, no-cache");
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; object-src 'self'; style-src 'unsafe-inline'",
);
/// Without scripts, too, but of its own origin: the document that a browser makes of audio or video loads the same URL
/// again, which an opaque origin may not.
const SANDBOX_OF_PLAYERS: HeaderValue = HeaderValue::from_static(
    "sandbox allow-same-origin; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
);
const FILE_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// The headers of 200, 206 and 304 alike. `for_all` where whoever holds the path may read.
fn file_headers(attachment: &Attachment, version: &Version, for_all: bool) -> HeaderMap {
    let mut headers = HeaderMap::from_iter(FILE_HEADERS);
    if for_all {
        headers.insert(header::CACHE_CONTROL, FOR_EVER);
    } else {
        headers.insert(header::CACHE_CONTROL, ASKED_EACH_TIME);
        headers.insert(header::VARY, HeaderValue::from_name(header::AUTHORIZATION));
    }
    let is_played = is_played(&attachment.content_type);
    let policy = if is_played { SANDBOX_OF_PLAYERS } else { SANDBOX };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let content_type = HeaderValue::from_str(&attachment.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, content_type);
    let kind = if is_shown_inline(&attachment.content_type) { "inline" } else { "attachment" };
    let disposition = disposition::download(kind, &attachment.file_name);
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.typed_insert(version.etag.clone());
    headers.typed_insert(version.modified);
    headers.typed_insert(AcceptRanges::bytes());
    headers
}

/// Plain raster images, audio, video and PDF: what a browser shows without running it.
fn is_shown_inline(content_type: &str) -> bool {
    const RASTER_IMAGES: [&str; 10] = [
        "image/apng",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/heic",
        "image/heif",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "image/webp",
    ];
    is_played(content_type)
        || content_type == "application/pdf"
        || RASTER_IMAGES.contains(&content_type)
}

fn is_played(content_type: &str) -> bool {
    content_type.starts_with("audio/") || content_type.starts_with("video/")
}

#[cfg(test)]
mod tests;
