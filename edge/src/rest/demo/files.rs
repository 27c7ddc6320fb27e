//! The files of the web client and of the client that it is made of, as they are in `clients/`: nothing builds them.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

pub(super) struct File {
    /// Below `clients/`, and below `/demo/`.
    pub(super) path: &'static str,
    pub(super) content: &'static [u8],
    pub(super) content_type: &'static str,
}

macro_rules! files {
    ($($path:literal)*) => {
        &[$(File {
            path: $path,
            content: include_bytes!(concat!("../../../../clients/", $path)),
            content_type: content_type($path),
        }),*]
    };
}

pub(super) const FILES: &[File] = files![
    "typescript/src/backoff.js"
    "typescript/src/calls.js"
    "typescript/src/client.js"
    "typescript/src/closes.js"
    "typescript/src/connection.js"
    "typescript/src/emitter.js"
    "typescript/src/engine.js"
    "typescript/src/errors.js"
    "typescript/src/handshake.js"
    "typescript/src/held.js"
    "typescript/src/index.js"
    "typescript/src/keeper.js"
    "typescript/src/message.js"
    "typescript/src/outbox.js"
    "typescript/src/platform.js"
    "typescript/src/receipts.js"
    "typescript/src/rest.js"
    "typescript/src/socket.js"
    "typescript/src/state.js"
    "typescript/src/store/indexeddb.js"
    "typescript/src/store/memory.js"
    "typescript/src/store/tables.js"
    "typescript/src/sync.js"
    "typescript/src/timing.js"
    "typescript/src/token.js"
    "typescript/src/typing.js"
    "typescript/src/uploads.js"
    "web/icon.svg"
    "web/index.html"
    "web/src/access.js"
    "web/src/app.js"
    "web/src/attachment.js"
    "web/src/composer.js"
    "web/src/conversation.js"
    "web/src/element.js"
    "web/src/language.js"
    "web/src/list.js"
    "web/src/main.js"
    "web/src/menu.js"
    "web/src/message.js"
    "web/src/people.js"
    "web/src/search.js"
    "web/src/status.js"
    "web/src/strings.js"
    "web/src/timeline.js"
    "web/src/virtual.js"
    "web/style/base.css"
    "web/style/layout.css"
    "web/style/message.css"
];

/// Of all of them: they are served by one version of the server.
pub(super) static TAG: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for file in FILES {
        digest.update(file.path);
        digest.update(file.content.len().to_be_bytes());
        digest.update(file.content);
    }
    // Weak: compressed they are other bytes.
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest.finalize()[..12]))
});

pub(super) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// By its ending, which is one of four.
const fn content_type(path: &str) -> &'static str {
    match path.as_bytes() {
        [.., b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b's', b'v', b'g'] => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}
