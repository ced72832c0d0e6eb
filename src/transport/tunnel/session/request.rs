//! One request, and where it goes.

use std::fmt;

use bytes::Bytes;

/// A request, sent or to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    /// The number in its address; `open` has its own.
    pub(super) number: u64,
    pub(super) body: Bytes,
    pub(super) transmissions: u32,
    /// Whether it was sent before those ahead of it were answered.
    pub(super) is_ahead: bool,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Open,
    Send,
    Idle,
    Close,
}

impl Request {
    pub(super) fn new(command: Command, number: u64, body: Bytes) -> Self {
        Self {
            command,
            number,
            body,
            transmissions: 0,
            is_ahead: false,
        }
    }

    pub(super) fn is_retry(&self) -> bool {
        self.transmissions == MAX_TRANSMISSIONS
    }
}

/// Where a request goes, in the session of this name.
#[derive(Clone, Copy)]
pub(super) struct Path<'a>(pub(super) &'a Request, pub(super) &'a str);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Request { number, .. }, id) = self;
        match self.0.command {
            Command::Open => write!(f, "/open/{number}"),
            Command::Send => write!(f, "/send/{id}/{number}"),
            Command::Idle => write!(f, "/idle/{id}/{number}"),
            Command::Close => write!(f, "/close/{id}/{number}"),
        }
    }
}

/// The body of a request that says nothing: servers want one.
pub(super) const EMPTY_BODY: &[u8] = &[0];

/// A request that got no answer is made once more.
pub(super) const MAX_TRANSMISSIONS: u32 = 2;
