//! One issuer: its keys, and what is demanded of its tokens.

use std::{collections::HashMap, str::FromStr as _, sync::Arc};

use futures_util::future::{join_all, select_all};
use jsonwebtoken::{Algorithm, TokenData, Validation, decode, decode_header};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::{
    Refusal, SUBJECT_CLAIM,
    identity::text,
    key::{ConfigError, OF_SECRETS},
    key_set::KeyId,
    source::{Asked, Source},
    user::{self, Bearer},
};
use crate::config::{self, DEFAULT_USER_CLAIM, JwtKey, KeySource, UserIds};

pub(super) type Claims = HashMap<String, Box<RawValue>>;

const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

pub(super) struct Issuer {
    pub(super) name: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) user_claim: String,
    pub(super) type_claim: String,
    pub(super) user_ids: UserIds,
    sources: Vec<Arc<Source>>,
    /// What is demanded of a token of each algorithm that is taken.
    validations: Vec<(Algorithm, Validation)>,
}

/// A token that is signed by the issuer, and meant for here.
pub(super) struct Signed {
    pub(super) token: TokenData<Claims>,
    pub(super) key: KeyId,
    pub(super) is_by_secret: bool,
}

/// Why there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned {
    pub(super) refusal: Refusal,
    /// Newer keys may say otherwise.
    pub(super) may_change: bool,
}

impl From<Refusal> for Unsigned {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, may_change: false }
    }
}

impl Issuer {
    pub(super) fn new(
        config: &config::Issuer,
        sources: Vec<Arc<Source>>,
    ) -> Result<Self, ConfigError> {
        let algorithms = algorithms(config)?;
        for source in &sources {
            source.only_for(&algorithms);
        }
        let validations = algorithms.into_iter().map(|algorithm| {
            let mut validation = Validation {
                algorithms: vec![algorithm],
                // Times are ours to check: the library panics before 1970, and takes an `nbf` of null for one.
                validate_exp: false,
                validate_aud: !config.audiences.is_empty(),
                ..Validation::default()
            };
            // With an audience, or an issuer, configured, a token without one is refused too.
            let mut required = vec!["exp"];
            if !config.audiences.is_empty() {
                validation.set_audience(&config.audiences);
                required.push("aud");
            }
            if let Some(name) = &config.name {
                validation.set_issuer(&[name]);
                required.push("iss");
            }
            validation.set_required_spec_claims(&required);
            (algorithm, validation)
        });
        let issuer = Self {
            name: config.name.clone(),
            audiences: config.audiences.clone(),
            user_claim: config.user_claim.clone(),
            type_claim: config.type_claim.clone(),
            user_ids: config.user_ids.clone(),
            sources,
            validations: validations.collect(),
        };
        let are_known = issuer.sources.iter().all(|source| source.keys().is_some());
        if are_known && issuer.algorithms().is_empty() {
            return Err(ConfigError::new("its keys are for none of the algorithms that are taken"));
        }
        Ok(issuer)
    }

    /// Finds the key that a token is signed with.
    pub(super) fn signed(&self, token: &str) -> Result<Signed, Unsigned> {
        let header = decode_header(token).map_err(Refusal::from)?;
        let validation = self.validations.iter().find(|(taken, _)| *taken == header.alg);
        let (algorithm, validation) = validation.ok_or(Refusal::Algorithm)?;
        let (mut refusal, mut may_change) = (Refusal::UnknownKey, true);
        let mut lacks_keys = false;
        for source in &self.sources {
            let Some(set) = source.keys() else {
                lacks_keys = true;
                continue;
            };
            let candidates = set.candidates(header.kid.as_deref(), *algorithm);
            may_change &= !candidates.are_named;
            for key in candidates.keys() {
                if !key.is_for(*algorithm) {
                    if refusal == Refusal::UnknownKey {
                        refusal = Refusal::Algorithm;
                    }
                    continue;
                }
                match decode::<Claims>(token, &key.key, validation).map_err(Refusal::from) {
                    Ok(token) => {
                        // The library also takes a list that it is in.
                        let named = token.claims.get("iss").and_then(|claim| text(claim));
                        if self.name.is_some() && named != self.name {
                            return Err(Refusal::Issuer.into());
                        }
                        return Ok(Signed { token, key: key.id, is_by_secret: key.is_secret() });
                    }
                    Err(Refusal::Signature) => refusal = Refusal::Signature,
                    Err(other) => return Err(other.into()),
                }
            }
        }
        if lacks_keys && may_change {
            refusal = Refusal::NoKeys;
        }
        Err(Unsigned { refusal, may_change })
    }

    /// Whether there is such a key still.
    pub(super) fn has(&self, key: &KeyId) -> bool {
        self.sources.iter().any(|source| source.keys().is_some_and(|keys| keys.contains(key)))
    }

    /// Whether there are any keys.
    pub(super) fn has_keys(&self) -> bool {
        self.sources.iter().any(|source| source.keys().is_some())
    }

    /// How often the keys became others.
    pub(super) fn changes(&self) -> u64 {
        self.sources.iter().map(|source| source.changes()).sum()
    }

    /// Whether some of its keys were asked for in vain the last time.
    pub(super) fn is_away(&self) -> bool {
        self.sources.iter().any(|source| source.is_away())
    }

