//! The services that are known now, and what becomes of them when their file has changed.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use netrox_proto::v1::{ErrorReason, Failure};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    file::{ALL_POWERFUL, ServiceEntry, TokenHash},
    scope::Scopes,
};
use crate::{
    clock::now_micros,
    metrics::{OfService, ServiceCalls},
};

/// Between two lines of the log about the use of a credential.
const TOLD_INTERVAL: Duration = Duration::from_secs(3600);

/// By what a service is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    /// `--service-token`.
    AllPowerful,
    Token(TokenHash),
    /// A name in the certificate of its connection.
    Certificate(String),
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllPowerful => f.write_str(ALL_POWERFUL),
            Self::Token(hash) => write!(f, "token {}", hash.short()),
            Self::Certificate(name) => write!(f, "certificate {name}"),
        }
    }
}

/// Why a credential does not count as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Gone,
    /// It is still good for something.
    FewerScopes,
    Expired,
}

impl Cause {
    /// For the audit log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Gone => "credential_gone",
            Self::FewerScopes => "fewer_scopes",
            Self::Expired => "expired_token",
        }
    }
}

/// What ends the streams of a credential.
#[derive(Debug, Default)]
pub(crate) struct Revocation {
    /// Cancelled when the credential counts no more, or for less.
    pub(crate) happened: CancellationToken,
    cause: OnceLock<Cause>,
}

impl Revocation {
    fn happen(&self, cause: Cause) {
        // The first one counts.
        let _ = self.cause.set(cause);
        self.happened.cancel();
    }

    /// Once it has happened.
    pub(crate) fn cause(&self) -> Cause {
        self.cause.get().copied().unwrap_or(Cause::Gone)
    }

    /// How a stream ends by it.
    pub(crate) fn status(&self) -> Status {
        match self.cause() {
            Cause::FewerScopes => {
                // Whoever may still make the call makes it again.
                let cause = "the service may do less than before: call again";
                Failure::new(ErrorReason::ShuttingDown, cause).into()
            }
            Cause::Gone | Cause::Expired => {
                Status::unauthenticated("the service token is no longer accepted")
            }
        }
    }
}

/// One way of a service to show who it is.
#[derive(Debug)]
pub(crate) struct Credential {
    proof: Proof,
    pub(crate) name: Arc<str>,
    pub(crate) scopes: Scopes,
    /// Microseconds since 1970.
    expires_at: Option<i64>,
    revocation: Arc<Revocation>,
    pub(crate) calls: OfService,
    use_told: Arc<UseTold>,
}

impl Credential {
    pub(crate) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| end <= now_micros())
    }

    fn is_same(&self, other: &Self) -> bool {
        self.proof == other.proof && self.name == other.name
    }

    /// What it may, and how long.
    fn terms(&self) -> String {
        let scopes: Vec<_> = self.scopes.names().collect();
        let scopes = scopes.join(" ");
        let end = self.expires_at.and_then(|end| jiff::Timestamp::from_microsecond(end).ok());
        match end {
            Some(end) => format!("scopes {scopes}, until {end}"),
            None => format!("scopes {scopes}, without end"),
        }
    }

    /// What ends the streams that were opened with it; one that is never taken away has none.
    pub(crate) fn revocation(&self) -> Option<&Arc<Revocation>> {
        match self.proof {
            Proof::AllPowerful => None,
            Proof::Token(_) | Proof::Certificate(_) => Some(&self.revocation),
        }
    }

    /// Tells the operator that it is used: the first time, and once an hour.
    pub(crate) fn tell_use(&self) {
        if !self.use_told.is_due() {
            return;
        }
        let service = &self.name;
        match &self.proof {
            Proof::AllPowerful => {
                tracing::info!("--service-token is used, which may do all");
            }
            Proof::Token(hash) => {
                let token_sha256 = format!("{}…", hash.short());
                tracing::info!(%service, token_sha256, "a token of a service is used");
            }
            Proof::Certificate(name) => {
                tracing::info!(%service, certificate_name = name, "the certificate of a service is used");
            }
        }
    }
}

/// When the use of a credential was told last.
#[derive(Debug)]
struct UseTold {
    start: Instant,
    /// Seconds since the start, and one; 0 for never.
    at: AtomicU64,
}

impl Default for UseTold {
    fn default() -> Self {
        Self { start: Instant::now(), at: AtomicU64::new(0) }
    }
}

