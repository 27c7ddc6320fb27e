//! First messages, which open presence and typing.

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::StatusCode;
use uuid::Uuid;

use crate::{
    Result,
    client::{Http, User},
    server::Target,
};

/// Requests at a time.
const CONNECTIONS: usize = 32;

/// Has the first of each pair write to the second, who has been there once.
pub(super) async fn first_messages(target: &Target, pairs: &[(&User, &User)]) -> Result<()> {
    let parts = pairs.chunks(pairs.len().div_ceil(CONNECTIONS).max(1)).enumerate();
    let calls = parts.map(|(number, part)| async move {
        let mut http = Http::connect(target.door(number)).await?;
        for (sender, receiver) in part {
            http.get("/v2/me", receiver, false).await?.expect(StatusCode::OK)?;
            let path = format!("/v2/threads/{}/messages", receiver.id);
            let client_ref = Uuid::new_v4();
            let body = format!(r#"{{"message_body":"hello","client_ref":"{client_ref}"}}"#);
            let call = http.post(&path, sender, "application/json", Bytes::from(body));
            call.await?.expect(StatusCode::CREATED)?;
        }
        Result::Ok(())
    });
    try_join_all(calls).await?;
    Ok(())
}
