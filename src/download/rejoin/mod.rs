//! Continues an existing recording with a new stream.

pub(super) mod resume;
mod scan;
