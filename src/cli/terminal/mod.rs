//! Output to the terminal: lines and status, log messages, and the removal of escapes and secrets.

pub mod log;
mod queued_terminal;
pub mod rate_limit;
pub mod sanitize;
pub mod screen;
pub mod time_format;
pub mod units;
