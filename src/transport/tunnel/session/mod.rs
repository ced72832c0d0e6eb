//! State machine of one RTMPT session: the requests that are due, and the meaning of the responses.
//! Does no I/O.

mod request;

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

use self::request::{Command, EMPTY_BODY, MAX_LOSSES_ALONE, Request};
use super::{Error, TunnelFacts, pipelining::Pipelining, polling::Polling};
use crate::transport::http::{
    ResponseError,
    response::{Body, Head},
};

/// RTMPT session, carried by one connection at a time.
///
/// [`Session::advance`] consumes responses from the front of an inbox, except tunnel data, which the
/// caller takes from the inbox itself.
///
/// # Retries
///
/// A connection may close before all requests are answered, and a server without support for pipelining
/// refuses requests. Such requests are sent again, in order and with the same number and body, over the
/// next connection. Only one `send` request is in flight at a time: the server then either ignores a
/// repeated number or has not seen it, and data is never reordered.
///
/// A request that fails while others are in flight may fail because of them. This failure does not
/// count. Each retry is sent alone, so that its failure has no other cause: the session ends when a
/// request is refused alone, or lost alone twice. Each request is therefore sent at most three times.
#[derive(Debug)]
pub(super) struct Session {
    /// Value of the Host field.
    host: String,
    /// Session id of the server, once the session is open.
    id: Option<String>,
    /// Requests without a response, in order; the first `in_flight` of them are sent.
    requests: VecDeque<Request>,
    in_flight: usize,
    next_number: u64,
    /// Written bytes that are not in a request yet.
    written: BytesMut,
    response: Response,
    /// Number of successive interim responses.
    interim_responses: u32,
    /// Whether the server ever suggested an interval above 0.
    has_intervals: bool,
    polling: Polling,
    pipelining: Pipelining,
    /// Whether a request was refused on this connection and must be sent again.
    has_refusal: bool,
    /// Whether the connection must be closed after the last response. No request may be sent over it.
    is_connection_over: bool,
    closing: Closing,
    is_over: bool,
    facts: TunnelFacts,
    /// Number of responses over the current connection.
    connection_responses: u64,
}

/// Progress of the current response.
#[derive(Debug)]
enum Response {
    AwaitingHead,
    ReadingBody {
        body: Body,
        content: Content,
        is_last: bool,
    },
}

/// Meaning of the body of a response.
#[derive(Debug)]
enum Content {
    /// The session id, as far as it has been read.
    SessionId(Vec<u8>),
    /// The polling interval, not read yet, followed by tunnel data.
    Interval,
    /// Tunnel data after the interval.
    Data { interval: u8, has_data: bool },
    /// Content without a meaning.
    Ignored,
    /// Text of a refusal. The request must be sent again.
    Refusal,
}

/// Progress of the `close` request.
#[derive(Debug, PartialEq, Eq)]
enum Closing {
    NotRequested,
    Requested,
    Queued,
}

impl Session {
    /// Creates a session with the server `host` whose first request is `open`.
    pub(super) fn new(host: String, now: Instant) -> Self {
        let open = Request::new(Command::Open, 1, Bytes::from_static(EMPTY_BODY));
        Self {
            host,
            id: None,
            requests: VecDeque::from([open]),
            in_flight: 0,
            next_number: 0,
            written: BytesMut::new(),
            response: Response::AwaitingHead,
            interim_responses: 0,
            has_intervals: false,
            polling: Polling::new(now),
            pipelining: Pipelining::new(),
            has_refusal: false,
            is_connection_over: false,
            closing: Closing::NotRequested,
            is_over: false,
            facts: TunnelFacts::default(),
            connection_responses: 0,
        }
    }

    /// Returns the facts so far.
    pub(super) fn facts(&self) -> &TunnelFacts {
        &self.facts
    }

    /// Counts a connection that was opened.
    pub(super) fn connected(&mut self) {
        self.facts.connections = self.facts.connections.saturating_add(1);
        self.connection_responses = 0;
    }

