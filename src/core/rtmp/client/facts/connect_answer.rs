//! The answer to `connect`.

use super::{
    MAX_MEMBERS, MAX_NAME,
    mask::{MASK, Mask},
    shorten,
};
use crate::core::{
    amf::{Object, Text, Value},
    rtmp::challenge::AUTHMOD,
};

/// The `_result` or `_error` that answers `connect` (RTMP 7.2.1.1).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectAnswer {
    /// Whether the server accepted `connect`.
    pub is_accepted: bool,
    /// Members of the first object: the properties of the server. At most [`MAX_MEMBERS`].
    pub properties: Vec<Member>,
    /// Members of the second object: the information about the connection. At most [`MAX_MEMBERS`].
    pub information: Vec<Member>,
    /// Members of `data` in the information. At most [`MAX_MEMBERS`].
    pub data: Vec<Member>,
    /// FourCCs of `fourCcList`, or of the keys of `videoFourCcInfoMap` and `audioFourCcInfoMap`
    /// (Enhanced RTMP). At most [`MAX_MEMBERS`].
    pub four_ccs: Vec<String>,
    /// Number of members that are not in the lists.
    pub omitted_members: usize,
}

impl ConnectAnswer {
    /// Returns `fmsVer`.
    pub fn fms_ver(&self) -> Option<&str> {
        self.find("fmsVer").and_then(MemberValue::as_text)
    }

    /// Returns `capabilities`.
    pub fn capabilities(&self) -> Option<f64> {
        self.find("capabilities").and_then(MemberValue::as_number)
    }

    /// Returns `mode`.
    pub fn mode(&self) -> Option<f64> {
        self.find("mode").and_then(MemberValue::as_number)
    }

    /// Returns `objectEncoding`.
    pub fn object_encoding(&self) -> Option<f64> {
        self.find("objectEncoding").and_then(MemberValue::as_number)
    }

    /// Returns `capsEx` of Enhanced RTMP.
    pub fn caps_ex(&self) -> Option<f64> {
        self.find("capsEx").and_then(MemberValue::as_number)
    }

    /// Returns `version` in `data`, the version of an Adobe server.
    pub fn data_version(&self) -> Option<&str> {
        let member = self.data.iter().find(|member| member.name == "version")?;
        member.value.as_text()
    }

    /// Returns whether the answer has members of Enhanced RTMP.
    pub fn is_enhanced(&self) -> bool {
        ENHANCED_MEMBERS
            .iter()
            .any(|name| self.find(name).is_some())
    }

    /// Returns the value of a member of the properties, or else of the information.
    pub fn find(&self, name: &str) -> Option<&MemberValue> {
        let members = self.properties.iter().chain(&self.information);
        members
            .filter(|member| member.name == name)
            .map(|member| &member.value)
            .next()
    }

    pub(super) fn read(arguments: &[Value], is_accepted: bool, mask: &Mask) -> Self {
        let mut answer = Self {
            is_accepted,
            ..Self::default()
        };
        let is_status =
            |object: &Object| object.get("code").is_some() || object.get("level").is_some();
        for object in arguments.iter().filter_map(Value::as_object) {
            if is_status(object) {
                answer.information = answer.members(object, mask);
            } else if answer.properties.is_empty() {
                answer.properties = answer.members(object, mask);
            }
            if let Some(data) = object.get("data").and_then(Value::as_object) {
                answer.data = answer.members(data, mask);
            }
            answer.read_four_ccs(object);
        }
        answer
    }

    fn members(&mut self, object: &Object, mask: &Mask) -> Vec<Member> {
        let omitted = object.len().saturating_sub(MAX_MEMBERS);
        self.omitted_members = self.omitted_members.saturating_add(omitted);
        let members = object.iter().take(MAX_MEMBERS);
        members
            .map(|(name, value)| Member::read(name, value, mask))
            .collect()
    }

    fn read_four_ccs(&mut self, object: &Object) {
        let list = object.get("fourCcList").and_then(Value::as_array);
        let listed = list.unwrap_or_default().iter().filter_map(Value::as_text);
        let maps = ["videoFourCcInfoMap", "audioFourCcInfoMap"];
        let maps = maps.iter().filter_map(|name| object.get(name)?.as_object());
        let mapped = maps.flat_map(|map| map.iter().map(|(name, _)| name));
        for four_cc in listed.chain(mapped) {
            let four_cc = shorten(four_cc, MAX_NAME);
            if self.four_ccs.len() < MAX_MEMBERS && !self.four_ccs.contains(&four_cc) {
                self.four_ccs.push(four_cc);
            }
        }
    }
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Value.
    pub value: MemberValue,
}

impl Member {
    fn read(name: &Text, value: &Value, mask: &Mask) -> Self {
        let name = shorten(name, MAX_NAME);
        let value = match value {
            Value::String(text) if name == "secureToken" || is_login_challenge(text) => {
                MemberValue::Text(MASK.to_owned())
            }
            Value::String(text) => {
                // The end of a cut text may be a part of a secret, which is not recognized.
                let masked = mask.apply(shorten(text, MAX_SEARCHED));
                MemberValue::Text(masked.chars().take(MAX_VALUE).collect())
            }
            Value::Boolean(boolean) => MemberValue::Boolean(*boolean),
            Value::StrictArray(values) => MemberValue::List(values.len()),
            value => match (value.as_number(), value.as_object()) {
                (Some(number), _) => MemberValue::Number(number),
                (None, Some(object)) => MemberValue::Object(object.len()),
                (None, None) => MemberValue::Other,
            },
        };
        Self { name, value }
    }
}

/// Value of a member, without the content of composite values.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberValue {
    /// Number.
    Number(f64),
    /// Boolean.
    Boolean(bool),
    /// Start of a string.
    Text(String),
    /// Object or array with names, with this number of members.
    Object(usize),
    /// Array without names, with this number of values.
    List(usize),
    /// Null, undefined, or a value of another type.
    Other,
}

impl MemberValue {
    /// Returns the text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number, if this is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Returns whether a text requests a login. It then contains the user and the challenge.
fn is_login_challenge(text: &Text) -> bool {
    let mut windows = text.as_bytes().windows(AUTHMOD.len());
    windows.any(|window| window == AUTHMOD.as_bytes())
}

/// Largest length of the value of a member in characters.
const MAX_VALUE: usize = 200;

/// Length of the start of a value that is searched for secrets, in bytes.
const MAX_SEARCHED: usize = 4096;

/// Members that Enhanced RTMP adds to the answer to `connect`.
const ENHANCED_MEMBERS: [&str; 4] = [
    "fourCcList",
    "videoFourCcInfoMap",
    "audioFourCcInfoMap",
    "capsEx",
];
