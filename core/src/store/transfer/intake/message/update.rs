//! Messages that are there, and what becomes of them where lines are followed: what their lines say, as far as that is no older, or
//! lines count for more.

use sqlx::FromRow;

use super::{super::Intake, check::check};
use crate::{
    lines::MessageLine,
    media::name,
    store::{
        engine::{Connection, on},
        history::Start,
    },
};

const UPDATE: &str = "\
    update messages set body = $3, updated = $4, seen = $5, deleted = $6, attachment_name = $7,
        attachment_size = $8, attachment_type = $9, attachment_path = $10,
        meta = case when $6 then null else meta end,
        reply_to = case when $6 then null else reply_to end,
        receiver_sees = case when $6 then null else receiver_sees end
    where thread_id = $1 and id = $2";
/// Of a message that came late, and of the one behind it.
const TURNS: &str = "\
    update messages set continues = case when (select p.sender from messages p
            where p.thread_id = messages.thread_id and p.id < messages.id
            order by p.id desc limit 1) = messages.sender then true end
    where thread_id = $1 and (id = $2
        or id = (select min(n.id) from messages n where n.thread_id = $1 and n.id > $2))";
/// A start removes it, as that of any message that was deleted.
const SQLITE_ERASE: &str = "\
    insert into uploads (path, start, erased) values ($1, $2, true)
    on conflict (path) do update set erased = true";
const POSTGRES_ERASE: &str = "\
    insert into uploads (path, begun, start, erased)
    values ($1, (extract(epoch from clock_timestamp()) * 1000000)::bigint, $2, true)
    on conflict (path) do update set erased = true";

/// What the database has of a message.
#[derive(Debug, FromRow)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) thread_id: i64,
    pub(super) sender: i64,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) seen: bool,
    pub(super) deleted: bool,
    pub(super) removed: Option<bool>,
    pub(super) attachment_path: Option<String>,
    pub(super) attachment_name: Option<String>,
    pub(super) attachment_size: Option<i64>,
    pub(super) attachment_type: Option<String>,
    /// Where lines are followed.
    pub(super) body: Option<String>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    thread_id: i64,
    id: i64,
    pub(super) sender: i64,
    body: String,
    updated: i64,
    seen: bool,
    pub(super) deleted: bool,
    pub(super) path: Option<String>,
    /// The file goes.
    pub(super) erased: Option<String>,
    name: Option<String>,
    pub(super) size: Option<i64>,
    content_type: Option<String>,
}

fn updated(line: &MessageLine) -> i64 {
    line.updated.unwrap_or(line.created).0
}

/// Whether it was changed here later than the line says.
pub(super) fn is_newer(known: &Known, line: &MessageLine) -> bool {
    known.removed.is_none() && updated(line) < known.updated
}

/// None where the line says no more than what is there. `yields`: the line counts also where it is older.
pub(super) fn change(
    known: &Known,
    line: &MessageLine,
    yields: bool,
) -> Result<Option<Change>, String> {
    if known.removed.is_some() {
        return Ok(None);
    }
    let updated = updated(line);
    if known.deleted && !line.deleted {
        return match updated <= known.updated && !yields {
            true => Ok(None),
            false => Err("it is deleted here, and no more there: what it was is gone".to_owned()),
        };
    }
    let file = line.attachment.as_ref();
    let is_same_file = file.map(|file| file.path.as_str()) == known.attachment_path.as_deref();
    // Whoever deletes one may take its file away.
    let is_taken_away = line.deleted && file.is_none();
    if !is_same_file && !is_taken_away {
        return Err("it has another file here".to_owned());
    }
    check(line)?;
    let stays = Change {
        thread_id: known.thread_id,
        id: known.id,
        sender: known.sender,
        body: known.body.clone().unwrap_or_default(),
        updated: known.updated,
        seen: known.seen,
        deleted: known.deleted,
        path: known.attachment_path.clone(),
        erased: None,
        name: known.attachment_name.clone(),
        size: known.attachment_size,
        content_type: known.attachment_type.clone(),
    };
    let seen = known.seen || line.seen;
    let becomes = if line.deleted {
        let updated = if yields { updated } else { updated.max(known.updated) };
        Change {
            body: String::new(),
            updated,
            seen,
            deleted: true,
            path: stays.path.clone().filter(|_| is_same_file),
            erased: stays.path.clone().filter(|_| !known.deleted),
            name: None,
            size: stays.size.filter(|_| is_same_file),
            content_type: stays.content_type.clone().filter(|_| is_same_file),
            ..stays.clone()
        }
    } else if updated < known.updated && !yields {
        Change { seen, ..stays.clone() }
    } else {
        let name = file.and_then(|file| file.file_name.as_deref()).map(name::clean);
        Change {
            body: line.body.clone(),
            updated,
            seen,
            name,
            size: file.map(|file| file.size),
            content_type: file.map(|file| file.content_type.clone()),
            ..stays.clone()
        }
    };
    Ok((becomes != stays).then_some(becomes))
}

