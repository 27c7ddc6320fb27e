//! Differences that are known: those that whoever runs it allows, and those that the public contract has on purpose.

use std::{fs, path::Path, str::FromStr};

use netrox_edge::config::UserIds;

use super::compare::{Difference, Kind, text};

/// What paths begin with.
pub(super) const THREADS: &str = "threads";
pub(super) const HISTORY: &str = "history";
pub(super) const FILE: &str = "file";

/// Where the elements of the lists are.
pub(super) const THREAD: &str = "threads.entity[]";
pub(super) const MESSAGE: &str = "history.entity.messages[]";

const MAX_FILE_BYTES: u64 = 1 << 20;

/// Differences at some paths, of one kind or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    keys: Vec<String>,
    /// Whatever is below counts as well.
    with_all_below: bool,
    kind: Option<Kind>,
}

impl FromStr for Rule {
    type Err = String;

    /// `PATH` or `PATH=KIND`. `*` in the path is any one key, `**` at its end all that is below.
    fn from_str(rule: &str) -> Result<Self, String> {
        let (path, kind) = match rule.split_once('=') {
            None => (rule, None),
            Some((path, name)) => {
                let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                let names = || Kind::ALL.map(Kind::name).join(", ");
                (path, Some(kind.ok_or_else(|| format!("what follows = is none of {}", names()))?))
            }
        };
        let (path, with_all_below) = match path.strip_suffix(".**") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
        let first = keys.first().map_or("", |key| key.trim_end_matches("[]"));
        if ![THREADS, HISTORY, FILE, "*"].contains(&first) {
            return Err(format!("a path begins with {THREADS}, {HISTORY}, {FILE} or *"));
        }
        if keys.iter().any(|key| key.is_empty() || key == "**") {
            return Err("** stands at the end of a path, and no key is empty".to_owned());
        }
        Ok(Self { keys, with_all_below, kind })
    }
}

impl Rule {
    pub(super) fn allows(&self, path: &str, kind: Kind) -> bool {
        let mut keys = path.split('.');
        let is_below = self
            .keys
            .iter()
            .all(|expected| keys.next().is_some_and(|key| expected == "*" || expected == key));
        is_below
            && (self.with_all_below || keys.next().is_none())
            && self.kind.is_none_or(|allowed| allowed == kind)
    }
}

