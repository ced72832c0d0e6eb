//! Cost of many streams in one process: `cargo bench --bench streams`.
//!
//! Each measurement runs the built program with `--streams`. Words after `--` select measurements:
//!
//! - `live`: 500 live streams of 1 Mbit/s (H.264 and AAC). Each frame of each file is compared with the sent frame.
//! - `compare`: rtmpull, one rtmpdump process for each stream, and one ffmpeg process for each fifth stream. The
//!   programs record the same streams of the same server in turn, because the speed of a machine varies.
//!   `RTMPULL_BEFORE` names another build of rtmpull to compare with.
//! - `waiting`: 2,000 streams that are missing, that never send media, or whose server does not run.
//! - `latency`: the time from sending a frame to its arrival in the file, for one stream alone, beside a full disk
//!   and an unread FIFO, and beside 100 other streams.
//!
//! `--count=N` replaces the number of streams. `live` and `compare` keep up to 7 GB of recordings in memory
//! (`/dev/shm`) if that folder exists, otherwise in the folder for temporary files.

mod latency;
#[path = "../measure.rs"]
mod measure;
mod program;
mod recording;
#[path = "../../server/mod.rs"]
mod server;
mod server_process;
mod waiting;

use std::{env, path::Path};

use measure::{is_quick, is_wanted};
use tempfile::TempDir;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [word, seconds, missing] = &*words
        && word == server_process::WORD
    {
        return server_process::serve(number(seconds), missing);
    }
    if !cfg!(target_os = "linux") {
        println!("this bench reads /proc, which only Linux has");
        return;
    }
    let is_quick = is_quick();
    let count = words
        .iter()
        .find_map(|word| word.strip_prefix("--count="))
        .map(number);
    let count = |quick, complete| count.unwrap_or(if is_quick { quick } else { complete });
    if is_wanted("live") {
        let seconds = if is_quick { 2 } else { 60 };
        recording::live(count(20, 500), seconds);
    }
    if is_wanted("compare") {
        let (seconds, turns) = if is_quick { (2, 1) } else { (30, 3) };
        recording::compare(count(20, 500), seconds, turns);
    }
    if is_wanted("waiting") {
        waiting::measure(count(20, 2_000), if is_quick { 2 } else { 60 });
    }
    if is_wanted("latency") {
        let (seconds, turns) = if is_quick { (6, 1) } else { (20, 3) };
        latency::measure(count(20, 100), seconds, turns);
    }
}

/// Returns a folder in memory if possible.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).expect("a folder")
    } else {
        tempfile::tempdir().expect("a folder")
    }
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}
