//! Every flag once. The doc comment of a field is its help text.
//!
//! House rules: letters and long names are rtmpdump's wherever it has the option, mixed case
//! included; a long name may be cut short while it stays clear; an option given again replaces what
//! was given before, `-C` alone adds to it; what follows an option is its value even if it begins
//! with a hyphen. A flag that this version cannot honour is an error.

mod abbreviations;
mod no_download;
pub mod values;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::ValueHint,
    error::ErrorKind, parser::ValueSource,
};

pub use self::no_download::NoDownload;
use self::values::{
    Attempts, Interval, Protocol, Seconds, Size, Socks, Span, SwfHash, TlsPin, Until, Wait,
};
use super::{generate::Generate, program_name::ProgramName};

/// Downloads recorded and live RTMP streams to FLV files.
///
/// A recording is playable however it ends; the last line and the exit code tell how it ended.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "rtmpull",
    version,
    disable_version_flag = true,
    disable_help_flag = true,
    args_override_self = true,
    after_help = AFTER_HELP,
    override_usage = "rtmpull [OPTIONS] <URL> -o <FILE>"
)]
pub struct Args {
    /// The stream: rtmp://host/app/stream, or rtmp://host:port/app/stream
    ///
    /// The first two directories of the path are taken for the app on the server if there are three
    /// parts or more, else the first one; what follows is the name of the stream. --app and
    /// --playpath say it exactly. Options may follow the URL as for --url.
    #[arg(value_name = "URL", value_hint = ValueHint::Url, conflicts_with_all = ["rtmp", "url"])]
    pub stream: Option<String>,

    /// The stream, given as rtmpdump takes it
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub rtmp: Option<String>,

    /// The stream with options in the same text: "rtmp://host/app/stream live=1 swfUrl=address"
    ///
    /// This is librtmp's notation, which other players take too. The names are app, playpath, tcUrl,
    /// swfUrl, pageUrl, flashVer, conn, subscribe, live, playlist, start and stop (in milliseconds),
    /// buffer, timeout, token, jtv, socks, swfVfy, swfAge, pubUser and pubPasswd. In a value \20 is a
    /// space. What is given as an option of its own wins.
    #[arg(short = 'i', long, value_name = "TEXT", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub url: Option<String>,

    /// The stream is live: ask for nothing recorded, record until it ends or you press Ctrl-C
    ///
    /// Without it the server is asked for the live stream of that name, or else the recorded one. With
    /// it an end by Ctrl-C is a success, since no end is known that could be missing.
    #[arg(short = 'v', long, help_heading = "Stream")]
    pub live: bool,

    /// The server, instead of the URL's
    #[arg(short = 'n', long, value_name = "NAME", value_hint = ValueHint::Hostname)]
    #[arg(help_heading = "Stream", allow_hyphen_values = true)]
    pub host: Option<String>,

    /// The server's port, instead of the URL's; 0 is the protocol's own
    #[arg(short = 'c', long, value_name = "PORT", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true, value_parser = values::port)]
    pub port: Option<u16>,

    /// How RTMP travels, instead of the URL's scheme: rtmp or 0, and so on
    ///
    /// rtmp (0), rtmpt (1), rtmpe (2), rtmpte (3), rtmps (4), rtmpts (5).
    #[arg(short = 'l', long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub protocol: Option<Protocol>,

    /// The app on the server, instead of the URL's
    #[arg(short, long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub app: Option<String>,

    /// The name of the stream in the app, sent exactly as given
    #[arg(short = 'y', long, value_name = "NAME", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub playpath: Option<String>,

    /// Start so many seconds into a recorded stream, or at a time such as 1h30m
    #[arg(short = 'A', long, value_name = "SECONDS", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub start: Option<Seconds>,

    /// Stop so many seconds into the stream
    ///
    /// The server is told, and whatever it sends beyond is not recorded. Seconds, or a time such as
    /// 1h30m.
    #[arg(short = 'B', long, value_name = "SECONDS", help_heading = "Stream")]
    #[arg(allow_hyphen_values = true)]
    pub stop: Option<Seconds>,

