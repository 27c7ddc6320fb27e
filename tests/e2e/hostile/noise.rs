//! Generators of what no client should send.

use netrox_harness::{User, multipart::Form, raw::client_frame};
use rand::{Rng, RngExt as _};
use uuid::Uuid;

/// Up to so many bytes of anything.
pub(super) fn bytes(random: &mut impl Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..=most)];
    random.fill_bytes(&mut bytes);
    bytes
}

fn pick<'a, T>(random: &mut impl Rng, from: &'a [T]) -> &'a T {
    &from[random.random_range(0..from.len())]
}

/// Characters that parsers stumble over.
fn text(random: &mut impl Rng, most: usize) -> String {
    const CHARACTERS: [char; 24] = [
        '"',
        '\\',
        '{',
        '}',
        '[',
        ']',
        ':',
        ',',
        '\'',
        '\0',
        '\n',
        '\r',
        '\t',
        ' ',
        'a',
        'e',
        '0',
        '9',
        '-',
        '.',
        '\u{fffd}',
        '\u{202e}',
        '\u{10ffff}',
        '\u{1f600}',
    ];
    (0..random.random_range(0..=most)).map(|_| *pick(random, &CHARACTERS)).collect()
}

/// The content of a text frame.
pub(super) fn text_frame(random: &mut impl Rng, victim: &str) -> String {
    let valid = |random: &mut dyn FnMut() -> u64| match random() % 3 {
        0 => format!(
            r#"{{"action":"chat_message","message_body":"from mallory {}","receiver_id":"{victim}"}}"#,
            random()
        ),
        1 => format!(r#"{{"action":"chat_message_file","chat_id":"{}"}}"#, random()),
        _ => {
            format!(r#"{{"action":"chat_message_file","chat_id":{},"message_body":"x"}}"#, random())
        }
    };
    match random.random_range(0..16) {
        0 => text(random, 200),
        1 => String::from_utf8_lossy(&bytes(random, 200)).into_owned(),
        2..6 => mutated(random, |random| valid(&mut || random.random_range(0..1_000_000))),
        6 => nested(random, "[", "]"),
        7 => nested(random, r#"{"a":"#, "}"),
        8 => {
            // Deep inside a key that nobody reads.
            let deep = nested(random, "[", "]");
            format!(
                r#"{{"action":"chat_message","x":{deep},"message_body":"m","receiver_id":"{victim}"}}"#
            )
        }
        9 => {
            let value = *pick(
                random,
                &[
                    "null",
                    "1",
                    "-1",
                    "1e999",
                    "0.5",
                    "\"\"",
                    "[]",
                    "{}",
                    "true",
                    "\"\\ud800\"",
                    "\"\\u0000\"",
                ],
            );
            let key = *pick(random, &["action", "message_body", "receiver_id", "chat_id"]);
            let action = *pick(random, &["chat_message", "chat_message_file", "re_message", ""]);
            format!(r#"{{"action":"{action}","{key}":{value}}}"#)
        }
        10 => {
            let id = *pick(
                random,
                &[
                    "9223372036854775808",
                    "-9223372036854775809",
                    "1e3",
                    "0x10",
                    "١",
                    " 1",
                    "1 ",
                    "",
                    "+1",
                ],
            );
            format!(r#"{{"action":"chat_message_file","chat_id":"{id}"}}"#)
        }
        11 => {
            let digits = "9".repeat(random.random_range(1..2_000));
            format!(r#"{{"action":"chat_message_file","chat_id":{digits}}}"#)
        }
        12 => {
            let keys: Vec<_> =
                (0..random.random_range(0..500)).map(|n| format!(r#""k{n}":{n}"#)).collect();
            format!("{{{}}}", keys.join(","))
        }
        13 => {
            let body = "x".repeat(random.random_range(16_000..20_000));
            format!(
                r#"{{"action":"chat_message","message_body":"{body}","receiver_id":"{victim}"}}"#
            )
        }
        14 => {
            let receiver = Uuid::from_u128(random.random());
            format!(r#"{{"action":"chat_message","message_body":"m","receiver_id":"{receiver}"}}"#)
        }
        _ => format!(r#"["chat_message","from mallory","{victim}"]"#),
    }
}

/// A few of its bytes changed, removed, doubled or cut off.
fn mutated<R: Rng>(random: &mut R, valid: impl Fn(&mut R) -> String) -> String {
    let mut bytes = valid(random).into_bytes();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..5) {
            0 => bytes[at] = random.random(),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *pick(random, b"\"\\{}[]:,0")),
            3 => bytes.truncate(at + 1),
            _ => bytes.extend_from_within(at..),
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Around the limit mostly, and sometimes as deep as a frame can be.
fn nested(random: &mut impl Rng, open: &str, close: &str) -> String {
    let depth = if random.random_ratio(1, 50) { 9_000 } else { random.random_range(28..40) };
    let close_too = if random.random_ratio(3, 4) { close } else { "" };
    format!("{}1{}", open.repeat(depth), close_too.repeat(depth))
}

/// A message in pieces, with pings between them.
pub(super) fn fragments(random: &mut impl Rng) -> Vec<u8> {
    let mut all = client_frame(0x01, br#"{"action""#);
    for _ in 0..random.random_range(0..8) {
        let piece: &[u8] = if random.random() { b"" } else { b" " };
        all.extend(client_frame(0x00, piece));
        if random.random_ratio(1, 4) {
            all.extend(client_frame(0x89, b"between"));
        }
    }
    all.extend(client_frame(0x80, br#":"nonsense"}"#));
    all
}

/// Frames that break RFC 6455, or a limit.
pub(super) fn broken_frame(random: &mut impl Rng) -> Vec<u8> {
    match random.random_range(0..14) {
        0 => bytes(random, 300),
        // Lengths that lie: 2^63 - 1, 2^63, all ones, 16 MiB.
        1 => [&[0x81, 0xff, 0x7f][..], &[0xff; 7], &[0; 4], b"{}"].concat(),
        2 => [&[0x81, 0xff, 0x80][..], &[0; 7], &[0; 4], b"{}"].concat(),
        3 => [&[0x82, 0xff][..], &[0xff; 8], &[0; 4], b"{}"].concat(),
        4 => [&[0x81, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], b"{}"].concat(),
        // Without a mask.
        5 => [&[0x81, 0x02][..], b"{}"].concat(),
        // Reserved bits and opcodes.
        6 => client_frame(0x81 | (random.random_range(1..8) << 4), b"{}"),
        7 => client_frame(0x80 | *pick(random, &[3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), b"{}"),
        // Text that is not UTF-8.
        8 => client_frame(0x81, &[b'"', 0xff, 0xfe, 0xc0, 0x80, b'"']),
        // A continuation of nothing, a message inside another, a control frame that is long or cut.
        9 => client_frame(0x80, b"{}"),
        10 => [client_frame(0x01, b"{"), client_frame(0x01, b"}")].concat(),
        11 => client_frame(0x89, &[b'x'; 126]),
        12 => client_frame(0x09, b"x"),
        // More than a message may hold, in one piece or in many.
        _ => {
            if random.random() {
                client_frame(0x81, &[b' '; 70_000])
            } else {
                let mut all = client_frame(0x01, b"{");
                for _ in 0..80 {
                    all.extend(client_frame(0x00, &[b' '; 1_000]));
                }
                all
            }
        }
    }
}

const PATHS: [&str; 22] = [
    "/",
    "//",
    "/chat/messages/",
    "/chat/messages/../../healthz",
    "/chat/messages/%00/",
    "/chat/messages/%ff%fe/",
    "/chat/messages/{00000000-0000-0000-0000-000000000000}/",
    "/chat/get-user-threads/?x=%",
    "/chat/get-user-threads//",
    "/mediafiles/",
    "/mediafiles/attachments/",
    "/mediafiles/attachments/../../chat.db",
    "/mediafiles/attachments/%2e%2e/%2e%2e/chat.db",
    "/mediafiles/attachments/..%2f..%2fchat.db",
    "/mediafiles/attachments/2024/06/17/../../../../../service-token",
    "/mediafiles//etc/passwd",
    "/mediafiles/%2fetc%2fpasswd",
    "/mediafiles/attachments/2024/06/17/00000000-0000-4000-8000-000000000000.jpg%00.png",
    "/ws/chat/room/",
    "/ws/chat/room/?token=",
    "/ws/chat/room/?token=eyJhbGciOiJub25lIn0.e30.",
    "/%",
];

/// A request that is HTTP, and no more than that.
pub(super) fn request(random: &mut impl Rng, mallory: &User, victim: &User) -> Vec<u8> {
    let method = *pick(random, &["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "X"]);
    // Nothing comes after the head of an answer to HEAD, whatever it says.
    let method = if method == "HEAD" { "GET" } else { method };
    let authorization = match random.random_range(0..4) {
        0 => String::new(),
        1 => format!("Authorization: Bearer {}\r\n", "x".repeat(random.random_range(0..9_000))),
        2 => format!("Authorization: Basic {}\r\n", mallory.token),
        _ => format!("Authorization: Bearer {}\r\n", mallory.token),
    };
    match random.random_range(0..6) {
        0 => {
            let range = *pick(
                random,
                &[
                    "bytes=0-",
                    "bytes=-1",
                    "bytes=99999999999999999999-",
                    "bytes=1-0",
                    "bytes=0-0,2-2",
                    "x",
                ],
            );
            format!(
                "GET {} HTTP/1.1\r\nHost: x\r\nRange: {range}\r\nIf-None-Match: \"\r\n{authorization}\r\n",
                pick(random, &PATHS)
            )
            .into_bytes()
        }
        1 => multipart(random, mallory, victim),
        2 => {
            let body = bytes(random, 1_000);
            let mut request = format!(
                "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n{authorization}\
                 Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
                pick(
                    random,
                    &[
                        Form::CONTENT_TYPE,
                        "multipart/form-data",
                        "text/plain",
                        "multipart/form-data; boundary="
                    ]
                ),
                body.len()
            )
            .into_bytes();
            request.extend(body);
            request
        }
        _ => format!(
            "{method} {} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 0\r\n\r\n",
            pick(random, &PATHS)
        )
        .into_bytes(),
    }
}

/// A form with too much, too little, or something strange of everything.
fn multipart(random: &mut impl Rng, mallory: &User, victim: &User) -> Vec<u8> {
    let mut form = Form::new();
    for _ in 0..random.random_range(0..6) {
        form = match random.random_range(0..7) {
            0 => form.text("receiver", &victim.id),
            1 => form.text("receiver", &text(random, 50)),
            2 => form.text("message", &text(random, 100)),
            3 => form.file(&text(random, 40).replace(['\r', '\n'], ""), bytes(random, 500)),
            4 => form.file("../../../../etc/cron.d/x", b"x"),
            5 => {
                form.part(&format!("X-Long: {}", "y".repeat(random.random_range(0..20_000))), b"z")
            }
            _ => form.part("Content-Disposition: form-data; name=\"a\"; filename*=x'y'%ff", b"z"),
        };
    }
    if random.random_ratio(1, 20) {
        for number in 0..2_000 {
            form = form.text(&format!("n{number}"), "");
        }
    }
    let mut body = form.finish().to_vec();
    if random.random_ratio(1, 3) {
        let at = random.random_range(0..body.len());
        body[at] = random.random();
    }
    let mut request = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        mallory.token,
        Form::CONTENT_TYPE,
        body.len()
    )
    .into_bytes();
    request.extend(body);
    request
}

/// What no HTTP parser should take.
pub(super) fn broken_request(random: &mut impl Rng, mallory: &User) -> Vec<u8> {
    let bearer = format!("Authorization: Bearer {}\r\n", mallory.token);
    match random.random_range(0..14) {
        0 => bytes(random, 2_000),
        1 => b"GET /healthz\r\n\r\n".to_vec(),
        2 => b"GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_vec(),
        3 => format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000)).into_bytes(),
        4 => format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(100_000)).into_bytes(),
        5 => {
            let headers: String = (0..5_000).map(|number| format!("X-{number}: y\r\n")).collect();
            format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes()
        }
        6 => b"GET / HTTP/1.1\r\nHost: x\r\nX\0Y: z\r\n\r\n".to_vec(),
        // Two bodies in one: which one counts is what smugglers ask.
        7 => format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: 5\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        .into_bytes(),
        8 => format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n{bearer}Content-Length: 5\r\n\
             Content-Length: 6\r\n\r\n123456"
        )
        .into_bytes(),
        9 => format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n{bearer}Content-Type: {}\r\n\
             Content-Length: 99999999999999999999\r\n\r\n",
            Form::CONTENT_TYPE
        )
        .into_bytes(),
        10 => format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n{bearer}Content-Type: {}\r\n\
             Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
            Form::CONTENT_TYPE
        )
        .into_bytes(),
        11 => format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\n{bearer}Content-Type: {}\r\n\
             Content-Length: 26214400\r\n\r\n--{}\r\nContent-Disposition: form-data; name=\"attached_file\"; \
             filename=\"x\"\r\n\r\nonly the beginning",
            Form::CONTENT_TYPE,
            Form::BOUNDARY
        )
        .into_bytes(),
        12 => format!(
            "GET /ws/chat/room/ HTTP/1.1\r\nHost: x\r\n{bearer}Connection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: {}\r\nSec-WebSocket-Key: {}\r\n\r\n",
            pick(random, &["13", "8", "", "99999999999"]),
            text(random, 40).replace(['\r', '\n', '\0'], "")
        )
        .into_bytes(),
        _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
    }
}
