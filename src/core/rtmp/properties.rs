//! Logs the AMF values that servers send, one member per event. Without a subscriber it costs
//! nothing.

use tracing::{Level, debug, enabled, trace};

use crate::core::amf::{Object, Text, Value};

/// Target of these log events. A member has its `name` and one of `number`, `boolean`, `string` and
/// `kind`, the last for composite values. The start and the end of an object are events with a
/// message.
pub const TARGET: &str = "rtmpull::properties";

/// Logs `values`. Members have names and are logged at debug. Arguments have no names; scalar
/// arguments are logged at trace.
pub(super) fn log(values: &[Value]) {
    Log::begin(|log| values.iter().for_each(|value| log.argument(value)));
}

/// Logs the members of one object.
pub(super) fn log_object(members: &Object) {
    Log::begin(|log| log.object(members));
}

struct Log {
    /// Number of members that may still be logged.
    members_left: usize,
}

impl Log {
    fn begin(inside: impl FnOnce(&mut Self)) {
        if enabled!(target: TARGET, Level::DEBUG) {
            let mut log = Self {
                members_left: MAX_MEMBERS,
            };
            log.log_block(inside);
            if log.members_left == 0 {
                debug!("further properties are not logged");
            }
        }
    }

    fn log_block(&mut self, inside: impl FnOnce(&mut Self)) {
        debug!(target: TARGET, "(object begin)");
        inside(self);
        debug!(target: TARGET, "(object end)");
    }

    /// The AMF decoder bounds the depth of received values.
    fn object(&mut self, members: &Object) {
        self.log_block(|log| {
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
                self.log_block(|log| items.iter().for_each(|item| log.argument(item)));
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
                self.log_block(|log| items.iter().for_each(|item| log.argument(item)));
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

/// Returns rtmpdump's name for a composite value.
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

/// Placeholder for the name of an argument, as rtmpdump prints it.
const NO_NAME: &str = "no-name.";

/// Largest number of members logged per message: some servers send a complete keyframe index.
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

    /// Records each event as its level and its fields.
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
    fn each_member_is_logged() {
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
    fn number_of_logged_members_is_limited() {
        let items = vec![Value::Boolean(true); 5 * MAX_MEMBERS];
        let lines = logged(LevelFilter::TRACE, &[Value::StrictArray(items)]);
        assert!(lines.len() < MAX_MEMBERS + 10, "{}", lines.len());
        assert_eq!(
            lines.last().unwrap(),
            "DEBUG message=further properties are not logged"
        );
    }
}
