//! Name lookup, and TCP connections by Happy Eyeballs (RFC 8305).

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::sleep,
};

use super::{
    DialError, Endpoint, Timeout,
    dial_facts::{AddressResult, DialFacts, Lookup, MAX_ADDRESSES, TriedAddress},
};

/// Address families that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    fn contains(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    /// Name of such an address in error messages.
    fn name(self) -> &'static str {
        match self {
            Self::Any => "address",
            Self::V4 => "IPv4 address",
            Self::V6 => "IPv6 address",
        }
    }
}

/// Connects to the address of `endpoint` that answers first.
pub(super) async fn connect(
    endpoint: &Endpoint,
    family: Family,
    timeout: Timeout,
    facts: &mut DialFacts,
) -> Result<TcpStream, DialError> {
    let mut found = Lookup::default();
    let looked_up = lookup(endpoint, family, timeout, &mut found).await;
    facts.lookup = Some(found);
    let addresses = looked_up?;
    let mut race = Race::new(&mut facts.tried);
    let run = race.run(addresses, attempt_delay(timeout));
    let connected = timeout
        .run_timed("TCP connected", &mut facts.tcp_time, run)
        .await;
    race.finish();
    let stream = connected.map_err(|source| DialError::Tcp {
        endpoint: endpoint.clone(),
        source,
    })?;
    (facts.local, facts.remote) = (stream.local_addr().ok(), stream.peer_addr().ok());
    Ok(stream)
}

/// Looks up the addresses of `endpoint`, in the order in which they are tried.
pub(super) async fn lookup(
    endpoint: &Endpoint,
    family: Family,
    timeout: Timeout,
    facts: &mut Lookup,
) -> Result<Vec<SocketAddr>, DialError> {
    let mut time = None;
    let resolve = resolve(&endpoint.host, endpoint.port);
    let found = timeout.run_timed("name resolved", &mut time, resolve).await;
    facts.time = time.unwrap_or_default();
    let addresses = found.and_then(|mut addresses| {
        addresses.retain(|address| family.contains(address));
        if addresses.is_empty() {
            let cause = format!("it has no {}", family.name());
            return Err(io::Error::new(ErrorKind::NotFound, cause));
        }
        let addresses = interleave(addresses);
        facts.addresses = addresses.iter().copied().take(MAX_ADDRESSES).collect();
        Ok(addresses)
    });
    addresses.map_err(|source| DialError::Name {
        endpoint: endpoint.clone(),
        source,
    })
}

/// Returns the addresses of `host` in the order of the system.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // RFC 6761 6.3: name resolution "SHOULD always return the IP loopback address". The system asks a DNS
    // server if the name is not in /etc/hosts, which an empty root folder lacks.
    if host.eq_ignore_ascii_case("localhost") {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback
            .map(|address| SocketAddr::new(address, port))
            .into());
    }
    Ok(lookup_host((host, port)).await?.collect())
}

/// Interleaves IPv6 and IPv4 addresses.
///
/// RFC 8305 4: "the client SHOULD interleave address families". The order within each family and the
/// first family are those of the system, which sorts by RFC 6724.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let count = addresses.len();
    let (mut preferred, mut others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(count);
    let (mut preferred, mut others) = (preferred.drain(..), others.drain(..));
    while ordered.len() < count {
        ordered.extend(preferred.next());
        ordered.extend(others.next());
    }
    ordered
}

/// Delay between the starts of two attempts. A short timeout shortens it, so that at least eight
/// addresses can be tried.
fn attempt_delay(timeout: Timeout) -> Duration {
    let limit = timeout.limit.unwrap_or(Duration::MAX);
    let share = limit.checked_div(8).unwrap_or_default();
    ATTEMPT_DELAY.min(share).max(MIN_ATTEMPT_DELAY)
}

/// Connections to several addresses, of which the first is used.
struct Race<'a> {
    tried: &'a mut Vec<TriedAddress>,
    start: Instant,
}

impl<'a> Race<'a> {
    fn new(tried: &'a mut Vec<TriedAddress>) -> Self {
        tried.clear();
        let start = Instant::now();
        Self { tried, start }
    }

    /// Starts an address every `delay`, or as soon as one fails, and returns the first connection.
    ///
    /// If all addresses fail, the error is that of the last one.
    async fn run(&mut self, addresses: Vec<SocketAddr>, delay: Duration) -> io::Result<TcpStream> {
        let mut addresses = addresses.into_iter().peekable();
        let mut connecting = JoinSet::new();
        let mut last_error = io::Error::new(ErrorKind::NotFound, "it has no address");
        loop {
            if let Some(address) = addresses.next() {
                self.record_start(address);
                connecting.spawn(async move { (address, connect_to(address).await) });
            } else if connecting.is_empty() {
                return Err(last_error);
            }
            let has_more = addresses.peek().is_some();
            // A failure starts the next address at once, a slow address after `delay`. Earlier ones stay
            // in the race: a slow address may still answer before the later ones. Dropping `connecting`
            // aborts the losers.
            tokio::select! {
                Some(ended) = connecting.join_next() => match ended {
                    Ok((address, Ok(stream))) => {
                        self.record_result(address, AddressResult::Connected);
                        return Ok(stream);
                    }
                    Ok((address, Err(error))) => {
                        tracing::debug!("{address}: {error}");
                        self.record_result(address, AddressResult::from(&error));
                        last_error = error;
                    }
                    Err(error) => last_error = error.into(),
                },
                () = sleep(delay), if has_more => {}
            }
        }
    }

