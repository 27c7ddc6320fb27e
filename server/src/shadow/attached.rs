//! Files of a conversation that are to be compared. A conversation may have a great many: they wait in a file that has no name.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _},
};

use serde::{Deserialize, Serialize};

/// The file of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attached {
    /// Its id, if it has one.
    pub(super) message: Option<String>,
    /// Where each side says that it is.
    pub(super) original: String,
    pub(super) candidate: String,
}

/// It grows. Most conversations have no file.
#[derive(Debug, Default)]
pub(super) struct AttachedList(Option<BufWriter<File>>);

impl AttachedList {
    pub(super) fn push(&mut self, attached: &Attached) -> io::Result<()> {
        let lines = match &mut self.0 {
            Some(lines) => lines,
            None => self.0.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        serde_json::to_writer(&mut *lines, attached)?;
        lines.write_all(b"\n")
    }

    pub(super) fn finish(self) -> io::Result<AttachedLines> {
        let Some(lines) = self.0 else { return Ok(AttachedLines(None)) };
        let mut file = lines.into_inner()?;
        file.rewind()?;
        Ok(AttachedLines(Some(BufReader::new(file))))
    }
}

/// The same, as it was written.
#[derive(Debug)]
pub(super) struct AttachedLines(Option<BufReader<File>>);

impl AttachedLines {
    /// At most so many. None are there if no more come.
    pub(super) fn take(&mut self, most: usize) -> io::Result<Vec<Attached>> {
        let mut taken = Vec::new();
        let Some(lines) = &mut self.0 else { return Ok(taken) };
        let mut line = String::new();
        while taken.len() < most && lines.read_line(&mut line)? > 0 {
            taken.push(serde_json::from_str(&line)?);
            line.clear();
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_in_order() {
        let mut list = AttachedList::default();
        let attached = |number: usize| Attached {
            message: Some(number.to_string()),
            original: format!("/mediafiles/\n{number}"),
            candidate: "é".to_owned(),
        };
        for number in 0..700 {
            list.push(&attached(number)).unwrap();
        }
        let mut lines = list.finish().unwrap();
        let mut taken = Vec::new();
        loop {
            let batch = lines.take(256).unwrap();
            if batch.is_empty() {
                break;
            }
            taken.extend(batch);
        }
        assert_eq!(taken, (0..700).map(attached).collect::<Vec<_>>());
        assert!(AttachedList::default().finish().unwrap().take(1).unwrap().is_empty());
    }
}
