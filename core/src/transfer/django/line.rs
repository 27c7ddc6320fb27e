//! Rows of the original as lines. What has to be other than it is there is noted, and what cannot be is refused.

use netrox_proto::{attachment_path, external_id::ExternalId, file_size};
use uuid::Uuid;

use super::{MappedIds, report::Note};
use crate::{
    lines::{
        AttachmentLine, ExternalIdLine, LineKind, MessageLine, Moment, ThreadLine, UserLine,
        raw_line,
    },
    media::name,
    original::{
        OriginalFile, OriginalMessage, OriginalThread, OriginalUser, OriginalUserId,
        OriginalUserIds,
    },
};

const MAX_EMAIL_BYTES: usize = 320;
const MAX_PROFILE_BYTES: usize = 16_384;

/// How users are called here.
#[derive(Debug)]
pub(super) struct Ids {
    kind: Option<OriginalUserIds>,
    mapped: MappedIds,
}

impl Ids {
    pub(super) fn new(kind: Option<OriginalUserIds>, mapped: &MappedIds) -> Self {
        Self { kind, mapped: mapped.clone() }
    }

    fn of(&self, id: OriginalUserId) -> Result<(Uuid, Option<ExternalId>), String> {
        if self.kind != Some(id.kind()) {
            return Err(format!("{id} is not an id as other users have"));
        }
        match id {
            OriginalUserId::Uuid(uuid) => Ok((uuid, None)),
            OriginalUserId::Number(number) => {
                let external = ExternalId::new(self.mapped.issuer.clone(), number.to_string());
                let external = external.map_err(|error| error.to_string())?;
                let uuid = Uuid::new_v5(&self.mapped.namespace, external.name().as_bytes());
                Ok((uuid, Some(external)))
            }
        }
    }

    fn id(&self, id: OriginalUserId) -> Result<Uuid, String> {
        self.of(id).map(|(uuid, _)| uuid)
    }

    /// As of a time.
    pub(super) fn user(
        &self,
        row: OriginalUser,
        now: i64,
        notes: &mut Vec<Note>,
    ) -> Result<UserLine, String> {
        let (id, external) = self.of(row.id)?;
        let email = row.email.unwrap_or_default();
        let has_room = email.len() <= MAX_EMAIL_BYTES;
        if !has_room {
            notes.push(Note::EmailLeftOut);
        }
        let profile = row.profile.filter(|profile| {
            let has_room = profile.len() <= MAX_PROFILE_BYTES;
            if !has_room {
                notes.push(Note::ProfileLeftOut);
            }
            has_room
        });
        Ok(UserLine {
            kind: LineKind::User,
            id,
            email: if has_room { email } else { String::new() },
            profile: profile.and_then(raw_line),
            external_id: external.map(|external| ExternalIdLine {
                issuer: external.issuer().to_owned(),
                subject: external.subject().to_owned(),
            }),
            deleted: false,
            updated: Some(Moment(now)),
            claims_issued: None,
            upserted: None,
            hides_presence: false,
            last_seen: None,
        })
    }

    pub(super) fn thread(&self, row: &OriginalThread) -> Result<ThreadLine, String> {
        Ok(ThreadLine {
            kind: LineKind::Thread,
            id: row.id,
            user_one: self.id(row.user_one)?,
            user_two: self.id(row.user_two)?,
            created: Moment(row.created),
            begun_for_two: None,
        })
    }

