//! The new server, and what the program does to move to it and back.

use std::{fs, path::Path};

use netrox_harness::{
    Arrangement, Role, Store, TestChat, User,
    process::{self, Ended},
    settings::JWT_SECRET,
};
use netrox_proto::v1::{DeleteMessageRequest, EditMessageRequest, MarkSeenRequest};
use serde_json::Value;

use super::{live::Pair, original::Original, rows::Rows};

pub(super) struct New {
    pub(super) chat: TestChat,
    /// Where its database and its files are.
    place: Vec<String>,
}

/// What has been changed of messages that came from the original, by id.
pub(super) struct Changed {
    pub(super) edited: i64,
    pub(super) deleted: i64,
    pub(super) seen: Vec<i64>,
}

pub(super) const EDITED: &str = "canary, edited\r\nwhere it lives now";

impl New {
    /// A machine that is set up and does not serve yet.
    pub(super) async fn prepare(store: Store) -> Self {
        let mut chat = TestChat::builder(Arrangement::Serve).store(store).start().await;
        assert!(chat.terminate(Role::Serve).await.success());
        let mut place = vec!["--data-dir".to_owned(), "data".to_owned()];
        if store == Store::Postgres {
            place.extend(["--database-url".to_owned(), chat.database().url()]);
        }
        Self { chat, place }
    }

    pub(super) async fn start(&mut self) {
        self.chat.spawn(Role::Serve).await;
        self.chat.ready().await;
    }

    pub(super) async fn stop(&mut self) {
        assert!(self.chat.terminate(Role::Serve).await.success());
    }

    async fn run(&self, arguments: &[&str], more: &[&str]) -> Ended {
        let place = self.place.iter().map(String::as_str);
        let arguments = arguments.iter().copied().chain(place).chain(more.iter().copied());
        process::run(self.chat.directory(), arguments, [("", ""); 0]).await
    }

    /// Takes what is new or changed. What is said of it.
    pub(super) async fn import(&self, original: &Original, more: &[&str]) -> Value {
        let (url, media) = (original.url(), original.media());
        let media = media.to_string_lossy();
        let import = ["import", "django", "--from", &url, "--media", &media];
        let ended = self.run(&import, more).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// Compares what both servers show to some users.
    pub(super) async fn shadow(&self, original: &Original, users: &[User]) -> Ended {
        // Some with the tokens that they have, for others the program makes some.
        let line = |(number, user): (usize, &User)| match number % 2 {
            0 => format!("{} {}\n", user.id, user.token),
            _ => format!("{}\n", user.id),
        };
        let lines: String = users.iter().enumerate().map(line).collect();
        fs::write(self.chat.directory().join("users"), lines).expect("written");
        let [original, candidate] =
            [original.edge(), self.chat.edge()].map(|edge| format!("http://{}", edge.address));
        let arguments = ["shadow", "--original", &original, "--candidate", &candidate];
        let arguments = [&arguments[..], &["--users", "users", "--rate", "1000"]].concat();
        let secret = [("NETROX_CHAT_JWT_SECRET", JWT_SECRET)];
        process::run(self.chat.directory(), arguments, secret).await
    }

    /// Fails unless it has what the original has, file for file: by counts and bytes, whatever the program says itself.
    pub(super) async fn holds(&self, rows: &Rows, original: &Original) {
        let newest = rows.keys().last().expect("a message");
        let count = format!("select count(*) from messages where id <= {newest}");
        let stored = self.chat.count(&count).await;
        assert_eq!(stored, rows.len() as i64);
        let mut files = 0;
        for row in rows.values().filter(|row| !row.attached_file.is_empty() && !row.deleted) {
            let [there, here] = [original.media(), self.chat.media_dir()]
                .map(|directory| fs::read(directory.join(&row.attached_file)));
            assert!(there.is_ok_and(|bytes| here.is_ok_and(|copy| copy == bytes)), "{row:?}");
            files += 1;
        }
        assert!(files > 0);
    }

    /// What users do here that the documented API cannot do, to messages that came from the original.
    pub(super) async fn change(&self, pair: &Pair, ids: &[i64]) -> Changed {
        let [edited, deleted] = [ids[0], ids[1]];
        let (one, two) = (&pair.one.id, &pair.two.id);
        let edit = EditMessageRequest {
            user_id: one.clone(),
            message_id: edited,
            body: EDITED.to_owned(),
            ..Default::default()
        };
        self.chat.chat_service().edit_message(edit).await.expect("edited");
        let delete =
            DeleteMessageRequest { user_id: one.clone(), message_id: deleted, for_everyone: true };
        self.chat.chat_service().delete_message(delete).await.expect("deleted");
        let mark = MarkSeenRequest {
            user_id: two.clone(),
            peer_id: one.clone(),
            up_to_id: ids[ids.len() - 1],
        };
        self.chat.chat_service().mark_seen(mark).await.expect("marked");
        Changed { edited, deleted, seen: ids.to_vec() }
    }

    /// Makes a fixture of what the original lacks, and the files that belong to it.
    pub(super) async fn export(&self, original: &Original) {
        let url = original.url();
        let ended = self.run(&["export", "django", "back", "--original", &url], &[]).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }

    /// Gives it to the original.
    pub(super) async fn load(&self, original: &Original) {
        let back = self.chat.directory().join("back");
        let fixture = back.join("fixture.json");
        original.manage(&["loaddata", "--verbosity", "0", &fixture.to_string_lossy()]).await;
        copy(&back.join("media"), &original.media());
    }
}

/// As `cp -r` does it.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a directory");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}
