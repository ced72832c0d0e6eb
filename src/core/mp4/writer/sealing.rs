//! The end of a file: its tables, and the writes that make players use them.

use super::Writer;
use crate::core::{
    flv::head_writer::Patch,
    mp4::{
        boxes::SHORT_HEADER,
        file_type::{RESERVED, finished_file_type, fragmented_file_type},
        movie::{MoviePiece, final_pieces},
    },
};

impl Writer {
    /// Returns the `moov` box that finishes the file, as a list of bytes and tables.
    pub fn final_movie(&self) -> Vec<MoviePiece> {
        final_pieces(self.movies(), &self.options.description)
    }

    /// Returns the change that prepares [`Writer::seal`]. The file must contain all of [`Writer::final_movie`].
    ///
    /// A write may stop at any byte. The length of the box is therefore on the disk first, where it has no effect:
    /// from the byte that announces a length of 64 bits on, one box of either type covers all fragments.
    pub fn sealed_length(&self) -> Patch {
        let file_type = finished_file_type(false).len() as u64;
        let data = self.length.saturating_sub(file_type);
        Patch {
            offset: file_type.saturating_add(SHORT_HEADER),
            bytes: data.to_be_bytes().to_vec(),
        }
    }

    /// Returns the change that turns the fragmented file into a plain one. All earlier changes must be on the
    /// disk.
    pub fn seal(&self) -> Patch {
        let is_avc = self.movies().any(|track| track.entry.is_avc());
        let mut bytes = finished_file_type(is_avc);
        bytes.extend([0, 0, 0, 1]); // the length has 64 bits
        bytes.extend(b"mdat");
        Patch { offset: 0, bytes }
    }

    /// Returns the change that makes players use the fragments of a finished file again. The tables may be cut off
    /// once it is on the disk.
    pub fn unseal() -> Patch {
        let mut bytes = fragmented_file_type();
        bytes.extend(RESERVED);
        Patch { offset: 0, bytes }
    }
}
