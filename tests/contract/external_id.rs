//! What issuers call users: kept with them, listed, found and erased.

use std::collections::BTreeSet;

use netrox_harness::Role;
use netrox_proto::v1::{
    EnsureUserRequest, ErrorReason, ExternalId, GetUsersRequest, ListUsersRequest,
    ListUsersResponse, UpsertUsersRequest, User, UserChange,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    refusal::{assert_invalid, assert_refused},
    running::Core,
};

const ISSUER: &str = "https://tenant.auth0.com/";

fn called(issuer: &str, subject: &str) -> Option<ExternalId> {
    Some(ExternalId { issuer: issuer.to_owned(), subject: subject.to_owned() })
}

fn change(id: &str, external_id: Option<ExternalId>) -> UserChange {
    UserChange { id: id.to_owned(), external_id, ..Default::default() }
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

async fn ensure(core: &Core, user: UserChange) -> Result<User, Status> {
    let request = EnsureUserRequest { user: Some(user), issued_at: None };
    let answer = core.directory().ensure_user(request).await?;
    Ok(answer.into_inner().user.expect("a user"))
}

async fn upsert(core: &Core, users: Vec<UserChange>) -> Result<Vec<User>, Status> {
    let answer = core.directory().upsert_users(UpsertUsersRequest { users }).await?;
    Ok(answer.into_inner().users)
}

async fn find(core: &Core, ids: &[&str], called: &[Option<ExternalId>]) -> Vec<User> {
    let request = GetUsersRequest {
        user_ids: ids.iter().map(ToString::to_string).collect(),
        external_ids: called.iter().flatten().cloned().collect(),
    };
    core.directory().get_users(request).await.expect("an answer").into_inner().users
}

async fn page(core: &Core, page_size: i32, token: &str) -> Result<ListUsersResponse, Status> {
    let request = ListUsersRequest { page_size, page_token: token.to_owned() };
    core.directory().list_users(request).await.map(tonic::Response::into_inner)
}

async fn list(core: &Core, page_size: i32) -> Vec<User> {
    let (mut users, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(core, page_size, &token).await.expect("a page");
        assert!(page.users.len() <= page_size.unsigned_abs() as usize);
        users.extend(page.users);
        token = page.next_page_token;
        if token.is_empty() {
            return users;
        }
    }
}

#[tokio::test]
async fn what_a_token_calls_its_user_is_kept_with_the_first_and_stays() {
    let mut core = Core::start().await;
    let (ada, bob) = (new_id(), new_id());
    let user = ensure(&core, change(&ada, called(ISSUER, "auth0|ada"))).await.expect("ensured");
    assert_eq!((user.id.as_str(), &user.external_id), (ada.as_str(), &called(ISSUER, "auth0|ada")));
    // The same subject of another issuer, and of none.
    for issuer in ["https://other.example", ""] {
        let id = new_id();
        let user = ensure(&core, change(&id, called(issuer, "auth0|ada"))).await.expect("ensured");
        assert_eq!(user.external_id, called(issuer, "auth0|ada"));
        assert_eq!(find(&core, &[], &[called(issuer, "auth0|ada")]).await, [user]);
    }
    // Whoever was there before, as by an older edge, has it from then on. It is no claim that makes others older.
    ensure(&core, UserChange { email: Some("bob@x.y".into()), ..change(&bob, None) })
        .await
        .expect("ensured");
    let user = ensure(&core, change(&bob, called("", "7"))).await.expect("ensured");
    assert_eq!((user.email.as_str(), &user.external_id), ("bob@x.y", &called("", "7")));
    let user = UserChange { email: Some("new@x.y".into()), ..change(&bob, called("", "8")) };
    let user = ensure(&core, user).await.expect("ensured");
    assert_eq!((user.email.as_str(), &user.external_id), ("new@x.y", &called("", "7")));
    // A service that says nothing of it changes nothing.
    let users = upsert(&core, vec![change(&bob, None)]).await.expect("stored");
    assert_eq!(users[0].external_id, called("", "7"));
    core.kill_and_restart().await;
    let found = find(&core, &[&bob], &[called(ISSUER, "auth0|ada"), called("", "8")]).await;
    assert_eq!(found.iter().map(|user| &user.id).collect::<Vec<_>>(), [&bob, &ada]);
}

#[tokio::test]
async fn a_service_brings_users_in_before_they_come() {
    let core = Core::start().await;
    let ids: Vec<_> = (0..200).map(|_| new_id()).collect();
    let subject = |index: usize| format!("firebase-{index}");
    let changes =
        ids.iter().enumerate().map(|(index, id)| change(id, called("f", &subject(index))));
    let stored = upsert(&core, changes.collect()).await.expect("stored");
    let mine = |user: &User, index: usize| user.external_id == called("f", &subject(index));
    assert!(stored.iter().enumerate().all(|(index, user)| mine(user, index)));
    let asked: Vec<_> = (0..200).rev().map(|index| called("f", &subject(index))).collect();
    let found = find(&core, &[], &asked).await;
    assert!(found.iter().rev().eq(&stored));
    // One may be called otherwise, and then another may be called so.
    let users = upsert(&core, vec![change(&ids[0], called("f", "renamed"))]).await.expect("stored");
    assert_eq!(users[0].external_id, called("f", "renamed"));
    assert_eq!(find(&core, &[], &[called("f", &subject(0))]).await, []);
    let other = new_id();
    upsert(&core, vec![change(&other, called("f", &subject(0)))]).await.expect("stored");
    assert_eq!(find(&core, &[], &[called("f", &subject(0))]).await[0].id, other);
}

#[tokio::test]
async fn nobody_is_called_as_another_is() {
    let core = Core::start().await;
    let (ada, bob, cyd) = (new_id(), new_id(), new_id());
    upsert(&core, vec![change(&ada, called("i", "x"))]).await.expect("stored");
    let field = "external_id";
    assert_invalid(ensure(&core, change(&bob, called("i", "x"))).await, field);
    // All or none.
    let users = vec![change(&cyd, called("i", "free")), change(&bob, called("i", "x"))];
    assert_invalid(upsert(&core, users).await, field);
    assert_eq!(find(&core, &[&bob, &cyd], &[called("i", "free")]).await, []);
    let users = vec![change(&bob, called("i", "y")), change(&cyd, called("i", "y"))];
    assert_invalid(upsert(&core, users).await, "users");
    // In its own case it is another one.
    ensure(&core, change(&bob, called("i", "X"))).await.expect("ensured");
    for external_id in [
        called("i", ""),
        called("i", "a\nb"),
        called("a\nb", "x"),
        called("i", &"x".repeat(256)),
        called(&"x".repeat(1_025), "x"),
    ] {
        let user = || change(&cyd, external_id.clone());
        assert_invalid(ensure(&core, user()).await, field);
        assert_invalid(upsert(&core, vec![user()]).await, field);
        let request = GetUsersRequest {
            external_ids: external_id.iter().cloned().collect(),
            ..Default::default()
        };
        assert_invalid(core.directory().get_users(request).await, "external_ids");
    }
    let longest = called(&"i".repeat(1_024), &"x".repeat(255));
    assert_eq!(
        ensure(&core, change(&cyd, longest.clone())).await.expect("ensured").external_id,
        longest
    );
}

/// Users come at once, some of them under the same name.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_called_so() {
    let core = Core::start().await;
    let mut calls = tokio::task::JoinSet::new();
    let directory = core.directory();
    for number in 0..40 {
        let mut directory = directory.clone();
        let subject = format!("{}", number % 20);
        calls.spawn(async move {
            let user = Some(change(&new_id(), called("i", &subject)));
            directory.ensure_user(EnsureUserRequest { user, issued_at: None }).await
        });
    }
    let (mut ensured, mut refused) = (BTreeSet::new(), 0);
    while let Some(answer) = calls.join_next().await {
        match answer.expect("a task") {
            Ok(answer) => {
                let user = answer.into_inner().user.expect("a user");
                assert!(ensured.insert(user.external_id.expect("an external id").subject));
            }
            refusal => {
                assert_invalid(refusal, "external_id");
                refused += 1;
            }
        }
    }
    assert_eq!((ensured.len(), refused), (20, 20));
}

