//! `SessionService`: what is kept of tokens that count no more and of sessions that are to end, and how edges learn of it.

use netrox_harness::{token::now, within};
use netrox_proto::{
    token_name::token_key,
    v1::{
        AllTokens, EdgeOver, EndSessionsRequest, ErrorReason, ListSessionsRequest,
        RevokeTokensRequest, RevokedTokens, Session, SessionNotice, SessionsOfUser, TokenName,
        WatchSessionsRequest, WatchSessionsResponse, end_sessions_request::Sessions,
        revoke_tokens_request::Tokens, revoked_tokens, session_notice::Notice,
        watch_sessions_request::Request,
    },
};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

use crate::{
    refusal::{assert_invalid, assert_refused},
    running::{Connection, Core},
};

/// More than one response carries.
const MANY: usize = 1_100;

/// An edge that watches.
struct Edge {
    requests: mpsc::Sender<WatchSessionsRequest>,
    responses: Streaming<WatchSessionsResponse>,
}

impl Edge {
    async fn watch(core: &Connection, name: &str) -> Self {
        let (requests, sent) = mpsc::channel(8);
        let edge = WatchSessionsRequest { request: Some(Request::Edge(name.to_owned())) };
        requests.send(edge).await.expect("room");
        let responses = core.sessions().watch_sessions(ReceiverStream::new(sent)).await;
        Self { requests, responses: responses.expect("a watch").into_inner() }
    }

    async fn next(&mut self) -> WatchSessionsResponse {
        let next = within("a sign of life", self.responses.message()).await;
        next.expect("no failure").expect("no end")
    }

    /// All that is kept.
    async fn kept(&mut self) -> Vec<Notice> {
        let mut kept = Vec::new();
        loop {
            let WatchSessionsResponse { notices, live, .. } = self.next().await;
            assert!(notices.len() <= 1_000);
            kept.extend(notices.into_iter().filter_map(|SessionNotice { notice }| notice));
            if live {
                return kept;
            }
        }
    }

    async fn news(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.next().await.notices.pop() {
                return notice.notice.expect("a notice");
            }
        }
    }

    /// Says what a user has open here when the core asks.
    async fn answer(&mut self, user: &str, sessions: &[Session]) {
        loop {
            let Some(question) = self.next().await.questions.pop() else { continue };
            assert_eq!(Uuid::from_slice(&question.user_id).expect("a UUID").to_string(), user);
            let sessions = sessions.to_vec();
            let answer = SessionsOfUser { question_id: question.question_id, sessions };
            let request = WatchSessionsRequest { request: Some(Request::Answer(answer)) };
            return self.requests.send(request).await.expect("room");
        }
    }

    async fn answer_all(&mut self, user: &str, sessions: &[Session]) {
        loop {
            self.answer(user, sessions).await;
        }
    }
}

fn of_user(user: &str) -> RevokeTokensRequest {
    RevokeTokensRequest { tokens: Some(Tokens::UserId(user.to_owned())), ..Default::default() }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 500_000_000 })
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

fn revoked(notice: Notice) -> RevokedTokens {
    let Notice::Revoked(revoked) = notice else { panic!("{notice:?}") };
    revoked
}

