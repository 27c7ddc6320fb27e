//! Whose conversations are compared: a user a line, with a token or without.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use http::HeaderValue;
use netrox_edge::config::UserIds;

/// A token has up to 8 KiB.
const MAX_LINE_BYTES: u64 = 16 * 1024;

/// One user of the file.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// As the original has it.
    pub(super) id: String,
    /// As the candidate has it.
    pub(super) candidate_id: String,
    pub(super) token: Option<HeaderValue>,
}

/// The file, gone through once: each of its lines is good.
#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    user_ids: UserIds,
    /// How many there are.
    pub(super) count: u64,
    /// How many of them are compared.
    pub(super) sample: u64,
    /// Whether there is one without a token.
    pub(super) needs_secret: bool,
}

impl Users {
    pub(super) fn check(
        path: &Path,
        user_ids: UserIds,
        sample: Option<u64>,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let mut users = Self {
            path: path.to_owned(),
            user_ids,
            count: 0,
            sample: u64::MAX,
            needs_secret: false,
        };
        for user in users.lines().map_err(failed)? {
            let user = user.map_err(failed)?;
            users.count += 1;
            users.needs_secret |= user.token.is_none();
        }
        if users.count == 0 {
            return Err(format!("{} names no user", path.display()));
        }
        users.sample = sample.unwrap_or(users.count).min(users.count);
        Ok(users)
    }

    /// Those who are compared: they are spread evenly over the file.
    pub(super) fn chosen(&self) -> io::Result<impl Iterator<Item = io::Result<Named>> + use<>> {
        let (sample, count) = (u128::from(self.sample), u128::from(self.count));
        let is_chosen = move |number: u128| (number + 1) * sample / count > number * sample / count;
        let numbered = (0_u128..).zip(self.lines()?);
        Ok(numbered.filter(move |(number, _)| is_chosen(*number)).map(|(_, user)| user))
    }

    fn lines(&self) -> io::Result<impl Iterator<Item = io::Result<Named>> + use<>> {
        let mut text = BufReader::new(File::open(&self.path)?);
        let user_ids = self.user_ids.clone();
        let mut number = 0_u64;
        Ok(std::iter::from_fn(move || {
            loop {
                number += 1;
                let wrong = |reason: &str| invalid(format!("line {number}: {reason}"));
                let mut line = Vec::new();
                match text.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                    Ok(0) => return None,
                    Ok(bytes) if bytes as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") => {
                        return Some(Err(wrong("longer than 16 KiB")));
                    }
                    Ok(_) => {}
                    Err(error) => return Some(Err(error)),
                }
                let Ok(line) = std::str::from_utf8(&line) else {
                    return Some(Err(wrong("not valid UTF-8")));
                };
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') {
                    return Some(parse(line, &user_ids).map_err(wrong));
                }
            }
        }))
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// No part of the line is told: it may be a token.
fn parse(line: &str, user_ids: &UserIds) -> Result<Named, &'static str> {
    let mut words = line.split_whitespace();
    let id = words.next().unwrap_or_default();
    let token = match words.next() {
        None => None,
        Some(token) => {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| "the token has characters that no token has")?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    if words.next().is_some() {
        return Err("more than an id and a token");
    }
    let candidate_id = user_ids.id_of(id).map_err(|_| match user_ids {
        UserIds::Uuids { .. } => {
            "the id is no UUID of 36 characters, hyphenated; --jwt-user-ids any takes others"
        }
        UserIds::Mapped { .. } => "the id is longer than 255 bytes",
    })?;
    let id = match user_ids {
        UserIds::Uuids { .. } => candidate_id.to_string(),
        UserIds::Mapped { .. } => id.to_owned(),
    };
    Ok(Named { id, candidate_id: candidate_id.to_string(), token })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const UUIDS: UserIds = UserIds::Uuids { beside_mapped: false };

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn id(number: u64) -> String {
        format!("a11ce000-0000-4000-8000-{number:012}")
    }

    #[test]
    fn a_line_is_a_user_with_a_token_or_without() {
        let upper = id(2).to_uppercase();
        let text = format!("# users\n\n{}\r\n  {upper}\tx.y.z  \n", id(1));
        let file = file(&text);
        let users = Users::check(file.path(), UUIDS, None).unwrap();
        assert_eq!((users.count, users.needs_secret), (2, true));
        let chosen: Vec<_> = users.chosen().unwrap().map(Result::unwrap).collect();
        assert_eq!(chosen[0].id, id(1));
        assert!(chosen[0].token.is_none());
        assert_eq!(chosen[1].id, id(2), "as it is printed");
        assert_eq!(chosen[1].token.as_ref().unwrap().as_bytes(), b"Bearer x.y.z");
    }

    #[test]
    fn ids_of_any_kind_are_mapped() {
        let file = file("17 x.y.z");
        let namespace = uuid::Uuid::from_u128(1);
        let user_ids = UserIds::mapped(String::new(), namespace).unwrap();
        let users = Users::check(file.path(), user_ids.clone(), None).unwrap();
        let user = users.chosen().unwrap().next().unwrap().unwrap();
        assert_eq!((user.id.as_str(), users.needs_secret), ("17", false));
        assert_eq!(user.candidate_id, user_ids.id_of("17").unwrap().to_string());
    }

    #[test]
    fn a_sample_is_spread_evenly() {
        let text: String = (0..100).map(|number| id(number) + "\n").collect();
        let file = file(&text);
        for sample in [1, 3, 33, 99, 100, 1000] {
            let users = Users::check(file.path(), UUIDS, Some(sample)).unwrap();
            let chosen: Vec<_> = users.chosen().unwrap().map(|user| user.unwrap().id).collect();
            assert_eq!(chosen.len() as u64, sample.min(100));
            let first_half = chosen.iter().filter(|chosen| **chosen < id(50)).count() as u64;
            assert!(first_half.abs_diff(sample.min(100) / 2) <= 1, "{sample}: {first_half}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        for (text, reason) in [
            ("", "names no user"),
            ("# nobody\n", "names no user"),
            ("canary", "line 1: the id is no UUID"),
            ("\n17", "line 2: the id is no UUID"),
            (&*format!("{} canary canary", id(1)), "line 1: more than"),
            (&*format!("{} {}", id(1), "canary".repeat(5000)), "line 1: longer than 16 KiB"),
        ] {
            let file = file(text);
            let error = Users::check(file.path(), UUIDS, None).unwrap_err();
            assert!(error.contains(reason) && !error.contains("canary"), "{error}");
        }
    }
}
