//! AMF0 and the AMF3 in it: decoded values encode to AMF0 and decode to the same values.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rtmpull::core::amf::{Error, Object, Value, amf0};

fuzz_target!(|message: &[u8]| {
    check_message(message);
    check_message(&[&[AVM_PLUS][..], message].concat());
});

fn check_message(message: &[u8]) {
    let (values, error) = amf0::decode_all(Bytes::copy_from_slice(message));
    check_position(message, values.len(), error);
    let length: usize = values.iter().map(amf0::encoded_len).sum();
    // A reference may repeat a string thousands of times, so limit the encoded length.
    if message.len() <= MAX_MESSAGE && length <= MAX_ENCODED {
        check_amf0(&values, length);
    }
}

fn check_position(message: &[u8], count: usize, error: Option<Error>) {
    let mut decoder = amf0::Decoder::new(Bytes::copy_from_slice(message));
    for _ in 0..count {
        let before = decoder.position();
        decoder.value().expect("a value decoded before");
        assert!(decoder.position() > before, "a value without bytes");
    }
    assert!(decoder.position() <= message.len());
    match error {
        Some(error) => assert_eq!(decoder.value(), Err(error)),
        None => assert_eq!(decoder.position(), message.len()),
    }
}

fn check_amf0(values: &[Value], length: usize) {
    let mut encoded = Vec::new();
    values
        .iter()
        .for_each(|value| amf0::encode(value, &mut encoded));
    assert_eq!(encoded.len(), length);
    let (again, error) = amf0::decode_all(encoded.into());
    assert_eq!(error, None);
    assert!(
        are_same(values, &again, is_same_in_amf0),
        "{values:?}\n{again:?}"
    );
}

fn are_same<T>(one: &[T], other: &[T], is_same: fn(&T, &T) -> bool) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| is_same(one, other))
}

/// Compares values after AMF0, which converts types it lacks to the nearest type.
fn is_same_in_amf0(value: &Value, again: &Value) -> bool {
    match (value, again) {
        (Value::Integer(number), Value::Number(again)) => f64::from(*number) == *again,
        (Value::Bytes(_) | Value::Dictionary(_), Value::Undefined) => true,
        _ => is_same_with(value, again, is_same_in_amf0),
    }
}

/// Compares values with NaN equal to itself, and nested values with `is_same`.
fn is_same_with(value: &Value, again: &Value, is_same: fn(&Value, &Value) -> bool) -> bool {
    match (value, again) {
        (Value::Number(number), Value::Number(again)) => number.to_bits() == again.to_bits(),
        (
            Value::Date {
                unix_ms,
                zone_minutes,
            },
            Value::Date {
                unix_ms: again,
                zone_minutes: zone_again,
            },
        ) => unix_ms.to_bits() == again.to_bits() && zone_minutes == zone_again,
        (Value::Object(members), Value::Object(again))
        | (Value::EcmaArray(members), Value::EcmaArray(again)) => {
            are_same_members(members, again, is_same)
        }
        (
            Value::Typed { class, members },
            Value::Typed {
                class: class_again,
                members: again,
            },
        ) => class == class_again && are_same_members(members, again, is_same),
        (Value::StrictArray(values), Value::StrictArray(again)) => are_same(values, again, is_same),
        _ => value == again,
    }
}

fn are_same_members(members: &Object, again: &Object, is_same: fn(&Value, &Value) -> bool) -> bool {
    members.len() == again.len()
        && members
            .iter()
            .zip(again)
            .all(|((name, value), (name_again, again))| name == name_again && is_same(value, again))
}

/// Largest message to encode again: names in it fit the 16-bit length of AMF0.
const MAX_MESSAGE: usize = 0xFFFF;

const MAX_ENCODED: usize = 1 << 20;

/// Marker of one AMF3 value in a message of AMF0 values.
const AVM_PLUS: u8 = 0x11;
