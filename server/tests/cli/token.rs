//! `netrox-chat token`, and what it shows of how settings are read.

use std::{fs, path::Path};

use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::{
    SECRET,
    process::{run, run_in, run_with_input},
};

pub(crate) const USER: &str = "3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90";

/// Of a token that is good for `secret`.
pub(crate) fn claims(token: &str, secret: &str) -> Map<String, Value> {
    let validation = Validation { validate_aud: false, ..Validation::default() };
    let key = DecodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::decode(token.trim_end(), &key, &validation).unwrap().claims
}

#[test]
fn a_token_is_good_for_the_secret_of_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let arguments = ["token", "--user-id", USER, "--email", "a@b.c", "--data-dir", data_dir];
    let outcome = run(&arguments, &[]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout.matches('\n').count(), 1);
    assert!(outcome.stderr.starts_with("warning: generated a new secret"), "{outcome:?}");

    let secret = fs::read_to_string(Path::new(data_dir).join("jwt-secret")).unwrap();
    let claims = claims(&outcome.stdout, &secret);
    assert_eq!(claims["user_id"], USER);
    assert_eq!(claims["email"], "a@b.c");
    assert_eq!(claims["token_type"], "access");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert!(!claims["jti"].as_str().unwrap().is_empty());
    assert!(!claims.contains_key("iss") && !claims.contains_key("aud"));

    let again = run(&arguments, &[]);
    assert_eq!(again.stderr, "");
    assert_ne!(again.stdout, outcome.stdout);
}

#[test]
fn a_token_is_made_as_the_issuer_would_make_it() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["token", "--user-id", USER, "--ttl", "60", "--jwt-user-claim", "uid"];
    let variables = [
        ("NETROX_CHAT_JWT_SECRET", SECRET),
        ("NETROX_CHAT_JWT_ISSUER", "https://issuer.example.com"),
        ("NETROX_CHAT_JWT_AUDIENCE", "chat"),
    ];
    let outcome = run_in(dir.path(), &arguments, &variables);
    assert_eq!(outcome.stderr, "");
    let claims = claims(&outcome.stdout, SECRET);
    assert_eq!(claims["uid"], USER);
    assert_eq!(claims["iss"], "https://issuer.example.com");
    assert_eq!(claims["aud"], "chat");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert!(!claims.contains_key("user_id") && !claims.contains_key("email"));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "a given secret needs no data directory"
    );
}

#[test]
fn a_secret_may_begin_with_a_dash() {
    let secret = format!("-{SECRET}");
    let outcome = run(&["token", "--user-id", USER, "--jwt-secret", &secret], &[]);
    assert_eq!(claims(&outcome.stdout, &secret)["user_id"], USER);
}

#[test]
fn a_user_of_any_id_may_be_below_zero() {
    let arguments = ["token", "--user-id", "-7", "--jwt-user-ids", "any", "--jwt-secret", SECRET];
    assert_eq!(claims(&run(&arguments, &[]).stdout, SECRET)["user_id"], "-7");
}

#[test]
fn the_command_line_counts_before_the_environment() {
    let variables = [("NETROX_CHAT_TTL", "nonsense"), ("NETROX_CHAT_JWT_SECRET", SECRET)];
    let outcome = run(&["token", "--user-id", USER, "--ttl", "60"], &variables);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
}

