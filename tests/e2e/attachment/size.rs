//! `attached_file_size`.

use netrox_harness::{Arrangement, TestChat, each};

each![sizes_are_in_kb_up_to_one_mb, a_file_comes_back_byte_for_byte];

async fn sizes_are_in_kb_up_to_one_mb(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for (bytes, size) in [
        (0, "0.00KB"),
        (1, "0.00KB"),
        (6, "0.01KB"),
        (1_024, "1.00KB"),
        (1_536, "1.50KB"),
        (88_812, "86.73KB"),
        (1_048_576, "1024.00KB"),
        (1_048_577, "1.00MB"),
        (1_572_864, "1.50MB"),
        (5_400_000, "5.15MB"),
    ] {
        let message = chat.upload_file(&ada, &bob, "a.bin", vec![b'a'; bytes]).await;
        assert_eq!(message["attached_file_size"], size, "{bytes}");
    }
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history[9]["attached_file_size"], "5.15MB");
}

async fn a_file_comes_back_byte_for_byte(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    // What looks like the end of a part, all bytes, and the sizes around those of buffers.
    let boundary = netrox_harness::multipart::Form::BOUNDARY;
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut contents = vec![
        Vec::new(),
        b"\r\n".to_vec(),
        b"\r\n--".to_vec(),
        format!("\r\n--{}", &boundary[..boundary.len() - 1]).into_bytes(),
        format!("--{boundary}--").into_bytes(),
        every_byte.repeat(10_000),
    ];
    for size in [65_535, 65_536, 65_537, 262_144, 262_145] {
        contents.push((0..size).map(|at: u32| (at % 251) as u8).collect());
    }
    for content in contents {
        let message = chat.upload_file(&ada, &bob, "a.bin", &content).await;
        let path = message["attached_file"].as_str().expect("a path").to_owned();
        let answer = chat.get(&path).send().await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == content, "{} bytes differ", content.len());
    }
}
