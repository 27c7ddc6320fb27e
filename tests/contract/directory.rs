//! `DirectoryService`: whom one can write to.

use netrox_harness::token;
use netrox_proto::v1::{
    EnsureUserRequest, ErrorReason, GetUsersRequest, UpsertUsersRequest, User, UserChange,
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    refusal::{assert_invalid, assert_refused},
    running::Core,
    send::malformed_ids,
};

const MAX_USERS: usize = 1_000;
const MAX_EMAIL_BYTES: usize = 320;
const MAX_PROFILE_BYTES: usize = 16_384;
const MAX_PROFILE_DEPTH: usize = 32;

impl Core {
    async fn upsert_users(&self, users: Vec<UserChange>) -> Result<Vec<User>, Status> {
        let answer = self.directory().upsert_users(UpsertUsersRequest { users }).await;
        answer.map(|answer| answer.into_inner().users)
    }

    async fn ensure_user(&self, user: UserChange) -> Result<User, Status> {
        let answer = self
            .directory()
            .ensure_user(EnsureUserRequest { user: Some(user), issued_at: None })
            .await;
        answer.map(|answer| answer.into_inner().user.expect("a user"))
    }

    /// What a token says of its user, with its `iat`.
    async fn claim(&self, id: &str, email: &str, issued_at: Option<i64>) -> String {
        let request = EnsureUserRequest { user: Some(change(id, Some(email), None)), issued_at };
        let answer = self.directory().ensure_user(request).await.expect("ensured").into_inner();
        let user = answer.user.expect("a user");
        assert_eq!(self.get_user(id).await.as_ref(), Some(&user));
        user.email
    }

    async fn get_users(&self, user_ids: Vec<String>) -> Result<Vec<User>, Status> {
        let answer =
            self.directory().get_users(GetUsersRequest { user_ids, ..Default::default() }).await;
        answer.map(|answer| answer.into_inner().users)
    }

