//! Where tags go: a file, or a pipe.

mod backlog;
mod early;
mod file;
mod pipe;
mod queue;

use std::{
    fs::{self, File},
    io,
    ops::Add,
    path::{Path, PathBuf},
    time::Instant,
};

use self::{
    early::Early,
    file::TagFile,
    pipe::{Pipe, PipeTarget},
    queue::Queue,
};
use crate::{
    amf::Object,
    flv::{
        Layout, Metadata, Tag, TagKind, Writer,
        codec::{audio::AudioTag, video::VideoTag},
    },
    payload::Payload,
};

/// Where the stream is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, a FIFO or a device.
    Path(PathBuf),
}

/// One output of one download. Nothing is opened, and an existing file not touched, before the first
/// frame.
#[derive(Debug)]
pub(super) struct Output {
    destination: Destination,
    /// What the server told so far, for the heads to come.
    metadata: Metadata,
    early: Early,
    part: Option<Part>,
    /// The number of the latest part.
    parts: u32,
    configuration: Configuration,
    spent: Vec<Payload>,
    /// What went into the files of former parts.
    former: Written,
    /// How much waits for a pipe's reader while the stream goes on; none where the stream waits.
    backlog_bytes: Option<usize>,
}

/// How much went into an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written {
    pub(super) bytes: u64,
    /// Those behind the heads.
    pub(super) tags: u64,
}

/// One FLV: the whole output, but for recordings of more than 24 days.
#[derive(Debug)]
struct Part {
    sink: Sink,
    queue: Queue,
    /// The place of its first tag on the output clock.
    start_ms: u64,
    has_video: bool,
}

#[derive(Debug)]
enum Sink {
    File(Box<TagFile>),
    Pipe(Pipe),
}

/// The codec configuration that a new part starts with.
#[derive(Debug, Default)]
struct Configuration {
    video: Option<Payload>,
    audio: Option<Payload>,
}

/// What the output has to know of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nature {
    pub(super) kind: TagKind,
    pub(super) is_configuration: bool,
    /// Whether it carries media, and so drives the clock.
    pub(super) is_frame: bool,
}

impl Nature {
    pub(super) fn of_video(body: &[u8]) -> Self {
        let tag = VideoTag::parse(body);
        Self {
            kind: TagKind::VIDEO,
            is_configuration: tag.as_ref().is_ok_and(VideoTag::is_configuration),
            is_frame: tag
                .as_ref()
                .map_or(!body.is_empty(), VideoTag::carries_media),
        }
    }

    pub(super) fn of_audio(body: &[u8]) -> Self {
        let tag = AudioTag::parse(body);
        Self {
            kind: TagKind::AUDIO,
            is_configuration: tag.as_ref().is_ok_and(AudioTag::is_configuration),
            is_frame: tag
                .as_ref()
                .map_or(!body.is_empty(), AudioTag::carries_media),
        }
    }
}

impl Output {
    pub(super) fn new(destination: Destination) -> Self {
        Self {
            destination,
            metadata: Metadata::default(),
            early: Early::default(),
            part: None,
            parts: 1,
            configuration: Configuration::default(),
            spent: Vec::new(),
            former: Written::default(),
            backlog_bytes: None,
        }
    }

    /// Lets the stream go on when the reader of a pipe pauses, with as many bytes waiting for it.
    pub(super) fn go_on_without_reader(&mut self, backlog_bytes: usize) {
        self.backlog_bytes = Some(backlog_bytes);
        if let Some(Sink::Pipe(pipe)) = self.part.as_mut().map(|part| &mut part.sink) {
            pipe.go_on_without_reader(backlog_bytes);
        }
    }

    /// What went out. Tags that wait do not count yet.
    pub(super) fn written(&self) -> Written {
        match &self.part {
            Some(part) => self.former + part.sink.written(),
            None => self.former,
        }
    }

