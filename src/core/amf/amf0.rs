//! AMF0, the format of commands and script data.
//!
//! The decoder accepts deviations of real peers: the count of an ECMA array is ignored, and its object end
//! may be missing at the end of the message; a member may have an empty name; a string need not be UTF-8;
//! the "unsupported" marker is decoded as undefined.

use bytes::Bytes;

use super::{
    Error, Object, Text, Value, amf3,
    input::{Input, References},
};
use crate::core::wire::Missing;

/// Decodes all values of a message. Returns the values before the first error, and the error.
pub fn decode_all(message: Bytes) -> (Vec<Value>, Option<Error>) {
    let mut decoder = Decoder::new(message);
    let mut values = Vec::new();
    while !decoder.is_empty() {
        match decoder.value() {
            Ok(value) => values.push(value),
            Err(error) => return (values, Some(error)),
        }
    }
    (values, None)
}

/// Decodes the values of one message. Reference tables and limits belong to a message, so each message needs
/// a new decoder (AMF0 2.9, AMF3 4.1).
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    references: References,
    amf3: amf3::Tables,
    position: usize,
}

impl Decoder {
    /// Creates a decoder that starts at the first byte of `message`.
    pub fn new(message: Bytes) -> Self {
        Self {
            input: Input::new(message),
            references: References::default(),
            amf3: amf3::Tables::default(),
            position: 0,
        }
    }

    /// Decodes the next value.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be decoded. Every later call returns the same error.
    pub fn value(&mut self) -> Result<Value, Error> {
        match self.partial_value() {
            (Some(value), None) => Ok(value),
            (_, Some(error)) => Err(error),
            (None, None) => Err(Missing("value").into()),
        }
    }

    /// Decodes the next value as far as possible, and returns it with the first error.
    ///
    /// Objects and arrays contain the values before the error. A reference that cannot be resolved is
    /// decoded as undefined. Every later call returns the same error and no value.
    pub fn partial_value(&mut self) -> (Option<Value>, Option<Error>) {
        if let Some(error) = self.input.error() {
            return (None, Some(error.clone()));
        }
        let value = self.read_value();
        let error = self.input.error().cloned();
        if error.is_none() {
            self.position = self.input.position();
        }
        (value, error)
    }

    /// Returns the offset after the last decoded value.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns whether all bytes of the message were decoded.
    pub fn is_empty(&self) -> bool {
        self.input.error().is_none() && self.input.is_empty()
    }

    fn read_value(&mut self) -> Option<Value> {
        let start = self.input.position();
        let marker = self.input.u8("AMF0 marker")?;
        self.input.count_value()?;
        match marker {
            NUMBER => self.input.f64("number").map(Value::Number),
            BOOLEAN => {
                let byte = self.input.u8("boolean")?;
                Some(Value::Boolean(byte != 0))
            }
            STRING => self.short_text("string").map(Value::String),
            OBJECT => self.referenceable(start, |decoder| Some(Value::Object(decoder.members()))),
            NULL => Some(Value::Null),
            UNDEFINED | UNSUPPORTED => Some(Value::Undefined),
            REFERENCE => self.reference(),
            ECMA_ARRAY => self.referenceable(start, Self::ecma_array),
            STRICT_ARRAY => self.referenceable(start, Self::strict_array),
            DATE => self.date(),
            LONG_STRING => self.long_text("long string").map(Value::String),
            XML_DOCUMENT => self.long_text("XML document").map(Value::Xml),
            TYPED_OBJECT => self.referenceable(start, Self::typed_object),
            // AMF0 3.1: the switch to AMF3 applies to one value.
            AVM_PLUS => self.amf3.value(&mut self.input),
            reserved => self.input.fail(Error::ReservedMarker(reserved)),
        }
    }

    /// Reads a value that references can refer to, and adds it to the table.
    fn referenceable(
        &mut self,
        start: usize,
        read: fn(&mut Self) -> Option<Value>,
    ) -> Option<Value> {
        let index = self.references.enter(start, &self.input);
        let value = read(self)?;
        self.references.complete(index);
        Some(value)
    }

