//! FLV files.

use std::{
    fs::File,
    io::{self, Read, Seek},
};

use bytes::Bytes;

use super::{Container, Error, FileCode, FileFacts, FileFinding, Repair};
use crate::core::{
    amf::{Object, Value, amf0},
    analysis::{Code, Extent, Finding, MediaTime, MessageTime, StreamAnalysis},
    flv::{
        FileHeader, FrameInfo, FrameParser, HeadWriter, TagKind, head,
        reader::TagView,
        salvage::{Piece, SalvageWindow},
    },
    wire::Reader,
};

/// Facts of the FLV format.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FlvFacts {
    /// The file header; `None` if it is missing.
    pub header: Option<FileHeader>,
    /// Number of tags.
    pub tags: u64,
    /// Whether rtmpull wrote the head of the file, and can change it in place.
    pub has_own_head: bool,
    /// Keyframe index; `None` without one.
    pub index: Option<IndexFacts>,
    /// Length that the metadata states, in bytes.
    pub stated_size: Option<u64>,
    /// The first damaged ranges, at most [`MAX_RANGES`].
    pub garbage: Vec<Garbage>,
}

/// Bytes that belong to no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage {
    /// Offset in the file.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// Keyframe index in the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexFacts {
    /// Number of different entries.
    pub entries: u64,
    /// Number of entries that do not point to a keyframe at their time.
    pub wrong: u64,
}

/// Reads an FLV file. `other_format` returns the error for another file.
pub(super) fn read(
    file: File,
    length: u64,
    other_format: impl Fn() -> Error,
) -> Result<FileFacts, Error> {
    let mut scan = Scan::new(&file, length).map_err(Error::Read)?;
    let mut input = Input {
        file: &file,
        window: SalvageWindow::new(),
        left: length,
    };
    while let Some(piece) = input.next(&other_format)? {
        match piece {
            Piece::Garbage(bytes) => scan.garbage(bytes),
            Piece::Tag {
                tag, is_size_wrong, ..
            } => scan.tag(&tag, is_size_wrong),
        }
    }
    Ok(scan.finish())
}

/// Pieces of a file.
struct Input<'f> {
    file: &'f File,
    window: SalvageWindow,
    left: u64,
}

impl Input<'_> {
    fn next(&mut self, other_format: impl Fn() -> Error) -> Result<Option<Piece<'_>>, Error> {
        loop {
            let is_end = self.left == 0;
            if self.window.advance(is_end).map_err(|_| other_format())? {
                return Ok(Some(self.window.piece()));
            }
            if is_end {
                return Ok(None);
            }
            let count = self.left.min(READ_BYTES);
            let buffer = self.window.buffer();
            let read = self
                .file
                .take(count)
                .read_to_end(buffer)
                .map_err(Error::Read)? as u64;
            // Another program may truncate the file.
            self.left = if read < count {
                0
            } else {
                self.left.saturating_sub(read)
            };
        }
    }
}

/// Facts of the tags read so far.
struct Scan {
    size: u64,
    facts: FlvFacts,
    parser: FrameParser,
    analysis: StreamAnalysis,
    /// Follows the changes that a repair would make to a head of rtmpull.
    head: Option<HeadWriter>,
    /// End of the latest tag.
    end: u64,
    /// Garbage after the latest tag; torn if the file ends here.
    trailing: u64,
    garbage_ranges: u64,
    garbage_bytes: u64,
    wrong_sizes: (u64, Option<u64>),
    encrypted: (u64, Option<u64>),
    has_audio: bool,
    has_video: bool,
    stated_duration_ms: Option<u64>,
    index: Option<Index>,
    last_keyframe_ms: Option<u64>,
}

/// Entries of the keyframe index, by offset.
struct Index {
    entries: Vec<(u64, f64)>,
    next: usize,
    right: u64,
}

