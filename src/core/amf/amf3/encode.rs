//! Encoder for AMF3. Only tests use it: rtmpull never sends AMF3.

use super::{
    super::{Object, Text, Value},
    ARRAY, BYTE_ARRAY, DATE, DICTIONARY, DOUBLE, FALSE, INTEGER, NULL, OBJECT, STRING, TRUE,
    UNDEFINED, XML, sign_extend,
};

/// Appends the encoded `value`, without references.
///
/// Values that AMF3 cannot express are converted: a date loses its time zone, an integer of more than 29 bits
/// becomes a double, an array with an empty name becomes an object, and an empty array with names becomes one
/// without names.
pub(in super::super) fn encode(value: &Value, out: &mut Vec<u8>) {
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

pub(super) fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a count or length, which has 28 bits. No value from a message has more.
fn encode_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    encode_u29(count << 1 | 1, out);
}

pub(super) fn encode_u29(value: u32, out: &mut Vec<u8>) {
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
pub(super) const MAX_U29: u32 = 0x1FFF_FFFF;

/// The empty string: length 0, not a reference.
const EMPTY_STRING: u8 = 1;