    /// The server's `onMetaData`, decoded and as it came: the one for the head, the other where the head
    /// is gone down a pipe.
    pub(super) fn metadata(
        &mut self,
        now: Instant,
        at_ms: u64,
        members: Object,
        payload: Payload,
    ) -> io::Result<()> {
        match self.part.as_mut().map(|part| &mut part.sink) {
            Some(Sink::Pipe(_)) => return self.tag(now, TagKind::SCRIPT, at_ms, payload),
            Some(Sink::File(file)) => {
                file.writer().set_metadata(&members);
            }
            None => {}
        }
        self.metadata.merge(&members);
        self.spent.push(payload);
        Ok(())
    }

    /// Script data other than `onMetaData`. What comes before the first frame waits for it.
    pub(super) fn script(&mut self, now: Instant, at_ms: u64, payload: Payload) -> io::Result<()> {
        let nature = Nature {
            kind: TagKind::SCRIPT,
            is_configuration: false,
            is_frame: false,
        };
        self.media(now, nature, at_ms, payload)
    }

    /// An audio or video message at its place on the output clock. What comes before the first frame
    /// waits for it, and gets its place.
    pub(super) fn media(
        &mut self,
        now: Instant,
        nature: Nature,
        at_ms: u64,
        payload: Payload,
    ) -> io::Result<()> {
        let Nature { kind, is_frame, .. } = nature;
        if nature.is_configuration {
            self.configuration.keep(kind, &payload);
        }
        match &self.part {
            None if !is_frame => {
                self.hold(nature, payload);
                return Ok(());
            }
            None => self.begin_first_part(now, at_ms)?,
            Some(part) if is_frame && part.is_to_end(at_ms, kind, &payload) => {
                self.begin_next_part(now, at_ms)?;
            }
            Some(_) => {}
        }
        self.tag(now, kind, at_ms, payload)
    }