    /// Where to write the recording; - is standard output
    ///
    /// Without it the recording goes to standard output too, never to a terminal. An existing file is
    /// replaced once the first media arrives, not before; with --live only if
    /// --overwrite or --append is given.
    ///
    /// The name may have a counter and the local time in it: %d is the number of the part, with zeros
    /// as in %03d; %Y %m %e year, month and day of the month, %H %M %S hour, minute and second, and
    /// further %y %j %I %p %F %T %s %z as in date(1); %% is a percent sign. Such a name never takes the
    /// place of a file that is there: a number is put in. A name with any other percent sign in it is
    /// taken as it is.
    #[arg(short = 'o', long = "flv", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Recording", allow_hyphen_values = true)]
    pub flv: Option<PathBuf>,

    /// Go on with the recording that is in the file; without a file, begin
    ///
    /// What comes is compared with what the file ends with, and what is new is appended. A file of
    /// another stream is refused and stays as it is. Not with --live: see --append.
    #[arg(short = 'e', long, help_heading = "Recording")]
    pub resume: bool,

    /// Replace an existing recording of a live stream, as is done with recorded ones
    ///
    /// Without it, and without --append, a file that holds something is refused with --live: what it
    /// holds cannot be had again. A pipe or a device is never refused.
    #[arg(long, help_heading = "Recording", conflicts_with_all = ["append", "resume"])]
    pub overwrite: bool,

    /// Go on with the recording that is in the file, of a live stream too; without a file, begin
    ///
    /// What comes is recognised where the file has it, and nothing is written twice. Where it does not
    /// lead up to the file's end, the time since then is a gap: see --gap.
    #[arg(long, help_heading = "Recording")]
    pub append: bool,

    /// Look for the place to resume at so many keyframes earlier
    #[arg(
        short = 'k',
        long,
        value_name = "KEYFRAMES",
        help_heading = "Recording"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub skip: Option<u32>,

    /// Write plain tags: no room for metadata and a keyframe table, nothing rewritten
    ///
    /// Such a file is what a pipe would get. --repair gives it an index later.
    #[arg(long, help_heading = "Recording")]
    pub no_index: bool,

    /// Have the recording on the disk at least so often: 10 or 10s, 1m; 0 leaves it to the system
    ///
    /// What a power failure can cost. A program that is killed, or crashes, costs a second whatever this
    /// is. [default: 10 seconds]
    #[arg(long, value_name = "SECONDS", help_heading = "Recording")]
    #[arg(allow_hyphen_values = true)]
    pub sync: Option<Interval>,

    /// Keep the server's timestamps instead of starting at 0
    #[arg(long, help_heading = "Recording")]
    pub keep_timestamps: bool,

    /// Record into this file what goes into a pipe, as if it were the output
    ///
    /// For -o -, a FIFO or a device. All that is said of files counts for this one: its name, its
    /// index, its parts, --resume, --append and --overwrite, limits and what scripts are told. A reader that
    /// pauses holds up a recorded stream, and costs the file nothing of a live one. When the reader
    /// leaves, the recording goes on.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Recording", allow_hyphen_values = true)]
    pub tee: Option<PathBuf>,

