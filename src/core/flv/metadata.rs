//! The fields of `onMetaData`: those that a server sent, kept encoded and within bounds.

use crate::core::amf::{Object, Text, Value, amf0};

/// One named value as the file has it.
#[derive(Debug, Clone)]
pub(super) struct Field {
    name: Vec<u8>,
    bytes: Vec<u8>,
}

impl Field {
    pub(super) fn new(name: &[u8], value: &Value) -> Self {
        let mut bytes = Vec::new();
        push_member(name, value, &mut bytes);
        let name = name.to_vec();
        Self { name, bytes }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Name and value.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Appends a member of an object: 16 bits of length, the name, the value (AMF0 2.5).
pub(super) fn push_member(name: &[u8], value: &Value, out: &mut Vec<u8>) {
    out.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(name);
    amf0::encode(value, out);
}

/// The room for fields in one place: neither their number nor their bytes ever exceed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    pub(super) fields: usize,
    pub(super) bytes: usize,
}

/// The server's own fields, spread over pages with a fixed room each. Those that are false in a copy are
/// left out.
///
/// They are kept as bytes: a value of the server's would keep its whole message in memory.
#[derive(Debug)]
pub struct Metadata {
    pages: Vec<Page>,
    is_excluded: fn(&[u8]) -> bool,
    has_warned: bool,
}

#[derive(Debug)]
struct Page {
    left: Capacity,
    fields: Vec<Field>,
}

impl Metadata {
    /// No fields yet. Those for which `is_excluded` holds are never taken from a server.
    pub(super) fn new(pages: &[Capacity], is_excluded: fn(&[u8]) -> bool) -> Self {
        let page = |room: &Capacity| Page {
            left: *room,
            fields: Vec::new(),
        };
        Self {
            pages: pages.iter().map(page).collect(),
            is_excluded,
            has_warned: false,
        }
    }

    /// The fields of each page, in the order in which they came.
    pub(super) fn pages(&self) -> impl Iterator<Item = &[Field]> {
        self.pages.iter().map(|page| page.fields.as_slice())
    }

    /// Replaces fields and adds new ones; leaves out what does not fit, and says so.
    pub fn merge(&mut self, fields: &Object) {
        let mut omitted = OmittedFields::default();
        for (name, value) in fields {
            if !(self.is_excluded)(name.as_bytes()) && !self.put(name, value) {
                omitted.add(name.as_bytes());
            }
        }
        omitted.report(&mut self.has_warned);
    }

    /// Puts the fields of page `number` back where they were in a file. A field that is on another page
    /// already is left out: it was moved when the file was cut off.
    pub(super) fn restore_page(&mut self, number: usize, fields: &Object) {
        for (name, value) in fields {
            let name = name.as_bytes();
            let is_there = self.pages().flatten().any(|field| field.name == name);
            let field = Field::new(name, value);
            if let Some(page) = self.pages.get_mut(number)
                && !(self.is_excluded)(name)
                && !is_there
                && page.fits(field.bytes.len())
            {
                page.push(field);
            }
        }
    }

    /// Does the same with the fields of `others`.
    pub(super) fn merge_metadata(&mut self, others: &Self) {
        let mut omitted = OmittedFields::default();
        for field in others.pages().flatten() {
            if !(self.is_excluded)(&field.name) && !self.put_field(field) {
                omitted.add(&field.name);
            }
        }
        omitted.report(&mut self.has_warned);
    }

    fn put(&mut self, name: &Text, value: &Value) -> bool {
        self.remove(name.as_bytes());
        // Before the value is encoded: a small message may refer to one large string a thousand times.
        let length = amf0::encoded_len(value)
            .saturating_add(name.len())
            .saturating_add(NAME_LENGTH);
        let Some(page) = self.page_for(length) else {
            return false;
        };
        // Players take an empty name for the end of the object.
        if name.is_empty() || has_empty_name(value) {
            return false;
        }
        page.push(Field::new(name.as_bytes(), value));
        true
    }

