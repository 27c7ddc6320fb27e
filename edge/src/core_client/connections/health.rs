//! What the core at the other end of a connection says of itself: `grpc.health.v1`, asked on that connection.

use std::time::Duration;

use http::{Request, header, uri::PathAndQuery};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming, body::Body};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tower::service_fn;

use super::{Pool, PooledConnection, answer};
use crate::core_client::reach::Trouble;

/// A core that does not even say how it is gets no calls.
pub(super) const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two watches of a core that ends them.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How long a core that says that it cannot serve keeps the streams it has, while another can.
pub(super) const SHED_AFTER: Duration = Duration::from_secs(1);

/// Puts a new connection into the pool when its core has said how it is, and keeps what it
/// says. Returns where the connection is to be given up: the core says nothing, or it says that it cannot serve any
/// more, while another can. Its streams go there; a core that drains ends them itself. Nor does a connection
/// come to stand whose address was given up meanwhile.
pub(super) async fn follow(pooled: PooledConnection, pool: &Pool, given_up: &CancellationToken) {
    let first = timeout(FIRST_ANSWER_TIMEOUT, watch(&pooled, pool)).await;
    if given_up.is_cancelled() {
        return;
    }
    if matches!(&first, Ok(Err(status)) if status.code() == Code::Unimplemented) {
        has_answered(&pooled, pool);
    }
    let mut watch = match first {
        Ok(Ok((is_serving, watch))) => {
            pool.insert(PooledConnection { is_serving, ..pooled.clone() });
            Some(watch)
        }
        // A core without that service serves.
        Ok(Err(status)) if status.code() == Code::Unimplemented => {
            pool.insert(pooled);
            return std::future::pending().await;
        }
        Ok(Err(_)) => {
            pool.insert(PooledConnection { is_serving: false, ..pooled.clone() });
            None
        }
        Err(_) => return,
    };
    loop {
        if let Some(watch) = &mut watch
            && has_stopped_serving(watch, pooled.id, pool).await
        {
            return;
        }
        // It drains, or something has come between.
        pool.set_serving(pooled.id, false);
        sleep(WATCH_INTERVAL).await;
        watch = match self::watch(&pooled, pool).await {
            Ok((is_serving, watch)) => {
                pool.set_serving(pooled.id, is_serving);
                Some(watch)
            }
            Err(_) => None,
        };
    }
}

/// Follows a watch to its end, or until the core has not served for a while that did before.
async fn has_stopped_serving(
    watch: &mut Streaming<HealthCheckResponse>,
    id: usize,
    pool: &Pool,
) -> bool {
    let mut shed_at = None;
    loop {
        let shed = async {
            match shed_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = watch.message() => {
                let Ok(Some(answer)) = answer else { return false };
                let is_serving = is_serving(&answer);
                pool.set_serving(id, is_serving);
                shed_at = (!is_serving).then(|| Instant::now() + SHED_AFTER);
            }
            () = shed => {
                if pool.is_any_serving() {
                    return true;
                }
                shed_at = Some(Instant::now() + SHED_AFTER);
            }
        }
    }
}

/// The first answer, and those to come. The call shows who we are, before any other is made on the connection: health needs
/// no token, but a core keeps few connections that have shown none.
async fn watch(
    pooled: &PooledConnection,
    pool: &Pool,
) -> Result<(bool, Streaming<HealthCheckResponse>), Status> {
    let origin = pooled.core.uri(PathAndQuery::from_static("/"))?;
    let connection = service_fn(|mut request: Request<Body>| {
        let mut requests = pooled.requests.clone();
        request.headers_mut().insert(header::AUTHORIZATION, pool.authorization.clone());
        async move {
            let answer = requests.send_request(request).await;
            let answer = answer.map_err(|error| Status::unavailable(error.to_string()))?;
            let status = answer.status();
            let is_of_core = answer::is_of_core(&answer);
            let judged = answer::judge(answer, pooled.address, pool);
            if !is_of_core {
                let cause = format_args!("it answers with HTTP {status}");
                pool.reach.fails(pooled.address, Trouble::NotACore, cause);
            }
            judged
        }
    });
    // The empty name stands for the whole server.
    let request = HealthCheckRequest::default();
    let mut client = HealthClient::with_origin(connection, origin);
    let mut answers = client.watch(request).await?.into_inner();
    let first = answers.message().await?;
    let first = first.ok_or_else(|| Status::unavailable("the watch ended at once"))?;
    has_answered(pooled, pool);
    Ok((is_serving(&first), answers))
}

fn has_answered(pooled: &PooledConnection, pool: &Pool) {
    if pool.link.is_told() {
        pool.reach.works(pooled.address);
    }
}

fn is_serving(answer: &HealthCheckResponse) -> bool {
    answer.status() == ServingStatus::Serving
}
