//! `CreateTicket`, `RedeemTicket`: what stands in the place of an access token, once for a WebSocket, or for a while for a file.

use netrox_harness::{Store, eventually, token::now};
use netrox_proto::v1::{
    BlockUserRequest, CreateTicketRequest, CreateTicketResponse, DeleteMessageRequest, ErrorReason,
    RedeemTicketRequest, RedeemTicketResponse, TokenMark,
};
use prost_types::Timestamp;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    STORE,
    attachment::{dispatch, upload},
    refusal::{assert_invalid, assert_refused},
    running::{Connection, Core, micros},
};

/// Of a token that says all there is to say.
pub(crate) fn wanted(user: &str, path: Option<&str>) -> CreateTicketRequest {
    CreateTicketRequest {
        user_id: user.into(),
        token_expires: Some(Timestamp { seconds: 9_999_999_999, nanos: 0 }),
        path: path.map(Into::into),
        token: Some(TokenMark { issued_at: Some(-7), names: vec![vec![1; 16], vec![2; 16]] }),
    }
}

impl Connection {
    pub(crate) async fn create(
        &self,
        request: CreateTicketRequest,
    ) -> Result<CreateTicketResponse, Status> {
        self.sessions().create_ticket(request).await.map(Response::into_inner)
    }

    pub(crate) async fn ticket(&self, user: &str) -> String {
        self.create(wanted(user, None)).await.expect("a ticket").ticket
    }

    pub(crate) async fn redeem(
        &self,
        ticket: &str,
        path: Option<&str>,
    ) -> Result<RedeemTicketResponse, Status> {
        let request = RedeemTicketRequest { ticket: ticket.into(), path: path.map(Into::into) };
        self.sessions().redeem_ticket(request).await.map(Response::into_inner)
    }

    pub(crate) async fn link(&self, user: &str, path: &str) -> Result<String, Status> {
        self.create(wanted(user, Some(path))).await.map(|made| made.ticket)
    }
}

/// A file that Bob sent to Ada, who was told of it.
async fn file(core: &Core, bob: &str, ada: &str) -> (i64, String) {
    let message = upload(core, bob, ada, "a.jpg", b"0123456789").await.expect("stored");
    dispatch(core, bob, message.id).await.expect("dispatched");
    (message.id, message.attachment.expect("a file").path)
}

#[tokio::test]
async fn a_ticket_is_redeemed_once_and_says_what_bought_it() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let made = core.create(wanted(&ada, None)).await.expect("a ticket");
    assert_eq!(made.expires_in_s, 30);
    let left = made.expires.expect("a time").seconds - now() as i64;
    assert!((0..=31).contains(&left), "{left}");
    assert!(made.ticket.len() < 512, "{}", made.ticket);
    let redeemed = core.redeem(&made.ticket, None).await.expect("unused");
    let CreateTicketRequest { user_id, token_expires, token, .. } = wanted(&ada, None);
    assert_eq!(redeemed, RedeemTicketResponse { user_id, token_expires, token });
    assert_refused(core.redeem(&made.ticket, None).await, ErrorReason::TicketUnknown);
    assert_eq!(core.process.count("select count(*) from spent_tickets").await, 1);
    assert_eq!(core.process.count("select count(*) from ticket_keys").await, 1);
    // It is known by the database that it was.
    let mut core = core;
    let other = core.ticket(&ada).await;
    core.kill_and_restart().await;
    assert_refused(core.redeem(&made.ticket, None).await, ErrorReason::TicketUnknown);
    let again = core.redeem(&other, None).await;
    match STORE {
        // The file may be an older copy that was put back while no core ran.
        Store::Sqlite => assert_refused(again, ErrorReason::TicketUnknown),
        Store::Postgres => drop(again.expect("unused")),
    }
    assert!(!core.log_contains(&made.ticket) && !core.log_contains(&other));
}

#[tokio::test]
async fn a_ticket_without_a_token_goes_with_those_of_now() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let request = CreateTicketRequest { token: None, ..wanted(&ada, None) };
    let ticket = core.create(request).await.expect("a ticket").ticket;
    let token = core.redeem(&ticket, None).await.expect("unused").token.expect("a mark");
    assert!(token.issued_at.expect("a time").abs_diff(now() as i64) < 60, "{token:?}");
    assert!(token.names.is_empty());
    let undated = CreateTicketRequest { token: Some(TokenMark::default()), ..wanted(&ada, None) };
    let ticket = core.create(undated).await.expect("a ticket").ticket;
    let redeemed = core.redeem(&ticket, None).await.expect("unused");
    assert_eq!(redeemed.token, Some(TokenMark::default()));
}

