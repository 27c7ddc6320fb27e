//! `AttachmentService`.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use netrox_proto::{
    attachment_path,
    request_id::RequestId,
    time::timestamp,
    v1::{
        self, ErrorReason, Failure, attachment_service_server::AttachmentService,
        upload_attachment_request::Part,
    },
};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    clock,
    command::{Dispatch, parse},
    committer::Committer,
    error::Error,
    media::{Claim, Media, name},
    metrics::{MediaMetrics, Transfer, UnderWay},
    quotas::{QuotaTeller, Quotas},
    request,
    store::{Store, message::ParticipantsRow},
};

pub(crate) mod cleaner;
mod damaged;
mod draft;
mod received;
mod room;

pub(crate) use self::damaged::DamagedFiles;
use self::{
    draft::Draft,
    received::{Received, Start},
};

#[derive(Debug, Clone)]
pub(crate) struct Attachments {
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) media: Media,
    /// Of a core that is alone with its database and its directory of files.
    pub(crate) claim: Option<Arc<Claim>>,
    pub(crate) damaged: DamagedFiles,
    /// One for each of [`MAX_UPLOADS`].
    pub(crate) places: Arc<Semaphore>,
    /// For want of one.
    pub(crate) refused: Counter,
    pub(crate) metrics: MediaMetrics,
    pub(crate) tasks: TaskTracker,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_attachment_bytes: u64,
    pub(crate) quotas: Quotas,
    pub(crate) teller: QuotaTeller,
}

/// Of one part of an upload.
pub(crate) const MAX_CHUNK_BYTES: usize = 256 * 1024;

/// Under way on a core; further ones are refused. What each may hold unread is the window of its stream.
pub(crate) const MAX_UPLOADS: usize = 512;

/// Of a whole upload; half of the age at which its file counts as cut off.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

type Download = BoxStream<'static, Result<v1::DownloadAttachmentResponse, Status>>;

/// What an upload is, once it was received.
enum Upload {
    Whole(Box<(Draft, Start, v1::UploadFinish)>),
    /// An earlier one was stored, and this one is not needed.
    Repeated(Box<v1::UploadAttachmentResponse>),
}

#[tonic::async_trait]
impl AttachmentService for Attachments {
    async fn upload_attachment(
        &self,
        request: Request<Streaming<v1::UploadAttachmentRequest>>,
    ) -> Result<Response<v1::UploadAttachmentResponse>, Status> {
        let mut under_way = Some(self.metrics.upload());
        let uploaded = self.upload(request, &mut under_way).await;
        if let Some(under_way) = under_way {
            under_way.ended(transfer(&uploaded));
        }
        uploaded
    }

    async fn dispatch_attachment(
        &self,
        request: Request<v1::DispatchAttachmentRequest>,
    ) -> Result<Response<v1::DispatchAttachmentResponse>, Status> {
        let dispatch = Dispatch::try_from(request.into_inner())?;
        let dispatched = self.committer.submit(dispatch)?.answer().await?;
        Ok(Response::new(dispatched.into()))
    }

    async fn get_attachment(
        &self,
        request: Request<v1::GetAttachmentRequest>,
    ) -> Result<Response<v1::GetAttachmentResponse>, Status> {
        let v1::GetAttachmentRequest { path, user_id } = request.into_inner();
        let row = self.find(&path, user_id.as_deref()).await?;
        Ok(Response::new(v1::GetAttachmentResponse {
            created: Some(timestamp(row.message.created)),
            attachment: row.message.attachment.into_wire(),
        }))
    }

    type DownloadAttachmentStream = Download;

    async fn download_attachment(
        &self,
        request: Request<v1::DownloadAttachmentRequest>,
    ) -> Result<Response<Self::DownloadAttachmentStream>, Status> {
        let under_way = self.metrics.download();
        let downloaded = self.download(request.into_inner()).await;
        under_way.ended(transfer(&downloaded));
        downloaded
    }
}

async fn next_part(
    parts: &mut Streaming<v1::UploadAttachmentRequest>,
) -> Result<Option<Part>, Status> {
    match parts.message().await? {
        None => Ok(None),
        Some(request) => match request.part {
            None => Err(Error::InvalidField { field: "part", problem: "missing" }.into()),
            part => Ok(part),
        },
    }
}

