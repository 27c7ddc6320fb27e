//! A look at DER before a library reads it, which goes as deep as the text says, and takes long for long identifiers.

/// A certificate has less than ten.
const MAX_DEPTH: usize = 16;
const MAX_IDENTIFIER_BYTES: usize = 64;
/// More bytes than any length has here.
const MAX_LENGTH_BYTES: usize = 4;

const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x10;
const SET: u8 = 0x11;
const NUMBER: u8 = 0b0001_1111;
const CONSTRUCTED: u8 = 0b0010_0000;
const CLASS: u8 = 0b1100_0000;

/// Whether it may be handed to a library. Does not call itself, however deep it is.
pub(super) fn check(der: &[u8]) -> Result<(), &'static str> {
    let damaged = "it is no DER";
    // Where each value ends that is entered.
    let mut ends = vec![der.len()];
    let mut at = 0;
    while let Some(&end) = ends.last() {
        if at == end {
            ends.pop();
            continue;
        }
        let header = der.get(at..end).ok_or(damaged)?;
        let &[tag, first, ref more @ ..] = header else { return Err(damaged) };
        if tag & NUMBER == NUMBER {
            return Err("its DER has a tag of several bytes");
        }
        let (length, length_bytes) = match first {
            0..0x80 => (usize::from(first), 0),
            0x80.. => {
                let bytes = usize::from(first & 0x7f);
                if !(1..=MAX_LENGTH_BYTES).contains(&bytes) {
                    return Err(damaged);
                }
                let bytes = more.get(..bytes).ok_or(damaged)?;
                let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, bytes.len())
            }
        };
        let start = at + 2 + length_bytes;
        let value_end = start.checked_add(length).filter(|value_end| *value_end <= end);
        let value_end = value_end.ok_or(damaged)?;
        let is_universal = tag & CLASS == 0;
        let is_entered = match tag & NUMBER {
            // However they are marked.
            SEQUENCE | SET if is_universal => true,
            OBJECT_IDENTIFIER if is_universal && length > MAX_IDENTIFIER_BYTES => {
                return Err("its DER has an identifier of more than 64 bytes");
            }
            _ => tag & CONSTRUCTED != 0,
        };
        if is_entered {
            if ends.len() > MAX_DEPTH {
                return Err("its DER is nested more than 16 deep");
            }
            ends.push(value_end);
            at = start;
        } else {
            at = value_end;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize, tag: u8) -> Vec<u8> {
        let within = |inner: Vec<u8>, _| [&[tag, inner.len() as u8], &inner[..]].concat();
        (0..depth).fold(Vec::new(), within)
    }

    fn identifier(bytes: u8) -> Vec<u8> {
        [&[OBJECT_IDENTIFIER, bytes][..], &vec![1; bytes.into()]].concat()
    }

    #[test]
    fn what_is_deep_or_long_is_refused_before_it_is_read() {
        for tag in [0x30, 0x31, SEQUENCE, SET, 0xa0, 0x60, 0xe3] {
            assert_eq!(check(&nested(16, tag)), Ok(()), "{tag:#x}");
            assert!(check(&nested(17, tag)).expect_err("too deep").contains("16 deep"), "{tag:#x}");
        }
        assert_eq!(check(&identifier(64)), Ok(()));
        assert!(check(&identifier(65)).expect_err("too long").contains("64 bytes"));
    }

    #[test]
    fn what_is_no_der_is_refused() {
        for der in [
            &[0x30][..],
            &[0x30, 1],
            &[0x30, 2, 5],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x82, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 5],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            // A value that is longer than what it is in.
            &[0x30, 2, 0x04, 3, 1, 2, 3],
            &[0x1f, 0x81, 1, 0],
        ] {
            assert!(check(der).is_err(), "{der:?}");
        }
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[0x30, 0x81, 4, 0x30, 0, 5, 0]), Ok(()));
    }
}