    /// Queues bytes for the server. Returns how many were accepted.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let capacity = MAX_WRITTEN.saturating_sub(self.written.len());
        let count = bytes.len().min(capacity);
        self.written
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        count
    }

    /// Requests the end of the session after all written bytes are sent. Later data is ignored.
    pub(super) fn close(&mut self) {
        if self.closing == Closing::NotRequested {
            self.closing = Closing::Requested;
        }
    }

    /// Ends the session at once.
    pub(super) fn abort(&mut self) {
        self.is_over = true;
    }

    /// Queues the requests that are due. Call this before [`Session::has_unsent`] and
    /// [`Session::transmit`].
    pub(super) fn prepare(&mut self, now: Instant) {
        while self.pipelining.may_send(self.requests.len())
            && let Some((command, body)) = self.next_request(now)
        {
            let request = Request::new(command, self.next_number, body);
            self.next_number = self.next_number.saturating_add(1);
            self.requests.push_back(request);
        }
    }

    fn next_request(&mut self, now: Instant) -> Option<(Command, Bytes)> {
        if self.id.is_none() || self.is_over || self.closing == Closing::Queued {
            return None;
        }
        let has_send = self.requests.iter().any(|r| r.command == Command::Send);
        // One `send` at a time: if it is lost, no later data has overtaken it.
        if !self.written.is_empty() && !has_send {
            self.polling.data_sent();
            return Some((Command::Send, self.written.split().freeze()));
        }
        let empty = Bytes::from_static(EMPTY_BODY);
        if self.closing == Closing::Requested && self.written.is_empty() {
            self.closing = Closing::Queued;
            return Some((Command::Close, empty));
        }
        let due = self.polling.due(self.requests.len());
        due.is_some_and(|due| due <= now)
            .then_some((Command::Idle, empty))
    }

    /// Returns whether requests are waiting for a connection.
    pub(super) fn has_unsent(&self) -> bool {
        self.in_flight < self.requests.len()
    }

    /// Returns whether all written bytes are in requests that were sent.
    pub(super) fn is_flushed(&self) -> bool {
        let mut unsent = self.requests.iter().skip(self.in_flight);
        self.written.is_empty() && !unsent.any(|request| request.command == Command::Send)
    }

    /// Appends requests for the current connection to `outbox`.
    pub(super) fn transmit(&mut self, outbox: &mut BytesMut) {
        let mut is_retry_in_flight =
            self.in_flight > 0 && self.requests.front().is_some_and(Request::is_retry);
        while !self.is_connection_over
            && self.pipelining.may_send(self.in_flight)
            && let Some(request) = self.requests.get_mut(self.in_flight)
        {
            // A retry shares the connection with no other request, because the response to that
            // request could end the connection.
            if self.in_flight > 0 && (request.transmissions > 0 || is_retry_in_flight) {
                return;
            }
            request.transmissions = request.transmissions.saturating_add(1);
            is_retry_in_flight = request.is_retry();
            request.encode(&self.host, self.id.as_deref().unwrap_or_default(), outbox);
            self.pipelining.sent(self.in_flight);
            self.in_flight = self.in_flight.saturating_add(1);
            self.facts.requests = self.facts.requests.saturating_add(1);
            self.facts.max_in_flight = self.facts.max_in_flight.max(self.in_flight);
            let is_shared = self.in_flight > 1;
            for request in self.requests.iter_mut().take(self.in_flight) {
                request.is_shared = is_shared;
            }
        }
    }

    /// Returns when [`Session::prepare`] must be called if no response arrives before.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let is_polling =
            self.id.is_some() && !self.is_over && self.closing == Closing::NotRequested;
        if is_polling && self.pipelining.may_send(self.requests.len()) {
            self.polling.due(self.requests.len())
        } else {
            None
        }
    }

    /// Consumes responses from the front of `inbox`.
    ///
    /// Returns when [`Session::data_left`] is not 0, the connection or the session is over, or more
    /// bytes are needed. Call it again after bytes were appended to the inbox or data was taken from it.
    pub(super) fn advance(&mut self, inbox: &mut BytesMut, now: Instant) -> Result<(), Error> {
        while !self.is_connection_over && !self.is_over {
            match &mut self.response {
                Response::AwaitingHead if inbox.is_empty() => return Ok(()),
                Response::AwaitingHead if self.in_flight == 0 => return Err(Error::Surplus),
                Response::AwaitingHead => match Head::take(inbox) {
                    Ok(Some(head)) => self.begin_response(head)?,
                    Ok(None) => return Ok(()),
                    // Once the session is open, the server speaks HTTP: bytes that are not a head
                    // exceed the announced length of the previous response.
                    Err(ResponseError::NotHttp | ResponseError::Text(_)) if self.id.is_some() => {
                        return Err(Error::Surplus);
                    }
                    Err(error) => return Err(error.into()),
                },
                Response::ReadingBody { body, content, .. } => {
                    body.skip_framing(inbox)?;
                    if *body == Body::Done {
                        self.finish_response(now)?;
                        continue;
                    }
                    if body.content_left() == 0 || inbox.is_empty() {
                        return Ok(());
                    }
                    // The caller takes tunnel data. After `close`, the data is dropped.
                    let is_data = matches!(content, Content::Data { .. });
                    if is_data && self.closing == Closing::NotRequested {
                        return Ok(());
                    }
                    consume_content(body, content, inbox)?;
                }
            }
        }
        Ok(())
    }

    /// Returns how many bytes of tunnel data follow in the current response.
    pub(super) fn data_left(&self) -> u64 {
        match &self.response {
            Response::ReadingBody {
                body,
                content: Content::Data { .. },
                ..
            } if self.closing == Closing::NotRequested && !self.is_over => body.content_left(),
            _ => 0,
        }
    }

    /// Counts tunnel data that the caller took.
    pub(super) fn consume_data(&mut self, count: u64) {
        if let Response::ReadingBody {
            body,
            content: Content::Data { has_data, .. },
            ..
        } = &mut self.response
        {
            body.consume(count);
            *has_data |= count > 0;
        }
    }

    /// Returns whether the caller must close the connection and call [`Session::disconnected`].
    pub(super) fn is_connection_over(&self) -> bool {
        self.is_connection_over
    }

    /// Returns whether the body of a response is incomplete. The body of a refusal does not matter.
    pub(super) fn is_in_body(&self) -> bool {
        match &self.response {
            Response::ReadingBody { content, .. } => !matches!(content, Content::Refusal),
            Response::AwaitingHead => false,
        }
    }

    /// Returns whether the server has opened the session.
    pub(super) fn is_open(&self) -> bool {
        self.id.is_some()
    }

    /// Returns whether the session has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Handles the end of the connection. All received bytes must have been passed to
    /// [`Session::advance`] before.
    ///
    /// Requests without a response will be sent again. Fails if one of them was lost alone too often.
    pub(super) fn disconnected(&mut self, now: Instant) -> Result<(), Error> {
        if let Response::ReadingBody { body, content, .. } = &mut self.response {
            // RFC 9112 8: any other body that ends with the connection is incomplete.
            if *body != Body::UntilClose && !matches!(content, Content::Refusal) {
                return Err(Error::Short);
            }
            *body = Body::Done;
            self.finish_response(now)?;
        }
        tracing::trace!("connection closed, {} unanswered", self.in_flight);
        let is_announced = self.is_connection_over && !self.has_refusal;
        self.pipelining.closed(self.in_flight, is_announced);
        self.is_connection_over = false;
        self.has_refusal = false;
        self.interim_responses = 0;
        let in_flight = std::mem::take(&mut self.in_flight);
        if let Some(request) = self.requests.front_mut()
            && in_flight > 0
            && !request.is_shared
        {
            request.losses_alone = request.losses_alone.saturating_add(1);
            if request.losses_alone == MAX_LOSSES_ALONE {
                return Err(Error::Lost);
            }
        }
        // Refused requests follow unanswered ones, although they may have lower numbers.
        self.requests.make_contiguous().sort_by_key(|r| r.number);
        Ok(())
    }

    /// Determines the content of the body after `head`.
    fn begin_response(&mut self, head: Head) -> Result<(), Error> {
        let Some(request) = self.requests.front() else {
            return Err(Error::Surplus);
        };
        if head.status.is_interim() {
            self.interim_responses = self.interim_responses.saturating_add(1);
            return if self.interim_responses > MAX_INTERIM_RESPONSES {
                Err(ResponseError::NotHttp.into())
            } else {
                Ok(())
            };
        }
        self.interim_responses = 0;
        self.facts.http_minor_version = Some(head.minor_version);
        if self.facts.server.is_none() {
            self.facts.server.clone_from(&head.server);
        }
        let content = match request.command {
            // Some servers refuse pipelined requests. The same request may succeed alone.
            _ if !head.status.is_success() && request.is_shared => {
                tracing::debug!("the server refused a pipelined request: {}", head.status);
                self.pipelining.disable();
                Content::Refusal
            }
            Command::Close => Content::Ignored,
            Command::Open if !head.status.is_success() => return Err(Error::NotRtmpt(head.status)),
            Command::Open if head.is_html => return Err(Error::WebPage),
            _ if head.status.is_success() && !head.codings.is_empty() => return Err(Error::Coding),
            Command::Open => Content::SessionId(Vec::new()),
            _ if head.status.is_success() => Content::Interval,
            _ => return Err(Error::Ended(head.status)),
        };
        self.response = Response::ReadingBody {
            body: head.body,
            content,
            is_last: head.is_last,
        };
        Ok(())
    }

    /// Handles a complete response.
    fn finish_response(&mut self, now: Instant) -> Result<(), Error> {
        let response = std::mem::replace(&mut self.response, Response::AwaitingHead);
        let (
            Response::ReadingBody {
                content, is_last, ..
            },
            Some(request),
        ) = (response, self.requests.pop_front())
        else {
            return Ok(());
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        self.is_connection_over = is_last;
        self.pipelining.answered(self.in_flight);
        self.connection_responses = self.connection_responses.saturating_add(1);
        self.facts.record_response(self.connection_responses);
        match content {
            Content::SessionId(id) => {
                self.id = Some(session_id(&id)?);
                self.polling.answered(false, self.in_flight, now);
            }
            // The refused request goes after the sent ones and before the unsent ones, so that the
            // numbers stay in order.
            Content::Refusal => {
                let sent = self.requests.iter().take_while(|r| r.transmissions > 0);
                self.requests.insert(sent.count(), request);
                self.has_refusal = true;
                self.facts.refusals = self.facts.refusals.saturating_add(1);
            }
            Content::Ignored => self.is_over = true,
            Content::Interval => self.polling.answered(false, self.in_flight, now),
            Content::Data { interval, has_data } => {
                self.facts.record_interval(interval, has_data);
                self.interval_suggested(interval, has_data);
                self.polling.answered(has_data, self.in_flight, now);
            }
        }
        // A retry is not sent over a connection that the server is likely to close: the connection
        // refused a request, or has given as many responses as earlier ones.
        let is_next_retry = self.requests.front().is_some_and(|r| r.transmissions > 0);
        let is_unreliable = self.has_refusal || self.pipelining.is_exhausted();
        self.is_connection_over |= self.in_flight == 0 && is_next_retry && is_unreliable;
        Ok(())
    }

    /// Applies the interval byte of a response.
    ///
    /// Red5 ends a session with the interval 0 and no data. Other servers always send 0, so 0 is an end
    /// only after another interval.
    fn interval_suggested(&mut self, interval: u8, has_data: bool) {
        self.polling.suggested(interval);
        if interval > 0 {
            self.has_intervals = true;
        } else if !has_data && self.has_intervals {
            self.is_over = true;
        }
    }
}

