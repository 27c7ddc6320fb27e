//! A core that runs on its own, and what a service does with it.

use std::{net::SocketAddr, path::PathBuf};

use netrox_harness::{
    Arrangement, Builder, PATIENCE, Role, TestChat, grpc, process::Signal, settings::SERVICE_TOKEN,
    within,
};
use netrox_proto::v1::{
    DeleteUserRequest, DeleteUserResponse, GetMessageRequest, ListMessagesRequest,
    ListThreadsRequest, Message, SendMessageRequest, SendMessageResponse, Thread,
    UpsertUsersRequest, UserChange, admin_service_client::AdminServiceClient,
    attachment_service_client::AttachmentServiceClient, chat_service_client::ChatServiceClient,
    directory_service_client::DirectoryServiceClient, session_service_client::SessionServiceClient,
};
use prost_types::Timestamp;
use tonic::{
    Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::STORE;

/// One connection to a core, with the service credential.
#[derive(Debug, Clone)]
pub(crate) struct Connection(InterceptedService<Channel, grpc::Credential>);

impl Connection {
    /// What the generated clients call.
    pub(crate) fn service(&self) -> InterceptedService<Channel, grpc::Credential> {
        self.0.clone()
    }

    pub(crate) fn chat(&self) -> ChatServiceClient<InterceptedService<Channel, grpc::Credential>> {
        ChatServiceClient::new(self.0.clone())
    }

    pub(crate) fn directory(
        &self,
    ) -> DirectoryServiceClient<InterceptedService<Channel, grpc::Credential>> {
        DirectoryServiceClient::new(self.0.clone())
    }

    pub(crate) fn sessions(
        &self,
    ) -> SessionServiceClient<InterceptedService<Channel, grpc::Credential>> {
        SessionServiceClient::new(self.0.clone())
    }

    pub(crate) fn admin(
        &self,
    ) -> AdminServiceClient<InterceptedService<Channel, grpc::Credential>> {
        AdminServiceClient::new(self.0.clone())
    }

    pub(crate) fn attachment(
        &self,
    ) -> AttachmentServiceClient<InterceptedService<Channel, grpc::Credential>> {
        AttachmentServiceClient::new(self.0.clone())
    }

    /// New users of the directory.
    pub(crate) async fn users<const N: usize>(&self) -> [String; N] {
        let ids = std::array::from_fn(|_| Uuid::new_v4().to_string());
        self.upsert(&ids).await;
        ids
    }

    pub(crate) async fn upsert(&self, ids: &[String]) {
        let users = ids.iter().map(|id| UserChange { id: id.clone(), ..Default::default() });
        let request = UpsertUsersRequest { users: users.collect() };
        self.directory().upsert_users(request).await.expect("upserted");
    }

    pub(crate) async fn delete_user(&self, id: &str) -> Result<DeleteUserResponse, Status> {
        let request = DeleteUserRequest { user_id: id.into(), erase_messages: false };
        self.directory().delete_user(request).await.map(Response::into_inner)
    }

    pub(crate) async fn send(
        &self,
        sender: &str,
        receiver: &str,
        body: &str,
    ) -> Result<SendMessageResponse, Status> {
        let request = text(sender, receiver, body);
        self.chat().send_message(request).await.map(Response::into_inner)
    }

    pub(crate) async fn message(&self, user: &str, message_id: i64) -> Result<Message, Status> {
        let request = GetMessageRequest { user_id: user.into(), message_id };
        let answer = self.chat().get_message(request).await?.into_inner();
        Ok(answer.message.expect("a message"))
    }

    /// The whole conversation, oldest first.
    pub(crate) async fn history(&self, user: &str, peer: &str) -> Result<Vec<Message>, Status> {
        self.list(ListMessagesRequest {
            user_id: user.into(),
            peer_id: peer.into(),
            ..Default::default()
        })
        .await
    }

    pub(crate) async fn list(&self, request: ListMessagesRequest) -> Result<Vec<Message>, Status> {
        let pages = collect(self.chat().list_messages(request).await?.into_inner()).await?;
        assert!(!pages.is_empty(), "the first response always comes");
        assert!(pages[1..].iter().all(|page| page.users.is_empty()), "users come once");
        Ok(pages.into_iter().flat_map(|page| page.messages).collect())
    }

    pub(crate) async fn threads(&self, user: &str) -> Result<Vec<Thread>, Status> {
        let request = ListThreadsRequest { user_id: user.into(), ..Default::default() };
        let pages = collect(self.chat().list_threads(request).await?.into_inner()).await?;
        Ok(pages.into_iter().flat_map(|page| page.threads).collect())
    }
}

/// A running core with a data directory of its own.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) process: TestChat,
    connection: Connection,
}

