//! Reads an existing recording to find where it ends.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use crate::{
    core::{
        flv::{
            Error, FrameInfo, FrameParser, HeadWriter, TagKind, TagReader, head,
            reader::TagView,
            salvage::{self, MAX_DATA_OFFSET, MAX_TAG_LENGTH},
        },
        mp4::{reader::is_movie, writer::ExistingSample},
        rejoin::matcher::{Expectation, History, MIN_RUN, Matcher, Origin},
    },
    output::{ExistingFile, Format, Purpose, ReadMovie, lock, read_movie},
};

/// Result of reading a file.
#[derive(Debug)]
pub(in crate::download) enum ScanResult {
    /// The file contains no media, so nothing can be lost.
    NoMedia,
    /// The file contains media.
    ExistingRecording(ExistingRecording, Box<ExistingFile>),
    /// The file cannot be continued, and why.
    Unusable(String),
}

/// The facts about existing media that a rejoin needs.
#[derive(Debug, Default)]
pub(in crate::download) struct ExistingRecording {
    history: History,
    first_ms: Option<u64>,
    /// The latest keyframes, in order.
    keyframes: VecDeque<Keyframe>,
    /// Number of bytes read.
    length: u64,
}

#[derive(Debug, Clone, Copy)]
struct Keyframe {
    at_ms: u64,
    /// Number of frames before this keyframe.
    number: u64,
}

/// Reads the file at `path` in pieces up to the first damage. Changes nothing. `format` is the format of the
/// recording.
pub(in crate::download) fn read(path: &Path, format: Format) -> io::Result<ScanResult> {
    let mut options = OpenOptions::new();
    let mut file = match options.read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ScanResult::NoMedia),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(ScanResult::NoMedia);
    }
    lock(&file)?;
    let mut start = Vec::new();
    (&file).take(BOX_HEADER).read_to_end(&mut start)?;
    file.rewind()?;
    match (format, is_movie(&start)) {
        (Format::Mp4, _) if start.starts_with(SIGNATURE) => {
            let why = "it is an FLV file, but the recording is MP4: choose another name or format";
            return Ok(ScanResult::Unusable(why.to_owned()));
        }
        (Format::Mp4, _) => return read_mp4(path, file),
        (Format::Flv, true) => {
            let why = "it is an MP4 file, but the recording is FLV: choose another name or format";
            return Ok(ScanResult::Unusable(why.to_owned()));
        }
        (Format::Flv, false) => {}
    }
    let mut scan = Scan::default();
    let rest = scan.run(&mut file)?;
    if scan.is_damaged(&mut file)? {
        return Ok(ScanResult::Unusable(damaged_at(scan.reader.intact_end())));
    }
    Ok(scan.into_result(path, file, &rest))
}

/// Reads an MP4 file.
fn read_mp4(path: &Path, mut file: File) -> io::Result<ScanResult> {
    let length = file.metadata()?.len();
    let mut recording = ExistingRecording::default();
    let mut note = |sample: ExistingSample, bytes: &[u8]| {
        let info = FrameInfo {
            carries_media: true,
            is_keyframe: sample.is_keyframe,
            ..FrameInfo::opaque(sample.track)
        };
        recording.note(info, sample.at_ms, bytes);
    };
    let read = read_movie(&mut file, length, Purpose::Continue(&mut note), &mut |_| {
        true
    })?;
    Ok(match read {
        ReadMovie::Movie(movie) => {
            let file = ExistingFile::mp4((path.to_owned(), file), movie);
            ScanResult::ExistingRecording(recording, Box::new(file))
        }
        ReadMovie::NoMedia | ReadMovie::Interrupted => ScanResult::NoMedia,
        ReadMovie::Foreign(foreign) => ScanResult::Unusable(foreign.to_string()),
        ReadMovie::Damaged(offset) => ScanResult::Unusable(damaged_at(offset)),
    })
}

fn damaged_at(offset: u64) -> String {
    format!("it is damaged in the middle, at byte {offset} (use --repair first)")
}

/// The state of one pass through a file.
#[derive(Debug, Default)]
struct Scan {
    reader: TagReader,
    parser: FrameParser,
    recording: ExistingRecording,
    writer: Option<HeadWriter>,
    /// Whether the head was written by rtmpull.
    has_own_head: bool,
    tags: u64,
    has_video: bool,
    fault: Option<Error>,
}

