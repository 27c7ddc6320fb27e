//! A pooler between a core and PostgreSQL. PgBouncer refuses the settings of our sessions, or drops them where it is told to
//! ignore them; either way they are not there.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use netrox_harness::engine::PostgresServer;

use super::{postgres::start_core_on, setting::assert_names};

/// How PgBouncer takes the settings of a session.
#[derive(Clone, Copy)]
enum Pooler {
    Drops,
    Refuses,
}

impl Pooler {
    /// On an address of its own, until the process ends.
    fn start(self, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                thread::spawn(move || self.pass(client, server));
            }
        });
        address
    }

    fn pass(self, mut client: TcpStream, server: SocketAddr) -> Option<()> {
        let parameters = loop {
            let mut head = [0; 8];
            client.read_exact(&mut head).ok()?;
            let [length, code] = [&head[..4], &head[4..]]
                .map(|part| u32::from_be_bytes(part.try_into().expect("four bytes")));
            let mut rest = vec![0; length as usize - head.len()];
            client.read_exact(&mut rest).ok()?;
            match code {
                PROTOCOL_3 => break rest,
                // TLS or GSSAPI is asked for.
                _ => client.write_all(b"N").ok()?,
            }
        };
        let texts: Vec<_> = parameters.split(|byte| *byte == 0).collect();
        let pairs = || texts.chunks_exact(2).filter(|pair| !pair[0].is_empty());
        if matches!(self, Self::Refuses) {
            let name = pairs().map(|pair| pair[0]).find(|name| !ALLOWED.contains(name));
            if let Some(name) = name {
                let name = String::from_utf8_lossy(name);
                let text = format!("unsupported startup parameter: {name}");
                client.write_all(&refusal(&text)).ok()?;
                return None;
            }
        }
        let mut start = PROTOCOL_3.to_be_bytes().to_vec();
        for pair in pairs().filter(|pair| pair[0] != b"options") {
            start.extend([pair[0], b"\0", pair[1], b"\0"].concat());
        }
        start.push(0);
        let mut server = TcpStream::connect(server).ok()?;
        let length = u32::try_from(start.len() + 4).expect("short");
        server.write_all(&[&length.to_be_bytes()[..], &start].concat()).ok()?;
        let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        std::io::copy(&mut server, &mut client).ok().map(drop)
    }
}

const PROTOCOL_3: u32 = 3 << 16;
/// What PgBouncer takes without being told.
const ALLOWED: [&[u8]; 7] = [
    b"user",
    b"database",
    b"client_encoding",
    b"DateStyle",
    b"TimeZone",
    b"application_name",
    b"standard_conforming_strings",
];

fn refusal(text: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C08P01\0M{text}\0\0");
    let length = u32::try_from(fields.len() + 4).expect("short");
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

#[tokio::test]
async fn sessions_without_their_settings_are_refused_by_name() {
    let postgres = PostgresServer::start().await;
    for (pooler, words) in [
        (Pooler::Drops, "none of the settings that it was opened with"),
        (Pooler::Refuses, "unsupported startup parameter: "),
    ] {
        let address = pooler.start(postgres.address());
        let url = format!("postgres://postgres@{address}/postgres");
        let ended = start_core_on(&url).await;
        for words in ["--database-url", words, "connect to the server itself"] {
            assert_names(&ended, words);
        }
    }
}
