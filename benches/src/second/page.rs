//! What is read of REST answers.

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Result,
    client::{Http, User},
};

#[derive(Deserialize)]
struct Snapshot {
    cursor: String,
}

/// Where the user's feed ends.
pub(super) async fn cursor(http: &mut Http, user: &User) -> Result<String> {
    let Snapshot { cursor } = get(http, "/v2/sync?limit=1", user).await?;
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
