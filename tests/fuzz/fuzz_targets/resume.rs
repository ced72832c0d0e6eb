//! Resume of damaged files: the intact part is never changed, and a file whose frames are those of the
//! stream becomes complete.

#![no_main]

mod damage;

use std::fs;

use arbitrary::Arbitrary;
use damage::{Damage, Frame};
use libfuzzer_sys::fuzz_target;
use rtmpull::{
    core::flv::{TagKind, TagReader, head},
    download::fuzzing::{Resumed, resume},
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    has_own_head: bool,
    frames: Vec<Frame<'a>>,
    /// Number of frames that repeat the frames before them, which makes streams long enough.
    repeats: u8,
    /// Number of frames in the file, as a part of all.
    recorded: u8,
    damage: Vec<Damage<'a>>,
    skip_keyframes: u8,
    server: Server,
}

/// Start of the stream for a requested position.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Server {
    /// Keyframe at or before the position.
    Keyframe,
    /// Start of the stream.
    Start,
    /// Any frame, relative to the requested one.
    Near(i8),
}

fuzz_target!(|input: Input<'_>| {
    let mut frames = input.frames.clone();
    for number in 0..usize::from(input.repeats) {
        match frames.get(number) {
            Some(frame) => frames.push(frame.clone()),
            None => break,
        }
    }
    let path = damage::scratch_file();
    let count = frames.len() * usize::from(input.recorded) / 255;
    let recorded = damage::file(input.has_own_head, &frames[..count]);
    let mut before = recorded.clone();
    input
        .damage
        .iter()
        .for_each(|damage| damage.apply(&mut before));
    fs::write(&path, &before).expect("a writable folder");

    let stream = messages(&frames);
    let resumed = resume(&path, input.skip_keyframes.into(), |start_ms| {
        serve(&stream, start_ms, input.server)
    });
    let after = fs::read(&path).expect("the file");
    fs::remove_file(&path).expect("the file");
    if resumed != Resumed::Matched {
        assert!(after == before, "{resumed:?} changed the file");
        return;
    }
    let (old, intact_end) = tags(&before);
    let (new, end) = tags(&after);
    assert_eq!(end, after.len(), "bytes after the last tag");
    assert!(new.starts_with(&old), "tags are lost");
    // Only the head may change within the intact part.
    let from = if head::is_rewritable(&before) {
        head::LENGTH
    } else {
        0
    };
    let from = from.min(intact_end);
    assert!(
        before[from..intact_end] == after[from..intact_end],
        "bytes changed"
    );
    // If the recorded frames are intact, the file becomes the complete stream.
    if recorded.len() <= intact_end && before.starts_with(&recorded) && intact_end == recorded.len()
    {
        let bodies: Vec<_> = media(&new).map(|(kind, _, body)| (*kind, body)).collect();
        let expected: Vec<_> = media(&stream)
            .map(|(kind, _, body)| (*kind, body))
            .collect();
        assert_eq!(bodies, expected);
    }
});

type Message = (TagKind, u32, Vec<u8>);

fn messages(frames: &[Frame<'_>]) -> Vec<Message> {
    let mut at_ms = 0;
    let message = |(number, frame): (usize, &Frame<'_>)| {
        at_ms += u32::from(frame.step_ms);
        (frame.kind(), at_ms, frame.body(number))
    };
    frames.iter().enumerate().map(message).collect()
}

fn serve(stream: &[Message], start_ms: u32, server: Server) -> Vec<Message> {
    let requested = stream
        .iter()
        .take_while(|message| message.1 <= start_ms)
        .count();
    let is_keyframe = |message: &Message| message.2.starts_with(&[0x17, 1]);
    let first = match server {
        _ if start_ms == 0 => 0,
        Server::Start => 0,
        Server::Keyframe => stream[..requested]
            .iter()
            .rposition(is_keyframe)
            .unwrap_or(0),
        Server::Near(by) => requested.saturating_add_signed(by.into()).min(stream.len()),
    };
    stream[first..].to_vec()
}

/// Tags up to the first damage, and the end of the last one.
fn tags(file: &[u8]) -> (Vec<Message>, usize) {
    let mut reader = TagReader::new();
    let mut rest = file;
    let mut tags = Vec::new();
    while let Ok(Some(tag)) = reader.read(&mut rest) {
        if tag.header.kind != TagKind::SCRIPT {
            let at_ms = tag.header.timestamp_ms.cast_unsigned();
            tags.push((tag.header.kind, at_ms, tag.body.to_vec()));
        }
    }
    (tags, reader.intact_end() as usize)
}

fn media(messages: &[Message]) -> impl Iterator<Item = &Message> {
    messages
        .iter()
        .filter(|(kind, ..)| *kind != TagKind::SCRIPT)
}
