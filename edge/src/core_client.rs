//! The way to the core: the generated clients over one boxed transport, which is either the core's
//! own routes called in process or connections to one or more cores.

mod connections;

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Uri;

use netrox_proto::v1::{
    attachment_service_client::AttachmentServiceClient, chat_service_client::ChatServiceClient,
    directory_service_client::DirectoryServiceClient,
};
use tonic::{Status, body::Body};
use tonic_health::pb::health_client::HealthClient;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    timeout::{TimeoutLayer, error::Elapsed},
    util::BoxCloneSyncService,
};

use connections::Connections;

/// What the clients call. Its error is a type of its own, since rustc cannot prove a future to be
/// `Send` that converts a boxed one.
type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// From a call to the head of its answer; a stream may live longer.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How an edge reaches the core.
#[derive(Clone)]
pub struct CoreTransport {
    service: Transport,
    in_process: bool,
}

impl std::fmt::Debug for CoreTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreTransport")
            .field("in_process", &self.in_process)
            .finish_non_exhaustive()
    }
}

impl CoreTransport {
    /// Calls a core in this process, without a socket.
    pub fn in_process<S>(routes: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let service = routes.map_err(|never| match never {});
        Self { service: BoxCloneSyncService::new(service), in_process: true }
    }

    /// Calls one or more cores over the network, by `http://HOST:PORT`: those that are connected.
    /// Connects at once, and again whenever a connection breaks. Needs a running Tokio runtime.
    pub fn remote(cores: impl IntoIterator<Item = Uri>) -> Self {
        let connections = Arc::new(Connections::open(cores));
        let service = tower::service_fn(move |request| {
            let connections = Arc::clone(&connections);
            async move { connections.call(request).await }
        });
        Self { service: BoxCloneSyncService::new(service), in_process: false }
    }

    /// Whether the core lives and dies with this process, so that an answer cannot be lost on the way.
    pub(crate) fn is_in_process(&self) -> bool {
        self.in_process
    }
}

/// The generated clients, with the service credential and deadlines.
#[derive(Clone)]
pub(crate) struct CoreClient {
    /// Calls are bounded by [`CALL_DEADLINE`] up to the head of their answer.
    pub(crate) chat: ChatServiceClient<Transport>,
    pub(crate) directory: DirectoryServiceClient<Transport>,
    pub(crate) attachment: AttachmentServiceClient<Transport>,
    pub(crate) health: HealthClient<Transport>,
    /// Without a deadline: an upload is answered when its last byte is stored.
    pub(crate) upload: AttachmentServiceClient<Transport>,
}

impl CoreClient {
    /// `authorization` is the whole header: `Bearer <service token>`.
    pub(crate) fn new(transport: CoreTransport, authorization: http::HeaderValue) -> Self {
        let authorized = transport.service.map_request(move |mut request: http::Request<Body>| {
            request.headers_mut().insert(http::header::AUTHORIZATION, authorization.clone());
            request
        });
        let authorized = BoxCloneSyncService::new(authorized);
        let bounded = ServiceBuilder::new()
            .map_err(deadline_exceeded)
            .layer(TimeoutLayer::new(CALL_DEADLINE))
            .service(authorized.clone());
        let bounded = BoxCloneSyncService::new(bounded);
        Self {
            chat: ChatServiceClient::new(bounded.clone()),
            directory: DirectoryServiceClient::new(bounded.clone()),
            attachment: AttachmentServiceClient::new(bounded.clone()),
            health: HealthClient::new(bounded),
            upload: AttachmentServiceClient::new(authorized),
        }
    }
}

fn deadline_exceeded(error: BoxError) -> Status {
    if error.is::<Elapsed>() {
        return Status::deadline_exceeded("the core did not answer in time");
    }
    Status::from_error(error)
}
