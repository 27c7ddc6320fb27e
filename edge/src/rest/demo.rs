//! `/demo/`: the web client, and tokens of its two users for who shows the key of this start.
//!
//! The page has the key from the fragment of the address that was printed, which neither a proxy nor a log is told, and shows
//! it in a header, which a page of another origin cannot.

mod files;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use subtle::ConstantTimeEq as _;
use tokio::task::spawn_blocking;
use tower_http::compression::CompressionLayer;

use crate::{
    config::{Demo, DemoUser},
    edge::Edge,
    error::PublicError,
    notice::Notice,
    strangers::Visitor,
    wire::{demo::DemoToken, v1::rest},
};

const KEY: HeaderName = HeaderName::from_static("demo-key");
const PAGE: &str = "web/index.html";

/// Nothing from elsewhere, nothing inline, in no frame.
const PAGE_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // Asked for again each time: another version of the server has others.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The routes where there is a demo; else there are none.
pub(super) fn router() -> Router<Edge> {
    let refused = Arc::new(Notice::default());
    Router::new()
        .route("/demo", get(page_with_slash))
        .route("/demo/", get(|headers: HeaderMap| async move { answer(PAGE, &headers) }))
        .route("/demo/{*path}", get(file))
        .layer(CompressionLayer::new())
        .route(
            "/demo/token/{word}",
            post(move |edge: State<Edge>, word: Path<String>, request: Request| async move {
                token(edge, word, request, &refused).await
            }),
        )
}

/// What the page names is relative to it, also behind a proxy that serves it elsewhere.
async fn page_with_slash() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("demo/"));
    response
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, PublicError> {
    // What the page names is relative to `/demo/`.
    if path == PAGE {
        return Err(PublicError::not_found());
    }
    answer(&path, &headers)
}

fn answer(path: &str, headers: &HeaderMap) -> Result<Response, PublicError> {
    let file = files::find(path).ok_or_else(PublicError::not_found)?;
    let tag = files::TAG.as_str();
    let is_held = headers.get(header::IF_NONE_MATCH).is_some_and(|held| held == tag);
    let mut response = Response::new(if is_held { Body::empty() } else { file.content.into() });
    let said = response.headers_mut();
    said.extend(PAGE_HEADERS);
    said.insert(header::ETAG, HeaderValue::from_static(tag));
    if is_held {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        said.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    }
    Ok(response)
}

async fn token(
    State(edge): State<Edge>,
    Path(word): Path<String>,
    request: Request,
    refused: &Notice,
) -> Result<Response, PublicError> {
    let demo = edge.shared.config.demo.as_ref().ok_or_else(PublicError::not_found)?;
    // A body cannot be shared, and there is none.
    let (head, _) = request.into_parts();
    let shown = head.headers.get(KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if !bool::from(shown.ct_eq(demo.key.as_bytes())) {
        if let Some(untold) = refused.happened() {
            let peer = Visitor::address(&head.extensions);
            let peer = peer.map(|address| tracing::field::display(address.ip()));
            tracing::warn!(untold, peer, "a token of the demo is refused: its key is another");
        }
        return Err(PublicError::no_demo_key());
    }
    let (user, peer) = both(demo, &word).ok_or_else(PublicError::not_found)?;
    let token = minted(demo, user).await?;
    // Both are in the directory before one writes to the other.
    for token in [&token, &minted(demo, peer).await?] {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(PublicError::internal)?;
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        let patience = edge.patience(&head.method);
        edge.identify(&headers, None, &head.extensions, patience).await?;
    }
    let search = edge.shared.config.limits.search;
    let answer = serde_json::to_vec(&DemoToken::new(&token, user, peer, search));
    Ok(rest::respond(StatusCode::OK, answer.map_err(PublicError::internal)?))
}

async fn minted(demo: &Demo, user: &DemoUser) -> Result<String, PublicError> {
    let (mint, user) = (Arc::clone(&demo.mint), user.clone());
    let minted = spawn_blocking(move || mint(&user)).await.map_err(PublicError::internal)?;
    minted.map_err(PublicError::internal)
}

/// Who is called so, and the other.
fn both<'a>(demo: &'a Demo, word: &str) -> Option<(&'a DemoUser, &'a DemoUser)> {
    let [one, other] = &demo.users;
    [(one, other), (other, one)].into_iter().find(|(user, _)| user.word == word)
}
