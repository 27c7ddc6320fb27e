//! An internal service that puts two users into the directory, subscribes as one of them and sends to
//! it as the other:
//!
//!     cargo run --example send -- http://127.0.0.1:50051 "$(cat data/service-token)"

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;

use netrox_proto::v1::{
    SendMessageRequest, SubscribeRequest, UpsertUsersRequest, UserChange,
    chat_service_client::ChatServiceClient, directory_service_client::DirectoryServiceClient,
    event::Change,
};
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};
use uuid::Uuid;

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(core), Some(service_token)) = (arguments.next(), arguments.next()) else {
        return Err("usage: send CORE SERVICE_TOKEN".into());
    };
    let authorization: AsciiMetadataValue = format!("Bearer {service_token}").parse()?;
    let channel = Channel::from_shared(core)?.connect().await?;
    let authorize = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", authorization.clone());
        Ok(request)
    };
    let mut directory =
        DirectoryServiceClient::with_interceptor(channel.clone(), authorize.clone());
    let mut chat = ChatServiceClient::with_interceptor(channel, authorize);

    let users = [(ALICE, "alice@example.com"), (BOB, "bob@example.com")].map(|(id, email)| {
        UserChange { id: id.into(), email: Some(email.into()), ..Default::default() }
    });
    directory.upsert_users(UpsertUsersRequest { users: users.into() }).await?;

    let subscribe = SubscribeRequest { user_id: BOB.into(), ..SubscribeRequest::default() };
    let mut events = chat.subscribe(subscribe).await?.into_inner();
    // The first response confirms the position; from then on nothing is missed.
    events.message().await?;

    // Repeated with the same client_ref after any failure, it would still be stored once.
    let message = SendMessageRequest {
        sender_id: ALICE.into(),
        receiver_id: BOB.into(),
        body: "hello from a service".into(),
        client_ref: Some(Uuid::new_v4().to_string()),
        ..Default::default()
    };
    let sent = chat.send_message(message).await?.into_inner();
    println!("sent message {}", sent.message_id);

    while let Some(response) = events.message().await? {
        for event in response.events {
            if let Some(Change::Message(message)) = event.change {
                println!("bob got message {}: {}", message.id, message.body);
                return Ok(());
            }
        }
    }
    Err("the subscription ended".into())
}
