use std::ops::Range;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Format {
    Amf0,
    Amf3,
}

/// Result of decoding a message: the values, the offset after each, and the error after them.
#[derive(Debug)]
struct Decoded {
    values: Vec<Value>,
    ends: Vec<usize>,
    error: Option<Error>,
}

impl Format {
    fn decode(self, message: &[u8]) -> Decoded {
        let message = Bytes::copy_from_slice(message);
        match self {
            Self::Amf0 => {
                let mut decoder = amf0::Decoder::new(message.clone());
                let decoded = collect(|| {
                    let next = (!decoder.is_empty()).then(|| decoder.value())?;
                    Some((next, decoder.position()))
                });
                let (values, error) = amf0::decode_all(message);
                assert_eq!(
                    format!("{values:?}{error:?}"),
                    format!("{:?}{:?}", decoded.values, decoded.error)
                );
                decoded
            }
            Self::Amf3 => {
                let mut decoder = amf3::tests::Decoder::new(message);
                collect(|| {
                    let next = (!decoder.is_empty()).then(|| decoder.value())?;
                    Some((next, decoder.position()))
                })
            }
        }
    }

    fn encode(self, values: &[Value]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in values {
            match self {
                Self::Amf0 => amf0::encode(value, &mut out),
                Self::Amf3 => amf3::tests::encode(value, &mut out),
            }
        }
        out
    }
}

fn collect(mut next: impl FnMut() -> Option<(Result<Value, Error>, usize)>) -> Decoded {
    let (mut values, mut ends, mut error) = (Vec::new(), Vec::new(), None);
    while error.is_none()
        && let Some((value, position)) = next()
    {
        match value {
            Ok(value) => {
                values.push(value);
                ends.push(position);
            }
            Err(found) => error = Some(found),
        }
    }
    Decoded {
        values,
        ends,
        error,
    }
}

// ---- vectors ----

#[test]
fn amf0_vectors() {
    assert_eq!(run_vectors("amf0"), 16);
}

#[test]
fn amf3_vectors() {
    assert_eq!(run_vectors("amf3"), 10);
}

#[test]
fn commands_vectors() {
    assert_eq!(run_vectors("command"), 13);
}

#[test]
fn data_messages_vectors() {
    assert_eq!(run_vectors("data"), 6);
}

fn run_vectors(area: &str) -> usize {
    let file: Json = serde_json::from_str(VECTORS).unwrap();
    let all = file["vectors"].as_array().unwrap();
    let of_area = all.iter().filter(|vector| vector["area"] == area);
    of_area.map(run_vector).count()
}

fn run_vector(vector: &Json) {
    let name = vector["name"].as_str().unwrap();
    let format = match vector["area"].as_str() {
        Some("amf3") => Format::Amf3,
        _ => Format::Amf0,
    };
    let expected = &vector["expected"];
    if let Some(numbers) = expected["u29"].as_array() {
        return run_u29_vector(&vector["input"], numbers);
    }
    let mut message = hex(&vector["input"]);
    if matches!(vector["params"]["message_type"].as_u64(), Some(15 | 17)) {
        assert_eq!(message.remove(0), 0, "{name}: format byte");
    }

    let decoded = format.decode(&message);
    if let Some(error) = expected["error"].as_str() {
        assert!(is_error(&decoded.error, error), "{name}: {decoded:?}");
        return;
    }
    assert_eq!(decoded.error, None, "{name}");
    assert_same(&decoded.values, &expected["values"], name);
    cut_everywhere(format, &message);
    if vector["kind"] == "encode" {
        assert_eq!(format.encode(&decoded.values), message, "{name}");
    }
    if let Some(body) = expected.get("script_tag_body") {
        assert_eq!(message[decoded.ends[0]..], hex(body), "{name}");
    }
}

/// Decodes U29 numbers as integers, because a U29 is not a value by itself.
fn run_u29_vector(inputs: &Json, numbers: &[Json]) {
    let inputs = inputs.as_array().unwrap();
    assert_eq!(inputs.len(), numbers.len());
    for (input, number) in inputs.iter().zip(numbers) {
        let message = [vec![0x04], hex(input)].concat();
        let bits = u32::try_from(number.as_u64().unwrap()).unwrap();
        let integer = (bits << 3).cast_signed() >> 3;
        let decoded = Format::Amf3.decode(&message);
        assert_eq!(decoded.values, [Value::Integer(integer)]);
        cut_everywhere(Format::Amf3, &message);
    }
}

