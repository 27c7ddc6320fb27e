//! Whether issuers give keys, for the operator: each URL is asked once.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use netrox_diagnosis::{Report, Subject};
use tokio::time::Instant;

use super::{Authenticator, ConfigError};
use crate::config::Jwt;

/// Tokens are good for minutes.
const MOST_APART: Duration = Duration::from_secs(5);

/// Whether tokens can be verified by the keys that are at hand. Asks nobody.
pub(crate) fn check(config: &Jwt) -> Result<(), ConfigError> {
    Authenticator::new(config).map(drop)
}

pub(crate) async fn examine(config: &Jwt, report: &mut Report) {
    let authenticator = match Authenticator::new(config) {
        Ok(authenticator) => authenticator,
        Err(error) => {
            let remedy = "give a key as --jwt-… or --jwks-… say: netrox-chat edge --help";
            return report.find(Subject::Keys, error, remedy);
        }
    };
    let Some(fetcher) = &authenticator.fetcher else {
        return report.note(Subject::Keys, "the keys of access tokens are at hand");
    };
    let asked = Instant::now();
    let looks = authenticator.sources.iter().map(|source| source.look(fetcher));
    let mut furthest = None;
    for (name, looked) in join_all(looks).await.into_iter().flatten() {
        match looked {
            Ok(looked) => {
                let left_out = match &*looked.left_out {
                    "" => String::new(),
                    left_out => format!(", without {left_out}"),
                };
                report.note(Subject::Keys, format!("{name} gives keys{left_out}"));
                let apart = looked.clock.map(|clock| (apart(clock, asked.elapsed()), name));
                furthest = furthest.max(apart);
            }
            Err(error) => {
                let remedy = "see whether the issuer is up, and look at the URL, at --jwks-ca-file and at the way there";
                report.find(Subject::Keys, format!("{name} gives no keys: {error}"), remedy);
            }
        }
    }
    if let Some((apart, name)) = furthest.filter(|(apart, _)| *apart > MOST_APART) {
        let cause = format!("the clock of this machine and that of {name} are {apart:.0?} apart");
        report.find(Subject::Clock, cause, "set both by NTP (chrony or systemd-timesyncd)");
    }
}

/// As far as can be told of an answer that was dated to the second, at some time while it was waited for.
#[expect(clippy::disallowed_methods, reason = "it is the wall clocks that are compared")]
fn apart(clock: SystemTime, waited: Duration) -> Duration {
    let now = SystemTime::now();
    let apart = now.duration_since(clock).unwrap_or_else(|ahead| ahead.duration());
    apart.saturating_sub(waited + Duration::from_secs(1))
}
