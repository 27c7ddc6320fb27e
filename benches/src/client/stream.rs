//! A TCP connection, plain or with TLS, that is read and written without waiting: as cheap as the bare one, and without a
//! task of its own.

use std::{
    io::{self, BufRead as _, ErrorKind, Read, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConnection;

use super::door::Door;
use crate::Result;

#[derive(Debug)]
pub(crate) struct Stream {
    tcp: TcpStream,
    tls: Option<Box<Mutex<ClientConnection>>>,
}

impl Stream {
    pub(crate) async fn open(door: &Door) -> Result<Self> {
        let tcp = door.connect().await?;
        let tls = door.connection()?.map(|connection| Box::new(Mutex::new(connection)));
        let stream = Self { tcp, tls };
        stream.shake_hands().await?;
        Ok(stream)
    }

    async fn shake_hands(&self) -> Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        loop {
            self.flush().await?;
            if !connection(tls).is_handshaking() {
                return Ok(());
            }
            self.tcp.readable().await?;
            match take_in(&mut connection(tls), &self.tcp) {
                Ok(0) => return Err("the server closed a connection in its handshake".into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.tcp.readable().await
    }

    /// Reads what is there; 0 at the end.
    pub(crate) fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.tcp.try_read_buf(buffer) };
        let mut tls = connection(tls);
        loop {
            let mut reader = tls.reader();
            match reader.fill_buf() {
                Ok(bytes) => {
                    let length = bytes.len();
                    buffer.extend_from_slice(bytes);
                    reader.consume(length);
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if take_in(&mut tls, &self.tcp)? == 0 {
                return Ok(0);
            }
        }
    }

    /// Writes what is taken at once. With TLS, [`Stream::flush`] waits for the rest of it.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.tcp.try_write(bytes) };
        let mut tls = connection(tls);
        put_out(&mut tls, &self.tcp)?;
        let written = tls.writer().write(bytes)?;
        match put_out(&mut tls, &self.tcp) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(written),
        }
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Whether all that was written has left.
    pub(crate) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !connection(tls).wants_write())
    }

    pub(crate) async fn flush(&self) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        loop {
            let put_out = put_out(&mut connection(tls), &self.tcp);
            match put_out {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                flushed => return flushed,
            }
        }
    }

    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        self.tcp.set_zero_linger()
    }
}

fn connection(tls: &Mutex<ClientConnection>) -> MutexGuard<'_, ClientConnection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads from the socket; 0 at the end.
fn take_in(tls: &mut ClientConnection, tcp: &TcpStream) -> io::Result<usize> {
    let read = tls.read_tls(&mut NotWaiting(tcp))?;
    tls.process_new_packets().map_err(io::Error::other)?;
    Ok(read)
}

fn put_out(tls: &mut ClientConnection, tcp: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(&mut NotWaiting(tcp))?;
    }
    Ok(())
}

struct NotWaiting<'a>(&'a TcpStream);

impl Read for NotWaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for NotWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
