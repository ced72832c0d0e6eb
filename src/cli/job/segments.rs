//! Segments and limits of a recording.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{Zoned, tz::TimeZone};

use super::{
    environment::Environment,
    hooks::{self, ProgramSearch},
    paths::Output,
};
use crate::{
    cli::args::Args,
    core::flv::head,
    download::Limits,
    output::{
        Destination, Format, KeepPolicy, SEGMENT_FACTS, START_FACTS, SegmentOptions, Template,
        open_manifest,
    },
};

/// Returns how to split the recording, or fails if the options do not fit the output.
pub(super) fn segment_options(
    args: &Args,
    environment: &Environment,
    output: &Output,
    format: Format,
) -> Result<SegmentOptions> {
    let mut segments = SegmentOptions {
        every_ms: args.segments.segment_time.map(milliseconds),
        bytes: args.segments.segment_size,
        clock_seconds: args.segments.segment_clock.map(clock_seconds).transpose()?,
        on_change: args.segments.split_on_change,
        zone: TimeZone::system(),
        manifest: args.manifest.clone(),
        keep: KeepPolicy {
            age: args.retention.keep,
            bytes: args.retention.keep_size,
        },
        on_segment: Vec::new(),
        on_start: Vec::new(),
    };
    let options = [
        ("--segment-time", segments.every_ms.is_some()),
        ("--segment-size", segments.bytes.is_some()),
        ("--segment-clock", segments.clock_seconds.is_some()),
        ("--split-on-change", segments.on_change),
        ("--manifest", segments.manifest.is_some()),
        ("--on-segment", args.hooks.on_segment.is_some()),
        ("--on-start", args.hooks.on_start.is_some()),
        ("--min-free", args.limits.min_free.is_some()),
    ];
    if let Some((option, _)) = options.into_iter().find(|(_, is_given)| *is_given) {
        output.ensure_file(option)?;
    }
    ensure_manifest(&segments)?;
    ensure!(
        !args.resume || !segments.has_split_condition(),
        "--resume continues a single file, which cannot be split into segments"
    );
    if let Some(bytes) = segments.bytes
        && has_head(args, output, format)
    {
        ensure_larger_than_head("--segment-size", bytes)?;
    }
    if let Destination::Template(template) = &output.destination {
        ensure!(
            !args.resume,
            "--resume needs a fixed file name, without a counter or a time"
        );
        ensure_distinct_names(template, &segments)?;
    }
    [segments.on_segment, segments.on_start] = hooks(args, &environment.programs)?;
    Ok(segments)
}

/// Fails if segments could be deleted, but no manifest lists them.
fn ensure_manifest(segments: &SegmentOptions) -> Result<()> {
    let option = match segments.keep {
        KeepPolicy { age: Some(_), .. } => "--keep",
        KeepPolicy { bytes: Some(_), .. } => "--keep-size",
        _ => return Ok(()),
    };
    ensure!(
        segments.manifest.is_some(),
        "{option} needs --manifest: only segments that it lists are deleted"
    );
    Ok(())
}

/// Creates the manifest of a recording that starts, so that an error is reported before.
pub(in crate::cli) fn create_manifest(segments: &SegmentOptions) -> Result<()> {
    if let Some(manifest) = &segments.manifest {
        let opened = open_manifest(manifest);
        opened.with_context(|| format!("cannot write --manifest {}", manifest.display()))?;
    }
    Ok(())
}

/// Returns the limits of the recording at the time `now`.
pub(super) fn limits(args: &Args, output: &Output, format: Format, now: &Zoned) -> Result<Limits> {
    let until = match args.limits.until {
        Some(until) => Some(until.after(now).context("the time of --until has passed")?),
        None => None,
    };
    if let Some(bytes) = args.limits.max_size
        && has_head(args, output, format)
    {
        ensure_larger_than_head("--max-size", bytes)?;
    }
    Ok(Limits {
        duration_ms: args.limits.duration.map(milliseconds),
        bytes: args.limits.max_size,
        until,
        min_free: args.limits.min_free,
        media_time: None,
    })
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn clock_seconds(duration: Duration) -> Result<u32> {
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    ensure!(
        duration.subsec_nanos() == 0 && seconds <= DAY,
        "--segment-clock needs whole seconds, at most 24h"
    );
    Ok(seconds)
}

/// Returns the commands of `--on-segment` and `--on-start`.
fn hooks(args: &Args, search: &ProgramSearch) -> Result<[Vec<String>; 2]> {
    let command = |option, text: Option<&String>, facts| match text {
        Some(text) => hooks::command(option, text, facts, search),
        None => Ok(Vec::new()),
    };
    Ok([
        command(
            "--on-segment",
            args.hooks.on_segment.as_ref(),
            &SEGMENT_FACTS,
        )?,
        command("--on-start", args.hooks.on_start.as_ref(), &START_FACTS)?,
    ])
}

/// Returns whether the recording starts with space for metadata and a keyframe index.
fn has_head(args: &Args, output: &Output, format: Format) -> bool {
    !args.no_index && output.is_file() && format == Format::Flv
}

fn ensure_larger_than_head(option: &str, bytes: u64) -> Result<()> {
    let least = head::LENGTH;
    ensure!(
        bytes > least as u64,
        "{option} must be larger than the head of a file, {least} bytes; \
         with --no-index, files have no head"
    );
    Ok(())
}

/// Rejects a template whose time stays the same for longer than a segment takes: the segments would get
/// numbers instead of the intended times.
fn ensure_distinct_names(template: &Template, segments: &SegmentOptions) -> Result<()> {
    let every = segments.every_ms.map(|ms| (ms / 1000).max(1));
    let clock = segments.clock_seconds.map(u64::from);
    let shortest = every.into_iter().chain(clock).min();
    if let (Some(seconds), Some(constant), false) = (
        shortest,
        template.constant_seconds(),
        template.has_counter(),
    ) {
        ensure!(
            u64::from(constant) <= seconds,
            "segments of {seconds} s would have the same file name: add the counter %d to it"
        );
    }
    Ok(())
}

/// Seconds of a day.
const DAY: u32 = 86_400;