    /// Whether each source has given keys, or was asked for them in vain.
    pub(super) fn is_settled(&self) -> bool {
        self.sources.iter().all(|source| source.is_settled())
    }

    /// Asks for newer keys.
    pub(super) fn ask(&self) -> Inquiry<'_> {
        let news = self.sources.iter().map(|source| source.news()).collect();
        let asked = self.sources.iter().map(|source| (&**source, source.ask())).collect();
        Inquiry { asked, news: News(news) }
    }

    /// Returns when each source was asked for the first time, and has answered or not.
    pub(super) async fn first_ended(&self) {
        join_all(self.sources.iter().map(|source| source.first_ended())).await;
    }

    /// Why sources gave nothing the last time.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        self.sources.iter().filter_map(|source| source.failure())
    }

    /// Whose a token is.
    pub(super) fn bearer(&self, claims: &Claims) -> Result<Bearer, Refusal> {
        let claim = claims.get(&self.user_claim);
        let claim = claim.or_else(|| claims.get(SUBJECT_CLAIM).filter(|_| self.takes_subject()));
        user::bearer(claim.ok_or(Refusal::NoUser)?, &self.user_ids)
    }

    /// Whether [`SUBJECT_CLAIM`] stands for a claim of the user that is not there. Of ids that are mapped it is another
    /// name than those of a claim that an operator chose: the two together would make one user of two.
    pub(super) fn takes_subject(&self) -> bool {
        match self.user_ids {
            UserIds::Uuids { .. } => true,
            UserIds::Mapped { .. } => self.user_claim == DEFAULT_USER_CLAIM,
        }
    }

    /// What a token may be signed with here, in the order of [`ALL`].
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let sets: Vec<_> = self.sources.iter().filter_map(|source| source.keys()).collect();
        let taken = self.validations.iter().map(|(algorithm, _)| *algorithm);
        taken.filter(|taken| sets.iter().any(|set| set.algorithms().any(|a| a == *taken))).collect()
    }

    #[cfg(test)]
    pub(super) fn validations(&self) -> impl Iterator<Item = &Validation> {
        self.validations.iter().map(|(_, validation)| validation)
    }
}

/// Whether a token says that it is signed with a shared secret.
pub(super) fn is_by_secret(token: &str) -> bool {
    decode_header(token).is_ok_and(|header| OF_SECRETS.contains(&header.alg))
}

/// Newer keys that were asked for.
pub(super) struct Inquiry<'a> {
    asked: Vec<(&'a Source, Option<Asked>)>,
    pub(super) news: News,
}

impl<'a> Inquiry<'a> {
    /// Returns when all answers are there, or are not waited for any more.
    pub(super) fn answered(&self) -> impl Future<Output = ()> + use<'a> {
        let asked = self.asked.clone();
        async move {
            join_all(asked.into_iter().map(|(source, asked)| source.answered(asked))).await;
        }
    }

    /// Whether a key could not be asked for that may be as new as a token of this time, in Unix seconds.
    pub(super) fn is_too_soon_for(&self, issued_at: i64) -> bool {
        let too_soon = self.asked.iter().filter(|(_, asked)| *asked == Some(Asked::TooSoon));
        too_soon.into_iter().any(|(source, _)| !source.knows_keys_of(issued_at))
    }
}

/// Changes of keys.
pub(super) struct News(Vec<watch::Receiver<u64>>);

impl News {
    /// Returns when some keys have become others since the last call.
    pub(super) async fn changed(&mut self) {
        let changed = self.0.iter_mut().map(|news| Box::pin(news.changed()));
        // There is a source, and it is there as long as its issuer.
        let _ = select_all(changed).await;
    }
}

/// Those of an issuer that its keys can be for.
fn algorithms(config: &config::Issuer) -> Result<Vec<Algorithm>, ConfigError> {
    let may_be = |algorithm: &Algorithm| {
        let is_of_secrets = OF_SECRETS.contains(algorithm);
        config.keys.iter().any(|source| match source {
            KeySource::Fixed(key) => can_be_for(key, is_of_secrets),
            KeySource::File(file) => can_be_for(&file.key, is_of_secrets),
            KeySource::Url(_) | KeySource::Discovery(_) => !is_of_secrets,
        })
    };
    let Some(names) = &config.algorithms else {
        return Ok(ALL.into_iter().filter(may_be).collect());
    };
    if names.is_empty() {
        return Err(ConfigError::new("no algorithm is taken"));
    }
    let algorithms = names.iter().map(|name| {
        let algorithm = Algorithm::from_str(name)
            .map_err(|_| ConfigError::new(format!("{name:?} is no algorithm of signatures")))?;
        if may_be(&algorithm) {
            Ok(algorithm)
        } else {
            Err(ConfigError::new(format!("no key of this kind is for {name}")))
        }
    });
    algorithms.collect()
}

fn can_be_for(key: &JwtKey, is_of_secrets: bool) -> bool {
    match key {
        JwtKey::Secret(_) => is_of_secrets,
        JwtKey::PublicKeyPem(_) => !is_of_secrets,
        JwtKey::KeySet(_) => true,
    }
}
