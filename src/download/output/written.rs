//! How much an output has, and had before.

use std::{fs::File, ops::Add};

use crate::core::flv::Writer;

/// How much went into an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::download) struct Written {
    pub(in crate::download) bytes: u64,
    /// Those behind the heads.
    pub(in crate::download) tags: u64,
}

/// A file that an earlier recording is in.
#[derive(Debug)]
pub(in crate::download) struct Former {
    /// Open for reading and writing.
    pub(in crate::download) file: File,
    /// Knows of all its intact tags, and where the last one ends.
    pub(in crate::download) writer: Writer,
    /// How many those are, a head of ours left out.
    pub(in crate::download) tags: u64,
    pub(in crate::download) has_video: bool,
}

impl Written {
    pub(super) fn add_tags(&mut self, tags: &[Vec<u8>]) {
        self.bytes += tags.iter().map(|tag| tag.len() as u64).sum::<u64>();
        self.tags += tags.len() as u64;
    }
}

impl Add for Written {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            tags: self.tags + other.tags,
        }
    }
}

impl Former {
    pub(super) fn written(&self) -> Written {
        Written {
            bytes: self.writer.length(),
            tags: self.tags,
        }
    }
}
