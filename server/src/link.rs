//! The way to a core for commands: one connection, to the first of the cores that is reached.

use std::{fmt, io, time::Duration};

use http::{HeaderValue, Uri};
use hyper_util::rt::TokioIo;
use netrox_proto::v1::{
    ErrorReason, Failure as Refusal, admin_service_client::AdminServiceClient,
    directory_service_client::DirectoryServiceClient, session_service_client::SessionServiceClient,
};
use netrox_tls::ClientTls;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::either::Either;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{failure::Failure, settings::LinkSettings, sources::Sources};

/// For a connection, with its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A core that is gone without a word, or hangs, is noticed after the sum of the two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// From a call to its answer; a stream may live longer.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(20);

type Authorized = InterceptedService<Channel, Credential>;

/// A connection, with the service token.
#[derive(Debug, Clone)]
pub(crate) struct Link(Authorized);

/// Adds the service token to each call.
#[derive(Clone)]
pub(crate) struct Credential(MetadataValue<Ascii>);

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Link {
    /// To one of the cores, in their order.
    pub(crate) async fn open(settings: LinkSettings) -> Result<Self, Failure> {
        let credential = credential(&settings.authorization)?;
        let mut errors = Vec::new();
        for core in settings.cores {
            match connect(core.clone(), settings.tls.clone()).await {
                Ok(channel) => {
                    return Ok(Self(InterceptedService::new(channel, credential)));
                }
                Err(error) => errors.push(format!("{core}: {error}")),
            }
        }
        let source = io::Error::other(errors.join("; "));
        Err(Failure::System { what: "reaching a core", source })
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Authorized> {
        AdminServiceClient::new(self.0.clone())
    }

    pub(crate) fn directory(&self) -> DirectoryServiceClient<Authorized> {
        DirectoryServiceClient::new(self.0.clone())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Authorized> {
        SessionServiceClient::new(self.0.clone())
    }
}

fn credential(authorization: &HeaderValue) -> Result<Credential, Failure> {
    let value = authorization.to_str().ok().and_then(|value| value.parse().ok());
    let unfit = || Failure::System {
        what: "making a call",
        source: io::Error::other("the service token is no value of a header"),
    };
    value.map(Credential).ok_or_else(unfit)
}

async fn connect(core: Uri, tls: Option<ClientTls>) -> Result<Channel, String> {
    let endpoint = Endpoint::from(core)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let connector = tower::service_fn(move |core: Uri| {
        let tls = tls.clone();
        async move {
            let port = if core.scheme_str() == Some("https") { 443 } else { 80 };
            let stream = timeout(CONNECT_TIMEOUT, dial(&core, tls.as_ref(), port)).await;
            let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut)).flatten();
            stream.map(TokioIo::new)
        }
    });
    endpoint.connect_with_connector(connector).await.map_err(|error| innermost(&error))
}

/// In TLS where the URL says so, and to `port` where it says none.
pub(crate) async fn dial(
    core: &Uri,
    tls: Option<&ClientTls>,
    port: u16,
) -> io::Result<Either<TcpStream, Box<netrox_tls::ClientStream<TcpStream>>>> {
    let host = core.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_secured = core.scheme_str() == Some("https");
    let stream = TcpStream::connect((host, core.port_u16().unwrap_or(port))).await?;
    stream.set_nodelay(true)?;
    match tls.filter(|_| is_secured) {
        Some(tls) => Ok(Either::Right(Box::new(tls.connect(host, stream).await?))),
        None if is_secured => Err(io::Error::other("TLS is not set up")),
        None => Ok(Either::Left(stream)),
    }
}

/// What is behind "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Why a call was not carried out, as the operator is told it.
pub(crate) fn refused(status: &Status, what: &'static str, sources: &Sources) -> Failure {
    let flags = ["service-token-file", "service-token"];
    let of_token = flags.into_iter().find(|flag| sources.is_given(flag)).unwrap_or("data-dir");
    if status.code() == Code::Unauthenticated {
        return sources.refuse(of_token, "the core does not know this service token").into();
    }
    let refusal = Refusal::from(status);
    if refusal.reason() == ErrorReason::ScopeMissing {
        return sources.refuse(of_token, status.message()).into();
    }
    let message = match status.code() == Code::Unimplemented {
        true => "this core is older than this program, and does not know the call".to_owned(),
        false if status.message().is_empty() => status.code().to_string(),
        false => status.message().to_owned(),
    };
    Failure::System { what, source: io::Error::other(message) }
}
