//! Where a recording goes: files with one segment each, or a pipe.

mod destination;
mod existing_file;
mod file;
mod gap;
mod hook;
mod manifest;
mod muxer;
mod naming;
mod open_segment;
mod pending;
mod pipe;
mod recording;
mod segment;
mod sequence_headers;
mod split_policy;
mod tee;
mod totals;
mod write_queue;

pub use self::{
    destination::{Destination, FileOptions},
    gap::{Gap, GapPolicy, Gaps},
    manifest::open_manifest,
    naming::Template,
    segment::SegmentFacts,
    split_policy::SegmentOptions,
};
pub(crate) use self::{
    existing_file::ExistingFile, file::lock::lock, recording::Recording, tee::Tee, totals::Totals,
};

#[cfg(test)]
mod tests;
