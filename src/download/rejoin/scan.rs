//! What an earlier recording holds.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::matcher::{Expectation, History, MIN_RUN, Matcher};
use crate::{
    core::flv::{
        Error, FrameInfo, FrameParser, HeadWriter, TagKind, TagReader, head,
        reader::TagView,
        salvage::{self, MAX_DATA_OFFSET, MAX_TAG_LENGTH},
    },
    output::{ExistingFile, lock},
};

/// What is in a file.
#[derive(Debug)]
pub(in crate::download) enum ScanResult {
    /// No media: nothing that would be lost.
    NoMedia,
    /// Media, and the file itself.
    ExistingRecording(ExistingRecording, Box<ExistingFile>),
    /// Something that nobody can go on with, and why.
    Unusable(String),
}

/// The media of a file, as far as it matters for going on.
#[derive(Debug, Default)]
pub(in crate::download) struct ExistingRecording {
    history: History,
    first_ms: Option<u64>,
    /// The latest keyframes, in order.
    keyframes: VecDeque<Keyframe>,
    /// How many bytes were read.
    length: u64,
}

#[derive(Debug, Clone, Copy)]
struct Keyframe {
    at_ms: u64,
    /// How many frames are in front of it.
    number: u64,
}

/// Reads the file at `path`, a piece at a time, up to where it is no longer intact. Changes nothing.
pub(in crate::download) fn read(path: &Path) -> io::Result<ScanResult> {
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
    let mut scan = Scan::default();
    let rest = scan.run(&mut file)?;
    if scan.is_damaged(&mut file)? {
        let why = format!(
            "it is damaged at byte {}, and more than a torn tag lies behind (--repair keeps that)",
            scan.reader.intact_end()
        );
        return Ok(ScanResult::Unusable(why));
    }
    Ok(scan.into_result(file, &rest))
}

/// The walk through the file.
#[derive(Debug, Default)]
struct Scan {
    reader: TagReader,
    parser: FrameParser,
    recording: ExistingRecording,
    writer: Option<HeadWriter>,
    /// Whether the head is.
    has_own_head: bool,
    tags: u64,
    has_video: bool,
    fault: Option<Error>,
}

impl Scan {
    /// Reads as much as is intact, and returns the beginning of what is not.
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
            let read = buffer.len() - rest.len();
            buffer.drain(..read);
        }
    }

    fn tags_in(&mut self, rest: &mut &[u8]) -> Result<(), Error> {
        // A head that is not whole yet may still be one of ours.
        let is_head_whole = rest.len() >= head::LENGTH || !head::is_rewritable(rest);
        if self.reader.intact_end() == 0 && !is_head_whole {
            return Ok(());
        }
        while let Some(tag) = self.reader.read(rest)? {
            let is_head = self.tags == 0 && self.writer.is_some();
            self.has_own_head |= is_head;
            self.writer
                .get_or_insert_with(|| HeadWriter::with_foreign_head(tag.offset));
            self.tags += 1;
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

    /// Whether there is more behind the last intact tag than a writer may leave there when it is killed:
    /// whoever went on there would cut it off. rtmpdump writes over the end of a file that it goes on
    /// with, and leaves the tags of the existing_file one behind where it is killed before their end.
    fn is_damaged(&self, file: &mut File) -> io::Result<bool> {
        let Some(header) = self.reader.header() else {
            return Ok(false);
        };
        if header.data_offset > MAX_DATA_OFFSET {
            return Ok(true);
        }
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(self.reader.intact_end()))?;
        file.take(MAX_TAG_LENGTH as u64 + 1)
            .read_to_end(&mut rest)?;
        let may_be_stale = !self.has_own_head && !self.recording.is_empty();
        let has_tag = || rest.get(1..).is_some_and(salvage::contains_tag);
        Ok(rest.len() > MAX_TAG_LENGTH || !may_be_stale && has_tag())
    }

    fn into_result(mut self, file: File, rest: &[u8]) -> ScanResult {
        let length = self.reader.intact_end();
        if self.recording.history.frames() == 0 {
            return self.without_media(rest);
        }
        self.recording.length = length;
        // The tags behind a head of ours.
        let tags = self.tags - u64::from(self.has_own_head);
        let writer = self
            .writer
            .unwrap_or_else(|| HeadWriter::with_foreign_head(length));
        let existing_file = ExistingFile {
            file,
            writer,
            tags,
            has_video: self.has_video,
        };
        ScanResult::ExistingRecording(self.recording, Box::new(existing_file))
    }

    /// A file whose first frame is not whole yet may be begun afresh. Anything else is somebody's.
    fn without_media(&self, rest: &[u8]) -> ScanResult {
        let why = match (self.fault, rest.first()) {
            (Some(Error::PreviousTagSize { .. }), _) => "there is no tag behind its head",
            (Some(error), _) => return ScanResult::Unusable(error.to_string()),
            (None, Some(kind)) if self.reader.header().is_some() && !KINDS.contains(kind) => {
                "there is no tag behind its head"
            }
            (None, _) if self.reader.header().is_none() && !SIGNATURE.starts_with(first(rest)) => {
                "it is no FLV file"
            }
            _ => return ScanResult::NoMedia,
        };
        ScanResult::Unusable(why.to_owned())
    }
}