    /// How much of a live stream waits for the reader of a pipe before frames are left out
    ///
    /// A reader that pauses holds up a recorded stream. A live one goes on: once so much waits, whole
    /// groups of pictures are left out (of audio alone, whole seconds), and it goes on with a keyframe.
    /// Takes units as in 500K, 64MiB or 1G.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Recording"
    )]
    #[arg(allow_hyphen_values = true)]
    pub queue_size: Size,

    /// How many attempts in a row to make when the connection is lost: a number, or forever
    ///
    /// After 1, 2, 4 ... 30 seconds each. The count begins anew once media flows. What the server says
    /// is over, or refuses, is not tried again. A live recording goes on in the same file, with nothing
    /// written twice; a recorded one goes on where it was. [default: 5 for live streams, else 0]
    #[arg(long, value_name = "ATTEMPTS", help_heading = "Reconnecting")]
    #[arg(allow_hyphen_values = true)]
    pub retry: Option<Attempts>,

    /// Ask every 5 seconds for a stream that is not there yet, for so long or without an end
    ///
    /// Seconds, or a time such as 1h30m. --wait alone is forever.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "forever",
        help_heading = "Reconnecting"
    )]
    pub wait: Option<Wait>,

    /// What becomes of the time that a lost connection costs a live recording
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "keep",
        help_heading = "Reconnecting"
    )]
    pub gap: Gap,

    /// How long to wait for another publisher of a live stream when one has left [default: 10 seconds]
    #[arg(long, value_name = "DURATION", help_heading = "Reconnecting")]
    #[arg(allow_hyphen_values = true)]
    pub republish_wait: Option<Wait>,

    /// Begin a new file at the first keyframe behind every so much of the stream
    ///
    /// Seconds, or a time such as 1h30m. Each file plays on its own, with timestamps from 0. Without a
    /// counter or the time in its name (see --flv) the second one is called name.2.flv, and so on.
    /// Streams of audio alone are cut at any frame.
    #[arg(long, value_name = "DURATION", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub segment_time: Option<Span>,

    /// Begin a new file at the first keyframe once one has this size, such as 500MB
    #[arg(long, value_name = "SIZE", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub segment_size: Option<Size>,

    /// Begin a new file at the first keyframe behind every multiple of this on the clock: 1h is each full hour
    ///
    /// Local time, counted from midnight; a day at most.
    #[arg(long, value_name = "DURATION", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub segment_clock: Option<Span>,

    /// Add a line of JSON to a file for each segment, once it is complete
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Segments and limits", allow_hyphen_values = true)]
    pub manifest: Option<PathBuf>,

    /// Run a program for each segment, once it is complete
    ///
    /// The value is a program and its arguments, split and unquoted as a shell does, but without a
    /// shell: nothing is expanded. Its environment has RTMPULL_PATH, RTMPULL_SEGMENT, RTMPULL_OFFSET_MS,
    /// RTMPULL_DURATION_MS, RTMPULL_BYTES and RTMPULL_START; what it prints goes to standard error. Up
    /// to four run at a time beside the recording, which waits ten seconds for them at its end.
    #[arg(long, alias = "on-part", value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    #[arg(help_heading = "Segments and limits", allow_hyphen_values = true)]
    pub on_segment: Option<String>,

    /// Stop once the recording is so long: seconds, or a time such as 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub duration: Option<Span>,

    /// Stop before the recording is larger than this, such as 500MB or 2GiB
    ///
    /// All parts together. The frame that would not fit any more is left out.
    #[arg(long, value_name = "SIZE", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub max_size: Option<Size>,

    /// Stop at this time: 20:15, "2026-11-22 20:15", or 2026-11-22T20:15:00+01:00
    ///
    /// Local time where no offset is given. A time of day is the next such time.
    #[arg(long, value_name = "TIME", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub until: Option<Until>,

    /// Stop when less than this is free on the recording's disk, as if the disk were full
    #[arg(long, value_name = "SIZE", help_heading = "Segments and limits")]
    #[arg(allow_hyphen_values = true)]
    pub min_free: Option<Size>,

    /// Make files whole and seekable that were cut off, whoever wrote them; takes -o for one file
    ///
    /// Cuts off a torn end and rebuilds metadata and keyframe table. A file of ours is repaired in place.
    /// Others are written anew beside the old one, which takes as much room on the disk, and take its
    /// name when they are whole; with -o under that name. Every whole tag is kept as it is.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Recording")]
    #[arg(num_args = 1.., action = ArgAction::Append)]
    pub repair: Vec<PathBuf>,

    /// The address of the page's player, for servers that ask
    #[arg(
        short,
        long = "swfUrl",
        value_name = "URL",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    pub swf_url: Option<String>,

    /// The address of the page that the player is on, for servers that ask
    #[arg(
        short,
        long = "pageUrl",
        value_name = "URL",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    pub page_url: Option<String>,

    /// The address that was opened, up to the app [default: made of the URL]
    #[arg(
        short,
        long = "tcUrl",
        value_name = "URL",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    pub tc_url: Option<String>,

    /// The version of Flash Player to pass for [default: "LNX 10,0,32,18", by system]
    #[arg(short, long = "flashVer", value_name = "VERSION")]
    #[arg(help_heading = "Connect parameters", allow_hyphen_values = true)]
    pub flash_ver: Option<String>,

    /// The live stream to subscribe to before playing [default: the playpath, with --live]
    #[arg(
        short = 'd',
        long,
        value_name = "NAME",
        help_heading = "Connect parameters"
    )]
    #[arg(allow_hyphen_values = true)]
    pub subscribe: Option<String>,

    /// Set a playlist of the one stream before playing it
    #[arg(short = 'Y', long, help_heading = "Connect parameters")]
    pub playlist: bool,

    /// A further argument of connect, such as S:text (repeatable)
    ///
    /// B:1 and B:0 are booleans, N:number a number, S:text a string, Z: null. O:1 begins an object and
    /// O:0 ends it; what is between them has a name: NB:name:1, NN:name:number, NS:name:text, and
    /// NO:name:1 for an object in the object.
    #[arg(short = 'C', long = "conn", value_name = "TYPE:DATA", action = ArgAction::Append)]
    #[arg(help_heading = "Connect parameters", allow_hyphen_values = true)]
    pub conn: Vec<String>,

    /// Leave out what Enhanced RTMP added to connect, for servers that stumble over it
    #[arg(long, help_heading = "Connect parameters")]
    pub no_enhanced: bool,

    /// The text that proves the right to connect, sent behind connect's object
    #[arg(
        short = 'u',
        long,
        value_name = "TEXT",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true)]
    pub auth: Option<String>,

    /// The key to answer the server's secure token with
    #[arg(short = 'T', long, value_name = "KEY", help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true)]
    pub token: Option<String>,

    /// The token of Justin.tv's servers
    #[arg(
        short = 'j',
        long,
        value_name = "TEXT",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true)]
    pub jtv: Option<String>,

    /// Who logs in, instead of the URL's user
    #[arg(long, value_name = "NAME", help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true)]
    pub user: Option<String>,

    /// The password of the user, which other users of this computer can see
    #[arg(long, value_name = "TEXT", help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true, overrides_with = "password_file")]
    pub password: Option<String>,

    /// A file whose first line is the password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Authentication")]
    #[arg(allow_hyphen_values = true, overrides_with = "password")]
    pub password_file: Option<PathBuf>,

    /// The player's hash, 64 hex digits, to prove that we are it; needs --swfsize
    #[arg(
        short = 'w',
        long = "swfhash",
        value_name = "HEX",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true)]
    pub swf_hash: Option<SwfHash>,

    /// The player's size, uncompressed, in bytes; needs --swfhash
    #[arg(
        short = 'x',
        long = "swfsize",
        value_name = "BYTES",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::above_0)]
    pub swf_size: Option<u32>,

    /// The address of the player, to fetch it and prove that we are it; or its file
    ///
    /// It may be packed in any way. What is found out is remembered in .swfinfo in the home folder, as
    /// rtmpdump does; if there is none yet, in rtmpull/swfinfo in XDG_CACHE_HOME where that is set. It
    /// is also the swfUrl unless --swfUrl says another.
    #[arg(short = 'W', long = "swfVfy", value_name = "URL", value_hint = ValueHint::Url)]
    #[arg(help_heading = "Authentication", allow_hyphen_values = true)]
    pub swf_vfy: Option<String>,

    /// For how many days the player is taken for unchanged, with --swfVfy [default: 30]
    ///
    /// Then, and always with 0, the server is asked whether it has changed.
    #[arg(
        short = 'X',
        long = "swfAge",
        value_name = "DAYS",
        help_heading = "Authentication"
    )]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub swf_age: Option<u32>,

    /// How many seconds to wait at any step before giving up; 0 is for ever
    ///
    /// Bounds each wait on its own: for the connection, the handshake, the answer to each command, the
    /// first media, and the next media. [default: 30 for media, 10 before that]
    #[arg(short = 'm', long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub timeout: Option<u32>,

    /// How many seconds name, TCP, proxy and TLS may take, each of them; 0 is for ever
    ///
    /// [default: 10, or as --timeout says]
    #[arg(long, value_name = "SECONDS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub connect_timeout: Option<u32>,

    /// Use IPv4 alone
    #[arg(
        short = '4',
        long,
        help_heading = "Connection",
        overrides_with = "ipv6"
    )]
    pub ipv4: bool,

    /// Use IPv6 alone
    #[arg(
        short = '6',
        long,
        help_heading = "Connection",
        overrides_with = "ipv4"
    )]
    pub ipv6: bool,

    /// The buffer to announce to the server, in milliseconds [default: a few seconds, growing]
    ///
    /// Servers send about as much ahead of time as fits the buffer. Some drop what a slow line cannot
    /// carry if it is large.
    #[arg(short, long, value_name = "MS", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub buffer: Option<u32>,

    /// Leave the server its pace: no pausing and going on to have it send faster
    #[arg(short = 'R', long, help_heading = "Connection")]
    pub realtime: bool,

    /// The SOCKS 4 proxy to go through [default port: 1080]
    #[arg(
        short = 'S',
        long,
        value_name = "HOST[:PORT]",
        help_heading = "Connection"
    )]
    #[arg(allow_hyphen_values = true, overrides_with = "proxy")]
    pub socks: Option<Socks>,

    /// The proxy to go through: socks5://user:password@host:port, socks4a://, socks4:// or http://
    ///
    /// http:// stands for CONNECT. Names are looked up by the proxy, but for socks4://. Without this
    /// and --socks, ALL_PROXY says which proxy, and NO_PROXY which hosts need none; an empty text
    /// here is none at all. Other users of this computer can see what is written here, but not
    /// ALL_PROXY. [default port: 1080]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    #[arg(allow_hyphen_values = true, overrides_with = "socks")]
    pub proxy: Option<String>,

    /// Which handshake to offer; auto is digest, and plain where the server knows no other
    #[arg(
        long,
        value_name = "KIND",
        default_value = "auto",
        help_heading = "Connection"
    )]
    pub handshake: Handshake,

    /// Go on in the clear where the server does not encrypt, with rtmpe
    ///
    /// Without it that is an error. Whether it came to that is told.
    #[arg(long, help_heading = "Connection")]
    pub allow_plain: bool,

    /// Wait for each answer before the next command: slower to start, for servers that stumble
    #[arg(long, help_heading = "Connection")]
    pub no_pipelining: bool,

    /// A PEM file of certificates to trust, beside those that the system trusts
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "TLS")]
    #[arg(allow_hyphen_values = true)]
    pub ca_file: Option<PathBuf>,

    /// Trust the one certificate with this SHA-256, 64 hex digits, and no other
    ///
    /// Its name, date and issuer do not matter then. `openssl x509 -noout -fingerprint -sha256` prints
    /// that of a certificate.
    #[arg(long, value_name = "HEX", help_heading = "TLS")]
    #[arg(allow_hyphen_values = true)]
    pub tls_pin: Option<TlsPin>,

    /// Trust any certificate: whoever is on the way can read and change everything
    #[arg(long, help_heading = "TLS")]
    pub insecure: bool,

    /// How progress is told: bar, lines, json or none [default: bar]
    ///
    /// bar is one on a terminal, and lines elsewhere. json is an object a line on standard error, where
    /// messages are such objects, too; README.md explains them. none has the messages stay, and so has
    /// --quiet the events.
    #[arg(
        long,
        value_name = "KIND",
        help_heading = "Scripting",
        hide_possible_values = true
    )]
    #[arg(allow_hyphen_values = true)]
    pub progress: Option<ProgressKind>,

    /// Write the events of --progress json to this file descriptor; standard error stays as it is
    ///
    /// The caller has it open: --progress-fd 3 3>events. It may be a pipe, a file or a device; 1 is
    /// standard output. A reader that is slow or gone delays nothing, and misses events.
    #[arg(long, value_name = "NUMBER", help_heading = "Scripting")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub progress_fd: Option<u32>,

    /// Rewrite a file every two seconds while media arrives: JSON of time, position and bytes
    ///
    /// It is replaced as a whole, so that its modification time and its content are always those of one
    /// moment. systemd is told by itself where it asks: READY=1 once media arrives, WATCHDOG=1 while it
    /// does.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Scripting", allow_hyphen_values = true)]
    pub heartbeat: Option<PathBuf>,

    /// Show progress as a row of # instead of numbers
    #[arg(short = '#', long, help_heading = "Messages")]
    pub hashes: bool,

    /// Print nothing at all; the exit code still tells how it ended
    #[arg(short, long, help_heading = "Messages", overrides_with_all = ["verbose", "debug"])]
    pub quiet: bool,

    /// Print what is said and heard
    #[arg(short = 'V', long, help_heading = "Messages", overrides_with_all = ["quiet", "debug"])]
    pub verbose: bool,

    /// Print everything, each message that arrives included
    #[arg(short = 'z', long, help_heading = "Messages", overrides_with_all = ["quiet", "verbose"])]
    pub debug: bool,

    /// Add to a file what --verbose prints, with the time, even if nothing is printed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Messages")]
    #[arg(allow_hyphen_values = true)]
    pub log_file: Option<PathBuf>,

    /// Print the manual page, or the completions of a shell
    #[arg(long, value_name = "WHAT", help_heading = "Messages")]
    pub generate: Option<Generate>,

    /// Print help: -h in brief, --help in full
    #[arg(short, long, action = ArgAction::Help, help_heading = "Messages")]
    pub help: Option<bool>,

    /// Print the version
    #[arg(long, action = ArgAction::Version, help_heading = "Messages")]
    pub version: Option<bool>,

    /// What the program is called.
    #[arg(skip)]
    pub name: ProgramName,
}

