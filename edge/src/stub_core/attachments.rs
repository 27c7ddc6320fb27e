//! Files.

use futures_util::{StreamExt, stream};
use netrox_proto::v1::{
    Attachment, DispatchAttachmentRequest, DispatchAttachmentResponse, DownloadAttachmentRequest,
    DownloadAttachmentResponse, ErrorReason, Failure, GetAttachmentRequest, GetAttachmentResponse,
    Message, UploadAttachmentRequest, UploadAttachmentResponse, UploadFinish, UploadStart, User,
    attachment_service_server::AttachmentService, upload_attachment_request::Part,
};
use tonic::{Request, Response, Status, Streaming};

use super::{BoxStream, StubCore};

/// One upload as far as it came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Upload {
    pub(crate) start: Option<UploadStart>,
    pub(crate) content: Vec<u8>,
    pub(crate) largest_chunk: usize,
    pub(crate) finish: Option<UploadFinish>,
    /// The stream ended or was cancelled.
    pub(crate) is_over: bool,
}

#[derive(Clone)]
pub(crate) struct StoredFile {
    pub(crate) attachment: Attachment,
    pub(crate) created: prost_types::Timestamp,
    pub(crate) content: Vec<u8>,
    pub(crate) participants: Vec<String>,
}

/// Notes the end of an upload, also where the call is cancelled.
struct UploadEnd(StubCore, usize);

impl Drop for UploadEnd {
    fn drop(&mut self) {
        self.0.note(self.1, |upload| upload.is_over = true);
    }
}

#[tonic::async_trait]
impl AttachmentService for StubCore {
    async fn upload_attachment(
        &self,
        request: Request<Streaming<UploadAttachmentRequest>>,
    ) -> Result<Response<UploadAttachmentResponse>, Status> {
        if let Some(failure) = self.state().upload_failure.clone() {
            return Err(failure.into());
        }
        let index = self.change(|state| {
            state.uploads.push(Upload::default());
            state.uploads.len() - 1
        });
        let _end = UploadEnd(self.clone(), index);
        let mut parts = request.into_inner();
        while let Some(request) = parts.message().await? {
            self.note(index, |upload| match request.part.expect("a part") {
                Part::Start(start) => upload.start = Some(start),
                Part::Chunk(chunk) => {
                    upload.largest_chunk = upload.largest_chunk.max(chunk.len());
                    upload.content.extend_from_slice(&chunk);
                }
                Part::Finish(finish) => upload.finish = Some(finish),
            });
        }
        let upload = self.state().uploads[index].clone();
        let (Some(start), Some(finish)) = (upload.start, upload.finish) else {
            return Err(Failure::invalid_field("part", "no finish").into());
        };
        if let Some(end) = self.state().upload_end.clone() {
            return Err(end);
        }
        let created = Some(netrox_proto::time::timestamp(1_718_630_092_773_727));
        let message = Message {
            id: 35,
            thread_id: 1,
            sender_id: start.sender_id.clone(),
            receiver_id: finish.receiver_id.clone(),
            body: finish.body.clone(),
            created,
            updated: created,
            seen: false,
            deleted: false,
            attachment: Some(Box::new(Attachment {
                path: "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg".into(),
                file_name: start.file_name.clone(),
                size: i64::try_from(upload.content.len()).expect("a size"),
                content_type: "application/octet-stream".into(),
                dispatched: None,
            })),
            ..Default::default()
        };
        let message = if start.from_client {
            self.change(|state| state.second.uploaded(&start, &finish, message))
        } else {
            message
        };
        let users = [&start.sender_id, &finish.receiver_id]
            .map(|id| User { id: id.clone(), ..User::default() });
        Ok(Response::new(UploadAttachmentResponse {
            message: Some(message),
            users: users.into(),
            ..Default::default()
        }))
    }

    async fn dispatch_attachment(
        &self,
        request: Request<DispatchAttachmentRequest>,
    ) -> Result<Response<DispatchAttachmentResponse>, Status> {
        self.change(|state| state.second.dispatch(&request.into_inner())).map(Response::new)
    }

    async fn get_attachment(
        &self,
        request: Request<GetAttachmentRequest>,
    ) -> Result<Response<GetAttachmentResponse>, Status> {
        let GetAttachmentRequest { path, user_id } = request.into_inner();
        let file = self.file(&path, user_id.as_deref())?;
        let (attachment, created) = (Some(file.attachment), Some(file.created));
        Ok(Response::new(GetAttachmentResponse { attachment, created }))
    }

    type DownloadAttachmentStream = BoxStream<DownloadAttachmentResponse>;

    async fn download_attachment(
        &self,
        request: Request<DownloadAttachmentRequest>,
    ) -> Result<Response<Self::DownloadAttachmentStream>, Status> {
        let request = request.into_inner();
        let file = self.file(&request.path, request.user_id.as_deref())?;
        let first = usize::try_from(request.offset).expect("an offset");
        let length = usize::try_from(request.length.expect("a length")).expect("a length");
        let content = file.content[first..first + length].to_vec();
        let broken = self.state().break_downloads_after;
        let whole = broken.map_or(content.len(), |bytes| bytes.min(content.len()));
        let chunks: Vec<_> = content[..whole]
            .chunks(65_536)
            .map(|chunk| Ok(DownloadAttachmentResponse { chunk: chunk.to_vec().into() }))
            .collect();
        let end = broken.map(|_| Err(Status::unavailable("the store went away")));
        Ok(Response::new(Box::pin(stream::iter(chunks).chain(stream::iter(end)))))
    }
}

impl StubCore {
    fn note(&self, index: usize, change: impl FnOnce(&mut Upload)) {
        self.change(|state| change(&mut state.uploads[index]));
    }

    pub(super) fn file(&self, path: &str, user_id: Option<&str>) -> Result<StoredFile, Status> {
        let file = self.state().files.get(path).cloned();
        file.filter(|file| user_id.is_none_or(|user| file.participants.iter().any(|id| id == user)))
            .ok_or_else(|| {
                Failure::new(ErrorReason::AttachmentNotFound, "no such attachment").into()
            })
    }
}