    fn record_start(&mut self, address: SocketAddr) {
        if self.tried.len() < MAX_ADDRESSES {
            self.tried.push(TriedAddress {
                address,
                start: self.start.elapsed(),
                time: Duration::ZERO,
                result: AddressResult::Unanswered,
            });
        }
    }

    fn record_result(&mut self, address: SocketAddr, result: AddressResult) {
        let elapsed = self.start.elapsed();
        let is_waiting = |tried: &&mut TriedAddress| {
            tried.address == address && tried.result == AddressResult::Unanswered
        };
        if let Some(tried) = self.tried.iter_mut().find(is_waiting) {
            tried.time = elapsed.saturating_sub(tried.start);
            tried.result = result;
        }
    }

    /// Sets the times of the addresses that have not answered.
    fn finish(self) {
        let elapsed = self.start.elapsed();
        for tried in self.tried {
            if tried.result == AddressResult::Unanswered {
                tried.time = elapsed.saturating_sub(tried.start);
            }
        }
    }
}

impl From<&io::Error> for AddressResult {
    fn from(error: &io::Error) -> Self {
        Self::Failed {
            kind: error.kind(),
            reason: error.to_string(),
        }
    }
}

/// Connects to one address and sets the socket options.
///
/// The receive buffer keeps the system's default. Linux, macOS, Windows and the BSDs grow it to 6 MiB
/// and more as needed. An explicit size would be fixed, and Linux limits it to 208 KiB without root,
/// which allows 2 MB/s at a round trip of 100 ms.
async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Commands and acknowledgements are small and must not wait for further data.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// RFC 8305 5: "a simple implementation can have a fixed delay … recommended value … 250
/// milliseconds".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// RFC 8305 5: "MUST NOT be less than 10 milliseconds".
const MIN_ATTEMPT_DELAY: Duration = Duration::from_millis(10);