    /// `found`: bytes and type of its file, where there is one.
    pub(super) fn message(
        &self,
        row: OriginalMessage,
        found: Option<(i64, &'static str)>,
        notes: &mut Vec<Note>,
    ) -> Result<MessageLine, String> {
        let is_of_text = row.file.is_none() && !row.deleted;
        if is_of_text && row.message.is_empty() {
            notes.push(Note::Empty);
        }
        if row.deleted && !row.message.is_empty() {
            notes.push(Note::TextOfDeleted);
        }
        let created = Moment(row.created);
        let file = row.file.map(|file| match row.deleted {
            true => erased(file, created),
            false => attached(file, found, created, notes),
        });
        Ok(MessageLine {
            kind: LineKind::Message,
            id: row.id,
            thread_id: row.thread_id,
            sender_id: self.id(row.sender_id)?,
            receiver_id: self.id(row.receiver_id)?,
            created,
            updated: Some(Moment(row.updated)).filter(|updated| *updated != created),
            body: if row.deleted { String::new() } else { row.message },
            seen: row.seen,
            deleted: row.deleted,
            hidden_for_sender: false,
            hidden_for_receiver: false,
            swallowed: false,
            removed: false,
            receiver_sees: None,
            reply_to_id: None,
            meta: None,
            client_ref: None,
            ref_from_client: false,
            attachment: file.transpose()?,
        })
    }
}

/// Receivers are shown it: the original has shown it with the history from the first.
fn attached(
    file: OriginalFile,
    found: Option<(i64, &'static str)>,
    created: Moment,
    notes: &mut Vec<Note>,
) -> Result<AttachmentLine, String> {
    check(&file)?;
    let name = match &file.name {
        Some(given) => {
            let name = name::clean(given);
            if name != *given {
                notes.push(Note::NameCleaned);
            }
            name
        }
        None => {
            notes.push(Note::NameMissing);
            name::clean(&file.path)
        }
    };
    let told = file.size_text.as_deref();
    if let Some((bytes, _)) = found
        && told.is_some_and(|told| told != file_size::text(Some(bytes)))
    {
        notes.push(Note::SizeDiffers);
    }
    let (size, content_type) =
        found.unwrap_or((told.and_then(file_size::bytes).unwrap_or_default(), UNKNOWN));
    Ok(AttachmentLine {
        path: file.path,
        file_name: Some(name),
        size,
        content_type: content_type.to_owned(),
        dispatched: Some(created),
    })
}

/// Of a message that was deleted, the place is kept, and not the file.
fn erased(file: OriginalFile, created: Moment) -> Result<AttachmentLine, String> {
    check(&file)?;
    let told = file.size_text.as_deref();
    Ok(AttachmentLine {
        path: file.path,
        file_name: None,
        size: told.and_then(file_size::bytes).unwrap_or_default(),
        content_type: UNKNOWN.to_owned(),
        dispatched: Some(created),
    })
}

/// Of a file whose beginning says none, or that is not there.
pub(super) const UNKNOWN: &str = "application/octet-stream";

fn check(file: &OriginalFile) -> Result<(), String> {
    match attachment_path::is_valid(&file.path) {
        true => Ok(()),
        false => Err(format!(
            "the path of its file, {:?}, is not attachments/YYYY/MM/DD/<uuid>[.<extension>]",
            file.path
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::original::FileColumns;

    const NAMESPACE: &str = "997dee3e-4d19-48d8-b178-269c1f59000d";
    const PATH: &str = "attachments/2024/14/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";

    fn ids(kind: OriginalUserIds) -> Ids {
        let namespace = NAMESPACE.parse().expect("a UUID");
        Ids::new(Some(kind), &MappedIds { issuer: String::new(), namespace })
    }

    fn message(file: Option<OriginalFile>) -> OriginalMessage {
        OriginalMessage {
            id: 30,
            thread_id: 1,
            sender_id: OriginalUserId::Number(42),
            receiver_id: OriginalUserId::Number(43),
            message: "hello".to_owned(),
            file,
            seen: true,
            deleted: false,
            created: 5,
            updated: 5,
            columns: FileColumns::default(),
        }
    }

    fn file(name: Option<&str>, size_text: &str) -> OriginalFile {
        let size_text = Some(size_text.to_owned());
        OriginalFile { path: PATH.to_owned(), name: name.map(str::to_owned), size_text }
    }

    #[test]
    fn a_number_is_the_user_that_servers_make_of_it() {
        let ids = ids(OriginalUserIds::Numbers);
        let line = ids.message(message(None), None, &mut Vec::new()).expect("a line");
        // As edge::auth::user has it.
        assert_eq!(line.sender_id.to_string(), "754372ac-f6ce-5f2a-9e9f-b595d308dd31");
        assert_eq!((line.updated, line.seen, &*line.body), (None, true, "hello"));
        let user = OriginalUser { id: OriginalUserId::Number(42), email: None, profile: None };
        let user = ids.user(user, 7, &mut Vec::new()).expect("a line");
        assert_eq!(user.external_id.expect("an external id").subject, "42");
        let other =
            OriginalMessage { sender_id: OriginalUserId::Uuid(line.sender_id), ..message(None) };
        assert!(ids.message(other, None, &mut Vec::new()).is_err());
    }

    #[test]
    fn what_is_told_of_a_file_is_compared_with_it() {
        let ids = ids(OriginalUserIds::Numbers);
        let noted = |file, found| {
            let mut notes = Vec::new();
            let line = ids.message(message(Some(file)), found, &mut notes).expect("a line");
            (line.attachment.expect("a file"), notes)
        };
        let (kept, notes) = noted(file(Some("a.jpg"), "86.73KB"), Some((88_812, "image/jpeg")));
        assert_eq!((kept.size, &*kept.content_type, notes), (88_812, "image/jpeg", vec![]));
        let (_, notes) = noted(file(Some("a.jpg"), "86.7KB"), Some((88_812, "image/jpeg")));
        assert_eq!(notes, [Note::SizeDiffers]);
        let (kept, notes) = noted(file(None, "1.00KB"), Some((1_024, "image/jpeg")));
        assert_eq!(notes, [Note::NameMissing]);
        assert_eq!(kept.file_name.as_deref(), Some("4908f104-b77b-4677-b563-b693a893fef3.jpg"));
        let (kept, notes) = noted(file(Some("x/a\u{202e}.jpg"), "1.00KB"), Some((1_024, "x")));
        assert_eq!((kept.file_name.as_deref(), notes), (Some("a.jpg"), vec![Note::NameCleaned]));
        // Of one that is missing, what was told of it.
        let (kept, _) = noted(file(Some("a.jpg"), "86.73KB"), None);
        assert_eq!(kept.size, 88_812);
        let other = OriginalFile { path: "attachments/a.jpg".to_owned(), ..file(None, "0kb") };
        let refused = ids.message(message(Some(other)), None, &mut Vec::new());
        assert!(refused.is_err_and(|reason| reason.contains("attachments/a.jpg")));
    }

    #[test]
    fn what_was_deleted_has_nothing_left_and_what_is_empty_is_told() {
        let ids = ids(OriginalUserIds::Numbers);
        let mut notes = Vec::new();
        let with_file = message(Some(file(Some("a.jpg"), "86.73KB")));
        let deleted = OriginalMessage { deleted: true, updated: 9, ..with_file };
        let line = ids.message(deleted, None, &mut notes).expect("a line");
        let attachment = line.attachment.expect("a file");
        assert!(line.deleted && line.body.is_empty() && attachment.file_name.is_none());
        assert_eq!((line.updated, notes), (Some(Moment(9)), vec![Note::TextOfDeleted]));
        let mut notes = Vec::new();
        let empty = OriginalMessage { message: String::new(), ..message(None) };
        ids.message(empty, None, &mut notes).expect("a line");
        assert_eq!(notes, [Note::Empty]);
    }
}
