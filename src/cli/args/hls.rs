//! Flags for HTTP Live Streaming.

use clap::Args;

/// Flags for HTTP Live Streaming.
#[derive(Debug, Clone, Default, Args)]
pub struct HlsArgs {
    /// Write an HLS playlist beside each MP4 file: name.m3u8 for name.mp4
    ///
    /// A browser or phone plays the playlist over HTTP during the recording and afterwards; the server of the
    /// files must support byte ranges. The playlist refers to byte ranges of the MP4 file, so the media is not
    /// stored twice, and gets a line every four to ten seconds, at a keyframe. Each segment of the recording has
    /// a playlist of its own. If rtmpull is killed, the playlist has no end, and plays up to its last line.
    #[arg(long, help_heading = "Recording")]
    pub hls: bool,
}
