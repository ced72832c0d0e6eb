//! Keeping the stats of a file while its tags are written.

use super::{
    FrameInfo, PREVIOUS_TAG_SIZE_0, Tag, TagKind,
    codec::PictureSize,
    head,
    keyframe_index::Entry,
    metadata::{self, Field, Metadata},
    stats::Stats,
};
use crate::core::amf::{Object, Value};

/// Where the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Into a file: the head is rewritten in place, see [`head`].
    Seekable,
    /// Into a pipe or device: what was written stays.
    Plain,
}

/// Makes the head of one FLV file and keeps its stats. It knows no file: the caller writes the
/// [`HeadWriter::head`], then tags, and tells of each with [`HeadWriter::tag_written`] when the file has it.
#[derive(Debug)]
pub struct HeadWriter {
    layout: Layout,
    metadata: Metadata,
    stats: Stats,
    /// How many bytes the file has.
    length: u64,
    /// The head as the file has it; empty in [`Layout::Plain`].
    head: Vec<u8>,
}

impl HeadWriter {
    /// Begins a file.
    pub fn new(layout: Layout) -> Self {
        let metadata = match layout {
            Layout::Seekable => Metadata::new(&head::SERVER_PAGES, metadata::is_own_field),
            Layout::Plain => Metadata::default(),
        };
        Self {
            layout,
            metadata,
            stats: Stats::new(),
            length: 0,
            head: Vec::new(),
        }
    }

    /// Goes on with a file that begins with `head`; `None` where that is no whole head of ours. The
    /// caller then tells of each tag of the file through [`HeadWriter::tag_written`].
    pub fn reopen(head: &[u8]) -> Option<Self> {
        let head = head
            .get(..head::LENGTH)
            .filter(|head| head::is_rewritable(head))?;
        let mut writer = Self::new(Layout::Seekable);
        for (number, page) in head::server_pages(head).enumerate() {
            writer
                .metadata
                .restore_page(number, &head::fields_of(page)?);
        }
        writer.start_with(head.to_vec());
        Some(writer)
    }

    /// Goes on with a file of `length` bytes whose head is not ours, and stays as it is.
    pub fn with_foreign_head(length: u64) -> Self {
        Self {
            length,
            ..Self::new(Layout::Plain)
        }
    }

    /// The head of the file, for its first bytes. To be called once, before any tag.
    pub fn head(&mut self) -> Vec<u8> {
        let head = match self.layout {
            Layout::Seekable => self.render(head::LENGTH as u64),
            Layout::Plain => self.plain_head(),
        };
        self.start_with(head.clone());
        head
    }

    /// Adds the next tag to the stats, once it is in the file.
    ///
    /// `timestamp_ms` counts from the start of the file and is at most 2³¹ − 1. `body` is the length of
    /// the body in bytes.
    pub fn tag_written(&mut self, info: FrameInfo, timestamp_ms: u32, body: usize) {
        let entry = Entry {
            time_ms: timestamp_ms,
            position: self.length,
        };
        self.stats.add(info, entry, body);
        self.length = self.length.saturating_add(Tag::length(body));
    }

    /// Takes the fields of a server's `onMetaData`: new ones are added, others replaced. What becomes
    /// false in a copy, or is told by us, is left out, as is what does not fit.
    ///
    /// False where the head cannot take them any more, in [`Layout::Plain`] behind
    /// [`HeadWriter::head`]: they are then to be written as a script tag.
    pub fn set_metadata(&mut self, fields: &Object) -> bool {
        let is_open = self.accepts_metadata();
        if is_open {
            self.metadata.merge(fields);
        }
        is_open
    }

    /// Does the same with fields that were kept, see [`HeadWriter::set_metadata`].
    pub fn inherit_metadata(&mut self, metadata: &Metadata) {
        if self.accepts_metadata() {
            self.metadata.merge_metadata(metadata);
        }
    }

    /// What is to be written over the head so that it tells the truth about all tags up to now: few
    /// pieces, none across a border of 4,096 bytes, those of the file's end first.
    ///
    /// Each piece is to be written at once, after the tags that were noted before; then the file is
    /// good whichever of them are lost. Written in this order, the keyframes ascend after each of
    /// them: see [`head`]. What [`HeadWriter::patch_written`] is not told of is among the patches again.
    pub fn patches(&self) -> Vec<Patch> {
        if self.head.is_empty() {
            return Vec::new();
        }
        let head = self.render(self.length);
        let pages = self.head.chunks(head::PAGE).zip(head.chunks(head::PAGE));
        let offsets = (0..).step_by(head::PAGE);
        let mut patches: Vec<Patch> = offsets
            .zip(pages)
            .filter_map(|(offset, (old, new))| Patch::between(offset, old, new))
            .collect();
        patches.reverse();
        patches
    }

    /// Notes that the file has `patch`.
    pub fn patch_written(&mut self, patch: &Patch) {
        let offset = usize::try_from(patch.offset).unwrap_or(usize::MAX);
        let place = self.head.get_mut(offset..).unwrap_or_default();
        for (old, new) in place.iter_mut().zip(&patch.bytes) {
            *old = *new;
        }
    }

    /// How many bytes the file has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How long the file plays: from its first frame to its latest and one frame interval of that kind,
    /// audio or video, where a second frame told the interval.
    pub fn duration_ms(&self) -> u32 {
        self.stats.duration_ms()
    }

    /// The latest timestamp of a frame; `None` as long as there was none.
    pub fn last_timestamp_ms(&self) -> Option<u32> {
        self.stats.last_timestamp_ms()
    }

    /// The size of the picture, once a video tag told it.
    pub fn picture_size(&self) -> Option<PictureSize> {
        self.stats.picture_size()
    }

    fn accepts_metadata(&self) -> bool {
        self.layout == Layout::Seekable || self.length == 0
    }

    fn start_with(&mut self, head: Vec<u8>) {
        self.length = head.len() as u64;
        if self.layout == Layout::Seekable {
            self.head = head;
        }
    }

    fn render(&self, length: u64) -> Vec<u8> {
        let creator = concat!("rtmpull ", env!("CARGO_PKG_VERSION"));
        let creator = Field::new(head::CREATOR.as_bytes(), &Value::from(creator));
        let mut own = vec![creator];
        own.extend(self.stats.fields(head::LENGTH as u64, length));
        head::render(
            self.stats.file_header(),
            &own,
            &self.metadata,
            self.stats.untrue_fields(),
            self.stats.index(),
        )
    }

    fn plain_head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.stats.file_header().to_bytes());
        out.extend(PREVIOUS_TAG_SIZE_0);
        let fields: Vec<&Field> = self.metadata.pages().flatten().collect();
        if !fields.is_empty() {
            let tag = Tag::new(TagKind::SCRIPT, 0, head::on_meta_data(&fields));
            out.extend_from_slice(tag.as_bytes());
        }
        out
    }
}

/// Bytes to be written over those at `offset` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Counted from the start of the file.
    pub offset: u64,
    /// Never empty.
    pub bytes: Vec<u8>,
}

impl Patch {
    /// From the first byte that differs to the last.
    fn between(offset: u64, old: &[u8], new: &[u8]) -> Option<Self> {
        let is_changed = |(old, new): (&u8, &u8)| old != new;
        let first = old.iter().zip(new).position(is_changed)?;
        let last = old.iter().zip(new).rposition(is_changed)?;
        Some(Self {
            offset: offset.saturating_add(first as u64),
            bytes: new.get(first..=last)?.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests;
