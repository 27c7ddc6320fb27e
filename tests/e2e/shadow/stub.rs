//! A server that answers as a test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// What a request gets.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Json(u16, String),
    File(Vec<u8>),
    /// A head that promises all, and half of the body.
    Half(String),
    /// Nothing, for as long as the client waits.
    Nothing,
}

/// One that listens.
#[derive(Debug)]
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    /// The first line of each request, in the order in which they came.
    asked: Arc<Mutex<Vec<String>>>,
    listening: AbortHandle,
}

impl Stub {
    /// `reply` is given the path, and how many requests for it came before.
    pub(super) async fn start(
        reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, reply) = (asked.clone(), Arc::new(reply));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, reply) = (noted.clone(), reply.clone());
                tokio::spawn(async move {
                    // Whoever goes away is not told more.
                    let _ = answer(stream, &asked, &*reply).await;
                });
            }
        });
        Self { address, asked, listening: listening.abort_handle() }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("requests").clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    reply: &(dyn Fn(&str, usize) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut asked = asked.lock().expect("requests");
        let of_path = asked.iter().filter(|line| line.split(' ').nth(1) == Some(&*path)).count();
        asked.push(line);
        of_path
    };
    let (status, kind, body, sent) = match reply(&path, before) {
        Reply::Json(status, body) => {
            let bytes = body.into_bytes();
            let sent = bytes.len();
            (status, "application/json", bytes, sent)
        }
        Reply::File(bytes) => {
            let sent = bytes.len();
            (200, "image/png", bytes, sent)
        }
        Reply::Half(body) => {
            let bytes = body.into_bytes();
            let sent = bytes.len() / 2;
            (200, "application/json", bytes, sent)
        }
        Reply::Nothing => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Ok(());
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body[..sent]).await?;
    stream.shutdown().await
}
