//! A decentralised set-up of NATS: an operator who vouches for an account, and the account for a user.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

pub(super) struct Credentials {
    /// The public key of the user.
    pub(super) user: String,
    /// What the user shows: JWT and seed.
    pub(super) file: PathBuf,
    pub(super) server_configuration: PathBuf,
}

impl Credentials {
    pub(super) fn make(directory: &Path) -> Self {
        let [operator, account, user] =
            [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user()];
        let trust = token(&operator, &operator, &json!({"type": "operator", "version": 2}));
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1,
        });
        let claims = json!({"type": "account", "version": 2, "limits": unlimited});
        let account_token = token(&operator, &account, &claims);
        let subjects = json!({"allow": ["netrox-chat.>"]});
        let claims = json!({
            "type": "user", "version": 2, "pub": subjects, "sub": subjects,
            "subs": -1, "data": -1, "payload": -1,
        });
        let user_token = token(&account, &user, &claims);

        let file = directory.join("core.creds");
        let seed = user.seed().expect("a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&file, text).expect("write");
        let server_configuration = directory.join("nats.conf");
        let account = account.public_key();
        let text = format!(
            "operator: {trust}\nresolver: MEMORY\nresolver_preload: {{ {account}: {account_token} }}\n"
        );
        std::fs::write(&server_configuration, text).expect("write");
        Self { user: user.public_key(), file, server_configuration }
    }
}

fn token(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({
        "iss": issuer.public_key(), "sub": subject.public_key(), "iat": 0, "nats": claims,
    });
    let signed = format!("{}.{}", part(&head), part(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
