//! Downloads a stream from a server on loopback: `cargo run --release --example demo`.

use std::{env, fs, process::ExitCode, time::Instant};

use rtmpull::cli::{self, args::Args};

use server::{Clip, Config, Server, Stream};

/// Server shared with the tests.
#[path = "server/mod.rs"]
mod server;

fn main() -> ExitCode {
    let clip = Clip::sample();
    let server = Server::start(Config::serving(Stream::recorded(clip.clone())));
    let url = server.url("clip");
    let file = env::temp_dir().join("rtmpull-demo.flv");
    let output = file.display().to_string();
    println!("A server on loopback plays three seconds of H.264 and AAC at {url}.");
    println!("$ rtmpull {url} -o {output}");

    let Ok(args) = Args::read(["rtmpull", &url, "-o", &output].map(Into::into)) else {
        panic!("valid arguments");
    };
    let start = Instant::now();
    let exit = cli::run(&args);
    let took = start.elapsed();

    let Ok(bytes) = fs::read(&file) else {
        println!("The download created no file.");
        return ExitCode::FAILURE;
    };
    let ours = Clip::parse(&bytes);
    let is_complete = ours
        .media()
        .map(|tag| &tag.body)
        .eq(clip.media().map(|tag| &tag.body));
    println!(
        "{} bytes in {took:.1?}: {} of {} audio and video tags, {}.",
        bytes.len(),
        ours.media().count(),
        clip.media().count(),
        if is_complete {
            "all equal to the source"
        } else {
            "not equal to the source"
        }
    );
    println!("Play it with: ffplay {output}");
    if is_complete {
        exit.into()
    } else {
        ExitCode::FAILURE
    }
}
