//! Help on one screen.

/// Text of a command line without arguments.
pub(super) const INTRODUCTION: &str = "\
rtmpull downloads recorded and live RTMP streams to FLV or MP4 files.

  rtmpull rtmp://example.com/vod/film.flv -o film.flv
  rtmpull --live rtmp://example.com/live/camera -o camera.flv

For the most common options, use -h; for all of them, --help.
";

/// Text of `-h`: the common options.
pub(super) const SHORT_HELP: &str = "\
Download recorded and live RTMP streams to FLV or MP4 files

Usage: rtmpull [OPTIONS] <URL> [-o <FILE>]

  -o, --output <FILE>         Write the recording to FILE; - is standard output
  -v, --live                  Record a live stream until it ends or Ctrl-C
  -e, --resume                Continue the recording in the output file
      --append                Like --resume, also for a live stream
      --overwrite             Replace an existing file with a live recording
  -A, --start <TIME>          Start this far into a recorded stream
      --duration <DURATION>   Stop when the recording has this duration
      --segment-time <DURATION>
                              Start a new file after every DURATION
      --wait[=<DURATION>]     Wait for a stream that does not exist yet
      --retry <ATTEMPTS>      Reconnect after a lost connection
  -m, --timeout <SECONDS>     Timeout for each network step
      --progress <KIND>       Show progress as bar, lines, json or none
  -q, --quiet                 Print nothing
  -V, --verbose               Print requests and answers
      --streams <FILE>        Record all streams of a TOML file
      --repair <FILE>...      Repair truncated files
      --remux <FILE>...       Convert an FLV file, for example to MP4
      --probe <SOURCE>        Describe a stream or a file

Examples:
  rtmpull rtmp://example.com/vod/film.flv -o film.flv --resume
  rtmpull -v rtmp://example.com/live/camera | ffplay -

A DURATION is a number of seconds, or has units, as in 1h30m.
--help shows all options, and --generate man prints the manual.
";
