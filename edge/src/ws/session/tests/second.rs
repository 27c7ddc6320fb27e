//! Sessions of the second generation.

mod answers;
mod presence;
mod receipts;
mod stream;
mod token;
mod typing;

use super::*;
use crate::ws::handshake::begin;

impl World {
    /// A connection that goes on after a cursor, where there is one.
    async fn second_raw(
        &self,
        number: u128,
        after: Option<&str>,
        pipe_bytes: usize,
    ) -> DuplexStream {
        let connection = self.begin(number, after).await.expect("a stream");
        self.serve(connection, pipe_bytes, None)
    }

    async fn begin(&self, number: u128, after: Option<&str>) -> Result<Connection, Failure> {
        let web_sockets = &self.edge.shared.web_sockets;
        let place = web_sockets.sockets.place(user(number)).expect("a place");
        let mut connection =
            web_sockets.sockets.join(place, Generation::V2, Default::default()).expect("no drain");
        begin(web_sockets, &mut connection, after).await?;
        connection.admit();
        Ok(connection)
    }

    async fn second(&self, number: u128, after: Option<&str>) -> Client {
        Client::new(self.second_raw(number, after, PIPE_BYTES).await).await
    }

    /// A connection that begins at the end, behind `hello` and `live`.
    async fn live(&self, number: u128) -> Client {
        let mut client = self.second(number, None).await;
        client.action("hello").await;
        client.action("live").await;
        client
    }
}

impl Client {
    /// The next frame, which is of that action.
    async fn action(&mut self, action: &str) -> Value {
        let frame = self.json().await;
        assert_eq!(frame["action"], action, "{frame}");
        frame
    }

    /// The next frame that is an answer.
    async fn answer(&mut self) -> Value {
        loop {
            let frame = self.json().await;
            if frame["action"] == "ack" || frame["action"] == "error" {
                return frame;
            }
        }
    }

    /// The text frames until the connection falls silent.
    async fn rest(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Ok(frame) = timeout(seconds(1), self.json()).await {
            frames.push(frame);
        }
        frames
    }
}

fn client_ref(number: usize) -> String {
    uuid::Uuid::from_u128(0x0191_f7e5_2a40_4123_8000_0000_0000_0000 + number as u128).to_string()
}

fn message_to(receiver: u128, number: usize) -> Value {
    json!({
        "action": "chat_message",
        "message_body": number.to_string(),
        "receiver_id": user(receiver).to_string(),
        "client_ref": client_ref(number),
    })
}

fn mark(action: &str, reference: Option<&str>, peer: u128, up_to: i64) -> Value {
    json!({
        "action": action,
        "ref": reference,
        "peer_id": user(peer).to_string(),
        "up_to": up_to,
    })
}

fn cursor(frame: &Value) -> &str {
    frame["cursor"].as_str().expect("a cursor")
}
