//! Whose a token is: the id of its user here, by what its issuer calls them.

use netrox_proto::{external_id::ExternalId, ids::UserId};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Refusal, identity::text};
use crate::config::UserIds;

/// The version of UUIDs that are made of names (RFC 9562 section 5.5).
const OF_NAMES: usize = 5;

/// The user of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) id: UserId,
    /// What the issuer calls them, where the id was made of that.
    pub(super) external_id: Option<ExternalId>,
}

/// By the claim that holds the user's id.
pub(super) fn bearer(claim: &RawValue, ids: &UserIds) -> Result<Bearer, Refusal> {
    let called = match ids {
        UserIds::Uuids { .. } => text(claim).ok_or(Refusal::NoUser)?,
        UserIds::Mapped { .. } => {
            text(claim).or_else(|| whole_number(claim)).ok_or(Refusal::UserId)?
        }
    };
    ids.bearer(called)
}

impl UserIds {
    /// Those of an issuer whose users' ids are mapped; fails if its name cannot be part of what they are made of.
    pub fn mapped(issuer: String, namespace: Uuid) -> Result<Self, &'static str> {
        if !ExternalId::is_issuer(&issuer) {
            return Err("an issuer whose users' ids are mapped has a name of at most 1024 bytes, \
                        without control characters");
        }
        Ok(Self::Mapped { issuer, namespace })
    }

    /// The id here of the user whom tokens call so.
    pub fn id_of(&self, called: &str) -> Result<Uuid, Refusal> {
        self.bearer(called.to_owned()).map(|bearer| bearer.id.0)
    }

    fn bearer(&self, called: String) -> Result<Bearer, Refusal> {
        match self {
            Self::Uuids { beside_mapped } => {
                let id: UserId = called.parse().map_err(|_| Refusal::NoUser)?;
                if *beside_mapped && id.0.get_version_num() == OF_NAMES {
                    return Err(Refusal::UserOfAnother);
                }
                Ok(Bearer { id, external_id: None })
            }
            Self::Mapped { issuer, namespace } => {
                let external_id = ExternalId::new(issuer.clone(), called);
                let external_id = external_id.map_err(|_| Refusal::UserId)?;
                let id = UserId(Uuid::new_v5(namespace, external_id.name().as_bytes()));
                Ok(Bearer { id, external_id: Some(external_id) })
            }
        }
    }
}

/// The digits of a number that has nothing else: a library may write the same id with quotes, another time without.
fn whole_number(claim: &RawValue) -> Option<String> {
    let digits = claim.get();
    let unsigned = digits.strip_prefix('-').filter(|digits| *digits != "0").unwrap_or(digits);
    unsigned.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(issuer: &str) -> UserIds {
        let namespace = "997dee3e-4d19-48d8-b178-269c1f59000d".parse().expect("a UUID");
        UserIds::mapped(issuer.to_owned(), namespace).expect("an issuer")
    }

    fn id(issuer: &str, claim: &str) -> Result<String, Refusal> {
        let claim: Box<RawValue> = serde_json::from_str(claim).expect("JSON");
        bearer(&claim, &mapped(issuer)).map(|bearer| bearer.id.to_string())
    }

    /// As Python computes them: `uuid.uuid5(uuid.UUID(namespace), issuer + "\n" + subject)`.
    #[test]
    fn ids_are_those_that_others_compute() {
        for (issuer, claim, expected) in GOLDEN {
            assert_eq!(id(issuer, claim).as_deref(), Ok(expected), "{issuer} {claim}");
        }
    }

    const GOLDEN: [(&str, &str, &str); 6] = [
        (
            "https://tenant.auth0.com/",
            "\"auth0|5f7c8ec7c33c6c004bbafe82\"",
            "9fcb31da-c1bf-5025-b15d-2ce6c7ab9bee",
        ),
        (
            "https://securetoken.google.com/project",
            "\"Zk3bqbKTZ0XGXnJ9n4fL2mYQ1Qf2\"",
            "4d092273-e22c-52bc-a0ed-e4f2ab9ef4b1",
        ),
        ("", "42", "754372ac-f6ce-5f2a-9e9f-b595d308dd31"),
        ("https://id.example.com", "42", "b669efd7-eefb-5fdc-9068-5ced2eba5e22"),
        ("", "\"ä 🙂\"", "e5e42d98-7997-50fe-a8b6-6e522e3d223a"),
        (
            "https://id.example.com",
            "\"96bf0d3f-720d-4620-8dee-0f59f997cb51\"",
            "bda41e49-f313-5792-852e-6f0903fe2d87",
        ),
    ];

    #[test]
    fn a_number_is_the_user_of_its_digits_and_nothing_else_is() {
        assert_eq!(id("", "42"), id("", "\"42\""));
        assert_eq!(id("", "-42"), id("", "\"-42\""));
        let large = "9".repeat(255);
        assert_eq!(id("", &large), id("", &format!("\"{large}\"")));
        assert_ne!(id("", "\"042\""), id("", "42"));
        for wrong in ["-0", "7.0", "1e3", "1E3", "true", "null", "[]", "{}", "\"\"", "\"a\\nb\""] {
            assert_eq!(id("", wrong), Err(Refusal::UserId), "{wrong}");
        }
        assert_eq!(id("", &"9".repeat(256)), Err(Refusal::UserId));
    }

    #[test]
    fn the_same_name_at_another_issuer_is_another_user() {
        let ids = ["", "a", "b"].map(|issuer| id(issuer, "\"x\"").expect("an id"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        // What looks like a UUID is mapped, too.
        let uuid = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
        assert_ne!(id("a", &format!("\"{uuid}\"")).as_deref(), Ok(uuid));
        assert!(UserIds::mapped("a\nb".to_owned(), Uuid::nil()).is_err());
    }
}
