//! Definition of every flag. The doc comment of a field is its help text.
//!
//! Rules for flags: letters and long names are those of rtmpdump if it has the option, including mixed
//! case. Long names may be abbreviated while they stay unique. If an option is repeated, the last value
//! applies; only `-C` accumulates. The word after an option is its value even if it starts with a hyphen.
//! An option that rtmpull cannot honor is an error.

mod abbreviations;
mod capture;
mod conversion;
mod explain;
mod fallback;
mod hls;
mod metrics;
mod no_download;
mod probe;
mod retention;
mod short_help;
mod streams;
pub mod values;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    mem,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Arg, ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum,
    builder::ValueHint,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

pub use self::{
    capture::CaptureArgs,
    conversion::Conversion,
    explain::{ExplainArgs, GivenOption},
    fallback::FallbackArgs,
    hls::HlsArgs,
    metrics::MetricsArgs,
    no_download::NoDownload,
    probe::{ProbeArgs, Source},
    retention::RetentionArgs,
    streams::StreamsArgs,
};
use self::{
    conversion::ALLOWED_WITH_REMUX,
    probe::ALLOWED_WITH_PROBE,
    values::{Attempts, Until},
};
use super::{generate::Generate, program_name::ProgramName};
use crate::{
    core::{
        flv::TrackSet,
        rtmp::{handshake::Mode, target::Scheme},
    },
    output::{Format, GapPolicy},
    transport::Endpoint,
};

