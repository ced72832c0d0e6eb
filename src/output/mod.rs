//! Where a recording goes: files with one segment each, or a pipe.

mod destination;
mod existing_file;
mod file;
mod gap;
mod hook;
mod manifest;
mod naming;
mod nature;
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
    segment::PartFacts,
    split_policy::Parts,
};
pub(crate) use self::{
    existing_file::Former, file::lock::lock, nature::Nature, recording::Output, tee::Outputs,
    totals::Written,
};

#[cfg(test)]
mod tests;