/// Consumes content other than tunnel data for the reader.
fn consume_content(
    body: &mut Body,
    content: &mut Content,
    inbox: &mut BytesMut,
) -> Result<(), Error> {
    let left = usize::try_from(body.content_left()).unwrap_or(usize::MAX);
    let mut count = left.min(inbox.len());
    match content {
        Content::SessionId(id) => {
            if id.len().saturating_add(count) > MAX_ID {
                return Err(Error::NoSessionId);
            }
            id.extend_from_slice(inbox.get(..count).unwrap_or_default());
        }
        Content::Interval => {
            count = count.min(1);
            if let Some(&interval) = inbox.first() {
                *content = Content::Data {
                    interval,
                    has_data: false,
                };
            }
        }
        Content::Data { has_data, .. } => *has_data = true,
        Content::Ignored | Content::Refusal => {}
    }
    inbox.advance(count);
    body.consume(count as u64);
    Ok(())
}

/// Returns the session id if it needs no escapes in a URL path.
fn session_id(bytes: &[u8]) -> Result<String, Error> {
    let id = String::from_utf8_lossy(bytes);
    let id = id.trim();
    let is_plain = |c: char| c.is_ascii_graphic() && !"/?#<>\"".contains(c);
    if id.is_empty() || !id.chars().all(is_plain) {
        return Err(Error::NoSessionId);
    }
    Ok(id.to_owned())
}

/// Largest number of written bytes outside of requests. A client sends little, and most of it at the
/// start.
const MAX_WRITTEN: usize = 64 * 1024;

/// Largest length of a session id. Servers use 8 to 40 characters.
const MAX_ID: usize = 256;

/// Largest number of successive interim responses. Servers send at most one "100 Continue".
const MAX_INTERIM_RESPONSES: u32 = 10;

#[cfg(test)]
mod tests;
