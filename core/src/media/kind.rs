//! What a file is, by its content alone: its media type, as IANA has registered it where it has.

/// How much of the beginning is looked at.
pub(crate) const SNIFF_BYTES: usize = 8 * 1024;
const UNKNOWN: &str = "application/octet-stream";

/// Of MPEG transport streams (ISO/IEC 13818-1): each packet begins with the sync byte, behind a timestamp of four bytes in
/// those of cameras.
const SYNC_BYTE: u8 = 0x47;
const PACKET_LAYOUTS: [(usize, usize); 2] = [(0, 188), (4, 192)];
const MIN_PACKETS: usize = 5;

pub(crate) fn media_type(head: &[u8]) -> &'static str {
    match infer::get(head).map(|kind| kind.mime_type()) {
        Some("audio/opus") => "audio/ogg",
        Some("audio/m4a") => "audio/mp4",
        Some("audio/x-flac") => "audio/flac",
        Some("audio/x-wav") => "audio/wav",
        Some(known) => known,
        None if head.get(4..11) == Some(b"ftyp3gp") => "video/3gpp",
        None if head.get(4..11) == Some(b"ftyp3g2") => "video/3gpp2",
        None if head.starts_with(b"caff\0\x01\0\0") => "audio/x-caf",
        None if is_transport_stream(head) => "video/mp2t",
        None => UNKNOWN,
    }
}

fn is_transport_stream(head: &[u8]) -> bool {
    PACKET_LAYOUTS.iter().any(|(first, bytes)| {
        let mut packets = head.get(*first..).unwrap_or_default().chunks(*bytes);
        packets.len() >= MIN_PACKETS && packets.all(begins_packet)
    })
}

/// No error was seen by who received it, it is not scrambled, and it holds something: letters are taken for none.
fn begins_packet(packet: &[u8]) -> bool {
    match packet {
        [SYNC_BYTE, flags, _, control, ..] => {
            flags & 0x80 == 0 && control & 0xc0 == 0 && control & 0x30 != 0
        }
        // Cut off by the end of what is looked at.
        [SYNC_BYTE, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: usize, (first, packet): (usize, usize)) -> Vec<u8> {
        let mut bytes = vec![0x11; count * packet];
        bytes.iter_mut().skip(first).step_by(packet).for_each(|byte| *byte = SYNC_BYTE);
        bytes.iter_mut().skip(first + 1).step_by(packet).for_each(|byte| *byte = 0x40);
        bytes
    }

    #[test]
    fn files_of_phones_and_cameras_are_known() {
        let opus = [b"OggS\0\x02".as_slice(), &[0; 20], b"\x01\x13OpusHead"].concat();
        for (head, expected) in [
            (&b"\0\0\0\x18ftyp3gp5\0\0\0\0"[..], "video/3gpp"),
            (b"\0\0\0\x18ftyp3g2a\0\0\0\0", "video/3gpp2"),
            (b"caff\0\x01\0\0desc\0\0\0\0", "audio/x-caf"),
            (&opus, "audio/ogg"),
            (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", "audio/mp4"),
            (b"fLaC\0\0\0\x22\x10\0\x10\0", "audio/flac"),
            (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "audio/wav"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"", UNKNOWN),
        ] {
            assert_eq!(media_type(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_transport_stream_is_told_by_its_packets() {
        for layout in PACKET_LAYOUTS {
            assert_eq!(media_type(&packets(44, layout)[..SNIFF_BYTES]), "video/mp2t");
            assert_eq!(media_type(&packets(MIN_PACKETS, layout)), "video/mp2t");
            assert_eq!(media_type(&packets(MIN_PACKETS - 1, layout)), UNKNOWN);
            let mut broken = packets(10, layout);
            broken[layout.0 + 5 * layout.1] = b'F';
            assert_eq!(media_type(&broken), UNKNOWN);
        }
        // TypeScript has the same extension, and may begin with the same letter.
        for source in ["Get.all = (names: string[]) => names.map(Get.one);\n", "G", "GATTACA"] {
            assert_eq!(media_type(source.repeat(1_000).as_bytes()), UNKNOWN);
        }
    }
}
