//! How the user wants progress to look.

/// What the listeners know about the display of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DisplayOptions {
    /// Progress is a row of `#`.
    pub hashes: bool,
    /// No progress is shown.
    pub no_progress: bool,
    /// The server keeps its pace.
    pub realtime: bool,
    /// Where in the recorded stream the recording starts, in milliseconds.
    pub start_ms: u64,
    /// How long the recording is to be, in milliseconds.
    pub length_ms: Option<u64>,
    /// The recording is to be cut into parts.
    pub parts: bool,
}

impl DisplayOptions {
    /// How long the recording of a stream of this duration will be: of a part of the stream, that part
    /// is the whole.
    pub(super) fn expected_ms(&self, duration_ms: Option<u64>) -> Option<u64> {
        let rest_ms = duration_ms.map(|duration_ms| duration_ms.saturating_sub(self.start_ms));
        rest_ms.into_iter().chain(self.length_ms).min()
    }
}
