//! Decoding and encoding of AMF0 and AMF3 values.
//!
//! [`amf0::Decoder`] decodes the values of one message. After marker 0x11 it decodes one AMF3 value. Both
//! formats use the same [`Value`]. Order and repeats of members are kept. Strings are slices of the message,
//! not copies, and need not be UTF-8.
//!
//! # Limits
//!
//! A hostile message costs memory and time in proportion to its size:
//!
//! * A count from the message never sizes an allocation. It is compared with the remaining bytes, and
//!   vectors grow as values are decoded.
//! * Values nest at most [`MAX_DEPTH`] levels deep, including AMF3 inside AMF0. This limits the recursion of
//!   every function that walks or drops a value.
//! * A message contains at most [`MAX_VALUES`] values, and at most [`VALUES_PER_BYTE`] per byte.
//! * A reference is resolved by decoding the referenced bytes again. The resulting values count towards both
//!   limits. A reference to an enclosing value (a cycle) is an error.
//!
//! A string keeps its complete message in memory, up to 16 MiB. Copy it before storing it for long.

pub mod amf0;
mod amf3;
mod input;
pub mod raw_bytes;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, mem, slice, vec};

use bytes::Bytes;
use thiserror::Error;

use super::wire::Missing;

/// An AMF0 or AMF3 value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double (AMF0 2.2, AMF3 3.7).
    Number(f64),
    /// An integer of 29 bits, or an item of an integer vector (AMF3 3.6 and 3.15). AMF3 only.
    Integer(i32),
    /// A boolean (AMF0 2.3, AMF3 3.4 and 3.5).
    Boolean(bool),
    /// A string or long string (AMF0 2.4 and 2.14, AMF3 3.8).
    String(Text),
    /// An object without a class (AMF0 2.5, AMF3 3.12).
    Object(Object),
    /// An array with names (AMF0 2.10, AMF3 3.11). Ordinal indices of AMF3 become names such as "0".
    EcmaArray(Object),
    /// An array without names (AMF0 2.12, AMF3 3.11), or a vector (AMF3 3.15).
    StrictArray(Vec<Self>),
    /// Null (AMF0 2.7, AMF3 3.3).
    Null,
    /// Undefined, or a value that the sender could not encode (AMF0 2.8 and 2.15, AMF3 3.2).
    Undefined,
    /// A date (AMF0 2.13, AMF3 3.10).
    Date {
        /// Milliseconds since 1970-01-01 UTC.
        unix_ms: f64,
        /// Time zone; reserved, should be 0. AMF0 only.
        zone_minutes: i16,
    },
    /// An XML document (AMF0 2.17, AMF3 3.9 and 3.13).
    Xml(Text),
    /// An object with a class (AMF0 2.18, AMF3 3.12). An externalizable object has a single member.
    Typed {
        /// Name of the class.
        class: Text,
        /// Sealed members, then dynamic members.
        members: Object,
    },
    /// A byte array (AMF3 3.14). AMF3 only.
    Bytes(Bytes),
    /// A dictionary, with keys of any type (AMF3 3.16). AMF3 only.
    Dictionary(Vec<(Self, Self)>),
}

impl Value {
    /// Returns the number, if this is a double or an integer.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Integer(number) => Some(f64::from(*number)),
            _ => None,
        }
    }

    /// Returns the boolean, if this is one.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// Returns the string, if this is one.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the members, if this is an object, a typed object or an array with names.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) | Self::EcmaArray(members) | Self::Typed { members, .. } => {
                Some(members)
            }
            _ => None,
        }
    }

    /// Returns the values, if this is an array without names.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the member `key`, if this has members.
    pub fn member(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident;)*) => {
        $(impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    f64 => Number;
    bool => Boolean;
    &str => String;
    String => String;
    Text => String;
    Object => Object;
    Vec<Value> => StrictArray;
}

/// Named members in the order in which they were sent, including repeats.
#[derive(Clone, PartialEq, Default)]
pub struct Object {
    members: Vec<(Text, Value)>,
}

impl Object {
    /// Creates an object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a member, even if one of this name exists.
    pub fn push(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        self.members.push((key.into(), value.into()));
    }

    /// Replaces the value of the member that [`Object::get`] returns, or appends a member. Returns the old
    /// value.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        let mut from_last = self.members.iter_mut().rev();
        if let Some((_, old)) = from_last.find(|(name, _)| *name == key) {
            return Some(mem::replace(old, value));
        }
        self.members.push((key, value));
        None
    }

    /// Removes all members of this name and returns the value of the last one.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let removed = self.members.extract_if(.., |(name, _)| name == key);
        removed.last().map(|(_, value)| value)
    }

    /// Returns the value of the last member of this name, which overrides the earlier ones.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut from_last = self.members.iter().rev();
        from_last
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Iterates over all members in order.
    pub fn iter(&self) -> slice::Iter<'_, (Text, Value)> {
        self.members.iter()
    }

    /// Returns the number of members, including repeats.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether the object has no members.
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

/// A string. The specification requires UTF-8, but peers send other bytes, so the bytes are kept unchanged.
/// [`fmt::Display`] replaces invalid ones with U+FFFD.
///
/// Clones share the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Bytes);

impl Text {
    /// Returns the unchanged bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the string. Bytes that are not UTF-8 become U+FFFD.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Characters that represent other bytes become these bytes; see [`raw_bytes`].
impl From<&str> for Text {
    fn from(string: &str) -> Self {
        Self(Bytes::copy_from_slice(&raw_bytes::encode(string)))
    }
}

impl From<String> for Text {
    fn from(string: String) -> Self {
        match raw_bytes::encode(&string) {
            Cow::Borrowed(_) => Self(string.into()),
            Cow::Owned(bytes) => Self(bytes.into()),
        }
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

/// Why a message cannot be decoded completely. The values before the error are valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The message ends inside a value.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A marker whose value has an unknown size (AMF0 2.1), or an object end outside an object.
    #[error("reserved marker {0:#04x}")]
    ReservedMarker(u8),
    /// Values nest more than [`MAX_DEPTH`] levels deep.
    #[error("values nest more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// The message contains more than [`MAX_VALUES`] values, or more than [`VALUES_PER_BYTE`] per byte.
    #[error("too many values for the length of the message")]
    TooManyValues,
    /// An array, vector, dictionary or list of names announces more items than the message can contain.
    #[error("count {0} exceeds the data")]
    Count(u32),
    /// A reference to an entry that does not exist.
    #[error("reference {0} does not exist")]
    BadReference(u32),
    /// A reference to an enclosing value.
    #[error("reference {0} refers to an enclosing value")]
    Cycle(u32),
    /// An object of a class with its own encoding (AMF3 3.12), which cannot be skipped.
    #[error("externalizable class {0} has an unknown encoding")]
    Externalizable(Text),
}

/// Largest number of values around a value. Messages of real servers nest four levels deep. Each level uses
/// stack when a value is decoded, encoded or dropped.
pub const MAX_DEPTH: usize = 64;

/// Largest number of values in a message, including the names of AMF3 classes. A keyframe index of eight
/// hours has about 30,000. A value has at least one byte in the message, and uses up to 200 bytes of memory.
pub const MAX_VALUES: usize = 100_000;

/// Largest number of values per byte of a message. Without references every value has at least one byte. A
/// reference stands for many values, so that 500 bytes could otherwise cost [`MAX_VALUES`].
pub const VALUES_PER_BYTE: usize = 8;