impl Intake {
    /// The file of one that is deleted goes with the next start.
    pub(super) async fn update_messages(
        &mut self,
        changes: Vec<Change>,
    ) -> Result<(), sqlx::Error> {
        let start = self.start();
        for change in changes {
            on!(
                &mut self.connection,
                execute,
                sqlx::query(UPDATE)
                    .bind(change.thread_id)
                    .bind(change.id)
                    .bind(&change.body)
                    .bind(change.updated)
                    .bind(change.seen)
                    .bind(change.deleted)
                    .bind(&change.name)
                    .bind(change.size)
                    .bind(&change.content_type)
                    .bind(&change.path)
            )?;
            if let Some(path) = change.erased {
                self.erase_later(&path, start).await?;
            }
        }
        Ok(())
    }

    async fn erase_later(&mut self, path: &str, start: Start) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                sqlx::query(SQLITE_ERASE).bind(path).bind(start).execute(connection).await.map(drop)
            }
            Connection::Postgres(connection) => {
                let note = sqlx::query(POSTGRES_ERASE).bind(path).bind(start);
                note.execute(connection).await.map(drop)
            }
        }
    }

    /// Messages that came between others, by their threads: whose turn it is there is another thing now.
    pub(super) async fn turn(&mut self, late: Vec<(i64, i64)>) -> Result<(), sqlx::Error> {
        for (thread, id) in late {
            on!(&mut self.connection, execute, sqlx::query(TURNS).bind(thread).bind(id))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(known: &Known, line: &MessageLine) -> Result<Option<Change>, String> {
        super::change(known, line, false)
    }

    fn line(more: &str) -> MessageLine {
        let text = format!(
            "{{\"type\":\"message\",\"id\":7,\"thread_id\":1,\
            \"sender_id\":\"96bf0d3f-720d-4620-8dee-0f59f997cb51\",\
            \"receiver_id\":\"96bf0d3f-720d-4620-8dee-0f59f997cb52\",\
            \"created\":\"1970-01-01T00:00:01Z\"{more}}}"
        );
        serde_json::from_str(&text).expect(&text)
    }

    fn known() -> Known {
        Known {
            id: 7,
            thread_id: 1,
            sender: 3,
            created: 1_000_000,
            updated: 2_000_000,
            seen: false,
            deleted: false,
            removed: None,
            attachment_path: None,
            attachment_name: None,
            attachment_size: None,
            attachment_type: None,
            body: Some("here".to_owned()),
        }
    }

    const NEWER: &str = ",\"updated\":\"1970-01-01T00:00:03Z\"";
    const SAME: &str = ",\"updated\":\"1970-01-01T00:00:02Z\"";

    #[test]
    fn what_is_newer_is_taken_and_what_is_older_stays() {
        let changed = |more: &str| change(&known(), &line(more)).expect("no conflict");
        assert_eq!(changed(&format!("{SAME},\"body\":\"here\"")), None);
        // Older: of a change since.
        assert_eq!(changed(",\"body\":\"there\""), None);
        let edited = changed(&format!("{NEWER},\"body\":\"there\"")).expect("a change");
        assert_eq!((&*edited.body, edited.updated, edited.seen), ("there", 3_000_000, false));
        // Django's `update()` leaves `updated` as it was.
        let edited = changed(&format!("{SAME},\"body\":\"there\"")).expect("a change");
        assert_eq!((&*edited.body, edited.updated), ("there", 2_000_000));
        let seen = changed(",\"body\":\"there\",\"seen\":true").expect("a change");
        assert_eq!((&*seen.body, seen.updated, seen.seen), ("here", 2_000_000, true));
        let deleted = changed(",\"deleted\":true").expect("a change");
        assert_eq!((&*deleted.body, deleted.updated, deleted.deleted), ("", 2_000_000, true));
    }

    #[test]
    fn what_is_older_is_taken_where_lines_count_for_more() {
        let changed = |known: &Known, more: &str| super::change(known, &line(more), true);
        let older = ",\"body\":\"there\"";
        assert!(is_newer(&known(), &line(older)) && !is_newer(&known(), &line(SAME)));
        let edited = changed(&known(), older).expect("no conflict").expect("a change");
        assert_eq!((&*edited.body, edited.updated), ("there", 1_000_000));
        let deleted = changed(&known(), ",\"deleted\":true").expect("no conflict");
        let deleted = deleted.expect("a change");
        assert_eq!((&*deleted.body, deleted.updated, deleted.deleted), ("", 1_000_000, true));
        // What is not there any more is told at least.
        let gone = Known { deleted: true, body: Some(String::new()), ..known() };
        assert!(changed(&gone, older).is_err_and(|reason| reason.contains("deleted here")));
        let removed = Known { removed: Some(true), ..gone };
        assert_eq!(changed(&removed, older), Ok(None));
        assert!(!is_newer(&removed, &line(older)));
    }

    #[test]
    fn what_is_deleted_or_removed_does_not_come_back() {
        let deleted = || Known { deleted: true, body: Some(String::new()), ..known() };
        assert_eq!(change(&deleted(), &line(",\"body\":\"there\"")), Ok(None));
        assert_eq!(change(&deleted(), &line(&format!("{SAME},\"deleted\":true"))), Ok(None));
        let seen = change(&deleted(), &line(&format!("{SAME},\"deleted\":true,\"seen\":true")));
        assert!(seen.is_ok_and(|change| change.is_some_and(|it| it.seen && it.deleted)));
        let refused = change(&deleted(), &line(&format!("{NEWER},\"body\":\"there\"")));
        assert!(refused.is_err_and(|reason| reason.contains("deleted here")));
        let removed = Known { removed: Some(true), ..deleted() };
        assert_eq!(change(&removed, &line(&format!("{NEWER},\"body\":\"there\""))), Ok(None));
    }

    #[test]
    fn a_file_is_the_same_and_what_is_known_of_it_may_change() {
        let file = |path: &str, size: i64| {
            format!(
                "{SAME},\"body\":\"here\",\"attachment\":{{\"path\":\"attachments/2024/14/17/{path}\",\
                \"file_name\":\"a.txt\",\"size\":{size},\"content_type\":\"text/plain\"}}"
            )
        };
        let (one, two) =
            ("4908f104-b77b-4677-b563-b693a893fef3", "4908f104-b77b-4677-b563-b693a893fef4");
        let with_file = || Known {
            attachment_path: Some(format!("attachments/2024/14/17/{one}")),
            attachment_name: Some("a.txt".to_owned()),
            attachment_size: Some(5),
            attachment_type: Some("text/plain".to_owned()),
            ..known()
        };
        assert_eq!(change(&with_file(), &line(&file(one, 5))), Ok(None));
        let longer = change(&with_file(), &line(&file(one, 6))).expect("no conflict");
        assert_eq!(longer.expect("a change").size, Some(6));
        assert!(change(&with_file(), &line(&file(two, 5))).is_err());
        assert!(change(&known(), &line(&file(one, 5))).is_err());
        let erased = format!("{},\"deleted\":true", file(one, 5).replace("\"a.txt\"", "null"));
        let erased = change(&with_file(), &line(&erased.replace("\"body\":\"here\",", "")));
        let erased = erased.expect("no conflict").expect("a change");
        assert_eq!((&erased.name, erased.deleted, &erased.erased), (&None, true, &erased.path));
        assert!(erased.path.is_some(), "its place is kept");
        let without = change(&with_file(), &line(&format!("{SAME},\"deleted\":true")));
        let without = without.expect("no conflict").expect("a change");
        assert_eq!((&without.path, without.size, without.erased.is_some()), (&None, None, true));
    }
}
