//! Rows that were read of the original, in a file of this machine until they are taken.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, Write as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    original::{OriginalMessage, OriginalThread, OriginalUser},
    store::transfer::PAGE_ROWS,
    transfer::{TransferError, blocking},
};

/// So much is enough for a batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Row {
    User(OriginalUser),
    Thread(OriginalThread),
    Message(OriginalMessage),
}

/// Rows of a kind that follow each other.
#[derive(Debug)]
pub(super) enum Group {
    Users(Vec<OriginalUser>),
    Threads(Vec<OriginalThread>),
    Messages(Vec<OriginalMessage>),
}

/// Being written. The file has no name: it has what people wrote, and ends with this process however that ends.
#[derive(Debug)]
pub(super) struct Rows {
    file: File,
    /// Where it lies.
    path: PathBuf,
}

impl Rows {
    pub(super) async fn new() -> Result<Self, TransferError> {
        let path = std::env::temp_dir();
        let file = blocking(tempfile::tempfile).await;
        Ok(Self { file: file.map_err(TransferError::file(path.clone()))?, path })
    }

    pub(super) async fn write(&mut self, rows: Vec<Row>) -> Result<(), TransferError> {
        let failed = TransferError::file(self.path.clone());
        let written = async {
            let mut file = self.file.try_clone()?;
            blocking(move || {
                let mut bytes = Vec::new();
                for row in rows {
                    serde_json::to_writer(&mut bytes, &row)?;
                    bytes.push(b'\n');
                }
                file.write_all(&bytes)
            })
            .await
        };
        written.await.map_err(failed)
    }

    /// From the beginning.
    pub(super) async fn read(self) -> Result<Reading, TransferError> {
        let Self { mut file, path } = self;
        let failed = TransferError::file(path.clone());
        let rewound = blocking(move || {
            file.rewind()?;
            Ok(BufReader::with_capacity(1 << 20, file))
        });
        let reader = rewound.await.map_err(failed)?;
        Ok(Reading { reader, path })
    }
}

/// Being read.
#[derive(Debug)]
pub(super) struct Reading {
    reader: BufReader<File>,
    path: PathBuf,
}

impl Reading {
    /// Some rows; none are the end.
    pub(super) async fn next(self) -> Result<(Self, Vec<Group>), TransferError> {
        let Self { mut reader, path } = self;
        let failed = TransferError::file(path.clone());
        let read = blocking(move || {
            let groups = read(&mut reader)?;
            Ok((reader, groups))
        });
        let (reader, groups) = read.await.map_err(failed)?;
        Ok((Self { reader, path }, groups))
    }
}

fn read(reader: &mut BufReader<File>) -> io::Result<Vec<Group>> {
    let (mut groups, mut line, mut bytes, mut count) = (Vec::new(), Vec::new(), 0, 0);
    while bytes < BATCH_BYTES && count < PAGE_ROWS {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        bytes += read;
        count += 1;
        macro_rules! add {
            ($row:expr, $group:ident) => {
                match groups.last_mut() {
                    Some(Group::$group(rows)) => rows.push($row),
                    Some(_) | None => groups.push(Group::$group(vec![$row])),
                }
            };
        }
        match serde_json::from_slice(&line)? {
            Row::User(row) => add!(row, Users),
            Row::Thread(row) => add!(row, Threads),
            Row::Message(row) => add!(row, Messages),
        }
    }
    Ok(groups)
}