/// Each edge says of each user what a token says, again and again.
#[tokio::test]
async fn of_a_user_who_is_there_the_rest_is_stored() {
    let core = Core::start().await;
    let (ada, bob) = (new_id(), new_id());
    upsert(&core, vec![change(&ada, called("i", "x")), change(&bob, None)]).await.expect("stored");
    let of_bob = |email: &str| UserChange {
        email: Some(email.to_owned()),
        ..change(&bob, called("i", "x"))
    };
    for email in ["one@x.y", "one@x.y", "two@x.y"] {
        let user = ensure(&core, of_bob(email)).await.expect("a user who is there");
        assert_eq!((user.email.as_str(), user.external_id), (email, None));
    }
    let warning = "calls the user as the directory calls another";
    // Once a minute.
    core.process.log(Role::Core(0)).counts(warning, 1).await;
    // To move it: from who has it, and then to whose it is.
    upsert(&core, vec![change(&ada, called("i", "y"))]).await.expect("renamed");
    let user = ensure(&core, of_bob("two@x.y")).await.expect("free");
    assert_eq!(user.external_id, called("i", "x"));
}

#[tokio::test]
async fn deletion_erases_what_a_user_is_called() {
    let core = Core::start().await;
    let (ada, bob) = (new_id(), new_id());
    let user = || change(&ada, called(ISSUER, "auth0|ada"));
    ensure(&core, user()).await.expect("ensured");
    core.delete_user(&ada).await.expect("deleted");
    assert_eq!(find(&core, &[&ada], &[called(ISSUER, "auth0|ada")]).await, []);
    assert!(list(&core, 1_000).await.iter().all(|user| user.id != ada));
    // The token of the deleted user brings nobody back.
    assert_refused(ensure(&core, user()).await, ErrorReason::UserDeleted);
    let restored = upsert(&core, vec![change(&ada, None)]).await.expect("restored");
    assert_eq!(restored[0].external_id, None);
    core.delete_user(&ada).await.expect("deleted");
    upsert(&core, vec![change(&bob, called(ISSUER, "auth0|ada"))]).await.expect("stored");
    assert_eq!(find(&core, &[], &[called(ISSUER, "auth0|ada")]).await[0].id, bob);
}

