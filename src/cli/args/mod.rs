//! Definition of every flag. The doc comment of a field is its help text.
//!
//! Rules for flags: letters and long names are those of rtmpdump if it has the option, including mixed
//! case. Long names may be abbreviated while they stay unique. If an option is repeated, the last value
//! applies; only `-C` accumulates. The word after an option is its value even if it starts with a hyphen.
//! An option that rtmpull cannot honor is an error.

mod abbreviations;
mod capture;
mod connect;
mod connection;
mod conversion;
mod credentials;
mod explain;
mod fallback;
mod hls;
mod hooks;
mod limits;
mod metrics;
mod no_download;
mod parsing;
mod probe;
mod reconnecting;
mod retention;
mod segments;
mod short_help;
mod streams;
mod swf;
mod tls;
pub mod values;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Parser, ValueEnum, builder::ValueHint};

pub use self::{
    capture::CaptureArgs,
    connect::ConnectArgs,
    connection::ConnectionArgs,
    conversion::Conversion,
    credentials::CredentialArgs,
    explain::{ExplainArgs, GivenOption},
    fallback::FallbackArgs,
    hls::HlsArgs,
    hooks::HookArgs,
    limits::LimitArgs,
    metrics::MetricsArgs,
    no_download::NoDownload,
    probe::{ProbeArgs, Source},
    reconnecting::ReconnectingArgs,
    retention::RetentionArgs,
    segments::SegmentArgs,
    streams::StreamsArgs,
    swf::SwfArgs,
    tls::TlsArgs,
};
use super::{generate::Generate, program_name::ProgramName};
use crate::{
    core::{flv::TrackSet, rtmp::target::Scheme},
    output::Format,
};

/// Download recorded and live RTMP streams to FLV or MP4 files
///
/// The file plays even if the download ends early. The last line on standard error and the exit code report
/// how the download ended.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "rtmpull",
    version,
    disable_version_flag = true,
    disable_help_flag = true,
    args_override_self = true,
    after_help = AFTER_HELP,
    override_usage = "rtmpull [OPTIONS] <URL> [-o <FILE>]"
)]
pub struct Args {
    /// Download this stream, such as rtmp://host/app/stream
    ///
    /// rtmpull splits the path into app and stream name. If the path has three or more components, the first
    /// two are the app; otherwise the first one is. If the server does not have that stream, rtmpull tries the
    /// other splits. --app and --playpath set app and stream name exactly.
    ///
    /// Options of librtmp may follow the URL in the same argument; see --url.
    #[arg(value_name = "URL", value_hint = ValueHint::Url, conflicts_with_all = ["rtmp", "url"])]
    #[arg(value_parser = values::text())]
    pub stream: Option<String>,

    /// Download this stream; the same as the URL argument, for compatibility with rtmpdump
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub rtmp: Option<String>,

    /// Download this stream with librtmp options: "rtmp://host/app/stream live=1 swfUrl=URL"
    ///
    /// The options follow the URL as KEY=VALUE, separated by spaces. The keys are app, playpath, tcUrl,
    /// swfUrl, pageUrl, flashVer, conn, subscribe, live, playlist, start and stop (in milliseconds),
    /// buffer, timeout, token, jtv, socks, swfVfy, swfAge, pubUser and pubPasswd. In a value, a backslash
    /// and two hex digits stand for one byte: \20 is a space. Options of the command line take precedence.
    #[arg(short = 'i', long, value_name = "TEXT", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub url: Option<String>,

    /// Record a live stream until it ends or you press Ctrl-C
    ///
    /// Without this option, rtmpull asks for a live stream first and for a recorded stream second. With
    /// this option, it asks for a live stream only, exits with 0 after Ctrl-C, and reconnects after a lost
    /// connection; see --retry.
    #[arg(short = 'v', long, help_heading = "Stream")]
    pub live: bool,

    /// Connect to this server instead of the one in the URL
    #[arg(short = 'n', long, value_name = "NAME", value_hint = ValueHint::Hostname)]
    #[arg(help_heading = "Stream", allow_hyphen_values = true)]
    pub host: Option<String>,

    /// Connect to this port instead of the one in the URL; 0 is the default port of the protocol
    #[arg(short = 'c', long, value_name = "PORT", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true, value_parser = values::port)]
    pub port: Option<u16>,

    /// Use this protocol instead of the scheme of the URL: rtmp, rtmpt, rtmpe, rtmpte, rtmps or rtmpts
    ///
    /// The numbers 0 to 5 of rtmpdump stand for the same protocols in this order.
    #[arg(short = 'l', long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true, value_parser = values::scheme)]
    pub protocol: Option<Scheme>,

