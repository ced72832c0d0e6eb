//! The terminal: the lines that are kept on it, and what may be printed to it.

pub mod log;
pub mod sanitize;
pub mod screen;
pub mod time_format;
