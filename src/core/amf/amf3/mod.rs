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

    /// Reads a value that belongs in the object table, or a reference to one.
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

    /// Reads the value after marker and header. For all types except
    /// objects, the header consists of a count and a low bit of 1.
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
        // AMF3 3.11: the members with names precede the values without names. After an error, the
        // members before it are kept.
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
            // AMF3 3.12: the other bits have no meaning for an externalizable object.
            is_dynamic: !is_externalizable && header & 8 != 0,
            sealed: match is_externalizable {
                true => Vec::new(),
                false => self.names(header >> 4, input)?,
            },
        });
        // A value that is decoded again is already in the tables.
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
    // The top bit of 29 is the sign. The right shift copies it into the three bits above.
    (bits << 3).cast_signed() >> 3
}

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
mod encode;
#[cfg(test)]
pub(super) mod tests;
