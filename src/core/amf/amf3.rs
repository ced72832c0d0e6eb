//! AMF3. Some servers send AMF3 values after marker 0x11 of AMF0.
//!
//! | on the wire | decoded |
//! | --- | --- |
//! | array without names, vectors | [`Value::StrictArray`] |
//! | array with names | [`Value::EcmaArray`], with the indexed values last, named "0", "1" … |
//! | object without a class name | [`Value::Object`] |
//! | object with a class name | [`Value::Typed`] |
//! | externalizable `ArrayCollection` or `ObjectProxy` of Flex | [`Value::Typed`] with the single member "source" or "object" |
//! | other externalizable object | [`Error::Externalizable`] |
//! | item of a uint vector | [`Value::Number`] |
//! | reference to a string | a slice of the same bytes |
//! | other reference | the referenced value, decoded again |

use std::sync::Arc;

use super::{
    Error, Object, Text, Value,
    input::{Input, References},
};

/// Reference tables of one message (AMF3 2.2).
#[derive(Debug, Default)]
pub(super) struct Tables {
    strings: Vec<Text>,
    objects: References,
    traits: Vec<Arc<Traits>>,
}

impl Tables {
    /// Reads one value with its marker.
    pub(super) fn value(&mut self, input: &mut Input) -> Option<Value> {
        let start = input.position();
        let marker = input.u8("AMF3 marker")?;
        input.count_value()?;
        match marker {
            UNDEFINED => Some(Value::Undefined),
            NULL => Some(Value::Null),
            FALSE => Some(Value::Boolean(false)),
            TRUE => Some(Value::Boolean(true)),
            INTEGER => u29(input).map(|bits| Value::Integer(sign_extend(bits))),
            DOUBLE => input.f64("double").map(Value::Number),
            STRING => self.string(input).map(Value::String),
            XML_DOCUMENT..=DICTIONARY => self.referenceable(marker, start, input),
            reserved => input.fail(Error::ReservedMarker(reserved)),
        }
    }

    /// Reads a value that belongs into the object table, or a reference to one.
    fn referenceable(&mut self, marker: u8, start: usize, input: &mut Input) -> Option<Value> {
        let header = u29(input)?;
        if header & 1 == 0 {
            return self.reference(header >> 1, input);
        }
        // A value is added to the table before the values inside it.
        let index = self.objects.enter(start, input);
        let value = self.body(marker, header, input)?;
        self.objects.complete(index);
        Some(value)
    }

    /// Decodes the value at `index` of the object table again.
    fn reference(&mut self, index: u32, input: &mut Input) -> Option<Value> {
        let Some(replay) = self.objects.replay(index, input) else {
            return Some(Value::Undefined);
        };
        let value = self.value(input);
        input.return_to(replay);
        value
    }

    /// Reads the value after marker and header. Except for objects, the header is a count and a low bit of 1.
    fn body(&mut self, marker: u8, header: u32, input: &mut Input) -> Option<Value> {
        let count = header >> 1;
        match marker {
            XML_DOCUMENT | XML => input.text(count, "XML document").map(Value::Xml),
            DATE => input.f64("date").map(|unix_ms| Value::Date {
                unix_ms,
                zone_minutes: 0,
            }),
            ARRAY => self.array(count, input),
            OBJECT => self.object(header, input),
            BYTE_ARRAY => input.bytes(count, "byte array").map(Value::Bytes),
            VECTOR_INT => numbers(count, 4, input, |input| {
                let bits = input.u32("int")?;
                Some(Value::Integer(bits.cast_signed()))
            }),
            VECTOR_UINT => numbers(count, 4, input, |input| {
                let number = input.u32("uint")?;
                Some(Value::Number(number.into()))
            }),
            VECTOR_DOUBLE => numbers(count, 8, input, |input| {
                input.f64("double").map(Value::Number)
            }),
            VECTOR_OBJECT => self.vector(count, input),
            DICTIONARY => self.dictionary(count, input),
            reserved => input.fail(Error::ReservedMarker(reserved)),
        }
    }