impl Scan {
    /// Reads the intact part, and returns the start of the rest.
    fn run(&mut self, file: &mut File) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::new();
        loop {
            let before = buffer.len();
            file.take(READ_BYTES).read_to_end(&mut buffer)?;
            let is_over = buffer.len() == before;
            let mut rest = &buffer[..];
            if self.tags == 0 && self.writer.is_none() {
                self.writer = HeadWriter::reopen(rest);
            }
            self.fault = self.tags_in(&mut rest).err();
            if is_over || self.fault.is_some() {
                return Ok(rest.to_vec());
            }
            let read = buffer.len().saturating_sub(rest.len());
            buffer.drain(..read);
        }
    }

    fn tags_in(&mut self, rest: &mut &[u8]) -> Result<(), Error> {
        // An incomplete head may still be one written by rtmpull.
        let is_head_whole = rest.len() >= head::LENGTH || !head::is_rewritable(rest);
        if self.reader.intact_end() == 0 && !is_head_whole {
            return Ok(());
        }
        while let Some(tag) = self.reader.read(rest)? {
            let is_head = self.tags == 0 && self.writer.is_some();
            self.has_own_head |= is_head;
            self.writer
                .get_or_insert_with(|| HeadWriter::with_foreign_head(tag.offset));
            self.tags = self.tags.saturating_add(1);
            if !is_head {
                self.note(&tag);
            }
        }
        Ok(())
    }

    fn note(&mut self, tag: &TagView<'_>) {
        let timestamp_ms = u32::try_from(tag.header.timestamp_ms).unwrap_or(0);
        let info = self.parser.parse(tag.header.kind, tag.body);
        if let Some(writer) = &mut self.writer {
            writer.tag_written(info, timestamp_ms, tag.body.len());
        }
        self.has_video |= info.track == TagKind::VIDEO;
        self.recording.note(info, timestamp_ms.into(), tag.body);
    }

    /// Whether more than a torn tag follows the last intact tag; continuing there would destroy it.
    /// A killed rtmpdump may leave stale tags of a previous run after its own, so these do not
    /// count in files of other programs.
    fn is_damaged(&self, file: &mut File) -> io::Result<bool> {
        let Some(header) = self.reader.header() else {
            return Ok(false);
        };
        if header.data_offset > MAX_DATA_OFFSET {
            return Ok(true);
        }
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(self.reader.intact_end()))?;
        file.take((MAX_TAG_LENGTH as u64).saturating_add(1))
            .read_to_end(&mut rest)?;
        let may_be_stale = !self.has_own_head && !self.recording.is_empty();
        let has_tag = || rest.get(1..).is_some_and(salvage::contains_tag);
        Ok(rest.len() > MAX_TAG_LENGTH || !may_be_stale && has_tag())
    }

    fn into_result(mut self, path: &Path, file: File, rest: &[u8]) -> ScanResult {
        let length = self.reader.intact_end();
        if self.recording.history.frames() == 0 {
            return self.without_media(rest);
        }
        self.recording.length = length;
        // The tags after a head written by rtmpull.
        let tags = self.tags.saturating_sub(self.has_own_head.into());
        let writer = self
            .writer
            .unwrap_or_else(|| HeadWriter::with_foreign_head(length));
        let opened = (path.to_owned(), file);
        let existing_file = ExistingFile::flv(opened, writer, tags, self.has_video);
        ScanResult::ExistingRecording(self.recording, Box::new(existing_file))
    }

    /// A file whose first frame is incomplete may be overwritten. Any other content may be
    /// valuable.
    fn without_media(&self, rest: &[u8]) -> ScanResult {
        let why = match (self.fault, rest.first()) {
            (Some(Error::PreviousTagSize { .. }), _) => "no tag follows its head",
            (Some(error), _) => return ScanResult::Unusable(error.to_string()),
            (None, Some(kind)) if self.reader.header().is_some() && !KINDS.contains(kind) => {
                "no tag follows its head"
            }
            (None, _) if self.reader.header().is_none() && !SIGNATURE.starts_with(first(rest)) => {
                "it is not an FLV file"
            }
            _ => return ScanResult::NoMedia,
        };
        ScanResult::Unusable(why.to_owned())
    }
}

impl ExistingRecording {
    /// Output time of the last frame, in milliseconds.
    pub(in crate::download) fn end_ms(&self) -> u64 {
        self.history.end_ms()
    }

    /// Output time of the first frame, in milliseconds.
    pub(in crate::download) fn first_ms(&self) -> u64 {
        self.first_ms.unwrap_or(0)
    }

    /// Returns the positions from which to request the stream, in order: the last keyframe with
    /// enough frames after it (or `skip` keyframes earlier), up to three earlier keyframes, and 0.
    pub(in crate::download) fn starts(&self, skip: u32) -> Vec<u32> {
        let mut starts = if self.keyframes.is_empty() {
            self.start_candidates_audio(skip)
        } else {
            self.start_candidates_video(skip)
        };
        starts.retain(|start_ms| *start_ms > 0);
        starts.dedup();
        starts.push(0);
        starts
    }

