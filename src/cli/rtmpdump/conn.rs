//! librtmp's notation for AMF values, the value of `-C`.
//!
//! | item | value |
//! | --- | --- |
//! | `B:x` | boolean: false if the number x is 0 |
//! | `N:x` | number |
//! | `S:text` | string, the rest of the item |
//! | `Z:` | null |
//! | `O:1`, `O:0` | start and end of an object |
//! | `NB:name:x`, `NN:name:x`, `NS:name:text` | a member of the enclosing object |
//! | `NO:name:` | a member that is an object, which `O:0` ends |

use thiserror::Error;

use crate::{
    cli::terminal::sanitize::{MIN_ECHOED_LENGTH, is_secret_name, parameter},
    core::{
        amf::{self, Object, Value},
        rtmp::secret::Secret,
    },
};

/// Reason why an item is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// A type that does not exist.
    #[error("the type must be B, N, S, Z, O, NB, NN, NS or NO")]
    Type,
    /// A member without a value.
    #[error("the name must be followed by a colon")]
    Name,
    /// A member outside an object.
    #[error("a value with a name must be inside an object, which O:1 starts")]
    NoObject,
    /// A value without a name in an object, for which librtmp sends malformed AMF.
    #[error("a value inside an object must have a name")]
    NoName,
    /// Objects nested deeper than servers read.
    #[error("objects must not be nested more than {} deep", amf::MAX_DEPTH)]
    Depth,
}

/// Collects the values of a list of items. The end of the list ends all open objects.
#[derive(Debug, Default)]
pub struct Values {
    complete: Vec<Value>,
    open: Vec<(String, Object)>,
}

impl Values {
    /// Adds the next item.
    pub fn push(&mut self, item: &str) -> Result<(), Error> {
        let (kind, data) = item.split_once(':').ok_or(Error::Type)?;
        match kind {
            "O" if is_true(data) => self.open(String::new(), false),
            "O" => {
                self.close();
                Ok(())
            }
            "NO" => self.open(name(data)?.0.to_owned(), true),
            "NB" | "NN" | "NS" => self.member(&kind[1..], data),
            _ if self.open.is_empty() => {
                self.complete.push(scalar(kind, data)?);
                Ok(())
            }
            _ => scalar(kind, data).and(Err(Error::NoName)),
        }
    }

    /// Returns the values at the end of the list.
    pub fn finish(mut self) -> Vec<Value> {
        while !self.open.is_empty() {
            self.close();
        }
        self.complete
    }

    fn open(&mut self, name: String, is_member: bool) -> Result<(), Error> {
        match (is_member, self.open.len()) {
            (true, 0) => Err(Error::NoObject),
            (false, 1..) => Err(Error::NoName),
            (_, depth) if depth >= amf::MAX_DEPTH => Err(Error::Depth),
            _ => {
                self.open.push((name, Object::new()));
                Ok(())
            }
        }
    }

    /// Ends the innermost object, if any. Scripts end one object too many, which librtmp ignores.
    fn close(&mut self) {
        let Some((name, object)) = self.open.pop() else {
            return;
        };
        match self.open.last_mut() {
            Some((_, parent)) => parent.push(name, object),
            None => self.complete.push(object.into()),
        }
    }

    fn member(&mut self, kind: &str, data: &str) -> Result<(), Error> {
        let (name, data) = name(data)?;
        let (_, object) = self.open.last_mut().ok_or(Error::NoObject)?;
        object.push(name, scalar(kind, data)?);
        Ok(())
    }
}

/// Returns `item` with type and name, but without its value, which may be secret.
pub fn masked(item: &str) -> String {
    let (kind, name) = item.split_once(':').unwrap_or(("", ""));
    match name.split_once(':') {
        Some((name, _)) if kind.starts_with('N') && kind.len() > 1 => format!("{kind}:{name}:***"),
        _ => format!("{kind}:***"),
    }
}

/// Returns the string in `item` if it may be a credential: any string without a name, and a string with the
/// name of a credential. Short strings without a name occur in ordinary words.
pub fn secret(item: &str) -> Option<Secret> {
    let (kind, data) = item.split_once(':')?;
    match kind {
        "S" if data.len() >= MIN_ECHOED_LENGTH => Some(Secret::Text(data.to_owned())),
        "NS" => {
            let (name, text) = data.split_once(':')?;
            is_secret_name(name).then(|| parameter(name, text))
        }
        _ => None,
    }
}

/// Splits a member into its name and its value.
fn name(data: &str) -> Result<(&str, &str), Error> {
    data.split_once(':').ok_or(Error::Name)
}

fn scalar(kind: &str, data: &str) -> Result<Value, Error> {
    match kind {
        "B" => Ok(is_true(data).into()),
        "N" => Ok(number(data).into()),
        "S" => Ok(data.into()),
        "Z" => Ok(Value::Null),
        _ => Err(Error::Type),
    }
}

/// Parses a boolean as C's atoi does: true unless the integer part is 0.
fn is_true(data: &str) -> bool {
    number(data).trunc() != 0.0
}

