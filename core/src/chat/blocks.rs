//! Whom a user blocks, page by page.

use netrox_proto::{time::timestamp, v1};

use super::thread_page::{MAX_LIMIT, acting};
use crate::{
    command::parse,
    error::Error,
    store::{Store, block::BlockRow, user::UserRow},
};

pub(super) async fn page(
    store: &Store,
    request: v1::ListBlocksRequest,
) -> Result<v1::ListBlocksResponse, Error> {
    let v1::ListBlocksRequest { user_id, limit, page_token } = request;
    let user_id = parse::user_id("user_id", &user_id)?;
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::InvalidField { field: "limit", problem: "not from 1 to 200" });
    }
    let user = acting(store, user_id).await?;
    let limit = usize::try_from(limit).unwrap_or_default();
    of_user(store, &user, limit, &page_token).await
}

/// Also of one who was deleted.
pub(super) async fn of_user(
    store: &Store,
    user: &UserRow,
    limit: usize,
    token: &str,
) -> Result<v1::ListBlocksResponse, Error> {
    let after = (!token.is_empty()).then(|| parse::block_token(token)).transpose()?;
    let mut rows = store.list_blocks(user.key, after, limit + 1).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().map(|row| row.peer_id().to_string());
    let block = |row: BlockRow| v1::Block {
        peer_id: row.peer_id().to_string(),
        created: Some(timestamp(row.created)),
    };
    Ok(v1::ListBlocksResponse {
        blocks: rows.into_iter().map(block).collect(),
        next_page_token: last.filter(|_| has_more).unwrap_or_default(),
    })
}
