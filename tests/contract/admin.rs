//! `AdminService`: what whoever runs the service looks at, of one user.

use netrox_harness::within;
use netrox_proto::v1::{
    Block, DeleteMessageRequest, ErrorReason, ExportEnd, ExportUserRequest, ExportUserResponse,
    ExternalId, GetUserRecordRequest, MarkSeenRequest, Message, RevokeTokensRequest,
    SubscribeResponse, TapUserRequest, Thread, UpsertUsersRequest, UserChange, UserRecord,
    event::Change, export_user_response::Part, get_user_record_request::User,
    revoke_tokens_request::Tokens,
};
use tonic::{Response, Status, Streaming};

use crate::{
    attachment::upload,
    refusal::{assert_invalid, assert_refused},
    running::{Core, collect},
};

const BODY: &str = "canary of a body";
const SUBJECT: &str = "auth0|später";

async fn record(core: &Core, user: User) -> Result<UserRecord, Status> {
    let request = GetUserRecordRequest { user: Some(user) };
    let answer = core.admin().get_user_record(request).await?;
    Ok(answer.into_inner().record.expect("a record"))
}

/// All of an export, by its parts.
#[derive(Default)]
struct Exported {
    record: UserRecord,
    blocks: Vec<Block>,
    threads: Vec<Thread>,
    messages: Vec<Message>,
    files: Vec<(String, Vec<u8>)>,
    missing: Vec<String>,
    end: Option<ExportEnd>,
}

async fn export(core: &Core, user: &str) -> Result<Exported, Status> {
    let request = ExportUserRequest { user_id: user.to_owned(), with_blocks: true };
    let stream = core.admin().export_user(request).await.map(Response::into_inner)?;
    let mut exported = Exported::default();
    for ExportUserResponse { part } in collect(stream).await? {
        assert!(exported.end.is_none(), "something follows the end");
        match part.expect("a part") {
            Part::Record(record) => exported.record = record,
            Part::Sessions(sessions) => assert!(sessions.sessions.is_empty(), "{sessions:?}"),
            Part::Blocks(listed) => exported.blocks.extend(listed.blocks),
            Part::Thread(thread) => exported.threads.push(thread),
            Part::Messages(messages) => exported.messages.extend(messages.messages),
            Part::File(file) if file.missing => exported.missing.push(file.path),
            Part::File(file) => exported.files.push((file.path, Vec::new())),
            Part::Chunk(chunk) => {
                exported.files.last_mut().expect("a file").1.extend_from_slice(&chunk);
            }
            Part::End(end) => exported.end = Some(end),
        }
    }
    Ok(exported)
}

async fn tap(core: &Core, user: &str, bodies: bool) -> Streaming<SubscribeResponse> {
    let request = TapUserRequest { user_id: user.to_owned(), bodies };
    let mut tap = core.admin().tap_user(request).await.expect("a tap").into_inner();
    next(&mut tap).await;
    tap
}

async fn next(tap: &mut Streaming<SubscribeResponse>) -> SubscribeResponse {
    within("a response", tap.message()).await.expect("no failure").expect("no end")
}

#[tokio::test]
async fn a_user_is_found_by_either_name_also_when_deleted() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let external_id = ExternalId { issuer: String::new(), subject: SUBJECT.to_owned() };
    let change = UserChange {
        id: ada.clone(),
        email: Some("ada@example.com".to_owned()),
        external_id: Some(external_id.clone()),
        ..Default::default()
    };
    let request = UpsertUsersRequest { users: vec![change] };
    core.directory().upsert_users(request).await.expect("upserted");
    core.send(&ada, &bob, "hello").await.expect("stored");
    upload(&core, &ada, &bob, "a.bin", &[7; 1_000]).await.expect("stored");
    let tokens = Some(Tokens::UserId(ada.clone()));
    let revocation = RevokeTokensRequest { tokens, ..Default::default() };
    core.sessions().revoke_tokens(revocation).await.expect("revoked");

    let found = record(&core, User::ExternalId(external_id.clone())).await.expect("found");
    let user = found.user.clone().expect("a user");
    assert_eq!((&*user.id, &*user.email), (&*ada, "ada@example.com"));
    assert_eq!(user.external_id, Some(external_id.clone()));
    assert_eq!((found.threads, found.storage_bytes, found.last_seq), (1, 1_000, 2));
    assert!(found.revoked.is_some_and(|revoked| revoked.expires_at.is_none()));
    assert!(!found.deleted && found.sessions_ended.is_none());

    core.delete_user(&ada).await.expect("deleted");
    let found = record(&core, User::UserId(ada.clone())).await.expect("found");
    assert!(found.deleted && found.user.expect("a user").email.is_empty());
    let answer = record(&core, User::ExternalId(external_id)).await;
    assert_refused(answer, ErrorReason::UserUnknown);
    let nobody = "96bf0d3f-720d-4620-8dee-0f59f997cb51".to_owned();
    assert_refused(record(&core, User::UserId(nobody)).await, ErrorReason::UserUnknown);
    assert_invalid(record(&core, User::UserId("ada".to_owned())).await, "user_id");
    // What is left is still theirs.
    assert_eq!(export(&core, &ada).await.expect("exported").messages.len(), 2);
}

