use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::{Code, Request, transport::Server};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};

use super::*;
use crate::core_client::CoreTransport;

/// Connections last as long as the test waits for them, and no longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address at which nobody listens.
fn refused() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// A core on a runtime of its own, so that it can be killed with its connections.
struct Core {
    runtime: tokio::runtime::Runtime,
    drain: CancellationToken,
}

impl Core {
    async fn start(address: SocketAddr) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let drain = CancellationToken::new();
        let (listening, listens) = tokio::sync::oneshot::channel();
        let shutdown = drain.clone();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("a free port");
            listening.send(()).expect("a test");
            let (_reporter, health) = health_reporter();
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            let served = Server::builder().add_service(health);
            let served = served.serve_with_incoming_shutdown(incoming, shutdown.cancelled());
            served.await.expect("a server");
        });
        listens.await.expect("a listener");
        Self { runtime, drain }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

struct Client(HealthClient<crate::core_client::Transport>);

impl Client {
    fn new(cores: &[SocketAddr]) -> Self {
        let cores = cores.iter().map(|core| format!("http://{core}").parse().expect("a URI"));
        Self(HealthClient::new(CoreTransport::remote(cores).service))
    }

    async fn call(&self) -> Result<(), Code> {
        let call = self.0.clone();
        let answer = { call }.check(Request::new(HealthCheckRequest::default())).await;
        answer.map(drop).map_err(|status| status.code())
    }

    async fn until(&self, expected: Result<(), Code>) {
        let reached = async {
            while self.call().await != expected {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("a change");
    }
}

#[tokio::test]
async fn a_core_that_refuses_connections_gets_no_calls() {
    let (dead, live) = (refused(), refused());
    let core = Core::start(live).await;
    let client = Client::new(&[dead, live]);
    for _ in 0..500 {
        assert_eq!(client.call().await, Ok(()));
    }
    core.kill();
}

#[tokio::test]
async fn calls_fail_at_once_without_a_core_and_succeed_when_it_is_back() {
    let (dead, live) = (refused(), refused());
    let client = Client::new(&[dead, live]);
    assert_eq!(client.call().await, Err(Code::Unavailable));
    for _ in 0..3 {
        let core = Core::start(live).await;
        client.until(Ok(())).await;
        for _ in 0..100 {
            assert_eq!(client.call().await, Ok(()));
        }
        core.kill();
        client.until(Err(Code::Unavailable)).await;
    }
}

#[tokio::test]
async fn a_core_that_drains_loses_no_call_while_another_is_there() {
    let addresses = [refused(), refused()];
    let first = Core::start(addresses[0]).await;
    let second = Core::start(addresses[1]).await;
    let client = Client::new(&addresses);
    client.until(Ok(())).await;
    for number in 0..400 {
        if number == 100 {
            first.drain.cancel();
        }
        assert_eq!(client.call().await, Ok(()), "{number}");
    }
    first.kill();
    second.kill();
}

#[tokio::test]
async fn connections_end_with_their_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(&[listener.local_addr().expect("an address")]);
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS_PER_CORE {
        streams.push(listener.accept().await.expect("a connection").0);
    }
    drop(client);
    for mut stream in streams {
        let mut bytes = Vec::new();
        let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes);
        // A reset is an end as well.
        let _ = timeout(PATIENCE, end).await.expect("the end of the connection");
    }
}