impl Scan {
    fn new(mut file: &File, size: u64) -> io::Result<Self> {
        let mut start = Vec::new();
        file.take(head::LENGTH as u64).read_to_end(&mut start)?;
        file.rewind()?;
        let header = FileHeader::read(&mut Reader::new(&start)).ok();
        let head = HeadWriter::reopen(&start);
        Ok(Self {
            size,
            facts: FlvFacts {
                header,
                has_own_head: head.is_some(),
                ..FlvFacts::default()
            },
            parser: FrameParser::new(),
            analysis: StreamAnalysis::new(Extent::Complete),
            head,
            end: header.map_or(0, |header| u64::from(header.data_offset).saturating_add(4)),
            trailing: 0,
            garbage_ranges: 0,
            garbage_bytes: 0,
            wrong_sizes: (0, None),
            encrypted: (0, None),
            has_audio: false,
            has_video: false,
            stated_duration_ms: None,
            index: None,
            last_keyframe_ms: None,
        })
    }

    fn garbage(&mut self, bytes: u64) {
        self.trailing = self.trailing.saturating_add(bytes);
    }

    fn tag(&mut self, tag: &TagView<'_>, is_size_wrong: bool) {
        self.end_garbage(tag.offset);
        self.end = tag.offset.saturating_add(tag.length() as u64);
        self.facts.tags = self.facts.tags.saturating_add(1);
        if is_size_wrong {
            count(&mut self.wrong_sizes, tag.offset);
        }
        let kind = tag.header.kind;
        self.has_audio |= kind == TagKind::AUDIO;
        self.has_video |= kind == TagKind::VIDEO;
        if tag.header.is_filtered {
            count(&mut self.encrypted, tag.offset);
            return;
        }
        if kind == TagKind::SCRIPT && self.facts.tags <= MAX_METADATA_TAGS {
            self.metadata(tag);
        }
        let info = self.parser.parse(kind, tag.body);
        self.index_tag(tag, &info);
        // FLV allows negative timestamps, which wrap in RTMP.
        let time = MessageTime {
            arrived_at: None,
            unix_ms: None,
            media: MediaTime::Timestamp(tag.header.timestamp_ms.cast_unsigned()),
        };
        self.analysis.message(time, &info, tag.body);
        if let Some(head) = &mut self.head
            && tag.offset >= head::LENGTH as u64
        {
            let timestamp_ms = u32::try_from(tag.header.timestamp_ms).unwrap_or(0);
            head.tag_written(info, timestamp_ms, tag.body.len());
        }
    }

    /// Records the garbage before a tag at `offset`.
    fn end_garbage(&mut self, offset: u64) {
        let bytes = std::mem::take(&mut self.trailing);
        if bytes == 0 {
            return;
        }
        self.garbage_ranges = self.garbage_ranges.saturating_add(1);
        self.garbage_bytes = self.garbage_bytes.saturating_add(bytes);
        if self.facts.garbage.len() < MAX_RANGES {
            self.facts.garbage.push(Garbage {
                offset: offset.saturating_sub(bytes),
                bytes,
            });
        }
    }

    /// Reads what the first metadata states about the file.
    fn metadata(&mut self, tag: &TagView<'_>) {
        if self.index.is_some() || tag.body.len() > MAX_METADATA {
            return;
        }
        let (values, _) = amf0::decode_all(Bytes::copy_from_slice(tag.body));
        let [name, fields, ..] = &values[..] else {
            return;
        };
        let is_metadata = name
            .as_text()
            .is_some_and(|name| name.as_bytes() == b"onMetaData");
        let Some(fields) = fields.as_object().filter(|_| is_metadata) else {
            return;
        };
        let number = |name: &str| {
            fields
                .get(name)?
                .as_number()
                .filter(|number| *number >= 1e-3)
        };
        self.stated_duration_ms =
            number("duration").map(|seconds| (seconds * 1000.0).round() as u64);
        self.facts.stated_size = number("filesize").map(|bytes| bytes as u64);
        self.index = Index::read(fields);
    }

