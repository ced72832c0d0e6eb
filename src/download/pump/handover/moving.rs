//! Continues the recording with the new connection.

use std::{convert::Infallible, sync::Arc, time::Instant};

use super::{first_source::RETURN_REASON, new_connection::NewConnection, plan::Plan, reason};
use crate::{
    core::{
        rejoin::matcher::{Arrival, MatchPoint},
        rtmp::client::{Client, config::Config},
    },
    download::{
        Reconnect, ReconnectState, SourceSwitch,
        connection::Connection,
        outcome::EndCause,
        pump::{Next, Pump},
    },
    transport::Route,
};

/// The connection with which the download continues.
#[derive(Debug)]
pub(in crate::download) struct Move {
    pub(in crate::download) route: Route,
    /// Configuration without the answer to a login request.
    pub(in crate::download) session: Arc<Config>,
    /// Time at which to connect, if nothing is playing.
    pub(in crate::download) start: Instant,
    /// The new connection, if it has sent frames.
    pub(in crate::download) playing: Option<Box<PlayingConnection>>,
    /// The end of the old connection, if it ended before the move.
    pub(in crate::download) cause: Option<EndCause>,
    /// Whether the recording returns from a fallback to the first source.
    pub(in crate::download) is_return: bool,
}

/// A connection and its session.
#[derive(Debug)]
pub(in crate::download) struct PlayingConnection {
    pub(in crate::download) connection: Connection,
    pub(in crate::download) client: Client,
    pub(in crate::download) config: Arc<Config>,
}

impl Pump<'_> {
    /// Continues the recording with the new connection, from the match point on.
    pub(super) fn switch(
        &mut self,
        now: Instant,
        new: NewConnection,
        match_point: MatchPoint,
        rest: Vec<Arrival>,
    ) -> Result<Infallible, Next> {
        // The new connection repeats a frame that is not written yet.
        if let Some(held) = self.held_frame.take() {
            self.output.recycle(held.payload);
        }
        self.rejoin = None;
        self.join(now, match_point)?;
        for arrival in rest {
            self.assign_time(now, arrival)?;
        }
        Err(self.move_to(now, new, None)?)
    }

    /// Continues the recording with the new connection as after a lost connection.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        new: NewConnection,
        arrivals: Vec<Arrival>,
        cause: Option<EndCause>,
    ) -> Next {
        self.rejoin_after(&reason(&new.plan.request));
        if new.first_frame.is_none() || self.resume_start_ms().is_some() {
            let cause = cause.unwrap_or(EndCause::NoMatch);
            return Box::new(new.plan).into_move(cause);
        }
        if self.rejoin.is_none() {
            self.clock.restart();
        }
        let continued = arrivals
            .into_iter()
            .try_for_each(|arrival| match self.rejoin {
                Some(_) => self.match_arrival(now, arrival),
                None => self.assign_time(now, arrival),
            });
        match continued.and_then(|()| self.move_to(now, new, cause)) {
            Ok(next) => next,
            Err(cause) => cause.into(),
        }
    }

    fn move_to(
        &mut self,
        now: Instant,
        new: NewConnection,
        cause: Option<EndCause>,
    ) -> Result<Next, EndCause> {
        if let Some((members, payload)) = new.metadata {
            self.metadata(now, members, payload)?;
        }
        let (route, is_return) = (new.plan.route, new.plan.is_return);
        if !is_return {
            tracing::info!("moved to the requested connection to {}", route.endpoint);
            self.report.reconnect(&Reconnect {
                state: ReconnectState::Moved,
                endpoint: route.endpoint.clone(),
                reason: reason(&new.plan.request),
            });
        }
        self.handover.request = new.request;
        Ok(Next::Move(Box::new(Move {
            route,
            session: new.plan.session,
            start: now,
            playing: Some(Box::new(PlayingConnection {
                connection: new.connection,
                client: new.client,
                config: new.config,
            })),
            cause,
            is_return,
        })))
    }

    /// Notes the switch to the first source, before its first frame is written.
    pub(super) fn note_return(&mut self, plan: &Plan) {
        if plan.is_return {
            self.handover.first_source = None;
            self.note_source_switch(SourceSwitch {
                number: 1,
                endpoint: plan.route.endpoint.clone(),
                reason: RETURN_REASON.to_owned(),
                gap_ms: None,
            });
        }
    }
}
