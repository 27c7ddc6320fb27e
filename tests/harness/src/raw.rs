//! A TCP connection, for what a well-behaved client cannot send.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{Edge, within};

/// A connection on which the test writes and reads bytes.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// Read, but not asked for yet.
    buffer: Vec<u8>,
}

impl Edge {
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Self { stream, buffer: Vec::new() }
    }

    /// A connection that takes in little that is not read: for a reader that stalls.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set SO_RCVBUF");
        let stream = within("a connection", socket.connect(address)).await.expect("connect");
        Self { stream, buffer: Vec::new() }
    }

    /// A connection that comes from that address of this machine.
    pub async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("an address of this machine");
        let stream = within("a connection", socket.connect(address)).await.expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        Self { stream, buffer: Vec::new() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within("room to write", self.stream.write_all(bytes.as_ref())).await.expect("write");
    }

    /// Writes; false where the peer has closed the connection.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("room to write", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Says that no more will be written.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.expect("half-close");
    }

    /// Reads up to and including the empty line that ends the head of an HTTP answer.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.buffer.drain(..at + 4).collect();
                return String::from_utf8(head).expect("a text head");
            }
            let read = self.fill().await;
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Reads a whole answer, of which the length stands in its head; gives the head.
    pub async fn answer(&mut self) -> String {
        let head = self.head().await;
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|length| length.parse().ok()).expect("a Content-Length");
        self.exactly(length).await;
        head
    }

    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let read = self.fill().await;
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads and forgets up to `most` bytes; gives how many, 0 at the end of the connection.
    pub async fn some(&mut self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        within("bytes", self.stream.read(&mut bytes)).await.unwrap_or(0)
    }

    /// A reset counts as an end.
    async fn fill(&mut self) -> usize {
        within("bytes", self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0)
    }

    /// Makes the handshake of a WebSocket and leaves the connection just behind it.
    pub async fn upgrade(&mut self, path: &str) {
        self.write(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Reads one unfragmented frame of a server: its opcode and payload, below 64 KiB.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.exactly(2).await;
        let length = match head[1] {
            126 => {
                let length = self.exactly(2).await;
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            length => usize::from(length),
        };
        (head[0] & 0x0f, self.exactly(length).await)
    }

    /// Reads frames up to a close frame and returns its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            if let (8, payload) = self.frame().await {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

/// A masked frame, as clients send it: the first byte as given, the mask zero.
pub fn client_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
