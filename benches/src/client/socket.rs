//! A WebSocket connection that costs little: one buffer, no task of its own.

use std::{io::ErrorKind, sync::Arc};

use super::{
    door::Door,
    frame::{self, Frame},
    stream::Stream,
    user::User,
};
use crate::Result;

const READ_BYTES: usize = 16 * 1024;
/// Longer than any answer to a handshake.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// An open connection. Pings are answered whenever a frame is asked for.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<Stream>,
    buffer: Vec<u8>,
    /// What of the buffer was taken.
    taken: usize,
}

/// The half that sends; any number of them may be held.
#[derive(Debug, Clone)]
pub(crate) struct Sender(Arc<Stream>);

impl Socket {
    /// Opens a connection as documented clients do, with the token in the query.
    pub(crate) async fn open(door: &Door, user: &User) -> Result<Self> {
        Self::open_with(door, user, "").await
    }

    /// Opens a connection of the second generation, which goes on at a cursor if there is one.
    pub(crate) async fn open_second(door: &Door, user: &User, after: Option<&str>) -> Result<Self> {
        let after = after.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        Self::open_with(door, user, &format!("&protocol=2{after}")).await
    }

    async fn open_with(door: &Door, user: &User, parameters: &str) -> Result<Self> {
        let stream = Stream::open(door).await?;
        let mut socket = Self { stream: Arc::new(stream), buffer: Vec::new(), taken: 0 };
        let request = format!(
            "GET /ws/chat/room/?token={}{parameters} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            user.token, door.address
        );
        socket.sender().send(request.as_bytes()).await?;
        let head = loop {
            socket.fill().await?;
            if let Some(at) = socket.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.buffer.len() > MAX_HEAD_BYTES {
                return Err("no end of the answer to a handshake".into());
            }
        };
        if !socket.buffer.starts_with(b"HTTP/1.1 101 ") {
            let answer = String::from_utf8_lossy(&socket.buffer);
            return Err(format!("a handshake was refused: {answer:.200}").into());
        }
        socket.taken = head;
        Ok(socket)
    }

    pub(crate) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.stream))
    }

    /// Waits for bytes and reads what is there.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.reserve(READ_BYTES);
        loop {
            match self.stream.try_read(&mut self.buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.readable().await?
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The payload of the next text frame of what was read.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            let unread = &self.buffer[self.taken..];
            let Some((frame, length)) = frame::parse(unread)? else {
                if unread.is_empty() {
                    // Idle connections are many.
                    (self.buffer, self.taken) = (Vec::new(), 0);
                }
                return Ok(None);
            };
            let start = self.taken;
            self.taken += length;
            match frame {
                Frame::Text(payload) => {
                    return Ok(Some(&self.buffer[start + payload.start..start + payload.end]));
                }
                // A few bytes on a connection that was silent: there is room for them.
                Frame::Ping(payload) => {
                    let pong = &self.buffer[start + payload.start..start + payload.end];
                    self.stream.try_write(&frame::pong(pong))?;
                }
                Frame::Pong => {}
                Frame::Close(code) => {
                    return Err(format!("the server closed a connection with {code:?}").into());
                }
            }
        }
    }

    /// Reads until the connection fails; nothing but pings may come.
    pub(crate) async fn expect_silence(mut self) -> Result<()> {
        loop {
            self.fill().await?;
            if let Some(payload) = self.next()? {
                let text = String::from_utf8_lossy(payload);
                return Err(format!("a sender was sent {text:.300}").into());
            }
        }
    }

    /// Breaks the connection off, without a close of either protocol.
    pub(crate) fn cut(self) -> Result<()> {
        self.stream.set_zero_linger()?;
        Ok(())
    }
}

impl Sender {
    pub(crate) async fn send(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.0.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.0.flush().await?)
    }

    /// What the socket takes at once; for a thread that must not wait.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> Result<()> {
        let written = self.0.try_write(bytes)?;
        if written == bytes.len() && self.0.is_flushed() {
            Ok(())
        } else {
            Err("a socket is full".into())
        }
    }
}
