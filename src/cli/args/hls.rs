//! Options for HTTP Live Streaming.

use clap::Args;

/// Options for HTTP Live Streaming.
#[derive(Debug, Clone, Default, Args)]
pub struct HlsArgs {
    /// Write an HLS playlist beside each MP4 file: name.m3u8 for name.mp4
    ///
    /// Browsers and phones play the playlist over HTTP during the recording and afterwards. The playlist refers to
    /// byte ranges of the MP4 file, so the media is not stored twice, and the HTTP server must support ranges.
    /// rtmpull appends an entry every four to ten seconds, at a keyframe. Each segment of the recording has its own
    /// playlist. If rtmpull is killed, the playlist lacks its last line, and players wait for more media.
    #[arg(long, help_heading = "Recording")]
    pub hls: bool,
}