#[tokio::test]
async fn a_user_gets_what_they_see_and_nothing_of_others() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let hidden = core.send(&bob, &ada, "hidden by ada").await.expect("stored").message_id;
    let last = core.send(&bob, &ada, BODY).await.expect("stored").message_id;
    let seen = core.send(&ada, &bob, "from ada").await.expect("stored").message_id;
    core.send(&bob, &cyd, "not ada's").await.expect("stored");
    let sent = upload(&core, &ada, &bob, "a.bin", &[7; 100_000]).await.expect("stored");
    // Not dispatched.
    upload(&core, &bob, &ada, "b.bin", &[8; 10]).await.expect("stored");
    upload(&core, &cyd, &ada, "c.bin", &[9; 10]).await.expect("stored");
    let request =
        DeleteMessageRequest { user_id: ada.clone(), message_id: hidden, for_everyone: false };
    core.chat().delete_message(request).await.expect("hidden");
    let mark = MarkSeenRequest { user_id: ada.clone(), peer_id: bob.clone(), up_to_id: last };
    core.chat().mark_seen(mark).await.expect("marked");
    let mark = MarkSeenRequest { user_id: bob.clone(), peer_id: ada.clone(), up_to_id: seen };
    core.chat().mark_seen(mark).await.expect("marked");
    let change = UserChange {
        id: bob.clone(),
        email: Some("canary of bob".to_owned()),
        profile_json: Some("\"canary of bob\"".to_owned()),
        ..Default::default()
    };
    let request = UpsertUsersRequest { users: vec![change] };
    core.directory().upsert_users(request).await.expect("upserted");

    let exported = export(&core, &ada).await.expect("exported");
    let bodies: Vec<_> = exported.messages.iter().map(|message| &*message.body).collect();
    assert_eq!(bodies, [BODY, "from ada", "a file"]);
    let thread = &exported.threads[0];
    assert_eq!(exported.threads.len(), 1, "a thread of which nothing was shown");
    assert_eq!(thread.state.as_ref().expect("a state").seen_id, last);
    let path = sent.attachment.expect("a file").path;
    assert_eq!(exported.files, [(path.clone(), vec![7; 100_000])]);
    // The peer's email and profile are the peer's, and so are their marks.
    let told = format!("{:?} {:?}", exported.threads, exported.messages);
    assert!(!told.contains("canary of bob"), "{told}");
    let state = thread.state.as_ref().expect("a state");
    assert_eq!((state.peer_seen_id, state.peer_delivered_id), (0, 0));
    assert!(state.last_id > 0 && thread.last_message.is_none(), "{thread:?}");
    let users = [&thread.user_one, &thread.user_two].map(|user| user.as_ref().expect("a user"));
    assert!(users.iter().any(|user| user.id == bob), "{users:?}");
    let end = exported.end.expect("an end");
    assert_eq!((end.threads, end.messages, end.files, end.missing_files), (1, 3, 1, 0));
    assert_eq!(exported.record.user.expect("a user").id, ada);

    std::fs::remove_file(core.process.media_dir().join(&path)).expect("removed");
    let exported = export(&core, &ada).await.expect("exported");
    assert_eq!((exported.missing, exported.files.len()), (vec![path], 0));
    assert_eq!(exported.end.expect("an end").missing_files, 1);
    assert_invalid(export(&core, "ada").await.map(|_| ()), "user_id");
}

#[tokio::test]
async fn a_tap_shows_what_is_written_only_if_that_is_asked_for() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let (mut blind, mut seeing) = (tap(&core, &ada, false).await, tap(&core, &ada, true).await);
    let sent = core.send(&bob, &ada, BODY).await.expect("stored").message_id;
    let shown = next(&mut blind).await;
    assert!(!format!("{shown:?}").contains("canary"), "{shown:?}");
    let Some(Change::Message(message)) = &shown.events[0].change else { panic!("{shown:?}") };
    assert_eq!((message.id, &*message.sender_id), (sent, &*bob));
    let shown = next(&mut seeing).await;
    let Some(Change::Message(message)) = &shown.events[0].change else { panic!("{shown:?}") };
    assert_eq!(message.body, BODY);
    let unknown = TapUserRequest {
        user_id: "96bf0d3f-720d-4620-8dee-0f59f997cb51".to_owned(),
        bodies: false,
    };
    assert_refused(core.admin().tap_user(unknown).await.map(|_| ()), ErrorReason::UserUnknown);
}

#[tokio::test]
async fn an_export_has_whom_the_user_blocks_and_nothing_of_what_that_kept_from_them() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    core.send(&bob, &ada, "shown").await.expect("stored");
    core.block(&ada, &bob).await.expect("blocked");
    core.block(&ada, &cyd).await.expect("blocked");
    core.send(&bob, &ada, "canary").await.expect("stored");
    core.send(&cyd, &ada, "canary").await.expect("stored");
    upload(&core, &bob, &ada, "canary.txt", b"canary").await.expect("stored");
    let exported = export(&core, &ada).await.expect("an export");
    let mut blocked: Vec<_> = exported.blocks.iter().map(|block| &block.peer_id).collect();
    blocked.sort();
    let mut expected = [&bob, &cyd];
    expected.sort();
    assert_eq!(blocked, expected);
    let bodies: Vec<_> = exported.messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!((bodies, exported.threads.len()), (vec!["shown"], 1));
    assert!(exported.files.is_empty() && exported.missing.is_empty());
    let of_bob = export(&core, &bob).await.expect("an export");
    assert_eq!((of_bob.messages.len(), of_bob.files.len(), of_bob.blocks.len()), (3, 1, 0));
    // A caller of before does not know of the part.
    let request = ExportUserRequest { user_id: ada, with_blocks: false };
    let stream = core.admin().export_user(request).await.expect("an export").into_inner();
    let parts = collect(stream).await.expect("all of it");
    assert!(!parts.iter().any(|it| matches!(it.part, Some(Part::Blocks(_)))), "{parts:?}");
}
