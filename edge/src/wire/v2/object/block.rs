//! A user who is blocked.

use netrox_proto::v1;
use serde::Serialize;

use crate::wire::v1::RestTimestamp;

#[derive(Serialize)]
pub(crate) struct BlockObject<'a> {
    peer_id: &'a str,
    created: RestTimestamp,
}

impl<'a> BlockObject<'a> {
    pub(crate) fn of(block: &'a v1::Block) -> Self {
        Self { peer_id: &block.peer_id, created: block.created.as_ref().into() }
    }
}