    /// Reads a reference and decodes the value that it refers to.
    fn reference(&mut self) -> Option<Value> {
        let index = self.input.u16("reference")?;
        let Some(replay) = self.references.replay(index.into(), &mut self.input) else {
            return Some(Value::Undefined);
        };
        let value = self.read_value();
        self.input.return_to(replay);
        value
    }

    fn ecma_array(&mut self) -> Option<Value> {
        // The count is only a hint: encoders write 0 or too large a number.
        self.input.u32("ECMA array count")?;
        let mut members = Object::new();
        // Some encoders omit the object end at the end of the message.
        while !self.input.is_empty()
            && let Some((key, value)) = self.member()
        {
            members.push(key, value);
        }
        Some(Value::EcmaArray(members))
    }

    fn typed_object(&mut self) -> Option<Value> {
        Some(Value::Typed {
            class: self.short_text("class name")?,
            members: self.members(),
        })
    }

    fn members(&mut self) -> Object {
        std::iter::from_fn(|| self.member()).collect()
    }

    /// Reads one member. Returns `None` at the object end, or after an error.
    fn member(&mut self) -> Option<(Text, Value)> {
        let key = self.short_text("member name")?;
        // An empty name without the end marker is a valid name.
        if key.is_empty() && self.input.take_if(OBJECT_END) {
            return None;
        }
        Some((key, self.inner_value()?))
    }

    fn strict_array(&mut self) -> Option<Value> {
        let count = self.input.u32("strict array count")?;
        self.input.check_count(count, 1)?;
        let values = (0..count).map_while(|_| self.inner_value());
        Some(Value::StrictArray(values.collect()))
    }

    fn inner_value(&mut self) -> Option<Value> {
        self.input.descend()?;
        let value = self.read_value();
        self.input.ascend();
        value
    }

    fn date(&mut self) -> Option<Value> {
        Some(Value::Date {
            unix_ms: self.input.f64("date")?,
            zone_minutes: self.input.u16("time zone")?.cast_signed(),
        })
    }

    fn short_text(&mut self, what: &'static str) -> Option<Text> {
        let length = self.input.u16(what)?;
        self.input.text(length.into(), what)
    }

    fn long_text(&mut self, what: &'static str) -> Option<Text> {
        let length = self.input.u32(what)?;
        self.input.text(length, what)
    }
}

/// Appends the encoded `value`.
///
/// A string of more than 65,535 bytes becomes a long string; a longer name is truncated. Types that only AMF3
/// has are converted: an integer becomes a number, byte arrays and dictionaries become "unsupported"
/// (AMF0 2.15), which is decoded as undefined.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    write(value, out);
}

/// Returns the number of bytes that [`encode`] appends for `value`.
pub fn encoded_len(value: &Value) -> usize {
    let mut length = Length(0);
    write(value, &mut length);
    length.0
}

/// Destination of encoded bytes.
trait Output {
    fn put(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts the bytes without storing them.
struct Length(usize);

impl Output for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

fn write(value: &Value, out: &mut impl Output) {
    match value {
        Value::Number(number) => write_number(*number, out),
        Value::Integer(number) => write_number(f64::from(*number), out),
        Value::Boolean(boolean) => out.put(&[BOOLEAN, u8::from(*boolean)]),
        Value::String(text) if text.len() > MAX_SHORT => write_long_text(LONG_STRING, text, out),
        Value::String(text) => {
            out.put(&[STRING]);
            write_short_text(text, out);
        }
        Value::Object(members) => {
            out.put(&[OBJECT]);
            write_members(members, out);
        }
        Value::EcmaArray(members) => {
            out.put(&[ECMA_ARRAY]);
            write_count(members.len(), out);
            write_members(members, out);
        }
        Value::StrictArray(values) => {
            out.put(&[STRICT_ARRAY]);
            write_count(values.len(), out);
            values.iter().for_each(|value| write(value, out));
        }
        Value::Null => out.put(&[NULL]),
        Value::Undefined => out.put(&[UNDEFINED]),
        Value::Date {
            unix_ms,
            zone_minutes,
        } => {
            out.put(&[DATE]);
            out.put(&unix_ms.to_be_bytes());
            out.put(&zone_minutes.to_be_bytes());
        }
        Value::Xml(text) => write_long_text(XML_DOCUMENT, text, out),
        Value::Typed { class, members } => {
            out.put(&[TYPED_OBJECT]);
            write_short_text(class, out);
            write_members(members, out);
        }
        Value::Bytes(_) | Value::Dictionary(_) => out.put(&[UNSUPPORTED]),
    }
}

fn write_number(number: f64, out: &mut impl Output) {
    out.put(&[NUMBER]);
    out.put(&number.to_be_bytes());
}

fn write_members(members: &Object, out: &mut impl Output) {
    for (key, value) in members {
        write_short_text(key, out);
        write(value, out);
    }
    out.put(&[0, 0, OBJECT_END]);
}

fn write_short_text(text: &Text, out: &mut impl Output) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..MAX_SHORT).unwrap_or(bytes);
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.put(&length.to_be_bytes());
    out.put(bytes);
}