    fn put_field(&mut self, field: &Field) -> bool {
        self.remove(&field.name);
        let page = self.page_for(field.bytes.len());
        page.map(|page| page.push(field.clone())).is_some()
    }

    fn page_for(&mut self, length: usize) -> Option<&mut Page> {
        self.pages.iter_mut().find(|page| page.fits(length))
    }

    fn remove(&mut self, name: &[u8]) {
        self.pages.iter_mut().for_each(|page| page.remove(name));
    }
}

impl Default for Metadata {
    /// No fields yet, and room for more than any server sends.
    fn default() -> Self {
        Self::new(&[PLAIN_CAPACITY], describes_source_file)
    }
}

impl Page {
    fn fits(&self, length: usize) -> bool {
        self.left.fields > 0 && length <= self.left.bytes
    }

    fn push(&mut self, field: Field) {
        self.left.fields = self.left.fields.saturating_sub(1);
        self.left.bytes = self.left.bytes.saturating_sub(field.bytes.len());
        self.fields.push(field);
    }

    fn remove(&mut self, name: &[u8]) {
        for field in self.fields.extract_if(.., |field| field.name == name) {
            self.left.fields = self.left.fields.saturating_add(1);
            self.left.bytes = self.left.bytes.saturating_add(field.bytes.len());
        }
    }
}

fn has_empty_name(value: &Value) -> bool {
    if let Some(members) = value.as_object() {
        return members
            .iter()
            .any(|(name, value)| name.is_empty() || has_empty_name(value));
    }
    value
        .as_array()
        .is_some_and(|values| values.iter().any(has_empty_name))
}

/// Whether a field is false in a copy, or written by us.
pub(super) fn is_own_field(name: &[u8]) -> bool {
    name == b"duration" || describes_source_file(name)
}

/// Whether a field speaks of the file that the server has, not of the stream.
fn describes_source_file(name: &[u8]) -> bool {
    SOURCE_FILE_FIELDS.iter().any(|own| own.as_bytes() == name)
}

/// What is told about fields that did not fit.
#[derive(Debug, Default)]
struct OmittedFields {
    count: usize,
    names: Vec<String>,
}

impl OmittedFields {
    fn add(&mut self, name: &[u8]) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < MAX_NAMES_TOLD {
            let name = String::from_utf8_lossy(name);
            self.names.push(name.chars().take(MAX_NAME_TOLD).collect());
        }
    }

    /// Warns the first time; a server may repeat its metadata every second.
    fn report(&self, has_warned: &mut bool) {
        let Self { count, names } = self;
        if *count == 0 {
            return;
        }
        if *has_warned {
            tracing::debug!(
                count,
                ?names,
                "fields of the server's metadata are left out of the file"
            );
        } else {
            tracing::warn!(
                count,
                ?names,
                "fields of the server's metadata are left out of the file"
            );
        }
        *has_warned = true;
    }
}

/// The length in front of a name.
const NAME_LENGTH: usize = 2;

/// How many names a line of the log has at most, and how many characters of each.
const MAX_NAMES_TOLD: usize = 8;
const MAX_NAME_TOLD: usize = 40;

/// Many more fields than any server sends, and in front of a pipe nothing that a reader must buffer
/// long.
const PLAIN_CAPACITY: Capacity = Capacity {
    fields: 256,
    bytes: 1 << 16,
};

const SOURCE_FILE_FIELDS: [&str; 18] = [
    // What the head of ours tells (FLV E.5 and the conventions of indexing tools).
    "metadatacreator",
    "filesize",
    "datasize",
    "audiosize",
    "videosize",
    "lasttimestamp",
    "lastkeyframetimestamp",
    "lastkeyframelocation",
    "hasMetadata",
    "hasAudio",
    "hasVideo",
    "hasKeyframes",
    "canSeekToEnd",
    "keyframes",
    // What it does not: the cue points are where they were sent, the others are places in an MP4 file.
    "hasCuePoints",
    "seekpoints",
    "moovPosition",
    // What it fills its room with.
    "_",
];
