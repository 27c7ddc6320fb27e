//! `--jwt-issuers-file`: several issuers, each with keys and demands of its own.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use netrox_edge::config::{Issuer, KeySource};
use serde::Deserialize;

use super::key_file::{self, KeyKind};
use crate::{
    cli::{JwtClaimArgs, check_claims, parse_type_claim, parse_user_claim},
    secret::{self, Warnings},
};

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
    let mut names = HashSet::new();
    let mut issuers = Vec::new();
    for entry in entries {
        let name = entry.issuer.clone();
        if name.is_empty() {
            return Err(of_file("an issuer must not be empty"));
        }
        if !names.insert(name.clone()) {
            return Err(of_file(&format!("the issuer {name:?} is there twice")));
        }
        // What a file names is beside it.
        let directory = path.parent().unwrap_or(Path::new(""));
        let issuer = issuer(entry, directory, claims, allow_weak_secret, warnings);
        issuers.push(issuer.map_err(|reason| of_file(&format!("issuer {name:?}: {reason}")))?);
    }
    Ok(issuers)
}

fn issuer(
    entry: Entry,
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
    })
}
