//! The original, page by page, into what is known of it.

use super::{
    known::{self, Known},
    report::WayBack,
    row::UserColumns,
    was::Was,
};
use crate::{
    original::{Facts, Original},
    transfer::TransferError,
};

/// What was read of the original.
pub(super) struct Read {
    pub(super) rows: u64,
    pub(super) messages: u64,
    pub(super) columns: UserColumns,
}

pub(super) async fn read(
    original: &mut Original,
    facts: &Facts,
    known: &mut Known,
    report: &mut WayBack,
    mut progress: impl FnMut(u64),
) -> Result<Read, TransferError> {
    let mut read = Read { rows: 0, messages: 0, columns: UserColumns::default() };
    let mut after = None;
    loop {
        let page = original.users(&mut after).await?;
        if page.is_empty() {
            break;
        }
        read.rows += page.len() as u64;
        let mut users = Vec::with_capacity(page.len());
        for user in page {
            match user {
                Ok(user) => {
                    read.columns.email |= user.email.is_some();
                    read.columns.profile |= user.profile.is_some();
                    let email = user.email.unwrap_or_default();
                    users
                        .push((user.id.to_string(), known::entry(&email, user.profile.as_deref())));
                }
                Err(row) => report.note_unread(&row),
            }
        }
        known.add_original_users(users).await?;
        progress(read.rows);
    }
    // A new one has one at least.
    read.columns.email |= facts.users == 0;
    let mut after = i64::MIN;
    loop {
        let page = original.threads(&mut after).await?;
        if page.is_empty() {
            break;
        }
        read.rows += page.len() as u64;
        let mut ids = Vec::with_capacity(page.len());
        for thread in page {
            match thread {
                Ok(thread) => ids.push(thread.id),
                Err(row) => {
                    report.note_unread(&row);
                    ids.extend(row.id.parse::<i64>());
                }
            }
        }
        known.add_original_threads(ids).await?;
        progress(read.rows);
    }
    let mut after = i64::MIN;
    loop {
        let page = original.messages(&mut after, facts.newest_message).await?;
        if page.is_empty() {
            break;
        }
        read.rows += page.len() as u64;
        read.messages += page.len() as u64;
        let mut messages = Vec::with_capacity(page.len());
        for message in page {
            match message {
                Ok(message) => messages.push(Was::of(message)),
                Err(row) => {
                    report.note_unread(&row);
                    messages.extend(row.id.parse::<i64>().map(Was::unread));
                }
            }
        }
        known.add_original_messages(messages).await?;
        progress(read.rows);
    }
    original.end().await?;
    Ok(read)
}
