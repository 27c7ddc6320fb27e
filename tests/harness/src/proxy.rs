//! A TCP proxy that does to connections what networks do.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::within;

/// What happens to connections through a [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// What comes goes on.
    Open,
    /// Nothing goes on, and nobody is told. What came meanwhile goes on when it opens again.
    BlackHole,
    /// What comes goes on this much later.
    Delayed(Duration),
    /// Each connection is reset when so many bytes have come from the server.
    Short(usize),
    /// Connections are reset, and so are new ones.
    Refused,
}

/// A proxy before a server, on a thread of its own, so that a busy test does not slow it down. It ends
/// when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// How many were made to the server, ever.
    connections: watch::Receiver<u64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    network: Network,
    /// Where new connections lead.
    target: SocketAddr,
    /// Connections of an older one are reset.
    generation: u64,
    /// Connections of an older one lead nowhere.
    route: u64,
    ended: bool,
}

impl Proxy {
    pub fn start(target: SocketAddr) -> Self {
        let network = Network::Open;
        let state = State { network, target, generation: 0, route: 0, ended: false };
        let (state, changes) = watch::channel(state);
        let (connected, connections) = watch::channel(0);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("an address");
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(listener, changes, connected));
        });
        Self { address, state, connections, thread: Some(thread) }
    }

    /// Where to connect to instead of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for connections that are there too.
    pub fn set(&self, network: Network) {
        self.state.send_modify(|state| {
            state.network = network;
            if network == Network::Refused {
                state.generation += 1;
            }
        });
    }

    /// Resets every connection; new ones are as before.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Leads to another server from now on, as an address that moved does: what is connected to the last one is
    /// reset.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            state.target = target;
            state.generation += 1;
        });
    }

    /// Waits until so many more connections were made to the server.
    pub async fn connected(&self, more: u64) {
        let mut connections = self.connections.clone();
        let goal = *connections.borrow_and_update() + more;
        let connected = connections.wait_for(|made| *made >= goal);
        within("connections through a proxy", connected).await.expect("a proxy");
    }

    /// Nothing goes on any more over any connection, and nobody is told, as where a host lost its power and another
    /// took its address; new ones are as before.
    pub fn lose(&self) {
        self.state.send_modify(|state| state.route += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    state: watch::Receiver<State>,
    connected: watch::Sender<u64>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let mut connections = JoinSet::new();
    let mut end = state.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let now = *state.borrow();
                if now.network == Network::Refused {
                    reset(&client);
                } else {
                    connections.spawn(connect(client, state.clone(), now, connected.clone()));
                }
            }
            _ = end.wait_for(|state| state.ended) => return,
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Makes the drop of a stream a reset.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn connect(
    mut client: TcpStream,
    state: watch::Receiver<State>,
    opened: State,
    connected: watch::Sender<u64>,
) {
    let mut changes = state.clone();
    let broken = changes.wait_for(|state| state.ended || state.generation != opened.generation);
    let mut routes = state.clone();
    let lost = async { drop(routes.wait_for(|state| state.route != opened.route).await) };
    let mut opening = state.clone();
    let server = async {
        // In a black hole a connection is not made either.
        let _ = opening.wait_for(|state| state.network != Network::BlackHole).await;
        TcpStream::connect(opened.target).await
    };
    tokio::pin!(broken);
    let server = tokio::select! {
        server = server => server.ok(),
        _ = &mut broken => None,
    };
    let Some(mut server) = server else { return reset(&client) };
    connected.send_modify(|made| *made += 1);
    let _ = client.set_nodelay(true).and(server.set_nodelay(true));
    let whole = {
        let (mut client_reads, mut client_writes) = client.split();
        let (mut server_reads, mut server_writes) = server.split();
        let up = forward(&mut client_reads, &mut server_writes, state.clone(), Way::Up);
        let down = forward(&mut server_reads, &mut client_writes, state, Way::Down);
        let forwarding = async {
            tokio::select! {
                ended = async { tokio::try_join!(up, down) } => ended.is_ok(),
                () = lost => std::future::pending().await,
            }
        };
        // What comes at the same time as the break is not passed on.
        tokio::select! {
            biased;
            _ = &mut broken => false,
            whole = forwarding => whole,
        }
    };
    if !whole {
        reset(&client);
        reset(&server);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the server.
    Up,
    Down,
}

async fn forward(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut state: watch::Receiver<State>,
    way: Way,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0;
    loop {
        let count = from.read(&mut buffer).await?;
        let open = state.wait_for(|state| state.network != Network::BlackHole).await;
        let network = open.map_err(|_| ErrorKind::ConnectionReset)?.network;
        if let Network::Delayed(delay) = network {
            tokio::time::sleep(delay).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        if let Network::Short(most) = network
            && way == Way::Down
            && passed + count > most
        {
            return Err(ErrorKind::ConnectionReset.into());
        }
        passed += count;
        to.write_all(&buffer[..count]).await?;
    }
}
