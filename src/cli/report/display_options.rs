//! How the user wants progress to look.

/// Options of the user, and facts of the request, that affect the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DisplayOptions {
    /// Whether progress is a row of `#`.
    pub hashes: bool,
    /// Whether to show no progress.
    pub no_progress: bool,
    /// Whether the server keeps its own pace.
    pub realtime: bool,
    /// Start of the requested range of a recorded stream, in milliseconds.
    pub start_ms: u64,
    /// Length of the requested range, in milliseconds.
    pub length_ms: Option<u64>,
    /// Whether the recording is split into segments.
    pub is_split: bool,
}

impl DisplayOptions {
    /// Returns the expected duration of the recording if the stream has this duration: that of the
    /// requested range.
    pub(super) fn expected_ms(&self, duration_ms: Option<u64>) -> Option<u64> {
        let rest_ms = duration_ms.map(|duration_ms| duration_ms.saturating_sub(self.start_ms));
        rest_ms.into_iter().chain(self.length_ms).min()
    }
}
