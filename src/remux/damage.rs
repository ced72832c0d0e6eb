//! Damage found in an input, for the log.

use super::Input;
use crate::core::flv::{TagKind, reader::TagView};

/// Counts of the damage found so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    /// Garbage after the last tag; torn bytes if the file ends here.
    trailing_bytes: u64,
    /// Number of bytes before and between tags that belong to no tag.
    garbage_bytes: u64,
    /// Number of tags whose PreviousTagSize is wrong.
    wrong_sizes: u64,
    /// Number of encrypted audio and video tags.
    encrypted: u64,
}

impl Damage {
    pub(super) fn garbage(&mut self, bytes: u64) {
        self.trailing_bytes = self.trailing_bytes.saturating_add(bytes);
    }

    pub(super) fn tag(&mut self, tag: &TagView<'_>, is_size_wrong: bool) {
        let trailing = std::mem::take(&mut self.trailing_bytes);
        self.garbage_bytes = self.garbage_bytes.saturating_add(trailing);
        self.wrong_sizes = self.wrong_sizes.saturating_add(is_size_wrong.into());
        let is_media = matches!(tag.header.kind, TagKind::AUDIO | TagKind::VIDEO);
        let is_encrypted = tag.header.is_filtered && is_media;
        self.encrypted = self.encrypted.saturating_add(is_encrypted.into());
    }

    /// Logs the damage. Bytes at the end are torn only if the input was read completely.
    pub(super) fn log(&self, input: &Input, is_complete: bool) {
        let name = input.name();
        if self.wrong_sizes > 0 {
            tracing::info!(
                "{name}: {} PreviousTagSize fields corrected",
                self.wrong_sizes
            );
        }
        if self.garbage_bytes > 0 {
            tracing::warn!("{name}: {} bytes between tags left out", self.garbage_bytes);
        }
        if self.trailing_bytes > 0 && is_complete {
            tracing::warn!(
                "{name}: {} bytes of an incomplete tag at the end left out",
                self.trailing_bytes
            );
        }
        if self.encrypted > 0 {
            tracing::warn!("{name}: {} encrypted tags left out", self.encrypted);
        }
    }
}
