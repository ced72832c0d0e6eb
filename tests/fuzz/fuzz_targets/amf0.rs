//! AMF0, and the AMF3 inside it: what was read is written, and reads the same again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rtmpull::core::amf::{Error, Object, Value, amf0, amf3};

fuzz_target!(|message: &[u8]| {
    let (values, fault) = amf0::decode_all(Bytes::copy_from_slice(message));
    check_position(message, values.len(), fault);
    let length: usize = values.iter().map(amf0::encoded_len).sum();
    // References can stand for one string thousands of times.
    if message.len() <= MAX_MESSAGE && length <= MAX_ENCODED {
        again_in_amf0(&values, length);
        again_in_amf3(&values);
    }
});

fn check_position(message: &[u8], count: usize, fault: Option<Error>) {
    let mut decoder = amf0::Decoder::new(Bytes::copy_from_slice(message));
    for _ in 0..count {
        let before = decoder.position();
        decoder.value().expect("a value that was read before");
        assert!(decoder.position() > before, "a value without bytes");
    }
    assert!(decoder.position() <= message.len());
    match fault {
        Some(fault) => assert_eq!(decoder.value(), Err(fault)),
        None => assert_eq!(decoder.position(), message.len()),
    }
}

fn again_in_amf0(values: &[Value], length: usize) {
    let mut encoded = Vec::new();
    values
        .iter()
        .for_each(|value| amf0::encode(value, &mut encoded));
    assert_eq!(encoded.len(), length);
    let (again, fault) = amf0::decode_all(encoded.into());
    assert_eq!(fault, None);
    assert!(
        are_same(values, &again, is_same_in_amf0),
        "{values:?}\n{again:?}"
    );
}

/// The first time some kinds become others; from then on nothing changes any more.
fn again_in_amf3(values: &[Value]) {
    let (Some(once), encoded) = through_amf3(values) else {
        return;
    };
    let (again, encoded_again) = through_amf3(&once);
    let again = again.expect("what AMF3 could say before");
    assert_eq!(encoded, encoded_again);
    assert!(are_same(&once, &again, is_same), "{once:?}\n{again:?}");
}

fn through_amf3(values: &[Value]) -> (Option<Vec<Value>>, Vec<u8>) {
    let mut encoded = Vec::new();
    values
        .iter()
        .for_each(|value| amf3::encode(value, &mut encoded));
    let mut decoder = amf3::Decoder::new(encoded.clone().into());
    let mut again = Vec::new();
    while !decoder.is_empty() {
        match decoder.value() {
            Ok(value) => again.push(value),
            // The names of a class count as values.
            Err(Error::TooManyNodes) => return (None, encoded),
            Err(fault) => panic!("{fault} in {values:?}"),
        }
    }
    assert_eq!(again.len(), values.len());
    (Some(again), encoded)
}

fn are_same<T>(one: &[T], other: &[T], is_same: fn(&T, &T) -> bool) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| is_same(one, other))
}

/// What AMF0 has no kind for becomes the nearest.
fn is_same_in_amf0(value: &Value, again: &Value) -> bool {
    match (value, again) {
        (Value::Integer(number), Value::Number(again)) => f64::from(*number) == *again,
        (Value::Bytes(_) | Value::Dictionary(_), Value::Undefined) => true,
        _ => is_alike(value, again, is_same_in_amf0),
    }
}

fn is_same(value: &Value, again: &Value) -> bool {
    match (value, again) {
        (Value::Dictionary(entries), Value::Dictionary(again)) => {
            are_same(entries, again, |(key, value), (key_again, again)| {
                is_same(key, key_again) && is_same(value, again)
            })
        }
        _ => is_alike(value, again, is_same),
    }
}

/// Equality, but numbers that are none equal themselves, and values inside are compared by `is_same`.
fn is_alike(value: &Value, again: &Value, is_same: fn(&Value, &Value) -> bool) -> bool {
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
            are_alike(members, again, is_same)
        }
        (
            Value::Typed { class, members },
            Value::Typed {
                class: class_again,
                members: again,
            },
        ) => class == class_again && are_alike(members, again, is_same),
        (Value::StrictArray(values), Value::StrictArray(again)) => are_same(values, again, is_same),
        _ => value == again,
    }
}

fn are_alike(members: &Object, again: &Object, is_same: fn(&Value, &Value) -> bool) -> bool {
    members.len() == again.len()
        && members
            .iter()
            .zip(again)
            .all(|((name, value), (name_again, again))| name == name_again && is_same(value, again))
}

/// Longer names than AMF0 can write come in longer messages alone.
const MAX_MESSAGE: usize = 0xFFFF;

const MAX_ENCODED: usize = 1 << 20;
