//! A file that an earlier recording wrote.

use std::fs::File;

use super::totals::Totals;
use crate::core::flv::HeadWriter;

/// A file that an earlier recording is in.
#[derive(Debug)]
pub(crate) struct ExistingFile {
    /// Open for reading and writing.
    pub(crate) file: File,
    /// Knows of all its intact tags, and where the last one ends.
    pub(crate) writer: HeadWriter,
    /// How many those are, a head of ours left out.
    pub(crate) tags: u64,
    pub(crate) has_video: bool,
}

impl ExistingFile {
    pub(super) fn written(&self) -> Totals {
        Totals {
            bytes: self.writer.length(),
            tags: self.tags,
        }
    }
}
