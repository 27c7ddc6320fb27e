//! One of the two servers, asked for what it has. Nothing but GET is sent to it.

use std::{
    fs::File,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use netrox_diagnosis::causes;
use reqwest::{Client, Response, Url, redirect::Policy};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, time::sleep};

use super::turns::Turns;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// However slowly bytes come.
const LONGEST_ANSWER: Duration = Duration::from_secs(3600);
/// Nobody's conversation is as long: it is a server that does not end.
const MAX_ANSWER_BYTES: u64 = 4 << 30;
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 5;
/// So many answers that do not come, one after the other: a server is away.
const MISSES_IN_A_ROW: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Original,
    Candidate,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Original => "the original",
            Self::Candidate => "the candidate",
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// This one is missing. Others may come.
    Missed(String),
    /// There is no use in asking for more.
    Stop(String),
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer<B> {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    pub(super) bytes: u64,
    pub(super) body: B,
}

/// Where a body goes.
enum Sink {
    File(tokio::fs::File),
    Hash(Sha256),
}

/// A try that came to nothing.
enum Failed {
    /// Another may come to more, not before this time is over.
    Now(String, Option<Duration>),
    /// It is this machine that fails.
    Here(String),
}

#[derive(Debug)]
pub(super) struct Server {
    side: Side,
    base: Url,
    /// Follows nothing: a list that is elsewhere is another list.
    lists: Client,
    /// Files may lie elsewhere.
    files: Client,
    turns: Turns,
    misses: AtomicU32,
}

impl Server {
    pub(super) fn new(side: Side, base: Url, rate: u32, timeout: Duration) -> Result<Self, String> {
        let needs_tls = base.scheme() == "https";
        let build = |policy: fn() -> Policy| {
            let client = || {
                Client::builder()
                    .user_agent(concat!("netrox-chat/", env!("CARGO_PKG_VERSION")))
                    // Tokens and messages go to the server that was named, and to nobody else.
                    .no_proxy()
                    .referer(false)
                    .redirect(policy())
                    .connect_timeout(CONNECT_TIMEOUT)
                    .read_timeout(timeout)
                    .timeout(LONGEST_ANSWER)
            };
            let built = match client().build() {
                // A machine without certificates of authorities needs none for http.
                Err(_) if !needs_tls => client().tls_certs_only([]).build(),
                built => built,
            };
            built.map_err(|error| causes(&error, error.is_timeout()))
        };
        Ok(Self {
            side,
            base,
            lists: build(Policy::none)?,
            files: build(|| Policy::limited(MAX_REDIRECTS))?,
            turns: Turns::new(rate),
            misses: AtomicU32::new(0),
        })
    }

    /// A list, into a file that has no name.
    pub(super) async fn list(
        &self,
        path: &[&str],
        token: &HeaderValue,
    ) -> Result<Answer<File>, Trouble> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Documented paths end with a slash.
            segments.pop_if_empty().extend(path).push("");
        }
        let answer = self.ask(&self.lists, &url, Some(token), || {
            let file = tempfile::tempfile().map_err(|error| Failed::Here(error.to_string()))?;
            Ok(Sink::File(tokio::fs::File::from_std(file)))
        });
        let Answer { status, content_type, bytes, body } = answer.await?;
        match body {
            Sink::File(file) => {
                let body = rewound(file).await.map_err(Trouble::Stop)?;
                Ok(Answer { status, content_type, bytes, body })
            }
            Sink::Hash(_) => Err(Trouble::Stop("a body went elsewhere".to_owned())),
        }
    }

    /// A file, of which the hash is kept.
    pub(super) async fn file(
        &self,
        location: &str,
        token: &HeaderValue,
    ) -> Result<Answer<[u8; 32]>, Trouble> {
        let url =
            self.base.join(location).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            return Err(Trouble::Missed(format!("{}: its path is none", self.side.name())));
        };
        // A bucket has no use for the token of a user.
        let token = (url.origin() == self.base.origin()).then_some(token);
        let hash = || Ok(Sink::Hash(Sha256::new()));
        let Answer { status, content_type, bytes, body } =
            self.ask(&self.files, &url, token, hash).await?;
        match body {
            Sink::Hash(hash) => {
                Ok(Answer { status, content_type, bytes, body: hash.finalize().into() })
            }
            Sink::File(_) => Err(Trouble::Stop("a body went elsewhere".to_owned())),
        }
    }

    /// Asks again until there is an answer that says something.
    async fn ask(
        &self,
        client: &Client,
        url: &Url,
        token: Option<&HeaderValue>,
        sink: impl Fn() -> Result<Sink, Failed>,
    ) -> Result<Answer<Sink>, Trouble> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            self.turns.wait().await;
            let tried = match sink() {
                Ok(sink) => ask_once(client, url.clone(), token, sink).await,
                Err(failed) => Err(failed),
            };
            match tried {
                Ok(answer) => {
                    self.misses.store(0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Failed::Here(reason)) => return Err(Trouble::Stop(reason)),
                Err(Failed::Now(reason, _)) if attempt == ATTEMPTS => {
                    return Err(self.miss(&reason));
                }
                Err(Failed::Now(_, wanted)) => {
                    sleep(wanted.unwrap_or(pause).clamp(pause, LONGEST_PAUSE)).await;
                }
            }
            attempt += 1;
            pause *= 2;
        }
    }

    fn miss(&self, reason: &str) -> Trouble {
        let reason = format!("{}: {reason}", self.side.name());
        let misses = self.misses.fetch_add(1, Ordering::Relaxed) + 1;
        if misses < MISSES_IN_A_ROW {
            return Trouble::Missed(reason);
        }
        Trouble::Stop(format!("{misses} requests in a row have failed, the last by {reason}"))
    }
}

async fn ask_once(
    client: &Client,
    url: Url,
    token: Option<&HeaderValue>,
    mut sink: Sink,
) -> Result<Answer<Sink>, Failed> {
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token.clone());
    }
    let again = |error: &reqwest::Error| Failed::Now(causes(error, error.is_timeout()), None);
    let mut response = request.send().await.map_err(|error| again(&error))?;
    let status = response.status();
    if is_passing(status) {
        let reason = format!("it is answered with {}", status.as_u16());
        return Err(Failed::Now(reason, retry_after(&response)));
    }
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let mut bytes = 0_u64;
    while let Some(part) = response.chunk().await.map_err(|error| again(&error))? {
        bytes += part.len() as u64;
        match &mut sink {
            Sink::Hash(hash) => hash.update(&part),
            Sink::File(_) if bytes > MAX_ANSWER_BYTES => {
                return Err(Failed::Now("its answer is longer than 4 GiB".to_owned(), None));
            }
            Sink::File(file) => {
                let written = file.write_all(&part).await;
                written.map_err(|error| Failed::Here(format!("a temporary file: {error}")))?;
            }
        }
    }
    Ok(Answer { status, content_type, bytes, body: sink })
}

/// From its beginning, for one that blocks.
async fn rewound(mut file: tokio::fs::File) -> Result<File, String> {
    use tokio::io::AsyncSeekExt as _;
    let ready = async {
        file.flush().await?;
        file.rewind().await
    };
    ready.await.map_err(|error: std::io::Error| format!("a temporary file: {error}"))?;
    Ok(file.into_std().await)
}

/// What may be otherwise a moment later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