#[tokio::test]
async fn all_users_are_listed_in_pages() {
    let core = Core::start().await;
    let mut expected: Vec<_> = (0..25)
        .map(|number| (new_id(), called("i", &number.to_string()).filter(|_| number % 2 == 0)))
        .collect();
    // The least there is.
    expected.push((Uuid::nil().to_string(), None));
    let users = expected.iter().map(|(id, external_id)| change(id, external_id.clone())).collect();
    upsert(&core, users).await.expect("stored");
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    for page_size in [1, 7, 25, 26, 27, 1_000] {
        let listed = list(&core, page_size).await.into_iter();
        let listed: Vec<_> = listed.map(|user| (user.id, user.external_id)).collect();
        assert_eq!(listed, expected, "{page_size}");
    }
    assert_eq!(page(&core, 0, "").await.expect("a page").users.len(), 26);
    assert_invalid(page(&core, -1, "").await, "page_size");
    assert_invalid(page(&core, 1_001, "").await, "page_size");
    assert_invalid(page(&core, 1, "x").await, "page_token");
    // A page is below what clients take by default, whatever users have to tell.
    let profile = format!("\"{}\"", "x".repeat(16_382));
    for _ in 0..2 {
        let users = (0..150)
            .map(|_| UserChange { profile_json: Some(profile.clone()), ..change(&new_id(), None) });
        upsert(&core, users.collect()).await.expect("stored");
    }
    let page = page(&core, 1_000, "").await.expect("a page");
    assert!((100..300).contains(&page.users.len()) && !page.next_page_token.is_empty());
    assert_eq!(list(&core, 1_000).await.len(), 326);
}
