//! Who issues access tokens, as far as an edge sees it: an HTTP server with sets of keys, which can hang, be broken or away.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{settings::own_address, within};

/// What an [`Issuer`] answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conduct {
    /// The keys.
    Well,
    /// Connections are closed without an answer.
    Away,
    /// Nothing comes.
    Hanging,
    Status(u16),
    /// Another text in place of the keys.
    Text(String),
    /// Another place.
    Redirect(String),
}

#[derive(Debug)]
struct State {
    conduct: Conduct,
    /// By path.
    sets: BTreeMap<String, Value>,
    cache_control: Option<String>,
    /// Where it says that it is, in its OpenID configuration.
    name: String,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// How many requests came, that of the configuration aside.
    asked: watch::Receiver<u64>,
    _server: JoinSet<()>,
}

impl Issuer {
    /// With one set of keys, at [`Issuer::url`].
    pub async fn start(set: Value) -> Self {
        let listener = TcpListener::bind((own_address(), 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State {
            conduct: Conduct::Well,
            sets: BTreeMap::from([("/keys".to_owned(), set)]),
            cache_control: None,
            name: format!("http://{address}"),
        };
        let state = Arc::new(Mutex::new(state));
        let (count, asked) = watch::channel(0);
        let (count, shared) = (Arc::new(count), Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, count) = (Arc::clone(&shared), Arc::clone(&count));
                connections.spawn(async move {
                    let service = service_fn(|request: http::Request<Incoming>| {
                        answer(Arc::clone(&state), Arc::clone(&count), request)
                    });
                    // An error is seen by the client, as the end of its connection.
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state, asked, _server: server }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of its keys.
    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// In its OpenID configuration.
    pub fn set_name(&self, name: &str) {
        self.state().name = name.to_owned();
    }

    pub fn set_keys(&self, set: Value) {
        self.set_keys_at("/keys", set);
    }

    pub fn set_keys_at(&self, path: &str, set: Value) {
        self.state().sets.insert(path.to_owned(), set);
    }

    pub fn set_cache_control(&self, value: &str) {
        self.state().cache_control = Some(value.to_owned());
    }

    pub fn behave(&self, conduct: Conduct) {
        self.state().conduct = conduct;
    }

    /// How often it was asked for keys.
    pub fn asked(&self) -> u64 {
        *self.asked.borrow()
    }

    /// Waits until it is asked so many times more.
    pub async fn is_asked(&self, more: u64) {
        let mut asked = self.asked.clone();
        let least = self.asked() + more;
        let came = within("an issuer to be asked", asked.wait_for(|count| *count >= least)).await;
        came.expect("the issuer runs");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(
    state: Arc<Mutex<State>>,
    count: Arc<watch::Sender<u64>>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, &'static str> {
    let path = request.uri().path().to_owned();
    let (conduct, response) = {
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut response = http::Response::builder();
        if let Some(value) = &state.cache_control {
            response = response.header(header::CACHE_CONTROL, value);
        }
        let text = match state.sets.get(&path) {
            Some(set) => set.to_string(),
            None if path == "/.well-known/openid-configuration" => {
                let name = &state.name;
                json!({"issuer": name, "jwks_uri": format!("{name}/keys")}).to_string()
            }
            None => String::new(),
        };
        (state.conduct.clone(), response.body(full(text)).expect("an answer"))
    };
    if path != "/.well-known/openid-configuration" {
        count.send_modify(|count| *count += 1);
    }
    match conduct {
        Conduct::Well => Ok(response),
        Conduct::Away => Err("away"),
        Conduct::Hanging => std::future::pending().await,
        Conduct::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            Ok(http::Response::builder().status(status).body(full("")).expect("an answer"))
        }
        Conduct::Text(text) => Ok(response.map(|_| full(text))),
        Conduct::Redirect(to) => {
            let moved = http::Response::builder().status(302).header(header::LOCATION, to);
            Ok(moved.body(full("")).expect("an answer"))
        }
    }
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}
