//! Fields of the server's `onMetaData`, stored in encoded form and within limits.

use bytes::Bytes;

use super::{
    TagKind,
    reader::TagView,
    track_map::{MAPS, TrackDescriptions},
};
use crate::core::{
    amf::{Object, Text, Value, amf0},
    payload::Payload,
};

impl TagView<'_> {
    /// Returns the fields of an `onMetaData` tag up to the first damage, and the number of bytes before the
    /// name of the message. `None` for any other tag.
    pub fn metadata(&self) -> Option<(Object, usize)> {
        if self.header.kind != TagKind::SCRIPT || self.header.is_filtered {
            return None;
        }
        let mut decoder = amf0::Decoder::new(self.body.to_vec().into());
        let mut name = decoder.value().ok()?;
        let mut start = 0;
        // Some servers record the publisher's command, with the name `@setDataFrame` before it.
        if name == "@setDataFrame".into() {
            start = decoder.position();
            name = decoder.value().ok()?;
        }
        if name != ON_META_DATA.into() {
            return None;
        }
        let (fields, _) = decoder.partial_value();
        let fields = fields.as_ref().and_then(Value::as_object);
        Some((fields.cloned().unwrap_or_default(), start))
    }
}

/// One field in its encoded form.
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

    /// Returns the encoded name and value.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns an `onMetaData` message with these fields; `None` if it would be larger than an RTMP message.
pub fn metadata_message(fields: &Object) -> Option<Payload> {
    // The length is checked before encoding: fields that share one large string are encoded one by one.
    let fields = Value::EcmaArray(fields.clone());
    if amf0::encoded_len(&fields) > MAX_MESSAGE {
        return None;
    }
    let mut bytes = Vec::new();
    amf0::encode(&ON_META_DATA.into(), &mut bytes);
    amf0::encode(&fields, &mut bytes);
    Some(Payload::from(&bytes[..]))
}

/// Appends a member of an object: the length of the name in 16 bits, the name, the value (AMF0 2.5).
pub(super) fn push_member(name: &[u8], value: &Value, out: &mut Vec<u8>) {
    out.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(name);
    amf0::encode(value, out);
}

/// Limits of one page of fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    pub(super) fields: usize,
    pub(super) bytes: usize,
}