impl UseTold {
    fn is_due(&self) -> bool {
        let now = self.start.elapsed().as_secs() + 1;
        let told = self.at.load(Ordering::Relaxed);
        let is_due = told == 0 || now >= told + TOLD_INTERVAL.as_secs();
        is_due && self.at.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// All that are known by the file.
#[derive(Debug)]
pub(crate) struct Services {
    now: RwLock<Arc<[Arc<Credential>]>>,
    metrics: ServiceCalls,
}

impl Services {
    pub(crate) fn new(metrics: ServiceCalls) -> Self {
        Self { now: RwLock::new(Arc::new([])), metrics }
    }

    /// That of `--service-token`.
    pub(crate) fn all_powerful(&self) -> Arc<Credential> {
        let name: Arc<str> = ALL_POWERFUL.into();
        Arc::new(Credential {
            proof: Proof::AllPowerful,
            calls: self.metrics.of(&name),
            name,
            scopes: Scopes::all(),
            expires_at: None,
            revocation: Arc::default(),
            use_told: Arc::default(),
        })
    }

    fn now(&self) -> Arc<[Arc<Credential>]> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes as long for every token, whichever hash its own resembles.
    pub(crate) fn of_token(&self, token: &str) -> Option<Arc<Credential>> {
        let all = self.now();
        if all.is_empty() {
            return None;
        }
        let given = TokenHash::of(token);
        let mut found = None;
        for credential in all.iter() {
            if let Proof::Token(hash) = &credential.proof
                && bool::from(hash.0.ct_eq(&given.0))
            {
                found = Some(Arc::clone(credential));
            }
        }
        found
    }

    /// The service that has one of the names of a client's certificate, compared without case.
    pub(crate) fn of_certificate(&self, names: &[String]) -> Option<Arc<Credential>> {
        let all = self.now();
        let found = all.iter().find(|credential| match &credential.proof {
            Proof::Certificate(known) => names.iter().any(|name| name.eq_ignore_ascii_case(known)),
            Proof::AllPowerful | Proof::Token(_) => false,
        });
        found.cloned()
    }

    /// Takes the services of a file instead of those of before. Streams of who is not there any more, or may do less, end.
    /// Gives what has changed, in words.
    pub(crate) fn replace(&self, entries: &[ServiceEntry]) -> Vec<String> {
        let before = self.now();
        let next: Vec<_> =
            entries.iter().flat_map(|entry| self.credentials(entry, &before)).collect();
        let names = |all: &[Arc<Credential>]| -> BTreeSet<Arc<str>> {
            all.iter().map(|credential| Arc::clone(&credential.name)).collect()
        };
        let kept = names(&next);
        let changes = changes(&before, &next);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = next.into();
        for old in before.iter() {
            let is_kept =
                self.now().iter().any(|new| new.is_same(old) && new.scopes.include(old.scopes));
            if !is_kept {
                let is_partial = self.now().iter().any(|new| new.is_same(old));
                let cause = if is_partial { Cause::FewerScopes } else { Cause::Gone };
                old.revocation.happen(cause);
            }
        }
        for gone in names(&before).difference(&kept) {
            self.metrics.forget(gone);
        }
        changes
    }

    fn credentials(
        &self,
        entry: &ServiceEntry,
        before: &[Arc<Credential>],
    ) -> impl Iterator<Item = Arc<Credential>> {
        let tokens = entry.hashes.iter().copied().map(Proof::Token);
        let certificates = entry.certificate_names.iter().cloned().map(Proof::Certificate);
        let calls = self.metrics.of(&entry.name);
        tokens.chain(certificates).map(move |proof| {
            let old = before.iter().find(|old| old.proof == proof && old.name == entry.name);
            let use_told = old.map(|old| Arc::clone(&old.use_told)).unwrap_or_default();
            // Its streams go on.
            let kept = old.filter(|old| {
                // Else its end has passed, which may have been put off.
                entry.scopes.include(old.scopes) && !old.revocation.happened.is_cancelled()
            });
            let revocation = kept.map(|old| Arc::clone(&old.revocation)).unwrap_or_default();
            Arc::new(Credential {
                proof,
                name: Arc::clone(&entry.name),
                scopes: entry.scopes,
                expires_at: entry.expires_at,
                revocation,
                calls: calls.clone(),
                use_told,
            })
        })
    }

    /// Ends the streams of those whose time is over.
    pub(crate) fn end_expired(&self) {
        for credential in self.now().iter().filter(|credential| credential.is_expired()) {
            if !credential.revocation.happened.is_cancelled() {
                tracing::warn!(service = %credential.name, "a token of a service has expired");
                credential.revocation.happen(Cause::Expired);
            }
        }
    }
}

/// Of each credential of a service, for the audit log.
fn changes(before: &[Arc<Credential>], next: &[Arc<Credential>]) -> Vec<String> {
    let of = |all: &[Arc<Credential>], one: &Credential| {
        all.iter().find(|other| other.is_same(one)).map(|other| other.terms())
    };
    let gone = before
        .iter()
        .filter(|old| of(next, old).is_none())
        .map(|old| format!("{}: {} removed", old.name, old.proof));
    let changed = next.iter().filter_map(|new| {
        let (name, proof, terms) = (&new.name, &new.proof, new.terms());
        match of(before, new) {
            None => Some(format!("{name}: {proof} added, {terms}")),
            Some(old) if old != terms => {
                Some(format!("{name}: {proof} changed, {terms}; before: {old}"))
            }
            Some(_) => None,
        }
    });
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scope::Scope;

    fn entry(name: &str, tokens: &[&str], scopes: &[Scope]) -> ServiceEntry {
        ServiceEntry {
            name: name.into(),
            hashes: tokens.iter().map(|token| TokenHash::of(token)).collect(),
            certificate_names: vec![format!("{name}.example")],
            scopes: scopes.iter().copied().collect(),
            expires_at: None,
        }
    }

    #[test]
    fn a_token_that_is_taken_away_ends_its_streams_and_no_others() {
        let services = Services::new(ServiceCalls::default());
        services.replace(&[
            entry("a", &["old", "new"], &[Scope::Read]),
            entry("b", &["b"], &[Scope::Read]),
        ]);
        let [old, new, b] =
            ["old", "new", "b"].map(|token| services.of_token(token).expect("known"));
        assert_eq!(services.of_token("unknown").map(|known| known.name.clone()), None);
        services.replace(&[entry("a", &["new"], &[Scope::Read, Scope::Send])]);
        assert!(services.of_token("old").is_none() && services.of_token("b").is_none());
        let is_over = |credential: &Credential| {
            credential.revocation().expect("of a file").happened.is_cancelled()
        };
        assert!(is_over(&old) && is_over(&b) && !is_over(&new), "it may do more");
        services.replace(&[entry("a", &["new"], &[Scope::Send])]);
        assert!(is_over(&new), "it may do less");
        assert!(!is_over(&services.of_token("new").expect("known")));
    }

    #[test]
    fn what_has_changed_is_told_in_words() {
        let services = Services::new(ServiceCalls::default());
        let short = |token| TokenHash::of(token).short();
        let ended = ServiceEntry {
            certificate_names: vec![],
            expires_at: Some(1_000_000),
            ..entry("a", &["a"], &[Scope::Read, Scope::Send])
        };
        assert_eq!(
            services.replace(std::slice::from_ref(&ended)),
            [format!(
                "a: token {} added, scopes send read, until 1970-01-01T00:00:01Z",
                short("a")
            )]
        );
        assert!(services.replace(std::slice::from_ref(&ended)).is_empty());
        let read = ServiceEntry { scopes: Scopes::from_iter([Scope::Read]), ..ended };
        assert_eq!(
            services.replace(&[read, entry("b", &[], &[Scope::Admin])]),
            [
                format!(
                    "a: token {} changed, scopes read, until 1970-01-01T00:00:01Z; before: scopes send read, until \
                     1970-01-01T00:00:01Z",
                    short("a")
                ),
                "b: certificate b.example added, scopes admin, without end".to_owned(),
            ]
        );
        assert_eq!(
            services.replace(&[]),
            [format!("a: token {} removed", short("a")), "b: certificate b.example removed".into()]
        );
    }

    #[test]
    fn an_end_that_is_put_off_lets_it_in_again() {
        let services = Services::new(ServiceCalls::default());
        let expired = ServiceEntry { expires_at: Some(1), ..entry("a", &["a"], &[Scope::Read]) };
        services.replace(std::slice::from_ref(&expired));
        let first = services.of_token("a").expect("known");
        assert!(first.is_expired());
        services.end_expired();
        assert!(first.revocation().expect("of a file").happened.is_cancelled());
        services.replace(&[ServiceEntry { expires_at: None, ..expired }]);
        let second = services.of_token("a").expect("known");
        assert!(
            !second.is_expired()
                && !second.revocation().expect("of a file").happened.is_cancelled()
        );
    }

    #[test]
    fn a_service_is_known_by_a_name_of_its_certificate() {
        let services = Services::new(ServiceCalls::default());
        services.replace(&[entry("a", &["a"], &[Scope::Read])]);
        let of = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            services.of_certificate(&names).map(|known| known.name.to_string())
        };
        assert_eq!(of(&["other.example", "A.Example"]), Some("a".to_owned()));
        assert_eq!(of(&["a.example.org"]), None);
        assert_eq!(of(&[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn use_is_told_the_first_time_and_once_an_hour() {
        let told = UseTold::default();
        assert!(told.is_due() && !told.is_due());
        tokio::time::advance(TOLD_INTERVAL - Duration::from_secs(1)).await;
        assert!(!told.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(told.is_due() && !told.is_due());
    }
}
