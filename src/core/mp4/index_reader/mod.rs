//! Reads the index of an MP4 file of any program: its tracks, their setups, and all samples.
//!
//! Files may be larger than the memory, and nothing in them is trusted. The reader therefore never holds a table:
//! it walks the boxes with a [`Source`], and reads the entries of tables through windows of a few KiB. The number
//! of samples that it returns is at most the number of bytes of the file.
//!
//! | module | contents |
//! | --- | --- |
//! | `source` | access to the bytes of a file |
//! | [`movie`] | the `moov` box and its tracks |
//! | [`setup`] | sample entries: the setup of a decoder |
//! | `descriptors` | MPEG-4 descriptors in a setup |
//! | [`samples`] | samples in the tables of a plain file |
//! | [`fragments`] | samples in movie fragments |

mod descriptors;
pub mod fragments;
pub mod movie;
pub mod samples;
pub mod setup;
mod source;

use std::ops::Range;

pub use self::{movie::Movie, samples::Sample, source::Source};
use self::{
    movie::read_movie,
    source::{FoundBox, NextBox, next_box},
};

/// The boxes of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// Major brand of the file type box.
    pub brand: Option<[u8; 4]>,
    /// The movie, from the latest complete `moov` box.
    pub movie: Option<Movie>,
    /// Range of this box in the file.
    pub movie_at: Option<Range<u64>>,
    /// Start of the first box with media: `mdat` or `moof`.
    pub media_at: Option<u64>,
    /// Number of bytes in the bodies of all `mdat` boxes, as far as they lie in the file.
    pub media_bytes: u64,
    /// Start of the first movie fragment.
    pub fragments_at: Option<u64>,
    /// Number of movie fragments.
    pub fragments: u64,
    /// Whether the file has an index of its fragments: `sidx` or `mfra`.
    pub has_fragment_index: bool,
    /// Why the boxes end before the end of the file.
    pub end: End,
}

/// How the boxes of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last box ends with the file.
    Complete,
    /// The file ends inside a box, or inside its header.
    Torn {
        /// Start of the box.
        offset: u64,
        /// Type of the box; `None` if the file ends before it.
        kind: Option<[u8; 4]>,
    },
    /// The bytes are not a box.
    NoBox {
        /// Start of these bytes.
        offset: u64,
    },
    /// The file has more than [`MAX_BOXES`] boxes.
    TooMany {
        /// Start of the first box that was not read.
        offset: u64,
    },
}

/// Reads the boxes of a file. Samples in fragments are read with [`fragments::Fragments`].
///
/// # Errors
///
/// Fails if the source fails.
pub fn read<S: Source>(source: &mut S) -> Result<Index, S::Error> {
    let mut index = Index {
        brand: None,
        movie: None,
        movie_at: None,
        media_at: None,
        media_bytes: 0,
        fragments_at: None,
        fragments: 0,
        has_fragment_index: false,
        end: End::Complete,
    };
    let file = 0..source.length();
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        let found = match next_box(source, at, file.end)? {
            NextBox::End => return Ok(index),
            NextBox::Box(found) => found,
            NextBox::Cut(kind) => {
                if kind == Some(*b"mdat") {
                    index.media_at.get_or_insert(at);
                    index.media_bytes = index
                        .media_bytes
                        .saturating_add(file.end.saturating_sub(at));
                }
                index.end = End::Torn { offset: at, kind };
                return Ok(index);
            }
            NextBox::Invalid => {
                index.end = End::NoBox { offset: at };
                return Ok(index);
            }
        };
        index.add(source, at, &found)?;
        at = found.body.end;
    }
    index.end = End::TooMany { offset: at };
    Ok(index)
}

impl Index {
    fn add<S: Source>(
        &mut self,
        source: &mut S,
        at: u64,
        found: &FoundBox,
    ) -> Result<(), S::Error> {
        let bytes = found.body.end.saturating_sub(found.body.start);
        match &found.kind {
            b"ftyp" if self.brand.is_none() => {
                let start = source::read_body(source, &found.body, 4)?;
                self.brand = start.first_chunk().copied();
            }
            b"moov" => {
                // A finished file of rtmpull has one for its fragments, inside `mdat`; others have only one.
                self.movie = Some(read_movie(source, &found.body)?);
                self.movie_at = Some(at..found.body.end);
            }
            b"mdat" => {
                self.media_at.get_or_insert(at);
                self.media_bytes = self.media_bytes.saturating_add(bytes);
            }
            b"moof" => {
                self.media_at.get_or_insert(at);
                self.fragments_at.get_or_insert(at);
                self.fragments = self.fragments.saturating_add(1);
            }
            b"sidx" | b"mfra" => self.has_fragment_index = true,
            _ => {}
        }
        Ok(())
    }
}

/// Largest number of boxes at the top of a file. A fragmented file of a day with a fragment per frame at 60 frames
/// per second has 10 million.
pub const MAX_BOXES: u64 = 16 << 20;

#[cfg(test)]
mod tests;
