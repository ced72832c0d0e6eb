//! Resolves the arguments of a conversion.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use jiff::Zoned;

use super::{
    Environment, file_options,
    format::Formats,
    paths::{Outputs, is_stdin_file, is_stdout},
    segments, selected_tracks,
    stream_name::StreamName,
};
use crate::{
    cli::args::{Args, STDOUT},
    output::Destination,
    remux::{Input, Job, Limits},
};

/// Returns the conversion that `args` request.
///
/// # Errors
///
/// Fails if the arguments contradict each other or do not fit the output. The error names the option.
pub fn resolve_conversion(args: &Args, environment: &Environment) -> Result<Job> {
    let inputs = inputs(args, environment)?;
    ensure!(
        args.flv.is_some() || args.tee.is_some(),
        "--remux needs an output: name a file with -o; -o - is standard output"
    );
    let stream = match inputs.first() {
        Some(Input::File(path)) => StreamName::of_file(path),
        Some(Input::Stdin) | None => StreamName::of_file(Path::new("")),
    };
    let outputs = Outputs::of(args, environment, &stream)?;
    let formats = Formats::of(args, &outputs)?;
    let Outputs { recording, pipe } = outputs;
    if inputs.contains(&Input::Stdin)
        && let Destination::Path(output) = &recording.destination
    {
        ensure!(
            !is_stdin_file(output),
            "standard input and the output are the same file {output:?}"
        );
    }
    let segments = segments::segment_options(args, environment, &recording, formats.file)?;
    segments::create_manifest(&segments)?;
    let limits = segments::limits(args, &recording, formats.file, &Zoned::now())?;
    Ok(Job {
        inputs,
        tracks: selected_tracks(args),
        file: file_options(args, formats.file),
        pipe_options: formats.pipe_options(args),
        segments,
        keep_timestamps: args.keep_timestamps,
        limits: Limits {
            duration_ms: limits.duration_ms,
            bytes: limits.bytes,
            min_free: limits.min_free,
        },
        output: recording.destination,
        pipe,
    })
}

fn inputs(args: &Args, environment: &Environment) -> Result<Vec<Input>> {
    let files = &args.conversion.remux;
    ensure!(
        files.len() == 1 || args.conversion.join,
        "--remux converts one file, but {} are given: use --join to join them",
        files.len()
    );
    let input = |file: &PathBuf| match is_stdout(Some(file)) {
        true => Input::Stdin,
        false => Input::File(file.clone()),
    };
    let inputs: Vec<Input> = files.iter().map(input).collect();
    let of_stdin = inputs.iter().filter(|input| **input == Input::Stdin);
    ensure!(
        of_stdin.count() < 2,
        "standard input can be joined only once"
    );
    ensure!(
        !inputs.contains(&Input::Stdin) || !environment.stdin_is_terminal,
        "--remux {STDOUT} reads standard input, but that is a terminal: name a file, or use a pipe"
    );
    Ok(inputs)
}
