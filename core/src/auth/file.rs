//! The file of `--service-tokens-file`: which services there are, by what they are known, and what they may do. It holds
//! hashes alone. No text of it is ever told, since a token may stand in the wrong place.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::scope::{Scope, Scopes};

const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Hashes and names of certificates together: each call is compared with all of them.
const MAX_CREDENTIALS: usize = 256;
const MAX_NAME_BYTES: usize = 64;
/// How tokens begin that the program makes, so that none can be taken for a hash or a name.
const TOKEN_PREFIX: &str = "nxs_";
const HASH_DIGITS: usize = 64;
/// What `--service-token` is called where services are named.
pub(crate) const ALL_POWERFUL: &str = "service-token";

const FIELDS: [&str; 5] = ["name", "token_sha256", "certificate_names", "scopes", "expires_at"];
/// What a field of a plain token may be called.
const PLAIN: [&str; 6] = ["token", "service_token", "plain", "secret", "password", "key"];

/// Why a file of services cannot be used; names it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct ServicesError {
    path: PathBuf,
    reason: String,
}

/// A file of services that was read, and is to be read again when it changes.
#[derive(Debug, Clone)]
pub struct ServicesFile {
    pub(crate) path: PathBuf,
    pub(crate) services: Arc<[ServiceEntry]>,
    is_writable_by_others: bool,
}

/// One service of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceEntry {
    pub(crate) name: Arc<str>,
    pub(crate) hashes: Vec<TokenHash>,
    pub(crate) certificate_names: Vec<String>,
    pub(crate) scopes: Scopes,
    /// Microseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

/// The SHA-256 of a token. Tokens have 256 random bits, so that nobody finds one by trying: a slow hash, as passwords need
/// it, would only make each call dearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash(pub(crate) [u8; 32]);

/// A token of a service by its random bytes.
pub fn service_token(random: &[u8; 32]) -> String {
    let digits = random.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once(TOKEN_PREFIX.to_owned()).chain(digits).collect()
}

/// Whether something in a field for names may be a token.
fn is_like_token(text: &str) -> bool {
    let begins = text.get(..TOKEN_PREFIX.len());
    begins.is_some_and(|begin| begin.eq_ignore_ascii_case(TOKEN_PREFIX)) || is_like_hash(text)
}

fn is_like_hash(text: &str) -> bool {
    text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl TokenHash {
    pub fn of(token: &str) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(token).into())
    }

    fn parse(text: &str) -> Option<Self> {
        if !is_like_hash(text) {
            return None;
        }
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Enough to tell one from another.
    pub(crate) fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl ServicesFile {
    /// Blocks.
    pub fn read(path: &Path) -> Result<Self, ServicesError> {
        let refuse = |reason: String| ServicesError { path: path.to_owned(), reason };
        let (text, metadata) = content(path).map_err(|error| refuse(error.to_string()))?;
        let services = parse(&text).map_err(refuse)?;
        Ok(Self {
            path: path.to_owned(),
            services: services.into(),
            is_writable_by_others: metadata.mode() & 0o022 != 0,
        })
    }

    /// Whether others than its owner can give themselves any scope.
    pub fn is_writable_by_others(&self) -> bool {
        self.is_writable_by_others
    }
}

fn content(path: &Path) -> io::Result<(String, std::fs::Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    let bytes = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if bytes as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok((text, metadata))
}

fn parse(text: &str) -> Result<Vec<ServiceEntry>, String> {
    // Where the fault is, without what stands there.
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("not JSON: line {}, column {}", error.line(), error.column()))?;
    let Value::Array(entries) = value else { return Err("not a list of services".to_owned()) };
    let services: Vec<_> = entries.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
    let (mut names, mut hashes, mut certificates) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for service in &services {
        let name = &service.name;
        if !names.insert(name) {
            return Err(format!("{name} is there twice"));
        }
        if !service.hashes.iter().all(|hash| hashes.insert(*hash)) {
            return Err(format!("{name} has a token_sha256 that is there before"));
        }
        if !service.certificate_names.iter().all(|certificate| certificates.insert(certificate)) {
            return Err(format!("{name} has one of the certificate_names that is there before"));
        }
    }
    if hashes.len() + certificates.len() > MAX_CREDENTIALS {
        return Err(format!("more than {MAX_CREDENTIALS} tokens and names of certificates"));
    }
    Ok(services)
}

