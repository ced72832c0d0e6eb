//! Recordings: segments in files, a pipe, or both; or none at all.
//!
//! ```text
//!                ┌─ FileRecording ── Segment ──┬─ WriteQueue ── Muxer ── MediaFile
//! frames ── Tee ─┤  (split policy, names,      │
//!                │   manifest, hook)           │
//!                ├─ PipeRecording ─────────────┴─ WriteQueue ── Muxer ── PipeWriter ── Backlog
//!                └─ Discard
//! ```
//!
//! A frame arrives with its [`FrameInfo`](crate::core::flv::FrameInfo) and its output time. The recording
//! chooses its segment, the queue collects frames until a write is worthwhile, and the muxer converts them to
//! FLV in their buffers or collects them in MP4 fragments. Written buffers return to the caller for reuse.
//! When a segment ends, a thread finishes its MP4 file while the next segment is written; the manifest and the
//! hook then follow in order.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod destination;
mod discard;
mod existing_file;
mod file;
mod finished_segments;
mod finishing;
mod gap;
mod hook;
mod latest_frames;
mod manifest;
mod muxer;
mod naming;
mod pending;
mod pipe;
mod playlist_file;
mod recording;
mod retention;
mod segment;
mod sequence_headers;
mod split_policy;
mod stop;
mod tee;
mod totals;
mod write_queue;

pub use self::{
    destination::{Destination, FileOptions, Format, PipeOptions},
    file::slow_disk::report_slow_disks,
    gap::{Gap, GapPolicy, Gaps},
    hook::{SEGMENT_FACTS, START_FACTS},
    manifest::open_manifest,
    naming::{Template, numbered_name},
    pipe::Drops,
    retention::KeepPolicy,
    segment::SegmentFacts,
    split_policy::SegmentOptions,
    stop::Stop,
    write_queue::queue_bytes,
};
pub(crate) use self::{
    existing_file::ExistingFile,
    file::existing_movie::{ExistingMovie, Purpose, ReadMovie, finish_movie, read_movie},
    file::lock::{lock, lock_shared},
    file::replace::{ignore_unsupported_sync, keep_attributes, sync_directory_of},
    naming::existing_segments,
    tee::Tee,
    totals::Totals,
};

#[cfg(test)]
mod tests;
