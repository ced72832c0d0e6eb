//! Container formats of the outputs.

use anyhow::{Result, ensure};

use super::paths::{Output, Outputs};
use crate::{
    cli::{args::Args, program_name::ProgramName},
    output::{Destination, Format, PipeOptions},
};

/// Container formats of a recording in files and of a pipe.
#[derive(Debug)]
pub(super) struct Formats {
    /// Format of the files.
    pub(super) file: Format,
    /// Format of the pipe.
    pipe: Format,
}

impl Formats {
    /// Resolves the names of the outputs and `--format`, or fails if they contradict each other.
    pub(super) fn of(args: &Args, outputs: &Outputs) -> Result<Self> {
        let formats = Self::named(args, outputs)?;
        let Outputs { recording, pipe } = outputs;
        let is_file_mp4 = recording.is_file() && formats.file == Format::Mp4;
        ensure!(
            !args.hls.hls || is_file_mp4,
            "--hls needs an MP4 file: use it with -o name.mp4"
        );
        ensure!(
            !args.hls.hls || !(args.append || args.resume),
            "--hls cannot continue the playlist of an earlier recording: \
             use it without --append and --resume"
        );
        ensure!(
            !args.conversion.faststart || is_file_mp4,
            "--faststart needs an MP4 file: name one with -o, such as -o name.mp4"
        );
        let has_mp4_pipe = formats.pipe == Format::Mp4 && (pipe.is_some() || !recording.is_file());
        ensure!(
            args.fragment.is_none() || has_mp4_pipe,
            "--fragment needs a pipe that gets MP4: use it with -o - --format mp4"
        );
        Ok(formats)
    }

    fn named(args: &Args, Outputs { recording, pipe }: &Outputs) -> Result<Self> {
        if args.name == ProgramName::Rtmpdump {
            ensure!(
                args.format != Some(Format::Mp4),
                "the name rtmpdump stands for FLV: use --format mp4 under the name rtmpull"
            );
            return Ok(Self {
                file: Format::Flv,
                pipe: Format::Flv,
            });
        }
        let option = args.format.unwrap_or_default();
        let Some(pipe) = pipe else {
            let Output { destination, .. } = recording;
            let format = by_name(destination);
            if let (Some(by_name), Some(given)) = (format, args.format) {
                ensure!(
                    by_name == given,
                    "--format contradicts the extension of the file name"
                );
            }
            let format = format.unwrap_or(option);
            return Ok(Self {
                file: format,
                pipe: format,
            });
        };
        Ok(Self {
            file: by_name(&recording.destination).unwrap_or(option),
            pipe: by_name(pipe).unwrap_or(option),
        })
    }

    /// Returns the options of the pipe.
    pub(super) fn pipe_options(&self, args: &Args) -> PipeOptions {
        let default = PipeOptions::default();
        let fragment_ms = args.fragment.map(|fragment| fragment.as_millis());
        PipeOptions {
            format: self.pipe,
            fragment_ms: fragment_ms.map_or(default.fragment_ms, |milliseconds| {
                u64::try_from(milliseconds).unwrap_or(u64::MAX)
            }),
        }
    }
}

/// Returns the format that the extension of a name selects.
pub(in crate::cli) fn by_name(destination: &Destination) -> Option<Format> {
    Format::by_extension(destination.extension()?)
}
