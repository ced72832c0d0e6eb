//! A regular file: opened in place, written inline, rewritten at its head.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use super::queue::write_all;
use crate::flv::writer::Patch;

/// A file that holds whole tags and nothing else.
#[derive(Debug)]
pub(super) struct TagFile {
    file: File,
    length: u64,
}

impl TagFile {
    /// Opens `path` and empties it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Self { file, length: 0 })
    }

    /// Appends `tags`, each a whole one. Where the disk fills up, those that fit stay, and the torn one
    /// is cut off.
    pub(super) fn append(&mut self, tags: &[Vec<u8>]) -> io::Result<()> {
        match write_all(&mut self.file, tags) {
            Ok(()) => {
                self.length += tags.iter().map(|tag| tag.len() as u64).sum::<u64>();
                Ok(())
            }
            Err((written, error)) => {
                self.length += whole_tags(tags, written);
                self.file.set_len(self.length)?;
                self.file.seek(SeekFrom::End(0))?;
                Err(error)
            }
        }
    }

    /// Rewrites parts of the head in place.
    pub(super) fn patch(&mut self, patches: &[Patch]) -> io::Result<()> {
        if patches.is_empty() {
            return Ok(());
        }
        for patch in patches {
            self.file.seek(SeekFrom::Start(patch.offset))?;
            self.file.write_all(&patch.bytes)?;
        }
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

/// The bytes of those tags that are whole within the first `written` bytes.
fn whole_tags(tags: &[Vec<u8>], written: usize) -> u64 {
    let mut whole = 0;
    for tag in tags {
        if whole + tag.len() > written {
            break;
        }
        whole += tag.len();
    }
    whole as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_tag_is_not_counted() {
        let tags = [vec![1; 10], vec![2; 20], vec![3; 5]];
        let whole: Vec<u64> = [0, 9, 10, 29, 30, 34, 35]
            .into_iter()
            .map(|written| whole_tags(&tags, written))
            .collect();
        assert_eq!(whole, [0, 0, 10, 10, 30, 30, 35]);
    }
}
