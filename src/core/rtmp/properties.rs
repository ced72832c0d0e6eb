//! What servers send, told to the log member by member. Where nobody listens it costs nothing.

use tracing::{Level, debug, enabled, trace};

use crate::core::amf::{Object, Text, Value};

/// The target of these events. A member has its `name` and one of `number`, `boolean`, `string` and
/// `kind`, the last for what is not a single value; where an object begins and ends, that is the
/// message.
pub const TARGET: &str = "rtmpull::properties";

/// Tells of `values`. Members have names and are told at debug; arguments have none, and the plain
/// ones among them are told at trace.
pub(super) fn log(values: &[Value]) {
    Log::begin(|log| values.iter().for_each(|value| log.argument(value)));
}

/// Tells of the members of a single object.
pub(super) fn log_object(members: &Object) {
    Log::begin(|log| log.object(members));
}

struct Log {
    /// How many members are told yet.
    members_left: usize,
}

impl Log {
    fn begin(inside: impl FnOnce(&mut Self)) {
        if enabled!(target: TARGET, Level::DEBUG) {
            let mut log = Self {
                members_left: MAX_MEMBERS,
            };
            log.in_object(inside);
            if log.members_left == 0 {
                debug!("more properties are not told");
            }
        }
    }

    fn in_object(&mut self, inside: impl FnOnce(&mut Self)) {
        debug!(target: TARGET, "(object begin)");
        inside(self);
        debug!(target: TARGET, "(object end)");
    }

    /// AMF's limits bound the depth of what was received.
    fn object(&mut self, members: &Object) {
        self.in_object(|log| {
            members
                .iter()
                .for_each(|(name, value)| log.member(name, value))
        });
    }

    fn argument(&mut self, value: &Value) {
        if !self.take_member() {
            return;
        }
        match value {
            Value::Number(number) => trace!(target: TARGET, name = NO_NAME, number),
            Value::Integer(number) => {
                trace!(target: TARGET, name = NO_NAME, number = f64::from(*number));
            }
            Value::Boolean(boolean) => trace!(target: TARGET, name = NO_NAME, boolean),
            Value::String(text) | Value::Xml(text) => {
                trace!(target: TARGET, name = NO_NAME, string = %text);
            }
            Value::StrictArray(items) => {
                self.in_object(|log| items.iter().for_each(|item| log.argument(item)));
            }
            _ => match value.as_object() {
                Some(members) => self.object(members),
                None => debug!(target: TARGET, kind = kind(value)),
            },
        }
    }

    fn member(&mut self, name: &Text, value: &Value) {
        if !self.take_member() {
            return;
        }
        match value {
            Value::Number(number) => debug!(target: TARGET, %name, number),
            Value::Integer(number) => debug!(target: TARGET, %name, number = f64::from(*number)),
            Value::Date { unix_ms, .. } => debug!(target: TARGET, %name, number = unix_ms),
            Value::Boolean(boolean) => debug!(target: TARGET, %name, boolean),
            Value::String(text) | Value::Xml(text) => {
                debug!(target: TARGET, %name, string = %text);
            }
            Value::StrictArray(items) => {
                debug!(target: TARGET, %name, kind = kind(value));
                self.in_object(|log| items.iter().for_each(|item| log.argument(item)));
            }
            _ => {
                debug!(target: TARGET, %name, kind = kind(value));
                if let Some(members) = value.as_object() {
                    self.object(members);
                }
            }
        }
    }

    fn take_member(&mut self) -> bool {
        self.members_left = self.members_left.saturating_sub(1);
        self.members_left > 0
    }
}

/// rtmpdump's words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Undefined => "UNDEFINED",
        Value::EcmaArray(_) => "ECMA_ARRAY",
        Value::StrictArray(_) => "STRICT_ARRAY",
        Value::Bytes(_) => "BYTES",
        Value::Dictionary(_) => "DICTIONARY",
        _ => "OBJECT",
    }
}

/// What stands for the name of an argument.
const NO_NAME: &str = "no-name.";

/// More of a message is not told: some servers send the whole keyframe index.
const MAX_MEMBERS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Subscriber, subscriber::with_default};
    use tracing_subscriber::{
        filter::LevelFilter,
        layer::{Context, Layer, SubscriberExt},
    };

    use super::*;

    /// Writes each event down as its level and its fields.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = event.metadata().level().to_string();
            event.record(
                &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                    line += &format!(" {field}={value:?}");
                },
            );
            self.0.lock().unwrap().push(line);
        }
    }

    fn logged(level: LevelFilter, values: &[Value]) -> Vec<String> {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry()
            .with(level)
            .with(lines.clone());
        with_default(subscriber, || log(values));
        lines.0.lock().unwrap().clone()
    }

    #[test]
    fn tells_of_each_member() {
        let mut inner = Object::new();
        inner.push("redirect", Value::from("rtmp://h/a"));
        let mut object = Object::new();
        object.push("code", Value::Number(302.0));
        object.push("ok", Value::Boolean(true));
        object.push("ex", Value::Object(inner));
        object.push("none", Value::Null);
        let values = [Value::Null, Value::Object(object), Value::from("text")];
        assert_eq!(
            logged(LevelFilter::TRACE, &values),
            [
                "DEBUG message=(object begin)",
                "DEBUG kind=\"NULL\"",
                "DEBUG message=(object begin)",
                "DEBUG name=code number=302.0",
                "DEBUG name=ok boolean=true",
                "DEBUG name=ex kind=\"OBJECT\"",
                "DEBUG message=(object begin)",
                "DEBUG name=redirect string=rtmp://h/a",
                "DEBUG message=(object end)",
                "DEBUG name=none kind=\"NULL\"",
                "DEBUG message=(object end)",
                "TRACE name=\"no-name.\" string=text",
                "DEBUG message=(object end)",
            ]
        );
        let at_debug = logged(LevelFilter::DEBUG, &values);
        assert_eq!(at_debug.len(), 12);
        assert_eq!(logged(LevelFilter::INFO, &values), [""; 0]);
    }

    #[test]
    fn comes_to_an_end() {
        let items = vec![Value::Boolean(true); 5 * MAX_MEMBERS];
        let lines = logged(LevelFilter::TRACE, &[Value::StrictArray(items)]);
        assert!(lines.len() < MAX_MEMBERS + 10, "{}", lines.len());
        assert_eq!(
            lines.last().unwrap(),
            "DEBUG message=more properties are not told"
        );
    }
}
