//! `--jwt-user-ids any`: users whose ids in tokens are no UUIDs.

use std::fs;

use netrox_harness::{Arrangement, TestChat, User, each, settings::JWT_SECRET, token::Claims};
use netrox_proto::v1::{
    DeleteUserRequest, ExternalId, GetUsersRequest, ListUsersRequest, UpsertUsersRequest,
    User as Entry, UserChange,
};
use serde_json::{Value, json};

use super::{assert_accepted, assert_refused};

each![
    users_of_any_id_chat_under_the_uuids_that_others_compute,
    a_number_and_its_digits_are_one_user,
    a_deleted_user_stays_out,
    who_was_brought_in_under_another_id_is_let_in,
    one_issuers_user_is_never_anothers;
    serve: a_deployment_may_have_a_namespace_of_its_own
];

const ISSUER: &str = "https://tenant.auth0.com/";
/// By Python's uuid5: the namespace, and the issuer, a line feed and the name.
const AUTH0: (&str, &str) =
    ("auth0|5f7c8ec7c33c6c004bbafe82", "9fcb31da-c1bf-5025-b15d-2ce6c7ab9bee");
const FIREBASE: (&str, &str) =
    ("Zk3bqbKTZ0XGXnJ9n4fL2mYQ1Qf2", "f08adcc5-ff51-54ba-8e64-bc4f6085b464");
const NUMBER: (i64, &str) = (42, "1ccbf109-5b1e-5102-a2d4-d47dec37c667");

async fn start(arrangement: Arrangement) -> TestChat {
    let builder = TestChat::builder(arrangement).set("jwt-user-ids", "any");
    builder.set("jwt-issuer", ISSUER).start().await
}

fn claims(user: impl Into<Value>) -> Claims {
    Claims::access("").without("user_id").claim("sub", user).claim("iss", ISSUER)
}

/// Who has such a token, under the id that they are to have here.
fn user(id: &str, called: impl Into<Value>) -> User {
    let (id, email) = (id.to_owned(), String::new());
    User { id, email, token: claims(called).sign(JWT_SECRET) }
}

