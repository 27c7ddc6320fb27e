//! What an operator can set of an edge; the defaults are those of PROTOCOL section 5.

mod demo;

use std::{net::IpAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use ipnet::IpNet;
use netrox_audit::Audit;
use netrox_proto::limits::DEFAULT_MAX_BODY_BYTES;
use netrox_tls::ServerTls;
use uuid::Uuid;

pub use self::demo::{Demo, DemoUser, Mint};

#[derive(Debug, Clone)]
pub struct Config {
    pub jwt: Jwt,
    pub media_access: MediaAccess,
    pub cors_allow_origin: CorsAllowOrigin,
    pub allowed_origins: AllowedOrigins,
    /// Close a WebSocket with 1008, or 4401 in the second generation, when its token expires.
    pub close_on_token_expiry: bool,
    pub proxies: Proxies,
    /// Of the public listener; absent for plaintext.
    pub tls: Option<ServerTls>,
    /// How many files this process may have open; absent where that is not known.
    pub open_files: Option<u64>,
    pub limits: Limits,
    /// Where refusals are told.
    pub audit: Audit,
    /// Absent where there is no page at `/demo/`.
    pub demo: Option<Demo>,
}

/// Who is believed where a connection comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Whose `X-Forwarded-For` and `Forwarded` count, and whose PROXY header.
    pub trusted: TrustedProxies,
    /// Connections of trusted proxies begin with a PROXY header, version 1 or 2. Where none is named, those of a
    /// loopback or private address do.
    pub protocol: bool,
}

/// Networks of proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be networks like 10.0.0.0/8 or 2001:db8::/32, or addresses, comma separated")]
pub struct NotANetwork;

impl TrustedProxies {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let network = |text: &str| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| NotANetwork)
        };
        text.split(',').map(|text| network(text.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// How access tokens are verified.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// At least one. Where there are several each has a name of its own.
    pub issuers: Vec<Issuer>,
    pub fetching: KeyFetching,
}

/// The claim that holds the user's id, unless another is named.
pub const DEFAULT_USER_CLAIM: &str = "user_id";

/// Who issues tokens, and what is demanded of them.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The "iss" that its tokens must have; absent where it is not looked at.
    pub name: Option<String>,
    /// One of them must be in the "aud" of its tokens; empty where it is not looked at.
    pub audiences: Vec<String>,
    /// At least one.
    pub keys: Vec<KeySource>,
    /// Names as in the "alg" of a token; absent for all that the keys allow.
    pub algorithms: Option<Vec<String>>,
    /// The claim that holds the user's id; "sub" is tried after it, but not after another than the default where ids
    /// are mapped.
    pub user_claim: String,
    /// The claim that tells the kind of a token: where there is one it must be "access".
    pub type_claim: String,
    pub user_ids: UserIds,
}

/// How the ids of an issuer's users become those of users here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserIds {
    /// They are the same UUIDs.
    Uuids {
        /// Others' ids are mapped to UUIDs, which its tokens may not name.
        beside_mapped: bool,
    },
    /// Any text or whole number is mapped to a UUID.
    Mapped {
        /// Whose users they are. Empty where there is but one issuer, without a name.
        issuer: String,
        /// Of the deployment (RFC 9562 section 5.5).
        namespace: Uuid,
    },
}

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// One that stays.
    Fixed(JwtKey),
    /// One that is read again when its file changes.
    File(KeyFile),
    /// A JWK Set, or a map of certificates, at this https URL, or http one of a loopback address.
    Url(String),
    /// What the OpenID configuration of this issuer names.
    Discovery(String),
}

impl KeySource {
    /// Whether all that it gives is a shared secret.
    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Fixed(key) | Self::File(KeyFile { key, .. }) => match key {
                JwtKey::Secret(_) => true,
                JwtKey::PublicKeyPem(_) | JwtKey::KeySet(_) => false,
            },
            Self::Url(_) | Self::Discovery(_) => false,
        }
    }
}

#[derive(Clone)]
pub struct KeyFile {
    pub path: PathBuf,
    /// What was read at the start.
    pub key: JwtKey,
    /// Reads and checks it anew. May block.
    pub read: Arc<dyn Fn() -> Result<JwtKey, String> + Send + Sync>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// HS256, HS384 and HS512 with a shared secret.
    Secret(Vec<u8>),
    /// RS*, PS*, ES* or EdDSA, as the kind of the key allows: a public key in PEM form.
    PublicKeyPem(Vec<u8>),
    /// A JWK Set that may hold shared secrets, or a map of certificates.
    KeySet(Vec<u8>),
}

/// How keys are fetched.
#[derive(Debug, Clone)]
pub struct KeyFetching {
    /// At least so often. An unknown key is asked for at once, and once per thirtieth of it or 30 s, which is less.
    pub refresh_interval: Duration,
    /// Certificates in PEM form that are trusted beside those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// Where the last good sets are kept for the next start.
    pub cache: Option<PathBuf>,
}