fn write_long_text(marker: u8, text: &Text, out: &mut impl Output) {
    out.put(&[marker]);
    write_count(text.len(), out);
    out.put(text.as_bytes());
}

/// Writes a count. It saturates, but no value from a message exceeds 32 bits.
fn write_count(count: usize, out: &mut impl Output) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    out.put(&count.to_be_bytes());
}

/// Longest string with a length of 16 bits, in bytes.
const MAX_SHORT: usize = 0xFFFF;

// Markers (AMF0 2.1). The reserved ones have no known size: 0x04 movie clip, 0x0E record set.
const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const XML_DOCUMENT: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;
const AVM_PLUS: u8 = 0x11;

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> (Vec<Value>, Option<Error>) {
        decode_all(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn values_encode_to_and_decode_from_these_bytes() {
        #[rustfmt::skip]
        let bytes = [
            0x03,                                       // object
                0, 1, b'n', 0x00, 0x40, 0x59, 0, 0, 0, 0, 0, 0, // n: 100
                0, 1, b'b', 0x01, 1,                    // b: true
                0, 1, b'e', 0x08, 0, 0, 0, 1,           // e: ECMA array of one
                    0, 0, 0x05,                         // an empty name: null
                    0, 0, 0x09,
                0, 1, b'n', 0x02, 0, 2, 0xC3, 0x28,     // n again: not UTF-8
                0, 0, 0x09,
            0x0A, 0, 0, 0, 2, 0x05, 0x06,               // strict array: null, undefined
            0x0B, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xC4,   // date 0, zone -60
            0x0F, 0, 0, 0, 4, b'<', b'a', b'/', b'>',   // XML document
            0x10, 0, 1, b'C', 0, 0, 0x09,               // typed object without members
        ];
        let mut members = Object::new();
        members.push("n", 100.0);
        members.push("b", true);
        members.push(
            "e",
            Value::EcmaArray(Object::from_iter([("", Value::Null)])),
        );
        members.push("n", Text::from(Bytes::from_static(&[0xC3, 0x28])));
        let values = vec![
            Value::Object(members),
            Value::StrictArray(vec![Value::Null, Value::Undefined]),
            Value::Date {
                unix_ms: 0.0,
                zone_minutes: -60,
            },
            Value::Xml("<a/>".into()),
            Value::Typed {
                class: "C".into(),
                members: Object::new(),
            },
        ];

        let mut encoded = Vec::new();
        values.iter().for_each(|value| encode(value, &mut encoded));
        assert_eq!(encoded, bytes);
        assert_eq!(decode(&bytes), (values, None));
    }

    #[test]
    fn string_of_65_536_bytes_is_a_long_string() {
        for (length, header) in [(65_535, &[2, 0xFF, 0xFF][..]), (65_536, &[12, 0, 1, 0, 0])] {
            let value = Value::from("x".repeat(length));
            let mut encoded = Vec::new();
            encode(&value, &mut encoded);
            assert!(encoded.starts_with(header));
            assert_eq!(encoded.len(), header.len() + length);
            assert_eq!(encoded_len(&value), encoded.len());
            assert_eq!(decode(&encoded), (vec![value], None));
        }
    }

    #[test]
    fn long_name_is_truncated_to_65_535_bytes() {
        let value = Value::from(Object::from_iter([("k".repeat(70_000), true)]));
        let mut encoded = Vec::new();
        encode(&value, &mut encoded);
        assert_eq!(encoded_len(&value), encoded.len());
        let expected = Object::from_iter([("k".repeat(65_535), true)]);
        assert_eq!(decode(&encoded), (vec![expected.into()], None));
    }

    #[test]
    fn types_of_amf3_are_converted() {
        let mut encoded = Vec::new();
        encode(&Value::Integer(-1), &mut encoded);
        encode(&Value::Bytes(Bytes::from_static(b"abc")), &mut encoded);
        encode(&Value::Dictionary(Vec::new()), &mut encoded);
        assert_eq!(encoded, [0, 0xBF, 0xF0, 0, 0, 0, 0, 0, 0, 0x0D, 0x0D]);
        let values = vec![Value::Number(-1.0), Value::Undefined, Value::Undefined];
        assert_eq!(decode(&encoded), (values, None));
    }

    #[test]
    fn only_an_ecma_array_at_the_end_of_the_message_may_lack_its_object_end() {
        let array = |key: &str| Value::EcmaArray(Object::from_iter([(key, Value::Null)]));
        assert_eq!(
            decode(&[8, 0, 0, 0, 1, 0, 1, b'a', 5]),
            (vec![array("a")], None)
        );
        // The outer array has no object end either.
        let nested = Value::EcmaArray(Object::from_iter([("o", array("a"))]));
        assert_eq!(
            decode(&[8, 0, 0, 0, 1, 0, 1, b'o', 8, 0, 0, 0, 1, 0, 1, b'a', 5]),
            (vec![nested], None)
        );
        // Errors: an incomplete object end, an incomplete value, an object around the array.
        for bytes in [
            &[8, 0, 0, 0, 1, 0, 1, b'a', 5, 0][..],
            &[8, 0, 0, 0, 1, 0, 1, b'a', 5, 0, 0],
            &[8, 0, 0, 0, 1, 0, 1, b'a'],
            &[3, 0, 1, b'o', 8, 0, 0, 0, 1, 0, 1, b'a', 5],
        ] {
            let (values, error) = decode(bytes);
            assert_eq!(values, []);
            assert!(matches!(error, Some(Error::Missing(_))), "{error:?}");
        }
    }

    #[test]
    fn error_repeats_and_the_position_stays_before_it() {
        let mut decoder = Decoder::new(Bytes::from_static(&[5, 0x04, 5]));
        assert_eq!(decoder.value(), Ok(Value::Null));
        for _ in 0..2 {
            assert_eq!(decoder.value(), Err(Error::ReservedMarker(0x04)));
            assert_eq!(decoder.position(), 1);
            assert!(!decoder.is_empty());
        }
    }

    #[test]
    fn decoding_at_the_end_of_the_message_is_an_error() {
        let mut decoder = Decoder::new(Bytes::new());
        assert!(decoder.is_empty());
        assert!(matches!(decoder.value(), Err(Error::Missing(_))));
    }

    #[test]
    fn only_complex_values_enter_the_reference_table_and_only_once() {
        #[rustfmt::skip]
        let bytes = [
            0x02, 0, 1, b's',                       // a string: not in the table
            0x0A, 0, 0, 0, 1,                       // 0: strict array of
                0x03, 0, 0, 0x09,                   // 1: an empty object
            0x07, 0, 0,                             // 0 again; not added to the table
            0x10, 0, 1, b'C', 0, 0, 0x09,           // 2: typed object
            0x07, 0, 2,
            0x07, 0, 1,
            0x07, 0, 3,                             // does not exist
        ];
        let object = Value::Object(Object::new());
        let array = Value::StrictArray(vec![object.clone()]);
        let typed = Value::Typed {
            class: "C".into(),
            members: Object::new(),
        };
        let (values, error) = decode(&bytes);
        assert_eq!(
            values,
            [
                "s".into(),
                array.clone(),
                array,
                typed.clone(),
                typed,
                object
            ]
        );
        assert_eq!(error, Some(Error::BadReference(3)));
    }

    #[test]
    fn reference_to_an_enclosing_value_is_an_error() {
        let bytes = [3, 0, 1, b'a', 3, 0, 1, b'b', 7, 0, 0, 0, 0, 9, 0, 0, 9];
        assert_eq!(decode(&bytes), (vec![], Some(Error::Cycle(0))));
    }
}
