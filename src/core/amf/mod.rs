//! AMF0 and AMF3: values ⇄ bytes.
//!
//! [`amf0::Decoder`] reads the values of one message and hands over to [`amf3`] for one value where
//! marker 0x11 says so. Both give the same [`Value`]: order and repeats of members are kept, strings
//! keep the bytes that came and are slices of the message, not copies.
//!
//! # What a hostile message can cost
//!
//! Memory in proportion to its size, and no more work than its bytes and [`MAX_NODES`] values are
//! worth, whatever it claims:
//!
//! * No count sizes an allocation. Counts are compared with the bytes left, vectors grow as values
//!   arrive.
//! * Values nest at most [`MAX_DEPTH`] deep, AMF3 inside AMF0 included; so does what walks or drops them.
//! * A message holds at most [`MAX_NODES`] values.
//! * References never share values. The decoder notes only where each value begins, and resolves a
//!   reference by reading there again. What it reads so counts like any other value, towards both
//!   limits: references to references run out of nodes, and one to the value around it (a cycle) is
//!   an error.
//!
//! A string keeps its whole message in memory: who stores one for long stores up to 16 MiB.

pub mod amf0;
pub mod amf3;
mod input;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, mem, slice, vec};

use bytes::Bytes;
use thiserror::Error;

use super::wire::Missing;

/// A value of AMF0 or AMF3.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double (AMF0 2.2, AMF3 3.7).
    Number(f64),
    /// A whole number of 29 bits, or an item of a vector of 32 (AMF3 3.6 and 3.15). AMF0 has no such kind.
    Integer(i32),
    /// A boolean (AMF0 2.3, AMF3 3.4 and 3.5).
    Boolean(bool),
    /// A string, short or long (AMF0 2.4 and 2.14, AMF3 3.8).
    String(Text),
    /// An object without a class (AMF0 2.5, AMF3 3.12).
    Object(Object),
    /// An array with names (AMF0 2.10), or with names and numbers: the latter are names like "0"
    /// (AMF3 3.11).
    EcmaArray(Object),
    /// An array with numbers alone (AMF0 2.12, AMF3 3.11), or a vector (AMF3 3.15).
    StrictArray(Vec<Self>),
    /// Null (AMF0 2.7, AMF3 3.3).
    Null,
    /// Undefined, or of a kind that the sender could not write (AMF0 2.8 and 2.15, AMF3 3.2).
    Undefined,
    /// A point in time (AMF0 2.13, AMF3 3.10).
    Date {
        /// Milliseconds since 1970-01-01 UTC.
        unix_ms: f64,
        /// Reserved, to be 0 and ignored; AMF3 has none.
        zone_minutes: i16,
    },
    /// An XML document (AMF0 2.17, AMF3 3.9 and 3.13).
    Xml(Text),
    /// An object of a class (AMF0 2.18, AMF3 3.12). An externalizable one has a single member.
    Typed {
        /// The name under which its class is registered.
        class: Text,
        /// Its members: the sealed ones, then the dynamic ones.
        members: Object,
    },
    /// A byte array (AMF3 3.14). AMF0 has no such kind.
    Bytes(Bytes),
    /// A dictionary: anything may be a key (AMF3 3.16). AMF0 has no such kind.
    Dictionary(Vec<(Self, Self)>),
}

impl Value {
    /// The number, be it a double or an integer.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Integer(number) => Some(f64::from(*number)),
            _ => None,
        }
    }

    /// The boolean.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The string.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The string, with U+FFFD for what is not UTF-8.
    pub fn as_str_lossy(&self) -> Option<Cow<'_, str>> {
        self.as_text().map(Text::to_str_lossy)
    }

    /// The members of an object with or without a class, or of an array with names.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) | Self::EcmaArray(members) | Self::Typed { members, .. } => {
                Some(members)
            }
            _ => None,
        }
    }

    /// The values of an array without names.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(values) => Some(values),
            _ => None,
        }
    }

    /// The member under `key`, if this has members.
    pub fn member(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// Whether it is null or undefined: peers send either where there is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<&str> for Value {
    fn from(string: &str) -> Self {
        Self::String(string.into())
    }
}