    async fn get_user(&self, id: &str) -> Option<User> {
        let mut found = self.get_users(vec![id.to_owned()]).await.expect("an answer");
        assert!(found.len() <= 1);
        found.pop()
    }
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

fn change(id: &str, email: Option<&str>, profile_json: Option<&str>) -> UserChange {
    UserChange {
        id: id.into(),
        email: email.map(Into::into),
        profile_json: profile_json.map(Into::into),
        external_id: None,
    }
}

fn user(id: &str, email: &str, profile_json: Option<&str>) -> User {
    User {
        id: id.into(),
        email: email.into(),
        profile_json: profile_json.map(Into::into),
        external_id: None,
    }
}

#[tokio::test]
async fn upserted_users_are_found_as_they_were_given() {
    let core = Core::start().await;
    let [ada, bob, cyd] = [new_id(), new_id(), new_id()];
    let stored = core
        .upsert_users(vec![
            change(&ada.to_uppercase(), Some("Ada@Example.com "), Some(r#"{"name":"Adä"}"#)),
            change(&bob, None, None),
            change(&cyd, Some(""), Some("null")),
        ])
        .await;
    let expected = vec![
        user(&ada, "Ada@Example.com ", Some(r#"{"name":"Adä"}"#)),
        user(&bob, "", None),
        user(&cyd, "", None),
    ];
    assert_eq!(stored.expect("stored"), expected);
    assert_eq!(core.get_users(vec![ada, bob, cyd]).await.expect("found"), expected);
}

#[tokio::test]
async fn an_absent_field_leaves_what_is_stored() {
    let core = Core::start().await;
    let id = new_id();
    let steps = [
        (change(&id, Some("a@b.c"), Some("[1]")), user(&id, "a@b.c", Some("[1]"))),
        (change(&id, None, None), user(&id, "a@b.c", Some("[1]"))),
        (change(&id, Some("d@e.f"), None), user(&id, "d@e.f", Some("[1]"))),
        (change(&id, None, Some("2")), user(&id, "d@e.f", Some("2"))),
        (change(&id, None, Some("null")), user(&id, "d@e.f", None)),
        (change(&id, Some(""), Some("\"x\"")), user(&id, "", Some("\"x\""))),
    ];
    for (change, expected) in &steps {
        let stored = core.upsert_users(vec![change.clone()]).await.expect("stored");
        assert_eq!(stored, std::slice::from_ref(expected), "{change:?}");
    }
    let another = new_id();
    for (change, expected) in steps {
        let change = UserChange { id: another.clone(), ..change };
        let expected = User { id: another.clone(), ..expected };
        assert_eq!(core.ensure_user(change.clone()).await.expect("stored"), expected, "{change:?}");
        assert_eq!(core.get_user(&another).await, Some(expected), "{change:?}");
    }
}

/// Of two devices of a user one has an older token.
#[tokio::test]
async fn what_an_older_token_says_changes_nothing() {
    let core = Core::start().await;
    let id = new_id();
    let now = i64::try_from(token::now()).expect("a time");
    let steps = [
        (Some(now - 500), "first", "first"),
        (Some(now - 300), "second", "second"),
        (Some(now - 400), "first", "second"),
        (None, "undated", "second"),
        // In the same second, which of them is the later one is not told.
        (Some(now - 300), "third", "third"),
        (Some(i64::MIN), "ancient", "third"),
        // In milliseconds: no date.
        (Some(now * 1_000), "strange", "third"),
        (Some(now + 3_600), "of a clock that is ahead", "of a clock that is ahead"),
        (Some(now), "fourth", "of a clock that is ahead"),
    ];
    for (issued_at, said, kept) in steps {
        assert_eq!(core.claim(&id, said, issued_at).await, kept, "{issued_at:?} {said}");
    }
    // A service counts, and what was issued before it does not.
    let served = core.upsert_users(vec![change(&id, Some("served"), None)]).await.expect("stored");
    assert_eq!(served[0].email, "served");
    assert_eq!(core.claim(&id, "fourth", Some(now - 10)).await, "served");
    assert_eq!(core.claim(&id, "fifth", Some(now + 3_600)).await, "fifth");
}

#[tokio::test]
async fn a_token_without_a_date_changes_what_no_dated_one_has_set() {
    let core = Core::start().await;
    let now = i64::try_from(token::now()).expect("a time");
    let id = new_id();
    assert_eq!(core.claim(&id, "one", None).await, "one");
    assert_eq!(core.claim(&id, "two", None).await, "two");
    core.upsert_users(vec![change(&id, Some("served"), None)]).await.expect("stored");
    assert_eq!(core.claim(&id, "three", None).await, "three");
    // One that was issued before the service's change, of which it does not know.
    assert_eq!(core.claim(&id, "four", Some(now - 100)).await, "three");
    // What a dated one repeats is dated.
    assert_eq!(core.claim(&id, "three", Some(now + 10)).await, "three");
    assert_eq!(core.claim(&id, "one", None).await, "three");
    // A token that says nothing dates nothing.
    let another = new_id();
    let silent =
        EnsureUserRequest { user: Some(change(&another, None, None)), issued_at: Some(now) };
    core.directory().ensure_user(silent).await.expect("ensured");
    assert_eq!(core.claim(&another, "one", None).await, "one");
}

#[tokio::test]
async fn a_bad_user_is_refused_and_its_field_named() {
    let core = Core::start().await;
    let id = new_id();
    let deep =
        format!("{}1{}", "[".repeat(MAX_PROFILE_DEPTH + 1), "]".repeat(MAX_PROFILE_DEPTH + 1));
    let long = format!("\"{}\"", "x".repeat(MAX_PROFILE_BYTES - 1));
    let mut bad: Vec<_> =
        malformed_ids(&id).into_iter().map(|id| ("id", change(&id, None, None))).collect();
    for email in ["\0".into(), "a\0b".into(), "x".repeat(MAX_EMAIL_BYTES + 1)] {
        bad.push(("email", change(&id, Some(&email), None)));
    }
    for profile in ["", " ", "{", "{} {}", "nul", "{\"a\":}", "'a'", "{a:1}", "[1,]", &deep, &long]
    {
        bad.push(("profile_json", change(&id, None, Some(profile))));
    }
    let neighbour = new_id();
    for (field, change) in bad {
        assert_invalid(core.ensure_user(change.clone()).await, field);
        assert_invalid(core.upsert_users(vec![change.clone()]).await, field);
        // All or none.
        let users = vec![self::change(&neighbour, None, None), change];
        assert_invalid(core.upsert_users(users).await, field);
    }
    assert_eq!(core.get_users(vec![id, neighbour]).await.expect("an answer"), []);
    let missing = core.directory().ensure_user(EnsureUserRequest::default()).await;
    assert_invalid(missing, "user");
}

#[tokio::test]
async fn the_fields_of_a_user_may_reach_their_limits() {
    let core = Core::start().await;
    let id = new_id();
    let email = "\u{e4}".repeat(MAX_EMAIL_BYTES / 2);
    let long = format!("\"{}\"", "x".repeat(MAX_PROFILE_BYTES - 2));
    let deep = format!("{}1{}", "[".repeat(MAX_PROFILE_DEPTH), "]".repeat(MAX_PROFILE_DEPTH));
    let curious = r#"{"n":10000000000000000000000.50,"s":"\u00e4\"[[[["}"#;
    for profile in [long.as_str(), &deep, curious, "false", "-0.0"] {
        let stored = core.upsert_users(vec![change(&id, Some(&email), Some(profile))]).await;
        assert_eq!(stored.expect("stored"), [user(&id, &email, Some(profile))]);
    }
}

#[tokio::test]
async fn a_batch_holds_1_to_1000_users_each_once() {
    let core = Core::start().await;
    let ids: Vec<_> = (0..=MAX_USERS).map(|_| new_id()).collect();
    let changes = |ids: &[String]| ids.iter().map(|id| change(id, Some(id), None)).collect();
    assert_invalid(core.upsert_users(vec![]).await, "users");
    assert_invalid(core.upsert_users(changes(&ids)).await, "users");
    let twice = vec![change(&ids[0], None, None), change(&ids[0].to_uppercase(), None, None)];
    assert_invalid(core.upsert_users(twice).await, "users");
    assert_eq!(core.get_user(&ids[0]).await, None);

    assert_invalid(core.get_users(vec![]).await, "user_ids");
    assert_invalid(core.get_users(ids.clone()).await, "user_ids");
    for malformed in malformed_ids(&ids[0]) {
        assert_invalid(core.get_users(vec![ids[0].clone(), malformed]).await, "user_ids");
    }

    let most = &ids[..MAX_USERS];
    let expected: Vec<_> = most.iter().map(|id| user(id, id, None)).collect();
    assert_eq!(core.upsert_users(changes(most)).await.expect("stored"), expected);
    assert_eq!(core.get_users(most.to_vec()).await.expect("found"), expected);
}

#[tokio::test]
async fn found_users_come_in_the_order_asked_for_and_once() {
    let core = Core::start().await;
    let [ada, bob, gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let asked =
        vec![bob.clone(), new_id(), ada.to_uppercase(), gone, bob.to_uppercase(), ada.clone()];
    let found = core.get_users(asked).await.expect("found");
    assert_eq!(found, [user(&bob, "", None), user(&ada, "", None)]);
}

#[tokio::test]
async fn a_deleted_user_is_erased_and_stays_deleted() {
    let core = Core::start().await;
    let [id, peer] = core.users().await;
    core.upsert_users(vec![change(&id, Some("secret@x.y"), Some("[1]"))]).await.expect("stored");
    core.send(&id, &peer, "to the peer").await.expect("stored");
    core.delete_user(&id.to_uppercase()).await.expect("deleted");
    core.delete_user(&id).await.expect("deleted again");
    assert_eq!(core.get_user(&id).await, None);
    let again = core.ensure_user(change(&id, Some("back@x.y"), None)).await;
    assert_refused(again, ErrorReason::UserDeleted);
    assert_eq!(core.get_user(&id).await, None);

    // The other participant still reads the conversation, and finds nothing of the person in it.
    let history = core.history(&peer, &id).await.expect("a history");
    assert_eq!(history.len(), 1);
    let threads = core.threads(&peer).await.expect("threads");
    assert_eq!(threads[0].user_one, Some(user(&id, "", None)));

    for refused in [core.send(&peer, &id, "gone").await, core.send(&id, &peer, "gone").await] {
        refused.expect_err("a deleted user");
    }

    // An upsert restores the user, without what was erased.
    let restored = core.upsert_users(vec![change(&id, None, None)]).await.expect("restored");
    assert_eq!(restored, [user(&id, "", None)]);
    core.ensure_user(change(&id, None, None)).await.expect("known");
    core.send(&peer, &id, "welcome back").await.expect("stored");
    assert_eq!(core.history(&id, &peer).await.expect("a history").len(), 2);
}

/// Not for a minute more, whatever an edge still believes.
#[tokio::test]
async fn who_is_deleted_reads_nothing_any_more() {
    let core = Core::start().await;
    let [id, peer] = core.users().await;
    let sent = core.send(&id, &peer, "to the peer").await.expect("stored").message_id;
    assert_eq!(core.history(&id, &peer).await.expect("a history").len(), 1);
    core.delete_user(&id).await.expect("deleted");
    let deleted = ErrorReason::UserDeleted;
    assert_refused(core.history(&id, &peer).await, deleted);
    assert_refused(core.history(&id, &id).await, deleted);
    assert_refused(core.threads(&id).await, deleted);
    assert_refused(core.message(&id, sent).await, deleted);
    core.message(&peer, sent).await.expect("that of the peer");
}

#[tokio::test]
async fn only_a_known_user_can_be_deleted() {
    let core = Core::start().await;
    assert_refused(core.delete_user(&new_id()).await, ErrorReason::UserUnknown);
    for malformed in malformed_ids(&new_id()) {
        assert_invalid(core.delete_user(&malformed).await, "user_id");
    }
}

#[tokio::test]
async fn the_directory_outlives_a_crash() {
    let mut core = Core::start().await;
    let [ada, gone] = core.users().await;
    let stored = core.upsert_users(vec![change(&ada, Some("a@b.c"), Some("[1]"))]).await;
    core.delete_user(&gone).await.expect("deleted");
    core.kill_and_restart().await;
    assert_eq!(
        core.get_users(vec![ada, gone.clone()]).await.expect("found"),
        stored.expect("stored")
    );
    assert_refused(core.ensure_user(change(&gone, None, None)).await, ErrorReason::UserDeleted);
}

/// Many edges meet the same new user at once.
#[tokio::test(flavor = "multi_thread")]
async fn users_are_ensured_from_everywhere_at_once() {
    let core = Core::start().await;
    let id = new_id();
    let mut calls = tokio::task::JoinSet::new();
    // As many as may be strangers at a time: on a busy machine more would have to make room.
    for _ in 0..16 {
        let mut directory = core.connect().await.directory();
        let user = Some(change(&id, Some("a@b.c"), Some("[1]")));
        let request = EnsureUserRequest { user, issued_at: None };
        calls.spawn(async move { directory.ensure_user(request).await.map(Response::into_inner) });
    }
    while let Some(answer) = calls.join_next().await {
        let answer = answer.expect("a task").expect("ensured");
        assert_eq!(answer.user, Some(user(&id, "a@b.c", Some("[1]"))));
    }
}
