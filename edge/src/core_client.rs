//! The way to the core: the generated clients over boxed transports, which are either the core's own
//! routes called in process or links to one or more cores, each of connections of its own: what bulk or
//! strangers do to theirs is nothing to those of chat.

mod connections;
mod examine;
mod reach;

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::Uri;

use netrox_proto::{
    request_id::{REQUEST_ID, RequestId},
    v1::{
        attachment_service_client::AttachmentServiceClient, chat_service_client::ChatServiceClient,
        directory_service_client::DirectoryServiceClient,
        session_service_client::SessionServiceClient,
    },
};
use netrox_tls::ClientTls;
use tonic::{Status, body::Body};
use tonic_health::pb::health_client::HealthClient;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    timeout::{TimeoutLayer, error::Elapsed},
    util::BoxCloneSyncService,
};

use connections::{Connections, Count, Link, Manner};
pub(crate) use examine::examine;
use reach::Reach;
pub(crate) use reach::Trouble;

use crate::trace;

/// What the clients call. Its error is a type of its own, since rustc cannot prove a future to be
/// `Send` that converts a boxed one.
type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// From a call to the head of its answer; a stream may live longer.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How an edge reaches the core.
#[derive(Clone)]
pub struct CoreTransport(Way);

#[derive(Clone)]
enum Way {
    InProcess(Transport),
    Remote(Vec<Uri>, Option<ClientTls>),
}

impl std::fmt::Debug for CoreTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreTransport")
            .field("in_process", &self.is_in_process())
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
        Self(Way::InProcess(BoxCloneSyncService::new(service)))
    }

    /// Calls one or more cores over the network, by `http://HOST:PORT` or `https://HOST:PORT`: those that are connected.
    /// An edge connects at once, and again whenever a connection breaks. Without `tls` those by `https` are never reached.
    pub fn remote(cores: impl IntoIterator<Item = Uri>, tls: Option<ClientTls>) -> Self {
        Self(Way::Remote(cores.into_iter().collect(), tls))
    }

    /// Whether the core lives and dies with this process, so that an answer cannot be lost on the way.
    pub(crate) fn is_in_process(&self) -> bool {
        matches!(self.0, Way::InProcess(_))
    }

    /// What calls of one kind take. Those of chat stand at once, others from the first call that needs them.
    fn open(
        &self,
        link: Link,
        authorization: &http::HeaderValue,
        reach: &Arc<Reach>,
        chat: &Count,
    ) -> Transport {
        let (cores, tls) = match &self.0 {
            Way::InProcess(service) => return service.clone(),
            Way::Remote(cores, tls) => (cores.clone(), tls.clone()),
        };
        let connections = Arc::new(OnceLock::new());
        let (authorization, reach, chat) =
            (authorization.clone(), Arc::clone(reach), Arc::clone(chat));
        let open = move || {
            let (reach, chat) = (Arc::clone(&reach), Arc::clone(&chat));
            let manner = Manner { link, authorization: authorization.clone(), tls: tls.clone() };
            Connections::open(cores.clone(), manner, reach, chat)
        };
        if link == Link::Chat {
            connections.get_or_init(&open);
        }
        let service = tower::service_fn(move |request| {
            let connections = Arc::clone(&connections);
            connections.get_or_init(&open);
            async move {
                match connections.get() {
                    Some(connections) => connections.call(request).await,
                    None => Err(Status::internal("a link that was not opened")),
                }
            }
        });
        BoxCloneSyncService::new(service)
    }
}

/// The generated clients, with the service credential and deadlines: calls are bounded by [`CALL_DEADLINE`] up to
/// the head of their answer.
#[derive(Clone)]
pub(crate) struct CoreClient {
    pub(crate) chat: ChatServiceClient<Transport>,
    /// Of files what takes no time.
    pub(crate) attachments: AttachmentServiceClient<Transport>,
    pub(crate) directory: DirectoryServiceClient<Transport>,
    pub(crate) health: HealthClient<Transport>,
    pub(crate) sessions: SessionServiceClient<Transport>,
    /// Histories and thread lists, which their readers pace.
    pub(crate) lists: ChatServiceClient<Transport>,
    /// Files, which their readers pace.
    pub(crate) downloads: AttachmentServiceClient<Transport>,
    /// What is asked for somebody of whom nothing is known.
    pub(crate) lookups: AttachmentServiceClient<Transport>,
    /// The same of links.
    pub(crate) links: SessionServiceClient<Transport>,
    /// Without a deadline: an upload is answered when its last byte is stored.
    pub(crate) upload: AttachmentServiceClient<Transport>,
    pub(crate) reach: Arc<Reach>,
    chat_count: Count,
}

impl CoreClient {
    /// To all cores, of chat; none in process.
    pub(crate) fn connections(&self) -> usize {
        *self.chat_count.borrow()
    }

    /// `authorization` is the whole header: `Bearer <service token>`. Needs a running Tokio runtime.
    #[expect(clippy::needless_pass_by_value, reason = "opening takes over the way")]
    pub(crate) fn new(transport: CoreTransport, authorization: http::HeaderValue) -> Self {
        let (reach, chat_count) = (Arc::default(), Count::default());
        let authorized = |link| {
            let authorization = authorization.clone();
            let opened = transport.open(link, &authorization, &reach, &chat_count);
            let authorized = opened.map_request(move |mut request: http::Request<Body>| {
                let headers = request.headers_mut();
                headers.insert(http::header::AUTHORIZATION, authorization.clone());
                // What the core logs about it is found by the same id.
                let id = RequestId::current();
                trace::add_to(id.as_ref(), headers);
                if let Some(id) = id.and_then(|id| id.header_value()) {
                    headers.insert(REQUEST_ID, id);
                }
                request
            });
            BoxCloneSyncService::new(authorized)
        };
        let bounded = |link| {
            let bounded = ServiceBuilder::new()
                .map_err(deadline_exceeded)
                .layer(TimeoutLayer::new(CALL_DEADLINE))
                .service(authorized(link));
            BoxCloneSyncService::new(bounded)
        };
        let (chat, bulk) = (bounded(Link::Chat), bounded(Link::Bulk));
        let strangers = bounded(Link::Strangers);
        Self {
            chat: ChatServiceClient::new(chat.clone()),
            attachments: AttachmentServiceClient::new(chat.clone()),
            directory: DirectoryServiceClient::new(chat.clone()),
            health: HealthClient::new(chat.clone()),
            sessions: SessionServiceClient::new(chat),
            lists: ChatServiceClient::new(bulk.clone()),
            downloads: AttachmentServiceClient::new(bulk),
            lookups: AttachmentServiceClient::new(strangers.clone()),
            links: SessionServiceClient::new(strangers),
            upload: AttachmentServiceClient::new(authorized(Link::Uploads)),
            reach,
            chat_count,
        }
    }
}

fn deadline_exceeded(error: BoxError) -> Status {
    if error.is::<Elapsed>() {
        return Status::deadline_exceeded("the core did not answer in time");
    }
    Status::from_error(error)
}