fn is_error(error: &Option<Error>, expected: &str) -> bool {
    match error {
        Some(Error::Missing(_)) => expected == "eof",
        Some(Error::TooDeep) => expected == "too deep",
        Some(Error::Count(_)) => expected == "count exceeds data",
        Some(Error::BadReference(_)) => expected == "bad reference",
        Some(Error::Externalizable(class)) => expected == format!("externalizable {class}"),
        Some(error) => expected == error.to_string(),
        None => false,
    }
}

fn assert_same(values: &[Value], expected: &Json, name: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(values.len(), expected.len(), "{name}");
    for (value, expected) in values.iter().zip(expected) {
        assert!(is_same(value, expected), "{name}: {value:?}, {expected}");
    }
}

fn is_same(value: &Value, json: &Json) -> bool {
    match value {
        Value::Number(number) => match json["$double_bits"].as_str() {
            Some(bits) => u64::from_str_radix(bits, 16) == Ok(number.to_bits()),
            None => json.as_f64() == Some(*number),
        },
        Value::Integer(number) => json.as_i64() == Some(i64::from(*number)),
        Value::Boolean(boolean) => json == boolean,
        Value::String(text) => *json == *text.to_str_lossy(),
        Value::Object(members) => same_members(members, json, 0),
        Value::EcmaArray(members) if json.get("assoc").is_some() => {
            let names = json["assoc"].as_object().unwrap();
            let values = json["dense"].as_array().unwrap();
            let ordinals = values.iter().enumerate();
            let ordinals = ordinals.map(|(index, value)| (index.to_string(), value.clone()));
            let all = names.clone().into_iter().chain(ordinals).collect();
            same_members(members, &Json::Object(all), 0)
        }
        Value::EcmaArray(members) => same_members(members, json, 0),
        Value::StrictArray(values) => json.as_array().is_some_and(|array| {
            let pairs = || values.iter().zip(array);
            array.len() == values.len() && pairs().all(|(value, json)| is_same(value, json))
        }),
        Value::Null => json.is_null(),
        Value::Undefined => json["$undefined"] == true,
        Value::Date {
            unix_ms,
            zone_minutes,
        } => {
            let zone = json["tz"].as_i64().unwrap_or(0);
            json["$date"].as_f64() == Some(*unix_ms) && zone == i64::from(*zone_minutes)
        }
        Value::Xml(text) => json["$xml"] == *text.to_str_lossy(),
        Value::Typed { class, members } => {
            json["$class"] == *class.to_str_lossy() && same_members(members, json, 1)
        }
        Value::Bytes(bytes) => hex(&json["$bytes"]) == *bytes,
        Value::Dictionary(entries) => json["$dict"].as_array().is_some_and(|array| {
            let mut pairs = entries.iter().zip(array);
            array.len() == entries.len()
                && pairs.all(|((k, v), json)| is_same(k, &json[0]) && is_same(v, &json[1]))
        }),
    }
}

fn same_members(members: &Object, json: &Json, extra: usize) -> bool {
    let same = |(key, value): &(Text, Value)| {
        let expected = json.get(&*key.to_str_lossy());
        expected.is_some_and(|json| is_same(value, json))
    };
    json.as_object().map(|map| map.len()) == Some(members.len() + extra) && members.iter().all(same)
}

