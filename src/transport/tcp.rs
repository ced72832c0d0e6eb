//! TCP: names to addresses, and a race between these (RFC 8305).

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::sleep,
};

use super::{DialError, Endpoint, Timeout};

/// Which addresses of a host are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// All of them.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
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

    /// What a host without such an address lacks.
    fn name(self) -> &'static str {
        match self {
            Self::Any => "address",
            Self::V4 => "IPv4 address",
            Self::V6 => "IPv6 address",
        }
    }
}

/// Connects to whichever address of `endpoint` answers first.
pub(super) async fn connect(
    endpoint: &Endpoint,
    family: Family,
    wait: Timeout,
) -> Result<TcpStream, DialError> {
    let addresses = lookup(endpoint, family, wait).await?;
    wait.on(race(addresses, attempt_delay(wait)))
        .await
        .map_err(|source| DialError::Tcp {
            endpoint: endpoint.clone(),
            source,
        })
}

/// The addresses of `endpoint`, in the order to try them in.
pub(super) async fn lookup(
    endpoint: &Endpoint,
    family: Family,
    wait: Timeout,
) -> Result<Vec<SocketAddr>, DialError> {
    let found = wait.on(lookup_host((endpoint.host.as_str(), endpoint.port)));
    let addresses = found.await.and_then(|found| {
        let addresses: Vec<SocketAddr> = found.filter(|address| family.contains(address)).collect();
        if addresses.is_empty() {
            let lack = format!("it has no {}", family.name());
            return Err(io::Error::new(ErrorKind::NotFound, lack));
        }
        Ok(interleave(addresses))
    });
    addresses.map_err(|source| DialError::Name {
        endpoint: endpoint.clone(),
        source,
    })
}

/// "the client SHOULD interleave address families" (RFC 8305 4). Within each the system's order
/// stays, which is that of RFC 6724, and so does the family that it puts first.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let count = addresses.len();
    let (mut these, mut others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(count);
    let (mut these, mut others) = (these.drain(..), others.drain(..));
    while ordered.len() < count {
        ordered.extend(these.next());
        ordered.extend(others.next());
    }
    ordered
}

/// Where less time is allowed than it would take to try a few addresses, they start sooner.
fn attempt_delay(wait: Timeout) -> Duration {
    let bound = wait.bound.unwrap_or(Duration::MAX);
    ATTEMPT_DELAY.min(bound / 8).max(MIN_ATTEMPT_DELAY)
}

/// Starts an attempt each `delay`, or as soon as one fails, and gives up the others when one has
/// succeeded. The error is that of the last one to fail.
async fn race(addresses: Vec<SocketAddr>, delay: Duration) -> io::Result<TcpStream> {
    let mut addresses = addresses.into_iter().peekable();
    let mut attempts = JoinSet::new();
    let mut last_error = io::Error::new(ErrorKind::NotFound, "it has no address");
    loop {
        if let Some(address) = addresses.next() {
            attempts.spawn(async move { (address, attempt(address).await) });
        } else if attempts.is_empty() {
            return Err(last_error);
        }
        let has_more = addresses.peek().is_some();
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    tracing::debug!("{address}: {error}");
                    last_error = error;
                }
                Err(error) => last_error = error.into(),
            },
            () = sleep(delay), if has_more => {}
        }
    }
}

/// Commands and acknowledgements are small and urgent: they do not wait for more to send.
///
/// The receive buffer is left to the system. Linux, macOS, Windows and the BSDs let it grow with the
/// line, to 6 MiB and more; one that is asked for is fixed, and on Linux no larger than 208 KiB
/// unless root allowed it, which is 2 MB/s at 100 ms of round trip.
async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// "Connection Attempt Delay … a simple implementation can have a fixed delay … recommended value
/// … 250 milliseconds" (RFC 8305 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// "MUST NOT be less than 10 milliseconds" (RFC 8305 5).
const MIN_ATTEMPT_DELAY: Duration = Duration::from_millis(10);

/// A connection that has been still for so long is asked whether its other end is alive: where the
/// timers for silence are switched off, nothing else would notice that a machine is gone. It also
/// keeps the entry in a router's table.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, TcpListener},
        time::Instant,
    };

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A port where nobody listens.
    fn refusing() -> SocketAddr {
        listener().1
    }

    /// A port that neither takes nor refuses connections: its queue is full.
    fn black_hole() -> (Vec<Socket>, SocketAddr) {
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
    fn families_take_turns_and_the_systems_first_choice_stays_first() {
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
    async fn an_address_that_refuses_leaves_the_next_its_turn_at_once() {
        let (_listener, good) = listener();
        let start = Instant::now();
        let delay = Duration::from_secs(60);
        let stream = race(vec![refusing(), refusing(), good], delay).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), good);
        assert!(start.elapsed() < delay);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_leads_nowhere_is_overtaken() {
        let (_full, nowhere) = black_hole();
        let (_listener, good) = listener();
        let start = Instant::now();
        let stream = race(vec![nowhere, good], Duration::from_millis(100)).await;
        assert_eq!(stream.unwrap().peer_addr().unwrap(), good);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(100), "{took:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nowhere_at_all_takes_as_long_as_is_allowed() {
        let (_full, nowhere) = black_hole();
        let endpoint = Endpoint {
            host: nowhere.ip().to_string(),
            port: nowhere.port(),
        };
        let wait = Timeout {
            bound: Some(Duration::from_millis(300)),
        };
        let error = connect(&endpoint, Family::Any, wait).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot connect to {nowhere}: no answer within the connect timeout of 0.3 s")
        );
    }

    #[tokio::test]
    async fn the_last_to_fail_is_told() {
        let delay = Duration::from_millis(1);
        let raced = race(vec![refusing(), refusing()], delay).await;
        assert_eq!(raced.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn only_the_family_that_is_wanted_is_tried() {
        let wait = Timeout { bound: None };
        let of = async |host: &str, family| {
            let endpoint = Endpoint {
                host: host.to_owned(),
                port: 1935,
            };
            lookup(&endpoint, family, wait)
                .await
                .map_err(|error| error.to_string())
        };
        let v4 = vec![address("127.0.0.1:1935")];
        assert_eq!(of("127.0.0.1", Family::V4).await, Ok(v4.clone()));
        assert_eq!(of("127.0.0.1", Family::Any).await, Ok(v4));
        assert_eq!(
            of("127.0.0.1", Family::V6).await.unwrap_err(),
            "cannot find 127.0.0.1:1935: it has no IPv6 address"
        );
        assert_eq!(
            of("::1", Family::V4).await.unwrap_err(),
            "cannot find [::1]:1935: it has no IPv4 address"
        );
    }

    #[test]
    fn little_time_is_shared_among_the_addresses() {
        let of = |bound_ms: Option<u64>| {
            attempt_delay(Timeout {
                bound: bound_ms.map(Duration::from_millis),
            })
        };
        assert_eq!(of(None), Duration::from_millis(250));
        assert_eq!(of(Some(10_000)), Duration::from_millis(250));
        assert_eq!(of(Some(1_000)), Duration::from_millis(125));
        assert_eq!(of(Some(8)), Duration::from_millis(10));
    }
}
