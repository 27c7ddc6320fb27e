//! What is read of REST answers.

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Result,
    client::{Http, User},
    server::Target,
};

#[derive(Deserialize)]
struct Snapshot {
    cursor: String,
}

/// Where the user's feed ends. On a connection of its own: a server closes one that was idle during a load.
pub(super) async fn cursor(target: &Target, user: &User) -> Result<String> {
    let mut http = Http::connect(target.door(0)).await?;
    let Snapshot { cursor } = get(&mut http, "/v2/sync?limit=1", user).await?;
    Ok(cursor)
}

/// Parses an answer.
pub(super) async fn get<T: DeserializeOwned>(
    http: &mut Http,
    path: &str,
    user: &User,
) -> Result<T> {
    let answer = http.get(path, user, true).await?.expect(StatusCode::OK)?;
    Ok(serde_json::from_slice(&answer.content)?)
}
