//! Files that an earlier pass did not find. Sums say nothing of them: messages near them are read again for as long as they are not
//! where servers look for them.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};

use super::line::UNKNOWN;
use crate::{
    backup::{copying::FILES_AT_ONCE, place::Place},
    original::SPAN_IDS,
    store::transfer::intake::Intake,
    transfer::{TransferError, files},
};

/// Spans of messages whose files are missing. Of a file that was found its type is known, unless its beginning says none: only those
/// of none are looked at. `media`: where servers have files; nothing is there of a trial without it.
pub(super) async fn spans(
    intake: &mut Intake,
    media: Option<&Place>,
) -> Result<BTreeSet<i64>, TransferError> {
    let (mut after, mut missing) = ((0, 0), BTreeSet::new());
    loop {
        let page = intake.files_of_type(UNKNOWN, &mut after).await;
        let page = page.map_err(TransferError::Read)?;
        if page.is_empty() {
            return Ok(missing);
        }
        let mut looked = stream::iter(page)
            .map(|(id, path, bytes)| async move {
                let is_there = match media {
                    Some(media) => files::has(media, &path, bytes.unsigned_abs()).await?,
                    None => false,
                };
                Ok::<_, TransferError>((id, is_there))
            })
            .buffered(FILES_AT_ONCE);
        while let Some(file) = looked.next().await {
            let (id, is_there) = file?;
            if !is_there {
                missing.insert(id / SPAN_IDS);
            }
        }
    }
}