#[test]
fn variables_of_flags_that_a_role_does_not_have_are_ignored() {
    let variables = [
        ("NETROX_CHAT_HTTP_ADDR", "nonsense"),
        ("NETROX_CHAT_GRPC_ADDR", "nonsense"),
        ("NETROX_CHAT_CORE", "nonsense"),
        ("NETROX_CHAT_DATABASE_URL", "postgres://db"),
        ("NETROX_CHAT_MAX_BODY_BYTES", "nonsense"),
        ("NETROX_CHAT_LOG_FILTER", ""),
        ("NETROX_CHAT_JWT_SECRET", SECRET),
    ];
    let outcome = run(&["token", "--user-id", USER], &variables);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_variable_of_no_role_is_warned_about_with_the_one_that_may_be_meant() {
    let variables = [
        ("NETROX_CHAT_JWT_SECRET", SECRET),
        ("NETROX_CHAT_JWT_ISUER", "hunter2"),
        ("NETROX_CHAT_OF_ANOTHER_RELEASE", "hunter2"),
        ("NETROX_CHAT_EMPTY", ""),
    ];
    let outcome = run(&["token", "--user-id", USER], &variables);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let expected = "\
        warning: NETROX_CHAT_JWT_ISUER is no setting: did you mean NETROX_CHAT_JWT_ISSUER?\n\
        warning: NETROX_CHAT_OF_ANOTHER_RELEASE is no setting, and is ignored\n";
    assert_eq!(outcome.stderr, expected);
}

#[test]
fn a_weak_secret_is_taken_only_where_that_is_said() {
    let secret = [("NETROX_CHAT_JWT_SECRET", "hunter2")];
    let refused = run(&["token", "--user-id", USER], &secret);
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(refused.stderr.starts_with("error: NETROX_CHAT_JWT_SECRET: "), "{refused:?}");
    assert!(refused.stderr.contains("--allow-weak-secret"), "{refused:?}");
    let taken = run(&["token", "--user-id", USER, "--allow-weak-secret"], &secret);
    assert_eq!(taken.status, Some(0), "{taken:?}");
    assert!(taken.stderr.starts_with("warning: "), "{taken:?}");
    for outcome in [refused, taken] {
        assert!(outcome.stderr.contains("has 7 bytes"), "{outcome:?}");
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset_and_line_ends_after_a_secret_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let secret = format!("{SECRET}\r\n");
    let variables = [
        ("NETROX_CHAT_JWT_SECRET", secret.as_str()),
        ("NETROX_CHAT_JWT_SECRET_FILE", ""),
        ("NETROX_CHAT_JWT_ISSUER", ""),
        ("NETROX_CHAT_TTL", ""),
    ];
    let outcome = run_in(dir.path(), &["token", "--user-id", USER], &variables);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    assert!(!claims(&outcome.stdout, SECRET).contains_key("iss"));
}

fn minted(arguments: &[&str]) -> String {
    let arguments = [&["token", "--user-id", USER], arguments].concat();
    run(&arguments, &[("NETROX_CHAT_JWT_SECRET", SECRET)]).stdout
}

#[test]
fn a_token_on_stdin_is_explained() {
    let secret = ("NETROX_CHAT_JWT_SECRET", SECRET);
    let check = |arguments: &[&str], variables: &[(&str, &str)], input: &str| {
        let arguments = [&["token", "--check"], arguments].concat();
        let outcome = run_with_input(&arguments, variables, input);
        assert_eq!(outcome.stderr, "");
        for part in input.split(['.', ' ', '\n']).filter(|part| part.len() > 20) {
            assert!(!outcome.stdout.contains(part), "{outcome:?}");
        }
        outcome
    };
    let token = minted(&["--ttl", "150m"]);
    for input in [token.clone(), format!("Bearer {token}"), format!("  {}", token.trim_end())] {
        let outcome = check(&[], &[secret], &input);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert!(outcome.stdout.starts_with(&format!("good: a token of the user {USER}\n")));
        assert!(outcome.stdout.contains("\"HS256\" (the key takes HS256"), "{outcome:?}");
        assert!(outcome.stdout.contains(", in 2 h)"), "{outcome:?}");
    }
    let other = "another secret of at least thirty-two bytes";
    let cases: [(&[&str], &str, &str, &[&str]); 5] = [
        (&[], other, &token, &["the signature is not of a configured key"]),
        (
            &["--jwt-issuer", "https://id.example.com"],
            SECRET,
            &token,
            &["the issuer", "none (must be \"https://id.example.com\")"],
        ),
        (&["--jwt-type-claim", "jti2"], SECRET, "a.b.c", &["not a JWT"]),
        (&["--jwt-user-claim", "uid"], SECRET, &token, &["UUID", "none (claim \"sub\""]),
        (&[], SECRET, "", &["not a JWT"]),
    ];
    for (arguments, secret, token, expected) in cases {
        let outcome = check(arguments, &[("NETROX_CHAT_JWT_SECRET", secret)], token);
        assert_eq!(outcome.status, Some(1), "{outcome:?}");
        assert!(outcome.stdout.starts_with("refused: "), "{outcome:?}");
        for expected in expected {
            assert!(outcome.stdout.contains(expected), "{expected}: {outcome:?}");
        }
    }
    let refresh = minted(&["--jwt-type-claim", "typ"]);
    let outcome = check(&["--jwt-type-claim", "typ"], &[secret], &refresh);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
}

#[test]
fn a_check_needs_a_key_and_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run_in(dir.path(), &["token", "--check"], &[]);
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: --data-dir: "), "{outcome:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let outcome = run_in(dir.path(), &["token", "--check", "--user-id", USER], &[]);
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("--user-id"), "{outcome:?}");
}

#[test]
fn tokens_for_a_public_key_are_not_made() {
    let arguments = ["token", "--user-id", USER, "--jwt-public-key-file", "key.pem"];
    let outcome = run(&arguments, &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: --jwt-public-key-file: "), "{outcome:?}");
}

/// The server would verify none by a secret of the data directory.
#[test]
fn tokens_of_an_issuer_that_publishes_its_keys_are_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["token", "--user-id", USER, "--jwt-issuer", "https://issuer.example.com"];
    let outcome = run_in(dir.path(), &arguments, &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: --jwt-issuer: "), "{outcome:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_check_tells_why_there_are_no_keys_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let token = minted(&[]);
    // Nothing listens there.
    let arguments = ["token", "--check", "--jwks-url", "http://127.0.0.1:1/keys"];
    let cache = dir.path().join("keys.json");
    let arguments = [&arguments[..], &["--jwks-cache", cache.to_str().unwrap()]].concat();
    let outcome = run_with_input(&arguments, &[], &token);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("no keys     http://127.0.0.1:1/keys: "), "{outcome:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_claim_has_one_meaning() {
    for flags in [
        &["--jwt-type-claim", "user_id"][..],
        &["--jwt-user-claim", "kind", "--jwt-type-claim", "kind"],
        &["--jwt-type-claim", "exp"],
        &["--jwt-type-claim", ""],
    ] {
        let arguments = [&["token", "--user-id", USER], flags].concat();
        let outcome = run(&arguments, &[("NETROX_CHAT_JWT_SECRET", SECRET)]);
        assert_eq!(outcome.status, Some(2), "{flags:?}: {outcome:?}");
        assert!(outcome.stderr.starts_with("error: --jwt-type-claim: "), "{flags:?}: {outcome:?}");
    }
}