impl Jwt {
    /// Of one issuer, of whose tokens nothing is demanded but that they are signed with the key.
    pub fn of_key(key: JwtKey) -> Self {
        let issuer = Issuer {
            name: None,
            audiences: Vec::new(),
            keys: vec![KeySource::Fixed(key)],
            algorithms: None,
            user_claim: DEFAULT_USER_CLAIM.to_owned(),
            type_claim: "token_type".to_owned(),
            user_ids: UserIds::Uuids { beside_mapped: false },
        };
        Self { issuers: vec![issuer], fetching: KeyFetching::default() }
    }
}

impl Default for KeyFetching {
    fn default() -> Self {
        Self { refresh_interval: Duration::from_secs(15 * 60), ca_pem: None, cache: None }
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Keys stay out of logs.
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

/// Pages of which origins may open WebSockets. Who sends none is no browser, and let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    All,
    List(Vec<http::HeaderValue>),
}

impl AllowedOrigins {
    pub(crate) fn allow(&self, headers: &http::HeaderMap) -> bool {
        match self {
            Self::All => true,
            Self::List(allowed) => {
                headers.get_all(http::header::ORIGIN).iter().all(|origin| allowed.contains(origin))
            }
        }
    }
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
    /// How long after it was sent a message may be edited; absent for ever, 0 for never. The core judges it, the edge tells
    /// it.
    pub edit_window: Option<Duration>,
    /// The same of its deletion for everyone.
    pub delete_window: Option<Duration>,
    /// How long messages are kept; absent for ever. The cores remove them, the edge tells it.
    pub retain_messages: Option<Duration>,
    /// Sends a second and user; 0 for no limit.
    pub send_rate: u32,
    pub send_burst: u32,
    /// Marks of what was seen or delivered, a second and user; 0 for no limit.
    pub receipt_rate: u32,
    pub receipt_burst: u32,
    /// Whether messages can be searched for. The cores index them, the edge tells it.
    pub search: bool,
    /// Searches a second and user; 0 for no limit.
    pub search_rate: u32,
    /// How often a user tells a peer in a second that they type, or no longer do; 0 for no limit.
    pub typing_rate: u32,
    pub max_connections_per_user: usize,
    pub max_connections: usize,
    /// At a time.
    pub max_uploads_per_user: usize,
    /// Bytes of files; absent for no limit.
    pub upload_bytes_per_day: Option<u64>,
    /// Bytes a second at which the uploads of a user are read; absent for no limit.
    pub upload_bytes_rate: Option<u64>,
    /// At a time.
    pub max_history_reads_per_user: usize,
    /// At a time.
    pub max_downloads_per_user: usize,
    /// At a time.
    pub max_downloads_per_address: usize,
    /// At a time.
    pub max_downloads: usize,
    /// Absent for no limit.
    pub failed_tokens_per_address: Option<AddressRate>,
    /// Of requests that are refused. Absent for no limit.
    pub unauthenticated_requests_per_address: Option<AddressRate>,
    pub ping_interval: Duration,
    /// For what comes before the first request of a connection together with its head, for a later head, and for the whole
    /// WebSocket handshake.
    pub handshake_timeout: Duration,
    /// Of a connection, from one request to the next.
    pub keep_alive_timeout: Duration,
    /// Without a byte of a request body.
    pub body_idle_timeout: Duration,
    pub outgoing_queue_frames: usize,
    pub outgoing_queue_bytes: usize,
    /// How long a send waits for a core or database that is away.
    pub store_wait: Duration,
    /// From the start of a drain to the hard stop.
    pub drain_timeout: Duration,
    /// Of that, the time over which clients of the second generation reconnect.
    pub drain_spread: Duration,
}

/// How often something may happen from one address: so many at once, and in any time as long as `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRate {
    pub count: u32,
    pub period: Duration,
}

impl AddressRate {
    const fn a_minute(count: u32) -> Self {
        Self { count, period: Duration::from_secs(60) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_frame_bytes: 65_536,
            max_attachment_bytes: 26_214_400,
            edit_window: Some(Duration::from_secs(24 * 3600)),
            delete_window: None,
            retain_messages: None,
            send_rate: 50,
            send_burst: 100,
            receipt_rate: 20,
            receipt_burst: 200,
            search: false,
            search_rate: 5,
            typing_rate: 1,
            max_connections_per_user: 16,
            max_connections: 20_000,
            max_uploads_per_user: 4,
            upload_bytes_per_day: None,
            upload_bytes_rate: None,
            max_history_reads_per_user: 4,
            max_downloads_per_user: 16,
            max_downloads_per_address: 64,
            max_downloads: 1024,
            failed_tokens_per_address: Some(AddressRate::a_minute(1_000)),
            unauthenticated_requests_per_address: Some(AddressRate::a_minute(6_000)),
            ping_interval: Duration::from_secs(25),
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            outgoing_queue_frames: 256,
            outgoing_queue_bytes: 1_048_576,
            store_wait: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            drain_spread: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusted_proxies_are_networks_and_addresses() {
        let proxies: TrustedProxies =
            "10.0.0.0/8, 192.0.2.7,2001:db8::/32".parse().expect("networks");
        for (address, expected) in [
            ("10.1.2.3", true),
            ("11.1.2.3", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(
                proxies.contains(address.parse().expect("an address")),
                expected,
                "{address}"
            );
        }
        for wrong in ["", ",", "10.0.0.0/33", "10.0.0.0/", "localhost", "10.0.0.0/8,", "*"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong:?}");
        }
    }
}
