//! A WebSocket client that shows frames as they came.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use netrox_described::check_frame;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, StatusCode},
        protocol::CloseFrame,
    },
};
use uuid::Uuid;

use crate::{User, eventually, within};

/// An open WebSocket. Pings are answered whenever a frame is awaited.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Frames of the second generation are held against `docs/asyncapi.yaml`.
    is_second: bool,
}

/// How a socket came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The server sent a close frame with this code.
    Closed(u16),
    /// The connection broke without one.
    Broken,
}

impl Socket {
    /// Opens a socket; the handshake must succeed. 503 asks for another attempt: a core may be slow, or just come back.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Self {
        eventually("a socket", async || match Self::try_open(address, path, headers).await {
            Ok(socket) => Some(socket),
            Err(Error::Http(answer)) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => None,
            Err(error) => panic!("open a socket: {error:?}"),
        })
        .await
    }

    /// Opens a socket; an error is one of the connection, or any answer but 101.
    pub async fn try_open(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value)?);
        }
        within("a WebSocket handshake", async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let (stream, answer) = client_async(request, tcp).await?;
            let is_named = answer.headers().contains_key("sec-websocket-protocol");
            Ok(Self { stream, is_second: is_named || path.contains("protocol=2") })
        })
        .await
    }

    /// Opens a socket whose kernel buffer takes only about so many bytes that nobody reads.
    pub async fn open_narrow(address: SocketAddr, path: &str, receive_buffer: u32) -> Self {
        let request = format!("ws://{address}{path}");
        within("a WebSocket handshake", async {
            let tcp = TcpSocket::new_v4().expect("a socket");
            tcp.set_recv_buffer_size(receive_buffer).expect("set SO_RCVBUF");
            let tcp = tcp.connect(address).await.expect("connect");
            let (stream, _) = client_async(request, tcp).await.expect("a handshake");
            Self { stream, is_second: path.contains("protocol=2") }
        })
        .await
    }

    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, frame: &str) {
        self.send_message(Message::text(frame)).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        within("room to send", self.stream.send(message)).await.expect("send on the socket");
    }

    /// Puts a frame into the buffer; [`Self::flush`] sends what is in it.
    pub async fn feed(&mut self, frame: &Value) {
        let message = Message::text(frame.to_string());
        within("room to send", self.stream.feed(message)).await.expect("send on the socket");
    }

    pub async fn flush(&mut self) {
        within("room to send", self.stream.flush()).await.expect("send on the socket");
    }

    /// Sends a text message.
    pub async fn say(&mut self, receiver: &User, body: &str) {
        self.send(&chat_message(&receiver.id, body)).await;
    }

    /// Sends the frame that dispatches an uploaded message.
    pub async fn dispatch(&mut self, chat_id: impl Into<Value>) {
        let chat_id: Value = chat_id.into();
        self.send(&json!({"action": "chat_message_file", "chat_id": chat_id})).await;
    }

    /// The next text frame, as it came.
    pub async fn next_text(&mut self) -> String {
        loop {
            match self.next_message().await {
                Ok(Message::Text(text)) => {
                    if self.is_second {
                        check_frame(&text);
                    }
                    return text.to_string();
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("instead of a text frame: {other:?}"),
            }
        }
    }

    pub async fn next(&mut self) -> Value {
        let text = self.next_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next frame, which must be a `re_message` with this body.
    pub async fn expect_body(&mut self, body: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["action"], "re_message", "{frame}");
        assert_eq!(frame["message_body"], body, "{frame}");
        frame
    }

    /// The next frame, which must be an error with this code; returns its message.
    pub async fn expect_error(&mut self, code: &str) -> String {
        let text = self.next_text().await;
        let frame: Value = serde_json::from_str(&text).expect("a JSON frame");
        assert_eq!(frame["code"], code, "{text}");
        let message = frame["message"].as_str().unwrap_or_else(|| panic!("no message: {text}"));
        let quoted = Value::from(message);
        assert_eq!(text, format!(r#"{{"action":"error","code":"{code}","message":{quoted}}}"#));
        message.to_owned()
    }

    /// The next message of any kind, pings included.
    pub async fn next_message(&mut self) -> Result<Message, Error> {
        within("a frame", self.stream.next()).await.unwrap_or(Err(Error::ConnectionClosed))
    }

    /// Reads up to the end of the connection, past whatever comes before.
    pub async fn end(&mut self) -> End {
        let mut end = End::Broken;
        loop {
            match self.next_message().await {
                Ok(Message::Close(Some(CloseFrame { code, .. }))) => end = End::Closed(code.into()),
                Ok(_) => {}
                Err(_) => return end,
            }
        }
    }

    pub async fn close(mut self) {
        within("a close", self.stream.close(None)).await.expect("close the socket");
        self.end().await;
    }

    /// Fails if anything but what is awaited already was on its way to this socket of `me`: sends a
    /// message to it through `other`, which must be the next frame.
    ///
    /// Events reach a user in the order in which they were committed, so what `other` caused or
    /// witnessed before would come first.
    pub async fn expect_silence(&mut self, me: &User, other: &mut Socket) {
        let fence = format!("canary-fence-{}", Uuid::new_v4());
        other.say(me, &fence).await;
        self.expect_body(&fence).await;
    }

    /// Fails if any frame was on its way here as an answer to what this socket sent: provokes an
    /// error, which must be the next frame.
    pub async fn expect_no_answer(&mut self) {
        self.send(&json!({"action": "fence"})).await;
        self.expect_error("unknown_action").await;
    }
}

/// The documented frame of a text message.
pub fn chat_message(receiver_id: &str, body: &str) -> Value {
    json!({"action": "chat_message", "message_body": body, "receiver_id": receiver_id})
}