impl ExistingRecording {
    /// The place of its last frame, in milliseconds.
    pub(in crate::download) fn end_ms(&self) -> u64 {
        self.history.end_ms()
    }

    /// The place of its first frame.
    pub(in crate::download) fn first_ms(&self) -> u64 {
        self.first_ms.unwrap_or(0)
    }

    /// Where to ask for the stream, in turn: at the last keyframe that has frames enough behind it,
    /// or as many keyframes earlier as are to be skipped; where that does not lead up to the end of
    /// the file, at the keyframes before that one; and at last from the beginning.
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
        let has_frames_behind =
            |keyframe: &Keyframe| self.history.frames() - keyframe.number >= 2 * MIN_RUN;
        let last = self.keyframes.iter().rposition(has_frames_behind);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let count = last.map_or(0, |last| (last + 1).saturating_sub(skip));
        let keyframes = self.keyframes.iter().take(count).rev().take(MAX_STARTS);
        keyframes
            .map(|keyframe| u32::try_from(keyframe.at_ms).unwrap_or(u32::MAX))
            .collect()
    }

    /// Every frame of audio can be begun with.
    fn start_candidates_audio(&self, skip: u32) -> Vec<u32> {
        let back_ms = AUDIO_BACK_MS * (u64::from(skip) + 1);
        let steps = (0..MAX_STARTS).map(|step| back_ms << step);
        let end_ms = self.history.end_ms();
        steps
            .map(|back_ms| u32::try_from(end_ms.saturating_sub(back_ms)).unwrap_or(u32::MAX))
            .collect()
    }

    /// The search for the end of the recording in a stream that was asked for at `start_ms`.
    pub(in crate::download) fn matcher(&self, start_ms: u32) -> Matcher {
        let end_ms = i64::try_from(self.end_ms()).unwrap_or(i64::MAX);
        let expectation = Expectation {
            is_from_start: start_ms == 0,
            limit_ms: match start_ms {
                0 => end_ms.saturating_mul(2).saturating_add(START_LIMIT_MS),
                _ => end_ms.saturating_sub(start_ms.into()) + LIMIT_MS,
            },
            limit_bytes: self.length.saturating_mul(2).saturating_add(LIMIT_BYTES),
            is_live: false,
        };
        Matcher::new(self.history.clone(), expectation)
    }

    /// The search for the end of the recording in a live stream.
    pub(in crate::download) fn live_matcher(&self) -> Matcher {
        Matcher::new(self.history.clone(), Expectation::LIVE)
    }

    /// Whether it has no frame yet.
    pub(in crate::download) fn is_empty(&self) -> bool {
        self.history.frames() == 0
    }

    /// Adds a message at its place.
    pub(in crate::download) fn note(&mut self, info: FrameInfo, at_ms: u64, body: &[u8]) {
        if info.is_keyframe {
            if self.keyframes.len() == MAX_KEYFRAMES {
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

/// What a file has to begin with.
const SIGNATURE: &[u8] = b"FLV";

/// The kinds of tags that there are (FLV E.4.1).
const KINDS: [u8; 4] = [
    TagKind::AUDIO.0,
    TagKind::VIDEO.0,
    TagKind::SCRIPT_AMF3.0,
    TagKind::SCRIPT.0,
];

/// Read at a time.
const READ_BYTES: u64 = 256 * 1024;

/// Keyframes that are remembered, for those who skip some: hours of them, in 64 KiB.
const MAX_KEYFRAMES: usize = 1 << 12;

/// Starts that are tried before the beginning.
const MAX_STARTS: usize = 4;

/// How far before the end a recording of audio alone is asked for; twice as far each time.
const AUDIO_BACK_MS: u64 = 5_000;

/// How much of a stream may come, behind the file's end by its own clock, before anything is
/// recognized: a server that begins a keyframe too early or too late is within.
const LIMIT_MS: i64 = 20_000;

/// The same where the stream was asked for from its beginning, and the file may begin later.
const START_LIMIT_MS: i64 = 600_000;

/// The same in bytes, for streams whose clock stands still.
const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