    fn array(&mut self, count: u32, input: &mut Input) -> Option<Value> {
        let mut members = Object::new();
        self.dynamic_members(&mut members, input);
        let values = self.values(count, input).unwrap_or_default();
        if members.is_empty() {
            return Some(Value::StrictArray(values));
        }
        // AMF0 2.10: all indices, ordinal or not, are names.
        for (index, value) in values.into_iter().enumerate() {
            members.push(index.to_string(), value);
        }
        Some(Value::EcmaArray(members))
    }

    fn vector(&mut self, count: u32, input: &mut Input) -> Option<Value> {
        input.u8("vector flag")?;
        self.string(input)?; // class of the items
        self.values(count, input).map(Value::StrictArray)
    }

    fn values(&mut self, count: u32, input: &mut Input) -> Option<Vec<Value>> {
        input.check_count(count, 1)?;
        let values = (0..count).map_while(|_| self.inner_value(input));
        Some(values.collect())
    }

    fn dictionary(&mut self, count: u32, input: &mut Input) -> Option<Value> {
        input.u8("dictionary flag")?;
        input.check_count(count, 2)?;
        let entry = |_| Some((self.inner_value(input)?, self.inner_value(input)?));
        let entries = (0..count).map_while(entry);
        Some(Value::Dictionary(entries.collect()))
    }

    fn object(&mut self, header: u32, input: &mut Input) -> Option<Value> {
        let traits = self.traits(header, input)?;
        let mut members = Object::new();
        if traits.is_externalizable {
            let Some(only) = externalized(&traits.class) else {
                return input.fail(Error::Externalizable(traits.class.clone()));
            };
            members.push(only, self.inner_value(input)?);
        }
        for name in &traits.sealed {
            let Some(value) = self.inner_value(input) else {
                break;
            };
            members.push(name.clone(), value);
        }
        if traits.is_dynamic {
            self.dynamic_members(&mut members, input);
        }
        if traits.class.is_empty() {
            return Some(Value::Object(members));
        }
        Some(Value::Typed {
            class: traits.class.clone(),
            members,
        })
    }

    /// Reads the traits of an object, or a reference to them (AMF3 3.12). The bits of the header from the lowest:
    /// inline object, inline traits, externalizable, dynamic, number of sealed members.
    fn traits(&mut self, header: u32, input: &mut Input) -> Option<Arc<Traits>> {
        if header & 2 == 0 {
            return element(&self.traits, header >> 2, input);
        }
        let class = self.string(input)?;
        let is_externalizable = header & 4 != 0;
        let traits = Arc::new(Traits {
            class,
            is_externalizable,
            is_dynamic: !is_externalizable && header & 8 != 0,
            sealed: match is_externalizable {
                true => Vec::new(),
                false => self.names(header >> 4, input)?,
            },
        });
        if !input.is_replay() {
            self.traits.push(Arc::clone(&traits));
        }
        Some(traits)
    }

    fn names(&mut self, count: u32, input: &mut Input) -> Option<Vec<Text>> {
        input.check_count(count, 1)?;
        let name = |_| {
            input.count_value()?;
            self.string(input)
        };
        (0..count).map(name).collect()
    }

    /// Reads names and values until an empty name, or until an error.
    fn dynamic_members(&mut self, members: &mut Object, input: &mut Input) {
        while let Some(key) = self.string(input).filter(|key| !key.is_empty())
            && let Some(value) = self.inner_value(input)
        {
            members.push(key, value);
        }
    }

    fn inner_value(&mut self, input: &mut Input) -> Option<Value> {
        input.descend()?;
        let value = self.value(input);
        input.ascend();
        value
    }

    fn string(&mut self, input: &mut Input) -> Option<Text> {
        let header = u29(input)?;
        if header & 1 == 0 {
            return element(&self.strings, header >> 1, input);
        }
        let text = input.text(header >> 1, "string")?;
        // AMF3 1.3.2: the empty string is never sent by reference.
        if !text.is_empty() && !input.is_replay() {
            self.strings.push(text.clone());
        }
        Some(text)
    }
}

/// Properties shared by the objects of a class (AMF3 3.12).
#[derive(Debug)]
struct Traits {
    class: Text,
    is_externalizable: bool,
    is_dynamic: bool,
    /// Names of the sealed members.
    sealed: Vec<Text>,
}

