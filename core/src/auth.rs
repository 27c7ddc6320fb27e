//! Which callers the core trusts, and with what: those with a service token.
//!
//! * [`scope`]: what each method needs.
//! * [`file`](mod@file): the file of services; [`services`]: those that are known now; [`watch`]: reads the file again.
//! * [`guard`]: what stands before a service of the contract.
//! * [`administrator`]: who may administer a process by its own listener.

mod administrator;
pub(crate) mod file;
mod guard;
mod scope;
mod services;
mod watch;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use http::{HeaderMap, header::AUTHORIZATION};
use netrox_audit::{Audit, Name, Refused};
use netrox_metrics::{Word as _, words};
use netrox_proto::request_id::RequestId;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch::Sender;
use tonic::{Request, Status, body::Body, service::Interceptor};

pub use self::{
    administrator::{Administrators, NotAdministrator},
    file::{ServicesError, ServicesFile, TokenHash, check_service_name, service_token},
    scope::Scope,
};
pub(crate) use self::{
    guard::{Caller, Guarded},
    watch::Watch,
};
use self::{
    scope::Method,
    services::{Credential, Services},
};
use crate::{error::Error, metrics::Callers, notice::Notices, strangers::Visitor};

const SCHEME: &str = "bearer";

/// The names in the certificate that the client of a connection has shown, and that was verified: of its subject
/// alternative names, DNS names and URIs. They are there once the TLS handshake is over, and count where a call carries no
/// `authorization`.
#[derive(Debug, Clone, Default)]
pub(crate) struct CertificateNames(Arc<OnceLock<Box<[String]>>>);

impl CertificateNames {
    /// What a handshake has shown, of which a connection has one.
    pub(crate) fn shown(&self, names: Box<[String]>) {
        let _ = self.0.set(names);
    }

    /// Nothing where there is no certificate.
    fn get(&self) -> Option<&[String]> {
        self.0.get().map(|names| &**names)
    }
}

/// Lets calls pass that carry one of the tokens.
#[derive(Clone)]
pub(crate) struct ServiceAuth {
    tokens: Arc<[String]>,
    /// Of those.
    all_powerful: Arc<Credential>,
    /// Of the file.
    services: Arc<Services>,
    /// Whether there is one.
    has_file: bool,
    asked: Sender<u64>,
    metrics: Callers,
    audit: Audit,
    refusals: Arc<Notices<()>>,
    /// By service and method.
    not_allowed: Arc<Notices<(Arc<str>, &'static str)>>,
}

/// Without the tokens.
impl fmt::Debug for ServiceAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServiceAuth").finish_non_exhaustive()
    }
}

words! {
    /// Why nobody is known by a call.
    pub(crate) enum Unknown {
        NoToken = "no_token",
        Token = "unknown_token",
        Expired = "expired_token",
        Certificate = "unknown_certificate",
    }
}

impl Unknown {
    /// What the call shows.
    fn shown(self) -> &'static str {
        match self {
            Self::NoToken => "none",
            Self::Token => "one that this core does not have",
            Self::Expired => "one that has expired",
            Self::Certificate => "none, but a certificate that is of no service",
        }
    }
}

impl ServiceAuth {
    pub(crate) fn new(
        tokens: Vec<String>,
        file: Option<&ServicesFile>,
        metrics: Callers,
        audit: Audit,
    ) -> Self {
        let services = Arc::new(Services::new(metrics.calls()));
        if let Some(file) = file {
            services.replace(&file.services);
        }
        Self {
            tokens: tokens.into(),
            all_powerful: services.all_powerful(),
            services,
            has_file: file.is_some(),
            asked: Sender::default(),
            metrics,
            audit,
            refusals: Arc::default(),
            not_allowed: Arc::default(),
        }
    }

    /// What reads the file again, to be run until the end.
    pub(crate) fn watch(&self, file: &ServicesFile) -> Watch {
        Watch {
            services: Arc::clone(&self.services),
            path: file.path.clone(),
            asked: self.asked.subscribe(),
            audit: self.audit.clone(),
        }
    }

    /// Asks for the file to be read again, whether it looks changed or not.
    pub(crate) fn reload(&self) {
        self.asked.send_modify(|count| *count += 1);
    }

    /// Takes as long for every token of a length, whichever it resembles.
    fn is_all_powerful(&self, given: &str) -> bool {
        let found = self
            .tokens
            .iter()
            .filter(|token| !token.is_empty())
            .map(|token| token.as_bytes().ct_eq(given.as_bytes()))
            .fold(Choice::from(0), |any, one| any | one);
        found.into()
    }

