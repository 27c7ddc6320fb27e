use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tonic::{Code, Request, transport::Server};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus as Answer,
        health_client::HealthClient,
    },
    server::{HealthReporter, health_reporter},
};
use tower::util::BoxCloneSyncService;

use super::{health::SHED_AFTER, *};
use crate::unused_address::unused_address;

const CONNECTIONS_PER_CORE: usize = Link::Chat.connections();

/// Connections last as long as the test waits for them, and no longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

const AUTHORIZATION: HeaderValue = HeaderValue::from_static("Bearer token");

/// A core on a runtime of its own, so that it can be killed with its connections.
struct Core {
    runtime: tokio::runtime::Runtime,
    drain: CancellationToken,
    reporter: HealthReporter,
}

/// A service of whose health each core has an opinion of its own, so that answers tell who gave them.
const OPINION: &str = "opinion";

impl Core {
    async fn start(address: SocketAddr) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let drain = CancellationToken::new();
        let (listening, listens) = tokio::sync::oneshot::channel();
        let (reporter, health) = health_reporter();
        let shutdown = drain.clone();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.expect("a free port");
            listening.send(()).expect("a test");
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            let served = Server::builder().add_service(health);
            let served = served.serve_with_incoming_shutdown(incoming, shutdown.cancelled());
            served.await.expect("a server");
        });
        listens.await.expect("a listener");
        Self { runtime, drain, reporter }
    }

    /// Answers for [`OPINION`] what others do not.
    async fn start_as(address: SocketAddr, opinion: ServingStatus) -> Self {
        let core = Self::start(address).await;
        core.reporter.set_service_status(OPINION, opinion).await;
        core
    }

    /// Leaves its connections open and does nothing more until it is killed.
    fn hang(&self) -> std::sync::mpsc::Sender<()> {
        let (release, released) = std::sync::mpsc::channel();
        // There is one thread that does everything.
        self.runtime.spawn(async move {
            let _ = released.recv();
        });
        release
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

fn manner(link: Link) -> Manner {
    Manner { link, authorization: AUTHORIZATION, tls: None }
}

struct Client(HealthClient<crate::core_client::Transport>);

impl Client {
    fn new(cores: &[SocketAddr]) -> Self {
        Self::of(Link::Chat, cores, &Count::default())
    }

    fn of(link: Link, cores: &[SocketAddr], chat: &Count) -> Self {
        let cores = cores.iter().map(|core| format!("http://{core}").parse().expect("a URI"));
        let chat = Arc::clone(chat);
        Self::over(Connections::open(cores, manner(link), Arc::default(), chat))
    }

    /// Of cores that have one name.
    fn named(names: &Names) -> Self {
        let core = "http://core.test:50051".parse().expect("a URI");
        let pool = Pool::new(manner(Link::Chat), Arc::default(), Count::default());
        Self::over(Connections::open_with([core], names, pool))
    }

    fn over(connections: Connections) -> Self {
        let connections = Arc::new(connections);
        let service = tower::service_fn(move |request| {
            let connections = Arc::clone(&connections);
            async move { connections.call(request).await }
        });
        Self(HealthClient::new(BoxCloneSyncService::new(service)))
    }

    /// What the next core thinks of [`OPINION`].
    async fn ask(&self) -> Result<Answer, Code> {
        let request = HealthCheckRequest { service: OPINION.to_owned() };
        let answer = self.0.clone().check(request).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
    }

    async fn opinions(&self, calls: usize) -> Vec<Result<Answer, Code>> {
        let mut opinions = Vec::new();
        for _ in 0..calls {
            opinions.push(self.ask().await);
        }
        opinions
    }

    /// A live stream of the core that thinks so.
    async fn watch(&self, opinion: Answer) -> tonic::Streaming<HealthCheckResponse> {
        loop {
            let request = HealthCheckRequest { service: OPINION.to_owned() };
            let mut stream = self.0.clone().watch(request).await.expect("a stream").into_inner();
            let first = stream.message().await.expect("an answer").expect("an answer");
            if first.status() == opinion {
                return stream;
            }
        }
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
    let (dead, live) = (unused_address(), unused_address());
    let core = Core::start(live).await;
    let client = Client::new(&[dead, live]);
    for _ in 0..500 {
        assert_eq!(client.call().await, Ok(()));
    }
    core.kill();
}

#[tokio::test]
async fn calls_fail_at_once_without_a_core_and_succeed_when_it_is_back() {
    let (dead, live) = (unused_address(), unused_address());
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
async fn where_chat_gets_through_again_so_does_everything_else() {
    let (address, count) = (unused_address(), Count::default());
    let chat = Client::of(Link::Chat, &[address], &count);
    let others = [Link::Bulk, Link::Uploads, Link::Strangers];
    let others = others.map(|link| Client::of(link, &[address], &count));
    for _ in 0..3 {
        for other in &others {
            // Until the attempts are far from each other.
            for _ in 0..5 {
                assert_eq!(other.call().await, Err(Code::Unavailable));
                sleep(Duration::from_millis(100)).await;
            }
        }
        let core = Core::start(address).await;
        chat.until(Ok(())).await;
        for other in &others {
            assert_eq!(other.call().await, Ok(()));
        }
        core.kill();
        chat.until(Err(Code::Unavailable)).await;
    }
}

#[tokio::test]
async fn a_core_that_drains_loses_no_call_while_another_is_there() {
    let addresses = [unused_address(), unused_address()];
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

/// What a name stands for, as the test says.
#[derive(Clone, Default)]
struct Names {
    addresses: Arc<Mutex<BTreeSet<SocketAddr>>>,
    failures: Arc<AtomicUsize>,
}

impl Names {
    fn set(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        *self.addresses.lock().expect("no panic") = addresses.into_iter().collect();
    }
}

impl Lookup for Names {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<BTreeSet<SocketAddr>> {
        assert_eq!((host, port), ("core.test", 50051));
        let addresses = self.addresses.lock().expect("no panic").clone();
        if addresses.is_empty() {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(addresses)
    }
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{what}"));
}

const UP: Result<Answer, Code> = Ok(Answer::Serving);
const DOWN: Result<Answer, Code> = Ok(Answer::NotServing);

async fn pair() -> ([SocketAddr; 2], Core, Core) {
    let addresses = [unused_address(), unused_address()];
    let first = Core::start_as(addresses[0], ServingStatus::Serving).await;
    let second = Core::start_as(addresses[1], ServingStatus::NotServing).await;
    (addresses, first, second)
}

#[tokio::test]
async fn each_address_of_a_name_gets_its_share() {
    let (addresses, first, second) = pair().await;
    let names = Names::default();
    names.set(addresses);
    let client = Client::named(&names);
    eventually("an even spread", async || {
        let opinions = client.opinions(4 * CONNECTIONS_PER_CORE).await;
        opinions.iter().filter(|opinion| **opinion == UP).count() == 2 * CONNECTIONS_PER_CORE
    })
    .await;
    first.kill();
    second.kill();
}

#[tokio::test]
async fn addresses_come_and_go() {
    let (addresses, first, second) = pair().await;
    let names = Names::default();
    let client = Client::named(&names);
    // A name that is not there yet.
    assert_eq!(client.ask().await, Err(Code::Unavailable));
    names.set([addresses[0]]);
    eventually("the first core", async || client.ask().await == UP).await;
    let mut stream = client.watch(Answer::Serving).await;
    names.set(addresses);
    eventually("the second core", async || client.ask().await == DOWN).await;
    names.set([addresses[1]]);
    eventually("the second core alone", async || {
        client.opinions(4 * CONNECTIONS_PER_CORE).await.iter().all(|opinion| *opinion == DOWN)
    })
    .await;
    // A stream that was there before goes on.
    first.reporter.set_service_status(OPINION, ServingStatus::NotServing).await;
    let news = timeout(PATIENCE, stream.message()).await.expect("an answer").expect("a stream");
    assert_eq!(news.map(|answer| answer.status()), Some(Answer::NotServing));
    // A lookup that fails changes nothing.
    let failures = names.failures.load(Ordering::Relaxed);
    names.set([]);
    eventually("two failures", async || names.failures.load(Ordering::Relaxed) >= failures + 2)
        .await;
    assert_eq!(client.ask().await, DOWN);
    first.kill();
    second.kill();
}

#[tokio::test]
async fn a_core_that_does_not_serve_is_avoided_while_another_does() {
    let (addresses, first, second) = pair().await;
    let client = Client::new(&addresses);
    eventually("both cores", async || client.ask().await == UP).await;
    eventually("both cores", async || client.ask().await == DOWN).await;
    first.reporter.set_service_status("", ServingStatus::NotServing).await;
    eventually("the second core alone", async || {
        client.opinions(4 * CONNECTIONS_PER_CORE).await.iter().all(|opinion| *opinion == DOWN)
    })
    .await;
    // Where none serves, each may say why.
    second.reporter.set_service_status("", ServingStatus::NotServing).await;
    eventually("the first core again", async || client.ask().await == UP).await;
    eventually("the second core again", async || client.ask().await == DOWN).await;
    first.reporter.set_service_status("", ServingStatus::Serving).await;
    eventually("the first core alone", async || {
        client.opinions(4 * CONNECTIONS_PER_CORE).await.iter().all(|opinion| *opinion == UP)
    })
    .await;
    first.kill();
    second.kill();
}

#[tokio::test]
async fn a_core_that_hangs_loses_its_streams_and_gets_no_calls() {
    let (addresses, first, second) = pair().await;
    let client = Client::new(&addresses);
    let mut stream = client.watch(Answer::Serving).await;
    let release = first.hang();
    let end = timeout(PATIENCE, stream.message()).await.expect("the end of the stream");
    assert!(end.is_err(), "{end:?}");
    eventually("the second core alone", async || {
        let calls = client.opinions(4 * CONNECTIONS_PER_CORE);
        let calls = timeout(Duration::from_secs(1), calls).await;
        calls.is_ok_and(|opinions| opinions.iter().all(|opinion| *opinion == DOWN))
    })
    .await;
    drop(release);
    eventually("the first core again", async || client.ask().await == UP).await;
    first.kill();
    second.kill();
}

#[tokio::test]
async fn the_streams_of_a_core_that_stops_serving_go_elsewhere() {
    let (addresses, first, second) = pair().await;
    let client = Client::new(&addresses);
    let mut stream = client.watch(Answer::Serving).await;
    let mut other = client.watch(Answer::NotServing).await;
    first.reporter.set_service_status("", ServingStatus::NotServing).await;
    let end = timeout(PATIENCE, stream.message()).await.expect("the end of the stream");
    assert!(end.is_err(), "{end:?}");
    // Where none serves, streams stay: another core could do no more for them.
    second.reporter.set_service_status("", ServingStatus::NotServing).await;
    let stays = timeout(2 * SHED_AFTER, other.message()).await;
    assert!(stays.is_err(), "{stays:?}");
    first.kill();
    second.kill();
}

#[tokio::test]
async fn the_streams_of_a_core_that_was_given_up_follow_its_health() {
    let (addresses, first, second) = pair().await;
    let names = Names::default();
    names.set(addresses);
    let client = Client::named(&names);
    let mut stream = client.watch(Answer::Serving).await;
    names.set([addresses[1]]);
    eventually("the second core alone", async || {
        client.opinions(4 * CONNECTIONS_PER_CORE).await.iter().all(|opinion| *opinion == DOWN)
    })
    .await;
    first.reporter.set_service_status("", ServingStatus::NotServing).await;
    let end = timeout(PATIENCE, stream.message()).await.expect("the end of the stream");
    assert!(end.is_err(), "{end:?}");
    first.kill();
    second.kill();
}
