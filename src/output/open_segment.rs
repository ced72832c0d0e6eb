//! The file or the pipe that an output begins, and the files that follow it.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::Instant,
};

use jiff::Zoned;

use super::{
    Destination, ExistingFile, FileOptions,
    destination::naming,
    file::{self, TagFile},
    pipe::{Pipe, PipeTarget},
    recording::{LAST_TIMESTAMP_MS, Recording},
    segment::{Origin, Segment, Sink},
};
use crate::core::flv::{HeadWriter, Layout, TagKind};

/// A file or pipe with its head.
#[derive(Debug)]
struct Opened {
    sink: Sink,
    /// How many bytes the head has.
    head: u64,
    path: Option<PathBuf>,
}

impl Recording {
    pub(super) fn begin_first_part(&mut self, now: Instant, at_ms: u64) -> io::Result<()> {
        let origin = self.origin();
        let opened = self.open(now, &origin.began)?;
        self.begin(opened, origin, at_ms, |opened, origin| {
            Segment::first(opened.sink, opened.head, origin, first_start_ms(at_ms))
        });
        Ok(())
    }

    /// Goes on with the file that is gone on with, as its first part.
    pub(super) fn reopen(
        &mut self,
        former: ExistingFile,
        now: Instant,
        at_ms: u64,
    ) -> io::Result<()> {
        let has_video = former.has_video;
        let mut file = TagFile::go_on(former, self.file_options.sync_interval, now)?;
        let is_to_end = self.marks.has_wish();
        if !is_to_end {
            file.writer().inherit_metadata(&self.metadata);
        }
        let opened = Opened {
            head: file.written().bytes,
            sink: Sink::File(Box::new(file)),
            path: match &self.destination {
                Destination::Path(path) => Some(path.clone()),
                Destination::Stdout | Destination::Template(_) => None,
            },
        };
        let origin = self.origin();
        self.begin(opened, origin, at_ms, |opened, origin| {
            Segment::resumed(opened.sink, opened.head, origin, has_video)
        });
        if is_to_end {
            self.marks.wish();
        }
        Ok(())
    }

    /// Goes on with a file of its own, or down the same pipe, with timestamps from 0.
    pub(super) fn begin_next_part(
        &mut self,
        now: Instant,
        kind: TagKind,
        at_ms: u64,
    ) -> io::Result<()> {
        let other_ms = self.latest.other_than(kind);
        if self.pipe().is_some() {
            // A second head in a pipe would be garbage between two tags.
            self.write_out()?;
            if let Some(part) = &mut self.part {
                part.begin_anew(kind, at_ms, other_ms);
            }
        } else {
            self.end_part()?;
            let origin = self.origin();
            let opened = self.open_new(now, &origin.began)?;
            self.begin(opened, origin, at_ms, |opened, origin| {
                Segment::later(opened.sink, opened.head, origin, (kind, at_ms), other_ms)
            });
        }
        // What was held for the former part is among what is kept.
        let held = self.early.take();
        self.spent.extend(held.map(|(_, payload)| payload));
        for (info, configuration) in self.configuration.all() {
            self.tag(now, info, None, configuration)?;
        }
        Ok(())
    }

    /// Takes leave of the former part.
    fn begin(
        &mut self,
        opened: Opened,
        origin: Origin,
        at_ms: u64,
        part: impl FnOnce(Opened, Origin) -> Segment,
    ) {
        self.former = self.totals();
        self.former_bytes = self.bytes();
        self.parts = origin.number;
        self.marks.begin(at_ms, self.wall);
        let origin = Origin {
            path: opened.path.clone(),
            ..origin
        };
        self.part = Some(part(opened, origin));
    }

    fn origin(&self) -> Origin {
        Origin {
            path: None,
            number: self.parts + 1,
            began: self.wall.to_zoned(self.zone.clone()),
        }
    }

    /// Anything but a regular file is written as a pipe: no seeking, no truncating, no index.
    fn open(&mut self, now: Instant, began: &Zoned) -> io::Result<Opened> {
        let path = match &self.destination {
            Destination::Stdout => return self.start_pipe(PipeTarget::Stdout),
            Destination::Template(_) => return self.open_new(now, began),
            Destination::Path(path) => path,
        };
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
                self.start_pipe(PipeTarget::Path(path.clone()))
            }
            _ => {
                let file = file::open(path).map_err(|error| naming(path, &error))?;
                self.begin_file(file, path.clone(), now)
            }
        }
    }

    /// A file under the next name where nothing is yet. Nobody asked for it by name, so it never takes
    /// the place of another.
    fn open_new(&mut self, now: Instant, began: &Zoned) -> io::Result<Opened> {
        let (path, file) = self.names.create(began)?;
        if self.parts > 0 && !self.marks.has_split_condition() {
            tracing::info!("going on in {}", path.display());
        }
        let begun = self.begin_file(file, path.clone(), now);
        if begun.is_err() {
            let _stays_empty = fs::remove_file(path);
        }
        begun
    }

    fn begin_file(&self, file: File, path: PathBuf, now: Instant) -> io::Result<Opened> {
        let FileOptions {
            layout,
            sync_interval,
        } = self.file_options;
        let file = TagFile::begin(file, self.writer(layout), sync_interval, now)?;
        Ok(Opened {
            head: file.written().bytes,
            sink: Sink::File(Box::new(file)),
            path: Some(path),
        })
    }

    fn start_pipe(&self, target: PipeTarget) -> io::Result<Opened> {
        let head = self.writer(Layout::Plain).head();
        let head_length = head.len() as u64;
        let mut pipe = Pipe::start(target, head)?;
        if let Some(limit) = self.backlog_bytes {
            pipe.allow_backlog(limit);
        }
        Ok(Opened {
            head: head_length,
            sink: Sink::Pipe(Box::new(pipe)),
            path: None,
        })
    }

    /// A writer that knows what the server told so far.
    fn writer(&self, layout: Layout) -> HeadWriter {
        let mut writer = HeadWriter::new(layout);
        writer.inherit_metadata(&self.metadata);
        writer
    }
}

/// The place of the first part's 0: that of the caller's clock, unless FLV cannot say how far behind it
/// the first frame is.
fn first_start_ms(at_ms: u64) -> u64 {
    if at_ms <= LAST_TIMESTAMP_MS {
        return 0;
    }
    tracing::info!("the stream begins at {at_ms} ms, beyond FLV's timestamps: counted from there");
    at_ms
}
