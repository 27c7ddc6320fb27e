//! What calls of the directory may hold in memory together, before they are decoded: a call of a thousand users has up to
//! 20 MiB, and each that has said how long it is would hold as much, whether the rest comes or not.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tonic::{Status, body::Body, server::NamedService};
use tower::{Service, ServiceExt};

use crate::error::Error;

/// Three of the largest calls.
const BUDGET_KIB: u32 = 64 * 1024;
/// Smaller ones are taken as they are.
const FREE_KIB: u32 = 64;
/// Of the length in front of a gRPC message, and its flag.
const PREFIX_BYTES: usize = 5;
/// Without a byte of what was announced.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lets large calls begin where there is room for what they announce.
#[derive(Debug, Clone)]
pub(crate) struct Budgeted<S> {
    service: S,
    budget: Arc<Semaphore>,
}

impl<S> Budgeted<S> {
    pub(crate) fn new(service: S) -> Self {
        Self { service, budget: Arc::new(Semaphore::new(BUDGET_KIB as usize)) }
    }
}

impl<S: NamedService> NamedService for Budgeted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Budgeted<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (service, budget) = (self.service.clone(), Arc::clone(&self.budget));
        // Kept until the call is answered: the message lives as long.
        let share = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&share);
        let request = request.map(|body| Body::new(Announced::new(body, budget, kept)));
        async move {
            let answer = service.oneshot(request).await;
            drop(share);
            answer
        }
        .boxed()
    }
}

type Share = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

/// A body whose first bytes say how long its message is.
struct Announced {
    body: Body,
    budget: Arc<Semaphore>,
    share: Share,
    prefix: Vec<u8>,
    idle: Pin<Box<Sleep>>,
}

impl Announced {
    fn new(body: Body, budget: Arc<Semaphore>, share: Share) -> Self {
        let idle = Box::pin(tokio::time::sleep(IDLE_TIMEOUT));
        Self { body, budget, share, prefix: Vec::with_capacity(PREFIX_BYTES), idle }
    }

    /// Looks at what comes until the length is known, and takes what it needs of the budget.
    fn look(&mut self, bytes: &[u8]) -> Result<(), Status> {
        if self.prefix.len() == PREFIX_BYTES {
            return Ok(());
        }
        let missing = PREFIX_BYTES - self.prefix.len();
        self.prefix.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let [_flag, a, b, c, d] = self.prefix[..] else { return Ok(()) };
        // One that is over all limits is refused where it is decoded, and takes nothing.
        let kib = u32::from_be_bytes([a, b, c, d]).div_ceil(1024);
        if kib <= FREE_KIB || kib > BUDGET_KIB {
            return Ok(());
        }
        let share = Arc::clone(&self.budget).try_acquire_many_owned(kib);
        let share = share.map_err(|_| Status::from(Error::Overloaded))?;
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = Some(share);
        Ok(())
    }
}

impl HttpBody for Announced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.idle.as_mut().poll(context));
            let late = Status::deadline_exceeded("the rest of the request did not come");
            return Poll::Ready(Some(Err(late)));
        };
        self.idle.as_mut().reset(tokio::time::Instant::now() + IDLE_TIMEOUT);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.look(data)?;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
