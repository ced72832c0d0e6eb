//! How the output is cut, where it ends, and who hears of it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::{Zoned, tz::TimeZone};

use super::paths::is_special;
use crate::{
    cli::{
        args::{
            Args,
            values::{Size, Span},
        },
        program_name::ProgramName,
    },
    core::flv::head,
    download::Limits,
    output::{Destination, SegmentOptions, Template, open_manifest},
};

/// The output of this name. Under rtmpdump's a name is nothing but a name.
pub(super) fn destination(args: &Args, file: &Path) -> Destination {
    let template = match args.name {
        ProgramName::Rtmpull => Template::parse(file),
        ProgramName::Rtmpdump => None,
    };
    match template {
        Some(template) => Destination::Template(template),
        None => Destination::Path(file.to_owned()),
    }
}

/// The parts that `args` ask for, or why there can be none.
pub(super) fn parts(args: &Args, output: &Destination) -> Result<SegmentOptions> {
    let parts = SegmentOptions {
        every_ms: args.segment_time.map(|span| span.ms),
        bytes: args.segment_size.map(|size| size.bytes),
        clock_seconds: args.segment_clock.map(clock_seconds).transpose()?,
        zone: TimeZone::system(),
        manifest: args.manifest.clone(),
        hook: hook(args)?,
    };
    let asking = [
        ("--segment-time", parts.every_ms.is_some()),
        ("--segment-size", parts.bytes.is_some()),
        ("--segment-clock", parts.clock_seconds.is_some()),
        ("--manifest", parts.manifest.is_some()),
        ("--on-segment", args.on_segment.is_some()),
        ("--min-free", args.min_free.is_some()),
    ];
    if let Some((flag, _)) = asking.into_iter().find(|(_, is_given)| *is_given) {
        ensure_file(flag, output)?;
    }
    ensure!(
        !args.resume || !parts.has_split_condition(),
        "--resume goes on with one file, which cannot be cut into parts"
    );
    if let Some(bytes) = parts.bytes
        && has_head(args, output)
    {
        ensure_more_than_head("--segment-size", bytes)?;
    }
    if let Destination::Template(template) = output {
        ensure!(
            !args.resume,
            "--resume needs the name of one file, without a counter or the time in it"
        );
        ensure_different_names(template, &parts)?;
    }
    if let Some(manifest) = &parts.manifest {
        let opened = open_manifest(manifest);
        opened.with_context(|| format!("cannot write --manifest {}", manifest.display()))?;
    }
    Ok(parts)
}

/// Where `args` have the recording end, seen from `now`.
pub(super) fn limits(args: &Args, output: &Destination, now: &Zoned) -> Result<Limits> {
    let until = match args.until {
        Some(until) => Some(until.after(now).context("--until is a time that is past")?),
        None => None,
    };
    if let Some(Size { bytes }) = args.max_size
        && has_head(args, output)
    {
        ensure_more_than_head("--max-size", bytes)?;
    }
    Ok(Limits {
        duration_ms: args.duration.map(|span| span.ms),
        bytes: args.max_size.map(|size| size.bytes),
        until,
        min_free: args.min_free.map(|size| size.bytes),
    })
}

fn clock_seconds(Span { ms }: Span) -> Result<u32> {
    let seconds = u32::try_from(ms / 1000).unwrap_or(u32::MAX);
    ensure!(
        ms % 1000 == 0 && seconds <= DAY,
        "--segment-clock takes whole seconds, and a day at most"
    );
    Ok(seconds)
}

fn hook(args: &Args) -> Result<Vec<String>> {
    let Some(text) = &args.on_segment else {
        return Ok(Vec::new());
    };
    let words = shell_words::split(text).with_context(|| format!("--on-segment {text:?}"))?;
    ensure!(
        words.first().is_some_and(|program| !program.is_empty()),
        "--on-segment names no program"
    );
    Ok(words)
}

/// Whether the recording begins with room for metadata and a keyframe table.
fn has_head(args: &Args, output: &Destination) -> bool {
    !args.no_index && is_file(output)
}

/// Whether it is a file, or will be one, and no pipe or device.
pub(super) fn is_file(output: &Destination) -> bool {
    match output {
        Destination::Stdout => false,
        Destination::Path(path) => !is_special(path),
        Destination::Template(_) => true,
    }
}

fn ensure_more_than_head(flag: &str, bytes: u64) -> Result<()> {
    let least = head::LENGTH;
    ensure!(
        bytes > least as u64,
        "{flag} has to be more than the {least} bytes that the head of a file takes"
    );
    Ok(())
}

pub(super) fn ensure_file(flag: &str, output: &Destination) -> Result<()> {
    match output {
        Destination::Stdout => bail!("{flag} needs an output file: name one with -o"),
        Destination::Path(path) => {
            ensure!(
                !is_special(path),
                "{flag} needs an output file, and {} is none",
                path.display()
            );
        }
        Destination::Template(_) => {}
    }
    Ok(())
}

/// A time in the name that stays the same for longer than a part takes is a slip.
fn ensure_different_names(template: &Template, parts: &SegmentOptions) -> Result<()> {
    let every = parts.every_ms.map(|ms| (ms / 1000).max(1));
    let clock = parts.clock_seconds.map(u64::from);
    let shortest = every.into_iter().chain(clock).min();
    if let (Some(seconds), Some(constant), false) = (
        shortest,
        template.constant_seconds(),
        template.has_counter(),
    ) {
        ensure!(
            u64::from(constant) <= seconds,
            "parts of {seconds} s would have the same name: %d in it numbers them"
        );
    }
    Ok(())
}

/// In seconds.
const DAY: u32 = 86_400;
