//! Finds where a stream continues frames that are already written, by comparing content.

pub(crate) mod history;
pub(crate) mod matcher;