    fn index_tag(&mut self, tag: &TagView<'_>, info: &FrameInfo) {
        let time_ms = u64::try_from(tag.header.timestamp_ms).unwrap_or(0);
        if info.is_keyframe {
            self.last_keyframe_ms = Some(time_ms);
        }
        if let Some(index) = &mut self.index {
            // Some writers point to the sequence header before a keyframe.
            let is_target = info.is_keyframe || info.is_sequence_header;
            index.tag(
                tag.offset,
                time_ms,
                is_target && info.track == TagKind::VIDEO,
            );
        }
    }

    fn finish(mut self) -> FileFacts {
        let mut media = self.analysis.facts();
        let findings = self.findings(media.media_ms);
        // The file states its duration only there.
        let states_wrong_duration = findings
            .iter()
            .any(|finding| finding.code == FileCode::WrongDuration);
        let is_repeated =
            |finding: &Finding| states_wrong_duration && finding.code == Code::MetadataDuration;
        media.findings.retain(|finding| !is_repeated(finding));
        let has_media = media.messages.audio.saturating_add(media.messages.video) > 0;
        self.facts.index = self.index.as_ref().map(Index::facts);
        FileFacts {
            size: self.size,
            is_being_written: false,
            repair: self.repair(has_media, &findings),
            container: Container::Flv(self.facts),
            stated_duration_ms: self.stated_duration_ms,
            duration_ms: media.media_ms,
            media,
            findings,
        }
    }

    fn findings(&self, duration_ms: u64) -> Vec<FileFinding> {
        let mut found = Vec::new();
        if self.trailing > 0 {
            found.push(FileFinding::at(FileCode::TornEnd, self.end).bytes(self.trailing));
        }
        if let Some(first) = self.facts.garbage.first() {
            let finding = FileFinding::at(FileCode::Garbage, first.offset);
            found.push(finding.count(self.garbage_ranges).bytes(self.garbage_bytes));
        }
        match self.facts.header {
            None => found.push(FileFinding::new(FileCode::NoFileHeader)),
            Some(header)
                if (header.has_audio, header.has_video) != (self.has_audio, self.has_video) =>
            {
                found.push(FileFinding::new(FileCode::WrongHeaderFlags));
            }
            Some(_) => {}
        }
        for (code, (count, first)) in [
            (FileCode::WrongPreviousTagSize, self.wrong_sizes),
            (FileCode::EncryptedTags, self.encrypted),
        ] {
            if let Some(offset) = first {
                found.push(FileFinding::at(code, offset).count(count));
            }
        }
        self.add_index_findings(&mut found);
        if let Some(stated) = self.facts.stated_size.filter(|stated| *stated != self.size) {
            let finding = FileFinding::new(FileCode::WrongFileSize);
            found.push(finding.values(stated as f64, self.size as f64));
        }
        if let Some(stated) = self.stated_duration_ms {
            found.extend(super::mp4::wrong_duration(stated, duration_ms));
        }
        found
    }

    fn add_index_findings(&self, found: &mut Vec<FileFinding>) {
        let Some(index) = &self.index else {
            if self.last_keyframe_ms.is_some() {
                found.push(FileFinding::new(FileCode::NoKeyframeIndex));
            }
            return;
        };
        let wrong = index.facts().wrong;
        if wrong > 0 {
            found.push(FileFinding::new(FileCode::WrongKeyframeIndex).count(wrong));
        }
        if let Some(last_ms) = self.last_keyframe_ms
            && let Some((end_ms, step_ms)) = index.end()
            && last_ms as f64 > end_ms + step_ms * 2.0
        {
            let finding = FileFinding::new(FileCode::ShortKeyframeIndex);
            found.push(finding.values(end_ms, last_ms as f64));
        }
    }