fn entry((index, value): (usize, &Value)) -> Result<ServiceEntry, String> {
    let number = index + 1;
    let Value::Object(fields) = value else {
        return Err(format!("service {number} is no object"));
    };
    let name = match fields.get("name") {
        Some(Value::String(name)) => {
            check_service_name(name)
                .map_err(|reason| format!("the name of service {number} {reason}"))?;
            name.as_str()
        }
        Some(_) | None => return Err(format!("service {number} has no name")),
    };
    if let Some(field) = PLAIN.into_iter().find(|field| fields.contains_key(*field)) {
        return Err(format!(
            "{name}: \"{field}\" would be a plain token: give its SHA-256 as \"token_sha256\" (netrox-chat service-token \
             makes both)"
        ));
    }
    if fields.keys().any(|field| !FIELDS.contains(&field.as_str())) {
        return Err(format!("{name} has an unknown field: there are {}", FIELDS.join(", ")));
    }
    let hashes = texts(fields, name, "token_sha256")?.into_iter().map(TokenHash::parse);
    let hashes: Option<Vec<_>> = hashes.collect();
    let hashes = hashes.ok_or_else(|| {
        format!("{name}: \"token_sha256\" must be 64 hexadecimal digits, not the token itself")
    })?;
    if hashes.contains(&TokenHash::of("")) {
        return Err(format!("{name}: \"token_sha256\" is that of an empty token"));
    }
    let certificate_names = texts(fields, name, "certificate_names")?;
    let certificate_names: Vec<_> =
        certificate_names.into_iter().map(str::to_ascii_lowercase).collect();
    if certificate_names.iter().any(String::is_empty) {
        return Err(format!("{name}: one of the \"certificate_names\" is empty"));
    }
    if certificate_names.iter().any(|certificate| is_like_token(certificate)) {
        return Err(format!("{name}: one of the \"certificate_names\" looks like a token"));
    }
    if hashes.is_empty() && certificate_names.is_empty() {
        return Err(format!("{name} has neither \"token_sha256\" nor \"certificate_names\""));
    }
    let scopes: Option<Vec<_>> =
        texts(fields, name, "scopes")?.into_iter().map(Scope::of_name).collect();
    let scopes = scopes.filter(|scopes| !scopes.is_empty()).ok_or_else(|| {
        let known = Scope::ALL.map(Scope::name).join(", ");
        format!("{name}: \"scopes\" must be a list of some of {known}")
    })?;
    let expires_at = match fields.get("expires_at") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let time = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let time = time.ok_or_else(|| {
                format!("{name}: \"expires_at\" must be a time like 2030-01-31T12:00:00Z")
            })?;
            Some(time.as_microsecond())
        }
    };
    Ok(ServiceEntry {
        name: name.into(),
        hashes,
        certificate_names,
        scopes: scopes.into_iter().collect(),
        expires_at,
    })
}

/// Whether a service may be called so, or why not.
pub fn check_service_name(name: &str) -> Result<(), &'static str> {
    if is_like_token(name) {
        return Err("looks like a token or the hash of one: take another");
    }
    let is_part = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_part) {
        return Err("must be 1 to 64 of a-z, 0-9, \".\", \"_\" and \"-\"");
    }
    if name == ALL_POWERFUL {
        return Err("is what --service-token is called: take another");
    }
    Ok(())
}

