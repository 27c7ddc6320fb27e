//! The way through one user's conversations: threads, then each history, then the files of each.

use std::{fs::File, sync::Arc};

use http::{HeaderValue, StatusCode};
use netrox_edge::config::UserIds;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    attached::Attached,
    compare::{Difference, Kind},
    history::compare_histories,
    ledger::{Ledger, Where},
    rule::{FILE, HISTORY, THREADS},
    server::{Answer, Server, Trouble},
    threads::{Peer, compare_threads},
    users::Named,
};

/// How many files of a conversation are read out of their list at a time.
const FILES_AT_A_TIME: usize = 256;

/// What all walks share.
pub(super) struct Walks {
    pub(super) original: Server,
    pub(super) candidate: Server,
    pub(super) user_ids: UserIds,
    pub(super) ledger: Arc<Ledger>,
    pub(super) stop: CancellationToken,
}

/// Two answers to one request.
type Both<B> = [Answer<B>; 2];

impl Walks {
    /// Fails with the reason why it is of no use to go on.
    pub(super) async fn user(&self, user: Named, token: HeaderValue) -> Result<(), String> {
        let at = Where::user(&user.id);
        let path = ["chat", "get-user-threads"];
        let (original, candidate) =
            tokio::join!(self.original.list(&path, &token), self.candidate.list(&path, &token));
        let Some(both) = self.both(&at, original, candidate)? else { return Ok(()) };
        let Some(lists) = self.lists(&at, THREADS, both) else { return Ok(()) };
        let peers = {
            let (ledger, user_ids, user) = (self.ledger.clone(), self.user_ids.clone(), user);
            blocking(move || compare_threads(lists, &user, &user_ids, &ledger)).await?
        };
        for peer in peers {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            self.history(&at.with_peer(&peer.original), &peer, &token).await?;
        }
        self.ledger.add(|totals| totals.users += 1);
        Ok(())
    }

    async fn history(&self, at: &Where, peer: &Peer, token: &HeaderValue) -> Result<(), String> {
        let [one, two] =
            [&peer.original, &peer.candidate].map(|peer| ["chat", "messages", peer.as_str()]);
        let (original, candidate) =
            tokio::join!(self.original.list(&one, token), self.candidate.list(&two, token));
        let Some(both) = self.both(at, original, candidate)? else { return Ok(()) };
        let needs_list = both[0].status == StatusCode::OK;
        let Some(histories) = self.lists(at, HISTORY, both) else { return Ok(()) };
        let mut attached = {
            let (ledger, stop, at) = (self.ledger.clone(), self.stop.clone(), at.clone());
            blocking(move || {
                let attached = compare_histories(histories, needs_list, &at, &ledger, &stop)?;
                attached.finish().map_err(|error| format!("a temporary file: {error}"))
            })
            .await?
        };
        loop {
            let (lines, files) = blocking(move || {
                let files = attached.take(FILES_AT_A_TIME);
                files
                    .map(|files| (attached, files))
                    .map_err(|error| format!("a temporary file: {error}"))
            })
            .await?;
            attached = lines;
            if files.is_empty() {
                break;
            }
            for file in files {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                let at = Where { message: file.message.clone(), ..at.clone() };
                self.file(&at, &file, token).await?;
            }
        }
        self.ledger.add(|totals| totals.histories += 1);
        Ok(())
    }

    async fn file(&self, at: &Where, file: &Attached, token: &HeaderValue) -> Result<(), String> {
        let (original, candidate) = tokio::join!(
            self.original.file(&file.original, token),
            self.candidate.file(&file.candidate, token)
        );
        let Some([original, candidate]) = self.both(at, original, candidate)? else {
            return Ok(());
        };
        if !self.is_same_status(at, FILE, original.status, candidate.status) {
            return Ok(());
        }
        match original.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                self.ledger.add(|totals| totals.missing_files += 1);
                return Ok(());
            }
            status => {
                self.ledger.fail(at, refused("the file", status));
                return Ok(());
            }
        }
        self.compare_text(at, "file.content_type", &original.content_type, &candidate.content_type);
        if original.bytes != candidate.bytes {
            let sizes = [original.bytes, candidate.bytes].map(|bytes| bytes.to_string());
            self.differ(at, "file.size", Some(&sizes[0]), Some(&sizes[1]));
        } else if original.body != candidate.body {
            let hashes = [original.body, candidate.body]
                .map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            // Of hashes, nothing has to be hidden.
            self.differ(at, "file.bytes", Some(&quoted(&hashes[0])), Some(&quoted(&hashes[1])));
        }
        self.ledger.add(|totals| totals.files += 1);
        Ok(())
    }

    /// Both answers, if they came.
    fn both<B>(
        &self,
        at: &Where,
        original: Result<Answer<B>, Trouble>,
        candidate: Result<Answer<B>, Trouble>,
    ) -> Result<Option<Both<B>>, String> {
        match (original, candidate) {
            (Ok(original), Ok(candidate)) => {
                self.ledger.add(|totals| totals.bytes += original.bytes + candidate.bytes);
                Ok(Some([original, candidate]))
            }
            (Err(Trouble::Stop(reason)), _) | (_, Err(Trouble::Stop(reason))) => Err(reason),
            (Err(Trouble::Missed(reason)), _) | (_, Err(Trouble::Missed(reason))) => {
                self.ledger.fail(at, reason);
                Ok(None)
            }
        }
    }

    /// The bodies of both, if there is something in them to compare.
    fn lists(
        &self,
        at: &Where,
        what: &str,
        [original, candidate]: Both<File>,
    ) -> Option<[File; 2]> {
        if !self.is_same_status(at, what, original.status, candidate.status) {
            return None;
        }
        // That there is no such user is an answer. Where a token is refused, nothing is compared.
        let is_answer = original.status == StatusCode::OK
            || original.status == StatusCode::NOT_FOUND && what == HISTORY;
        if !is_answer {
            self.ledger.fail(at, refused("the request", original.status));
            return None;
        }
        let path = format!("{what}.http.content_type");
        self.compare_text(at, &path, &original.content_type, &candidate.content_type);
        Some([original.body, candidate.body])
    }

    fn is_same_status(
        &self,
        at: &Where,
        what: &str,
        original: StatusCode,
        candidate: StatusCode,
    ) -> bool {
        if original == candidate {
            return true;
        }
        let path = match what {
            FILE => "file.status".to_owned(),
            what => format!("{what}.http.status"),
        };
        self.differ(at, &path, Some(original.as_str()), Some(candidate.as_str()));
        false
    }

    fn compare_text(
        &self,
        at: &Where,
        path: &str,
        original: &Option<String>,
        candidate: &Option<String>,
    ) {
        if original != candidate {
            let [one, two] = [original, candidate].map(|text| text.as_deref().map(quoted));
            self.differ(at, path, one.as_deref(), two.as_deref());
        }
    }

    fn differ(&self, at: &Where, path: &str, original: Option<&str>, candidate: Option<&str>) {
        let kind = Kind::Value;
        self.ledger.tell(at, Difference { path, kind, original, candidate }, false);
    }
}

fn refused(what: &str, status: StatusCode) -> String {
    format!("both servers answer {what} with {}: nothing is compared", status.as_u16())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // It has panicked, or the program ends.
        Err(error) => Err(error.to_string()),
    }
}