    /// Use this app on the server instead of the one in the URL
    #[arg(short, long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub app: Option<String>,

    /// Play this stream name instead of the one in the URL; rtmpull sends it unchanged
    #[arg(short = 'y', long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub playpath: Option<String>,

    /// Start this far into a recorded stream: seconds, or a duration such as 1h30m
    #[arg(
        short = 'A',
        long = "start",
        value_name = "TIME",
        help_heading = "Stream"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::stream_ms)]
    pub start_ms: Option<u32>,

    /// Stop this far into the stream: seconds, or a duration such as 1h30m
    ///
    /// rtmpull asks the server to stop there, and does not record later media.
    #[arg(
        short = 'B',
        long = "stop",
        value_name = "TIME",
        help_heading = "Stream"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::stream_ms)]
    pub stop_ms: Option<u32>,

    /// Write the recording to this file; - is standard output
    ///
    /// Without -o, the recording goes to standard output. If that is a terminal, it goes to a file named after
    /// the stream instead, such as clip.flv, or clip.2.flv if that exists. A FILE that ends with a slash is a
    /// folder for such a file.
    ///
    /// An existing FILE is replaced when the first media arrives, not before. With --live, a FILE that is not
    /// empty is replaced only with --overwrite.
    ///
    /// The name may contain {host}, {app} and {stream}, a counter, and the local time: %d is the number of the
    /// segment (%03d pads it with zeros), %Y %m %e are year, month and day of the month, %H %M %S are hour,
    /// minute and second, %y %j %I %p %F %T %s %z are as in date(1), and %% is a percent sign. A name with a
    /// counter or a time never replaces a file: if the file exists, rtmpull adds a number. If a name contains any
    /// other percent sign, rtmpull uses the complete name literally.
    #[arg(short = 'o', long = "flv", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(visible_alias = "output")]
    #[arg(help_heading = "Recording", allow_hyphen_values = true)]
    pub flv: Option<PathBuf>,

    /// Continue the recording in the output file
    ///
    /// rtmpull compares the stream with the end of the file and appends the missing frames. It refuses a file of
    /// a different stream, which stays unchanged. If the file does not exist, the download starts at the
    /// beginning. For live streams, use --append.
    #[arg(short = 'e', long, help_heading = "Recording")]
    pub resume: bool,

    /// Replace an existing file with a live recording
    ///
    /// With --live, a file that is not empty is refused without --overwrite or --append, because a live
    /// stream cannot be downloaded again. Pipes and devices are never refused.
    #[arg(long, help_heading = "Recording", conflicts_with_all = ["append", "resume"])]
    pub overwrite: bool,

    /// Continue the recording in the output file, even of a live stream
    ///
    /// rtmpull does not repeat frames that the file already contains. If the stream no longer contains the end
    /// of the file, the missing time is a gap; see --gap. If the file does not exist, rtmpull creates it.
    #[arg(long, help_heading = "Recording")]
    pub append: bool,

    /// Resume this many keyframes before the last one in the file [default: 0]
    #[arg(
        short = 'k',
        long,
        value_name = "KEYFRAMES",
        help_heading = "Recording"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub skip: Option<u32>,

    /// Write a plain FLV file without a keyframe index, with the same bytes as a pipe
    ///
    /// rtmpull only appends to the file. --repair can add an index later. An MP4 file stays fragmented.
    #[arg(long, help_heading = "Recording")]
    pub no_index: bool,

    /// Write this container format, if the file name does not select one [default: flv]
    ///
    /// A name that ends with .mp4, .m4v, .m4a or .mov selects MP4, and .flv selects FLV. Use this option for
    /// other names and for pipes; with --tee, it applies to the pipe.
    ///
    /// An MP4 file consists of fragments of one second while it grows, so it can be played at any time, even
    /// after a kill. At the end it becomes a plain, seekable MP4 file. With --no-index, it stays fragmented. A
    /// change of codec or resolution starts a new file. A stream that MP4 cannot hold is recorded to a file
    /// with the extension .flv instead. Script data is left out, except for the title.
    #[arg(long, value_name = "FORMAT", help_heading = "Recording")]
    #[arg(value_parser = values::format())]
    pub format: Option<Format>,

    /// Write MP4 fragments of this length to a pipe; 0 writes each frame at once [default: 1s]
    ///
    /// The delay of a player that reads the pipe is at least one fragment.
    #[arg(long, value_name = "DURATION", help_heading = "Recording")]
    #[arg(allow_hyphen_values = true, value_parser = values::interval)]
    pub fragment: Option<Duration>,

    /// Record only these tracks of a multitrack stream, such as v0,a1 [default: all]
    ///
    /// v0 is the main video track and a0 the main audio track; further tracks have higher numbers. v selects all
    /// video tracks, a all audio tracks. rtmpull drops the messages of all other tracks.
    ///
    /// If LIST contains one video track or one audio track, that track is written without multitrack, so that
    /// every player reads it. If it contains several tracks of a kind, the track with the lowest number becomes
    /// the main track.
    #[arg(long, value_name = "LIST", help_heading = "Recording")]
    #[arg(allow_hyphen_values = true)]
    pub tracks: Option<TrackSet>,

    /// Other sources of the same stream.
    #[command(flatten)]
    pub fallback: FallbackArgs,

    /// Playlist for HTTP Live Streaming.
    #[command(flatten)]
    pub hls: HlsArgs,

    /// Sync the recording to disk at this interval; 0 leaves that to the system [default: 10s]
    ///
    /// After a power failure, about one interval of the recording may be missing. If only rtmpull is killed or
    /// crashes, at most one second of an FLV file or two seconds of an MP4 file are lost, at any interval.
    #[arg(long, value_name = "DURATION", help_heading = "Recording")]
    #[arg(allow_hyphen_values = true, value_parser = values::interval)]
    pub sync: Option<Duration>,

    /// Keep the timestamps of the server instead of starting at 0
    ///
    /// The recording still continues from its last frame if the server's clock restarts or jumps back, after a
    /// reconnect or a new publisher, and for single frames with a wrong timestamp.
    #[arg(long, help_heading = "Recording")]
    pub keep_timestamps: bool,

    /// Also write the recording to this file, while -o names a pipe
    ///
    /// Use it with -o -, a FIFO or a device. -o FILE --tee - means the same as -o - --tee FILE. All options for
    /// output files apply to this file: its name, index, segments and limits, --resume, --append, --overwrite
    /// and --manifest. If the reader of the pipe pauses, a recorded stream waits for it, and the file of a live
    /// stream still receives every frame. If the reader closes the pipe, the recording in the file continues.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Recording", allow_hyphen_values = true)]
    pub tee: Option<PathBuf>,

    /// Queue at most this much live data for a slow reader of a pipe, such as 500K or 1GiB
    ///
    /// When the queue is full, rtmpull drops complete GOPs (of audio only, one second at a time) and resumes
    /// with a keyframe. Recorded streams lose nothing: their download waits for the reader.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Recording"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::size)]
    pub queue_size: u64,

    /// Options for lost connections and missing streams.
    #[command(flatten)]
    pub reconnecting: ReconnectingArgs,

    /// Options that start new files.
    #[command(flatten)]
    pub segments: SegmentArgs,

    /// Append a line of JSON to this file for each completed segment
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Segments and limits", allow_hyphen_values = true)]
    pub manifest: Option<PathBuf>,

    /// Deletion of old segments.
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// Programs to run during a recording.
    #[command(flatten)]
    pub hooks: HookArgs,

    /// Options that end a recording.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Repair truncated files and make them seekable; with -o, write the result to another file
    ///
    /// rtmpull cuts off an incomplete last tag and rebuilds the metadata and the keyframe index. Complete
    /// tags stay unchanged. A file written by rtmpull is repaired in place. Any other file is rewritten to a
    /// temporary file in the same folder, which needs free space of the same size and then replaces the file.
    /// With -o, --repair takes a single file, which stays unchanged.
    ///
    /// An MP4 file of a killed rtmpull is finished in place. MP4 files of other programs are refused.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Recording")]
    #[arg(num_args = 1.., action = ArgAction::Append)]
    pub repair: Vec<PathBuf>,

    /// Options that read a file instead of a stream.
    #[command(flatten)]
    pub conversion: Conversion,

    /// Members and arguments of the `connect` command, and commands before playing.
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Answers to servers that ask for a login or a token.
    #[command(flatten)]
    pub credentials: CredentialArgs,

    /// Options for SWF verification.
    #[command(flatten)]
    pub swf: SwfArgs,

    /// Limit each network step to this many seconds; 0 is no limit [default: 30 for media, otherwise 10]
    ///
    /// The timeout applies separately to each step of connecting, to the handshake, to the answer to each
    /// command, to the first media, and to silence between media.
    #[arg(short = 'm', long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub timeout: Option<u32>,

    /// Limit each step of connecting to this many seconds; 0 is no limit [default: as --timeout, or 10]
    ///
    /// The steps are name lookup, TCP, proxy, TLS and tunnel.
    #[arg(long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub connect_timeout: Option<u32>,

    /// Options for the connection and the session.
    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// Options for certificates.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Show progress as bar, lines, json or none [default: bar]
    ///
    /// bar needs a terminal and falls back to lines. json writes one JSON object per line to standard error,
    /// for messages too. none hides the progress but keeps messages; --quiet hides messages but keeps
    /// JSON events.
    #[arg(
        long,
        value_name = "KIND",
        help_heading = "Scripting",
        hide_possible_values = true
    )]
    #[arg(allow_hyphen_values = true)]
    pub progress: Option<ProgressKind>,

    /// Write JSON events to this file descriptor; standard error stays unchanged
    ///
    /// The caller opens the descriptor: rtmpull ... --progress-fd 3 3>events. It may be a pipe, a file or a
    /// device; 1 is standard output. A reader that is slow or gone misses events but never delays the
    /// recording.
    #[arg(long, value_name = "NUMBER", help_heading = "Scripting")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub progress_fd: Option<u32>,

    /// Rewrite this file every 2 seconds while media arrives: time, position and bytes as JSON
    ///
    /// The file is replaced atomically. Independently of this option, rtmpull notifies systemd if
    /// NOTIFY_SOCKET is set: READY=1 when media first arrives, and WATCHDOG=1 while it keeps arriving.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Scripting", allow_hyphen_values = true)]
    pub heartbeat: Option<PathBuf>,

    /// Options for monitoring.
    #[command(flatten)]
    pub metrics: MetricsArgs,

    /// Options of probes.
    #[command(flatten)]
    pub probe: ProbeArgs,

    /// Options of explanations.
    #[command(flatten)]
    pub explain: ExplainArgs,

    /// Options of captures.
    #[command(flatten)]
    pub capture: CaptureArgs,

    /// Options that record many streams.
    #[command(flatten)]
    pub streams: StreamsArgs,

    /// Show progress as a row of # characters
    #[arg(short = '#', long, help_heading = "Messages")]
    pub hashes: bool,

    /// Print nothing; the exit code still reports how the download ended
    #[arg(short, long, help_heading = "Messages", overrides_with_all = ["verbose", "debug"])]
    pub quiet: bool,

    /// Print the requests to the server and its answers, with times
    #[arg(short = 'V', long, help_heading = "Messages", overrides_with_all = ["quiet", "debug"])]
    pub verbose: bool,

    /// Print everything, including each received message
    #[arg(short = 'z', long, help_heading = "Messages", overrides_with_all = ["quiet", "verbose"])]
    pub debug: bool,

    /// Append the output of --verbose to this file, with timestamps, even with --quiet
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Messages")]
    #[arg(allow_hyphen_values = true)]
    pub log_file: Option<PathBuf>,

    /// Print the manual page or the completions for a shell
    #[arg(long, value_name = "WHAT", help_heading = "Messages")]
    pub generate: Option<Generate>,

    /// Print help: -h prints a summary, --help all details
    #[arg(short, long, action = ArgAction::Help, help_heading = "Messages")]
    pub help: Option<bool>,

    /// Print the version
    #[arg(long, action = ArgAction::Version, help_heading = "Messages")]
    pub version: Option<bool>,

    /// Name that the program was started as.
    #[arg(skip)]
    pub name: ProgramName,
}

