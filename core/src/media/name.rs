//! How attachments are named: the path we keep them under, and the name the sender gave.

use jiff::{Timestamp, tz::TimeZone};
use uuid::Uuid;

const MAX_NAME_BYTES: usize = 255;
const MAX_EXTENSION_BYTES: usize = 10;
const NAMELESS: &str = "file";
/// Everything below it in the media store is an attachment.
pub(crate) const PREFIX: &str = "attachments";

/// `attachments/YYYY/MM/DD/<uuid>[.<extension>]` (PROTOCOL section 2).
pub(crate) fn path(now_micros: i64, file_name: &str) -> String {
    let date = Timestamp::from_microsecond(now_micros)
        .unwrap_or(Timestamp::MAX)
        .to_zoned(TimeZone::UTC)
        .date();
    let (year, month, day) = (date.year(), date.month(), date.day());
    let id = Uuid::new_v4();
    let mut path = format!("{PREFIX}/{year:04}/{month:02}/{day:02}/{id}");
    if let Some(extension) = extension(file_name) {
        path.push('.');
        path.push_str(&extension);
    }
    path
}

/// The name's last extension in lower case, where it is one to ten ASCII letters and digits.
fn extension(file_name: &str) -> Option<String> {
    let (_, extension) = file_name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    let valid = (1..=MAX_EXTENSION_BYTES).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    valid.then_some(extension)
}

/// The name without any directory part or control character, at most 255 bytes cut on a character
/// boundary; "file" if nothing is left. Of control characters, too, are those that turn the order in which others are
/// shown: behind one, `gpj.exe` reads as a picture.
pub(crate) fn clean(file_name: &str) -> String {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = base.chars().filter(|character| !is_control(*character)).collect();
    name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
    // What stays of a path is not a name.
    if name.is_empty() || name == "." || name == ".." { NAMELESS.to_owned() } else { name }
}

/// Those of Unicode's general category Cc and of its property Bidi_Control.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Whether a path has the form that [`path`] gives.
pub(crate) fn is_path(text: &str) -> bool {
    let mut parts = text.split('/');
    let (Some(PREFIX), Some(year), Some(month), Some(day), Some(file), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let digits =
        |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let (id, extension_fits) = match file.split_once('.') {
        None => (file, true),
        Some((id, given)) => (id, extension(file).is_some_and(|extension| extension == given)),
    };
    digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && extension_fits
        && id.len() == uuid::fmt::Hyphenated::LENGTH
        && id
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && Uuid::try_parse(id).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_the_day_and_the_extension() {
        let path = path(1_718_623_701_902_531, "pexels-nappy-936119.JPG");
        assert!(path.starts_with("attachments/2024/06/17/"), "{path}");
        assert!(path.ends_with(".jpg"), "{path}");
        assert!(is_path(&path));
    }

    #[test]
    fn an_extension_is_short_and_plain() {
        assert_eq!(extension("a.tar.gz").as_deref(), Some("gz"));
        assert_eq!(extension(".7Z").as_deref(), Some("7z"));
        assert_eq!(extension("a.abcdefghij").as_deref(), Some("abcdefghij"));
        for name in ["a", "a.", "a.abcdefghijk", "a.p-g", "a.jpg ", "a.é"] {
            assert_eq!(extension(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_loses_its_directory_and_control_characters() {
        for (given, kept) in [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\a b.txt", "a b.txt"),
            ("a\r\n\0b", "ab"),
            ("evil\u{202e}gpj.exe", "evilgpj.exe"),
            ("\u{2066}\u{200f}\u{61c}", "file"),
            // Hebrew needs none of them.
            ("תמונה.jpg", "תמונה.jpg"),
            ("dir/", "file"),
            ("..", "file"),
            ("", "file"),
            (" ", " "),
        ] {
            assert_eq!(clean(given), kept, "{given:?}");
        }
    }

    #[test]
    fn only_our_own_paths_are_paths() {
        let good = "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";
        assert!(is_path(good));
        assert!(is_path(good.trim_end_matches(".jpg")));
        for bad in [
            "attachments/2024/06/17/../17/4908f104-b77b-4677-b563-b693a893fef3.jpg",
            "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.JPG",
            "attachments/2024/06/17/4908F104-b77b-4677-b563-b693a893fef3.jpg",
            "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.tar.gz",
            "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.",
            "attachments/24/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg",
            "attachments/2024/06/17/4908f104b77b4677b563b693a893fef3.jpg",
            "attachments/2024/06/17/a/4908f104-b77b-4677-b563-b693a893fef3.jpg",
            "/attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg",
            "",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_makes_a_path_of_ours(name in ".*", now in 0i64..4_000_000_000_000_000) {
            prop_assert!(is_path(&path(now, &name)));
        }

        #[test]
        fn a_clean_name_is_short_and_stays_as_it_is(name in "(?s).{0,400}") {
            let cleaned = clean(&name);
            prop_assert!((1..=MAX_NAME_BYTES).contains(&cleaned.len()));
            prop_assert!(!cleaned.contains(['/', '\\']) && !cleaned.chars().any(is_control));
            prop_assert_eq!(clean(&cleaned), cleaned);
        }
    }
}