    /// Mirrors the choice of the repair: a head of rtmpull is updated in place unless tags must move.
    fn repair(&self, has_media: bool, findings: &[FileFinding]) -> Repair {
        if !has_media {
            return Repair::Impossible("it contains no complete audio or video tag");
        }
        let must_move = self.garbage_ranges > 0 || self.wrong_sizes.0 > 0;
        match &self.head {
            Some(head) if !must_move => {
                let is_intact = self.trailing == 0 && head.patches().is_empty();
                if is_intact {
                    Repair::NotNeeded
                } else {
                    Repair::InPlace
                }
            }
            _ => {
                let is_good = |finding: &FileFinding| {
                    finding.code.severity() == super::finding::Severity::Info
                };
                let needs_index = findings
                    .iter()
                    .any(|found| found.code == FileCode::NoKeyframeIndex);
                let is_intact = findings.iter().all(is_good) && !needs_index;
                if is_intact {
                    Repair::NotNeeded
                } else {
                    Repair::Rewrite
                }
            }
        }
    }
}

impl Index {
    /// Reads `keyframes` with the arrays `times` in seconds and `filepositions`.
    fn read(fields: &Object) -> Option<Self> {
        let keyframes = fields.get("keyframes")?;
        let array = |name| keyframes.member(name).and_then(Value::as_array);
        let (times, positions) = (array("times")?, array("filepositions")?);
        let pairs = times.iter().zip(positions).filter_map(|(time, position)| {
            let position = position.as_number().filter(|position| *position >= 0.0)?;
            Some((position as u64, time.as_number()? * 1000.0))
        });
        let mut entries: Vec<(u64, f64)> = pairs.collect();
        entries.sort_by_key(|(position, _)| *position);
        // rtmpull repeats the last keyframe in unused slots.
        entries.dedup_by_key(|(position, _)| *position);
        (!entries.is_empty()).then_some(Self {
            entries,
            next: 0,
            right: 0,
        })
    }

    /// Compares the entries up to this tag with it.
    fn tag(&mut self, offset: u64, time_ms: u64, is_target: bool) {
        while let Some((position, entry_ms)) = self.entries.get(self.next) {
            if *position > offset {
                return;
            }
            let is_near = (entry_ms - time_ms as f64).abs() <= INDEX_TOLERANCE_MS;
            if *position == offset && is_target && is_near {
                self.right = self.right.saturating_add(1);
            }
            self.next = self.next.saturating_add(1);
        }
    }

    fn facts(&self) -> IndexFacts {
        let entries = self.entries.len() as u64;
        IndexFacts {
            entries,
            wrong: entries.saturating_sub(self.right),
        }
    }

    /// Returns the time of the last entry and the mean time between two, in milliseconds.
    fn end(&self) -> Option<(f64, f64)> {
        let (_, first_ms) = self.entries.first()?;
        let (_, last_ms) = self.entries.last()?;
        let steps = self.entries.len().saturating_sub(1).max(1);
        Some((
            *last_ms,
            ((last_ms - first_ms) / steps as f64).max(MIN_INDEX_STEP_MS),
        ))
    }
}

fn count((count, first): &mut (u64, Option<u64>), offset: u64) {
    *count = count.saturating_add(1);
    first.get_or_insert(offset);
}

/// Largest number of damaged ranges that are listed.
pub const MAX_RANGES: usize = 16;

/// Largest difference between the time of an entry and that of its keyframe, in milliseconds. Some writers round
/// to a frame.
const INDEX_TOLERANCE_MS: f64 = 100.0;

/// Smallest usual step of an index, in milliseconds.
const MIN_INDEX_STEP_MS: f64 = 2_000.0;

/// Number of tags at the start of a file that may contain its metadata.
const MAX_METADATA_TAGS: u64 = 16;

/// Largest metadata that is decoded. A keyframe index of eight hours has half a megabyte.
const MAX_METADATA: usize = 4 << 20;

/// Bytes per read.
const READ_BYTES: u64 = 1 << 20;
