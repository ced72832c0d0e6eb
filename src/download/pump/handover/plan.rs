//! A requested connection, until it is made.

use std::{sync::Arc, time::Instant};

use super::{
    Move, Phase,
    new_connection::{Received, dial},
};
use crate::{
    core::rtmp::{
        client::config::{Config, Connect},
        command::ReconnectRequest,
    },
    download::{
        attempts::MAX_HOPS,
        outcome::EndCause,
        pump::{Next, StreamSource},
        redirect::follow,
    },
    transport::Route,
};

/// A requested connection.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) request: ReconnectRequest,
    /// Whether the connection returns from a fallback to the first source.
    pub(super) is_return: bool,
    pub(super) route: Route,
    /// Configuration without the answer to a login request.
    pub(super) session: Arc<Config>,
    /// The answer to a login request of the new server.
    pub(super) login: Option<Connect>,
    /// Number of followed redirects and logins.
    pub(super) hops: u32,
    /// End of the back-off.
    pub(super) start: Instant,
    /// End of the time to find a match.
    pub(super) until: Instant,
}

impl Plan {
    /// Plans a connection to the first source while a fallback plays.
    pub(super) fn to_first_source(
        request: ReconnectRequest,
        route: Route,
        session: Arc<Config>,
        start: Instant,
        until: Instant,
    ) -> Self {
        Self {
            request,
            is_return: true,
            route,
            session,
            login: None,
            hops: 0,
            start,
            until,
        }
    }

    /// Follows a redirect or a login request of the new server.
    pub(super) fn follow(
        mut self,
        received: Received,
        source: &StreamSource<'_>,
    ) -> Result<Phase, String> {
        if self.hops == MAX_HOPS {
            return Err(format!("redirected more than {MAX_HOPS} times"));
        }
        self.hops = self.hops.saturating_add(1);
        match received {
            Received::Login(connect) => self.login = Some(*connect),
            Received::Redirect(redirect) => {
                self.login = None;
                let (route, session) = follow(&redirect, &self.session, &self.route)?;
                (self.route, self.session) = (route, Arc::new(session));
            }
            Received::All | Received::Enough => {}
        }
        Ok(dial(self, source))
    }

    pub(super) fn into_move(self: Box<Self>, cause: EndCause) -> Next {
        Next::Move(Box::new(Move {
            route: self.route,
            session: self.session,
            start: self.start,
            playing: None,
            cause: Some(cause),
            is_return: self.is_return,
        }))
    }
}