/// A text, or a list of texts; none where there is no such field.
fn texts<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    field: &str,
) -> Result<Vec<&'a str>, String> {
    let wrong = || format!("{name}: \"{field}\" must be a text or a list of texts");
    match fields.get(field) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => {
            list.iter().map(|text| text.as_str().ok_or_else(wrong)).collect()
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-that-nobody-is-told";

    fn hash() -> String {
        TokenHash::of(TOKEN).to_string()
    }

    #[test]
    fn a_service_has_tokens_certificates_scopes_and_an_end() {
        let other = TokenHash::of("another");
        let text = format!(
            r#"[{{"name": "billing-2", "token_sha256": ["{}", "{other}"], "scopes": ["send", "read"],
                 "expires_at": "1970-01-01T01:00:01+01:00"}},
                {{"name": "edge", "certificate_names": "Edge.Example", "scopes": "edge"}}]"#,
            hash().to_uppercase()
        );
        let services = parse(&text).expect("services");
        assert_eq!(services[0].hashes, [TokenHash::of(TOKEN), other]);
        assert_eq!(services[0].scopes, Scopes::from_iter([Scope::Send, Scope::Read]));
        assert_eq!(services[0].expires_at, Some(1_000_000));
        assert_eq!(services[1].certificate_names, ["edge.example"]);
        assert_eq!(parse("[]"), Ok(vec![]));
    }

    #[test]
    fn a_token_in_any_field_is_refused_and_never_shown() {
        let token = service_token(&[0xa7; 32]);
        let digits = token.strip_prefix(TOKEN_PREFIX).expect("its prefix");
        assert!(is_like_hash(digits));
        let hash = hash();
        let mut entries = Vec::new();
        for secret in [token.as_str(), digits] {
            for field in ["name", "certificate_names", "scopes", "expires_at", secret] {
                let mut entry =
                    serde_json::json!({ "name": "a", "token_sha256": hash, "scopes": "read" });
                entry[field] = secret.into();
                entries.push(entry);
            }
        }
        // Without the prefix nobody can tell one from a hash.
        entries.push(serde_json::json!({ "name": "a", "token_sha256": token, "scopes": "read" }));
        for entry in entries {
            let error = parse(&serde_json::json!([entry]).to_string()).expect_err("a token");
            assert!(!error.contains(digits), "{error}");
        }
        assert!(check_service_name(&token[..40]).is_err() && check_service_name(digits).is_err());
    }

    #[test]
    fn the_hash_of_an_empty_token_is_refused() {
        let empty = TokenHash::of("");
        let text = format!(r#"[{{"name": "a", "token_sha256": "{empty}", "scopes": "read"}}]"#);
        assert!(parse(&text).expect_err("empty").contains("an empty token"));
    }

    #[test]
    fn what_is_wrong_is_refused_and_never_shown() {
        let hash = hash();
        let good = format!(r#""name": "a", "token_sha256": "{hash}""#);
        let cases = [
            (format!("\"{TOKEN}\""), "not a list"),
            (format!("[{{\"name\": {TOKEN}"), "not JSON: line 1"),
            (format!("[\"{TOKEN}\"]"), "service 1 is no object"),
            (
                format!(r#"[{{"name": "{}", "scopes": ["read"]}}]"#, TOKEN.to_uppercase()),
                "the name of service 1",
            ),
            (
                format!(r#"[{{"name": "a", "token": "{TOKEN}", "scopes": ["read"]}}]"#),
                "\"token\" would be a plain token",
            ),
            (
                format!(r#"[{{"name": "a", "token_sha256": "{TOKEN}", "scopes": ["read"]}}]"#),
                "\"token_sha256\" must be 64",
            ),
            (
                format!(r#"[{{"name": "a", "{TOKEN}": "", "scopes": ["read"]}}]"#),
                "an unknown field",
            ),
            (format!(r#"[{{{good}, "scopes": ["{TOKEN}"]}}]"#), "\"scopes\" must be"),
            (format!(r#"[{{{good}, "scopes": []}}]"#), "\"scopes\" must be"),
            (format!(r#"[{{{good}}}]"#), "\"scopes\" must be"),
            (format!(r#"[{{{good}, "scopes": [7]}}]"#), "\"scopes\" must be a text"),
            (
                format!(r#"[{{{good}, "scopes": "read", "expires_at": "{TOKEN}"}}]"#),
                "\"expires_at\"",
            ),
            (r#"[{"name": "a", "scopes": "read"}]"#.to_owned(), "neither"),
            (
                format!(
                    r#"[{{"name": "service-token", "token_sha256": "{hash}", "scopes": "read"}}]"#
                ),
                "take another",
            ),
            (
                format!(r#"[{{{good}, "scopes": "read"}}, {{{good}, "scopes": "read"}}]"#),
                "a is there twice",
            ),
            (
                format!(
                    r#"[{{{good}, "scopes": "read"}}, {{"name": "b", "token_sha256": "{hash}", "scopes": "read"}}]"#
                ),
                "b has a token_sha256 that is there before",
            ),
        ];
        for (text, expected) in cases {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.to_lowercase().contains(TOKEN), "{error}");
        }
    }
}
