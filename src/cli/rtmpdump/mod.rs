//! Notations and output formats of rtmpdump and librtmp.

pub mod conn;
pub mod help;
pub mod librtmp;
pub mod property_log;