impl std::ops::Deref for Core {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Core {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a core with these settings: flags without their dashes.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let builder = Self::builder();
        let builder = settings.iter().fold(builder, |all, (flag, value)| all.set(flag, *value));
        Self::launch(builder).await
    }

    pub(crate) fn builder() -> Builder {
        TestChat::builder(Arrangement::Split).edges(0).store(STORE)
    }

    pub(crate) async fn launch(builder: Builder) -> Self {
        let process = builder.start().await;
        let connection = authorized(connect(&process).await);
        Self { process, connection }
    }

    /// A connection beside the one that the core's own methods use.
    pub(crate) async fn connect(&self) -> Connection {
        authorized(self.channel().await)
    }

    /// A connection without a credential.
    pub(crate) async fn channel(&self) -> Channel {
        connect(&self.process).await
    }

    pub(crate) fn address(&self) -> String {
        self.process.grpc_address().to_string()
    }

    /// SIGKILL, and a new process on the same data.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.process.restart(Role::Core(0)).await;
        self.connection = authorized(connect(&self.process).await);
    }

    /// A new process on the data of one that has ended.
    pub(crate) async fn start_again(&mut self) {
        self.process.spawn(Role::Core(0)).await;
        self.connection = authorized(connect(&self.process).await);
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) {
        self.process.process(Role::Core(0)).signal(Signal::TERM);
    }

    /// The exit code of a core that ends.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.process.ended(Role::Core(0)).await.code()
    }

    pub(crate) fn log_contains(&self, text: &str) -> bool {
        self.process.log(Role::Core(0)).contains(text)
    }

    /// Waits until that many attachments are left.
    pub(crate) async fn keeps_files(&self, count: usize) {
        self.process.keeps_files(count).await;
    }

    /// Every file below the data directory.
    pub(crate) fn data_files(&self) -> Vec<PathBuf> {
        files_below(self.process.data_dir())
    }
}

fn files_below(directory: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

async fn connect(process: &TestChat) -> Channel {
    connect_to(process.grpc_address()).await
}

pub(crate) async fn connect_to(address: SocketAddr) -> Channel {
    let uri = format!("http://{address}");
    let endpoint = Endpoint::from_shared(uri).expect("a URI").timeout(PATIENCE);
    within("a connection to the core", endpoint.connect()).await.expect("connect to the core")
}

pub(crate) fn authorized(channel: Channel) -> Connection {
    authorized_by(channel, SERVICE_TOKEN)
}

pub(crate) fn authorized_by(channel: Channel, token: &str) -> Connection {
    Connection(InterceptedService::new(channel, grpc::Credential::new(token)))
}

/// A text message without a reference.
pub(crate) fn text(sender: &str, receiver: &str, body: &str) -> SendMessageRequest {
    SendMessageRequest {
        sender_id: sender.into(),
        receiver_id: receiver.into(),
        body: body.into(),
        client_ref: None,
        ..Default::default()
    }
}

/// Everything that a stream has to say; an error of its end is an error of all.
pub(crate) async fn collect<T>(mut stream: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut all = Vec::new();
    while let Some(response) = within("the rest of a stream", stream.message()).await? {
        all.push(response);
    }
    Ok(all)
}

/// Microseconds since the epoch.
pub(crate) fn micros(at: &Timestamp) -> i64 {
    at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000
}
