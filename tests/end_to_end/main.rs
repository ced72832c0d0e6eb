//! End-to-end tests: the rtmpull program against the test server and against real servers.
//!
//! All tests form one binary, which links faster than one binary per subject.

#![cfg(has_end_to_end_tests)]
#![allow(unreachable_pub, reason = "nothing reaches into a test binary")]

/// Processes started by tests.
mod process;

/// Real servers, players and proxies.
mod peers;

/// The rtmpull program.
mod program;

/// Parallel test cases.
mod parallel;

/// Source clips.
mod fixtures;

/// Comparison of a file with its source.
mod verify;

/// Test server.
#[path = "../server/mod.rs"]
mod server;

/// Test server, verified with rtmpdump and ffmpeg.
mod test_server;

/// Downloads from the test server.
mod downloads;

/// Segments, hooks and limits.
#[cfg(unix)]
mod segments;

/// Deletion of old segments.
#[cfg(unix)]
mod retention;

/// Slow and full disks.
#[cfg(target_os = "linux")]
mod disks;

/// Changes of codec, resolution or sample rate.
mod format_changes;

/// MP4 files and pipes.
#[cfg(unix)]
mod mp4;

/// Streams with several tracks.
mod tracks;

/// MP4 files with their tables at the start.
#[cfg(unix)]
mod faststart;

/// Conversions of FLV files.
#[cfg(unix)]
mod remux;

/// Encrypted sessions.
mod encrypted;

/// Downloads through RTMPT.
mod tunnels;

/// rtmpull in place of rtmpdump.
mod drop_in;

/// Front ends of rtmpdump.
mod front_ends;

/// Hints after failed sessions.
mod hints;

/// Explanations of failed requests.
mod explain;

/// Output of `--verbose`.
mod verbose;

/// Probes.
mod probe;

/// Capture files.
mod captures;

/// Pipes with slow readers, and `--tee`.
#[cfg(unix)]
mod pipes;

/// Live recordings across lost connections.
mod rejoin;

/// Resumed downloads.
mod resume;

/// Protocols, proxies and TLS.
mod transport;

/// JSON events, heartbeat and service messages.
mod scripts;

/// Many streams in one process.
#[cfg(unix)]
mod streams;

/// Metrics, health checks and the status page.
#[cfg(unix)]
mod metrics;

/// Progress on a terminal.
#[cfg(unix)]
mod terminal;

/// Session options set through the library.
mod session_options;

/// SWF player verification.
mod swf_players;

/// Recognition of the software of real servers.
mod server_software;

/// Downloads from real servers.
mod real_servers;

/// Files after kills, and `--repair`.
#[cfg(unix)]
mod durability;

/// The static Linux program in an empty root folder.
#[cfg(target_os = "linux")]
mod empty_root;

/// The Windows program, run by Wine.
#[cfg(target_os = "linux")]
mod windows;

/// Hostile peers, broken networks and unwritable outputs.
mod hostile;
