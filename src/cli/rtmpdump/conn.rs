//! librtmp's notation for AMF values, the argument of `-C`.
//!
//! | item | value |
//! | --- | --- |
//! | `B:x` | boolean: whether the number x is not 0 |
//! | `N:x` | number |
//! | `S:text` | string, the rest of the item |
//! | `Z:` | null |
//! | `O:1`, `O:0` | the object begins, ends |
//! | `NB:name:x`, `NN:name:x`, `NS:name:text` | a member of the object around it |
//! | `NO:name:` | a member that is an object; it begins here and `O:0` ends it |

use thiserror::Error;

use crate::core::amf::{self, Object, Value};

/// Why an item is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// Not one of the table's first letters.
    #[error("the type is none of B, N, S, Z, O, NB, NN, NS and NO")]
    Type,
    /// A member's name has no end.
    #[error("there is no colon behind the name")]
    Name,
    /// A member outside an object.
    #[error("a name needs an object around it, begun by O:1")]
    NoObject,
    /// A value without a name in an object. librtmp would send what no server can read.
    #[error("a value in an object needs a name")]
    NoName,
    /// More objects in each other than a server would read.
    #[error("objects nest more than {} deep", amf::MAX_DEPTH)]
    Depth,
}

/// The values that a list of items means, in order. Objects that are still open end with the list.
#[derive(Debug, Default)]
pub struct Values {
    complete: Vec<Value>,
    open: Vec<(String, Object)>,
}

impl Values {
    /// Takes the next item.
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

    /// The values, at the end of the list.
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

    /// Where nothing is open, nothing happens: scripts close once too often.
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

/// A member's name and what follows it.
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

/// As C's atoi would have it: other than 0 once the fraction is cut off.
fn is_true(data: &str) -> bool {
    number(data).trunc() != 0.0
}

/// The number at the start of `data`, else 0, as C's strtod would have it. Whatever is not part of
/// the number is told.
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
        tracing::warn!("{data:?} is taken for the number {number}");
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
    fn reads_values() {
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
    fn reads_what_real_scripts_pass() {
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
    fn nests_and_keeps_the_order() {
        let items = [
            "O:1", "NN:a:1", "NO:b:1", "NO:c:0", "NS::", "O:0", "NB:d:1", "O:0", "NN:a:2", "O:0",
            "N:3",
        ];
        let inner = object([("c", object([("", "".into())])), ("d", true.into())]);
        let outer = object([("a", 1.0.into()), ("b", inner), ("a", 2.0.into())]);
        assert_eq!(values(&items), Ok(vec![outer, 3.0.into()]));
    }

    #[test]
    fn closes_what_is_open_and_no_more() {
        let open = object([("a", object([("b", 1.0.into())]))]);
        assert_eq!(values(&["O:1", "NO:a:", "NN:b:1"]), Ok(vec![open]));
        assert_eq!(values(&["O:0", "O:1", "O:0", "O:0"]), Ok(vec![object([])]));
    }

    #[test]
    fn refuses_what_has_no_meaning() {
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
    fn nests_as_deep_as_a_server_reads() {
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
        fn survives_any_items(items in proptest::collection::vec("(N?[BNSZO]:)?[a:01.e+\\- é]{0,6}", 0..12)) {
            let mut values = Values::default();
            for item in &items {
                let _ = values.push(item);
            }
            prop_assert!(values.finish().len() <= items.len());
        }
    }
}