/// Fields of the server's `onMetaData`, in pages with a fixed capacity.
///
/// Fields that are not true in a copy of the stream are excluded. The fields are stored as encoded bytes,
/// because a decoded [`Value`] keeps its complete message in memory.
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
    /// Creates empty pages. Fields for which `is_excluded` returns true are never stored.
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

    /// Returns the fields of each page, in order of arrival.
    pub(super) fn pages(&self) -> impl Iterator<Item = &[Field]> {
        self.pages.iter().map(|page| page.fields.as_slice())
    }

    /// Returns the text of a field; `None` if it does not exist or is not a text.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        let text = value.as_text()?;
        Some(String::from_utf8_lossy(text.as_bytes()).into_owned())
    }

    /// Returns the number of a field; `None` if it does not exist or is not a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_number()
    }

    fn value(&self, name: &str) -> Option<Value> {
        let field = self
            .pages()
            .flatten()
            .find(|field| field.name == name.as_bytes())?;
        let value = field.bytes.get(NAME_LENGTH.saturating_add(name.len())..)?;
        let (values, _) = amf0::decode_all(Bytes::copy_from_slice(value));
        values.into_iter().next()
    }

    /// Returns languages and names of tracks.
    pub fn track_descriptions(&self) -> TrackDescriptions {
        let mut descriptions = TrackDescriptions::default();
        let fields = self.pages().flatten();
        for field in
            fields.filter(|field| MAPS.iter().any(|(_, name)| field.name == name.as_bytes()))
        {
            let name = field.name.len();
            let value = field.bytes.get(NAME_LENGTH.saturating_add(name)..);
            let value = Bytes::copy_from_slice(value.unwrap_or_default());
            let (values, _) = amf0::decode_all(value);
            let fields = values
                .into_iter()
                .map(|value| (Text::from(Bytes::copy_from_slice(&field.name)), value));
            descriptions.merge(&fields.collect());
        }
        descriptions
    }

    /// Adds fields and replaces those of the same name. Fields that do not fit are omitted and logged.
    pub fn merge(&mut self, fields: &Object) {
        let mut omitted = OmittedFields::default();
        for (name, value) in fields {
            if !(self.is_excluded)(name.as_bytes()) && !self.put(name, value) {
                omitted.add(name.as_bytes());
            }
        }
        omitted.report(&mut self.has_warned);
    }

    /// Restores the fields of page `number` from the head of a file. Skips a field that is already on
    /// another page: an interrupted rewrite moved it and left it on both.
    pub(super) fn restore_page(&mut self, number: usize, fields: &Object) {
        for (name, value) in fields {
            let name = name.as_bytes();
            let exists = self.pages().flatten().any(|field| field.name == name);
            let field = Field::new(name, value);
            if let Some(page) = self.pages.get_mut(number)
                && !(self.is_excluded)(name)
                && !exists
                && page.fits(field.bytes.len())
            {
                page.push(field);
            }
        }
    }

    /// Merges the fields of `other`, see [`Metadata::merge`].
    pub(super) fn merge_metadata(&mut self, other: &Self) {
        let mut omitted = OmittedFields::default();
        for field in other.pages().flatten() {
            if !(self.is_excluded)(&field.name) && !self.put_field(field) {
                omitted.add(&field.name);
            }
        }
        omitted.report(&mut self.has_warned);
    }

    fn put(&mut self, name: &Text, value: &Value) -> bool {
        // The old field is removed even if the new one does not fit: its value is no longer true.
        self.remove(name.as_bytes());
        // The length is checked before encoding: a small message can refer to one large string a
        // thousand times.
        let length = amf0::encoded_len(value)
            .saturating_add(name.len())
            .saturating_add(NAME_LENGTH);
        let Some(page) = self.page_for(length) else {
            return false;
        };
        // Players read an empty name as the end of the object.
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
    /// Creates one page that is larger than the metadata of any known server.
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

/// Returns whether a field must not be copied: rtmpull writes it, or it describes the file on the
/// server.
pub(super) fn is_own_field(name: &[u8]) -> bool {
    name == b"duration" || describes_source_file(name)
}

/// Returns whether a field describes the file on the server, not the stream.
fn describes_source_file(name: &[u8]) -> bool {
    SOURCE_FILE_FIELDS.iter().any(|own| own.as_bytes() == name)
}

/// Fields that did not fit, for the log.
#[derive(Debug, Default)]
struct OmittedFields {
    count: usize,
    names: Vec<String>,
}

impl OmittedFields {
    fn add(&mut self, name: &[u8]) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < MAX_LOGGED_NAMES {
            let name = String::from_utf8_lossy(name);
            let name = name.chars().take(MAX_LOGGED_NAME_LENGTH);
            self.names.push(name.collect());
        }
    }

    /// Warns the first time, then logs at debug level: a server may repeat its metadata every second.
    fn report(&self, has_warned: &mut bool) {
        let Self { count, names } = self;
        if *count == 0 {
            return;
        }
        if *has_warned {
            tracing::debug!(count, ?names, "{OMITTED}");
        } else {
            tracing::warn!(count, ?names, "{OMITTED}");
        }
        *has_warned = true;
    }
}

/// Log message about omitted fields.
const OMITTED: &str = "fields of the server's metadata do not fit into the file";

/// Size of the length before a name, in bytes.
const NAME_LENGTH: usize = 2;

/// Largest number of names in one log message.
const MAX_LOGGED_NAMES: usize = 8;

/// Largest number of characters of a name in a log message.
const MAX_LOGGED_NAME_LENGTH: usize = 40;

/// Limits of the metadata tag in a pipe: more than any known server sends, and small enough for the
/// buffer of any reader.
const PLAIN_CAPACITY: Capacity = Capacity {
    fields: 256,
    bytes: 1 << 16,
};

const SOURCE_FILE_FIELDS: [&str; 18] = [
    // Written by rtmpull (FLV E.5 and the conventions of indexing tools).
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
    // Not written: cue points are sent as tags, the others are offsets in an MP4 file.
    "hasCuePoints",
    "seekpoints",
    "moovPosition",
    // Name of the padding in the head.
    "_",
];

const ON_META_DATA: &str = "onMetaData";

/// Largest length of the fields in an RTMP message.
const MAX_MESSAGE: usize = 0xFF_FFFF - 13;