    /// Who calls, by the token of the head or, where it has none at all, by the certificate of the connection.
    fn identify(
        &self,
        head: &HeaderMap,
        visitor: Option<&Visitor>,
    ) -> Result<Arc<Credential>, Unknown> {
        let known = match head.get(AUTHORIZATION) {
            Some(value) => {
                let given = value.to_str().ok().and_then(|value| value.split_once(' '));
                let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
                // An empty one is nobody's, whatever the file says.
                let given = given.filter(|(_, token)| !token.trim().is_empty());
                let (_, token) = given.ok_or(Unknown::Token)?;
                if self.is_all_powerful(token) {
                    return Ok(Arc::clone(&self.all_powerful));
                }
                self.services.of_token(token).ok_or(Unknown::Token)?
            }
            None => {
                let names = visitor.and_then(|visitor| visitor.certificate_names().get());
                let names = names.ok_or(Unknown::NoToken)?;
                self.services.of_certificate(names).ok_or(Unknown::Certificate)?
            }
        };
        if known.is_expired() { Err(Unknown::Expired) } else { Ok(known) }
    }

    /// Whether the head of a call shows who calls. Then its connection is that of somebody known.
    pub(crate) fn recognizes(&self, head: &HeaderMap, visitor: &Visitor) -> bool {
        let is_known = self.identify(head, Some(visitor)).is_ok();
        if is_known {
            visitor.become_known();
        }
        is_known
    }

    /// Who calls, where they may call it.
    fn permit(&self, request: &http::Request<Body>) -> Result<Arc<Credential>, Status> {
        let visitor = request.extensions().get::<Visitor>();
        let credential = match self.identify(request.headers(), visitor) {
            Ok(credential) => credential,
            Err(unknown) => return Err(self.refuse(unknown, visitor)),
        };
        // Where one token may do all and there is no other, its use says nothing. Nor does that of an edge in this process.
        if self.has_file && visitor.is_some() {
            credential.tell_use();
        }
        match Method::of_path(request.uri().path()) {
            Some(method) if !credential.scopes.allow(method) => {
                Err(self.refuse_scope(&credential, method, visitor))
            }
            None if credential.revocation().is_some() => {
                credential.calls.refused.inc();
                Err(Status::unimplemented("no such method"))
            }
            Some(_) | None => {
                credential.calls.taken.inc();
                Ok(credential)
            }
        }
    }

    fn refuse_scope(
        &self,
        credential: &Credential,
        method: &'static Method,
        visitor: Option<&Visitor>,
    ) -> Status {
        credential.calls.refused.inc();
        let (service, scope) = (&credential.name, method.scope.name());
        let peer = visitor.and_then(Visitor::from);
        let refused = Refused {
            name: Name::ScopeRefused,
            reason: scope,
            actor: Some(service),
            target: None,
            method: Some(method.name()),
            peer,
        };
        self.audit.refused(refused, |event| event.request_id(RequestId::current()));
        if let Some(untold) = self.not_allowed.happened((Arc::clone(service), method.name())) {
            tracing::warn!(
                untold,
                %service,
                method = method.name(),
                peer = peer.map(tracing::field::display),
                "a call is refused: the service lacks the scope {scope}"
            );
        }
        Error::ScopeMissing(scope).into()
    }

    /// Tells the operator, who may have given an edge another token, and refuses.
    fn refuse(&self, unknown: Unknown, visitor: Option<&Visitor>) -> Status {
        self.metrics.refused(unknown);
        let from = visitor.and_then(Visitor::from);
        let refused = Refused {
            name: Name::AuthenticationRefused,
            reason: unknown.word(),
            actor: None,
            target: None,
            method: None,
            peer: from,
        };
        self.audit.refused(refused, |event| event.request_id(RequestId::current()));
        if let Some(untold) = self.refusals.happened(()) {
            let shown = unknown.shown();
            let place =
                from.map_or_else(|| "this process".to_owned(), |from: IpAddr| from.to_string());
            tracing::warn!(
                untold,
                peer = from.map(tracing::field::display),
                "a call from {place} is refused, which needs a service token and shows {shown}"
            );
        }
        Status::unauthenticated("a service token is required")
    }

    /// The same of what any service may call.
    fn let_pass(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let visitor = request.extensions().get::<Visitor>();
        match self.identify(request.metadata().as_ref(), visitor) {
            Ok(_) => Ok(request),
            Err(unknown) => Err(self.refuse(unknown, visitor)),
        }
    }

    /// For what is open to those as well who have no token.
    pub(crate) fn open_to_all(self) -> OpenToAll {
        OpenToAll(self)
    }
}

impl Interceptor for ServiceAuth {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        self.let_pass(request)
    }
}

/// Lets all calls pass without a token. One that shows a wrong token is refused: it is of somebody who believes it to be
/// right, and whom no other call would serve.
#[derive(Clone)]
pub(crate) struct OpenToAll(ServiceAuth);

impl Interceptor for OpenToAll {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if request.metadata().contains_key("authorization") {
            return self.0.let_pass(request);
        }
        Ok(request)
    }
}
