//! What an operator can set of an edge; the defaults are those of PROTOCOL section 5.

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    pub jwt: Jwt,
    pub media_access: MediaAccess,
    pub cors_allow_origin: CorsAllowOrigin,
    /// Close a WebSocket with 1008 when its token expires.
    pub close_on_token_expiry: bool,
    pub limits: Limits,
}

/// How access tokens are verified.
#[derive(Clone)]
pub struct Jwt {
    pub key: JwtKey,
    /// The claim that holds the user's id; "sub" is tried after it.
    pub user_claim: String,
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

#[derive(Clone)]
pub enum JwtKey {
    /// HS256, HS384 and HS512 with a shared secret.
    Secret(Vec<u8>),
    /// RS*, PS*, ES* or EdDSA, as the kind of the key allows: a public key in PEM form.
    PublicKeyPem(Vec<u8>),
}

/// Keys stay out of logs.
impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt")
            .field("user_claim", &self.user_claim)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JwtKey")
    }
}

/// Who may load an attachment (PROTOCOL section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaAccess {
    /// Whoever holds its path.
    Capability,
    /// The two participants, by token.
    Participants,
}

/// Which origins browsers may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsAllowOrigin {
    None,
    Any,
    List(Vec<http::HeaderValue>),
}

/// What happens beyond each limit is in PROTOCOL section 5.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of UTF-8 of a message body.
    pub max_body_bytes: usize,
    /// Bytes of a WebSocket frame, and of a message.
    pub max_frame_bytes: usize,
    /// Bytes of an uploaded file.
    pub max_attachment_bytes: u64,
    /// Sends a second and user; 0 for no limit.
    pub send_rate: u32,
    pub send_burst: u32,
    pub max_connections_per_user: usize,
    pub max_connections: usize,
    /// At a time.
    pub max_uploads_per_user: usize,
    /// At a time.
    pub max_history_reads_per_user: usize,
    pub ping_interval: Duration,
    /// For a request head, and for the whole WebSocket handshake.
    pub handshake_timeout: Duration,
    /// Without a byte of a request body.
    pub body_idle_timeout: Duration,
    pub outgoing_queue_frames: usize,
    pub outgoing_queue_bytes: usize,
    /// How long a send waits for a core or database that is away.
    pub store_wait: Duration,
    /// From the start of a drain to the hard stop.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 16_384,
            max_frame_bytes: 65_536,
            max_attachment_bytes: 26_214_400,
            send_rate: 50,
            send_burst: 100,
            max_connections_per_user: 16,
            max_connections: 20_000,
            max_uploads_per_user: 4,
            max_history_reads_per_user: 4,
            ping_interval: Duration::from_secs(25),
            handshake_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            outgoing_queue_frames: 256,
            outgoing_queue_bytes: 1_048_576,
            store_wait: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
