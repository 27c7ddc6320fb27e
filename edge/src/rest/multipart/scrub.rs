//! Control characters in the headers of parts.
//!
//! A browser sends the name of a file as it is, but for quotes and line ends (WHATWG HTML, "multipart form data"), and names
//! on Unix may hold any byte. What reads the headers takes such a name for malformed, so its control characters, which no
//! name keeps, are left out before. Contents pass as they are.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// As `multer` takes it.
const END_OF_HEADERS: &[u8] = b"\r\n\r\n";

/// Follows the parts of a form, chunk by chunk.
#[derive(Debug)]
pub(super) struct Scrubber {
    /// With the line end before it, of which it has the only CR.
    delimiter: Box<[u8]>,
    place: Place,
    form_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// What was read last may be so much of a delimiter.
    Content {
        matched: usize,
    },
    /// Just behind a delimiter.
    Delimiter,
    /// Behind the first dash of those that end the last one.
    Dash,
    /// Behind a delimiter, in its line: headers follow it.
    Padding,
    Return,
    /// What was read last is so much of the empty line that ends them, with the line end before it.
    Headers {
        matched: usize,
    },
    /// Behind the last delimiter.
    End,
}

impl Scrubber {
    pub(super) fn new(boundary: &str) -> Self {
        // The first delimiter has no line end before it.
        let place = Place::Content { matched: 2 };
        Self { delimiter: format!("\r\n--{boundary}").into_bytes().into(), place, form_bytes: 0 }
    }

    /// Of the last chunk, what belongs to the form: all, unless it ended there.
    pub(super) fn form_bytes(&self) -> usize {
        self.form_bytes
    }

    /// The next chunk without what headers may not hold.
    pub(super) fn scrub(&mut self, chunk: Bytes) -> Bytes {
        let mut kept: Option<BytesMut> = None;
        let mut index = 0;
        // What is kept from here on was not copied yet.
        let mut from = 0;
        self.form_bytes = if matches!(self.place, Place::End) { 0 } else { chunk.len() };
        while let Some(&byte) = chunk.get(index) {
            if let Place::Content { matched: 0 } = self.place {
                match memchr(b'\r', &chunk[index..]) {
                    Some(skipped) => index += skipped + 1,
                    None => break,
                }
                self.place = Place::Content { matched: 1 };
                continue;
            }
            if matches!(self.place, Place::End) {
                self.form_bytes = self.form_bytes.min(index);
                break;
            }
            if !self.step(byte) {
                kept.get_or_insert_with(|| BytesMut::with_capacity(chunk.len()))
                    .extend_from_slice(&chunk[from..index]);
                from = index + 1;
            }
            index += 1;
        }
        match kept {
            None => chunk,
            Some(mut kept) => {
                kept.extend_from_slice(&chunk[from..]);
                kept.freeze()
            }
        }
    }

    /// Goes on by a byte; gives whether it stays.
    fn step(&mut self, byte: u8) -> bool {
        self.place = match self.place {
            Place::Content { matched } if self.delimiter[matched] == byte => {
                if matched + 1 == self.delimiter.len() {
                    Place::Delimiter
                } else {
                    Place::Content { matched: matched + 1 }
                }
            }
            Place::Delimiter if byte == b'-' => Place::Dash,
            Place::Dash if byte == b'-' => Place::End,
            Place::Delimiter | Place::Padding if matches!(byte, b' ' | b'\t') => Place::Padding,
            Place::Delimiter | Place::Padding if byte == b'\r' => Place::Return,
            Place::Return if byte == b'\n' => Place::Headers { matched: 0 },
            // It was none.
            Place::Content { .. }
            | Place::Delimiter
            | Place::Dash
            | Place::Padding
            | Place::Return => Place::Content { matched: usize::from(byte == b'\r') },
            Place::End => Place::End,
            Place::Headers { matched } if END_OF_HEADERS[matched] == byte => {
                if matched + 1 == END_OF_HEADERS.len() {
                    Place::Content { matched: 0 }
                } else {
                    Place::Headers { matched: matched + 1 }
                }
            }
            Place::Headers { .. } => match byte {
                b'\r' => Place::Headers { matched: 1 },
                b'\n' | b'\t' => Place::Headers { matched: 0 },
                byte if byte.is_ascii_control() => return false,
                _ => Place::Headers { matched: 0 },
            },
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubbed(form: &[u8], chunk_bytes: usize) -> Vec<u8> {
        let mut scrubber = Scrubber::new("XX");
        let chunks = form.chunks(chunk_bytes);
        chunks.flat_map(|chunk| scrubber.scrub(Bytes::copy_from_slice(chunk)).to_vec()).collect()
    }

    #[test]
    fn headers_lose_their_control_characters_and_contents_keep_theirs() {
        let form = b"--XX\r\nA: \x01b\x1f\x7f\t\0c\r\n\x02D: e\r\n\r\n\x01\0\r\n\r\n--X\x01\r\n--XX\x01 \x02\r\n--XX \r\n\x03F: g\r\n\
            \r\n\x7f\r\n--XX--\r\n\x01";
        let expected = b"--XX\r\nA: b\tc\r\nD: e\r\n\r\n\x01\0\r\n\r\n--X\x01\r\n--XX\x01 \x02\r\n--XX \r\nF: g\r\n\
            \r\n\x7f\r\n--XX--\r\n\x01";
        for chunk_bytes in 1..=form.len() {
            assert_eq!(scrubbed(form, chunk_bytes), expected, "{chunk_bytes}");
        }
    }

    /// What ends them for one reader, and not for the other, would hide what follows from one of them.
    #[test]
    fn headers_end_where_they_end_for_multer() {
        let form = b"--XX\r\nA: b\n\n\r\n--XX--\r\n\r\nmore\r\n--XX--";
        let mut scrubber = Scrubber::new("XX");
        scrubber.scrub(Bytes::from_static(form));
        assert_eq!(scrubber.form_bytes(), form.len());
    }

    #[test]
    fn a_form_ends_with_its_last_delimiter() {
        let form = b"before\r\n--XX\r\nA: b\r\n\r\n\r\n--X\r\n--XX -- --XX--\r\n--XX-\r\n--XX--";
        let epilogue = b"\r\n--XX\r\nC: \x01d\r\n\r\n";
        let whole = [&form[..], epilogue].concat();
        for chunk_bytes in 1..=whole.len() {
            let mut scrubber = Scrubber::new("XX");
            let of_form = whole.chunks(chunk_bytes).map(|chunk| {
                assert_eq!(scrubber.scrub(Bytes::copy_from_slice(chunk)), chunk);
                scrubber.form_bytes()
            });
            assert_eq!(of_form.sum::<usize>(), form.len(), "{chunk_bytes}");
        }
    }

    #[test]
    fn what_has_none_is_not_copied() {
        let form = Bytes::from_static(b"--XX\r\nA: b\r\n\r\ncontent\r\n--XX--\r\n");
        assert_eq!(Scrubber::new("XX").scrub(form.clone()).as_ptr(), form.as_ptr());
    }

    proptest! {
        #[test]
        fn a_content_stays_as_it_is(
            content in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'X'), any::<u8>()], 0..200),
            chunk_bytes in 1_usize..50,
        ) {
            let form = [&b"--XX\r\nA: b\r\n\r\n"[..], &content, b"\r\n--XX--\r\n"].concat();
            // A delimiter in a content begins another part.
            prop_assume!(!content.windows(6).any(|window| window == b"\r\n--XX"));
            prop_assert_eq!(scrubbed(&form, chunk_bytes), form);
        }
    }
}
