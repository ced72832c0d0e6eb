//! Converts metadata to JSON.

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::{
    cli::terminal::sanitize::start_of_json,
    core::amf::{Object, Text, Value},
};

/// Converts `object` to JSON, applying `clean` to its texts. Also returns whether the result is complete:
/// values that are too long, too deeply nested or have no JSON type are left out. Of members with the
/// same name, the last one is kept.
pub(super) fn to_json(
    object: &Object,
    clean: &dyn Fn(&str) -> String,
) -> (Map<String, Json>, bool) {
    let mut conversion = Conversion {
        clean,
        items: ITEMS,
        bytes: BYTES,
        is_complete: true,
    };
    let members = conversion.members(object, DEPTH);
    (members, conversion.is_complete)
}

struct Conversion<'a> {
    clean: &'a dyn Fn(&str) -> String,
    /// Number of values that may still follow.
    items: usize,
    /// Number of bytes of text that may still follow.
    bytes: usize,
    is_complete: bool,
}

impl Conversion<'_> {
    fn members(&mut self, object: &Object, depth: usize) -> Map<String, Json> {
        let mut members = Map::new();
        for (name, value) in object {
            if !self.has_room() {
                break;
            }
            let name = self.text(name);
            members.insert(name, self.value(value, depth));
        }
        members
    }

    fn value(&mut self, value: &Value, depth: usize) -> Json {
        match value {
            Value::Number(number) => json_number(*number),
            Value::Integer(number) => (*number).into(),
            Value::Boolean(boolean) => (*boolean).into(),
            Value::String(text) | Value::Xml(text) => self.text(text).into(),
            Value::Date { unix_ms, .. } => date(*unix_ms),
            Value::Null | Value::Undefined => Json::Null,
            Value::Object(members) | Value::EcmaArray(members) | Value::Typed { members, .. }
                if depth > 0 =>
            {
                self.members(members, depth - 1).into()
            }
            Value::StrictArray(items) if depth > 0 => self.items(items, depth - 1),
            _ => self.left_out(),
        }
    }

    fn items(&mut self, items: &[Value], depth: usize) -> Json {
        let mut array = Vec::new();
        for item in items {
            if !self.has_room() {
                break;
            }
            array.push(self.value(item, depth));
        }
        array.into()
    }

    fn text(&mut self, text: &Text) -> String {
        // Secrets are removed first: the start of a secret is a secret too.
        // Some servers fill a field with zero bytes.
        let text = text.to_str_lossy();
        let mut clean = (self.clean)(text.trim_end_matches('\0'));
        let end = start_of_json(&clean, TEXT_BYTES.min(self.bytes)).len();
        self.bytes -= end;
        self.is_complete &= end == clean.len();
        clean.truncate(end);
        clean
    }

    fn has_room(&mut self) -> bool {
        let has_room = self.items > 0 && self.bytes > 0;
        self.items = self.items.saturating_sub(1);
        self.is_complete &= has_room;
        has_room
    }

    fn left_out(&mut self) -> Json {
        self.is_complete = false;
        Json::Null
    }
}

/// Writes an integer without a fraction. Infinity and NaN become null.
fn json_number(number: f64) -> Json {
    let is_integer = number.fract() == 0.0 && number.abs() < 2f64.powi(53);
    if is_integer {
        (number as i64).into()
    } else {
        number.into()
    }
}

fn date(unix_ms: f64) -> Json {
    // The cast saturates, and jiff rejects such extreme dates.
    match Timestamp::from_millisecond(unix_ms as i64) {
        Ok(date) if unix_ms.is_finite() => date.to_string().into(),
        _ => Json::Null,
    }
}

/// Number of values: some servers send the complete keyframe index.
const ITEMS: usize = 1000;

/// Bytes of all texts before escaping.
const BYTES: usize = 64 << 10;

/// Bytes of a single text after escaping.
const TEXT_BYTES: usize = 4096;

/// Depth of nested objects.
const DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn to_json(members: Vec<(&str, Value)>) -> (Json, bool) {
        let object = members.into_iter().collect();
        let (members, is_complete) = super::to_json(&object, &|text| text.replace("pw", "***"));
        (members.into(), is_complete)
    }

    #[test]
    fn values_keep_their_types() {
        let inner: Object = [("a", 1.0)].into_iter().collect();
        let date = |unix_ms| Value::Date {
            unix_ms,
            zone_minutes: 0,
        };
        let members = vec![
            ("width", 640.0.into()),
            ("rate", 23.976.into()),
            ("odd", f64::NAN.into()),
            ("huge", 1e300.into()),
            ("index", Value::Integer(-5)),
            ("stereo", true.into()),
            ("text", "a pw\x1b".into()),
            (
                "latin",
                Value::String(Bytes::from_static(b"caf\xe9").into()),
            ),
            ("filled", "high\0\0\0".into()),
            ("twice", 1.0.into()),
            ("twice", 2.0.into()),
            ("nothing", Value::Null),
            ("date", date(1_500.0)),
            ("no date", date(f64::INFINITY)),
            ("inner", inner.clone().into()),
            ("list", vec![Value::from(1.0), inner.into()].into()),
        ];
        let expected = json!({
            "width": 640, "rate": 23.976, "odd": null, "huge": 1e300, "index": -5,
            "stereo": true, "filled": "high", "text": "a ***\u{1b}", "latin": "caf\u{fffd}", "twice": 2,
            "nothing": null, "date": "1970-01-01T00:00:01.5Z", "no date": null,
            "inner": {"a": 1}, "list": [1, {"a": 1}],
        });
        assert_eq!(to_json(members), (expected, true));
    }

    #[test]
    fn long_and_deep_values_are_left_out() {
        let (json, is_complete) = to_json(vec![("times", vec![Value::from(0.0); 5000].into())]);
        assert_eq!(json["times"].as_array().map(Vec::len), Some(ITEMS - 1));
        assert!(!is_complete);

        let (json, is_complete) = to_json(vec![("text", "x".repeat(TEXT_BYTES + 1).into())]);
        assert_eq!(json["text"].as_str().map(str::len), Some(TEXT_BYTES));
        assert!(!is_complete);

        let name = "x".repeat(TEXT_BYTES);
        let many = (0..100).map(|_| (name.as_str(), name.as_str().into()));
        let (json, is_complete) = to_json(many.collect());
        assert!(json.to_string().len() <= BYTES);
        assert!(!is_complete);

        let nest = |value, _| Value::from([("a", value)].into_iter().collect::<Object>());
        let deep = (0..100).fold(Value::from(1.0), nest);
        let (json, is_complete) = to_json(vec![("deep", deep)]);
        assert_eq!(json.to_string().matches("{\"a\"").count(), DEPTH);
        assert!(!is_complete);

        let bytes = Value::Bytes(Bytes::from_static(b"x"));
        assert_eq!(to_json(vec![("b", bytes)]), (json!({"b": null}), false));
    }
}
