//! Programs to run during a recording.

use clap::{Args, builder::ValueHint};

/// Programs to run during a recording.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Segments and limits")]
pub struct HookArgs {
    /// Run a program for each completed segment
    ///
    /// COMMAND is a program and its arguments, with quotes and backslashes as in a shell. rtmpull runs it without
    /// a shell and does not expand variables. It replaces the words {path}, {segment}, {offset_ms},
    /// {duration_ms}, {bytes} and {start} by the values of the segment. The environment contains the same values
    /// as RTMPULL_PATH, RTMPULL_SEGMENT and so on. The output of the program goes to standard error. Up to four
    /// programs run at a time without delaying the recording. At the end, rtmpull waits up to ten seconds for
    /// them.
    #[arg(long, alias = "on-part", value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    #[arg(allow_hyphen_values = true)]
    pub on_segment: Option<String>,

    /// Run a program when media arrives: at the start, and after each gap
    ///
    /// COMMAND works as in --on-segment, with the values of the current segment. One more value, {reason} or
    /// RTMPULL_REASON, is start for the first frame and gap for the first frame after a gap.
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    #[arg(allow_hyphen_values = true)]
    pub on_start: Option<String>,
}