    /// When [`Output::flush`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let part = self.part.as_ref()?;
        let pipe_deadline = self.pipe().and_then(Pipe::deadline);
        part.queue.deadline().into_iter().chain(pipe_deadline).min()
    }

    /// Writes what waits: to a pipe whenever there is something, to a file once its time has come.
    pub(super) fn settle(&mut self, now: Instant) -> io::Result<()> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        let is_due = match part.sink {
            Sink::Pipe(_) => !part.queue.is_empty(),
            Sink::File(_) => part
                .queue
                .deadline()
                .is_some_and(|deadline| deadline <= now),
        };
        if is_due {
            self.flush(now)?;
        }
        if let Some(Sink::Pipe(pipe)) = self.part.as_mut().map(|part| &mut part.sink) {
            pipe.settle(now);
        }
        Ok(())
    }

    /// Whether the reader of a pipe is so far behind that the network is to wait.
    pub(super) fn is_full(&self) -> bool {
        self.pipe().is_some_and(Pipe::is_full)
    }

    /// Whether a live stream goes on while the reader of its pipe is behind.
    pub(super) fn is_behind(&self) -> bool {
        self.pipe().is_some_and(Pipe::is_behind)
    }

    /// Waits for a pipe's reader. Cancelling loses nothing.
    pub(super) async fn wait_for_reader(&mut self) -> io::Result<()> {
        if let Some(Part {
            sink: Sink::Pipe(pipe),
            ..
        }) = &mut self.part
        {
            let batch = pipe.wait().await?;
            self.spent.extend(batch.into_iter().map(Payload::reuse));
        }
        Ok(())
    }

    /// A payload whose bytes are written.
    pub(super) fn take_spent(&mut self) -> Option<Payload> {
        self.spent.pop()
    }

    /// Writes all that is left. A pipe's reader may take until `deadline`; without one, any time.
    pub(super) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.end_part()?;
        while self.pipe().is_some_and(|pipe| !pipe.is_idle()) {
            match deadline {
                None => self.wait_for_reader().await?,
                Some(deadline) => {
                    let wait = self.wait_for_reader();
                    match tokio::time::timeout_at(deadline.into(), wait).await {
                        Ok(waited) => waited?,
                        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                    }
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, nature: Nature, payload: Payload) {
        if payload.is_empty() {
            self.spent.push(payload);
            return;
        }
        let dropped = &mut self.spent;
        self.early
            .hold(nature.kind, nature.is_configuration, payload, dropped);
    }

    fn tag(&mut self, now: Instant, kind: TagKind, at_ms: u64, payload: Payload) -> io::Result<()> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        part.has_video |= kind == TagKind::VIDEO;
        let timestamp_ms = u32::try_from(at_ms.saturating_sub(part.start_ms)).unwrap_or(u32::MAX);
        part.queue
            .push(now, Tag::new(kind, timestamp_ms, payload).into_bytes());
        let has_waited = part.queue.deadline().is_some_and(|due| due <= now);
        if part.queue.is_full() || has_waited {
            self.flush(now)?;
        }
        Ok(())
    }

    fn begin_first_part(&mut self, now: Instant, at_ms: u64) -> io::Result<()> {
        let sink = self.open(now)?;
        self.part = Some(Part::new(sink, first_start_ms(at_ms)));
        for (kind, payload) in self.early.take() {
            self.tag(now, kind, at_ms, payload)?;
        }
        Ok(())
    }

    /// Goes on with a file of its own, or down the same pipe, with timestamps from 0.
    fn begin_next_part(&mut self, now: Instant, at_ms: u64) -> io::Result<()> {
        match &mut self.part {
            // A second head in a pipe would be garbage between two tags.
            Some(part) if matches!(part.sink, Sink::Pipe(_)) => part.start_ms = at_ms,
            _ => {
                self.end_part()?;
                let sink = self.open_next(now)?;
                self.former = self.written();
                self.part = Some(Part::new(sink, at_ms));
            }
        }
        for (kind, configuration) in self.configuration.all() {
            self.tag(now, kind, at_ms, configuration)?;
        }
        Ok(())
    }

    /// Anything but a regular file is written as a pipe: no seeking, no truncating, no index.
    fn open(&self, now: Instant) -> io::Result<Sink> {
        let path = match &self.destination {
            Destination::Stdout => return self.start_pipe(PipeTarget::Stdout),
            Destination::Path(path) => path,
        };
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
                self.start_pipe(PipeTarget::Path(path.clone()))
            }
            _ => self.begin_file(file::open(path)?, now),
        }
    }

    /// The file of a later part: under the next number where nothing is yet. Nobody asked for it by
    /// name, so it never takes the place of another.
    fn open_next(&mut self, now: Instant) -> io::Result<Sink> {
        let Destination::Path(path) = &self.destination else {
            return self.open(now);
        };
        while self.parts < MAX_PARTS {
            self.parts += 1;
            let path = numbered(path, self.parts);
            match file::open_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let sink = self.begin_file(opened?, now)?;
                    tracing::info!("FLV's timestamps end, going on in {}", path.display());
                    return Ok(sink);
                }
            }
        }
        let why = format!("no free name among {MAX_PARTS} parts");
        Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
    }

    fn begin_file(&self, file: File, now: Instant) -> io::Result<Sink> {
        let file = TagFile::begin(file, self.writer(Layout::Seekable), now)?;
        Ok(Sink::File(Box::new(file)))
    }

    fn start_pipe(&self, target: PipeTarget) -> io::Result<Sink> {
        let head = self.writer(Layout::Plain).head();
        let mut pipe = Pipe::start(target, head)?;
        if let Some(limit) = self.backlog_bytes {
            pipe.go_on_without_reader(limit);
        }
        Ok(Sink::Pipe(pipe))
    }

    /// A writer that knows what the server told so far.
    fn writer(&self, layout: Layout) -> Writer {
        let mut writer = Writer::new(layout);
        writer.take_over(&self.metadata);
        writer
    }

    /// Writes what waits, and makes the head of a file true every now and then.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        self.write_out()?;
        match self.part.as_mut().map(|part| &mut part.sink) {
            Some(Sink::File(file)) => file.patch_if_due(now),
            _ => Ok(()),
        }
    }

    /// Writes what waits to a file, or sends it to the thread of a pipe.
    fn write_out(&mut self) -> io::Result<()> {
        let Some(part) = self.part.as_mut().filter(|part| !part.queue.is_empty()) else {
            return Ok(());
        };
        match &mut part.sink {
            Sink::File(file) => {
                let appended = file.append(part.queue.buffers());
                self.spent.extend(part.queue.drain().map(Payload::reuse));
                appended
            }
            Sink::Pipe(pipe) => {
                let mut empty = Vec::new();
                while let Some(batch) = pipe.poll() {
                    let mut batch = batch?;
                    self.spent.extend(batch.drain(..).map(Payload::reuse));
                    empty = batch;
                }
                let mut dropped = Vec::new();
                let sent = pipe.send(part.queue.take(empty), &mut dropped);
                self.spent.extend(dropped.into_iter().map(Payload::reuse));
                sent
            }
        }
    }

    /// Writes what waits and makes the head of a file true, also where the disk is full.
    fn end_part(&mut self) -> io::Result<()> {
        let written = self.write_out();
        let patched = match self.part.as_mut().map(|part| &mut part.sink) {
            Some(Sink::File(file)) => file.patch(),
            _ => Ok(()),
        };
        written.and(patched)
    }

    fn pipe(&self) -> Option<&Pipe> {
        match &self.part {
            Some(Part {
                sink: Sink::Pipe(pipe),
                ..
            }) => Some(pipe),
            _ => None,
        }
    }
}

