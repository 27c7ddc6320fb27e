//! How attachments are named: the path we keep them under, and the name the sender gave.

use jiff::{Timestamp, tz::TimeZone};
use netrox_proto::attachment_path;
use uuid::Uuid;

const MAX_NAME_BYTES: usize = 255;
const NAMELESS: &str = "file";

/// The path of a file that is stored now.
pub(crate) fn path(now_micros: i64, file_name: &str) -> String {
    let date = Timestamp::from_microsecond(now_micros)
        .unwrap_or(Timestamp::MAX)
        .to_zoned(TimeZone::UTC)
        .date();
    let extension = attachment_path::extension(file_name);
    let (year, month, day) = (date.year(), date.month(), date.day());
    attachment_path::new(year, month, day, Uuid::new_v4(), extension.as_deref())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_the_day_and_the_extension() {
        let path = path(1_718_623_701_902_531, "pexels-nappy-936119.JPG");
        assert!(path.starts_with("attachments/2024/06/17/"), "{path}");
        assert!(path.ends_with(".jpg"), "{path}");
        assert!(attachment_path::is_valid(&path));
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

    proptest! {
        #[test]
        fn every_name_makes_a_path_of_ours(name in ".*", now in 0i64..4_000_000_000_000_000) {
            prop_assert!(attachment_path::is_valid(&path(now, &name)));
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
