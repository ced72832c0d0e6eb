//! Handshakes of clients that request encryption; a target of its own because each
//! input takes several modular exponentiations.

#![no_main]

mod exchange;
mod pieces;

use arbitrary::Arbitrary;
use exchange::Answer;
use libfuzzer_sys::fuzz_target;
use rtmpull::core::rtmp::handshake::{Mode, encryption::Encryption};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    is_required: bool,
    cut: u8,
    answer: Answer<'a>,
}

fuzz_target!(|input: Input<'_>| {
    let encryption = match input.is_required {
        true => Encryption::Required,
        false => Encryption::AllowPlain,
    };
    exchange::check(Mode::Auto, encryption, input.cut, input.answer);
});
