//! Finds where a new stream continues an existing recording.

pub(super) mod history;
pub(super) mod matcher;
pub(super) mod resume;
mod scan;