#[tokio::test]
async fn edges_are_told_what_is_kept_and_then_what_is_new() {
    let mut core = Core::start().await;
    let [user, other] = [new_id(), new_id()];
    core.sessions().revoke_tokens(of_user(&user)).await.expect("revoked");
    let mut edge = Edge::watch(&core, "one").await;
    let kept = edge.kept().await;
    assert_eq!(kept.len(), 1);
    let first = revoked(kept[0].clone());
    let bytes = Uuid::parse_str(&user).expect("a UUID").as_bytes().to_vec();
    assert_eq!(first.tokens, Some(revoked_tokens::Tokens::UserId(bytes)));
    assert!(first.issued_until.abs_diff(now() as i64) < 300 && first.expires_at.is_none());
    // A sign of life comes though nothing happens.
    assert_eq!(edge.next().await, WatchSessionsResponse::default());
    let token = TokenName { token_id: "a token".into(), issuer: Some("there".into()) };
    let request = RevokeTokensRequest { tokens: Some(Tokens::Token(token)), ..Default::default() };
    core.sessions().revoke_tokens(request).await.expect("revoked");
    let key = token_key(Some("there"), "a token").to_vec();
    assert_eq!(revoked(edge.news().await).tokens, Some(revoked_tokens::Tokens::Token(key)));
    let all = RevokeTokensRequest {
        tokens: Some(Tokens::All(AllTokens {})),
        issued_before: at(77),
        ..Default::default()
    };
    core.sessions().revoke_tokens(all).await.expect("revoked");
    assert_eq!(revoked(edge.news().await).issued_until, 77);
    let mut ended = Vec::new();
    for _ in 0..2 {
        let sessions = Some(Sessions::UserId(other.clone()));
        core.sessions().end_sessions(EndSessionsRequest { sessions }).await.expect("ended");
        let Notice::Ended(notice) = edge.news().await else { panic!("an end") };
        ended.push(notice.ended_at);
    }
    assert!(ended[0] < ended[1], "the same sessions may end again");
    // All of it outlives the core.
    core.kill_and_restart().await;
    let kept = Edge::watch(&core, "one").await.kept().await;
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert_eq!(revoked(kept[0].clone()), first);
}

#[tokio::test]
async fn a_later_call_says_more_and_what_has_expired_is_forgotten() {
    let core = Core::start().await;
    let user = new_id();
    let call = async |issued_before, expires_at| {
        let request = RevokeTokensRequest { issued_before, expires_at, ..of_user(&user) };
        let kept = core.sessions().revoke_tokens(request).await.expect("revoked").into_inner();
        let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds);
        (seconds(kept.issued_before), seconds(kept.expires_at))
    };
    let later = now() as i64 + 100_000;
    let (issued, expires) = call(at(100), at(later)).await;
    assert_eq!(issued, Some(100));
    assert!(expires >= Some(later), "with time for clocks that differ");
    assert_eq!(call(at(50), at(later - 10)).await, (Some(100), expires));
    assert_eq!(call(at(150), at(later)).await, (Some(150), expires));
    assert_eq!(call(at(50), None).await, (Some(150), None));
    assert_eq!(call(at(50), at(later)).await, (Some(150), None));
    core.process.change_rows(&["update session_notices set expires = 1"]).await;
    let other = new_id();
    core.sessions().revoke_tokens(of_user(&other)).await.expect("revoked");
    core.sessions().revoke_tokens(of_user(&new_id())).await.expect("revoked");
    let count = core.process.count("select count(*) from session_notices").await;
    assert_eq!(count, 2, "the last one stays until another comes");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let core = Core::start().await;
    let user = new_id();
    let token = |id: &str, issuer: Option<String>| {
        let name = TokenName { token_id: id.to_owned(), issuer };
        RevokeTokensRequest { tokens: Some(Tokens::Token(name)), ..Default::default() }
    };
    for (field, request) in [
        ("tokens", RevokeTokensRequest::default()),
        ("user_id", of_user("no UUID")),
        ("token.token_id", token("", None)),
        ("token.token_id", token(&"x".repeat(1_025), None)),
        ("token.issuer", token("x", Some("x".repeat(1_025)))),
        ("issued_before", RevokeTokensRequest { issued_before: at(1), ..token("x", None) }),
        (
            "issued_before",
            RevokeTokensRequest { issued_before: at(now() as i64 + 100_000), ..of_user(&user) },
        ),
        ("expires_at", RevokeTokensRequest { expires_at: at(1), ..of_user(&user) }),
    ] {
        assert_invalid(core.sessions().revoke_tokens(request).await, field);
    }
    let end = async |sessions| core.sessions().end_sessions(EndSessionsRequest { sessions }).await;
    assert_invalid(end(None).await, "sessions");
    assert_invalid(end(Some(Sessions::UserId("x".into()))).await, "user_id");
    assert_invalid(end(Some(Sessions::SessionId("x".into()))).await, "session_id");
    let request = ListSessionsRequest { user_id: "x".into() };
    assert_invalid(core.sessions().list_sessions(request).await, "user_id");
    let named = WatchSessionsRequest { request: Some(Request::Edge(String::new())) };
    let watch = core.sessions().watch_sessions(tokio_stream::iter([named])).await;
    assert_invalid(watch, "edge");
}

