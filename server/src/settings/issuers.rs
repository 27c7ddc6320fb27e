//! `--jwt-issuers-file`: several issuers, each with keys and demands of its own.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use netrox_edge::config::{Issuer, KeySource, UserIds};
use serde::Deserialize;

use super::key_file::{self, KeyKind};
use crate::{
    cli::{JwtClaimArgs, UserIdKind, check_claims, parse_type_claim, parse_user_claim},
    secret::{self, Warnings},
};

mod users;

/// One issuer of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issuer: String,
    audience: Option<Audience>,
    jwks_url: Option<String>,
    jwks_file: Option<PathBuf>,
    public_key_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    algorithms: Option<Vec<String>>,
    user_claim: Option<String>,
    type_claim: Option<String>,
    user_ids: Option<UserIdKind>,
    same_users_as: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Reads the file, and the files that it names. Claims that it does not name are those of the flags.
pub(super) fn read(
    path: &Path,
    claims: &JwtClaimArgs,
    allow_weak_secret: bool,
    warnings: &mut Warnings,
) -> Result<Vec<Issuer>, String> {
    let text = secret::read_large_file(path).map_err(|error| error.to_string())?;
    let of_file = |reason: &str| format!("{}: {reason}", path.display());
    let entries: Vec<Entry> =
        serde_json::from_slice(&text).map_err(|error| of_file(&error.to_string()))?;
    if entries.is_empty() {
        return Err(of_file("there is no issuer"));
    }
    let user_ids = users::of_issuers(&entries, claims).map_err(|reason| of_file(&reason))?;
    let mut names = HashSet::new();
    let mut issuers = Vec::new();
    for (entry, user_ids) in entries.into_iter().zip(user_ids) {
        let name = entry.issuer.clone();
        if name.is_empty() {
            return Err(of_file("an issuer must not be empty"));
        }
        if !names.insert(name.clone()) {
            return Err(of_file(&format!("the issuer {name:?} is there twice")));
        }
        // What a file names is beside it.
        let directory = path.parent().unwrap_or(Path::new(""));
        let issuer = issuer(entry, user_ids, directory, claims, allow_weak_secret, warnings);
        issuers.push(issuer.map_err(|reason| of_file(&format!("issuer {name:?}: {reason}")))?);
    }
    Ok(issuers)
}

