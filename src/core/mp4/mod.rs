//! MP4 files: fragments while a recording grows, a plain file at the end.
//!
//! ```text
//! during the recording
//! ┌──────┬─────────────┬──────┬──────┬──────┬──────┬──────┬─
//! │ ftyp │ free (ftyp) │ moov │ moof │ mdat │ moof │ mdat │ …
//! └──────┴─────────────┴──────┴──────┴──────┴──────┴──────┴─
//! finished
//! ┌──────┬─────────────────────────────────────────────────┬──────┐
//! │ ftyp │ mdat                                            │ moov │
//! └──────┴─────────────────────────────────────────────────┴──────┘
//! ```
//!
//! A fragment is appended with one write, so the file can be played at every instant. At the end, a `moov`
//! box with sample tables is appended. Once it is on the disk, a write at the start of the file turns the `free`
//! box into an `mdat` box that covers all fragments. A pipe gets the fragments without `free`.
//!
//! The initial `moov` box and the fragments remain in a finished file, so the file can be reopened: [`reader`]
//! restores the writer from them.
//!
//! The `free` box has 48 bytes: a header of 16 bytes that becomes the header of the `mdat` box, and a copy of
//! the file type. From this copy to the end of the first `moov` box, the bytes form an initialization section
//! (RFC 8216 3.3) that never changes, so that a playlist can refer to it and to the fragments.
//!
//! # Times
//!
//! RTMP rounds times to milliseconds. The timescale of audio is its sample rate. The timescale of video is that
//! of its frame rate, such as 30000 for 30000/1001 frames per second, if the first fragment agrees with the rate
//! that the sequence header or `onMetaData` announces, or with a usual one. Otherwise the timescale is 1000.
//! Times are multiples of the frame length as long as they differ from the rounded times by at most 1 ms, and
//! the nearest ticks otherwise. All video timescales are multiples of 1000, so that any time in milliseconds is
//! exact.
//!
//! A pipe with fragments of one frame does not wait for evidence: it uses the announced rate, or 1000.
//!
//! Sections of ISO/IEC 14496-12 are cited with their number.
//!
//! | module | contents |
//! | --- | --- |
//! | [`writer`] | collects messages in fragments |
//! | [`reader`] | restores the writer of a file |
//! | `color` | description of the colors of a video track |
//! | `entry_reader` | reads the codec setup of a track |
//! | [`sample_entry`] | codec setup of a track |
//! | `file_type` | first boxes of a growing and of a finished file |
//! | `frame_rate` | frame rates, and the search for that of a track |
//! | [`fragment`] | movie fragments |
//! | [`movie`] | the `moov` box |
//! | [`index_reader`] | reads the tracks and samples of any file |
//! | [`playlist`] | HLS playlist of a growing file |
//! | `tables` | sample tables, encoded from the fragments of a file |

mod boxes;
mod color;
mod entry_reader;
mod file_type;
pub mod fragment;
pub(crate) mod frame_rate;
pub mod index_reader;
pub mod movie;
pub mod playlist;
pub mod reader;
pub mod sample_entry;
mod tables;
pub mod writer;

pub(crate) use self::boxes::BoxHeader;
pub use self::{
    movie::Description,
    playlist::Playlist,
    sample_entry::Unsupported,
    writer::{Options, Writer},
};
pub use super::flv::Layout;

/// Returns whether a file that starts with these bytes has a file type box (ISO 14496-12 4.3).
pub fn has_file_type(start: &[u8]) -> bool {
    start.get(4..8) == Some(b"ftyp")
}

#[cfg(test)]
pub(crate) mod tests;
