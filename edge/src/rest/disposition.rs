//! `Content-Disposition`: of the parts of a form (RFC 7578 section 4.2), and of downloads (RFC 6266).

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a part of a form says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FormData {
    pub(super) name: String,
    /// The name of the file as its sender gave it; directory parts are the core's to remove.
    pub(super) file_name: Option<String>,
}

/// Not a `form-data` disposition with a name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed Content-Disposition")]
pub(super) struct Malformed;

impl FormData {
    /// Parses the value of the header. A parameter that occurs twice is malformed.
    pub(super) fn parse(header: &[u8]) -> Result<Self, Malformed> {
        // Browsers send names in raw UTF-8.
        let header = String::from_utf8_lossy(header);
        let (kind, mut rest) = match header.split_once(';') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (&*header, None),
        };
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(Malformed);
        }
        let (mut name, mut file_name, mut extended_file_name) = (None, None, None);
        while let Some(parameters) = rest {
            if parameters.trim().is_empty() {
                break;
            }
            let (key, value) = parameters.split_once('=').ok_or(Malformed)?;
            let (value, next) = take_value(value.trim_start())?;
            rest = next;
            let target = match key.trim().to_ascii_lowercase().as_str() {
                "name" => &mut name,
                "filename" => &mut file_name,
                "filename*" => &mut extended_file_name,
                _ => continue,
            };
            if target.replace(value).is_some() {
                return Err(Malformed);
            }
        }
        // RFC 6266 section 4.3: the extended form is the better one, where it can be read.
        let extended = extended_file_name.as_deref().and_then(decode_extended);
        Ok(Self { name: name.ok_or(Malformed)?, file_name: extended.or(file_name) })
    }
}

/// The value of a parameter, and the parameters after it.
fn take_value(text: &str) -> Result<(String, Option<&str>), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = match text.split_once(';') {
            Some((value, rest)) => (value, Some(rest)),
            None => (text, None),
        };
        let value = value.trim_end();
        let is_token = !value.is_empty() && !value.contains(['"', ' ', '\t']);
        return if is_token { Ok((value.to_owned(), rest)) } else { Err(Malformed) };
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => {
                let rest = quoted[index + 1..].trim_start();
                return match rest.strip_prefix(';') {
                    Some(rest) => Ok((unescape_browser(&value), Some(rest))),
                    None if rest.is_empty() => Ok((unescape_browser(&value), None)),
                    None => Err(Malformed),
                };
            }
            // Any other backslash is one of a path that some browsers send.
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            character => value.push(character),
        }
    }
    Err(Malformed)
}

/// Browsers escape just these three (WHATWG HTML, "multipart form data").
fn unescape_browser(value: &str) -> String {
    value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// `UTF-8''na%C3%AFve.txt` (RFC 8187 section 3.2).
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent_decode_str(encoded).decode_utf8().ok().map(Into::into)
}

/// All but RFC 8187's `attr-char`.
const EXTENDED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header of a download: `kind` is "inline" or "attachment".
pub(super) fn download(kind: &str, file_name: &str) -> HeaderValue {
    let mut header = format!("{kind}; filename=\"");
    for character in file_name.chars() {
        match character {
            '"' | '\\' => header.extend(['\\', character]),
            ' '..='~' => header.push(character),
            _ => header.push('_'),
        }
    }
    header.push('"');
    // Some browsers decode percent signs of the plain form.
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if !file_name.bytes().all(plain) {
        header.push_str("; filename*=UTF-8''");
        header.extend(utf8_percent_encode(file_name, &EXTENDED));
    }
    // ASCII without control characters.
    HeaderValue::try_from(header).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests;