/// Download recorded and live RTMP streams to FLV or MP4 files
///
/// The file plays however the download ends. The last line on standard error and the exit code report how
/// it ended.
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
    /// Stream to download, such as rtmp://host/app/stream
    ///
    /// The path is split into app and stream name. If it has three or more components, the first two are
    /// the app; otherwise the first one is. If the server does not have that stream, rtmpull tries the
    /// other splits. --app and --playpath set app and stream name exactly.
    ///
    /// Options of librtmp may follow the URL in the same argument; see --url.
    #[arg(value_name = "URL", value_hint = ValueHint::Url, conflicts_with_all = ["rtmp", "url"])]
    #[arg(value_parser = values::text())]
    pub stream: Option<String>,

    /// Stream to download; the same as the URL argument, for compatibility with rtmpdump
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub rtmp: Option<String>,

    /// Stream to download, with librtmp options: "rtmp://host/app/stream live=1 swfUrl=URL"
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
    /// this option, it asks for a live stream only, Ctrl-C ends the recording with exit code 0, and lost
    /// connections are retried; see --retry.
    #[arg(short = 'v', long, help_heading = "Stream")]
    pub live: bool,

    /// Server to connect to, instead of the one in the URL
    #[arg(short = 'n', long, value_name = "NAME", value_hint = ValueHint::Hostname)]
    #[arg(help_heading = "Stream", allow_hyphen_values = true)]
    pub host: Option<String>,

    /// Port to connect to, instead of the one in the URL; 0 is the default port of the protocol
    #[arg(short = 'c', long, value_name = "PORT", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true, value_parser = values::port)]
    pub port: Option<u16>,

    /// Protocol, instead of the scheme of the URL: rtmp, rtmpt, rtmpe, rtmpte, rtmps or rtmpts
    ///
    /// The numbers 0 to 5 of rtmpdump stand for the same protocols in this order.
    #[arg(short = 'l', long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true, value_parser = values::scheme)]
    pub protocol: Option<Scheme>,

    /// App on the server, instead of the one in the URL
    #[arg(short, long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub app: Option<String>,

    /// Stream name, instead of the one in the URL; sent exactly as given
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
    /// The server is asked to stop there. Media that it sends beyond this time is not recorded.
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
    /// counter or a time never replaces a file: if the file exists, a number is added. A name with any other
    /// percent sign is used literally.
    #[arg(short = 'o', long = "flv", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(visible_alias = "output")]
    #[arg(help_heading = "Recording", allow_hyphen_values = true)]
    pub flv: Option<PathBuf>,

    /// Continue the recording in the output file
    ///
    /// rtmpull compares the stream with the end of the file and appends what is missing. A file that holds a
    /// different stream is refused and stays unchanged. If the file does not exist, the download starts at
    /// the beginning. For live streams, use --append.
    #[arg(short = 'e', long, help_heading = "Recording")]
    pub resume: bool,

    /// Replace an existing file with a live recording
    ///
    /// With --live, a file that is not empty is refused without --overwrite or --append, because a live
    /// stream cannot be downloaded again. Pipes and devices are never refused.
    #[arg(long, help_heading = "Recording", conflicts_with_all = ["append", "resume"])]
    pub overwrite: bool,

    /// Continue the recording in the output file, also of a live stream
    ///
    /// Frames that the file already holds are not written again. If the stream does not continue the end of
    /// the file, the time in between is a gap; see --gap. If the file does not exist, it is created.
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

    /// Write a plain FLV file, without keyframe index and without rewriting anything
    ///
    /// The file holds what a pipe would receive. --repair can add an index later. An MP4 file stays
    /// fragmented.
    #[arg(long, help_heading = "Recording")]
    pub no_index: bool,

    /// Container format, if the file name does not select it [default: flv]
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

    /// Length of the MP4 fragments in a pipe; 0 writes each frame at once [default: 1s]
    ///
    /// The delay of a player that reads the pipe is at least one fragment.
    #[arg(long, value_name = "DURATION", help_heading = "Recording")]
    #[arg(allow_hyphen_values = true, value_parser = values::interval)]
    pub fragment: Option<Duration>,

    /// Record only these tracks of a multitrack stream, such as v0,a1 [default: all]
    ///
    /// v0 is the main video track and a0 the main audio track; further tracks have higher numbers. v
    /// selects all video tracks, a all audio tracks. Messages of other tracks are written neither to files nor to
    /// pipes.
    ///
    /// If LIST contains one video track or one audio track, that track is written without multitrack, so that
    /// every player reads it. If it contains several of a kind, the one with the lowest number becomes the
    /// main track.
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

    /// Maximum amount of live data to queue for a slow pipe reader, such as 500K or 1GiB
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

    /// Reconnect up to this many times in a row after a lost connection: a number, or forever
    ///
    /// The delays are 1, 2, 4 ... 30 seconds. The count restarts when media arrives. rtmpull does not
    /// reconnect after the server ended or refused the stream. The recording continues in the same file,
    /// without duplicate frames. [default: 5 with --live, otherwise 0]
    #[arg(long, value_name = "ATTEMPTS", help_heading = "Reconnecting")]
    #[arg(allow_hyphen_values = true)]
    pub retry: Option<Attempts>,

    /// Wait for a stream that does not exist yet [default DURATION: forever]
    ///
    /// rtmpull asks for a missing stream every 5 seconds, and stays connected if the server accepts the
    /// request. DURATION is a number of seconds, a duration such as 1h30m, or forever.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "forever",
        help_heading = "Reconnecting"
    )]
    #[arg(value_parser = values::wait)]
    pub wait: Option<Duration>,

    /// How a live recording handles time that is missing after a lost connection
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "keep",
        help_heading = "Reconnecting"
    )]
    #[arg(value_parser = values::gap_policy())]
    pub gap: GapPolicy,

    /// Wait this long for another publisher after the publisher of a live stream has left
    ///
    /// A number of seconds, a duration such as 1h30m, or forever. [default: 10s with --live, otherwise 0]
    #[arg(long, value_name = "DURATION", help_heading = "Reconnecting")]
    #[arg(allow_hyphen_values = true, value_parser = values::wait)]
    pub republish_wait: Option<Duration>,

    /// Start a new file at the first keyframe after every DURATION of stream time
    ///
    /// DURATION is a number of seconds, or a duration such as 1h30m. Each file plays on its own, with
    /// timestamps from 0. If the file name has no counter and no time (see --flv), later files are called
    /// name.2.flv, name.3.flv and so on. Audio-only streams are split at any frame.
    #[arg(long, value_name = "DURATION", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true, value_parser = values::duration)]
    pub segment_time: Option<Duration>,

    /// Start a new file at the first keyframe after a file reaches this size, such as 500MB
    #[arg(long, value_name = "SIZE", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true, value_parser = values::size)]
    pub segment_size: Option<u64>,

    /// Start a new file at the first keyframe after every multiple of DURATION in local time
    ///
    /// Multiples count from midnight: 1h starts a new file at every full hour. The maximum is 24h.
    #[arg(long, value_name = "DURATION", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true, value_parser = values::duration)]
    pub segment_clock: Option<Duration>,

    /// Start a new file if the codec, resolution or sample rate changes
    ///
    /// Most players do not follow such a change within a file. Without this option, rtmpull still reports each
    /// change.
    #[arg(long, help_heading = "Segments and limits")]
    pub split_on_change: bool,

    /// Append a line of JSON to this file for each completed segment
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Segments and limits", allow_hyphen_values = true)]
    pub manifest: Option<PathBuf>,

    /// Deletion of old segments.
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// Run a program for each completed segment
    ///
    /// COMMAND is a program and its arguments. It is split into words as in a shell, with quotes and
    /// backslashes, but it runs without a shell: variables are not expanded. The words {path}, {segment},
    /// {offset_ms}, {duration_ms}, {bytes} and {start} are replaced by facts of the segment. The environment
    /// contains the same facts as RTMPULL_PATH, RTMPULL_SEGMENT and so on. The output of the program goes to
    /// standard error. Up to four programs run at a time without delaying the recording; at the end, rtmpull
    /// waits up to ten seconds for them.
    #[arg(long, alias = "on-part", value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    #[arg(help_heading = "Segments and limits", allow_hyphen_values = true)]
    pub on_segment: Option<String>,

    /// Run a program when media arrives: at the start, and after each gap
    ///
    /// COMMAND works as in --on-segment, with the facts of the segment that is being written. One more fact,
    /// {reason} or RTMPULL_REASON, is start for the first frame and gap for the first frame after a gap.
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    #[arg(help_heading = "Segments and limits", allow_hyphen_values = true)]
    pub on_start: Option<String>,

    /// Stop when the recording has this duration: seconds, or a duration such as 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true, value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// Stop before the recording exceeds this size, such as 500MB or 2GiB
    ///
    /// The limit applies to all segments together.
    #[arg(long, value_name = "SIZE", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true, value_parser = values::size)]
    pub max_size: Option<u64>,

    /// Stop at this time: 20:15, "2026-11-22 20:15" or 2026-11-22T20:15:00+01:00
    ///
    /// A time without an offset is local. A time of day is its next occurrence.
    #[arg(long, value_name = "TIME", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub until: Option<Until>,

    /// Stop with an error when the disk of the recording has less free space than this, such as 1GB
    #[arg(long, value_name = "SIZE", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true, value_parser = values::size)]
    pub min_free: Option<u64>,

    /// Repair truncated files and make them seekable; with -o, write the result to another file
    ///
    /// rtmpull cuts off an incomplete last tag and rebuilds the metadata and the keyframe index. Complete
    /// tags stay unchanged. A file written by rtmpull is repaired in place. Any other file is rewritten to a
    /// temporary file in the same folder, which then replaces it, so that the disk needs free space of the
    /// same size. With -o, --repair takes a single file, which stays unchanged.
    ///
    /// If rtmpull was killed, its MP4 file is finished in place. MP4 files of other programs are refused.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Recording")]
    #[arg(num_args = 1.., action = ArgAction::Append)]
    pub repair: Vec<PathBuf>,

    /// Options that read a file instead of a stream.
    #[command(flatten)]
    pub conversion: Conversion,

    /// URL of the SWF player to send to the server as swfUrl
    #[arg(
        short,
        long = "swfUrl",
        value_name = "URL",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub swf_url: Option<String>,

    /// URL of the web page to send to the server as pageUrl
    #[arg(
        short,
        long = "pageUrl",
        value_name = "URL",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub page_url: Option<String>,

    /// URL of the app to send to the server as tcUrl [default: derived from the stream URL]
    #[arg(
        short,
        long = "tcUrl",
        value_name = "URL",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub tc_url: Option<String>,

    /// Flash Player version to send to the server [default: "LNX 10,0,32,18" on Linux]
    #[arg(short, long = "flashVer", value_name = "VERSION")]
    #[arg(help_heading = "Connect parameters", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub flash_ver: Option<String>,

    /// Stream name for FCSubscribe, sent before playing [default: the playpath with --live]
    #[arg(
        short = 'd',
        long,
        value_name = "NAME",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub subscribe: Option<String>,

    /// Send set_playlist with the stream name before playing
    #[arg(short = 'Y', long, help_heading = "Connect parameters")]
    pub playlist: bool,

    /// Append an argument to the connect command, such as S:text (repeatable)
    ///
    /// The types are B (boolean, 0 or 1), N (number), S (string) and Z (null, without data). O:1 starts an
    /// object and O:0 ends it. Members of an object have a name: NB:name:1, NN:name:5, NS:name:text, and
    /// NO:name:1 for a nested object.
    #[arg(short = 'C', long = "conn", value_name = "TYPE:DATA", action = ArgAction::Append)]
    #[arg(help_heading = "Connect parameters", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub conn: Vec<String>,

    /// Do not announce Enhanced RTMP in the connect command, for servers that reject it
    #[arg(long, help_heading = "Connect parameters")]
    pub no_enhanced: bool,

    /// Text to append to the connect command as authentication
    #[arg(
        short = 'u',
        long,
        value_name = "TEXT",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub auth: Option<String>,

    /// Key to answer the SecureToken of the server
    #[arg(short = 'T', long, value_name = "KEY", help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub token: Option<String>,

    /// Usher token for the servers of Justin.tv
    #[arg(
        short = 'j',
        long,
        value_name = "TEXT",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub jtv: Option<String>,

    /// User name to log in with, instead of the one in the URL
    #[arg(long, value_name = "NAME", help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub user: Option<String>,

    /// Password to log in with; the process list shows it to other users
    #[arg(long, value_name = "TEXT", help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true, overrides_with = "password_file")]
    #[arg(value_parser = values::text())]
    pub password: Option<String>,

    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Authentication", allow_hyphen_values = true)]
    #[arg(overrides_with = "password")]
    pub password_file: Option<PathBuf>,

    /// Hash of the SWF player for SWF verification, as 64 hex digits; needs --swfsize
    #[arg(
        short = 'w',
        long = "swfhash",
        value_name = "HEX",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::sha256)]
    pub swf_hash: Option<[u8; 32]>,

    /// Size of the uncompressed SWF player in bytes; needs --swfhash
    #[arg(
        short = 'x',
        long = "swfsize",
        value_name = "BYTES",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::positive_number)]
    pub swf_size: Option<u32>,

    /// URL or file of the SWF player; rtmpull computes its hash and size for SWF verification
    ///
    /// The player may be compressed. The result for a URL is cached in ~/.swfinfo, as rtmpdump does; if that
    /// file does not exist and XDG_CACHE_HOME is set, in $XDG_CACHE_HOME/rtmpull/swfinfo. The URL is also
    /// sent as swfUrl, unless --swfUrl names another one.
    #[arg(short = 'W', long = "swfVfy", value_name = "URL", value_hint = ValueHint::Url)]
    #[arg(help_heading = "Authentication", allow_hyphen_values = true)]
    pub swf_vfy: Option<String>,

    /// Days until a cached SWF player is checked for changes; 0 checks it every time [default: 30]
    #[arg(
        short = 'X',
        long = "swfAge",
        value_name = "DAYS",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub swf_age: Option<u32>,

    /// Timeout in seconds for each network step; 0 is no limit [default: 30 for media, otherwise 10]
    ///
    /// The timeout applies separately to each step of connecting, to the handshake, to the answer to each
    /// command, to the first media, and to silence between media.
    #[arg(short = 'm', long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub timeout: Option<u32>,

    /// Timeout in seconds for each step of connecting; 0 is no limit [default: as --timeout, or 10]
    ///
    /// The steps are name lookup, TCP, proxy, TLS and tunnel.
    #[arg(long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub connect_timeout: Option<u32>,

    /// Connect over IPv4 only
    #[arg(
        short = '4',
        long,
        help_heading = "Connection",
        overrides_with = "ipv6"
    )]
    pub ipv4: bool,

    /// Connect over IPv6 only
    #[arg(
        short = '6',
        long,
        help_heading = "Connection",
        overrides_with = "ipv4"
    )]
    pub ipv6: bool,

    /// Buffer length in milliseconds to announce to the server [default: a few seconds, growing]
    ///
    /// Servers send about this much media ahead of real time. If the buffer is large, some servers drop
    /// frames that a slow connection cannot carry.
    #[arg(short, long, value_name = "MS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub buffer: Option<u32>,

    /// Receive a recorded stream at the pace of the server: do not speed it up with pause/unpause
    #[arg(short = 'R', long, help_heading = "Connection")]
    pub realtime: bool,

    /// Connect through this SOCKS4 proxy [default port: 1080]
    #[arg(
        short = 'S',
        long,
        value_name = "HOST[:PORT]",
        help_heading = "Connection"
    )]
    #[arg(allow_hyphen_values = true, overrides_with = "proxy")]
    #[arg(value_parser = values::socks)]
    pub socks: Option<Endpoint>,

    /// Connect through this proxy, such as socks5://USER:PASSWORD@HOST:PORT (also socks4a, socks4 and http)
    ///
    /// With http://, rtmpull uses the CONNECT method. The proxy looks up host names, except with socks4://.
    /// Without --proxy and --socks, ALL_PROXY names the proxy and NO_PROXY the hosts that need none; an empty
    /// value of --proxy disables both. The process list shows --proxy to other users, but not ALL_PROXY.
    /// [default port: 1080]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, overrides_with = "socks")]
    pub proxy: Option<String>,

    /// RTMP handshake to offer
    #[arg(
        long,
        value_name = "KIND",
        default_value = "auto",
        help_heading = "Connection"
    )]
    #[arg(value_parser = values::handshake())]
    pub handshake: Mode,

    /// Continue without encryption if an rtmpe server does not encrypt
    ///
    /// Without this option, that is an error. With it, rtmpull logs a warning and continues.
    #[arg(long, help_heading = "Connection")]
    pub allow_plain: bool,

    /// Wait for each answer before sending the next command, for servers that cannot handle pipelining
    #[arg(long, help_heading = "Connection")]
    pub no_pipelining: bool,

    /// Trust the certificates in this PEM file in addition to those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "TLS")]
    #[arg(allow_hyphen_values = true)]
    pub ca_file: Option<PathBuf>,

    /// Trust only the certificate with this SHA-256 fingerprint, 64 hex digits
    ///
    /// Name, validity and issuer of the certificate are not checked. To print the fingerprint of a
    /// certificate, use `openssl x509 -noout -fingerprint -sha256`.
    #[arg(long, value_name = "HEX", help_heading = "TLS")]
    #[arg(allow_hyphen_values = true, value_parser = values::fingerprint)]
    pub tls_pin: Option<[u8; 32]>,

    /// Trust any certificate; anyone on the network path can then read and change the stream
    #[arg(long, help_heading = "TLS")]
    pub insecure: bool,

    /// How to show progress: bar, lines, json or none [default: bar]
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

    /// Print what is sent to the server and what it answers, with times
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
    /// Parses a command line, which starts with the name of the program.
    pub fn read(command_line: impl IntoIterator<Item = OsString>) -> Result<Self, NoDownload> {
        let command_line: Vec<OsString> = command_line.into_iter().collect();
        let name = command_line
            .first()
            .map_or(ProgramName::Rtmpull, ProgramName::of);
        if command_line.len() < 2 && name == ProgramName::Rtmpull {
            return Err(NoDownload::NoArguments(short_help::INTRODUCTION));
        }
        let command = Self::command();
        let mut args = abbreviations::expand(&command, command_line).and_then(|line| {
            Self::parsed(line).map_err(|error| NoDownload::of(name, &command, &error))
        })?;
        if let Some(what) = args.generate {
            return Err(NoDownload::Stdout(what.text(command)));
        }
        args.name = name;
        args.order_outputs();
        Ok(args)
    }

    /// Makes `-o FILE --tee -` the same as `-o - --tee FILE`.
    fn order_outputs(&mut self) {
        let is_stdout = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new(STDOUT));
        if is_stdout(&self.tee) && self.flv.is_some() {
            mem::swap(&mut self.flv, &mut self.tee);
        }
    }

    fn parsed(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(line)?;
        let mut args = Self::from_arg_matches(&matches)?;
        args.explain.keep_given(&command, &matches);
        let (mode, allowed) = match &args {
            Self { probe, .. } if probe.is_requested() => {
                ("--probe records nothing", &ALLOWED_WITH_PROBE[..])
            }
            Self { repair, .. } if !repair.is_empty() => {
                ("--repair downloads nothing", &ALLOWED_WITH_REPAIR[..])
            }
            Self { conversion, .. } if conversion.is_requested() => {
                ("--remux downloads nothing", &ALLOWED_WITH_REMUX[..])
            }
            Self { streams, .. } if streams.streams.is_some() => {
                let mode = "--streams reads the options of streams from its file";
                (mode, &ALLOWED_WITH_STREAMS[..])
            }
            _ => return Ok(args),
        };
        let is_excluded = |arg: &&Arg| {
            let id = arg.get_id().as_str();
            matches.value_source(id) == Some(ValueSource::CommandLine) && !allowed.contains(&id)
        };
        let excluded = command.get_arguments().find(is_excluded);
        match excluded.map(ToString::to_string) {
            Some(arg) => {
                let why = format!("{mode}: it cannot be used with {arg}");
                Err(command.error(ErrorKind::ArgumentConflict, why))
            }
            None => Ok(args),
        }
    }

    /// Parses the options of one of several streams.
    ///
    /// # Errors
    ///
    /// Fails with the reason in one line, and with the rejected option.
    pub(super) fn of_stream(words: impl Iterator<Item = OsString>) -> Result<Self, Rejected> {
        let program = OsString::from("rtmpull");
        let parsed = Self::parsed([program].into_iter().chain(words).collect());
        let mut args = parsed.map_err(|error| Rejected::of(&error))?;
        args.order_outputs();
        Ok(args)
    }

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