/// Idle time before TCP probes the peer. Without silence timeouts, only these probes detect a peer that
/// is gone. They also keep NAT entries alive.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Runs a race, and returns the addresses that were tried, with their results.
    async fn race(
        addresses: Vec<SocketAddr>,
        delay: Duration,
    ) -> (io::Result<TcpStream>, Vec<(SocketAddr, AddressResult)>) {
        let mut tried = Vec::new();
        let mut race = Race::new(&mut tried);
        let raced = race.run(addresses, delay).await;
        race.finish();
        let results = tried.into_iter().map(|tried| (tried.address, tried.result));
        (raced, results.collect())
    }

    fn is_refused(result: &AddressResult) -> bool {
        matches!(result, AddressResult::Failed { kind, .. } if *kind == ErrorKind::ConnectionRefused)
    }

    /// Address without a listener.
    fn refusing() -> SocketAddr {
        listener().1
    }

    /// Listener with a full accept queue, which neither accepts nor refuses connections.
    #[cfg(target_os = "linux")]
    fn black_hole() -> (Vec<socket2::Socket>, SocketAddr) {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _in_progress = client.connect(&address.into());
            sockets.push(client);
        }
        (sockets, address)
    }

    #[test]
    fn families_interleave_and_the_first_address_stays_first() {
        let list = |text: &str| -> Vec<SocketAddr> { text.split(' ').map(address).collect() };
        for (system, tried) in [
            (
                "[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 1.1.1.2:1",
                "[::1]:1 1.1.1.1:1 [::2]:1 1.1.1.2:1 [::3]:1",
            ),
            ("1.1.1.1:1 1.1.1.2:1 [::1]:1", "1.1.1.1:1 [::1]:1 1.1.1.2:1"),
            ("1.1.1.1:1", "1.1.1.1:1"),
        ] {
            assert_eq!(interleave(list(system)), list(tried));
        }
        assert!(interleave(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_refusing_address_starts_the_next_at_once() {
        let (_listener, good) = listener();
        let start = Instant::now();
        let delay = Duration::from_secs(60);
        let addresses = vec![refusing(), refusing(), good];
        let (stream, tried) = race(addresses.clone(), delay).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), good);
        assert!(start.elapsed() < delay);
        let order: Vec<_> = tried.iter().map(|(address, _)| *address).collect();
        assert_eq!(order, addresses);
        assert!(is_refused(&tried[0].1) && is_refused(&tried[1].1));
        assert_eq!(tried[2].1, AddressResult::Connected);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_silent_address_loses_to_the_next() {
        let (_full, silent) = black_hole();
        let (_listener, good) = listener();
        let start = Instant::now();
        let (stream, tried) = race(vec![silent, good], Duration::from_millis(100)).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), good);
        let unanswered = (silent, AddressResult::Unanswered);
        assert_eq!(tried, [unanswered, (good, AddressResult::Connected)]);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(100), "{took:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_silent_address_times_out() {
        let (_full, silent) = black_hole();
        let endpoint = Endpoint {
            host: silent.ip().to_string(),
            port: silent.port(),
        };
        let timeout = Timeout {
            limit: Some(Duration::from_millis(300)),
        };
        let mut facts = DialFacts::default();
        let connected = connect(&endpoint, Family::Any, timeout, &mut facts).await;
        assert_eq!(
            connected.unwrap_err().to_string(),
            format!("cannot connect to {silent}: no answer within the connect timeout of 0.3 s")
        );
        assert_eq!(facts.lookup.unwrap().addresses, [silent]);
        assert_eq!(facts.tried.len(), 1);
        let tried = &facts.tried[0];
        assert_eq!(tried.result, AddressResult::Unanswered);
        assert!(tried.time >= Duration::from_millis(250), "{tried:?}");
        assert!(facts.tcp_time.unwrap() >= Duration::from_millis(300));
        assert_eq!((facts.local, facts.remote), (None, None));
    }

    #[tokio::test]
    async fn the_error_of_the_last_attempt_is_returned() {
        let delay = Duration::from_millis(1);
        let (raced, tried) = race(vec![refusing(), refusing()], delay).await;
        assert_eq!(raced.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(tried.len() == 2 && tried.iter().all(|(_, result)| is_refused(result)));
    }

    #[tokio::test]
    async fn only_the_first_addresses_are_kept_in_the_facts() {
        let addresses = vec![refusing(); MAX_ADDRESSES + 1];
        let (raced, tried) = race(addresses, Duration::from_secs(60)).await;
        assert!(raced.is_err());
        assert_eq!(tried.len(), MAX_ADDRESSES);
    }

    #[tokio::test]
    async fn lookup_returns_only_the_requested_family() {
        let timeout = Timeout { limit: None };
        let addresses = async |host: &str, family| {
            let endpoint = Endpoint {
                host: host.to_owned(),
                port: 1935,
            };
            lookup(&endpoint, family, timeout, &mut Lookup::default())
                .await
                .map_err(|error| error.to_string())
        };
        let v4 = vec![address("127.0.0.1:1935")];
        assert_eq!(addresses("127.0.0.1", Family::V4).await, Ok(v4.clone()));
        assert_eq!(addresses("127.0.0.1", Family::Any).await, Ok(v4));
        assert_eq!(
            addresses("127.0.0.1", Family::V6).await.unwrap_err(),
            "cannot find 127.0.0.1:1935: it has no IPv6 address"
        );
        assert_eq!(
            addresses("::1", Family::V4).await.unwrap_err(),
            "cannot find [::1]:1935: it has no IPv4 address"
        );
    }

    #[tokio::test]
    async fn localhost_is_the_loopback_address() {
        let timeout = Timeout { limit: None };
        for (family, expected) in [
            (Family::Any, &["127.0.0.1:1935", "[::1]:1935"][..]),
            (Family::V4, &["127.0.0.1:1935"]),
            (Family::V6, &["[::1]:1935"]),
        ] {
            let endpoint = Endpoint {
                host: "LocalHost".to_owned(),
                port: 1935,
            };
            let addresses = lookup(&endpoint, family, timeout, &mut Lookup::default())
                .await
                .unwrap();
            let expected: Vec<_> = expected.iter().map(|text| address(text)).collect();
            assert_eq!(addresses, expected);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_zone_becomes_the_scope_id() {
        let endpoint = Endpoint {
            host: "fe80::1%lo".into(),
            port: 1935,
        };
        let timeout = Timeout { limit: None };
        let addresses = lookup(&endpoint, Family::Any, timeout, &mut Lookup::default())
            .await
            .unwrap();
        let [SocketAddr::V6(address)] = addresses[..] else {
            panic!("one IPv6 address: {addresses:?}");
        };
        assert_eq!(address.ip().to_string(), "fe80::1");
        assert_ne!(address.scope_id(), 0);
    }

    #[test]
    fn a_short_timeout_shortens_the_attempt_delay() {
        let delay = |limit_ms: Option<u64>| {
            attempt_delay(Timeout {
                limit: limit_ms.map(Duration::from_millis),
            })
        };
        assert_eq!(delay(None), Duration::from_millis(250));
        assert_eq!(delay(Some(10_000)), Duration::from_millis(250));
        assert_eq!(delay(Some(1_000)), Duration::from_millis(125));
        assert_eq!(delay(Some(8)), Duration::from_millis(10));
    }
}
