//! All of a user's data: JSON lines, and files below `attachments`. Last comes what the export says of itself: one that has it is
//! whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use netrox_core::lines::{
    AttachmentLine, BlockLine, ExternalIdLine, LINES_FILE, LINES_FORMAT, LineKind, MANIFEST_FILE,
    MarkLine, MessageLine, Moment, RevocationLine, SessionLine, ThreadLine, UserLine, raw_line,
};
use netrox_proto::{
    attachment_path,
    time::micros,
    v1::{
        ExportEnd, ExportUserRequest, ExportUserResponse, ListBlocksResponse, ListSessionsResponse,
        Message, Thread, ThreadState, UserRecord, export_user_response::Part,
    },
};
use prost_types::Timestamp;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use tonic::Streaming;
use uuid::Uuid;

use super::shown::{print, time};
use crate::{
    failure::Failure,
    link::{Link, refused},
    sources::{SettingError, Sources},
};

const WHAT: &str = "the export";
const MICROS_A_SECOND: i64 = 1_000_000;

pub(super) async fn run(
    link: &Link,
    user: Uuid,
    directory: &Path,
    as_json: bool,
    sources: &Sources,
) -> Result<(), Failure> {
    prepare(directory).map_err(|reason| SettingError::new("DIR", reason))?;
    let request = ExportUserRequest { user_id: user.to_string(), with_blocks: true };
    let answer = link.admin().export_user(request).await;
    let answer = answer.map_err(|status| refused(&status, WHAT, sources))?;
    let mut export = Export::begin(directory, user)?;
    let end = export.receive(answer.into_inner(), sources).await?;
    let missing = export.missing.len();
    let silent = (!export.has_all_sessions).then(|| export.silent_edges.join(", "));
    let manifest = export.finish(user, &end)?;
    print(&manifest, as_json)?;
    if let Some(silent) = silent {
        let _ = writeln!(
            io::stderr(),
            "warning: sessions may be missing, because edges have not answered: {silent}"
        );
    }
    match missing {
        0 => Ok(()),
        missing => Err(Failure::Unsound(format!(
            "{missing} files of messages are missing; all else was exported"
        ))),
    }
}

/// A directory of others' data, or of an earlier export, is left as it is.
fn prepare(directory: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", directory.display());
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(format!("{} is not empty: nothing was changed", directory.display())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(directory).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// For nobody else.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn failure(source: io::Error) -> Failure {
    Failure::System { what: WHAT, source }
}

/// What a core sends that no core should.
fn wrong(what: &'static str) -> Failure {
    failure(io::Error::new(io::ErrorKind::InvalidData, what))
}

struct Export<'a> {
    directory: &'a Path,
    user: Uuid,
    lines: BufWriter<File>,
    /// The file that bytes are of, and how many are to come.
    file: Option<(File, i64)>,
    missing: Vec<String>,
    has_all_sessions: bool,
    silent_edges: Vec<String>,
}

impl<'a> Export<'a> {
    fn begin(directory: &'a Path, user: Uuid) -> Result<Self, Failure> {
        let lines = make_file(&directory.join(LINES_FILE)).map_err(failure)?;
        Ok(Self {
            directory,
            user,
            lines: BufWriter::new(lines),
            file: None,
            missing: Vec::new(),
            has_all_sessions: false,
            silent_edges: Vec::new(),
        })
    }

