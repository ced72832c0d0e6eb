//! A file that an earlier recording wrote.

use std::fs::File;

use super::totals::Written;
use crate::core::flv::Writer;

/// A file that an earlier recording is in.
#[derive(Debug)]
pub(crate) struct Former {
    /// Open for reading and writing.
    pub(crate) file: File,
    /// Knows of all its intact tags, and where the last one ends.
    pub(crate) writer: Writer,
    /// How many those are, a head of ours left out.
    pub(crate) tags: u64,
    pub(crate) has_video: bool,
}

impl Former {
    pub(super) fn written(&self) -> Written {
        Written {
            bytes: self.writer.length(),
            tags: self.tags,
        }
    }
}