#[tokio::test]
async fn what_is_no_ticket_is_unknown_and_what_makes_no_sense_is_refused() {
    let core = Core::start().await;
    let [ada, gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let good = core.ticket(&ada).await;
    let mut other = good.clone().into_bytes();
    other[40] = if other[40] == b'A' { b'B' } else { b'A' };
    let other = String::from_utf8(other).expect("text");
    for wrong in ["", "x", &other, &good[1..], &format!("{good}A"), &"A".repeat(100_000)] {
        assert_refused(core.redeem(wrong, None).await, ErrorReason::TicketUnknown);
    }
    // Nor does it open what it is not for; that spends nothing.
    let path = format!("attachments/2024/06/17/{}.jpg", Uuid::new_v4());
    assert_refused(core.redeem(&good, Some(&path)).await, ErrorReason::TicketUnknown);
    core.redeem(&good, None).await.expect("unused");

    let create = |request| core.create(request);
    assert_invalid(create(wanted("x", None)).await, "user_id");
    let undated = CreateTicketRequest { token_expires: None, ..wanted(&ada, None) };
    assert_invalid(create(undated).await, "token_expires");
    for names in [vec![vec![1; 16]], vec![vec![1; 16], vec![2; 15]], vec![vec![1; 16]; 3]] {
        let token = Some(TokenMark { issued_at: None, names });
        let request = CreateTicketRequest { token, ..wanted(&ada, None) };
        assert_invalid(create(request).await, "token.names");
    }
    let stranger = Uuid::new_v4().to_string();
    assert_refused(create(wanted(&stranger, None)).await, ErrorReason::UserUnknown);
    assert_refused(create(wanted(&gone, None)).await, ErrorReason::UserDeleted);
    for path in ["", "x", &path] {
        let refused = create(wanted(&ada, Some(path))).await;
        assert_refused(refused, ErrorReason::AttachmentNotFound);
    }
}

#[tokio::test]
async fn what_was_spent_is_forgotten_when_no_clock_would_take_it_any_more() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let count = || core.process.count("select count(*) from spent_tickets");
    core.redeem(&core.ticket(&ada).await, None).await.expect("unused");
    // Within the time by which clocks may differ it is not forgotten.
    let now = now() as i64 * 1_000_000;
    let age = |micros: i64| format!("update spent_tickets set expires = {}", now - micros);
    core.process.change_rows(&[&age(3_000_000_000)]).await;
    core.redeem(&core.ticket(&ada).await, None).await.expect("unused");
    assert_eq!(count().await, 2);
    core.process.change_rows(&[&age(3_700_000_000)]).await;
    core.redeem(&core.ticket(&ada).await, None).await.expect("unused");
    assert_eq!(count().await, 1);
}

async fn keys(core: &Core) -> i64 {
    core.process.count("select count(*) from ticket_keys").await
}

#[tokio::test]
async fn keys_are_made_anew_each_day_and_what_an_older_one_signed_is_good() {
    let core = Core::start_with(&[("link-ttl", "1h")]).await;
    let [ada, bob] = core.users().await;
    let (_, path) = file(&core, &bob, &ada).await;
    let made = core.create(wanted(&ada, Some(&path))).await.expect("a link");
    assert_eq!(made.expires_in_s, 3_600);
    let (link, mut core) = (made.ticket, core);
    let day = 24 * 3_600 * 1_000_000_i64;
    let older = |days: i64| format!("update ticket_keys set created = created - {}", days * day);
    core.process.change_rows(&[&older(1)]).await;
    // A core that has just begun knows none.
    core.kill_and_restart().await;
    core.redeem(&link, Some(&path)).await.expect("as good as before");
    core.ticket(&ada).await;
    assert_eq!(keys(&core).await, 2);
    core.redeem(&link, Some(&path)).await.expect("as good as before");
    // Nothing is good any more that it signed, also while no other is made.
    core.process.change_rows(&[&older(3)]).await;
    core.kill_and_restart().await;
    assert_refused(core.redeem(&link, Some(&path)).await, ErrorReason::TicketUnknown);
    assert_eq!(keys(&core).await, 2);
    core.ticket(&ada).await;
    assert_eq!(keys(&core).await, 1);
    assert_refused(core.redeem(&link, Some(&path)).await, ErrorReason::TicketUnknown);
}

#[tokio::test]
async fn a_key_of_a_time_to_come_neither_signs_nor_verifies() {
    let mut core = Core::start_with(&[("link-ttl", "1h")]).await;
    let [ada, bob] = core.users().await;
    let (_, path) = file(&core, &bob, &ada).await;
    let link = core.link(&ada, &path).await.expect("a link");
    let year = 365 * 24 * 3_600 * 1_000_000_i64;
    let later = format!("update ticket_keys set created = created + {year}");
    core.process.change_rows(&[&later]).await;
    core.kill_and_restart().await;
    assert_refused(core.redeem(&link, Some(&path)).await, ErrorReason::TicketUnknown);
    let newer = core.link(&ada, &path).await.expect("a link");
    core.redeem(&newer, Some(&path)).await.expect("good");
    assert_eq!(keys(&core).await, 2);
}

