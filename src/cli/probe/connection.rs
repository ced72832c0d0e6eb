//! The connection: addresses, proxy, TLS and tunnel.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Cleaner,
    format::{ms, ms_text},
    table::Section,
};
use crate::{
    cli::terminal::time_format::utc,
    probe::stream::Connection as Dialed,
    transport::{
        DialFacts, TunnelFacts,
        dial_facts::{AddressResult, ProxyFacts, TriedAddress},
        tls::{CertificateFacts, TlsFacts},
    },
};

/// The latest connection of a probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Connection {
    host: String,
    port: u16,
    is_replay: bool,
    addresses: Vec<Address>,
    address: Option<String>,
    local_address: Option<String>,
    lookup_ms: Option<f64>,
    tcp_ms: Option<f64>,
    round_trip_ms: Option<f64>,
    proxy: Option<Proxy>,
    tls: Option<Tls>,
    tunnel: Option<Tunnel>,
    dial_ms: f64,
    failed_step: Option<&'static str>,
    failure: Option<String>,
}

/// An address that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Address {
    address: String,
    start_ms: Option<f64>,
    time_ms: Option<f64>,
    result: &'static str,
    reason: Option<String>,
}

/// The proxy on the route.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Proxy {
    protocol: &'static str,
    host: String,
    port: u16,
    time_ms: Option<f64>,
}

/// The RTMPT session.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tunnel {
    open_ms: Option<f64>,
    http: Option<String>,
    server: Option<String>,
    connections: u64,
    requests: u64,
    responses: u64,
    responses_with_data: u64,
    refusals: u64,
    shortest_interval_ms: Option<f64>,
    longest_interval_ms: Option<f64>,
    keeps_connections: bool,
    max_in_flight: usize,
}

/// The TLS handshake.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tls {
    version: Option<&'static str>,
    cipher: Option<String>,
    time_ms: Option<f64>,
    check: Option<&'static str>,
    certificate: Option<Certificate>,
}

/// The certificate of the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Certificate {
    subject: Option<String>,
    names: Vec<String>,
    omitted_names: usize,
    issuer: Option<String>,
    is_self_issued: bool,
    not_before: Option<String>,
    not_after: Option<String>,
    days_left: Option<i64>,
    sha256: String,
}

impl Connection {
    pub(super) fn of(connection: &Dialed, cleaner: &Cleaner<'_>) -> Self {
        let Dialed {
            route,
            facts,
            tunnel,
        } = connection;
        let tunnel = tunnel.clone().unwrap_or_default();
        let address = |address: &std::net::SocketAddr| address.to_string();
        let failure = facts.failure.as_ref();
        Self {
            host: cleaner.clean(&route.endpoint.host),
            port: route.endpoint.port,
            is_replay: facts.is_replay,
            addresses: facts
                .tried
                .iter()
                .map(|tried| Address::of(tried, cleaner))
                .collect(),
            address: facts.remote.as_ref().map(address),
            local_address: facts.local.as_ref().map(address),
            lookup_ms: ms(facts.lookup.as_ref().map(|lookup| lookup.time)),
            tcp_ms: ms(facts.tcp_time),
            round_trip_ms: ms(round_trip(facts)),
            proxy: facts.proxy.as_ref().map(|proxy| Proxy::of(proxy, cleaner)),
            tls: facts.tls.as_ref().map(|tls| Tls::of(tls, cleaner)),
            tunnel: facts
                .tunnel_time
                .map(|time| Tunnel::of(time, tunnel, cleaner)),
            dial_ms: ms(Some(facts.time)).unwrap_or_default(),
            failed_step: failure.map(|failure| failure.step.name()),
            failure: failure.map(|failure| cleaner.clean(&failure.reason)),
        }
    }

    /// Returns the rows for people.
    pub(super) fn section(&self) -> Section {
        let mut section = Section::new("Connection");
        section.add("server", Some(format!("{} port {}", self.host, self.port)));
        for tried in &self.addresses {
            section.add("address", Some(tried.text()));
        }
        section.add("local address", self.local_address.clone());
        section.add(
            "name lookup",
            ms_text(self.lookup_ms.filter(|ms| *ms > 0.0)),
        );
        section.add("TCP", ms_text(self.tcp_ms));
        section.add("round trip", ms_text(self.round_trip_ms));
        section.add("proxy", self.proxy.as_ref().map(Proxy::text));
        if let Some(tls) = &self.tls {
            tls.add_to(&mut section);
        }
        if let Some(tunnel) = &self.tunnel {
            tunnel.add_to(&mut section);
        }
        section.add("failed step", self.failed_step);
        section
    }
}

/// Returns the time from SYN to its answer: one round trip, without a proxy to the server itself.
fn round_trip(facts: &DialFacts) -> Option<Duration> {
    let connected = facts
        .tried
        .iter()
        .find(|tried| tried.result == AddressResult::Connected);
    connected
        .filter(|_| facts.proxy.is_none())
        .map(|tried| tried.time)
}

impl Address {
    fn of(tried: &TriedAddress, cleaner: &Cleaner<'_>) -> Self {
        let (result, reason) = match &tried.result {
            AddressResult::Connected => ("connected", None),
            AddressResult::Failed { reason, .. } => ("failed", Some(cleaner.clean(reason))),
            AddressResult::Unanswered => ("unanswered", None),
        };
        Self {
            address: tried.address.to_string(),
            start_ms: ms(Some(tried.start)),
            time_ms: ms(Some(tried.time)),
            result,
            reason,
        }
    }

