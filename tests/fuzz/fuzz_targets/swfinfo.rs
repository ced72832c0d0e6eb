//! Cache of SWF players: a stored entry is found again, and storing it changes no other line.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rtmpull::{core::swf::Fingerprint, download::fuzzing::swfinfo};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    text: Vec<Piece<'a>>,
    key: Key<'a>,
    other: Key<'a>,
    player: Player<'a>,
    next: Player<'a>,
}

#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Text(&'a str),
    Entry {
        key: Key<'a>,
        player: Player<'a>,
        has_carriage_returns: bool,
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Key<'a> {
    Known(bool),
    Any(&'a str),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Player<'a> {
    checked: u32,
    modified: &'a str,
    hash: u8,
    size: u32,
}

fuzz_target!(|input: Input<'_>| {
    let text: String = input.text.iter().map(Piece::text).collect();
    let (key, other) = (input.key.text(), input.other.text());
    let before = swfinfo::look_up(&text, &other);
    let Ok(stored) = swfinfo::store(&text, &key, &input.player.entry()) else {
        // Only damage prevents an entry from being stored.
        assert!(swfinfo::look_up(&text, &key).is_err());
        return;
    };
    check(&stored, &key, &input.player);
    if other != key {
        let after = swfinfo::look_up(&stored, &other);
        // The first entry makes an empty text a cache.
        assert!(
            after == before || (before.is_err() && after.is_ok()),
            "{stored:?}"
        );
    }
    let next = swfinfo::store(&stored, &key, &input.next.entry()).expect("a cache");
    check(&next, &key, &input.next);
    let again = swfinfo::store(&next, &key, &input.player.entry()).expect("a cache");
    assert_eq!(again, stored);
});

fn check(text: &str, key: &str, player: &Player<'_>) {
    let (checked, modified, fingerprint) = player.entry();
    let found = swfinfo::look_up(text, key)
        .expect("a cache")
        .expect("an entry");
    assert_eq!((found.0, found.2), (checked, fingerprint));
    assert!(found.1 == modified || found.1.is_empty());
}

impl Key<'_> {
    /// Keys are URLs without line ends.
    fn text(self) -> String {
        match self {
            Self::Known(true) => "http://host/player.swf".to_owned(),
            Self::Known(false) => "http://host/other.swf".to_owned(),
            Self::Any(text) => text.replace(['\r', '\n'], ""),
        }
    }
}

impl Player<'_> {
    fn entry(&self) -> swfinfo::Player {
        let fingerprint = Fingerprint {
            hash: [self.hash; 32],
            size: self.size,
        };
        (self.checked.into(), self.modified.to_owned(), fingerprint)
    }
}

impl Piece<'_> {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Entry {
                key,
                player,
                has_carriage_returns,
            } => {
                let entry = swfinfo::store("", &key.text(), &player.entry()).expect("a cache");
                match has_carriage_returns {
                    true => entry.replace('\n', "\r\n"),
                    false => entry,
                }
            }
        }
    }
}
