//! A copy of a SQLite database is put back under edges that stay.

use std::path::PathBuf;

use netrox_harness::{
    Arrangement, Role, TestChat,
    backup::{copy_sqlite, put_back_sqlite},
    process::Signal,
    run_test,
};

use super::{
    story::{Lossy, Story},
    ways::builder,
};

/// A core on SQLite and two edges, with a copy of its database.
struct Copied {
    chat: TestChat,
    database: PathBuf,
    copy: PathBuf,
}

impl Copied {
    async fn start() -> Self {
        let chat = builder(Arrangement::Split).edges(2).start().await;
        let database = chat.data_dir().join("chat.db");
        let copy = chat.directory().join("copy.db");
        Self { chat, database, copy }
    }

    async fn copy(&self) {
        copy_sqlite(&self.database, &self.copy).await;
    }

    /// The core ends and comes back on the copy. One edge is there then; the other comes when a service has stored
    /// more.
    async fn put_back(&mut self, story: Lossy) -> Lossy {
        let Self { chat, database, copy } = self;
        assert!(chat.terminate(Role::Core(0)).await.success());
        chat.process(Role::Edge(0)).signal(Signal::STOP);
        put_back_sqlite(copy, database);
        chat.spawn(Role::Core(0)).await;
        let story = story.go_on(chat, chat.edge_at(1)).await;
        chat.process(Role::Edge(0)).signal(Signal::CONT);
        story.verify(chat).await
    }
}

async fn put_back(lost: usize) {
    run_test(async {
        let mut copied = Copied::start().await;
        let story = Story::begin(&copied.chat).await;
        copied.copy().await;
        let story = story.lose(&copied.chat, lost).await;
        copied.put_back(story).await;
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_lacks_nothing_closes_nothing() {
    put_back(0).await;
}

#[tokio::test]
async fn a_copy_that_lacks_less_than_what_follows_is_told() {
    put_back(25).await;
}

#[tokio::test]
async fn a_copy_that_lacks_more_than_what_follows_is_told() {
    put_back(60).await;
}

/// Two histories that go on from one copy have nothing in common but that.
#[tokio::test]
async fn a_copy_that_is_put_back_again_is_told_again() {
    run_test(async {
        let mut copied = Copied::start().await;
        let story = Story::begin(&copied.chat).await;
        copied.copy().await;
        let story = story.lose(&copied.chat, 5).await;
        let story = copied.put_back(story).await;
        copied.put_back(story).await;
    })
    .await;
}
