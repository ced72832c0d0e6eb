//! Runs `--remux FILE` and reports as a download does.

use anyhow::anyhow;

use super::{
    Displays,
    args::{Args, STDOUT},
    exit_code::{Exit, NotStarted},
    failure,
    job::{self, Environment},
    output_name,
    report::{
        DisplayOptions, Listener, Listeners,
        json::event::{Event, Options, SCHEMA_VERSION, Start},
    },
    run_until_stopped, usage,
};
use crate::{
    core::amf::Object,
    download::{self, Ending, Report},
    output::{Gaps, SegmentFacts},
    remux::{self, End, Input, Job},
};

/// Converts the files of `args`. Returns the exit code, or why no media was converted.
pub(super) fn run(args: &Args, displays: &Displays) -> Result<Exit, (NotStarted, anyhow::Error)> {
    let job = job::resolve_conversion(args, &Environment::here()).map_err(usage)?;
    if let Some(events) = &displays.events {
        events.write(&Event::Start(start_event(args, &job, displays)));
    }
    let options = DisplayOptions {
        hashes: args.hashes,
        no_progress: args.hides_progress(),
        length_ms: job.limits.duration_ms,
        is_split: job.segments.has_split_condition(),
        is_conversion: true,
        name: args.name,
        ..DisplayOptions::default()
    };
    let mut forward = Forward {
        listeners: displays
            .listeners(args, options, &job.output)
            .map_err(usage)?,
    };
    let converted = run_until_stopped(&displays.screen, async |stop| {
        remux::run(&job, &mut forward, stop).await
    });
    let converted = converted.map_err(failure)?;
    if let End::Input { name, error } = &converted.end
        && converted.frames == 0
    {
        return Err(failure(anyhow!("{name}: {error}")));
    }
    let outcome = outcome(converted);
    forward.listeners.finished(&outcome);
    Ok(Exit::from(&outcome))
}

fn start_event(args: &Args, job: &Job, displays: &Displays) -> Start {
    let names: Vec<String> = job
        .inputs
        .iter()
        .map(|input| match input {
            Input::Stdin => STDOUT.to_owned(),
            Input::File(path) => displays.screen.redacted(&path.display().to_string()),
        })
        .collect();
    Start {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION"),
        url: names.first().cloned().unwrap_or_default(),
        inputs: names,
        output: displays.screen.redacted(&output_name(args, &job.output)),
        options: Options {
            live: false,
            resume: false,
            start_ms: 0,
            length_ms: job.limits.duration_ms,
            max_bytes: job.limits.bytes,
            until: None,
            segment_ms: job.segments.every_ms,
            segment_bytes: job.segments.bytes,
            segment_clock_seconds: job.segments.clock_seconds,
            split_on_change: false,
            tracks: job.tracks.map(|tracks| tracks.to_string()),
        },
    }
}

/// Passes the events of a conversion to the listeners of a download.
struct Forward {
    listeners: Listeners,
}

impl remux::Report for Forward {
    fn metadata(&mut self, metadata: &Object) {
        self.listeners.metadata(metadata);
    }

    fn started(&mut self) {
        self.listeners.started(false);
    }

    fn progress(&mut self, progress: &remux::Progress) {
        self.listeners.progress(&download::Progress {
            frames: progress.frames,
            bytes: progress.bytes,
            position_ms: progress.position_ms,
            duration_ms: expected_ms(progress),
            ..download::Progress::default()
        });
    }

    fn segment(&mut self, facts: &SegmentFacts) {
        self.listeners.segment(facts);
    }
}

/// Estimates the duration of the output from the share of the input that is read.
fn expected_ms(progress: &remux::Progress) -> Option<u64> {
    let length = progress.length?;
    let product = u128::from(progress.position_ms) * u128::from(length);
    let expected_ms = product.checked_div(u128::from(progress.read))?;
    u64::try_from(expected_ms).ok()
}

/// Returns the result of a conversion as that of a download.
fn outcome(converted: remux::Outcome) -> download::Outcome {
    let (ending, reason) = match converted.end {
        End::Complete => (Ending::Ended, "end of the input".to_owned()),
        End::Limit => (Ending::Limit, "the requested limit is reached".to_owned()),
        End::Stopped => (Ending::Interrupted, "stopped by the user".to_owned()),
        End::Input { name, error } => (Ending::Cut, format!("{name}: {error}")),
        End::Output(error) => Ending::of_output(&error),
    };
    // The first frame may exceed a limit, and the reader may leave before it.
    let needs_written = matches!(ending, Ending::Limit | Ending::ReaderGone);
    download::Outcome {
        ending,
        reason,
        media_arrived: converted.frames > 0 && (converted.tags > 0 || !needs_written),
        handshake_done: true,
        is_live: false,
        bytes: converted.bytes,
        tags: converted.tags,
        position_ms: converted.position_ms,
        duration_ms: None,
        gaps: Gaps::default(),
        missing_sequence_headers: Vec::new(),
        missing_tracks: converted.missing_tracks,
        hints: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_expected_duration_grows_with_the_unread_share() {
        let progress = |read, length| remux::Progress {
            position_ms: 30_000,
            read,
            length,
            ..remux::Progress::default()
        };
        assert_eq!(expected_ms(&progress(1 << 20, Some(3 << 20))), Some(90_000));
        assert_eq!(expected_ms(&progress(5, Some(5))), Some(30_000));
        assert_eq!(expected_ms(&progress(0, Some(5))), None);
        assert_eq!(expected_ms(&progress(1 << 20, None)), None);
        let huge = progress(1, Some(u64::MAX));
        assert_eq!(expected_ms(&huge), None);
    }

    #[test]
    fn each_end_of_a_conversion_has_its_ending_and_exit_code() {
        let converted = |end| remux::Outcome {
            end,
            frames: 5,
            bytes: 100,
            tags: 5,
            position_ms: 80,
            missing_tracks: Vec::new(),
        };
        let cut = End::Input {
            name: "in.flv".to_owned(),
            error: remux::Error::Read(io::Error::other("bad sector")),
        };
        for (end, code, word) in [
            (End::Complete, 0, "ended"),
            (End::Limit, 0, "limit"),
            (End::Stopped, 2, "interrupted"),
            (cut, 2, "cut"),
            (
                End::Output(io::ErrorKind::StorageFull.into()),
                1,
                "disk-full",
            ),
            (
                End::Output(io::ErrorKind::BrokenPipe.into()),
                0,
                "reader-gone",
            ),
        ] {
            let outcome = outcome(converted(end));
            assert_eq!(Exit::from(&outcome) as u8, code, "{word}");
            assert_eq!(outcome.ending.to_string(), word);
        }
    }
}
