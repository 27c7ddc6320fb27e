//! Many subscriptions at once, as of an edge whose core came back: so many are opened at a time. Of those
//! that wait the request is held, and its place in the queue; what serves it is built when its turn has come.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either},
};
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt};

use crate::error::Error;

const SUBSCRIBE: &str = "/netrox.chat.v1.ChatService/Subscribe";
/// Opened at a time: as many as are looked up in one statement, and as many that are about to be.
const AT_A_TIME: usize = 512;
/// Those that wait, over all connections; further ones are told that it is too much.
const MAX_WAITING: usize = 65_536;

#[derive(Debug, Clone)]
pub(super) struct Bursts {
    at_a_time: Arc<Semaphore>,
    /// Those that wait have one, too.
    places: Arc<Semaphore>,
}

impl Default for Bursts {
    fn default() -> Self {
        Self {
            at_a_time: Arc::new(Semaphore::new(AT_A_TIME)),
            places: Arc::new(Semaphore::new(AT_A_TIME + MAX_WAITING)),
        }
    }
}

impl<S> Layer<S> for Bursts {
    type Service = InTurn<S>;

    fn layer(&self, service: S) -> InTurn<S> {
        InTurn { service, bursts: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct InTurn<S> {
    service: S,
    bursts: Bursts,
}

impl<S> Service<Request<Body>> for InTurn<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != SUBSCRIBE {
            return Either::Left(self.service.call(request));
        }
        let Ok(place) = Arc::clone(&self.bursts.places).try_acquire_owned() else {
            let refused = Status::from(Error::Overloaded).into_http();
            return Either::Right(std::future::ready(Ok(refused)).boxed());
        };
        let (service, at_a_time) = (self.service.clone(), Arc::clone(&self.bursts.at_a_time));
        let in_turn = async move {
            let _place = place;
            // It is never closed.
            let _turn = at_a_time.acquire().await;
            // Made when its turn has come.
            Box::pin(service.oneshot(request)).await
        };
        Either::Right(in_turn.boxed())
    }
}
