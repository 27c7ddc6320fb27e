//! The accept loop, its timeouts and the drain.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Edge, rest};

pub(crate) async fn serve(edge: &Edge, _listener: TcpListener, shutdown: CancellationToken) {
    let _router = rest::router(edge.clone());
    shutdown.cancelled().await;
    edge.shared.draining.cancel();
    edge.shared.tasks.close();
    edge.shared.tasks.wait().await;
}
