//! Damage and other irregularities of files, with stable codes.

use std::fmt;

pub use crate::core::analysis::Severity;
use crate::core::analysis::finding::finding_codes;

/// One irregularity of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FileFinding {
    /// Kind of the irregularity.
    pub code: FileCode,
    /// Number of occurrences, such as ranges of bytes or samples.
    pub count: u64,
    /// Number of bytes; 0 if the code has none.
    pub bytes: u64,
    /// Offset of the first occurrence in the file.
    pub offset: Option<u64>,
    /// Name of the affected part, such as a table.
    pub part: Option<&'static str>,
    /// Value that the file states, in the unit of the code.
    pub stated: Option<f64>,
    /// Actual value, in the unit of the code.
    pub actual: Option<f64>,
}

impl FileFinding {
    /// Creates a finding that occurred once.
    pub(super) fn new(code: FileCode) -> Self {
        Self {
            code,
            count: 1,
            bytes: 0,
            offset: None,
            part: None,
            stated: None,
            actual: None,
        }
    }

    pub(super) fn at(code: FileCode, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..Self::new(code)
        }
    }

    pub(super) fn count(self, count: u64) -> Self {
        Self { count, ..self }
    }

    pub(super) fn bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    pub(super) fn part(self, part: &'static str) -> Self {
        Self {
            part: Some(part),
            ..self
        }
    }

    pub(super) fn values(self, stated: f64, actual: f64) -> Self {
        Self {
            stated: Some(stated),
            actual: Some(actual),
            ..self
        }
    }

    /// Returns how much the finding matters.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl fmt::Display for FileFinding {
    /// Formats the title and the facts: `bytes belong to no tag (2 times, 40 bytes, the first at byte 1000)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.title())?;
        let times = (self.count > 1).then(|| format!("{} times", self.count));
        let bytes = (self.bytes > 0).then(|| format!("{} bytes", self.bytes));
        let offset = self.offset.map(|offset| match self.count {
            0 | 1 => format!("at byte {offset}"),
            _ => format!("the first at byte {offset}"),
        });
        let unit = self.code.unit();
        let value = |name: &str, value: f64| format!("{name} {value} {unit}");
        let stated = self.stated.map(|stated| value("stated", stated));
        let actual = self.actual.map(|actual| value("actual", actual));
        let part = self.part.map(str::to_owned);
        let facts = [part, times, bytes, offset, stated, actual];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        if facts.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", facts.join(", ").replace(" ,", ","))
    }
}

finding_codes! {
    /// Kind of a finding of a file, with a stable name.
    FileCode;
    TornEnd "torn-end" Warning "the file ends inside a tag or a box" ""
        "The last tag or box is incomplete, because the writer was interrupted or the file was cut.";
    Garbage "garbage" Error "bytes belong to no tag or box" ""
        "Ranges of bytes before, between or after tags or boxes are damaged.";
    NoFileHeader "no-file-header" Error "the file header is missing" ""
        "An FLV file does not start with its header, so players reject it.";
    WrongHeaderFlags "wrong-header-flags" Info "the flags of the file header are wrong" ""
        "The FLV header announces other tracks than the file has.";
    WrongPreviousTagSize "wrong-previous-tag-size" Warning "fields PreviousTagSize are wrong" ""
        "Players that seek backwards or verify tags stop there.";
    EncryptedTags "encrypted-tags" Warning "tags are encrypted" ""
        "Audio or video tags of an FLV file are encrypted, and no player without the key shows them.";
    NoKeyframeIndex "no-keyframe-index" Info "there is no keyframe index" ""
        "An FLV file with video has no list of its keyframes, so players search for the position of a seek.";
    WrongKeyframeIndex "wrong-keyframe-index" Warning "entries of the keyframe index are wrong" ""
        "Entries of the keyframe index do not point to a keyframe at their time; the count is their number.";
    ShortKeyframeIndex "short-keyframe-index" Info "the keyframe index ends early" "ms"
        "Keyframes after the last entry of the index are further away than its usual step; the values are times.";
    WrongFileSize "wrong-file-size" Info "the stated file size is wrong" "bytes"
        "The metadata of an FLV file states another length of the file.";
    WrongDuration "wrong-duration" Warning "the stated duration is wrong" "ms"
        "The duration that the file states differs from that of its media by more than 1 s and 1 %.";
    NoMovie "no-movie" Error "the index of the file is missing" ""
        "An MP4 file has no complete moov box, so no player can open it.";
    NoTracks "no-tracks" Error "the index has no tracks" ""
        "The moov box of an MP4 file has no readable track.";
    Unfinished "unfinished" Warning "the recording was not finished" ""
        "A recording by rtmpull has no tables yet: players play it as a fragmented file.";
    IndexAtEnd "index-at-end" Info "the index is at the end" ""
        "A player must read the end of the MP4 file before it can start.";
    SamplesOutsideFile "samples-outside-file" Error "samples lie outside the file" ""
        "The tables of an MP4 file refer to bytes after its end, because the file was cut.";
    OverlappingSamples "overlapping-samples" Warning "samples overlap" "bytes"
        "The samples of an MP4 file add up to more bytes than the file has; the values are the length of the file and the sum.";
    TablesDisagree "tables-disagree" Error "sample tables disagree" ""
        "Tables of a track describe different numbers of samples, are cut or not sorted, or are missing.";
    DamagedFragments "damaged-fragments" Error "movie fragments are damaged" ""
        "Movie fragments do not parse.";
    UnreadTables "unread-tables" Info "tables were not read completely" ""
        "The file has more tracks, samples or boxes than are read, or compact sizes, so the facts are incomplete.";
    EncryptedTrack "encrypted-track" Warning "a track is encrypted" ""
        "The samples of a track are encrypted.";
}
