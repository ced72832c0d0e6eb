//! Facts of an RTMPT session.

use std::time::Duration;

use super::polling::UNIT;

/// Facts of an RTMPT session, collected while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelFacts {
    /// Minor version of HTTP/1 in the latest response.
    pub http_minor_version: Option<u8>,
    /// Server field of the first response that has one, shortened. Not escaped.
    pub server: Option<String>,
    /// Number of connections, each of which carried one or more requests.
    pub connections: u64,
    /// Number of requests sent, including repeated ones.
    pub requests: u64,
    /// Number of complete responses, also to requests that carry no tunnel data.
    pub responses: u64,
    /// Number of complete responses with tunnel data.
    pub responses_with_data: u64,
    /// Number of requests that the server refused because others were in flight.
    pub refusals: u64,
    /// Shortest and longest polling interval that the server suggested.
    pub intervals: Option<(Duration, Duration)>,
    /// Whether any connection carried more than one response.
    pub keeps_connections: bool,
    /// Largest number of requests in flight on one connection.
    pub max_in_flight: usize,
}

impl TunnelFacts {
    /// Counts a complete response, the `number`th over its connection.
    pub(super) fn record_response(&mut self, number: u64) {
        self.responses = self.responses.saturating_add(1);
        self.keeps_connections |= number > 1;
    }

    /// Records the interval byte of a response.
    pub(super) fn record_interval(&mut self, interval: u8, has_data: bool) {
        if has_data {
            self.responses_with_data = self.responses_with_data.saturating_add(1);
        }
        let interval = UNIT.saturating_mul(interval.into());
        let (shortest, longest) = self.intervals.unwrap_or((interval, interval));
        self.intervals = Some((shortest.min(interval), longest.max(interval)));
    }
}
