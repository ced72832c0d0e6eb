//! Handshakes of clients that do not request encryption: reading in pieces changes nothing, and a
//! valid answer is accepted.

#![no_main]

mod exchange;
mod pieces;

use arbitrary::Arbitrary;
use exchange::Answer;
use libfuzzer_sys::fuzz_target;
use rtmpull::core::rtmp::handshake::{Mode, encryption::Encryption};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    offer: Offer,
    cut: u8,
    answer: Answer<'a>,
}

#[derive(Debug, Arbitrary)]
enum Offer {
    Auto,
    Plain,
    Digest,
}

fuzz_target!(|input: Input<'_>| {
    let mode = match input.offer {
        Offer::Auto => Mode::Auto,
        Offer::Plain => Mode::Plain,
        Offer::Digest => Mode::Digest,
    };
    exchange::check(mode, Encryption::None, input.cut, input.answer);
});
