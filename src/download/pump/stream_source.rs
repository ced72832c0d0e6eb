//! Plays the beginning of the stream again, on a second connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::close;
use crate::{
    core::{
        flv::FrameInfo,
        rtmp::{
            client::{
                Client, Event,
                config::{Config, Start},
            },
            message::Message,
        },
    },
    download::{
        capture::{Capture, observed_client},
        connection::{Connection, Moved},
    },
    transport::{DialFacts, Dialer, Route},
};

/// Server, route and session settings for a second connection to the same stream.
pub(in crate::download) struct StreamSource<'a> {
    pub(in crate::download) dialer: &'a Dialer,
    pub(in crate::download) route: &'a Route,
    pub(in crate::download) session: &'a Config,
    pub(in crate::download) capture: Option<&'a Arc<Capture>>,
    /// The same settings without the answer to a login request, which holds for one connection.
    pub(in crate::download) session_without_login: &'a Config,
}

impl StreamSource<'_> {
    /// Passes the messages from the beginning of the stream to `is_enough` until it returns true, the stream
    /// ends, or 10 s have passed. Returns `None` if the connection or the session fails.
    pub(super) async fn play_beginning(
        &self,
        mut is_enough: impl FnMut(Message, FrameInfo) -> bool,
    ) -> Option<()> {
        let playing = timeout(TIMEOUT, self.play(&mut is_enough));
        playing.await.ok().flatten()
    }

    async fn play(&self, is_enough: &mut impl FnMut(Message, FrameInfo) -> bool) -> Option<()> {
        let config = Config {
            start: Start::At { ms: 0 },
            length_ms: None,
            ..self.session.clone()
        };
        let dialed = self
            .dialer
            .dial(self.route, &mut DialFacts::default())
            .await;
        let stream = dialed
            .inspect_err(|error| tracing::debug!("no second connection: {error}"))
            .ok()?;
        let mut connection = Connection::new(stream);
        let mut client = observed_client(config, Instant::now(), self.capture);
        loop {
            client.poll_transmit(&mut connection.outbox).ok()?;
            let moved = connection.exchange(true).await.ok()?;
            if process(&mut client, &mut connection, is_enough)? || moved == Moved::Closed {
                break;
            }
        }
        close(connection, &mut client).await;
        Some(())
    }
}

/// Handles everything in the inbox, and returns whether the messages are enough or the stream has ended.
fn process(
    client: &mut Client,
    connection: &mut Connection,
    is_enough: &mut impl FnMut(Message, FrameInfo) -> bool,
) -> Option<bool> {
    loop {
        let received = client.receive(Instant::now(), &mut connection.inbox);
        let mut had_events = false;
        while let Some(event) = client.poll_event() {
            had_events = true;
            let is_over = match event {
                Event::Media { message, info } => is_enough(message, info),
                Event::Ended(_) | Event::Redirected(_) | Event::LoginRequired { .. } => true,
                _ => false,
            };
            if is_over {
                return Some(true);
            }
        }
        received.ok()?;
        if !had_events {
            return Some(false);
        }
    }
}

/// Time within which the beginning of the stream must arrive.
const TIMEOUT: Duration = Duration::from_secs(10);
