use super::*;

/// What is written to a fresh connection, and how it is closed for it.
async fn closed_for(bytes: &[u8]) -> CloseCode {
    let world = world(unlimited());
    let stream = world.connect_raw(BOB, PIPE_BYTES).await;
    // A flood may be cut off before all of it is written.
    let (reader, mut writer) = tokio::io::split(stream);
    let bytes = bytes.to_vec();
    let write = async move {
        let _ = writer.write_all(&bytes).await;
        writer
    };
    let read = async move {
        let socket = WebSocketStream::from_raw_socket(
            tokio::io::join(reader, tokio::io::sink()),
            Role::Client,
            None,
        );
        let mut socket = socket.await;
        loop {
            match socket.next().await.expect("a close frame").expect("a frame") {
                Message::Close(frame) => return frame.expect("a code").code,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("neither data nor a close: {other:?}"),
            }
        }
    };
    let (_, code) = tokio::join!(write, read);
    code
}

#[tokio::test(start_paused = true)]
async fn too_large_a_frame_is_closed_with_1009_by_its_header_alone() {
    let length = |bytes: u64| {
        let mut header = vec![0x81, 0x80 | 127];
        header.extend(bytes.to_be_bytes());
        header.extend([0; 4]);
        header
    };
    for bytes in [65_537, 1 << 40, i64::MAX as u64] {
        assert_eq!(closed_for(&length(bytes)).await, CloseCode::Size, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_large_a_message_is_closed_with_1009() {
    let mut fragments = frame(0x01, &[b'x'; 60_000]);
    fragments.extend(frame(0x80, &[b'x'; 6_000]));
    assert_eq!(closed_for(&fragments).await, CloseCode::Size);
}

#[tokio::test(start_paused = true)]
async fn invalid_utf8_is_closed_with_1007() {
    for payload in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"] {
        assert_eq!(closed_for(&frame(0x81, payload)).await, CloseCode::Invalid, "{payload:?}");
    }
    let mut fragments = frame(0x01, b"\xc3");
    fragments.extend(frame(0x80, b"\xc3"));
    assert_eq!(closed_for(&fragments).await, CloseCode::Invalid);
    // The reason of a close is text as well.
    assert_eq!(closed_for(&frame(0x88, b"\x03\xe8\xff")).await, CloseCode::Invalid);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_frame_is_closed_with_1002() {
    for (name, bytes) in [
        ("unmasked", vec![0x81, 0x02, b'{', b'}']),
        ("a reserved bit", frame(0xc1, b"{}")),
        ("a reserved data opcode", frame(0x83, b"{}")),
        ("a reserved control opcode", frame(0x8b, b"")),
        ("a continuation of nothing", frame(0x80, b"{}")),
        ("a fragmented ping", frame(0x09, b"")),
        ("a ping too long", frame(0x89, &[0; 126])),
        ("a close of one byte", frame(0x88, b"\x03")),
        ("a text within a text", [frame(0x01, b"{"), frame(0x81, b"}")].concat()),
        ("a close code that nobody may send", frame(0x88, &1005_u16.to_be_bytes())),
    ] {
        assert_eq!(closed_for(&bytes).await, CloseCode::Protocol, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_without_end_are_closed_with_1008() {
    let mut fragments = frame(0x01, b"{");
    for _ in 0..20_000 {
        fragments.extend(frame(0x00, b""));
    }
    assert_eq!(closed_for(&fragments).await, CloseCode::Policy);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_is_closed_with_1008() {
    for opcode in [0x89, 0x8a] {
        assert_eq!(closed_for(&frame(opcode, b"x").repeat(200)).await, CloseCode::Policy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refused_frames_is_slowed_down_and_closes_nothing() {
    for (limits, text, code) in [
        (unlimited(), "{}".to_owned(), "unknown_action"),
        (
            Limits { send_rate: 1, send_burst: 1, ..Limits::default() },
            json!({"action": "chat_message_file", "chat_id": 1}).to_string(),
            "rate_limited",
        ),
    ] {
        let world = world(limits);
        let bob = Client::new(world.connect_raw(BOB, PIPE_BYTES).await).await;
        let start = Instant::now();
        let (mut writer, mut reader) = bob.socket.split();
        let write = async {
            for _ in 0..1_500 {
                writer.send(Message::Text(text.as_str().into())).await.expect("open");
            }
        };
        let read = async {
            let mut errors = 0;
            while errors < 1_400 {
                let Message::Text(text) = reader.next().await.expect("open").expect("a frame")
                else {
                    continue;
                };
                errors += usize::from(text.contains(code));
            }
        };
        tokio::join!(write, read);
        // 500 at once, and 50 a second.
        assert!(start.elapsed() >= seconds(16), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn many_faulty_frames_are_answered_and_close_nothing() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    for _ in 0..10 {
        for _ in 0..200 {
            bob.send("{}").await;
            assert_eq!(bob.error_code().await, "unknown_action");
        }
        tokio::time::sleep(seconds(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pings_between_the_fragments_of_a_message_are_answered() {
    let world = world(unlimited());
    let mut alice = world.connect_raw(ALICE, PIPE_BYTES).await;
    let text = text_to(user(BOB), "é").to_string();
    let (first, rest) = text.as_bytes().split_at(text.find('é').expect("é") + 1);
    let mut frames = frame(0x01, first);
    frames.extend(frame(0x89, b"ping"));
    frames.extend(frame(0x80, rest));
    alice.write_all(&frames).await.expect("open");
    world.core.wait_for("a message", |state| state.bodies() == ["é"]).await;
    let mut pong = [0; 6];
    alice.read_exact(&mut pong).await.expect("a pong");
    assert_eq!(&pong, b"\x8a\x04ping");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_errors_is_not_read_for_ever() {
    let world = world(unlimited());
    let mut alice = world.connect_raw(ALICE, 256).await;
    let flood = async { while alice.write_all(&frame(0x81, b"{}")).await.is_ok() {} };
    tokio::time::timeout(seconds(15), flood).await.expect("the end of the connection");
}
