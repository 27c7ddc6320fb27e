//! A list in its envelope, piece by piece, so that it need not be held in memory.

use netrox_proto::v1;

use super::{Participants, Thread};

/// What comes before the first item of a list, and after the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListEnvelope {
    open: &'static str,
    close: &'static str,
}

pub(crate) const MESSAGES: ListEnvelope = ListEnvelope {
    open: r#"{"status":"success","entity":{"messages":["#,
    close: r#"]},"message":"Messages retreived successfully","success":true}"#,
};

pub(crate) const THREADS: ListEnvelope = ListEnvelope {
    open: r#"{"status":"success","entity":["#,
    close: r#"],"message":null,"success":true}"#,
};

/// The list under way: what was written of it since the last piece was taken.
pub(crate) struct List {
    buffer: Vec<u8>,
    separator: &'static [u8],
    close: &'static str,
}

impl List {
    pub(crate) fn open(envelope: ListEnvelope) -> Self {
        let buffer = envelope.open.as_bytes().to_vec();
        Self { buffer, separator: b"", close: envelope.close }
    }

    /// A list without items, as a whole.
    pub(crate) fn empty(envelope: ListEnvelope) -> String {
        [envelope.open, envelope.close].concat()
    }

    pub(crate) fn push_message(
        &mut self,
        participants: &Participants,
        message: &v1::Message,
    ) -> Result<(), serde_json::Error> {
        self.separate();
        participants.write(message, &mut self.buffer)
    }

    pub(crate) fn push_thread(&mut self, thread: &v1::Thread) -> Result<(), serde_json::Error> {
        self.separate();
        serde_json::to_writer(&mut self.buffer, &Thread::from(thread))
    }

    fn separate(&mut self) {
        self.buffer.extend_from_slice(self.separator);
        self.separator = b",";
    }

    /// Nothing comes after it.
    pub(crate) fn close(&mut self) {
        self.buffer.extend_from_slice(self.close.as_bytes());
    }

    /// Makes room for so many more bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// What was written since this was called last.
    pub(crate) fn take_piece(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}
