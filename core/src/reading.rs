//! What a stream reads from the store, as a task of its own.
//!
//! A transport polls a stream ahead of its caller, and then leaves it alone for as long as the caller takes. A read that got no
//! further meanwhile would keep its connection, and a few such callers all connections.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Error;

/// Ends where it is dropped.
pub(crate) struct Reading<T>(AbortOnDropHandle<Result<T, Error>>);

impl<T: Send + 'static> Reading<T> {
    pub(crate) fn begin(read: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self(AbortOnDropHandle::new(tokio::spawn(read)))
    }
}

impl<T> Future for Reading<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let read = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(read.unwrap_or_else(|error| Err(ended(&error))))
    }
}

/// Only a runtime that ends cancels what is still waited for.
fn ended(error: &JoinError) -> Error {
    if error.is_cancelled() {
        return Error::ShuttingDown;
    }
    tracing::error!(%error, "a read ended before its answer");
    Error::Internal
}
