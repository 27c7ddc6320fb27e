//! A nats-server of a test's own.

use std::{
    ffi::OsString,
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::{process::ServerProcess, provided_path};
use crate::{database::Server, eventually, process::bound_to_its_test, rest::Request, settings};

/// A nats-server on an address of its own.
#[derive(Debug)]
pub struct NatsServer {
    /// `None` while it is stopped.
    process: Option<ServerProcess>,
    address: SocketAddr,
    /// Where it tells of itself over HTTP.
    monitor: SocketAddr,
    server: Server,
    arguments: Vec<OsString>,
}

impl NatsServer {
    pub async fn start() -> Self {
        Self::start_with(|address| (format!("nats://{address}"), Vec::new())).await
    }

    /// One that is used by the URL, and started with the arguments, that go with its address.
    pub async fn start_with(settings: impl FnOnce(SocketAddr) -> (String, Vec<OsString>)) -> Self {
        let ip = settings::own_address();
        // Held at the same time: else both may be one.
        let held = [(); 2].map(|()| TcpListener::bind((ip, 0)).expect("bind a loopback address"));
        let [address, monitor] =
            held.each_ref().map(|listener| listener.local_addr().expect("a bound address"));
        drop(held);
        let (url, arguments) = settings(address);
        let server = Server::parse(&url);
        let mut nats = Self { process: None, address, monitor, server, arguments };
        nats.start_again().await;
        nats
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Starts it where it has ended, on the same address, and waits until it answers.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "nats-server is running already");
        let [setpriv, words @ ..] = bound_to_its_test("KILL");
        let mut command = Command::new(setpriv);
        command.args(words).arg(provided_path("NETROX_CHAT_TEST_NATS_SERVER"));
        command.args(["--addr", &self.address.ip().to_string()]);
        command.args(["--port", &self.address.port().to_string()]);
        command.args(["--http_port", &self.monitor.port().to_string()]);
        command.args(&self.arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = ServerProcess::spawn(command);
        eventually("nats-server", async || {
            process.assert_running();
            // Whoever connects is greeted.
            let mut greeting = [0; 5];
            let mut stream = TcpStream::connect(self.address).await.ok()?;
            stream.read_exact(&mut greeting).await.ok()?;
            (greeting == *b"INFO ").then_some(())
        })
        .await;
        self.process = Some(process);
    }

    /// What it knows of its connections: who each of them is, and what it listens to.
    pub async fn connections(&self) -> Vec<Value> {
        let request = Request::new(self.monitor, "GET", "/connz?auth=true&subs=true");
        let answer = request.send().await.json();
        answer["connections"].as_array().expect("connections").clone()
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running().kill();
        self.process = None;
    }

    /// SIGSTOP.
    pub fn pause(&mut self) {
        self.running().signal_all(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.running().signal_all(Signal::CONT);
    }

    fn running(&mut self) -> &mut ServerProcess {
        self.process.as_mut().expect("nats-server is not running")
    }
}