/// Parses the number at the start of `data` as C's strtod does, or returns 0. Logs a warning if anything
/// follows the number.
fn number(data: &str) -> f64 {
    let data = data.trim_ascii_start();
    let digits_end = data
        .find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c)))
        .unwrap_or(data.len());
    let (number, end) = (0..=digits_end)
        .rev()
        .find_map(|end| Some((data[..end].parse().ok()?, end)))
        .unwrap_or((0.0, 0));
    if end < data.len() {
        tracing::warn!("{data:?} is not a number, using {number}");
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(items: &[&str]) -> Result<Vec<Value>, Error> {
        let mut values = Values::default();
        items.iter().try_for_each(|item| values.push(item))?;
        Ok(values.finish())
    }

    fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
        Object::from_iter(members).into()
    }

    #[test]
    fn values_have_types() {
        let cases: [(&str, Value); 18] = [
            ("B:1", true.into()),
            ("B:0", false.into()),
            ("B:-7", true.into()),
            ("B:0.5", false.into()),
            ("B:true", false.into()),
            ("B:", false.into()),
            ("S:text", "text".into()),
            ("S:", "".into()),
            ("S:a:b:c", "a:b:c".into()),
            ("S:größer", "größer".into()),
            ("N:1", 1.0.into()),
            ("N:-2.5e3", Value::Number(-2500.0)),
            ("N: 3", 3.0.into()),
            ("N:4th", 4.0.into()),
            ("N:5e", 5.0.into()),
            ("N:x", 0.0.into()),
            ("Z:", Value::Null),
            ("Z:x", Value::Null),
        ];
        for (item, expected) in cases {
            assert_eq!(values(&[item]), Ok(vec![expected]), "{item}");
        }
    }

    #[test]
    fn items_of_real_scripts_are_parsed() {
        let items = [
            "S:connect",
            "O:1",
            "NS:pageUrl:http://www.rtl2.de/a:b",
            "NB:fpad:0",
            "NN:videoFunction:1",
            "O:0",
        ];
        let expected = object([
            ("pageUrl", "http://www.rtl2.de/a:b".into()),
            ("fpad", false.into()),
            ("videoFunction", 1.0.into()),
        ]);
        assert_eq!(values(&items), Ok(vec!["connect".into(), expected]));
        assert_eq!(values(&["O:1", "O:0"]), Ok(vec![object([])]));
    }

    #[test]
    fn nested_members_keep_their_order() {
        let items = [
            "O:1", "NN:a:1", "NO:b:1", "NO:c:0", "NS::", "O:0", "NB:d:1", "O:0", "NN:a:2", "O:0",
            "N:3",
        ];
        let inner = object([("c", object([("", "".into())])), ("d", true.into())]);
        let outer = object([("a", 1.0.into()), ("b", inner), ("a", 2.0.into())]);
        assert_eq!(values(&items), Ok(vec![outer, 3.0.into()]));
    }

    #[test]
    fn the_end_of_the_list_ends_open_objects() {
        let open = object([("a", object([("b", 1.0.into())]))]);
        assert_eq!(values(&["O:1", "NO:a:", "NN:b:1"]), Ok(vec![open]));
        assert_eq!(values(&["O:0", "O:1", "O:0", "O:0"]), Ok(vec![object([])]));
    }

    #[test]
    fn meaningless_items_are_rejected() {
        let cases: [(&[&str], Error); 13] = [
            (&[""], Error::Type),
            (&["S"], Error::Type),
            (&["Q:1"], Error::Type),
            (&["s:text"], Error::Type),
            (&["NZ:a:"], Error::Type),
            (&["O:1", "X:1"], Error::Type),
            (&["NS:a:b"], Error::NoObject),
            (&["NO:a:1"], Error::NoObject),
            (&["O:1", "O:0", "NN:a:1"], Error::NoObject),
            (&["O:1", "NS:name"], Error::Name),
            (&["O:1", "NO:name"], Error::Name),
            (&["O:1", "Z:"], Error::NoName),
            (&["O:1", "O:1"], Error::NoName),
        ];
        for (items, expected) in cases {
            assert_eq!(values(items), Err(expected), "{items:?}");
        }
    }

    #[test]
    fn values_are_masked_in_messages() {
        let cases = [
            ("S:a:b", "S:***", None),
            ("S:long-enough", "S:***", Some(parameter("", "long-enough"))),
            ("NS:name:long-enough", "NS:name:***", None),
            (
                "NS:token:long:enough",
                "NS:token:***",
                Some(parameter("token", "long:enough")),
            ),
            ("NS:token:1", "NS:token:***", Some(parameter("token", "1"))),
            ("N:5", "N:***", None),
            ("NQ:name:x", "NQ:name:***", None),
            ("x", ":***", None),
        ];
        for (item, expected, text) in cases {
            assert_eq!(
                (masked(item).as_str(), secret(item)),
                (expected, text),
                "{item}"
            );
        }
    }

    #[test]
    fn nesting_depth_is_limited() {
        let nested = |depth| {
            let mut items = vec!["O:1"];
            items.resize(depth, "NO:a:1");
            values(&items)
        };
        assert!(nested(amf::MAX_DEPTH).is_ok());
        assert_eq!(nested(amf::MAX_DEPTH + 1), Err(Error::Depth));
    }

    proptest! {
        #[test]
        fn arbitrary_items_never_panic(items in proptest::collection::vec("(N?[BNSZO]:)?[a:01.e+\\- é]{0,6}", 0..12)) {
            let mut values = Values::default();
            for item in &items {
                let _ = values.push(item);
            }
            prop_assert!(values.finish().len() <= items.len());
        }
    }
}