    async fn receive(
        &mut self,
        mut responses: Streaming<ExportUserResponse>,
        sources: &Sources,
    ) -> Result<ExportEnd, Failure> {
        loop {
            let next = responses.message().await;
            let next = next.map_err(|status| refused(&status, WHAT, sources))?;
            match next.and_then(|response| response.part) {
                Some(Part::Record(record)) => self.record(&record)?,
                Some(Part::Sessions(sessions)) => self.sessions(&sessions)?,
                Some(Part::Blocks(blocks)) => self.blocks(&blocks)?,
                Some(Part::Thread(thread)) => self.thread(&thread)?,
                Some(Part::Messages(messages)) => {
                    for message in messages.messages {
                        self.message(message)?;
                    }
                }
                Some(Part::File(file)) => {
                    self.end_file()?;
                    match file.missing {
                        true => self.missing.push(file.path),
                        false => self.begin_file(&file.path, file.size)?,
                    }
                }
                Some(Part::Chunk(chunk)) => {
                    let Some((file, rest)) = &mut self.file else {
                        return Err(wrong("bytes of no file"));
                    };
                    *rest -= chunk.len() as i64;
                    file.write_all(&chunk).map_err(failure)?;
                }
                Some(Part::End(end)) => {
                    self.end_file()?;
                    return Ok(end);
                }
                None => return Err(wrong("the core ended it before its end")),
            }
        }
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.lines, line).map_err(|error| failure(error.into()))?;
        self.lines.write_all(b"\n").map_err(failure)
    }

    fn record(&mut self, record: &UserRecord) -> Result<(), Failure> {
        let user = record.user.clone().unwrap_or_default();
        let id = uuid(&user.id)?;
        self.line(&UserLine {
            kind: LineKind::User,
            id,
            email: user.email,
            profile: json(user.profile_json, || "the profile".to_owned())?,
            external_id: user
                .external_id
                .map(|id| ExternalIdLine { issuer: id.issuer, subject: id.subject }),
            deleted: record.deleted,
            updated: moment(record.updated.as_ref()),
            claims_issued: None,
            upserted: None,
            hides_presence: record.hides_presence,
            last_seen: moment(record.last_seen.as_ref()),
        })?;
        let Some(revoked) = &record.revoked else { return Ok(()) };
        let seconds = |at: &Timestamp| micros(at).div_euclid(MICROS_A_SECOND);
        self.line(&RevocationLine {
            kind: LineKind::Revocation,
            user_id: Some(id),
            token: None,
            issued_until: revoked.issued_until.as_ref().map(seconds).unwrap_or_default(),
            expires_at: revoked.expires_at.as_ref().map(seconds),
        })
    }

    fn sessions(&mut self, listed: &ListSessionsResponse) -> Result<(), Failure> {
        self.has_all_sessions = listed.is_complete;
        self.silent_edges.clone_from(&listed.silent_edges);
        for session in &listed.sessions {
            self.line(&SessionLine {
                kind: LineKind::Session,
                session_id: session.session_id.clone(),
                generation: session.generation,
                edge: session.edge.clone(),
                client_address: session.client_address.clone(),
                opened_at: moment(session.opened_at.as_ref()),
                token_expires_at: moment(session.token_expires_at.as_ref()),
            })?;
        }
        Ok(())
    }

    fn blocks(&mut self, listed: &ListBlocksResponse) -> Result<(), Failure> {
        for block in &listed.blocks {
            self.line(&BlockLine {
                kind: LineKind::Block,
                user_id: self.user,
                peer_id: uuid(&block.peer_id)?,
                created: moment(block.created.as_ref()).unwrap_or(Moment(0)),
            })?;
        }
        Ok(())
    }

    /// Of the other one there is the id alone.
    fn thread(&mut self, thread: &Thread) -> Result<(), Failure> {
        let id_of = |user: Option<&netrox_proto::v1::User>| {
            uuid(user.map(|user| user.id.as_str()).unwrap_or_default())
        };
        let (one, two) = (id_of(thread.user_one.as_ref())?, id_of(thread.user_two.as_ref())?);
        self.line(&ThreadLine {
            kind: LineKind::Thread,
            id: thread.id,
            user_one: one,
            user_two: two,
            created: moment(thread.created.as_ref()).unwrap_or(Moment(0)),
            begun_for_two: None,
        })?;
        let Some(state) = &thread.state else { return Ok(()) };
        let peer = uuid(&state.peer_id)?;
        self.mark(state, if peer == one { two } else { one })
    }

    fn mark(&mut self, state: &ThreadState, user_id: Uuid) -> Result<(), Failure> {
        if state.seen_id == 0 && state.delivered_id == 0 {
            return Ok(());
        }
        self.line(&MarkLine {
            kind: LineKind::Mark,
            thread_id: state.thread_id,
            user_id,
            seen_id: state.seen_id,
            delivered_id: state.delivered_id,
            shown_seen_id: None,
            shown_delivered_id: None,
        })
    }

    fn message(&mut self, message: Message) -> Result<(), Failure> {
        let updated = message.updated.as_ref();
        let updated = moment(updated.filter(|at| message.created.as_ref() != Some(*at)));
        let client_ref = message.client_ref.as_deref().map(uuid).transpose()?;
        self.line(&MessageLine {
            kind: LineKind::Message,
            id: message.id,
            thread_id: message.thread_id,
            sender_id: uuid(&message.sender_id)?,
            receiver_id: uuid(&message.receiver_id)?,
            created: moment(message.created.as_ref()).unwrap_or(Moment(0)),
            updated,
            body: message.body,
            seen: message.seen,
            deleted: message.deleted,
            hidden_for_sender: false,
            hidden_for_receiver: false,
            swallowed: false,
            removed: false,
            receiver_sees: None,
            reply_to_id: message.reply_to_id,
            meta: json(message.meta_json, || format!("the meta of message {}", message.id))?,
            client_ref,
            ref_from_client: client_ref.is_some(),
            attachment: message.attachment.map(|file| AttachmentLine {
                path: file.path,
                file_name: Some(file.file_name),
                size: file.size,
                content_type: file.content_type,
                dispatched: moment(file.dispatched.as_ref()),
            }),
        })
    }

    /// Its path is the core's: one that leads elsewhere is none.
    fn begin_file(&mut self, path: &str, size: i64) -> Result<(), Failure> {
        if !attachment_path::is_valid(path) {
            return Err(wrong("a file whose path is none"));
        }
        let path: PathBuf = self.directory.join(path);
        if let Some(parent) = path.parent() {
            make_directory(parent).map_err(failure)?;
        }
        self.file = Some((make_file(&path).map_err(failure)?, size));
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), Failure> {
        match self.file.take() {
            None => Ok(()),
            Some((file, 0)) => file.sync_all().map_err(failure),
            Some((_, _)) => Err(wrong("a file of another length")),
        }
    }

    fn finish(mut self, user: Uuid, end: &ExportEnd) -> Result<Value, Failure> {
        self.lines.flush().map_err(failure)?;
        self.lines.get_ref().sync_all().map_err(failure)?;
        let manifest = json!({
            "format": LINES_FORMAT,
            "of": "user",
            "user_id": user,
            "program": env!("CARGO_PKG_VERSION"),
            "as_of": time(end.as_of.as_ref()),
            "threads": end.threads,
            "messages": end.messages,
            "files": end.files,
            "missing_files": self.missing,
            "has_all_sessions": self.has_all_sessions,
            "silent_edges": self.silent_edges,
        });
        let mut file = make_file(&self.directory.join(MANIFEST_FILE)).map_err(failure)?;
        writeln!(file, "{manifest}").and_then(|()| file.sync_all()).map_err(failure)?;
        Ok(manifest)
    }
}

/// What cannot be written into a line must not be left out of it in silence.
fn json(
    text: Option<String>,
    of: impl FnOnce() -> String,
) -> Result<Option<Box<RawValue>>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is no JSON", of()));
    raw_line(text).map(Some).ok_or_else(|| failure(wrong()))
}

fn uuid(text: &str) -> Result<Uuid, Failure> {
    Uuid::try_parse(text).map_err(|_| wrong("an id that is none"))
}

fn moment(at: Option<&Timestamp>) -> Option<Moment> {
    at.map(|at| Moment(micros(at)))
}