impl Args {
    /// Reads a command line, the program's name first.
    pub fn read(command_line: impl IntoIterator<Item = OsString>) -> Result<Self, NoDownload> {
        let command_line: Vec<OsString> = command_line.into_iter().collect();
        let name = command_line
            .first()
            .map_or(ProgramName::Rtmpull, ProgramName::of);
        let command = Self::command();
        let mut args = abbreviations::expand(&command, command_line).and_then(|line| {
            Self::parsed(line).map_err(|error| NoDownload::of(name, &command, &error))
        })?;
        if let Some(what) = args.generate {
            return Err(NoDownload::Stdout(what.text(command)));
        }
        args.name = name;
        Ok(args)
    }

    fn parsed(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(line)?;
        let args = Self::from_arg_matches(&matches)?;
        let is_out_of_place = |arg: &&Arg| {
            let id = arg.get_id().as_str();
            matches.value_source(id) == Some(ValueSource::CommandLine)
                && !TAKEN_WITH_REPAIR.contains(&id)
        };
        let out_of_place = command.get_arguments().find(is_out_of_place);
        match out_of_place.map(ToString::to_string) {
            Some(arg) if !args.repair.is_empty() => {
                let why = format!("--repair downloads nothing: it cannot be used with {arg}");
                Err(command.error(ErrorKind::ArgumentConflict, why))
            }
            _ => Ok(args),
        }
    }