/// Returns a name for the single value of an externalizable object of `class`, if its encoding is known.
fn externalized(class: &Text) -> Option<&'static str> {
    match class.as_bytes() {
        b"flex.messaging.io.ArrayCollection" => Some("source"),
        b"flex.messaging.io.ObjectProxy" => Some("object"),
        _ => None,
    }
}

/// Reads a vector of numbers, each of `size` bytes.
fn numbers(
    count: u32,
    size: usize,
    input: &mut Input,
    number: impl Fn(&mut Input) -> Option<Value>,
) -> Option<Value> {
    input.u8("vector flag")?;
    input.check_count(count, size)?;
    let item = |_| {
        input.count_value()?;
        number(input)
    };
    let values = (0..count).map_while(item);
    Some(Value::StrictArray(values.collect()))
}

fn element<T: Clone>(table: &[T], index: u32, input: &mut Input) -> Option<T> {
    let position = usize::try_from(index).ok();
    match position.and_then(|position| table.get(position)) {
        Some(element) => Some(element.clone()),
        None => input.fail(Error::BadReference(index)),
    }
}

/// Reads 29 bits: 7 in each of up to three bytes, whose high bit means that another byte follows, and 8 in a
/// fourth byte (AMF3 1.3.1).
fn u29(input: &mut Input) -> Option<u32> {
    let mut value = 0;
    for _ in 0..3 {
        let byte = input.u8("U29")?;
        value = value << 7 | u32::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    input.u8("U29").map(|byte| value << 8 | u32::from(byte))
}

fn sign_extend(bits: u32) -> i32 {
    (bits << 3).cast_signed() >> 3
}

/// Appends the encoded `value`, without references.
///
/// Values that AMF3 cannot express are converted: a date loses its time zone, an integer of more than 29 bits
/// becomes a double, an array with an empty name becomes an object, and an empty array with names becomes one
/// without names.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => encode_double(*number, out),
        Value::Integer(number) => encode_integer(*number, out),
        Value::Boolean(boolean) => out.push(if *boolean { TRUE } else { FALSE }),
        Value::String(text) => {
            out.push(STRING);
            encode_bytes(text.as_bytes(), out);
        }
        Value::Object(members) => encode_object(&Text::default(), members, out),
        Value::EcmaArray(members) if has_empty_key(members) => {
            encode_object(&Text::default(), members, out);
        }
        Value::EcmaArray(members) => {
            out.push(ARRAY);
            encode_count(0, out);
            encode_dynamic_members(members, out);
        }
        Value::StrictArray(values) => {
            out.push(ARRAY);
            encode_count(values.len(), out);
            out.push(EMPTY_STRING);
            values.iter().for_each(|value| encode(value, out));
        }
        Value::Null => out.push(NULL),
        Value::Undefined => out.push(UNDEFINED),
        Value::Date { unix_ms, .. } => {
            out.extend([DATE, 1]);
            out.extend(unix_ms.to_be_bytes());
        }
        Value::Xml(text) => {
            out.push(XML);
            encode_bytes(text.as_bytes(), out);
        }
        Value::Typed { class, members } => encode_object(class, members, out),
        Value::Bytes(bytes) => {
            out.push(BYTE_ARRAY);
            encode_bytes(bytes, out);
        }
        Value::Dictionary(entries) => {
            out.push(DICTIONARY);
            encode_count(entries.len(), out);
            out.push(0);
            for (key, value) in entries {
                encode(key, out);
                encode(value, out);
            }
        }
    }
}

fn encode_double(number: f64, out: &mut Vec<u8>) {
    out.push(DOUBLE);
    out.extend(number.to_be_bytes());
}

fn encode_integer(number: i32, out: &mut Vec<u8>) {
    let bits = number.cast_unsigned() & MAX_U29;
    if sign_extend(bits) != number {
        return encode_double(f64::from(number), out);
    }
    out.push(INTEGER);
    encode_u29(bits, out);
}

/// Appends an object. The members of a class are sealed, others are dynamic. An empty name must be sealed,
/// because it ends the dynamic members.
fn encode_object(class: &Text, members: &Object, out: &mut Vec<u8>) {
    out.push(OBJECT);
    if class.is_empty() && !has_empty_key(members) {
        out.extend([0b1011, EMPTY_STRING]);
        return encode_dynamic_members(members, out);
    }
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    encode_u29(count << 4 | 0b0011, out);
    encode_bytes(class.as_bytes(), out);
    for (key, _) in members {
        encode_bytes(key.as_bytes(), out);
    }
    for (_, value) in members {
        encode(value, out);
    }
}

