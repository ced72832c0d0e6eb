//! One tunnel: the requests that go out and what their answers mean. Without a socket.

mod request;

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

use self::request::{Command, EMPTY_BODY, MAX_TRANSMISSIONS, Path, Request};
use super::{
    Error,
    http::{Body, Head, put_request},
    pipelining::Pipelining,
    polling::Polling,
};

/// A tunnel over whatever connections carry it, one at a time.
///
/// The answers are read in order from an inbox: [`Session::advance`] takes everything off it but
/// what the server says through the tunnel, which is then to be taken by the reader.
#[derive(Debug)]
pub(super) struct Session {
    /// The server's name, as requests have it.
    host: String,
    /// What the server calls the session, once it is open.
    id: Option<String>,
    /// In order; the first [`Session::in_flight`] of them are sent and wait for their answers.
    queue: VecDeque<Request>,
    in_flight: usize,
    next_number: u64,
    /// What was written and is in no request yet.
    pending: BytesMut,
    answer: Answer,
    /// Interim answers in a row.
    interims: u32,
    /// Whether the server uses the first byte of its answers.
    has_intervals: bool,
    polling: Polling,
    pipelining: Pipelining,
    /// Whether a request was refused on the present connection that is to be made once more.
    has_refused: bool,
    /// Whether the present connection ends with the answer that came last.
    is_connection_over: bool,
    closing: Closing,
    is_over: bool,
}

/// How far the answer is that is being read.
#[derive(Debug)]
enum Answer {
    /// Its head comes next.
    Awaited,
    Coming {
        body: Body,
        meaning: Meaning,
        is_last: bool,
    },
}

/// What the body of an answer is.
#[derive(Debug)]
enum Meaning {
    /// The session's name.
    Name(Vec<u8>),
    /// A byte with an interval, not read yet, and what the server says through the tunnel.
    Interval,
    /// What the server says through the tunnel; whether there has been any, and the interval.
    Data { interval: u8, has_data: bool },
    /// Nothing that matters.
    Nothing,
    /// Nothing that matters, and the request has to be made once more.
    Refusal,
}

#[derive(Debug, PartialEq, Eq)]
enum Closing {
    No,
    Asked,
    Queued,
}

impl Session {
    /// A tunnel to `host`, not open yet.
    pub(super) fn new(host: String, now: Instant) -> Self {
        let open = Request::new(Command::Open, 1, Bytes::from_static(EMPTY_BODY));
        Self {
            host,
            id: None,
            queue: VecDeque::from([open]),
            in_flight: 0,
            next_number: 0,
            pending: BytesMut::new(),
            answer: Answer::Awaited,
            interims: 0,
            has_intervals: false,
            polling: Polling::new(now),
            pipelining: Pipelining::new(),
            has_refused: false,
            is_connection_over: false,
            closing: Closing::No,
            is_over: false,
        }
    }

