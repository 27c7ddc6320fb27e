//! All of a user's data, as a stream: the user's view of it, thread by thread, each file behind the messages that name it. No more
//! is held than a page, and the queue to whoever reads.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    time::timestamp,
    v1::{self, export_user_response::Part},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Admin, record::Found};
use crate::{audit::Audited, clock, error::Error, media, request, store::user::UserRow};

/// Responses on their way.
const QUEUE: usize = 4;
/// Threads that are read at a time.
const PAGE_THREADS: usize = 16;
/// For the last word to one who does not read.
const LAST_WORD: Duration = Duration::from_secs(1);

type Responses = mpsc::Sender<Result<v1::ExportUserResponse, Status>>;

pub(super) fn spawn(
    admin: Admin,
    found: Found,
    with_blocks: bool,
    audited: Audited,
) -> ReceiverStream<Result<v1::ExportUserResponse, Status>> {
    let (responses, sent) = mpsc::channel(QUEUE);
    let (tasks, id) = (admin.chat.tasks.clone(), RequestId::current());
    let draining = admin.draining.clone();
    let end = v1::ExportEnd::default();
    let export = Export { admin, responses: responses.clone(), with_blocks, end };
    tasks.spawn(request::follow(id, async move {
        let exported = tokio::select! {
            exported = export.run(found) => exported,
            () = draining.cancelled() => Err(Ended::By(Error::ShuttingDown.into())),
            // The audit trail hears of it.
            () = responses.closed() => return,
        };
        let status = match exported {
            Ok(()) => return audited.done(),
            Err(Ended::Gone) => return,
            Err(Ended::By(status)) => status,
        };
        audited.failed(&status);
        let _ = timeout(LAST_WORD, responses.send(Err(status))).await;
    }));
    ReceiverStream::new(sent)
}

/// Of the peer the id alone: the rest is the peer's.
fn of_user(thread: v1::Thread, peer: &str) -> v1::Thread {
    let only_id = |user: v1::User| match user.id == peer {
        true => v1::User { id: user.id, ..v1::User::default() },
        false => user,
    };
    v1::Thread {
        id: thread.id,
        user_one: thread.user_one.map(only_id),
        user_two: thread.user_two.map(only_id),
        created: thread.created,
        last_activity: thread.last_activity,
        state: thread.state.map(|state| v1::ThreadState {
            peer_seen_id: 0,
            peer_delivered_id: 0,
            ..state
        }),
        // It is among the messages.
        last_message: None,
    }
}

/// Why an export goes no further.
enum Ended {
    /// Nobody reads it any more.
    Gone,
    By(Status),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::By(error.into())
    }
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::By(status)
    }
}

struct Export {
    admin: Admin,
    responses: Responses,
    with_blocks: bool,
    /// What was given so far.
    end: v1::ExportEnd,
}

impl Export {
    async fn run(mut self, Found { user, record }: Found) -> Result<(), Ended> {
        self.end.as_of = Some(timestamp(clock::now_micros()));
        self.give(Part::Record(record)).await?;
        let sessions = self.admin.sessions.list(user.id().0).await?;
        self.give(Part::Sessions(sessions)).await?;
        if self.with_blocks {
            self.blocks(&user).await?;
        }
        let ids = self.admin.chat.bulk.list_thread_ids(user.key).await.map_err(Error::from)?;
        for page in ids.chunks(PAGE_THREADS) {
            for thread in self.admin.chat.threads_of(&user, page).await? {
                let peer = thread.state.as_ref().map(|state| state.peer_id.clone());
                // One of which the user was never shown anything is the peer's alone.
                let is_shown = thread.state.as_ref().is_some_and(|state| state.last_id > 0);
                let Some(peer) = peer.filter(|_| is_shown) else { continue };
                self.end.threads += 1;
                self.give(Part::Thread(of_user(thread, &peer))).await?;
                self.conversation(user.id(), peer).await?;
            }
        }
        let end = std::mem::take(&mut self.end);
        self.give(Part::End(end)).await
    }

    async fn blocks(&self, user: &UserRow) -> Result<(), Ended> {
        let mut token = String::new();
        loop {
            let page = self.admin.chat.blocks_of(user, &token).await?;
            token.clone_from(&page.next_page_token);
            if !page.blocks.is_empty() {
                self.give(Part::Blocks(page)).await?;
            }
            if token.is_empty() {
                return Ok(());
            }
        }
    }

    async fn conversation(&mut self, user: UserId, peer: String) -> Result<(), Ended> {
        let mut pages = self.admin.chat.conversation_of(user, peer).await?;
        while let Some(page) = pages.try_next().await? {
            if page.messages.is_empty() {
                continue;
            }
            self.end.messages += page.messages.len() as i64;
            let files = page.messages.iter().filter_map(|message| {
                message.attachment.as_ref().map(|file| (file.path.clone(), file.size))
            });
            let files: Vec<_> = files.collect();
            let messages = v1::MessagesOfThread { messages: page.messages };
            self.give(Part::Messages(messages)).await?;
            for (path, size) in files {
                self.file(path, size).await?;
            }
        }
        Ok(())
    }

    async fn file(&mut self, path: String, size: i64) -> Result<(), Ended> {
        let bytes = u64::try_from(size).unwrap_or_default();
        let opened = match bytes {
            0 => None,
            bytes => match self.admin.media.read(&path, 0..bytes).await {
                Ok(chunks) => Some(chunks),
                Err(error @ (media::Error::NotFound | media::Error::Truncated)) => {
                    self.admin.damaged.tell(&path, &error);
                    self.end.missing_files += 1;
                    let file = v1::ExportedFile { path, size, missing: true };
                    return self.give(Part::File(file)).await;
                }
                Err(error @ media::Error::Unavailable(_)) => {
                    return Err(Error::from(error).into());
                }
            },
        };
        self.end.files += 1;
        self.give(Part::File(v1::ExportedFile { path, size, missing: false })).await?;
        let Some(mut chunks) = opened else { return Ok(()) };
        // One that is cut short in the middle ends the export: what was given of it cannot be taken back.
        while let Some(chunk) = chunks.try_next().await.map_err(Error::from)? {
            self.give(Part::Chunk(chunk)).await?;
        }
        Ok(())
    }

    async fn give(&self, part: Part) -> Result<(), Ended> {
        let response = v1::ExportUserResponse { part: Some(part) };
        self.responses.send(Ok(response)).await.map_err(|_| Ended::Gone)
    }
}