#[tokio::test]
async fn so_many_are_kept_and_those_can_be_widened_still() {
    let core = Core::start().await;
    let fill = match crate::STORE {
        netrox_harness::Store::Sqlite => {
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 250000)
            insert into session_notices (version, kind, key, cutoff)
            select i, 2, unhex(printf('%032x', i)), 0 from n"
        }
        netrox_harness::Store::Postgres => {
            "insert into session_notices (version, kind, key, cutoff)
            select i, 2, decode(lpad(to_hex(i), 32, '0'), 'hex'), 0 from generate_series(1, 250000) i"
        }
    };
    core.process.change_rows(&[fill]).await;
    let user = new_id();
    let refused = core.sessions().revoke_tokens(of_user(&user)).await;
    assert_refused(refused, ErrorReason::TooManyRevocations);
    let kept = Edge::watch(&core, "one").await.kept().await;
    assert_eq!(kept.len(), 250_000);
    let free = format!("delete from session_notices where version <= {MANY}");
    core.process.change_rows(&[free.as_str()]).await;
    core.sessions().revoke_tokens(of_user(&user)).await.expect("revoked");
    // Ends are counted for themselves.
    let sessions = Some(Sessions::UserId(user));
    core.sessions().end_sessions(EndSessionsRequest { sessions }).await.expect("ended");
}

/// While one of its watches takes the place of another.
#[tokio::test]
async fn an_edge_that_watches_twice_is_known_to_other_cores_once() {
    let core = Core::start().await;
    let (mut one, mut again) = (Edge::watch(&core, "one").await, Edge::watch(&core, "one").await);
    tokio::join!(one.kept(), again.kept());
    if crate::STORE == netrox_harness::Store::Postgres {
        netrox_harness::eventually("the edge", async || {
            let count = core.process.count("select count(*) from session_edges").await;
            (count == 1).then_some(())
        })
        .await;
        // It is seen again when another comes.
        core.process.change_rows(&["delete from session_edges"]).await;
        Edge::watch(&core, "two").await.kept().await;
        netrox_harness::eventually("both edges", async || {
            let count = core.process.count("select count(*) from session_edges").await;
            (count == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn edges_are_asked_for_the_sessions_of_a_user() {
    let core = Core::start().await;
    let user = new_id();
    let list = async || {
        let request = ListSessionsRequest { user_id: user.clone() };
        core.sessions().list_sessions(request).await.expect("a list").into_inner()
    };
    let nobody = list().await;
    assert!(nobody.is_complete && nobody.sessions.is_empty());
    let (mut one, mut two) = (Edge::watch(&core, "one").await, Edge::watch(&core, "two").await);
    tokio::join!(one.kept(), two.kept());
    let session = |edge: &str| Session { edge: edge.into(), ..Default::default() };
    let (of_one, of_two) = ([session("one"), session("one")], [session("two")]);
    // A core that is behind asks nobody, and names who was not asked.
    netrox_harness::eventually("the sessions of both", async || {
        let listed = tokio::select! {
            listed = list() => listed,
            () = one.answer_all(&user, &of_one) => return None,
            () = two.answer_all(&user, &of_two) => return None,
        };
        (listed.is_complete && listed.sessions.len() == 3).then_some(())
    })
    .await;
    // One that does not answer is named.
    netrox_harness::eventually("the sessions of one", async || {
        let listed = tokio::select! {
            listed = list() => listed,
            () = one.answer_all(&user, &of_one) => return None,
        };
        assert!(!listed.is_complete && listed.silent_edges.contains(&"two".to_owned()));
        (listed.silent_edges == ["two"] && listed.sessions == of_one).then_some(())
    })
    .await;
    // So is one that broke off; not one that said farewell.
    drop(two);
    let Edge { requests, mut responses } = one;
    let over = WatchSessionsRequest { request: Some(Request::Over(EdgeOver {})) };
    requests.send(over).await.expect("room");
    while within("the end", responses.message()).await.expect("no failure").is_some() {}
    netrox_harness::eventually("the farewell of one", async || {
        let listed = list().await;
        (listed.silent_edges == ["two"]).then_some(())
    })
    .await;
}
