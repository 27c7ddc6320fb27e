//! What is wrong with what an edge works on: the keys of access tokens, and its cores.

use std::time::Duration;

use http::{HeaderValue, Uri};
use netrox_diagnosis::{Report, Subject};
use netrox_tls::ClientTls;

use crate::{
    auth::{self, ConfigError},
    config::Config,
    core_client,
};

const KEYS_TIMEOUT: Duration = Duration::from_secs(15);
const CORES_TIMEOUT: Duration = Duration::from_secs(25);

/// Whether a start would take the keys of access tokens, as far as they are at hand. Asks nobody.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    auth::check(&config.jwt)
}

/// Asks the URLs of keys.
pub async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    report
        .within(Subject::Keys, KEYS_TIMEOUT, "an issuer of access tokens", async |report| {
            auth::examine(&config.jwt, report).await;
        })
        .await;
    report
}

/// Looks whether the cores let an edge in that shows this, and serve.
pub async fn examine_cores(
    cores: Vec<Uri>,
    tls: Option<ClientTls>,
    authorization: HeaderValue,
) -> Report {
    let mut report = Report::default();
    report
        .within(Subject::Cores, CORES_TIMEOUT, "a core", async |report| {
            core_client::examine(cores, tls, authorization, report).await;
        })
        .await;
    report
}
