//! Who may administer a process by its own listener, where no call of the contract is made: by a token alone.

use std::{fmt, sync::Arc};

use http::HeaderMap;
use netrox_audit::Audit;
use netrox_metrics::Word as _;

use super::{Scope, ServiceAuth, Unknown};
use crate::metrics::Callers;

/// Knows them by the bearer token of a head. Tells nobody, and counts nothing.
#[derive(Debug, Clone)]
pub struct Administrators(pub(crate) ServiceAuth);

/// Why a head lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAdministrator {
    /// It shows nobody, with the reason in a word.
    Unknown(&'static str),
    /// A service, by its name, that has not the scope `admin`.
    LacksScope(Arc<str>),
}

impl fmt::Display for NotAdministrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(reason) => f.write_str(reason),
            Self::LacksScope(service) => write!(f, "{service} has not the scope admin"),
        }
    }
}

impl Administrators {
    /// Of a process that knows no services: whoever has one of its own tokens, and so can be that process. It asks nobody,
    /// and so it is never handed a token that may do more than its own.
    pub fn by_tokens(tokens: Vec<String>) -> Self {
        Self(ServiceAuth::new(tokens, None, Callers::default(), Audit::default()))
    }

    /// The name of the service. Takes as long for every token, whichever it resembles.
    pub fn find(&self, head: &HeaderMap) -> Result<Arc<str>, NotAdministrator> {
        // The listener has no certificates.
        let found = self.0.identify(head, None);
        let service =
            found.map_err(|unknown: Unknown| NotAdministrator::Unknown(unknown.word()))?;
        if !service.scopes.has(Scope::Admin) {
            return Err(NotAdministrator::LacksScope(Arc::clone(&service.name)));
        }
        if self.0.has_file {
            service.tell_use();
        }
        Ok(Arc::clone(&service.name))
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn found(administrators: &Administrators, value: &str) -> Result<String, NotAdministrator> {
        let mut head = HeaderMap::new();
        if !value.is_empty() {
            head.insert(AUTHORIZATION, value.parse().expect("a value"));
        }
        administrators.find(&head).map(|name| name.to_string())
    }

    #[test]
    fn who_has_a_token_of_the_process_may() {
        let administrators = Administrators::by_tokens(vec!["new".to_owned(), "old".to_owned()]);
        for value in ["Bearer new", "bearer old"] {
            assert_eq!(found(&administrators, value), Ok("service-token".to_owned()), "{value}");
        }
        for (value, reason) in [
            ("", "no_token"),
            ("Bearer other", "unknown_token"),
            ("Bearer ", "unknown_token"),
            ("Basic new", "unknown_token"),
            ("new", "unknown_token"),
        ] {
            let refused = Err(NotAdministrator::Unknown(reason));
            assert_eq!(found(&administrators, value), refused, "{value}");
        }
        assert_eq!(
            found(&Administrators::by_tokens(vec![String::new()]), "Bearer "),
            Err(NotAdministrator::Unknown("unknown_token"))
        );
    }

    #[test]
    fn who_has_the_scope_may_and_who_has_not_is_named() {
        use super::super::{ServicesFile, TokenHash};

        let entry = |name: &str, scope: &str| {
            let hash = TokenHash::of(&format!("token of {name}"));
            format!(r#"{{"name": "{name}", "token_sha256": "{hash}", "scopes": ["{scope}"]}}"#)
        };
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("services.json");
        let services = [entry("ops", "admin"), entry("shop", "send"), entry("edge-1", "edge")];
        std::fs::write(&path, format!("[{}]", services.join(","))).expect("written");
        let file = ServicesFile::read(&path).expect("a file");
        let tokens = vec!["master".to_owned()];
        let auth = ServiceAuth::new(tokens, Some(&file), Callers::default(), Audit::default());
        let administrators = Administrators(auth);
        assert_eq!(found(&administrators, "Bearer token of ops"), Ok("ops".to_owned()));
        assert_eq!(found(&administrators, "Bearer master"), Ok("service-token".to_owned()));
        for name in ["shop", "edge-1"] {
            let refused = Err(NotAdministrator::LacksScope(name.into()));
            assert_eq!(found(&administrators, &format!("Bearer token of {name}")), refused);
        }
    }
}