    /// Takes as much of `bytes` as there is room for, to be sent when there is a turn for it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = MAX_WRITTEN.saturating_sub(self.pending.len());
        let taken = bytes.len().min(room);
        self.pending.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Ends the session once everything is sent. What the server still says is for nobody.
    pub(super) fn close(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Asked;
        }
    }

    /// Nothing more is to be sent or to come.
    pub(super) fn give_up(&mut self) {
        self.is_over = true;
    }

    /// Decides which requests are due. To be called before [`Session::transmit`], and before asking
    /// whether a connection is wanted.
    pub(super) fn prepare(&mut self, now: Instant) {
        while self.pipelining.may_send(self.queue.len())
            && let Some((command, body)) = self.next_request(now)
        {
            let request = Request::new(command, self.next_number, body);
            self.next_number += 1;
            self.queue.push_back(request);
        }
    }

    fn next_request(&mut self, now: Instant) -> Option<(Command, Bytes)> {
        if self.id.is_none() || self.is_over || self.closing == Closing::Queued {
            return None;
        }
        let has_send = self.queue.iter().any(|one| one.command == Command::Send);
        // One at a time: should it be lost, no other has overtaken it.
        if !self.pending.is_empty() && !has_send {
            self.polling.said();
            return Some((Command::Send, self.pending.split().freeze()));
        }
        let nothing = Bytes::from_static(EMPTY_BODY);
        if self.closing == Closing::Asked && self.pending.is_empty() {
            self.closing = Closing::Queued;
            return Some((Command::Close, nothing));
        }
        let is_due = self
            .polling
            .due(self.queue.len())
            .is_some_and(|due| due <= now);
        is_due.then_some((Command::Idle, nothing))
    }

    /// Whether there is something to send.
    pub(super) fn has_unsent(&self) -> bool {
        self.in_flight < self.queue.len()
    }

    /// Whether all that was written is sent.
    pub(super) fn is_flushed(&self) -> bool {
        let mut unsent = self.queue.iter().skip(self.in_flight);
        self.pending.is_empty() && !unsent.any(|request| request.command == Command::Send)
    }

    /// Puts requests into `outbox`, to be sent over the present connection.
    pub(super) fn transmit(&mut self, outbox: &mut BytesMut) {
        let mut is_retry = self.in_flight > 0 && self.queue.front().is_some_and(Request::is_retry);
        while self.pipelining.may_send(self.in_flight)
            && let Some(request) = self.queue.get_mut(self.in_flight)
        {
            // The second time it goes alone, lest it be lost for the sake of others.
            if self.in_flight > 0 && (request.transmissions > 0 || is_retry) {
                return;
            }
            is_retry = request.transmissions > 0;
            request.transmissions += 1;
            request.is_ahead = self.in_flight > 0;
            let path = Path(request, self.id.as_deref().unwrap_or_default());
            put_request(outbox, &self.host, path, &request.body);
            tracing::trace!("sent {path}, {} bytes", request.body.len());
            self.pipelining.sent(self.in_flight);
            self.in_flight += 1;
        }
    }

    /// When [`Session::prepare`] has something to do, if nothing comes before that.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let is_quiet = self.id.is_some() && !self.is_over && self.closing == Closing::No;
        let has_turn = is_quiet && self.pipelining.may_send(self.queue.len());
        has_turn
            .then(|| self.polling.due(self.queue.len()))
            .flatten()
    }

    /// Takes what came off the front of `inbox`, until there is [`Session::data_left`], or the
    /// connection is over, or more is needed. To be called when there is more, or some was taken.
    pub(super) fn advance(&mut self, inbox: &mut BytesMut, now: Instant) -> Result<(), Error> {
        while !self.is_connection_over && !self.is_over {
            match &mut self.answer {
                Answer::Awaited if inbox.is_empty() => return Ok(()),
                Answer::Awaited if self.in_flight == 0 => return Err(Error::Surplus),
                Answer::Awaited => match Head::take(inbox) {
                    Ok(Some(head)) => self.begin(head)?,
                    Ok(None) => return Ok(()),
                    // What follows an answer and is none belongs to it.
                    Err(Error::NoHttp) if self.id.is_some() => return Err(Error::Surplus),
                    Err(error) => return Err(error),
                },
                Answer::Coming { body, meaning, .. } => {
                    body.skip_framing(inbox)?;
                    if *body == Body::Done {
                        self.finish(now)?;
                        continue;
                    }
                    if body.content_left() == 0 || inbox.is_empty() {
                        return Ok(());
                    }
                    let is_data = matches!(meaning, Meaning::Data { .. });
                    if is_data && self.closing == Closing::No {
                        return Ok(());
                    }
                    take_content(body, meaning, inbox)?;
                }
            }
        }
        Ok(())
    }

    /// How many bytes of what the server says through the tunnel come next.
    pub(super) fn data_left(&self) -> u64 {
        match &self.answer {
            Answer::Coming {
                body,
                meaning: Meaning::Data { .. },
                ..
            } if self.closing == Closing::No && !self.is_over => body.content_left(),
            _ => 0,
        }
    }

    /// So many of them have been taken.
    pub(super) fn took(&mut self, count: u64) {
        if let Answer::Coming {
            body,
            meaning: Meaning::Data { has_data, .. },
            ..
        } = &mut self.answer
        {
            body.took(count);
            *has_data |= count > 0;
        }
    }

    /// Whether the present connection is of no more use.
    pub(super) fn is_connection_over(&self) -> bool {
        self.is_connection_over
    }

    /// Whether a part of an answer's body has come, and more of it is to come.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.answer, Answer::Coming { .. })
    }

    /// Whether the session is open.
    pub(super) fn is_open(&self) -> bool {
        self.id.is_some()
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The connection is no more, and all that came over it has been taken. Requests without an
    /// answer are made once more.
    pub(super) fn disconnected(&mut self, now: Instant) -> Result<(), Error> {
        if let Answer::Coming { body, .. } = &mut self.answer {
            if *body != Body::UntilClose {
                return Err(Error::Short);
            }
            *body = Body::Done;
            self.finish(now)?;
        }
        tracing::trace!("connection closed, {} unanswered", self.in_flight);
        self.pipelining
            .closed(self.in_flight, self.is_connection_over);
        self.is_connection_over = false;
        self.has_refused = false;
        self.in_flight = 0;
        self.interims = 0;
        match self.queue.front() {
            Some(request) if request.is_retry() => Err(Error::Lost),
            _ => Ok(()),
        }
    }

    /// What the head of an answer means.
    fn begin(&mut self, head: Head) -> Result<(), Error> {
        let Some(request) = self.queue.front() else {
            return Err(Error::Surplus);
        };
        if head.status.is_interim() {
            self.interims += 1;
            return if self.interims > MAX_INTERIMS {
                Err(Error::NoHttp)
            } else {
                Ok(())
            };
        }
        self.interims = 0;
        let meaning = match request.command {
            Command::Close => Meaning::Nothing,
            Command::Open if !head.status.is_success() => return Err(Error::NoTunnel(head.status)),
            Command::Open if head.is_html => return Err(Error::Page),
            Command::Open => Meaning::Name(Vec::new()),
            _ if head.status.is_success() => Meaning::Interval,
            _ if request.is_ahead && request.transmissions < MAX_TRANSMISSIONS => {
                tracing::debug!("a request ahead of its turn got {}", head.status);
                self.pipelining.disable();
                Meaning::Refusal
            }
            _ => return Err(Error::Ended(head.status)),
        };
        self.answer = Answer::Coming {
            body: head.body,
            meaning,
            is_last: head.is_last,
        };
        Ok(())
    }

    /// The answer is whole.
    fn finish(&mut self, now: Instant) -> Result<(), Error> {
        let answer = std::mem::replace(&mut self.answer, Answer::Awaited);
        let (
            Answer::Coming {
                meaning, is_last, ..
            },
            Some(request),
        ) = (answer, self.queue.pop_front())
        else {
            return Ok(());
        };
        self.in_flight -= 1;
        self.is_connection_over = is_last;
        self.pipelining.answered(self.in_flight);
        match meaning {
            Meaning::Name(name) => {
                self.id = Some(session_id(&name)?);
                self.polling.answered(false, self.in_flight, now);
            }
            Meaning::Refusal => {
                let sent = self.queue.iter().take_while(|one| one.transmissions > 0);
                self.queue.insert(sent.count(), request);
                self.has_refused = true;
            }
            Meaning::Nothing => self.is_over = true,
            Meaning::Interval => self.polling.answered(false, self.in_flight, now),
            Meaning::Data { interval, has_data } => {
                self.suggested(interval, has_data);
                self.polling.answered(has_data, self.in_flight, now);
            }
        }
        // What is sent once more does not go over a connection that may be about to close.
        let is_again = self
            .queue
            .front()
            .is_some_and(|next| next.transmissions > 0);
        let is_doubtful = self.has_refused || self.pipelining.is_exhausted();
        self.is_connection_over |= self.in_flight == 0 && is_again && is_doubtful;
        Ok(())
    }

    /// Red5 ends a session with an interval of 0 and no data; others may always say 0.
    fn suggested(&mut self, interval: u8, has_data: bool) {
        self.polling.suggested(interval);
        if interval > 0 {
            self.has_intervals = true;
        } else if !has_data && self.has_intervals {
            self.is_over = true;
        }
    }
}

