//! What a file is, by its content alone: its media type, as IANA has registered it where it has.

/// How much of the beginning is looked at.
pub(super) const SNIFF_BYTES: usize = 8 * 1024;
const UNKNOWN: &str = "application/octet-stream";

/// Of MPEG transport streams (ISO/IEC 13818-1): each packet begins with the sync byte, behind a timestamp of four bytes in
/// those of cameras.
const SYNC_BYTE: u8 = 0x47;
const PACKET_LAYOUTS: [(usize, usize); 2] = [(0, 188), (4, 192)];
/// As many packets in a row are no text.
const MIN_PACKETS: usize = 3;

pub(super) fn media_type(head: &[u8]) -> &'static str {
    if is_transport_stream(head) {
        return "video/mp2t";
    }
    if head.starts_with(b"caff\0\x01\0\0") {
        return "audio/x-caf";
    }
    match head.get(4..11) {
        Some(b"ftyp3gp") => return "video/3gpp",
        Some(b"ftyp3g2") => return "video/3gpp2",
        _ => {}
    }
    match infer::get(head).map_or(UNKNOWN, |kind| kind.mime_type()) {
        "audio/opus" => "audio/ogg",
        "audio/m4a" => "audio/mp4",
        "audio/x-flac" => "audio/flac",
        "audio/x-wav" => "audio/wav",
        known => known,
    }
}

fn is_transport_stream(head: &[u8]) -> bool {
    PACKET_LAYOUTS.iter().any(|(first, packet)| {
        let mut starts = head.iter().skip(*first).step_by(*packet);
        starts.len() >= MIN_PACKETS && starts.all(|byte| *byte == SYNC_BYTE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: usize, (first, packet): (usize, usize)) -> Vec<u8> {
        let mut bytes = vec![0x11; count * packet];
        bytes.iter_mut().skip(first).step_by(packet).for_each(|byte| *byte = SYNC_BYTE);
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
        let source = "Get.all = (names: string[]) => names.map(Get.one);\n".repeat(100);
        assert_eq!(media_type(source.as_bytes()), UNKNOWN);
    }
}
