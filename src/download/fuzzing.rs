//! Access to private functions for the fuzz targets.

use std::path::Path;

use super::rejoin::resume::{
    ScanResult, read,
    recorder::{Message, Recorder},
};
pub use super::swf_player::fuzzing as swfinfo;
use crate::core::flv::TagKind;

/// Outcome of [`resume`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// The file contains no media.
    NoMedia,
    /// The file cannot be continued.
    Unusable,
    /// The stream does not contain the end of the file.
    NoMatch,
    /// The stream continues the file.
    Matched,
}

/// Resumes the file at `path`. `serve` returns the messages (track, timestamp, body) that the server
/// sends if the stream is requested from a position in milliseconds.
pub fn resume(
    path: &Path,
    skip_keyframes: u32,
    serve: impl Fn(u32) -> Vec<(TagKind, u32, Vec<u8>)>,
) -> Resumed {
    // The recorder reads the file again, because only one of both may hold its lock.
    match read(path, crate::output::Format::Flv).expect("a readable file") {
        ScanResult::NoMedia => return Resumed::NoMedia,
        ScanResult::Unusable(_) => return Resumed::Unusable,
        ScanResult::ExistingRecording(..) => {}
    }
    let mut recorder = Recorder::resuming(path, skip_keyframes);
    let is_matched = recorder.play(|start_ms| {
        let message = |(kind, at_ms, body)| Message { kind, at_ms, body };
        serve(start_ms).into_iter().map(message).collect()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(recorder.finish());
    if is_matched {
        Resumed::Matched
    } else {
        Resumed::NoMatch
    }
}