    fn text(&self) -> String {
        let time = ms_text(self.time_ms).unwrap_or_default();
        let reason = self
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        format!("{} {} in {time}{reason}", self.address, self.result)
    }
}

impl Proxy {
    fn of(facts: &ProxyFacts, cleaner: &Cleaner<'_>) -> Self {
        Self {
            protocol: facts.protocol.name(),
            host: cleaner.clean(&facts.endpoint.host),
            port: facts.endpoint.port,
            time_ms: ms(facts.time),
        }
    }

    fn text(&self) -> String {
        let time = ms_text(self.time_ms).map_or_else(String::new, |time| format!(", {time}"));
        format!("{} {} port {}{time}", self.protocol, self.host, self.port)
    }
}

impl Tunnel {
    fn of(opened: Duration, facts: TunnelFacts, cleaner: &Cleaner<'_>) -> Self {
        let (shortest, longest) = facts.intervals.unzip();
        Self {
            open_ms: ms(Some(opened)),
            http: facts.http_minor_version.map(|minor| format!("1.{minor}")),
            server: facts.server.as_ref().map(|server| cleaner.clean(server)),
            connections: facts.connections,
            requests: facts.requests,
            responses: facts.responses,
            responses_with_data: facts.responses_with_data,
            refusals: facts.refusals,
            shortest_interval_ms: ms(shortest),
            longest_interval_ms: ms(longest),
            keeps_connections: facts.keeps_connections,
            max_in_flight: facts.max_in_flight,
        }
    }

    fn add_to(&self, section: &mut Section) {
        section.add("tunnel opened in", ms_text(self.open_ms));
        section.add("tunnel HTTP", self.http.clone());
        section.add("tunnel server", self.server.clone());
        section.add("tunnel requests", Some(self.requests_text()));
        if let (Some(shortest), Some(longest)) = (
            ms_text(self.shortest_interval_ms),
            ms_text(self.longest_interval_ms),
        ) {
            section.add("tunnel polling", Some(format!("{shortest} to {longest}")));
        }
    }

    fn requests_text(&self) -> String {
        let mut text = format!(
            "{}, {} with data, on {} connections",
            self.requests, self.responses_with_data, self.connections
        );
        if self.refusals > 0 {
            text.push_str(&format!(", {} refused", self.refusals));
        }
        text
    }
}

impl Tls {
    fn of(facts: &TlsFacts, cleaner: &Cleaner<'_>) -> Self {
        Self {
            version: facts.version,
            cipher: facts.cipher.clone(),
            time_ms: ms(facts.time),
            check: facts.check.map(|check| check.name()),
            certificate: facts
                .certificate
                .as_ref()
                .map(|certificate| Certificate::of(certificate, cleaner)),
        }
    }

    fn add_to(&self, section: &mut Section) {
        let names = [self.version, self.cipher.as_deref()];
        let time = ms_text(self.time_ms);
        let parts: Vec<&str> = names
            .into_iter()
            .chain([time.as_deref()])
            .flatten()
            .collect();
        section.add("TLS", Some(parts.join(", ")));
        section.add("certificate check", self.check);
        let Some(certificate) = &self.certificate else {
            return;
        };
        section.add("certificate of", certificate.subject.clone());
        let names = Some(certificate.names.join(" ")).filter(|names| !names.is_empty());
        section.add("certificate names", names);
        section.add("issuer", certificate.issuer_text());
        section.add("valid until", certificate.expiry());
    }
}

impl Certificate {
    fn of(facts: &CertificateFacts, cleaner: &Cleaner<'_>) -> Self {
        let clean = |text: &Option<String>| text.as_ref().map(|text| cleaner.clean(text));
        let time = |seconds: Option<i64>| Timestamp::from_second(seconds?).ok();
        let not_after = time(facts.not_after);
        Self {
            subject: clean(&facts.subject),
            names: facts.names.iter().map(|name| cleaner.clean(name)).collect(),
            omitted_names: facts.omitted_names,
            issuer: clean(&facts.issuer),
            is_self_issued: facts.is_self_issued,
            not_before: time(facts.not_before).map(utc),
            not_after: not_after.map(utc),
            days_left: not_after.map(|end| days(end.duration_since(Timestamp::now()).as_secs())),
            sha256: facts
                .sha256
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }

    fn issuer_text(&self) -> Option<String> {
        let issuer = self.issuer.as_ref()?;
        Some(match self.is_self_issued {
            true => format!("{issuer} (self-signed)"),
            false => issuer.clone(),
        })
    }

    fn expiry(&self) -> Option<String> {
        let (end, days) = (self.not_after.as_ref()?, self.days_left?);
        Some(match days {
            ..0 => format!("{end} (expired)"),
            _ => format!("{end} ({days} days left)"),
        })
    }
}

/// Returns the number of complete days, which is negative from the first second of a past time.
fn days(seconds: i64) -> i64 {
    seconds.div_euclid(SECONDS_PER_DAY)
}

const SECONDS_PER_DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_that_expired_today_has_negative_days_left() {
        assert_eq!([days(86_399), days(86_400)], [0, 1]);
        assert_eq!([days(-1), days(-86_401)], [-1, -2]);
    }
}
