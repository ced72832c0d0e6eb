//! A file of an earlier run that the recording continues.

use std::fs::File;

use super::totals::Totals;
use crate::core::flv::HeadWriter;

/// A file that an earlier run wrote.
#[derive(Debug)]
pub(crate) struct ExistingFile {
    /// Open for reading and writing.
    pub(crate) file: File,
    /// Statistics of all intact tags; its length is the end of the last one.
    pub(crate) writer: HeadWriter,
    /// Number of intact tags, without a head written by rtmpull.
    pub(crate) tags: u64,
    pub(crate) has_video: bool,
}

impl ExistingFile {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            bytes: self.writer.length(),
            tags: self.tags,
        }
    }
}
