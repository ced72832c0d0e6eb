//! Keeps the stats of a file while its tags are written, and renders its head.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    FrameInfo, PREVIOUS_TAG_SIZE_0, Tag, TagKind,
    codec::PictureSize,
    head,
    keyframe_index::Entry,
    metadata::{self, Field, Metadata},
    stats::Stats,
};
use crate::core::amf::{Object, Value};

/// How the head of an output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The head has a constant length and is rewritten in place, see [`head`]. For files.
    Seekable,
    /// The head is written once. For pipes and devices.
    Plain,
}

/// Renders the head of one FLV file and keeps its stats.
///
/// It does no I/O. The caller writes the [`HeadWriter::head`] and then the tags, and calls
/// [`HeadWriter::tag_written`] after each.
#[derive(Debug)]
pub struct HeadWriter {
    layout: Layout,
    metadata: Metadata,
    stats: Stats,
    /// Length of the file in bytes.
    length: u64,
    /// Hash of each page of the head that is in the file; empty in [`Layout::Plain`]. The head itself has
    /// 48 KiB, which is a lot for a process that writes hundreds of files.
    pages: Vec<u64>,
}

impl HeadWriter {
    /// Creates a writer for a new file.
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
            pages: Vec::new(),
        }
    }

    /// Continues a file that starts with `head`. Returns `None` unless that is a complete head written
    /// by rtmpull. The caller then calls [`HeadWriter::tag_written`] for each tag after the head.
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
        writer.start_with(head);
        Some(writer)
    }

    /// Continues a file of `length` bytes whose head was written by another program and stays unchanged.
    pub fn with_foreign_head(length: u64) -> Self {
        Self {
            length,
            ..Self::new(Layout::Plain)
        }
    }

    /// Returns how the head is written.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Sets the tracks that the stream has, before any of their tags is written. Without any, the header of
    /// a [`Layout::Plain`] file has the flags of both.
    pub fn expect_tracks(&mut self, has_audio: bool, has_video: bool) {
        self.stats.expect_tracks(has_audio, has_video);
    }

    /// Renders the head, which the caller writes at the start of the file. Must be called once, before
    /// any tag.
    pub fn head(&mut self) -> Vec<u8> {
        let head = match self.layout {
            Layout::Seekable => self.render(head::LENGTH as u64),
            Layout::Plain => self.plain_head(),
        };
        self.start_with(&head);
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

    /// Merges the fields of a server's `onMetaData` into the head. Omits fields that are not true in a
    /// copy, fields that rtmpull writes itself, and fields that do not fit.
    ///
    /// Returns false if the head is already written in [`Layout::Plain`]. The caller then writes the
    /// metadata as a script tag.
    pub fn set_metadata(&mut self, fields: &Object) -> bool {
        let is_open = self.accepts_metadata();
        if is_open {
            self.metadata.merge(fields);
        }
        is_open
    }

    /// Merges the metadata of the recording into the head of a new segment, see
    /// [`HeadWriter::set_metadata`].
    pub fn inherit_metadata(&mut self, metadata: &Metadata) {
        if self.accepts_metadata() {
            self.metadata.merge_metadata(metadata);
        }
    }

    /// Returns the patches that update the head for all tags written so far, in descending order of
    /// offset. Each patch is a page of 4,096 bytes; the last page is shorter.
    ///
    /// The caller writes the patches in this order, each with a single write, after the tags. The file
    /// is then valid even if some of the patches are lost, and keyframes ascend after each of them, see
    /// [`head`]. A patch that is not confirmed with [`HeadWriter::patch_written`] is returned again.
    pub fn patches(&self) -> Vec<Patch> {
        // A plain head and the head of another program are never rewritten.
        if self.pages.is_empty() {
            return Vec::new();
        }
        let head = self.render(self.length);
        let pages = self.pages.iter().zip(head.chunks(head::PAGE));
        let offsets = (0..).step_by(head::PAGE);
        let mut patches: Vec<Patch> = offsets
            .zip(pages)
            .filter(|(_, (hash, page))| **hash != xxh3_64(page))
            .map(|(offset, (_, page))| Patch {
                offset,
                bytes: page.to_vec(),
            })
            .collect();
        // The last page first: if a rewrite is interrupted, the keyframes still ascend (see `head`).
        patches.reverse();
        patches
    }

    /// Records that `patch` is in the file.
    pub fn patch_written(&mut self, patch: &Patch) {
        let page = usize::try_from(patch.offset).unwrap_or(usize::MAX) / head::PAGE;
        if let Some(hash) = self.pages.get_mut(page) {
            *hash = xxh3_64(&patch.bytes);
        }
    }

    /// Returns the length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the duration of the file in milliseconds: from its earliest frame to its latest one, plus
    /// one frame interval of that track.
    pub fn duration_ms(&self) -> u32 {
        self.stats.duration_ms()
    }

    /// Returns the largest timestamp of a frame in milliseconds, or `None` if the file has no frame.
    pub fn last_timestamp_ms(&self) -> Option<u32> {
        self.stats.last_timestamp_ms()
    }

    /// Returns the size of the picture, once a tag contained it.
    pub fn picture_size(&self) -> Option<PictureSize> {
        self.stats.picture_size()
    }

    fn accepts_metadata(&self) -> bool {
        self.layout == Layout::Seekable || self.length == 0
    }

    fn start_with(&mut self, head: &[u8]) {
        self.length = head.len() as u64;
        if self.layout == Layout::Seekable {
            self.pages = head.chunks(head::PAGE).map(xxh3_64).collect();
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
        let untrue = self.stats.fields_of_missing_track();
        let is_true = |field: &&Field| untrue.iter().all(|name| name.as_bytes() != field.name());
        let fields: Vec<&Field> = self.metadata.pages().flatten().filter(is_true).collect();
        if !fields.is_empty() {
            let tag = Tag::new(TagKind::SCRIPT, 0, head::on_meta_data(&fields));
            out.extend_from_slice(tag.as_bytes());
        }
        out
    }
}

/// A page of the head that replaces the one in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Offset from the start of the file.
    pub offset: u64,
    /// The new page; never empty.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests;