    /// How much to print.
    pub fn verbosity(&self) -> Verbosity {
        match self {
            Self { quiet: true, .. } => Verbosity::Quiet,
            Self { verbose: true, .. } => Verbosity::Verbose,
            Self { debug: true, .. } => Verbosity::Debug,
            _ => Verbosity::Normal,
        }
    }
}

/// What becomes of time that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Gap {
    /// It counts, by the clock on the wall
    Keep,
    /// What follows is joined to what came before
    Close,
    /// What follows is a new file
    Split,
}

/// A choice of handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Handshake {
    /// Digest, and plain where the server knows no other
    Auto,
    /// Without digests
    Plain,
    /// With digests, or not at all
    Digest,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    /// A bar on a terminal, else lines
    Bar,
    /// A line with numbers, written over and over
    Lines,
    /// Objects of JSON, one a line
    Json,
    /// Not at all
    None,
}

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// How it goes.
    Normal,
    /// What is said and heard, too.
    Verbose,
    /// Everything.
    Debug,
}

/// The arguments that mean something together with --repair.
const TAKEN_WITH_REPAIR: [&str; 6] = ["repair", "flv", "quiet", "verbose", "debug", "log_file"];

const AFTER_HELP: &str = "\
Examples:
  rtmpull rtmp://example.com/vod/film.flv -o film.flv
  rtmpull --live rtmp://example.com/live/camera -o camera.flv
  rtmpull --live rtmp://example.com/live/camera | ffplay -
  rtmpull --repair camera.flv

Exit codes:
  0  complete, or a live recording that you ended
  1  wrong usage, refused by the server, or the output could not be written
  2  incomplete: what arrived is in the file
  3  no connection";