/// What became of a file.
fn transfer<T>(result: &Result<T, Status>) -> Transfer {
    match result {
        Ok(_) => Transfer::Ok,
        Err(status) => transfer_of(Failure::from(status).reason()),
    }
}

/// What became of one that did not succeed: whether it was refused, or broke off.
fn transfer_of(reason: ErrorReason) -> Transfer {
    match reason {
        ErrorReason::InvalidField
        | ErrorReason::BodyTooLarge
        | ErrorReason::AttachmentTooLarge
        | ErrorReason::ReceiverUnknown
        | ErrorReason::ReceiverIsSender
        | ErrorReason::UserUnknown
        | ErrorReason::UserDeleted
        | ErrorReason::MessageNotFound
        | ErrorReason::AttachmentNotFound
        | ErrorReason::RangeNotSatisfiable
        | ErrorReason::Overloaded
        | ErrorReason::Overtaken
        | ErrorReason::MessageNotAllowed
        | ErrorReason::TooLate
        | ErrorReason::ThreadNotFound
        | ErrorReason::ScopeMissing
        | ErrorReason::RateLimited
        | ErrorReason::StorageQuotaExceeded
        | ErrorReason::TooManyRevocations
        | ErrorReason::TicketUnknown
        | ErrorReason::TicketExpired
        | ErrorReason::NotEnabled => Transfer::Refused,
        ErrorReason::Unspecified
        | ErrorReason::StoreUnavailable
        | ErrorReason::ShuttingDown
        | ErrorReason::OutcomeUnknown
        | ErrorReason::Internal
        | ErrorReason::EpochChanged
        | ErrorReason::HandedBack => Transfer::Failed,
    }
}

/// The bytes wanted, cut at the end of the file.
fn range(size: i64, offset: i64, length: Option<i64>) -> Result<std::ops::Range<u64>, Error> {
    let invalid = |field| Error::InvalidField { field, problem: "negative" };
    let size = u64::try_from(size).map_err(|_| Error::Internal)?;
    let offset = u64::try_from(offset).map_err(|_| invalid("offset"))?;
    let length = match length {
        None => u64::MAX,
        Some(length) => u64::try_from(length).map_err(|_| invalid("length"))?,
    };
    // The whole of an empty file is no bytes; any other range has to begin inside.
    if offset > 0 && offset >= size {
        return Err(Error::RangeNotSatisfiable);
    }
    Ok(offset..offset.saturating_add(length).min(size))
}

impl Attachments {
    async fn download(
        &self,
        request: v1::DownloadAttachmentRequest,
    ) -> Result<Response<Download>, Status> {
        let v1::DownloadAttachmentRequest { path, user_id, offset, length } = request;
        let row = self.find(&path, user_id.as_deref()).await?;
        let size = row.message.attachment.size();
        let range = range(size, offset, length)?;
        if range.is_empty() {
            return Ok(Response::new(futures_util::stream::empty().boxed()));
        }
        let chunks = self.media.read(&path, range).await;
        let damaged = self.damaged.clone();
        let id = RequestId::current();
        let unreadable =
            move |error| request::about(id.as_ref(), || Status::from(damaged.answer(&path, error)));
        let responses = chunks
            .map_err(&unreadable)?
            .map_ok(|chunk| v1::DownloadAttachmentResponse { chunk })
            .map_err(unreadable);
        Ok(Response::new(responses.boxed()))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadAttachmentRequest>>,
        under_way: &mut Option<UnderWay>,
    ) -> Result<Response<v1::UploadAttachmentResponse>, Status> {
        let _place = self.places.try_acquire().map_err(|_| {
            self.refused.inc();
            Error::Overloaded
        })?;
        let mut parts = request.into_inner();
        // A client that says nothing must not hold up the shutdown.
        let upload = tokio::select! {
            received = self.receive(&mut parts) => received?,
            () = self.committer.stopped() => return Err(Error::ShuttingDown.into()),
            // By then the file counts as cut off soon.
            () = tokio::time::sleep(UPLOAD_TIMEOUT) => {
                return Err(Status::deadline_exceeded("the upload took more than an hour"));
            }
        };
        let (draft, start, finish) = match upload {
            Upload::Whole(whole) => *whole,
            Upload::Repeated(response) => return Ok(Response::new(*response)),
        };
        let received = Received::parse(start, finish, self.max_body_bytes)?;
        let users = self.check_users(&received).await?;

        // From here on it is finished even if the caller goes away.
        let (this, under_way) = (self.clone(), under_way.take());
        let finished = self
            .tasks
            .spawn(request::follow(RequestId::current(), async move {
                let finished = this.finish(draft, received, users).await;
                if let Some(under_way) = under_way {
                    let failed = finished.as_ref().err().map(Error::reason);
                    under_way.ended(failed.map_or(Transfer::Ok, transfer_of));
                }
                finished
            }))
            .await
            .unwrap_or(Err(Error::OutcomeUnknown))?;
        Ok(Response::new(finished))
    }

