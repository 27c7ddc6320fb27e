//! WebSocket frames as they travel, without a library between: the load generator shares the
//! machine with what it measures.

use std::ops::Range;

use crate::Result;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Masking with zeros leaves the payload as it is, and costs the server the same.
const MASK: [u8; 4] = [0; 4];

/// What a server's frame is to the load generator; ranges are those of its payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(Range<usize>),
    Ping(Range<usize>),
    Pong,
    Close(Option<u16>),
}

/// The frame at the start of `bytes` and its length, once it is there as a whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Frame, usize)>> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & FIN == 0 || second & MASKED != 0 {
        return Err("the server fragments or masks its frames".into());
    }
    let (head, length) = match (second, bytes) {
        (126, [_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [_, _, 0, 0, 0, 0, a, b, c, d, ..]) => {
            (10, u32::from_be_bytes([*a, *b, *c, *d]) as usize)
        }
        (126 | 127, _) if bytes.len() < 10 => return Ok(None),
        (126 | 127, _) => return Err("a frame too large to be true".into()),
        (length, _) => (2, usize::from(length)),
    };
    let payload = head..head + length;
    let Some(content) = bytes.get(payload.clone()) else { return Ok(None) };
    let frame = match first & 0x0f {
        TEXT => Frame::Text(payload.clone()),
        PING => Frame::Ping(payload.clone()),
        PONG => Frame::Pong,
        CLOSE => Frame::Close(content.first_chunk().copied().map(u16::from_be_bytes)),
        other => return Err(format!("a frame of kind {other}").into()),
    };
    Ok(Some((frame, payload.end)))
}

pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    masked(TEXT, payload)
}

pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(PONG, payload)
}

fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN | kind];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..126), _) => frame.push(MASKED | length),
        (_, Ok(length)) => {
            frame.push(MASKED | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(MASKED | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server would send: the same without a mask.
    fn unmasked(payload: &[u8]) -> Vec<u8> {
        let mut frame = text(payload);
        frame[1] &= !MASKED;
        let mask = frame.len() - payload.len() - MASK.len();
        frame.drain(mask..mask + MASK.len());
        frame
    }

    #[test]
    fn frames_of_every_length_are_read_once_they_are_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = unmasked(&payload);
            let whole = bytes.len();
            for part in [0, 1, 2, whole - 1] {
                assert_eq!(parse(&bytes[..part.min(whole - 1)]).unwrap(), None, "{length}");
            }
            bytes.push(7);
            let (frame, end) = parse(&bytes).unwrap().unwrap();
            assert_eq!((frame, end), (Frame::Text(whole - length..whole), whole));
        }
    }

    #[test]
    fn control_frames_are_told_apart() {
        assert_eq!(parse(&[0x89, 1, 5]).unwrap(), Some((Frame::Ping(2..3), 3)));
        assert_eq!(parse(&[0x8a, 0]).unwrap(), Some((Frame::Pong, 2)));
        assert_eq!(parse(&[0x88, 2, 3, 0xf5]).unwrap(), Some((Frame::Close(Some(1013)), 4)));
        assert!(parse(&[0x01, 0]).is_err());
        assert!(parse(&[0x81, 0x80, 0, 0, 0, 0]).is_err());
    }
}
