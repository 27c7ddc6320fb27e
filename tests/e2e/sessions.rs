//! Access tokens that are taken away, and WebSockets that services end and list: `SessionService`.

use netrox_harness::{
    Edge, Response, Socket, TestChat, User, eventually,
    grpc::Authorized,
    settings::JWT_SECRET,
    socket::End,
    token::{Claims, now},
};
use netrox_proto::v1::{
    EndSessionsRequest, ListSessionsRequest, ListSessionsResponse, RevokeTokensRequest,
    end_sessions_request, revoke_tokens_request::Tokens,
    session_service_client::SessionServiceClient,
};

mod cut_off;
mod ending;
mod listing;
mod load;
mod revoking;

const THREADS: &str = "/chat/get-user-threads/";

type Service = SessionServiceClient<Authorized>;

fn revocation(tokens: Tokens) -> RevokeTokensRequest {
    RevokeTokensRequest { tokens: Some(tokens), ..Default::default() }
}

async fn revoke(service: &mut Service, tokens: Tokens) {
    service.revoke_tokens(revocation(tokens)).await.expect("revoked");
}

async fn end(service: &mut Service, sessions: end_sessions_request::Sessions) {
    let request = EndSessionsRequest { sessions: Some(sessions) };
    service.end_sessions(request).await.expect("ended");
}

async fn list(service: &mut Service, user: &User) -> ListSessionsResponse {
    let request = ListSessionsRequest { user_id: user.id.clone() };
    service.list_sessions(request).await.expect("a list").into_inner()
}

/// The user with a token that was issued so many seconds after now, and has a name.
fn issued(user: &User, after: i64, name: &str) -> User {
    let issued_at = now() as i64 + after;
    let claims = Claims::access(&user.id).claim("iat", issued_at).claim("jti", name);
    user.with_token(claims.sign(JWT_SECRET))
}

async fn ask(edge: Edge, user: &User) -> Response {
    edge.get(THREADS).bearer(&user.token).send().await
}

async fn is_taken(edge: Edge, user: &User) -> bool {
    let answer = ask(edge, user).await;
    assert!([200, 401].contains(&answer.status), "{answer:?}");
    answer.status == 200
}

/// Waits until no edge takes the token; then it is refused as any other that is no good.
async fn is_refused(chat: &TestChat, user: &User) {
    for edge in chat.edges() {
        eventually("a refusal", async || (!is_taken(edge, user).await).then_some(())).await;
        let refused = ask(edge, user).await;
        let other = edge.get(THREADS).bearer("no.such.token").send().await;
        assert_eq!((refused.status, refused.text()), (401, other.text()));
    }
}

async fn open_second(edge: Edge, user: &User) -> Socket {
    let path = format!("/ws/chat/room/?protocol=2&token={}", user.token);
    Socket::open(edge.address, &path, &[]).await
}

/// Sockets of both generations on each edge.
async fn sockets(chat: &TestChat, user: &User) -> Vec<(Socket, u16)> {
    let mut sockets = Vec::new();
    for edge in chat.edges() {
        sockets.push((edge.connect(user).await, 1));
        sockets.push((open_second(edge, user).await, 2));
    }
    sockets
}

/// `code` is that of the second generation.
async fn are_closed(sockets: Vec<(Socket, u16)>, code: u16) {
    for (mut socket, generation) in sockets {
        let code = if generation == 1 { 1008 } else { code };
        assert_eq!(socket.end().await, End::Closed(code), "generation {generation}");
    }
}