/// An option of a stream that is rejected.
#[derive(Debug)]
pub(super) struct Rejected {
    /// Long name of the option.
    pub(super) option: Option<String>,
    /// Reason in one line.
    pub(super) reason: String,
}

impl Rejected {
    fn of(error: &clap::Error) -> Self {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => Some(option),
            Some(ContextValue::Strings(options)) => options.first(),
            _ => None,
        };
        let option = option.and_then(|option| option.strip_prefix("--"));
        let name = option.and_then(|option| option.split([' ', '=', '[']).next());
        Self {
            option: name.map(str::to_owned),
            reason: no_download::message(error.kind(), error),
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
    /// Also what is sent to the server and what it answers.
    Verbose,
    /// Everything.
    Debug,
}

/// File name that stands for standard output.
pub const STDOUT: &str = "-";

/// Arguments that may be used together with --repair.
const ALLOWED_WITH_REPAIR: [&str; 6] = ["repair", "flv", "quiet", "verbose", "debug", "log_file"];

/// Arguments that may be used together with --streams.
const ALLOWED_WITH_STREAMS: [&str; 15] = [
    "streams",
    "check",
    "watch",
    "keep_running",
    "shard",
    "max_connections",
    "stagger",
    "progress",
    "progress_fd",
    "heartbeat",
    "metrics",
    "quiet",
    "verbose",
    "debug",
    "log_file",
];

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
  2  incomplete: the file holds what arrived
  3  no connection";