/// What a client learns of itself.
async fn own_id(chat: &TestChat, token: &str) -> String {
    let answer = chat.get("/v2/me").bearer(token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let me = answer.json();
    assert!(me["user"].get("external_id").is_none(), "{me}");
    me["user"]["id"].as_str().expect("an id").to_owned()
}

async fn find(chat: &TestChat, issuer: &str, subject: &str) -> Vec<Entry> {
    let external_ids = vec![ExternalId { issuer: issuer.to_owned(), subject: subject.to_owned() }];
    let request = GetUsersRequest { external_ids, ..Default::default() };
    chat.directory_service().get_users(request).await.expect("an answer").into_inner().users
}

async fn users_of_any_id_chat_under_the_uuids_that_others_compute(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let (ada, bob) = (user(AUTH0.1, AUTH0.0), user(FIREBASE.1, FIREBASE.0));
    let cyd = user(NUMBER.1, NUMBER.0);
    let mut sockets = Vec::new();
    for user in [&ada, &bob, &cyd] {
        sockets.push(chat.connect(user).await);
        assert_eq!(own_id(&chat, &user.token).await, user.id);
    }
    // Routes and frames know the UUIDs alone.
    sockets[0].say(&bob, "hello").await;
    assert_eq!(sockets[1].expect_body("hello").await["sender_id"], ada.id);
    sockets[2].say(&ada, "and me").await;
    sockets[0].expect_body("and me").await;
    assert_eq!(chat.history(&bob, &ada).await.len(), 1);
    // Who has such a UUID in a token is somebody else.
    let other = claims(AUTH0.1).sign(JWT_SECRET);
    assert_ne!(own_id(&chat, &other).await, AUTH0.1);
    assert_eq!(find(&chat, ISSUER, AUTH0.0).await[0].id, AUTH0.1);
    let request = ListUsersRequest { page_size: 1_000, ..Default::default() };
    let listed = chat.directory_service().list_users(request).await.expect("a page").into_inner();
    let mut subjects: Vec<_> =
        listed.users.into_iter().filter_map(|user| user.external_id).collect();
    subjects.sort_by(|one, other| one.subject.cmp(&other.subject));
    let subjects: Vec<_> = subjects.into_iter().map(|id| (id.issuer, id.subject)).collect();
    let mut expected = ["42", FIREBASE.0, AUTH0.1, AUTH0.0];
    expected.sort_unstable();
    assert_eq!(subjects, expected.map(|subject| (ISSUER.to_owned(), subject.to_owned())));
    for (what, wrong) in [
        ("an empty one", json!("")),
        ("a fraction", json!(7.0)),
        ("true", json!(true)),
        ("null", Value::Null),
        ("a list", json!(["x"])),
        ("an object", json!({"id": 7})),
        ("control characters", json!("a\nb")),
        ("a long one", json!("x".repeat(256))),
    ] {
        assert_refused(&chat, what, &claims(wrong).sign(JWT_SECRET)).await;
    }
    assert_refused(&chat, "none", &claims("x").without("sub").sign(JWT_SECRET)).await;
}

/// SimpleJWT wrote numbers, and writes text since.
async fn a_number_and_its_digits_are_one_user(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let [number, digits] = [json!(42), json!("42")].map(|id| {
        let claims = Claims::access("").claim("user_id", id).claim("iss", ISSUER);
        claims.claim("sub", "another").sign(JWT_SECRET)
    });
    for token in [&number, &digits, &number] {
        assert_eq!(own_id(&chat, token).await, NUMBER.1);
    }
    assert_eq!(find(&chat, ISSUER, "42").await.len(), 1);
}

async fn a_deleted_user_stays_out(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let ada = user(AUTH0.1, AUTH0.0);
    let mut socket = chat.connect(&ada).await;
    let request = DeleteUserRequest { user_id: ada.id.clone(), erase_messages: false };
    chat.directory_service().delete_user(request).await.expect("deleted");
    assert_eq!(socket.end().await, netrox_harness::socket::End::Closed(1008));
    assert_refused(&chat, "the same token", &ada.token).await;
    let another = claims(AUTH0.0).claim("email", "ada@example.com").sign(JWT_SECRET);
    assert_refused(&chat, "another token", &another).await;
    assert_eq!(find(&chat, ISSUER, AUTH0.0).await, []);
}

/// By a service that has computed it wrongly, or not at all.
async fn who_was_brought_in_under_another_id_is_let_in(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let other = chat.stranger("other").id;
    let external_id = Some(ExternalId { issuer: ISSUER.into(), subject: AUTH0.0.into() });
    let users = vec![UserChange { id: other.clone(), external_id, ..Default::default() }];
    let request = UpsertUsersRequest { users };
    chat.directory_service().upsert_users(request).await.expect("stored");
    let token = claims(AUTH0.0).claim("email", "ada@example.com").sign(JWT_SECRET);
    assert_eq!(own_id(&chat, &token).await, AUTH0.1);
    // The service's word counts.
    assert_eq!(find(&chat, ISSUER, AUTH0.0).await[0].id, other);
}

async fn one_issuers_user_is_never_anothers(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let names = ["a", "b", "c", "d"];
    let secret = |name: &str| format!("a-secret-of-the-issuer-{name}-0123456789");
    for name in names {
        fs::write(directory.path().join(name), secret(name)).expect("written");
    }
    let file = directory.path().join("issuers.json");
    let issuers = json!([
        {"issuer": "a", "secret_file": "a", "user_ids": "any"},
        {"issuer": "b", "secret_file": "b", "user_ids": "any"},
        {"issuer": "c", "secret_file": "c", "user_ids": "any", "same_users_as": "a"},
        {"issuer": "d", "secret_file": "d"},
    ]);
    fs::write(&file, issuers.to_string()).expect("written");
    let builder = TestChat::builder(arrangement).unset("jwt-secret");
    let chat = builder.set("jwt-issuers-file", &file).start().await;
    let token = |issuer: &str, user: Value| {
        Claims::access("").claim("user_id", user).claim("iss", issuer).sign(&secret(issuer))
    };
    let a = own_id(&chat, &token("a", json!("x"))).await;
    let b = own_id(&chat, &token("b", json!("x"))).await;
    assert_ne!(a, b);
    assert_eq!(own_id(&chat, &token("c", json!("x"))).await, a);
    assert_eq!(find(&chat, "a", "x").await[0].id, a);
    assert_eq!(find(&chat, "c", "x").await, []);
    // Nobody can name the user of another, neither by name nor by UUID.
    assert_ne!(own_id(&chat, &token("b", json!(a.clone()))).await, a);
    for id in [json!(a), json!(b.to_uppercase()), json!("x"), json!(7)] {
        assert_refused(&chat, &id.to_string(), &token("d", id.clone())).await;
    }
    let own = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
    assert_eq!(own_id(&chat, &token("d", json!(own))).await, own);
    assert_ne!(own_id(&chat, &token("a", json!(own))).await, own);
}

async fn a_deployment_may_have_a_namespace_of_its_own(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).set("jwt-user-ids", "any");
    let namespace = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    let chat = builder.set("jwt-user-id-namespace", namespace).start().await;
    // Without the name of an issuer, whatever the token says.
    let token = claims("x").sign(JWT_SECRET);
    assert_eq!(own_id(&chat, &token).await, "10539ac5-75b8-50d0-873b-f9bc2b7f3a8b");
    assert_accepted(&chat, "another issuer", &claims("x").claim("iss", "y").sign(JWT_SECRET)).await;
    assert_eq!(find(&chat, "", "x").await.len(), 1);
}