impl Written {
    fn add_tags(&mut self, tags: &[Vec<u8>]) {
        self.bytes += tags.iter().map(|tag| tag.len() as u64).sum::<u64>();
        self.tags += tags.len() as u64;
    }
}

impl Add for Written {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            tags: self.tags + other.tags,
        }
    }
}

impl Sink {
    fn written(&self) -> Written {
        match self {
            Self::File(file) => file.written(),
            Self::Pipe(pipe) => pipe.written(),
        }
    }
}

impl Part {
    fn new(sink: Sink, start_ms: u64) -> Self {
        Self {
            sink,
            queue: Queue::default(),
            start_ms,
            has_video: false,
        }
    }

    /// FLV counts in 31 bits. In the last minute the next frame that a player can begin with starts
    /// a new part, at the end any does.
    fn is_to_end(&self, at_ms: u64, kind: TagKind, body: &[u8]) -> bool {
        let timestamp_ms = at_ms.saturating_sub(self.start_ms);
        timestamp_ms > LAST_TIMESTAMP_MS
            || timestamp_ms > LAST_TIMESTAMP_MS - ENTRY_PATIENCE_MS
                && self.can_begin_with(kind, body)
    }

    /// Looks for a keyframe into the frame itself, which is too much to do for each.
    fn can_begin_with(&self, kind: TagKind, body: &[u8]) -> bool {
        match kind {
            TagKind::VIDEO => {
                VideoTag::parse(body).is_ok_and(|tag| tag.is_keyframe(USUAL_NAL_LENGTH_SIZE))
            }
            _ => !self.has_video,
        }
    }
}

impl Configuration {
    fn keep(&mut self, kind: TagKind, payload: &Payload) {
        let kept = match kind {
            TagKind::VIDEO => &mut self.video,
            TagKind::AUDIO => &mut self.audio,
            _ => return,
        };
        if payload.len() > early::MAX_BYTES {
            tracing::debug!("configuration of {} bytes is not kept", payload.len());
            return;
        }
        let kept = kept.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(payload);
    }

    fn all(&self) -> Vec<(TagKind, Payload)> {
        let video = self.video.clone().map(|payload| (TagKind::VIDEO, payload));
        let audio = self.audio.clone().map(|payload| (TagKind::AUDIO, payload));
        video.into_iter().chain(audio).collect()
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

/// `name.flv`, `name.2.flv`, `name.3.flv` …
fn numbered(path: &Path, part: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{part}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// What nearly every stream has in front of its NAL units.
const USUAL_NAL_LENGTH_SIZE: u8 = 4;

/// The largest timestamp of an FLV tag: 24 days, 20 hours, 31 minutes (FLV E.4.1).
const LAST_TIMESTAMP_MS: u64 = i32::MAX as u64;

/// The highest number of a part: decades of recording. Without a bound a server whose clock leaps
/// could make files without end.
const MAX_PARTS: u32 = 1000;

/// How long before that a good place for a cut is taken.
const ENTRY_PATIENCE_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
