//! Clients of the core, as an internal service has them.

use netrox_proto::v1::{
    attachment_service_client::AttachmentServiceClient, chat_service_client::ChatServiceClient,
    directory_service_client::DirectoryServiceClient, session_service_client::SessionServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{Role, TestChat, settings::SERVICE_TOKEN};

/// Adds the service credential to every call.
#[derive(Debug, Clone)]
pub struct Credential(MetadataValue<Ascii>);

impl Credential {
    pub fn new(service_token: &str) -> Self {
        Self(format!("Bearer {service_token}").parse().expect("a header value"))
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub type Authorized = InterceptedService<Channel, Credential>;

impl TestChat {
    /// A connection to the core, made when it is first used; to the first of several.
    pub fn channel(&self) -> Channel {
        self.channel_to(self.core_role())
    }

    /// A connection to one of several cores.
    pub fn channel_to(&self, core: Role) -> Channel {
        let uri = format!("http://{}", self.grpc_address_of(core));
        Endpoint::from_shared(uri).expect("a URI").connect_lazy()
    }

    fn credential(&self) -> Credential {
        Credential::new(SERVICE_TOKEN)
    }

    pub fn chat_service(&self) -> ChatServiceClient<Authorized> {
        self.chat_service_of(self.core_role())
    }

    /// By a connection of its own to one of several cores.
    pub fn chat_service_of(&self, core: Role) -> ChatServiceClient<Authorized> {
        ChatServiceClient::with_interceptor(self.channel_to(core), self.credential())
    }

    pub fn directory_service(&self) -> DirectoryServiceClient<Authorized> {
        DirectoryServiceClient::with_interceptor(self.channel(), self.credential())
    }

    pub fn session_service(&self) -> SessionServiceClient<Authorized> {
        self.session_service_of(self.core_role())
    }

    /// By a connection of its own to one of several cores.
    pub fn session_service_of(&self, core: Role) -> SessionServiceClient<Authorized> {
        SessionServiceClient::with_interceptor(self.channel_to(core), self.credential())
    }

    pub fn attachment_service(&self) -> AttachmentServiceClient<Authorized> {
        AttachmentServiceClient::with_interceptor(self.channel(), self.credential())
    }
}
