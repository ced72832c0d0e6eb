//! Log lines of `--verbose`.

use std::sync::{Arc, Mutex};

use tracing::{Event as LogEvent, Subscriber, field::Field, subscriber::with_default};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
};

use super::*;
use crate::core::rtmp::properties;

#[test]
fn log_names_each_step_with_its_round_trip_time() {
    let lines = logged(|| {
        let mut conversation = Conversation::connecting(config());
        let ms = Duration::from_millis;
        conversation.now += ms(10);
        conversation.accept();
        conversation.events();
        conversation.now += ms(5);
        conversation.stream_created(2, 1.0);
        conversation.events();
        conversation.now += ms(1);
        conversation.status("NetStream.Play.Start");
        conversation.events();
        conversation.now += ms(1);
        conversation.send(Kind::AUDIO, 1, 0, &[0xAF, 1, 0x21]);
        conversation.events();
    });
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        lines[1..],
        [
            "handshake answered after 0.0 ms",
            "sending on message stream 0: connect, transaction 1",
            "sending on message stream 0: createStream, transaction 2",
            "sending on message stream 1: play, transaction 3, playpath clip, start -2000 ms",
            "sending user control: Set Buffer Length, message stream 1, 3000 ms",
            "received _result, transaction 1",
            "connect answered after 10.0 ms",
            "received _result, transaction 2",
            "createStream answered after 15.0 ms",
            "received onStatus, transaction 0",
            "play answered after 16.0 ms",
            "server: NetStream.Play.Start",
            "first media after 17.0 ms",
        ]
    );
    assert!(lines[0].starts_with("handshake done: "), "{}", lines[0]);
}

#[test]
fn log_names_control_messages_in_words() {
    let lines = logged(|| {
        let mut conversation = Conversation::playing(config());
        conversation.send(
            Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
            0,
            0,
            &[0, 0x26, 0x25, 0xA0],
        );
        conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0x26, 0x25, 0xA0, 2]);
        conversation.send(Kind::SET_CHUNK_SIZE, 0, 0, &[0, 0, 0, 128]);
        for event in [0, 4, 6, 26, 32, 99] {
            conversation.user_control(event, 1);
        }
        conversation.events();
    });
    let start = lines
        .iter()
        .position(|line| line.starts_with("received window"));
    let words: Vec<_> = lines[start.unwrap()..]
        .iter()
        .filter(|line| !line.contains("SWF verification"))
        .collect();
    assert_eq!(
        words,
        [
            "received window acknowledgement size 2500000 B",
            "received peer bandwidth 2500000 B, dynamic limit",
            "sending window acknowledgement size 2500000 B",
            "received chunk size 128 B",
            "received user control: Stream Begin, message stream 1",
            "received user control: Stream Is Recorded, message stream 1",
            "received user control: Ping Request 1",
            "sending user control: Ping Response 1",
            "received user control: SWF Verification Request, type 0",
            "received user control: Buffer Ready, message stream 1",
            "received user control: event 99",
        ]
    );
}

/// Returns the messages that `session` logs with `--verbose`, without the members of objects.
fn logged(session: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::DEBUG)
        .with(lines.clone());
    with_default(subscriber, session);
    lines.0.lock().unwrap().clone()
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &LogEvent<'_>, _: Context<'_, S>) {
        if event.metadata().target() == properties::TARGET {
            return;
        }
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            if field.name() == "message" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        });
    }
}