/// Takes content that is not for the reader.
fn take_content(body: &mut Body, meaning: &mut Meaning, inbox: &mut BytesMut) -> Result<(), Error> {
    let left = usize::try_from(body.content_left()).unwrap_or(usize::MAX);
    let mut count = left.min(inbox.len());
    match meaning {
        Meaning::Name(name) => {
            if name.len() + count > MAX_ID {
                return Err(Error::NoName);
            }
            name.extend_from_slice(&inbox[..count]);
        }
        Meaning::Interval => {
            count = 1;
            *meaning = Meaning::Data {
                interval: inbox[0],
                has_data: false,
            };
        }
        Meaning::Data { has_data, .. } => *has_data = true,
        Meaning::Nothing | Meaning::Refusal => {}
    }
    inbox.advance(count);
    body.took(count as u64);
    Ok(())
}

/// What can stand in an address as it is.
fn session_id(name: &[u8]) -> Result<String, Error> {
    let name = String::from_utf8_lossy(name);
    let name = name.trim();
    let is_plain = |c: char| c.is_ascii_graphic() && !"/?#<>\"".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(Error::NoName);
    }
    Ok(name.to_owned())
}

/// How much may wait for its turn: a client says little, and most of it at the start.
const MAX_WRITTEN: usize = 64 * 1024;

/// Names of sessions are 8 to 40 characters long.
const MAX_ID: usize = 256;

/// "100 Continue" comes once, if at all.
const MAX_INTERIMS: u32 = 10;

#[cfg(test)]
mod tests;