fn has_empty_key(members: &Object) -> bool {
    members.iter().any(|(key, _)| key.is_empty())
}

fn encode_dynamic_members(members: &Object, out: &mut Vec<u8>) {
    for (key, value) in members {
        encode_bytes(key.as_bytes(), out);
        encode(value, out);
    }
    out.push(EMPTY_STRING);
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a count or length, which has 28 bits. No value from a message has more.
fn encode_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    encode_u29(count << 1 | 1, out);
}

fn encode_u29(value: u32, out: &mut Vec<u8>) {
    let more = |bits: u32| bits as u8 | 0x80;
    let last = value as u8;
    match value & MAX_U29 {
        0..=0x7F => out.push(last),
        0x80..=0x3FFF => out.extend([more(value >> 7), last & 0x7F]),
        0x4000..=0x1F_FFFF => out.extend([more(value >> 14), more(value >> 7), last & 0x7F]),
        _ => out.extend([more(value >> 22), more(value >> 15), more(value >> 8), last]),
    }
}

/// Largest number in 29 bits.
const MAX_U29: u32 = 0x1FFF_FFFF;

/// The empty string: length 0, not a reference.
const EMPTY_STRING: u8 = 1;

// Markers (AMF3 3.1).
const UNDEFINED: u8 = 0x00;
const NULL: u8 = 0x01;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const INTEGER: u8 = 0x04;
const DOUBLE: u8 = 0x05;
const STRING: u8 = 0x06;
const XML_DOCUMENT: u8 = 0x07;
const DATE: u8 = 0x08;
const ARRAY: u8 = 0x09;
const OBJECT: u8 = 0x0A;
const XML: u8 = 0x0B;
const BYTE_ARRAY: u8 = 0x0C;
const VECTOR_INT: u8 = 0x0D;
const VECTOR_UINT: u8 = 0x0E;
const VECTOR_DOUBLE: u8 = 0x0F;
const VECTOR_OBJECT: u8 = 0x10;
const DICTIONARY: u8 = 0x11;

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;

    /// Decodes a message of AMF3 values.
    pub(in super::super) struct Decoder {
        input: Input,
        tables: Tables,
        position: usize,
    }

    impl Decoder {
        pub(in super::super) fn new(message: Bytes) -> Self {
            Self {
                input: Input::new(message),
                tables: Tables::default(),
                position: 0,
            }
        }

        pub(in super::super) fn value(&mut self) -> Result<Value, Error> {
            let value = self.tables.value(&mut self.input);
            if let Some(error) = self.input.error() {
                return Err(error.clone());
            }
            self.position = self.input.position();
            Ok(value.expect("a value without an error"))
        }

        pub(in super::super) fn position(&self) -> usize {
            self.position
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            self.input.error().is_none() && self.input.is_empty()
        }
    }

    fn decode(bytes: &[u8]) -> Result<Value, Error> {
        Decoder::new(Bytes::copy_from_slice(bytes)).value()
    }

    fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
        let mut decoder = Decoder::new(Bytes::copy_from_slice(bytes));
        let mut values = Vec::new();
        while !decoder.is_empty() {
            values.push(decoder.value()?);
        }
        Ok(values)
    }

    #[test]
    fn u29_has_one_to_four_bytes() {
        for (number, bytes) in [
            (0, &[0][..]),
            (0x7F, &[0x7F]),
            (0x80, &[0x81, 0x00]),
            (0x3FFF, &[0xFF, 0x7F]),
            (0x4000, &[0x81, 0x80, 0x00]),
            (0x1F_FFFF, &[0xFF, 0xFF, 0x7F]),
            (0x20_0000, &[0x80, 0xC0, 0x80, 0x00]),
            (0x1234_5678, &[0xC8, 0xE8, 0xD6, 0x78]),
            (MAX_U29, &[0xFF, 0xFF, 0xFF, 0xFF]),
        ] {
            let mut encoded = Vec::new();
            encode_u29(number, &mut encoded);
            assert_eq!(encoded, bytes, "{number:#x}");
            let mut input = Input::new(Bytes::copy_from_slice(bytes));
            assert_eq!(u29(&mut input), Some(number));
            assert!(input.is_empty());
            for cut in 0..bytes.len() {
                let mut input = Input::new(Bytes::copy_from_slice(&bytes[..cut]));
                assert_eq!(u29(&mut input), None);
                assert!(matches!(input.error(), Some(Error::Missing(_))));
            }
        }
        // More bytes than needed.
        let mut input = Input::new(Bytes::from_static(&[0x80, 0x80, 0x05]));
        assert_eq!(u29(&mut input), Some(5));
    }

    #[test]
    fn integers_of_more_than_29_bits_become_doubles() {
        for (number, expected) in [
            (0x0FFF_FFFF, Value::Integer(0x0FFF_FFFF)),
            (-0x1000_0000, Value::Integer(-0x1000_0000)),
            (0x1000_0000, Value::Number(268_435_456.0)),
            (-0x1000_0001, Value::Number(-268_435_457.0)),
            (i32::MIN, Value::Number(-2_147_483_648.0)),
        ] {
            let mut encoded = Vec::new();
            encode(&Value::Integer(number), &mut encoded);
            assert_eq!(decode(&encoded), Ok(expected));
        }
    }

    #[test]
    fn values_encode_to_and_decode_from_these_bytes() {
        #[rustfmt::skip]
        let bytes = [
            0x0A, 0x0B, 0x01,                       // object: dynamic, no class
                0x03, b'i', 0x04, 0x7F,             // i: 127
                0x03, b'd', 0x05, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0, // d: 1.5
                0x01,
            0x0A, 0x23, 0x03, b'P',                 // object of class P, two sealed members
                0x03, b'x', 0x03, b'y', 0x03, 0x02, // x: true, y: false
            0x0A, 0x13, 0x01, 0x01, 0x00,           // no class, an empty name: undefined
            0x09, 0x05, 0x01, 0x01, 0x06, 0x01,     // array: null, ""
            0x09, 0x01, 0x03, b'k', 0x01, 0x01,     // array with the name k: null
            0x08, 0x01, 0, 0, 0, 0, 0, 0, 0, 0,     // date 0
            0x0B, 0x09, b'<', b'a', b'/', b'>',     // XML
            0x0C, 0x05, 0xFF, 0x00,                 // byte array
            0x11, 0x03, 0x00, 0x04, 0x01, 0x01,     // dictionary: 1 → null
        ];
        let values = vec![
            Value::Object(Object::from_iter([
                ("i", Value::Integer(127)),
                ("d", Value::Number(1.5)),
            ])),
            Value::Typed {
                class: "P".into(),
                members: Object::from_iter([("x", true), ("y", false)]),
            },
            Value::Object(Object::from_iter([("", Value::Undefined)])),
            Value::StrictArray(vec![Value::Null, "".into()]),
            Value::EcmaArray(Object::from_iter([("k", Value::Null)])),
            Value::Date {
                unix_ms: 0.0,
                zone_minutes: 0,
            },
            Value::Xml("<a/>".into()),
            Value::Bytes(Bytes::from_static(&[0xFF, 0x00])),
            Value::Dictionary(vec![(Value::Integer(1), Value::Null)]),
        ];

        let mut encoded = Vec::new();
        values.iter().for_each(|value| encode(value, &mut encoded));
        assert_eq!(encoded, bytes);
        assert_eq!(decode_all(&bytes), Ok(values));
    }

    #[test]
    fn vectors_become_arrays() {
        let array = |values: &[Value]| Ok(Value::StrictArray(values.to_vec()));
        #[rustfmt::skip]
        let cases = [
            (&[0x0D, 0x05, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF][..],
             array(&[Value::Integer(-1), Value::Integer(i32::MAX)])),
            (&[0x0E, 0x03, 0x00, 0xFF, 0xFF, 0xFF, 0xFF],
             array(&[Value::Number(4_294_967_295.0)])),
            (&[0x0F, 0x03, 0x00, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0],
             array(&[Value::Number(1.0)])),
            (&[0x10, 0x05, 0x00, 0x03, b'C', 0x01, 0x0A, 0x0B, 0x01, 0x01],
             array(&[Value::Null, Value::Object(Object::new())])),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(bytes), expected);
            for cut in 0..bytes.len() {
                let error = decode(&bytes[..cut]).unwrap_err();
                assert!(matches!(error, Error::Missing(_) | Error::Count(_)));
            }
        }
    }

    #[test]
    fn traits_with_sealed_and_dynamic_members_are_shared() {
        #[rustfmt::skip]
        let bytes = [
            0x0A, 0x1B, 0x03, b'P',                 // class P, dynamic, one sealed member
                0x03, b'x', 0x04, 0x01,             // x: 1
                0x03, b'y', 0x04, 0x02, 0x01,       // y: 2
            0x0A, 0x01, 0x04, 0x03, 0x01,           // the same traits: x: 3
            0x0A, 0x00,                             // the first object again
            0x0A, 0x05,                             // traits 1: do not exist
        ];
        let object = |members: &[(&str, i32)]| Value::Typed {
            class: "P".into(),
            members: members
                .iter()
                .map(|&(key, n)| (key, Value::Integer(n)))
                .collect(),
        };
        let mut decoder = Decoder::new(Bytes::copy_from_slice(&bytes));
        assert_eq!(decoder.value(), Ok(object(&[("x", 1), ("y", 2)])));
        assert_eq!(decoder.value(), Ok(object(&[("x", 3)])));
        assert_eq!(decoder.value(), Ok(object(&[("x", 1), ("y", 2)])));
        assert_eq!(decoder.value(), Err(Error::BadReference(1)));
        assert_eq!(decoder.position(), bytes.len() - 2);
    }

    #[test]
    fn values_decoded_again_do_not_enter_the_tables() {
        #[rustfmt::skip]
        let bytes = [
            0x09, 0x05, 0x01,                       // 0: array of
                0x0A, 0x13, 0x03, b'P',             // 1: object, traits 0, string 0
                    0x03, b'x', 0x06, 0x03, b'v',   // strings 1 and 2
                0x0C, 0x03, 0xAA,                   // 2: byte array
            0x09, 0x00,                             // 0 again
            0x06, 0x03, b'w',                       // string 3
            0x06, 0x06,                             // string 3 again
            0x0C, 0x03, 0xBB,                       // 3: byte array
            0x0C, 0x06,                             // 3 again
            0x0A, 0x13, 0x03, b'Q', 0x02, 0x01,     // 4: traits 1, with name x
            0x0A, 0x05, 0x01,                       // traits 1 again
        ];
        let values = decode_all(&bytes).unwrap();
        assert_eq!(values[0], values[1]);
        assert_eq!(values[3], "w".into());
        assert_eq!(values[5], Value::Bytes(Bytes::from_static(&[0xBB])));
        assert_eq!(values[6], values[7]);
        assert_eq!(values[7].member("x"), Some(&Value::Null));
    }

    #[test]
    fn externalizable_classes_of_flex_have_one_member() {
        for (class, member) in [
            ("flex.messaging.io.ArrayCollection", "source"),
            ("flex.messaging.io.ObjectProxy", "object"),
        ] {
            let mut bytes = vec![0x0A, 0x07];
            encode_bytes(class.as_bytes(), &mut bytes);
            bytes.extend([0x09, 0x03, 0x01, 0x02, 0x0A, 0x00]);
            let array = Value::StrictArray(vec![Value::Boolean(false)]);
            let expected = Value::Typed {
                class: class.into(),
                members: Object::from_iter([(member, array)]),
            };
            assert_eq!(decode_all(&bytes), Ok(vec![expected.clone(), expected]));
        }
    }

    #[test]
    fn reference_to_an_enclosing_value_is_an_error() {
        assert_eq!(
            decode(&[0x09, 0x03, 0x01, 0x09, 0x00]),
            Err(Error::Cycle(0))
        );
        assert_eq!(decode(&[0x09, 0x02]), Err(Error::BadReference(1)));
        assert_eq!(decode(&[0x06, 0x00]), Err(Error::BadReference(0)));
        assert_eq!(decode(&[0x12, 0x01]), Err(Error::ReservedMarker(0x12)));
    }
}