impl Args {
    /// Whether no progress is shown to people.
    pub(super) fn hides_progress(&self) -> bool {
        matches!(self.progress, Some(ProgressKind::None | ProgressKind::Json))
    }

    /// Returns how much to print.
    pub fn verbosity(&self) -> Verbosity {
        match self {
            Self { quiet: true, .. } => Verbosity::Quiet,
            Self { verbose: true, .. } => Verbosity::Verbose,
            Self { debug: true, .. } => Verbosity::Debug,
            _ => Verbosity::Normal,
        }
    }
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    /// A bar on a terminal, otherwise lines
    Bar,
    /// A line of numbers that is updated in place
    Lines,
    /// One JSON object per line
    Json,
    /// No progress
    None,
}

/// How much to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// Progress, warnings and errors.
    Normal,
    /// Also the requests to the server and its answers.
    Verbose,
    /// Everything.
    Debug,
}

/// File name that stands for standard output.
pub const STDOUT: &str = "-";

const AFTER_HELP: &str = "\
Examples:
  rtmpull rtmp://example.com/vod/film.flv -o film.flv
  rtmpull --live rtmp://example.com/live/camera -o camera.flv
  rtmpull --live rtmp://example.com/live/camera | ffplay -
  rtmpull --streams cameras.toml
  rtmpull --repair camera.flv

Exit codes:
  0  complete, or a live recording that you ended
  1  usage error, refused by the server, no media, or the output could not be written
  2  incomplete: the file contains the received media
  3  no connection";