    fn start_candidates_video(&self, skip: u32) -> Vec<u32> {
        let frames = self.history.frames();
        let has_frames_after =
            |keyframe: &Keyframe| frames.saturating_sub(keyframe.number) >= 2 * MIN_RUN;
        let last = self.keyframes.iter().rposition(has_frames_after);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let count = last.map_or(0, |last| last.saturating_add(1).saturating_sub(skip));
        let keyframes = self.keyframes.iter().take(count).rev().take(MAX_STARTS);
        keyframes
            .map(|keyframe| u32::try_from(keyframe.at_ms).unwrap_or(u32::MAX))
            .collect()
    }

    /// A stream of audio alone can start at any frame.
    fn start_candidates_audio(&self, skip: u32) -> Vec<u32> {
        let back_ms = AUDIO_BACK_MS.saturating_mul(u64::from(skip).saturating_add(1));
        let steps = (0..MAX_STARTS).map(|step| back_ms << step);
        let end_ms = self.history.end_ms();
        steps
            .map(|back_ms| u32::try_from(end_ms.saturating_sub(back_ms)).unwrap_or(u32::MAX))
            .collect()
    }

    /// Returns a matcher for a stream that was requested from `start_ms`.
    pub(in crate::download) fn matcher(&self, start_ms: u32) -> Matcher {
        let end_ms = i64::try_from(self.end_ms()).unwrap_or(i64::MAX);
        let expectation = Expectation {
            is_from_start: start_ms == 0,
            limit_ms: match start_ms {
                0 => end_ms.saturating_mul(2).saturating_add(START_LIMIT_MS),
                _ => end_ms
                    .saturating_sub(start_ms.into())
                    .saturating_add(LIMIT_MS),
            },
            limit_bytes: self.length.saturating_mul(2).saturating_add(LIMIT_BYTES),
            origin: Origin::Recorded,
        };
        Matcher::new(self.history.clone(), expectation)
    }

    /// Returns a matcher for a live stream.
    pub(in crate::download) fn live_matcher(&self, expectation: Expectation) -> Matcher {
        Matcher::new(self.history.clone(), expectation)
    }

    /// Returns a matcher for a second connection to the stream, which compares the latest frames.
    pub(in crate::download) fn second_connection_matcher(&self) -> Matcher {
        let latest = self.history.latest(COMPARED_FRAMES);
        Matcher::new(latest, Expectation::SECOND_CONNECTION)
    }

    /// Number of written frames.
    pub(in crate::download) fn frames(&self) -> u64 {
        self.history.frames()
    }

    /// Keeps at most this number of recent frames from now on.
    pub(in crate::download) fn limit(&mut self, frames: usize) {
        self.history.limit(frames);
    }

    /// Whether no frame was written yet.
    pub(in crate::download) fn is_empty(&self) -> bool {
        self.history.frames() == 0
    }

    /// Adds a message at its output time.
    pub(in crate::download) fn note(&mut self, info: FrameInfo, at_ms: u64, body: &[u8]) {
        if info.is_keyframe {
            if self.keyframes.len() >= self.history.most() / FRAMES_PER_KEYFRAME {
                self.keyframes.pop_front();
            }
            let number = self.history.frames();
            self.keyframes.push_back(Keyframe { at_ms, number });
        }
        if info.carries_media {
            self.first_ms.get_or_insert(at_ms);
        }
        self.length = self.length.saturating_add(body.len() as u64);
        self.history.note(info, at_ms, body);
    }
}

fn first(rest: &[u8]) -> &[u8] {
    rest.get(..SIGNATURE.len()).unwrap_or(rest)
}

/// Size of length and type of a box in an MP4 file.
const BOX_HEADER: u64 = 8;

/// The first bytes of an FLV file (FLV E.2).
const SIGNATURE: &[u8] = b"FLV";

/// All tag types (FLV E.4.1).
const KINDS: [u8; 4] = [
    TagKind::AUDIO.0,
    TagKind::VIDEO.0,
    TagKind::SCRIPT_AMF3.0,
    TagKind::SCRIPT.0,
];

/// Bytes per read.
const READ_BYTES: u64 = 256 * 1024;

/// One keyframe is remembered for this number of remembered frames. For a single download these are hours of
/// video in 64 KiB, for `--skip`.
const FRAMES_PER_KEYFRAME: usize = 16;

/// Number of frames that a second connection is compared with: a minute of video and audio. With
/// fewer frames, the content of a looped file is more often unique.
const COMPARED_FRAMES: usize = 1 << 12;

/// Largest number of start positions before 0.
const MAX_STARTS: usize = 4;

/// Distance from the end at which a recording of audio alone is requested; it doubles with each
/// further try.
const AUDIO_BACK_MS: u64 = 5_000;

/// Stream time that may arrive beyond the end of the file before a frame is recognized. It covers
/// servers that start a keyframe too early or too late.
const LIMIT_MS: i64 = 20_000;

/// The same limit for a stream requested from 0, whose file may start later.
const START_LIMIT_MS: i64 = 600_000;

/// The same limit in bytes, for streams whose clock does not advance.
const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