fn hex(json: &Json) -> Vec<u8> {
    let digits = json.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Checks that a message cut at any byte gives the complete values before the cut, and an error unless an ECMA
/// array without an object end is at the cut.
fn cut_everywhere(format: Format, message: &[u8]) {
    let all = format.decode(message);
    for cut in 0..message.len() {
        let decoded = format.decode(&message[..cut]);
        let complete = all.ends.iter().filter(|end| **end <= cut).count();
        let (same, more) = decoded.values.split_at(complete);
        assert_eq!(format.encode(same), format.encode(&all.values[..complete]));
        let is_between = cut == 0 || all.ends.contains(&cut);
        match more {
            [] if is_between => assert_eq!(decoded.error, None),
            [] => assert!(matches!(
                decoded.error,
                Some(Error::Missing(_) | Error::Count(_))
            )),
            [value] => {
                assert!(!is_between && decoded.error.is_none());
                assert!(is_prefix(value, &all.values[complete]), "{value:?}");
            }
            _ => panic!("{more:?} decoded from a cut at {cut}"),
        }
    }
}

/// Returns whether `cut` is a prefix of `complete` that ends inside an ECMA array at the end of the message.
fn is_prefix(cut: &Value, complete: &Value) -> bool {
    match (cut, complete) {
        (Value::EcmaArray(cut), Value::EcmaArray(complete)) => {
            let Some(((last_key, last), before)) = cut.members.split_last() else {
                return true;
            };
            let (key, value) = &complete.members[before.len()];
            *before == complete.members[..before.len()]
                && last_key == key
                && (last == value || is_prefix(last, value))
        }
        (Value::StrictArray(cut), Value::StrictArray(complete)) => {
            let ((last, before), (value, complete_before)) =
                (cut.split_last().unwrap(), complete.split_last().unwrap());
            before == complete_before && is_prefix(last, value)
        }
        _ => false,
    }
}

/// Builds the command as the client does, instead of decoding it.
#[test]
fn connect_is_encoded_byte_for_byte() {
    let file: Json = serde_json::from_str(VECTORS).unwrap();
    let all = file["vectors"].as_array().unwrap();
    let vector = all
        .iter()
        .find(|vector| vector["name"] == "cmd-connect-ertmp");
    let codecs = [
        "av01", "vp09", "vp08", "hvc1", "avc1", "vvc1", "ac-3", "ec-3", "Opus", ".mp3", "fLaC",
        "mp4a",
    ];
    let any_codec = Object::from_iter([("*", 4.0)]);
    let mut command = Object::new();
    command.push("app", "live");
    command.push("flashVer", "LNX 9,0,124,2");
    command.push("tcUrl", "rtmp://h/live");
    command.push("fpad", false);
    command.push("capabilities", 15.0);
    command.push("audioCodecs", 4071.0);
    command.push("videoCodecs", 252.0);
    command.push("videoFunction", 1.0);
    command.push("objectEncoding", 0.0);
    command.push("fourCcList", codecs.map(Value::from).to_vec());
    command.push("videoFourCcInfoMap", any_codec.clone());
    command.push("audioFourCcInfoMap", any_codec);
    command.push("capsEx", 15.0);
    let values = ["connect".into(), 1.0.into(), command.into()];
    let message = hex(&vector.unwrap()["input"]);
    assert_eq!(Format::Amf0.encode(&values), message);
    assert_eq!(
        values.iter().map(amf0::encoded_len).sum::<usize>(),
        message.len()
    );
}

// ---- limits ----

#[test]
fn values_nest_at_most_64_levels_deep() {
    let nested = |depth| [[0x0A, 0, 0, 0, 1].repeat(depth), vec![0x05]].concat();
    assert_eq!(Format::Amf0.decode(&nested(MAX_DEPTH)).error, None);
    let error = Format::Amf0.decode(&nested(MAX_DEPTH + 1)).error;
    assert_eq!(error, Some(Error::TooDeep));

    let nested = |depth| [[0x09, 0x03, 0x01].repeat(depth), vec![0x01]].concat();
    assert_eq!(Format::Amf3.decode(&nested(MAX_DEPTH)).error, None);
    let error = Format::Amf3.decode(&nested(MAX_DEPTH + 1)).error;
    assert_eq!(error, Some(Error::TooDeep));
}

#[test]
fn depth_includes_amf3_inside_amf0() {
    let nested = |outer, inner| {
        let outer = [0x0A, 0, 0, 0, 1].repeat(outer);
        let inner = [0x09, 0x03, 0x01].repeat(inner);
        [outer, vec![0x11], inner, vec![0x01]].concat()
    };
    assert_eq!(Format::Amf0.decode(&nested(40, 24)).error, None);
    let error = Format::Amf0.decode(&nested(40, 25)).error;
    assert_eq!(error, Some(Error::TooDeep));
}

#[test]
fn depth_includes_the_referenced_value() {
    // An array of 40 levels, then one that refers to it at level 30.
    let first = [[0x0A, 0, 0, 0, 1].repeat(40), vec![0x05]].concat();
    let second = [[0x0A, 0, 0, 0, 1].repeat(30), vec![0x07, 0, 0]].concat();
    let decoded = Format::Amf0.decode(&[first, second].concat());
    assert_eq!(decoded.values.len(), 1);
    assert_eq!(decoded.error, Some(Error::TooDeep));
}

#[test]
fn nested_values_are_rejected_at_level_65() {
    for (format, level) in [
        (Format::Amf0, &[0x03, 0, 1, b'a'][..]),
        (Format::Amf0, &[0x08, 0, 0, 0, 1, 0, 1, b'a']),
        (Format::Amf0, &[0x0A, 0, 0, 0, 1]),
        (Format::Amf0, &[0x10, 0, 0, 0, 1, b'a']),
        (Format::Amf3, &[0x09, 0x03, 0x01]),
        (Format::Amf3, &[0x09, 0x01, 0x03, b'a']),
        (Format::Amf3, &[0x0A, 0x0B, 0x01, 0x03, b'a']),
        (Format::Amf3, &[0x0A, 0x13, 0x01, 0x03, b'a']),
        (Format::Amf3, &[0x10, 0x03, 0x00, 0x01]),
        (Format::Amf3, &[0x11, 0x03, 0x00]),
        (Format::Amf3, &[0x11, 0x03, 0x00, 0x01]),
    ] {
        let error = format.decode(&level.repeat(200_000)).error;
        assert_eq!(error, Some(Error::TooDeep), "{level:x?}");
    }
}

#[test]
fn message_contains_at_most_100_000_values() {
    let decoded = Format::Amf0.decode(&[0x05; MAX_VALUES]);
    assert_eq!(decoded.error, None);
    let decoded = Format::Amf0.decode(&[0x05; MAX_VALUES + 1]);
    assert_eq!(decoded.values.len(), MAX_VALUES);
    assert_eq!(decoded.error, Some(Error::TooManyValues));

    let count = u32::try_from(MAX_VALUES).unwrap().to_be_bytes();
    let array = [&[0x0A][..], &count, &[0x05; MAX_VALUES]].concat();
    let error = Format::Amf0.decode(&array).error;
    assert_eq!(
        error,
        Some(Error::TooManyValues),
        "the array counts as well"
    );
}

#[test]
fn names_of_a_class_and_items_of_a_vector_are_counted() {
    // No class, 100,000 sealed members with empty names.
    let names = [0x01].repeat(2 * MAX_VALUES);
    let message = [vec![0x0A, 0xE1, 0xD4, 0x03, 0x01], names].concat();
    let error = Format::Amf3.decode(&message).error;
    assert_eq!(error, Some(Error::TooManyValues));

    let numbers = [&[0x0D, 0x8C, 0x9A, 0x41, 0x00][..], &[0; 4 * MAX_VALUES]].concat();
    let error = Format::Amf3.decode(&numbers).error;
    assert_eq!(error, Some(Error::TooManyValues));
}

#[test]
fn counts_that_exceed_the_data_are_errors() {
    for (format, message) in [
        (Format::Amf0, &[0x0A, 0xFF, 0xFF, 0xFF, 0xFF][..]),
        (Format::Amf3, &[0x09, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        (Format::Amf3, &[0x0A, 0xFF, 0xFF, 0xFF, 0xF3, 0x01]),
        (Format::Amf3, &[0x0D, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0, 0, 0]),
        (Format::Amf3, &[0x0F, 0x05, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (Format::Amf3, &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x01]),
        (Format::Amf3, &[0x11, 0xFF, 0xFF, 0xFF, 0xFF, 0x00]),
        (Format::Amf3, &[0x11, 0x05, 0x00, 0x01, 0x01, 0x01]),
    ] {
        let decoded = format.decode(message);
        assert!(
            matches!(decoded.error, Some(Error::Count(_))),
            "{decoded:?}"
        );
    }
    let lengths: [(Format, &[u8]); 5] = [
        (Format::Amf0, &[0x02, 0xFF, 0xFF, 0]),
        (Format::Amf0, &[0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 0]),
        (Format::Amf0, &[0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0]),
        (Format::Amf3, &[0x06, 0xFF, 0xFF, 0xFF, 0xFF, 0]),
        (Format::Amf3, &[0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 0]),
    ];
    for (format, message) in lengths {
        let error = format.decode(message).error;
        assert!(matches!(error, Some(Error::Missing(_))), "{error:?}");
    }
}

#[test]
fn counts_of_nested_arrays_do_not_size_allocations() {
    // Each of 64 nested arrays announces 90,000 items. The rest of the message is nulls.
    let message = [
        [0x0A, 0, 1, 0x5F, 0x90].repeat(MAX_DEPTH),
        vec![0x05; 90_000 - 5 * MAX_DEPTH],
    ];
    let message = Bytes::from(message.concat());
    let allocated = allocation_counter::measure(|| {
        let (values, error) = amf0::decode_all(message.clone());
        assert!(values.is_empty());
        assert!(matches!(error, Some(Error::Count(_))), "{error:?}");
    });
    assert!(allocated.bytes_max < 1 << 20, "{allocated:?}");
}

#[test]
fn memory_for_the_most_expensive_message_is_limited() {
    // A member of three bytes uses the most memory per byte.
    let members = [0, 0, 0x05].repeat(MAX_VALUES);
    let message = Bytes::from([vec![0x03], members].concat());
    let allocated = allocation_counter::measure(|| {
        let (_, error) = amf0::decode_all(message.clone());
        assert_eq!(error, Some(Error::TooManyValues));
    });
    assert!(allocated.bytes_max < 32 << 20, "{allocated:?}");
}

#[test]
fn nested_references_are_limited() {
    // Ten nulls, then arrays of ten references to the previous array: 10²⁰ values.
    let mut message = vec![0x0A, 0, 0, 0, 10];
    message.extend([0x05; 10]);
    for index in 0..20 {
        message.extend([0x0A, 0, 0, 0, 10]);
        message.extend([0x07, 0, index].repeat(10));
    }
    let decoded = Format::Amf0.decode(&message);
    assert_eq!(decoded.values.len(), 3, "11 + 111 + 1111 values");
    assert_eq!(decoded.error, Some(Error::TooManyValues));

    let mut message = vec![0x09, 0x15, 0x01];
    message.extend([0x01; 10]);
    for index in 0..20 {
        message.extend([0x09, 0x15, 0x01]);
        message.extend([0x09, index << 1].repeat(10));
    }
    let decoded = Format::Amf3.decode(&message);
    assert_eq!(decoded.values.len(), 3, "11 + 111 + 1111 values");
    assert_eq!(decoded.error, Some(Error::TooManyValues));
}

#[test]
fn references_cost_values_in_proportion_to_the_message() {
    // An array of 90 nulls, and 140 references to it: 12,600 values from fewer than 500 bytes.
    let array = [&[0x09, 0x81, 0x35, 0x01][..], &[0x01; 90]].concat();
    let references = [0x09, 0x00].repeat(140);
    let short = Format::Amf3.decode(&[array.clone(), references.clone()].concat());
    assert_eq!(short.error, Some(Error::TooManyValues));
    assert!(short.values.len() * 91 <= 8 * 500, "{}", short.values.len());
    // The same references in a longer message are within its limit.
    let long = Format::Amf3.decode(&[array, references, vec![0x01; 2000]].concat());
    assert_eq!(long.error, None);
    assert_eq!(long.values.len(), 1 + 140 + 2000);

    let array = [&[0x0A, 0, 0, 0, 90][..], &[0x05; 90]].concat();
    let references = [0x07, 0, 0].repeat(130);
    let short = Format::Amf0.decode(&[array, references].concat());
    assert_eq!(short.error, Some(Error::TooManyValues));
}

#[test]
fn names_of_a_class_are_counted_for_each_reference() {
    // An object of 1,000 sealed members, all null, and 1,000 references to it.
    let mut message = vec![0x0A, 0xFD, 0x03, 0x01];
    message.extend([0x01].repeat(1000));
    message.extend([0x01].repeat(1000));
    message.extend([0x0A, 0x00].repeat(1000));
    let decoded = Format::Amf3.decode(&message);
    assert!(decoded.values.len() < 60, "{}", decoded.values.len());
    assert_eq!(decoded.error, Some(Error::TooManyValues));
}

#[test]
fn strings_are_slices_of_the_message() {
    // A string of 65,536 bytes, then 50,000 references to it.
    let string = [&[0x06, 0x88, 0x80, 0x01][..], &[b'x'; 65_536]].concat();
    let message = Bytes::from([string, [0x06, 0x00].repeat(50_000)].concat());
    let allocated = allocation_counter::measure(|| {
        let mut decoder = amf3::tests::Decoder::new(message.clone());
        let first = decoder.value().unwrap();
        let text = first.as_text().unwrap();
        assert_eq!(text.as_bytes().as_ptr(), message[4..].as_ptr());
        assert_eq!(text.len(), 65_536);
        while !decoder.is_empty() {
            assert_eq!(decoder.value().unwrap().as_text(), Some(text));
        }
    });
    assert!(allocated.bytes_total < 10_000, "{allocated:?}");
}

#[test]
fn value_has_at_most_64_bytes() {
    assert!(size_of::<Value>() <= 64);
}

// ---- objects and strings ----

#[test]
fn objects_keep_order_and_repeats_and_the_last_member_overrides() {
    let mut object = Object::from_iter([("a", 1.0), ("b", 2.0), ("a", 3.0)]);
    assert_eq!(object.get("a"), Some(&Value::Number(3.0)));
    assert_eq!(object.insert("a", "new"), Some(Value::Number(3.0)));
    assert_eq!(object.insert("c", true), None);
    let keys: Vec<_> = object.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["a", "b", "a", "c"]);
    assert_eq!(object.remove("a"), Some("new".into()));
    assert_eq!(object.remove("a"), None);
    assert_eq!(object.len(), 2);
    assert_eq!(
        format!("{object:?}"),
        r#"{"b": Number(2.0), "c": Boolean(true)}"#
    );
}

#[test]
fn invalid_utf8_is_printed_as_replacement_characters() {
    let text = Text::from(Bytes::from_static(b"\xC3(\n"));
    assert_eq!(text.to_string(), "\u{FFFD}(\n");
    assert_eq!(format!("{text:?}"), "\"\u{FFFD}(\\n\"");
    assert_eq!(text.as_bytes(), b"\xC3(\n");
    assert_ne!(text, "\u{FFFD}(\n", "bytes are compared");
    let text = Text::from("a");
    assert_eq!(text, "a");
}

#[test]
fn accessors_return_values_of_their_type_only() {
    let object = Object::from_iter([("n", Value::Integer(7))]);
    for value in [
        Value::Object(object.clone()),
        Value::EcmaArray(object.clone()),
        Value::Typed {
            class: "C".into(),
            members: object,
        },
    ] {
        assert_eq!(value.member("n").and_then(Value::as_number), Some(7.0));
        assert_eq!(value.member("m"), None);
    }
    assert_eq!(Value::from("x").as_text(), Some(&Text::from("x")));
    assert_eq!(Value::from(true).as_boolean(), Some(true));
    assert_eq!(Value::from(true).as_number(), None);
    assert_eq!(Value::Null.as_object(), None);
}

// ---- properties ----

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn amf0_round_trip(values in prop::collection::vec(value(Format::Amf0), 0..4)) {
        let message = Format::Amf0.encode(&values);
        let lengths: usize = values.iter().map(amf0::encoded_len).sum();
        prop_assert_eq!(lengths, message.len());
        let decoded = Format::Amf0.decode(&message);
        prop_assert_eq!(decoded.error, None);
        prop_assert_eq!(decoded.values, values);
    }

    #[test]
    fn amf3_round_trip(values in prop::collection::vec(value(Format::Amf3), 0..4)) {
        let message = Format::Amf3.encode(&values);
        let decoded = Format::Amf3.decode(&message);
        prop_assert_eq!(decoded.error, None);
        prop_assert_eq!(decoded.values, values);
    }

    #[test]
    fn amf3_inside_amf0_round_trip(value in value(Format::Amf3)) {
        let mut message = vec![0x11];
        amf3::tests::encode(&value, &mut message);
        message.push(0x05);
        let decoded = Format::Amf0.decode(&message);
        prop_assert_eq!(decoded.error, None);
        prop_assert_eq!(decoded.values, [value, Value::Null]);
    }

    #[test]
    fn cut_message_gives_no_wrong_value(value in value(Format::Amf0)) {
        let mut message = Format::Amf0.encode(&[value]);
        message.truncate(400);
        cut_everywhere(Format::Amf0, &message);
    }

    #[test]
    fn arbitrary_messages_decode_to_encodable_values(message in hostile()) {
        check_round_trip(Format::Amf0, &message);
        check_round_trip(Format::Amf3, &message);
        check_round_trip(Format::Amf0, &[&[0x11], &message[..]].concat());
    }

    #[test]
    fn damaged_messages_decode_to_encodable_values(
        value in value(Format::Amf3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for format in [Format::Amf0, Format::Amf3] {
            let mut message = format.encode(slice::from_ref(&value));
            for (index, byte) in &damage {
                let index = index.index(message.len());
                message[index] = *byte;
            }
            check_round_trip(format, &message);
        }
    }
}

/// Checks that the values of any message can be encoded, and decode to the same values.
fn check_round_trip(format: Format, message: &[u8]) {
    let decoded = format.decode(message);
    for to in [Format::Amf0, Format::Amf3] {
        // The first encoding converts types that the format does not have.
        let again = to.decode(&to.encode(&decoded.values));
        assert_eq!(again.error, None);
        assert_eq!(again.values.len(), decoded.values.len());
        let message = to.encode(&again.values);
        let again = to.decode(&message);
        assert_eq!(again.error, None);
        assert_eq!(to.encode(&again.values), message);
    }
}

/// Generates bytes that are mostly markers, small counts and references.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0_u8..0x12, 1 => Just(0), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..200)
}

fn value(format: Format) -> impl Strategy<Value = Value> {
    leaf(format).prop_recursive(4, 40, 6, move |inner| {
        let mut kinds = vec![
            members(inner.clone(), 0..6).prop_map(Value::Object).boxed(),
            ecma_array(format, inner.clone()).boxed(),
            (class(format), members(inner.clone(), 0..6))
                .prop_map(|(class, members)| Value::Typed { class, members })
                .boxed(),
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(Value::StrictArray)
                .boxed(),
        ];
        if let Format::Amf3 = format {
            let entries = prop::collection::vec((inner.clone(), inner), 0..4);
            kinds.push(entries.prop_map(Value::Dictionary).boxed());
        }
        prop::strategy::Union::new(kinds)
    })
}

fn leaf(format: Format) -> impl Strategy<Value = Value> {
    let mut kinds = vec![
        any::<f64>().prop_map(Value::Number).boxed(),
        any::<bool>().prop_map(Value::Boolean).boxed(),
        text(0..12).prop_map(Value::String).boxed(),
        text(0..12).prop_map(Value::Xml).boxed(),
        Just(Value::Null).boxed(),
        Just(Value::Undefined).boxed(),
        (any::<f64>(), any::<i16>())
            .prop_map(move |(unix_ms, zone_minutes)| Value::Date {
                unix_ms,
                zone_minutes: match format {
                    Format::Amf0 => zone_minutes,
                    Format::Amf3 => 0,
                },
            })
            .boxed(),
    ];
    if let Format::Amf3 = format {
        let integers = -0x1000_0000..=0x0FFF_FFFF;
        kinds.push(integers.prop_map(Value::Integer).boxed());
        let bytes = text(0..12).prop_map(|text| Value::Bytes(text.0));
        kinds.push(bytes.boxed());
    }
    prop::strategy::Union::new(kinds)
}

fn members(
    inner: impl Strategy<Value = Value>,
    count: Range<usize>,
) -> impl Strategy<Value = Object> {
    let members = prop::collection::vec((text(0..4), inner), count);
    members.prop_map(|members| Object { members })
}

/// Generates an array with names. In AMF3 it has at least one name, and no empty name.
fn ecma_array(format: Format, inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let least = match format {
        Format::Amf0 => 0,
        Format::Amf3 => 1,
    };
    let members = prop::collection::vec((text(least..4), inner), least..6);
    members.prop_map(|members| Value::EcmaArray(Object { members }))
}

/// Generates the name of a class. In AMF3 an empty name means an object without a class.
fn class(format: Format) -> impl Strategy<Value = Text> {
    match format {
        Format::Amf0 => text(0..6),
        Format::Amf3 => text(1..6),
    }
}

fn text(length: Range<usize>) -> impl Strategy<Value = Text> + use<> {
    prop::collection::vec(any::<u8>(), length).prop_map(|bytes| Text(bytes.into()))
}

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/vectors/vectors.json"
));
