//! Which callers the core trusts: those with a service token.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};
use subtle::{Choice, ConstantTimeEq};
use tonic::{Request, Status, service::Interceptor};

use crate::{notice::Notices, strangers::Visitor};

const SCHEME: &str = "bearer";

/// Lets calls pass that carry one of the tokens.
#[derive(Clone)]
pub(crate) struct ServiceAuth {
    tokens: Arc<[String]>,
    refusals: Arc<Notices<()>>,
}

/// Without the tokens.
impl fmt::Debug for ServiceAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServiceAuth").finish_non_exhaustive()
    }
}

impl ServiceAuth {
    pub(crate) fn new(tokens: Vec<String>) -> Self {
        Self { tokens: tokens.into(), refusals: Arc::default() }
    }

    /// Takes as long for every token of a length, whichever it resembles.
    fn accepts(&self, given: &str) -> bool {
        let found = self
            .tokens
            .iter()
            .filter(|token| !token.is_empty())
            .map(|token| token.as_bytes().ct_eq(given.as_bytes()))
            .fold(Choice::from(0), |any, one| any | one);
        found.into()
    }
}

impl ServiceAuth {
    /// Whether the head of a call carries one of the tokens.
    fn is_in(&self, head: &HeaderMap) -> bool {
        let given = head
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
        given.is_some_and(|(_, token)| self.accepts(token))
    }

    /// Whether the head of a call carries one of the tokens. Then its connection is that of somebody known.
    pub(crate) fn recognizes(&self, head: &HeaderMap, visitor: &Visitor) -> bool {
        let is_known = self.is_in(head);
        if is_known {
            visitor.become_known();
        }
        is_known
    }

    /// Tells the operator, who may have given an edge another token, and refuses.
    fn refuse(&self, request: &Request<()>) -> Status {
        let shown = match request.metadata().contains_key("authorization") {
            true => "one that this core does not have",
            false => "none",
        };
        if let Some(untold) = self.refusals.happened(()) {
            let from = request.extensions().get::<Visitor>().and_then(Visitor::from);
            let from =
                from.map_or_else(|| "this process".to_owned(), |from: IpAddr| from.to_string());
            tracing::warn!(
                untold,
                "a call from {from} is refused, which needs a service token and shows {shown}"
            );
        }
        Status::unauthenticated("a service token is required")
    }

    /// For what is open to those as well who have no token.
    pub(crate) fn open_to_all(self) -> OpenToAll {
        OpenToAll(self)
    }
}

impl Interceptor for ServiceAuth {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.is_in(request.metadata().as_ref()) {
            return Ok(request);
        }
        Err(self.refuse(&request))
    }
}

/// Lets all calls pass without a token. One that shows a wrong token is refused: it is of somebody who believes it to be
/// right, and whom no other call would serve.
#[derive(Clone)]
pub(crate) struct OpenToAll(ServiceAuth);

impl Interceptor for OpenToAll {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.0.is_in(request.metadata().as_ref())
            || !request.metadata().contains_key("authorization")
        {
            return Ok(request);
        }
        Err(self.0.refuse(&request))
    }
}
