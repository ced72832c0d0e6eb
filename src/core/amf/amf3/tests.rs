use bytes::Bytes;

pub(in super::super) use super::encode::encode;
use super::{
    super::Error,
    encode::{MAX_U29, encode_bytes, encode_u29},
    *,
};

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
