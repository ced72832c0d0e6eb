//! A file of an earlier run that the recording continues.

use std::{fs::File, io, path::PathBuf};

use super::{file::existing_movie::ExistingMovie, totals::Totals};
use crate::core::flv::{FrameInfo, HeadWriter};

/// A file that an earlier run wrote.
#[derive(Debug)]
pub(crate) struct ExistingFile {
    pub(crate) path: PathBuf,
    /// Open for reading and writing.
    pub(crate) file: File,
    pub(super) contents: Contents,
    /// Number of intact tags, without a head written by rtmpull, or of frames in an MP4 file.
    pub(super) tags: u64,
    pub(super) has_video: bool,
    /// Whether the stream is proved to continue the file.
    is_proved: bool,
}

/// Contents of an existing file.
#[derive(Debug)]
pub(super) enum Contents {
    /// Statistics of all intact tags; the length is the end of the last one.
    Flv(Box<HeadWriter>),
    Mp4(Box<ExistingMovie>),
}

impl ExistingFile {
    /// Creates an FLV file from the statistics of its intact tags: `tags` of them, without a head written by
    /// rtmpull.
    pub(crate) fn flv(
        (path, file): (PathBuf, File),
        writer: HeadWriter,
        tags: u64,
        has_video: bool,
    ) -> Self {
        Self {
            path,
            file,
            contents: Contents::Flv(Box::new(writer)),
            tags,
            has_video,
            is_proved: false,
        }
    }

    /// Creates an MP4 file.
    pub(crate) fn mp4((path, file): (PathBuf, File), movie: Box<ExistingMovie>) -> Self {
        Self {
            path,
            file,
            tags: movie.frames(),
            has_video: movie.has_video(),
            contents: Contents::Mp4(movie),
            is_proved: false,
        }
    }

    /// Cuts off a torn tag or garbage after the last intact tag: the stream is proved to continue the file. An
    /// intact file is not touched. An MP4 file is only changed when it is reopened.
    pub(super) fn cut_garbage(&mut self) -> io::Result<()> {
        self.is_proved = true;
        let Contents::Flv(writer) = &self.contents else {
            return Ok(());
        };
        let end = writer.length();
        if self.file.metadata()?.len() > end {
            self.file.set_len(end)?;
        }
        Ok(())
    }

    /// Whether the file must be finished although no message was added: it was killed, and is complete.
    pub(super) fn must_be_finished(&self) -> bool {
        match &self.contents {
            Contents::Flv(_) => false,
            Contents::Mp4(movie) => self.is_proved && !movie.is_complete(),
        }
    }

    /// Whether the file is finished, so that it need not be reopened if the recording continues in another one.
    pub(super) fn is_finished(&self) -> bool {
        match &self.contents {
            Contents::Flv(_) => false,
            Contents::Mp4(movie) => movie.is_complete(),
        }
    }

    /// Whether the message needs tracks that the container cannot add to the file.
    pub(super) fn needs_new_setup(&self, info: FrameInfo, body: &[u8]) -> bool {
        match &self.contents {
            Contents::Flv(_) => false,
            Contents::Mp4(movie) => movie.writer().needs_new_setup(info, body),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        match &self.contents {
            Contents::Flv(writer) => Totals {
                bytes: writer.length(),
                tags: self.tags,
            },
            Contents::Mp4(movie) => movie.totals(),
        }
    }
}
