//! The real program against our own server and against servers that others wrote.
//!
//! One binary, so that it links once; a module for each subject.

#![allow(unreachable_pub, reason = "nothing reaches into a test binary")]

/// Runs programs.
mod process;

/// Servers and players that others wrote.
mod peers;

/// The program itself.
mod program;

/// Source clips.
mod fixtures;

/// What a file holds, compared with its source.
mod verify;

/// Our own server.
#[path = "../server/mod.rs"]
mod server;

/// Our own server, held against players that others wrote.
mod test_server;

/// Downloads from our own server.
mod downloads;

/// Recordings in parts, and limits.
#[cfg(unix)]
mod segments;

/// Encrypted sessions.
mod encrypted;

/// Downloads through HTTP.
mod tunnels;

/// The program in the place of rtmpdump.
mod drop_in;

/// Front ends of rtmpdump.
mod front_ends;

/// Pipes whose readers pause.
#[cfg(unix)]
mod pipes;

/// Live recordings that are gone on with.
mod rejoin;

/// Files that are gone on with.
mod resume;

/// Every way to a server.
mod transport;

/// What scripts and supervisors read.
mod scripts;

/// What a session can play with, from servers that want it.
mod session_options;

/// Players that are proved: their files, and what is remembered of them.
mod swf_players;

/// Downloads from servers that others wrote.
mod real_servers;

/// Files that are cut off, repaired, and written by two at once.
#[cfg(unix)]
mod durability;

/// Peers that break the rules, and ends that nobody wished for.
mod hostile;
