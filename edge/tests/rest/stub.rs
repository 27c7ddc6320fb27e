//! A core that answers what a test tells it to, and remembers what it was asked.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt, stream};
use netrox_proto::v1::{
    attachment_service_server::{AttachmentService, AttachmentServiceServer},
    chat_service_server::{ChatService, ChatServiceServer},
    directory_service_server::{DirectoryService, DirectoryServiceServer},
    upload_attachment_request::Part,
    *,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming, service::Routes};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Respond<Q, A> = Arc<dyn Fn(Q) -> Result<Answers<A>, Status> + Send + Sync>;

type EnsureUser = Arc<dyn Fn(&UserChange) -> Result<(), Failure> + Send + Sync>;

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

pub(crate) struct State {
    pub(crate) list_messages: Respond<ListMessagesRequest, ListMessagesResponse>,
    pub(crate) list_threads: Respond<ListThreadsRequest, ListThreadsResponse>,
    pub(crate) ensure_user: EnsureUser,
    pub(crate) ensured: Vec<UserChange>,
    pub(crate) upload_failure: Option<Failure>,
    /// What an upload ends with after its last part.
    pub(crate) upload_end: Option<Status>,
    pub(crate) files: HashMap<String, StoredFile>,
    pub(crate) is_healthy: bool,
    /// What lists were asked for with.
    pub(crate) request_ids: Vec<String>,
    /// After how many bytes a download breaks off.
    pub(crate) break_downloads_after: Option<usize>,
}

#[derive(Clone)]
pub(crate) struct StubCore {
    state: Arc<Mutex<State>>,
    pub(crate) uploads: watch::Sender<Vec<Upload>>,
}

impl Default for StubCore {
    fn default() -> Self {
        let state = State {
            list_messages: Arc::new(|_| Ok(answers([ListMessagesResponse::default()]))),
            list_threads: Arc::new(|_| Ok(answers([]))),
            ensure_user: Arc::new(|_| Ok(())),
            ensured: Vec::new(),
            upload_failure: None,
            upload_end: None,
            files: HashMap::new(),
            is_healthy: true,
            request_ids: Vec::new(),
            break_downloads_after: None,
        };
        Self { state: Arc::new(Mutex::new(state)), uploads: watch::Sender::default() }
    }
}

pub(crate) fn answers<T: Send + 'static>(
    items: impl IntoIterator<Item = T, IntoIter: Send + 'static>,
) -> Answers<T> {
    Box::pin(stream::iter(items.into_iter().map(Ok)))
}

pub(crate) fn user(id: &str) -> User {
    User { id: id.to_owned(), email: format!("{}@example.com", &id[..4]), profile_json: None }
}

impl StubCore {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::new(ChatServiceServer::new(self.clone()))
            .add_service(DirectoryServiceServer::new(self.clone()))
            .add_service(AttachmentServiceServer::new(self.clone()))
            .add_service(tonic_health::pb::health_server::HealthServer::new(self.clone()))
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut Upload)) {
        self.uploads.send_modify(|uploads| change(&mut uploads[index]));
    }
}

#[tonic::async_trait]
impl ChatService for StubCore {
    async fn send_message(
        &self,
        _: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        Err(Status::unimplemented("stub"))
    }

    type SendMessagesStream = Answers<SendMessagesResponse>;

    async fn send_messages(
        &self,
        _: Request<Streaming<SendMessagesRequest>>,
    ) -> Result<Response<Self::SendMessagesStream>, Status> {
        // Open, as an edge that is ready needs it; nothing is sent over it here.
        Ok(Response::new(Box::pin(stream::pending())))
    }

    async fn get_message(
        &self,
        _: Request<GetMessageRequest>,
    ) -> Result<Response<GetMessageResponse>, Status> {
        Err(Status::unimplemented("stub"))
    }

    type ListMessagesStream = Answers<ListMessagesResponse>;

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<Self::ListMessagesStream>, Status> {
        let id = request.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
        self.state().request_ids.extend(id.map(str::to_owned));
        let respond = Arc::clone(&self.state().list_messages);
        respond(request.into_inner()).map(Response::new)
    }

    type ListThreadsStream = Answers<ListThreadsResponse>;

    async fn list_threads(
        &self,
        request: Request<ListThreadsRequest>,
    ) -> Result<Response<Self::ListThreadsStream>, Status> {
        let respond = Arc::clone(&self.state().list_threads);
        respond(request.into_inner()).map(Response::new)
    }

    type SubscribeStream = Answers<SubscribeResponse>;

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("stub"))
    }
}

#[tonic::async_trait]
impl DirectoryService for StubCore {
    async fn upsert_users(
        &self,
        _: Request<UpsertUsersRequest>,
    ) -> Result<Response<UpsertUsersResponse>, Status> {
        Err(Status::unimplemented("stub"))
    }

    async fn ensure_user(
        &self,
        request: Request<EnsureUserRequest>,
    ) -> Result<Response<EnsureUserResponse>, Status> {
        assert_eq!(
            request.metadata().get("authorization").expect("a credential"),
            "Bearer service"
        );
        let change = request.into_inner().user.expect("a user");
        let mut state = self.state();
        state.ensured.push(change.clone());
        (state.ensure_user)(&change)?;
        Ok(Response::new(EnsureUserResponse { user: Some(user(&change.id)) }))
    }

    async fn get_users(
        &self,
        _: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        Err(Status::unimplemented("stub"))
    }

    async fn delete_user(
        &self,
        _: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        Err(Status::unimplemented("stub"))
    }
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
        let mut index = 0;
        self.uploads.send_modify(|uploads| {
            index = uploads.len();
            uploads.push(Upload::default());
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
        let upload = self.uploads.borrow()[index].clone();
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
            body: finish.body,
            created,
            updated: created,
            seen: false,
            deleted: false,
            attachment: Some(Attachment {
                path: "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg".into(),
                file_name: start.file_name,
                size: i64::try_from(upload.content.len()).expect("a size"),
                content_type: "application/octet-stream".into(),
                dispatched: None,
            }),
        };
        let users = vec![user(&start.sender_id), user(&finish.receiver_id)];
        Ok(Response::new(UploadAttachmentResponse { message: Some(message), users }))
    }

    async fn dispatch_attachment(
        &self,
        _: Request<DispatchAttachmentRequest>,
    ) -> Result<Response<DispatchAttachmentResponse>, Status> {
        Err(Status::unimplemented("stub"))
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

    type DownloadAttachmentStream = Answers<DownloadAttachmentResponse>;

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
    fn file(&self, path: &str, user_id: Option<&str>) -> Result<StoredFile, Status> {
        let file = self.state().files.get(path).cloned();
        file.filter(|file| user_id.is_none_or(|user| file.participants.iter().any(|id| id == user)))
            .ok_or_else(|| {
                Failure::new(ErrorReason::AttachmentNotFound, "no such attachment").into()
            })
    }
}

#[tonic::async_trait]
impl tonic_health::pb::health_server::Health for StubCore {
    async fn check(
        &self,
        _: Request<tonic_health::pb::HealthCheckRequest>,
    ) -> Result<Response<tonic_health::pb::HealthCheckResponse>, Status> {
        use tonic_health::pb::health_check_response::ServingStatus;
        let status = if self.state().is_healthy {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(Response::new(tonic_health::pb::HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Answers<tonic_health::pb::HealthCheckResponse>;

    async fn watch(
        &self,
        _: Request<tonic_health::pb::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("stub"))
    }
}
