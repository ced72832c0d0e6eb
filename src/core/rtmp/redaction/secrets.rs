//! Secrets in the messages of a session.

use std::ops::Range;

use bytes::Bytes;

use super::FILLER;
use crate::core::{
    amf::{Object, Text, Value, amf0},
    rtmp::{command::selector_len, message::Kind, secret::Secret},
};

/// Recognizes secrets: in queries and user info, as members with the name of a secret, and as known values.
#[derive(Debug)]
pub struct Secrets {
    /// The secrets of the request.
    pub values: Vec<Secret>,
    /// Whether the value of a member, or the arguments of a command, with this name are secret.
    pub is_secret_name: fn(&str) -> bool,
    /// Finds the secrets in a text such as a URL.
    pub find: fn(&str) -> Vec<Range<usize>>,
}

impl Secrets {
    /// Overwrites the secrets in the payload of a message.
    pub(super) fn mask(&self, kind: Kind, payload: &mut [u8]) {
        let is_command = [Kind::COMMAND, Kind::COMMAND_AMF3].contains(&kind);
        let is_data = [Kind::DATA, Kind::DATA_AMF3].contains(&kind);
        if !is_command && !is_data {
            return;
        }
        self.mask_values(payload);
        let start = selector_len(kind, payload).unwrap_or(0);
        let Some(payload) = payload.get_mut(start..) else {
            return;
        };
        let message = Bytes::copy_from_slice(payload);
        let (values, _) = amf0::decode_all(message.clone());
        let mut found = Found {
            secrets: self,
            message: &message,
            ranges: Vec::new(),
        };
        let name = values.first().and_then(Value::as_text);
        // Metadata has members such as "keyframes" and "author".
        let is_secret = is_command && name.is_some_and(|name| self.is_secret_name(name));
        for value in values.iter().skip(1) {
            found.value(value, is_secret, is_command);
        }
        for range in found.ranges {
            payload.get_mut(range).unwrap_or_default().fill(FILLER);
        }
    }

    /// Overwrites the known secrets in any bytes. Short ones are kept, because they occur in any text.
    pub(super) fn mask_values(&self, bytes: &mut [u8]) {
        let values = self.texts().map(str::as_bytes);
        for value in values.filter(|value| value.len() >= MIN_LENGTH) {
            let mut at = 0_usize;
            while let Some(found) = bytes.get(at..).and_then(|rest| position(rest, value)) {
                let start = at.saturating_add(found);
                at = start.saturating_add(value.len());
                bytes.get_mut(start..at).unwrap_or_default().fill(FILLER);
            }
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter_map(|value| match value {
            Secret::Text(text) => Some(text.as_str()),
            Secret::Parameter { .. } => None,
        })
    }

    fn is_secret_name(&self, name: &Text) -> bool {
        (self.is_secret_name)(&name.to_str_lossy())
    }
}

/// Positions of secrets in a message.
struct Found<'a> {
    secrets: &'a Secrets,
    message: &'a Bytes,
    ranges: Vec<Range<usize>>,
}

impl Found<'_> {
    /// Adds the secrets in a value. `is_secret` means that each text in it is secret, and `has_names` that the
    /// names of its members count.
    fn value(&mut self, value: &Value, is_secret: bool, has_names: bool) {
        match value {
            Value::String(text) | Value::Xml(text) => self.text(text, is_secret),
            Value::Object(members) | Value::EcmaArray(members) | Value::Typed { members, .. } => {
                self.members(members, is_secret, has_names);
            }
            Value::StrictArray(values) => {
                for value in values {
                    self.value(value, is_secret, has_names);
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, members: &Object, is_secret: bool, has_names: bool) {
        for (name, value) in members.iter() {
            let is_secret = is_secret || has_names && self.secrets.is_secret_name(name);
            self.value(value, is_secret, has_names);
        }
    }

    fn text(&mut self, text: &Text, is_secret: bool) {
        let bytes = text.as_bytes();
        // A text is a slice of the message.
        let start = bytes
            .as_ptr()
            .addr()
            .checked_sub(self.message.as_ptr().addr());
        let Some(start) = start.filter(|start| *start < self.message.len()) else {
            return;
        };
        let is_known = |value: &str| value.as_bytes() == bytes;
        if is_secret || self.secrets.texts().any(is_known) {
            let end = start.saturating_add(bytes.len());
            return self.ranges.push(start..end);
        }
        let Ok(text) = str::from_utf8(bytes) else {
            return;
        };
        let values = self.secrets.values.iter();
        let parameters = values.flat_map(|value| value.parameter_positions(text));
        for Range { start: from, end } in (self.secrets.find)(text).into_iter().chain(parameters) {
            let (from, end) = (start.saturating_add(from), start.saturating_add(end));
            self.ranges.push(from..end);
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Smallest length of a known secret that is overwritten in any bytes.
const MIN_LENGTH: usize = 4;