fn issuer(
    entry: Entry,
    user_ids: UserIds,
    directory: &Path,
    claims: &JwtClaimArgs,
    allow_weak_secret: bool,
    warnings: &mut Warnings,
) -> Result<Issuer, String> {
    let user_claim = match &entry.user_claim {
        Some(claim) => parse_user_claim(claim).map_err(|reason| format!("user_claim: {reason}"))?,
        None => claims.jwt_user_claim.clone(),
    };
    let type_claim = match &entry.type_claim {
        Some(claim) => parse_type_claim(claim).map_err(|reason| format!("type_claim: {reason}"))?,
        None => claims.jwt_type_claim.clone(),
    };
    check_claims(&user_claim, &type_claim)?;
    let audiences = match entry.audience {
        None => Vec::new(),
        Some(Audience::One(audience)) => vec![audience],
        Some(Audience::Several(audiences)) if audiences.is_empty() => {
            return Err("audience: an empty list takes no token".to_owned());
        }
        Some(Audience::Several(audiences)) => audiences,
    };
    if audiences.iter().any(String::is_empty) {
        return Err("audience: must not be empty".to_owned());
    }
    let files = [
        ("jwks_file", entry.jwks_file, KeyKind::Set),
        ("public_key_file", entry.public_key_file, KeyKind::Public),
        ("secret_file", entry.secret_file, KeyKind::Secret { allow_weak: allow_weak_secret }),
    ];
    let files: Vec<_> = files
        .into_iter()
        .filter_map(|(field, file, kind)| Some((field, directory.join(file?), kind)))
        .collect();
    let keys = match (entry.jwks_url, &files[..]) {
        (Some(url), []) => {
            let of_field = |reason| format!("jwks_url: {reason}");
            netrox_edge::check_key_url(&url).map_err(of_field)?;
            KeySource::Url(url)
        }
        (None, [(field, path, kind)]) => {
            let of_field = |reason: String| format!("{field}: {reason}");
            key_file::read(path, *kind, warnings).map_err(of_field).map(KeySource::File)?
        }
        (None, []) => {
            let discovery =
                |reason| format!("without keys it must be a URL that they are found by: {reason}");
            netrox_edge::check_key_url(&entry.issuer).map_err(discovery)?;
            KeySource::Discovery(entry.issuer.clone())
        }
        (Some(_), [_, ..]) | (None, [_, _, ..]) => {
            let fields = "jwks_url, jwks_file, public_key_file and secret_file";
            return Err(format!("it has several of {fields}"));
        }
    };
    Ok(Issuer {
        name: Some(entry.issuer),
        audiences,
        keys: vec![keys],
        algorithms: entry.algorithms,
        user_claim,
        type_claim,
        user_ids,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Claims {
        #[command(flatten)]
        claims: JwtClaimArgs,
    }

    fn read_text(directory: &Path, text: &str) -> Result<Vec<Issuer>, String> {
        let path = directory.join("issuers.json");
        fs::write(&path, text).expect("written");
        let claims = Claims::parse_from(["test", "--jwt-user-claim", "uid"]).claims;
        read(&path, &claims, false, &mut Warnings::default())
    }

    #[test]
    fn an_issuer_has_what_is_said_of_it_and_else_what_the_flags_say() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("secret"), "a secret of thirty-two bytes or more")
            .expect("written");
        let text = r#"[
            {"issuer": "https://one.example", "audience": "chat"},
            {"issuer": "two", "audience": ["a", "b"], "jwks_url": "https://two.example/keys",
             "algorithms": ["ES256"], "user_claim": "sub", "type_claim": "kind",
             "user_ids": "any"},
            {"issuer": "three", "secret_file": "secret", "same_users_as": "https://one.example"}]"#;
        let issuers = read_text(directory.path(), text).expect("issuers");
        let [one, two, three] = &issuers[..] else { panic!("three issuers") };
        assert!(
            matches!(&one.keys[..], [KeySource::Discovery(name)] if name == "https://one.example")
        );
        assert_eq!((&one.user_claim[..], &one.type_claim[..]), ("uid", "token_type"));
        assert_eq!(one.audiences, ["chat"]);
        assert!(
            matches!(&two.keys[..], [KeySource::Url(url)] if url == "https://two.example/keys")
        );
        assert_eq!((&two.user_claim[..], &two.type_claim[..]), ("sub", "kind"));
        assert_eq!(two.algorithms.as_deref(), Some(&["ES256".to_owned()][..]));
        assert_eq!(two.audiences, ["a", "b"]);
        assert!(
            matches!(&three.keys[..], [KeySource::File(file)] if file.path.ends_with("secret"))
        );
        assert!(three.audiences.is_empty());
        let beside_mapped = UserIds::Uuids { beside_mapped: true };
        assert_eq!([&one.user_ids, &three.user_ids], [&beside_mapped; 2]);
    }

    #[test]
    fn users_are_those_of_their_issuer_or_of_the_one_that_it_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = r#"[
            {"issuer": "https://one.example", "user_ids": "any", "same_users_as": "https://two.example"},
            {"issuer": "https://two.example", "user_ids": "any"},
            {"issuer": "https://three.example", "user_ids": "any"}]"#;
        let issuers = read_text(directory.path(), text).expect("issuers");
        let called: Vec<_> = issuers.iter().map(|issuer| issuer.user_ids.id_of("7")).collect();
        assert!(called[0].is_ok() && called[0] == called[1] && called[1] != called[2]);

        // One with UUIDs of its own is alone.
        let text = r#"[{"issuer": "https://one.example", "same_users_as": "https://two.example"},
                       {"issuer": "https://two.example"}]"#;
        let issuers = read_text(directory.path(), text).expect("issuers");
        let alone = UserIds::Uuids { beside_mapped: false };
        assert!(issuers.iter().all(|issuer| issuer.user_ids == alone));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("weak"), "weak").expect("written");
        for (text, reason) in [
            ("", "EOF"),
            ("{}", "expected a sequence"),
            ("[]", "there is no issuer"),
            ("[{}]", "missing field `issuer`"),
            (r#"[{"issuer": ""}]"#, "must not be empty"),
            (r#"[{"issuer": "a", "key": "x"}]"#, "unknown field `key`"),
            (r#"[{"issuer": "a", "issuer": "b"}]"#, "duplicate field `issuer`"),
            (r#"[{"issuer": "a"}]"#, "issuer \"a\": without keys it must be a URL"),
            (r#"[{"issuer": "http://a.example"}]"#, "without keys it must be a URL"),
            (r#"[{"issuer": "a", "jwks_url": "http://a.example"}]"#, "jwks_url: it must be https"),
            (
                r#"[{"issuer": "a", "jwks_url": "https://a", "jwks_file": "b"}]"#,
                "it has several of jwks_url",
            ),
            (
                r#"[{"issuer": "a", "secret_file": "b", "jwks_file": "b"}]"#,
                "it has several of jwks_url",
            ),
            (r#"[{"issuer": "a", "jwks_file": "nowhere"}]"#, "jwks_file: "),
            (r#"[{"issuer": "a", "secret_file": "weak"}]"#, "can be guessed"),
            (r#"[{"issuer": "https://a", "audience": []}]"#, "an empty list takes no token"),
            (r#"[{"issuer": "https://a", "audience": ["x", ""]}]"#, "audience: must not be empty"),
            (r#"[{"issuer": "https://a", "audience": 7}]"#, "Audience"),
            (r#"[{"issuer": "https://a", "user_claim": "exp"}]"#, "user_claim: this claim"),
            (r#"[{"issuer": "https://a", "type_claim": "sub"}]"#, "type_claim: this claim"),
            (r#"[{"issuer": "https://a", "type_claim": "uid"}]"#, "cannot hold both"),
            (
                r#"[{"issuer": "https://a"}, {"issuer": "https://a", "same_users_as": "https://a"}]"#,
                "same_users_as: it names the issuer itself",
            ),
            (
                r#"[{"issuer": "https://a", "user_ids": "any"}, {"issuer": "https://a", "user_ids": "any"}]"#,
                "is there twice",
            ),
            (
                r#"[{"issuer": "https://a"}, {"issuer": "https://b"}]"#,
                "issuer \"https://b\": it and \"https://a\" could name each other's users",
            ),
            (
                r#"[{"issuer": "https://a"}, {"issuer": "https://b"}]"#,
                "or \"same_users_as\": \"https://a\"",
            ),
            (r#"[{"issuer": "https://a", "user_ids": "all"}]"#, "unknown variant `all`"),
            (
                r#"[{"issuer": "https://a", "same_users_as": "https://b"}]"#,
                "same_users_as: there is no issuer \"https://b\"",
            ),
            (
                r#"[{"issuer": "https://a", "same_users_as": "https://b"},
                    {"issuer": "https://b", "same_users_as": "https://a"}]"#,
                "same_users_as: \"https://b\" has the users of \"https://a\" itself",
            ),
            (
                r#"[{"issuer": "https://a", "same_users_as": "https://b"},
                    {"issuer": "https://b", "same_users_as": "https://c"}, {"issuer": "https://c"}]"#,
                "name an issuer without same_users_as",
            ),
            (
                r#"[{"issuer": "https://a", "user_ids": "any", "same_users_as": "https://b"},
                    {"issuer": "https://b"}]"#,
                "have to be the same",
            ),
            (r#"[{"issuer": "https://a\nb", "user_ids": "any"}]"#, "without control characters"),
        ] {
            let error = read_text(directory.path(), text).expect_err("a refusal");
            assert!(error.contains(reason), "{text}: {reason:?} is not in {error}");
            assert!(error.contains("issuers.json"), "{error}");
        }
    }
}