#[tokio::test]
async fn a_link_is_good_for_its_file_as_long_as_its_user_is_shown_it() {
    let core = Core::start().await;
    let [ada, bob, cy] = core.users().await;
    let (first, path) = file(&core, &bob, &ada).await;
    let (second, other) = file(&core, &bob, &ada).await;
    assert_refused(core.link(&cy, &path).await, ErrorReason::AttachmentNotFound);
    let of_ada = core.link(&ada, &path).await.expect("a link");
    let of_bob = core.link(&bob, &path).await.expect("a link");
    for _ in 0..20 {
        let redeemed = core.redeem(&of_ada, Some(&path)).await.expect("good");
        assert_eq!(redeemed.user_id, ada);
        assert_eq!(redeemed.token, wanted(&ada, None).token);
    }
    for wrong in [Some(other.as_str()), Some("x"), None] {
        assert_refused(core.redeem(&of_ada, wrong).await, ErrorReason::TicketUnknown);
    }
    // Ada hides it: her link ends, and his does not.
    let request =
        DeleteMessageRequest { user_id: ada.clone(), message_id: first, for_everyone: false };
    core.chat().delete_message(request).await.expect("hidden");
    let gone = core.redeem(&of_ada, Some(&path)).await;
    assert_refused(gone, ErrorReason::AttachmentNotFound);
    assert_refused(core.link(&ada, &path).await, ErrorReason::AttachmentNotFound);
    assert_eq!(core.redeem(&of_bob, Some(&path)).await.expect("good").user_id, bob);
    let of_other = core.link(&ada, &other).await.expect("a link");
    core.redeem(&of_other, Some(&other)).await.expect("good");
    let request =
        DeleteMessageRequest { user_id: bob.clone(), message_id: second, for_everyone: true };
    core.chat().delete_message(request).await.expect("deleted");
    let gone = core.redeem(&of_other, Some(&other)).await;
    assert_refused(gone, ErrorReason::AttachmentNotFound);
    let (_, third) = file(&core, &bob, &ada).await;
    core.delete_user(&bob).await.expect("deleted");
    let link = core.link(&ada, &third).await.expect("a link");
    core.redeem(&link, Some(&third)).await.expect("the file of a user who was deleted");
    core.delete_user(&ada).await.expect("deleted");
    assert_refused(core.redeem(&link, Some(&third)).await, ErrorReason::UserDeleted);
}

#[tokio::test]
async fn a_link_ends() {
    let core = Core::start_with(&[("link-ttl", "2s")]).await;
    let [ada, bob] = core.users().await;
    let (_, path) = file(&core, &bob, &ada).await;
    let made = core.create(wanted(&ada, Some(&path))).await.expect("a link");
    assert_eq!(made.expires_in_s, 2);
    let refused = eventually("the end of a link", async || {
        core.redeem(&made.ticket, Some(&path)).await.err()
    });
    assert_refused(Err::<(), _>(refused.await), ErrorReason::TicketExpired);
    assert!(micros(&made.expires.expect("a time")) <= now() as i64 * 1_000_000 + 1_000_000);
}

#[tokio::test]
async fn a_file_that_a_user_is_not_shown_has_no_link_for_them() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let held_back = upload(&core, &bob, &ada, "a.jpg", b"x").await.expect("stored");
    let path = held_back.attachment.expect("a file").path;
    assert_refused(core.link(&ada, &path).await, ErrorReason::AttachmentNotFound);
    core.link(&bob, &path).await.expect("its sender's");
    dispatch(&core, &bob, held_back.id).await.expect("dispatched");
    core.link(&ada, &path).await.expect("a link");
    let block = BlockUserRequest { user_id: ada.clone(), peer_id: bob.clone() };
    core.chat().block_user(block).await.expect("blocked");
    let (_, swallowed) = file(&core, &bob, &ada).await;
    assert_refused(core.link(&ada, &swallowed).await, ErrorReason::AttachmentNotFound);
    core.link(&bob, &swallowed).await.expect("its sender's");
    core.link(&ada, &path).await.expect("what was there before the block");
}

#[tokio::test]
async fn of_many_who_redeem_one_ticket_at_once_one_does() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let ticket = core.ticket(&ada).await;
        for _ in 0..8 {
            let (core, ticket) = (core.connect().await, ticket.clone());
            tasks.spawn(async move { (core.redeem(&ticket, None).await, ticket) });
        }
    }
    let mut redeemed = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        match answer.expect("no panic") {
            (Ok(_), ticket) => redeemed.push(ticket),
            (refused, _) => assert_refused(refused, ErrorReason::TicketUnknown),
        }
    }
    redeemed.sort();
    redeemed.dedup();
    assert_eq!(redeemed.len(), 20);
    assert_eq!(core.process.count("select count(*) from spent_tickets").await, 20);
}