/// Rules of a file, one a line.
pub(super) fn read(path: &Path) -> Result<Vec<Rule>, String> {
    let failed = |reason: &str| format!("{}: {reason}", path.display());
    let size = fs::metadata(path).map_err(|error| failed(&error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(failed("longer than 1 MiB"));
    }
    let content = fs::read_to_string(path).map_err(|error| failed(&error.to_string()))?;
    let lines = (1..).zip(content.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let rules = lines.map(|(number, line): (usize, &str)| {
        line.parse().map_err(|reason| failed(&format!("line {number}: {reason}")))
    });
    rules.collect()
}

/// All that is known beforehand.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) rules: Vec<Rule>,
    pub(super) user_ids: UserIds,
}

impl Known {
    /// `is_deleted`: both say so of the message.
    pub(super) fn allows(&self, difference: &Difference<'_>, is_deleted: bool) -> bool {
        let Difference { path, kind, .. } = *difference;
        self.rules.iter().any(|rule| rule.allows(path, kind))
            || self.is_mapped_id(difference)
            || is_on_purpose(difference, is_deleted)
    }

    /// Ids of users that were told to be mapped, and are mapped so.
    fn is_mapped_id(&self, difference: &Difference<'_>) -> bool {
        let is_mapped = match self.user_ids {
            UserIds::Mapped { .. } => true,
            UserIds::Uuids { .. } => false,
        };
        let of_list = |list: &str, users: [&str; 2]| {
            let user = difference.path.strip_prefix(list).and_then(|key| key.strip_suffix(".id"));
            user.is_some_and(|user| users.contains(&user))
        };
        let is_id = of_list(THREAD, [".user_one", ".user_two"])
            || of_list(MESSAGE, [".sender", ".receiver"]);
        let (Some(original), Some(candidate)) = (difference.original, difference.candidate) else {
            return false;
        };
        let mapped = user_id(original).and_then(|id| self.user_ids.id_of(&id).ok());
        is_mapped && is_id && mapped.map(|id| id.to_string()) == text(candidate)
    }
}

/// The id of a user: a text, or a number.
pub(super) fn user_id(json: &str) -> Option<String> {
    let is_number = json.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if is_number { Some(json.to_owned()) } else { text(json) }
}

/// What the public contract has another way on purpose (docs/PROTOCOL.md).
fn is_on_purpose(difference: &Difference<'_>, is_deleted: bool) -> bool {
    let Difference { path, kind, original, candidate } = *difference;
    let sides = || Some((text(original?)?, text(candidate?)?));
    match kind {
        // The documented API says nothing of the order of threads: ours are the most recently active first (section 2).
        Kind::Order => path == THREAD,
        Kind::Value | Kind::Type => {
            let key = path.rsplit('.').next().unwrap_or_default();
            match key {
                // A type is found by looking into the file (section 4).
                "content_type" => path == "file.content_type",
                // Always six digits (section 2). Django leaves out those of a whole second.
                "created" | "updated" | "craeted" => {
                    sides().is_some_and(|(original, candidate)| {
                        let whole = original.strip_suffix('Z').filter(|time| !time.contains('.'));
                        whole.is_some_and(|time| candidate == format!("{time}.000000Z"))
                    })
                }
                // What is deleted is gone, the file too (PROTOCOL-2 section 6).
                "message" | "attached_file" | "attached_file_name" | "attached_file_size" => {
                    let is_gone = matches!(candidate, Some("null" | "\"\"" | "\"0kb\""));
                    is_deleted && is_gone && path.starts_with(MESSAGE)
                }
                _ => false,
            }
        }
        Kind::Missing | Kind::Extra | Kind::Malformed => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_rule_allows_its_paths_and_kinds_alone() {
        let profile = "history.entity.messages[].sender.profile.name";
        for (rule, path, kind, is_allowed) in [
            (profile, profile, Kind::Value, true),
            (profile, profile, Kind::Missing, true),
            ("history.entity.messages[].sender", profile, Kind::Value, false),
            ("history.entity.messages[].sender.**", profile, Kind::Value, true),
            (
                "history.entity.messages[].sender.**",
                "history.entity.messages[]",
                Kind::Order,
                false,
            ),
            ("history.entity.messages[].*.profile.**", profile, Kind::Value, true),
            ("history.entity.messages[].*.*.*=value", profile, Kind::Value, true),
            ("history.entity.messages[].*.*.*=value", profile, Kind::Type, false),
            ("*.http.content_type", "threads.http.content_type", Kind::Value, true),
            ("*.http.content_type", "file.content_type", Kind::Value, false),
            ("threads.entity[]=missing", THREAD, Kind::Missing, true),
            ("threads.entity[]=missing", THREAD, Kind::Extra, false),
            ("file.**", "file.bytes", Kind::Value, true),
        ] {
            let parsed: Rule = rule.parse().unwrap();
            assert_eq!(parsed.allows(path, kind), is_allowed, "{rule} {path} {kind:?}");
        }
    }

    #[test]
    fn a_rule_that_can_allow_nothing_is_refused() {
        for rule in ["", "entity", "history.", "history..x", "history.**.x", "**", "file.x=none"] {
            assert!(rule.parse::<Rule>().is_err(), "{rule}");
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"# known\n\nfile.size=value\n threads.** \n").unwrap();
        assert_eq!(read(file.path()).unwrap().len(), 2);
        file.write_all(b"thread.entity[]\n").unwrap();
        let error = read(file.path()).unwrap_err();
        assert!(error.contains("line 5: a path begins"), "{error}");
    }

    #[test]
    fn mapped_ids_are_known_where_they_are_mapped() {
        let user_ids = UserIds::mapped(String::new(), uuid::Uuid::from_u128(1)).unwrap();
        let mapped = format!("\"{}\"", user_ids.id_of("17").unwrap());
        let known = Known { rules: Vec::new(), user_ids };
        let uuids = UserIds::Uuids { beside_mapped: false };
        let unmapped = Known { rules: Vec::new(), user_ids: uuids };
        let sender = "history.entity.messages[].sender.id";
        for (path, original, is_known) in [
            (sender, "17", true),
            (sender, "\"17\"", true),
            (sender, "18", false),
            ("threads.entity[].user_two.id", "17", true),
            ("history.entity.messages[].id", "17", false),
            ("history.entity.messages[].sender.profile.id", "17", false),
        ] {
            let sides = [Some(original), Some(mapped.as_str())];
            let [original, candidate] = sides;
            let difference = Difference { path, kind: Kind::Type, original, candidate };
            assert_eq!(known.allows(&difference, false), is_known, "{path} {original:?}");
            assert!(!unmapped.allows(&difference, false));
        }
    }

    #[test]
    fn what_is_on_purpose_is_no_more_than_that() {
        let created = "history.entity.messages[].created";
        let body = "history.entity.messages[].message";
        let is_known = |path, kind, original, candidate, is_deleted| {
            let difference = Difference { path, kind, original, candidate };
            is_on_purpose(&difference, is_deleted)
        };
        let value = |path, original, candidate, is_deleted| {
            is_known(path, Kind::Value, Some(original), Some(candidate), is_deleted)
        };
        let (whole, six) = (r#""2024-06-17T11:28:21Z""#, r#""2024-06-17T11:28:21.000000Z""#);
        assert!(value(created, whole, six, false));
        assert!(!value(created, six, whole, false));
        assert!(!value(created, whole, r#""2024-06-17T11:28:22.000000Z""#, false));
        assert!(value(body, r#""hello""#, r#""""#, true));
        assert!(!value(body, r#""hello""#, r#""""#, false));
        assert!(!value(body, r#""hello""#, r#""hullo""#, true));
        assert!(!value("history.message", r#""hello""#, r#""""#, true));
        let file = "history.entity.messages[].attached_file";
        assert!(is_known(file, Kind::Type, Some(r#""/mediafiles/x""#), Some("null"), true));
        assert!(value("file.content_type", "\"a/b\"", "\"c/d\"", false));
        assert!(!value("history.http.content_type", "\"a/b\"", "\"c/d\"", false));
        assert!(is_known(THREAD, Kind::Order, None, None, false));
        assert!(!is_known(MESSAGE, Kind::Order, None, None, false));
        assert!(!is_known(THREAD, Kind::Missing, Some("{}"), None, false));
    }
}
