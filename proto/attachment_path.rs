//! The paths of attachments, `attachments/YYYY/MM/DD/<uuid>[.<extension>]`, as the core spells them (chat.proto,
//! `Attachment.path`).

use uuid::Uuid;

use crate::ids::UserId;

/// All of them are below it.
pub const PREFIX: &str = "attachments";
const MAX_EXTENSION_BYTES: usize = 10;

/// The path of a file that was stored on a day, with an extension that [`extension`] gave.
pub fn new(year: i16, month: i8, day: i8, id: Uuid, extension: Option<&str>) -> String {
    let dot = if extension.is_some() { "." } else { "" };
    let extension = extension.unwrap_or_default();
    format!("{PREFIX}/{year:04}/{month:02}/{day:02}/{id}{dot}{extension}")
}

/// The last extension of a file's name in lower case, where it is one to ten ASCII letters and digits.
pub fn extension(file_name: &str) -> Option<String> {
    let (_, extension) = file_name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    is_extension(&extension).then_some(extension)
}

fn is_extension(text: &str) -> bool {
    (1..=MAX_EXTENSION_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether a text is a path as [`new`] gives it, and so the only spelling of it; or one as another server gave it, of which an
/// import keeps the second part, whatever it counts, and the case of the extension.
pub fn is_valid(text: &str) -> bool {
    let mut parts = text.split('/');
    let (Some(PREFIX), Some(year), Some(month), Some(day), Some(file), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let digits =
        |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    let (id, extension) = match file.split_once('.') {
        Some((id, extension)) => (id, Some(extension)),
        None => (file, None),
    };
    // Of the same form as a user's id, and in lower case.
    let is_uuid = id.parse::<UserId>().is_ok_and(|parsed| parsed.to_string() == id);
    digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && is_uuid
        && extension.is_none_or(|extension| is_extension(&extension.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "4908f104-b77b-4677-b563-b693a893fef3";

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
    fn a_path_has_one_spelling() {
        let id = Uuid::try_parse(UUID).expect("a UUID");
        let path = |extension| new(2024, 6, 17, id, extension);
        assert_eq!(path(None), format!("attachments/2024/06/17/{UUID}"));
        for good in [path(None), path(Some("jpg")), path(Some("7z"))] {
            assert!(is_valid(&good), "{good}");
        }
        let of = |file: &str| format!("attachments/2024/06/17/{file}");
        // The original wrote minutes in the place of the month, and extensions as they came.
        for minute in ["00", "14", "59"] {
            assert!(is_valid(&format!("attachments/2024/{minute}/17/{UUID}.JPG")), "{minute}");
        }
        for bad in [
            of(""),
            of("x.jpg"),
            of(&UUID.to_uppercase()),
            of(&UUID.replace('-', "")),
            of(&format!("{UUID}.")),
            of(&format!("{UUID}.tar.gz")),
            of(&format!("{UUID}.elevenchars")),
            of(&format!("{UUID}.jpg/")),
            of(&format!("{UUID}%2ejpg")),
            of(&format!("../17/{UUID}.jpg")),
            of(&format!("/{UUID}")),
            of(&format!("a/{UUID}.jpg")),
            format!("attachments/24/06/17/{UUID}"),
            format!("attachments/2024/1/17/{UUID}"),
            format!("attachments/2024/14/1x/{UUID}"),
            format!("2024/14/17/{UUID}"),
            format!("/attachments/2024/06/17/{UUID}.jpg"),
            String::new(),
        ] {
            assert!(!is_valid(&bad), "{bad}");
        }
    }
}