    /// Everything up to the `finish`. Leaving early, also because the caller has gone, drops the draft.
    async fn receive(
        &self,
        parts: &mut Streaming<v1::UploadAttachmentRequest>,
    ) -> Result<Upload, Status> {
        let invalid = |problem| Error::InvalidField { field: "part", problem };
        let Some(Part::Start(start)) = next_part(parts).await? else {
            return Err(invalid("not a start").into());
        };
        let start = Start::try_from(start)?;
        if let Some(response) = self.answered_before(&start).await? {
            return Ok(Upload::Repeated(Box::new(response)));
        }
        let room = self.room(&start).await?;
        let path = name::path(clock::now_micros(), &start.file_name);
        let mut draft = Draft::begin(self, path).await?;
        loop {
            match next_part(parts).await? {
                Some(Part::Chunk(chunk)) => {
                    if chunk.len() > MAX_CHUNK_BYTES {
                        let problem = "longer than 256 KiB";
                        return Err(Error::InvalidField { field: "chunk", problem }.into());
                    }
                    if draft.size() + chunk.len() as u64 > self.max_attachment_bytes {
                        let limit = self.max_attachment_bytes;
                        return Err(Error::AttachmentTooLarge { limit }.into());
                    }
                    room.check(self, &start, draft.size() + chunk.len() as u64)?;
                    draft.write(&chunk).await?;
                }
                Some(Part::Finish(finish)) => {
                    return Ok(Upload::Whole(Box::new((draft, start, finish))));
                }
                Some(Part::Start(_)) => return Err(invalid("a second start").into()),
                None => return Err(invalid("no finish").into()),
            }
        }
    }

    /// The message that carries the file, where the user may know of it.
    async fn find(&self, path: &str, user_id: Option<&str>) -> Result<ParticipantsRow, Error> {
        let user = user_id.map(|id| parse::user_id("user_id", id)).transpose()?;
        if !attachment_path::is_valid(path) {
            return Err(Error::AttachmentNotFound);
        }
        let row = self
            .store
            .find_attachment(path)
            .await?
            .filter(|row| !row.message.deleted)
            .filter(|row| user.is_none_or(|user| row.is_known_to(user)))
            .ok_or(Error::AttachmentNotFound)?;
        match user {
            Some(user) if self.store.is_deleted(user).await? => Err(Error::UserDeleted),
            _ => Ok(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told_from_what_broke_off() {
        let failed = |error: Error| transfer(&Err::<(), _>(Status::from(error)));
        assert_eq!(transfer(&Ok(())), Transfer::Ok);
        assert_eq!(failed(Error::AttachmentTooLarge { limit: 7 }), Transfer::Refused);
        assert_eq!(failed(Error::Overloaded), Transfer::Refused);
        assert_eq!(failed(Error::StoreUnavailable), Transfer::Failed);
        // Of the transport: its caller went away.
        assert_eq!(transfer(&Err::<(), _>(Status::cancelled("gone"))), Transfer::Failed);
    }

    #[test]
    fn a_range_is_cut_at_the_end_and_begins_inside() {
        assert_eq!(range(10, 0, None).expect("all"), 0..10);
        assert_eq!(range(10, 3, Some(4)).expect("inside"), 3..7);
        assert_eq!(range(10, 9, Some(i64::MAX)).expect("cut"), 9..10);
        assert_eq!(range(0, 0, None).expect("empty"), 0..0);
        assert!(matches!(range(10, 10, None), Err(Error::RangeNotSatisfiable)));
        assert!(matches!(range(10, -1, None), Err(Error::InvalidField { field: "offset", .. })));
        assert!(matches!(range(10, 0, Some(-1)), Err(Error::InvalidField { field: "length", .. })));
    }
}
