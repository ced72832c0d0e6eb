//! Facts of an RTMPT session.

use std::time::Duration;

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
    /// Number of complete responses.
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
