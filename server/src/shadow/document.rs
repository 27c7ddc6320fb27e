//! An answer, taken apart as it is read: the elements of its list one by one, and what stands around them. However long the
//! list is, no more than an element is held.

use std::io::{self, BufRead};

/// A message has a text of up to 1 MiB where others allow more than we do, each byte of which may be six of JSON.
const MAX_ELEMENT_BYTES: usize = 16 << 20;
/// What stands around the list has a few words.
const MAX_FRAME_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 128;

/// Why it cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Malformed(&'static str),
}

/// An answer whose list is an array below some keys.
#[derive(Debug)]
pub(super) struct Document<R> {
    text: R,
    scanner: Scanner,
}

#[derive(Debug)]
struct Scanner {
    list: &'static [&'static str],
    place: Place,
    string: Option<InString>,
    /// What is open around the list, or before it.
    open: Vec<Level>,
    /// How many are open in the element.
    depth: usize,
    /// All but the elements.
    frame: Vec<u8>,
    element: Vec<u8>,
    has_elements: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    In,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InString {
    Plain,
    Escaped,
}

#[derive(Debug, Default)]
struct Level {
    is_object: bool,
    is_at_key: bool,
    key: Vec<u8>,
}

impl<R: BufRead> Document<R> {
    pub(super) fn new(text: R, list: &'static [&'static str]) -> Self {
        let scanner = Scanner {
            list,
            place: Place::Before,
            string: None,
            open: Vec::new(),
            depth: 0,
            frame: Vec::new(),
            element: Vec::new(),
            has_elements: false,
        };
        Self { text, scanner }
    }

    /// The next element of the list. Whether it is JSON is not looked at.
    pub(super) fn next(&mut self) -> Result<Option<String>, DocumentError> {
        loop {
            let bytes = self.text.fill_buf()?;
            if bytes.is_empty() {
                return match self.scanner.place {
                    Place::In => Err(DocumentError::Malformed("it ends within the list")),
                    Place::Before | Place::After => Ok(None),
                };
            }
            let (mut used, mut found) = (0, None);
            for byte in bytes {
                used += 1;
                found = self.scanner.take(*byte)?;
                if found.is_some() {
                    break;
                }
            }
            self.text.consume(used);
            if let Some(element) = found {
                let text = String::from_utf8(element);
                let text = text.map_err(|_| DocumentError::Malformed("it is not UTF-8"))?;
                return Ok(Some(text));
            }
        }
    }

    /// Whether it was there, as far as the answer was read.
    pub(super) fn has_list(&self) -> bool {
        self.scanner.place != Place::Before
    }

    /// What stands around the list, which is empty in it. Elements that were not asked for are skipped.
    pub(super) fn frame(mut self) -> Result<String, DocumentError> {
        while self.next()?.is_some() {}
        let text = String::from_utf8(self.scanner.frame);
        text.map_err(|_| DocumentError::Malformed("it is not UTF-8"))
    }
}

impl Scanner {
    /// Gives an element that ends with this byte.
    fn take(&mut self, byte: u8) -> Result<Option<Vec<u8>>, DocumentError> {
        match self.place {
            Place::In => self.take_in_list(byte),
            Place::Before | Place::After => {
                if self.frame.len() >= MAX_FRAME_BYTES {
                    return Err(DocumentError::Malformed(
                        "it is longer than what is around a list",
                    ));
                }
                self.frame.push(byte);
                self.take_around(byte)?;
                Ok(None)
            }
        }
    }

    fn take_in_list(&mut self, byte: u8) -> Result<Option<Vec<u8>>, DocumentError> {
        let is_text = self.string.is_some();
        self.string = after(self.string, byte);
        let ends = !is_text && self.depth == 0 && matches!(byte, b',' | b']');
        if !ends {
            if !is_text {
                match byte {
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth == 0 => {
                        return Err(DocumentError::Malformed("its brackets do not match"));
                    }
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
            }
            if self.element.len() >= MAX_ELEMENT_BYTES {
                return Err(DocumentError::Malformed("an element is longer than 16 MiB"));
            }
            self.element.push(byte);
            return Ok(None);
        }
        let element = std::mem::take(&mut self.element);
        let is_blank = element.iter().all(u8::is_ascii_whitespace);
        if byte == b']' {
            self.place = Place::After;
            self.frame.push(byte);
            if is_blank && !self.has_elements {
                return Ok(None);
            }
        }
        self.has_elements = true;
        Ok(Some(element))
    }

    fn take_around(&mut self, byte: u8) -> Result<(), DocumentError> {
        let was_text = self.string.is_some();
        self.string = after(self.string, byte);
        if was_text || self.string.is_some() {
            if let Some(level) = self.open.last_mut().filter(|level| level.is_at_key) {
                match was_text {
                    // The quotes around it are no part of it.
                    true if self.string.is_some() => level.key.push(byte),
                    true => {}
                    false => level.key.clear(),
                }
            }
            return Ok(());
        }
        match byte {
            b'[' if self.place == Place::Before && self.is_list() => self.place = Place::In,
            b'{' | b'[' => {
                if self.open.len() >= MAX_DEPTH {
                    return Err(DocumentError::Malformed("it is nested too deeply"));
                }
                let is_object = byte == b'{';
                self.open.push(Level { is_object, is_at_key: is_object, key: Vec::new() });
            }
            b'}' | b']' => drop(self.open.pop()),
            b':' | b',' => {
                if let Some(level) = self.open.last_mut().filter(|level| level.is_object) {
                    level.is_at_key = byte == b',';
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether an array that begins here is the list.
    fn is_list(&self) -> bool {
        let is_below = |(level, key): (&Level, &&str)| {
            level.is_object && !level.is_at_key && level.key == key.as_bytes()
        };
        self.open.len() == self.list.len() && self.open.iter().zip(self.list).all(is_below)
    }
}

/// Whether the next byte stands in a string.
fn after(string: Option<InString>, byte: u8) -> Option<InString> {
    match (string, byte) {
        (None, b'"') => Some(InString::Plain),
        (None, _) => None,
        (Some(InString::Plain), b'"') => None,
        (Some(InString::Plain), b'\\') => Some(InString::Escaped),
        (Some(InString::Plain | InString::Escaped), _) => Some(InString::Plain),
    }
}

#[cfg(test)]
mod tests;