impl From<String> for Value {
    fn from(string: String) -> Self {
        Self::String(string.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::String(text)
    }
}

impl From<Object> for Value {
    fn from(members: Object) -> Self {
        Self::Object(members)
    }
}

impl From<Vec<Self>> for Value {
    fn from(values: Vec<Self>) -> Self {
        Self::StrictArray(values)
    }
}

/// Members by name, in the order in which they were sent, repeats included.
#[derive(Clone, PartialEq, Default)]
pub struct Object {
    members: Vec<(Text, Value)>,
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a member, also where there is one of the name.
    pub fn push(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        self.members.push((key.into(), value.into()));
    }

    /// Replaces the member that [`Object::get`] finds, in its place, or appends one. Gives back the
    /// value replaced.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        let mut from_last = self.members.iter_mut().rev();
        if let Some((_, old)) = from_last.find(|(name, _)| *name == key) {
            return Some(mem::replace(old, value));
        }
        self.members.push((key, value));
        None
    }

    /// Removes all members of the name and gives back the value of the last.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let removed = self.members.extract_if(.., |(name, _)| name == key);
        removed.last().map(|(_, value)| value)
    }

    /// The value of the last member of the name: repeats overwrite.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut from_last = self.members.iter().rev();
        from_last
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// All members in order.
    pub fn iter(&self) -> slice::Iter<'_, (Text, Value)> {
        self.members.iter()
    }

    /// How many members there are, repeats counted.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let members = members.into_iter();
        Self {
            members: members.map(|(k, v)| (k.into(), v.into())).collect(),
        }
    }
}

impl IntoIterator for Object {
    type Item = (Text, Value);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (Text, Value);
    type IntoIter = slice::Iter<'a, (Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.iter().map(|(key, value)| (key, value));
        f.debug_map().entries(members).finish()
    }
}

/// A string: UTF-8 by the book, in truth whatever bytes the sender wrote. They are kept as they came;
/// [`fmt::Display`] puts U+FFFD for what is not UTF-8.
///
/// Clones share the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Bytes);

impl Text {
    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The string, with U+FFFD for what is not UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(string: &str) -> Self {
        Self(Bytes::copy_from_slice(string.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(string: String) -> Self {
        Self(string.into())
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_str_lossy().fmt(f)
    }
}

/// Why a message cannot be read to its end. The values before stay good, and so does the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The message ends inside a value.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A marker whose value cannot be sized (AMF0 2.1), or an object end outside an object.
    #[error("reserved marker {0:#04x}")]
    ReservedMarker(u8),
    /// More than [`MAX_DEPTH`] values around one.
    #[error("values nest more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than [`MAX_NODES`] values in one message.
    #[error("more than {MAX_NODES} values in one message")]
    TooManyNodes,
    /// An array, vector, dictionary or list of names that claims more items than bytes are left for.
    #[error("count {0} exceeds the data")]
    Count(u32),
    /// A reference to a place in a table where nothing is.
    #[error("reference {0} to nothing")]
    BadReference(u32),
    /// A reference to a value that is not complete yet.
    #[error("reference {0} to the value around it")]
    Cycle(u32),
    /// An object of a class with a wire form of its own (AMF3 3.12), which cannot be skipped.
    #[error("externalizable class {0} has an unknown form")]
    Externalizable(Text),
}

/// How many values may be around a value. What servers send nests four deep; each level costs stack
/// wherever values are read, written or dropped.
pub const MAX_DEPTH: usize = 64;

/// How many values a message may hold, the names of an AMF3 class counted too. A keyframe index of
/// eight hours has some 30,000. One costs up to 200 bytes while its list grows; on the wire, one byte.
pub const MAX_NODES: usize = 100_000;
