//! SOCKS 4, 4a, and 5 (RFC 1928) with user and password (RFC 1929).

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Error, Login};
use crate::transport::{Endpoint, Family, Timeout, dial_facts::Lookup, tcp};

/// Looks up the IPv4 address of `endpoint`, because SOCKS 4 does not support names.
pub(super) async fn lookup_ipv4(endpoint: &Endpoint, timeout: Timeout) -> Result<Ipv4Addr, Error> {
    let addresses = tcp::lookup(endpoint, Family::V4, timeout, &mut Lookup::default())
        .await
        .map_err(|error| Error::Lookup(Box::new(error)))?;
    let mut addresses = addresses.iter().map(|address| address.ip());
    match addresses.next() {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(Error::Unsupported("SOCKS 4 supports only IPv4 addresses")),
    }
}

/// Requests a connection to `address` from a SOCKS 4 proxy, or to the name of the host from a SOCKS 4a
/// proxy if `address` is `None`.
pub(super) async fn request_v4<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    endpoint: &Endpoint,
    address: Option<Ipv4Addr>,
    login: Option<&Login>,
) -> Result<(), Error> {
    let host = &endpoint.host;
    let address = address.or_else(|| host.parse().ok());
    let user = login.map_or("", |login| &login.user);
    if user.contains('\0') || host.contains('\0') {
        return Err(Error::Unsupported(
            "SOCKS 4 does not support a zero byte in user or host",
        ));
    }
    if address.is_none() && host.contains(':') {
        return Err(Error::Unsupported(
            "SOCKS 4 does not support IPv6 addresses",
        ));
    }
    let mut request = vec![4, CONNECT];
    request.extend(endpoint.port.to_be_bytes());
    request.extend(address.unwrap_or(NAME_MARKER).octets());
    request.extend(user.as_bytes());
    request.push(0);
    if address.is_none() {
        request.extend(host.as_bytes());
        request.push(0);
    }
    stream.write_all(&request).await?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await?;
    match answer {
        [0, 90, ..] => Ok(()),
        [0, 91, ..] => refused("request rejected or failed (91)"),
        [0, 92, ..] => refused("it cannot reach identd on this machine (92)"),
        [0, 93, ..] => refused("identd on this machine reports another user (93)"),
        _ => Err(Error::Malformed("SOCKS 4")),
    }
}

/// Requests a connection to `endpoint`, a name or an address, from a SOCKS 5 proxy.
pub(super) async fn request_v5<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    endpoint: &Endpoint,
    login: Option<&Login>,
) -> Result<(), Error> {
    let hello: &[u8] = match login {
        Some(_) => &[5, 2, NO_LOGIN, PASSWORD],
        None => &[5, 1, NO_LOGIN],
    };
    stream.write_all(hello).await?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice).await?;
    match (choice, login) {
        ([5, NO_LOGIN], _) => {}
        ([5, PASSWORD], Some(login)) => authenticate(stream, login).await?,
        ([5, 0xFF], None) => return Err(Error::Login("requires user and password")),
        ([5, 0xFF], Some(_)) => {
            return Err(Error::Login("does not support login by user and password"));
        }
        _ => return Err(Error::Malformed("SOCKS 5")),
    }
    stream.write_all(&connect_request(endpoint)?).await?;
    read_reply(stream).await
}

/// Logs in with user and password (RFC 1929 2).
async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    login: &Login,
) -> Result<(), Error> {
    let mut message = vec![1];
    for text in [&login.user, &login.password] {
        let length = u8::try_from(text.len());
        let too_long = "SOCKS 5 supports user and password of at most 255 bytes";
        message.push(length.map_err(|_| Error::Unsupported(too_long))?);
        message.extend(text.as_bytes());
    }
    stream.write_all(&message).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    // Some proxies answer with the version of SOCKS (5) instead of the login's (1).
    match answer {
        [1 | 5, 0] => Ok(()),
        [1 | 5, _] => Err(Error::Login("does not accept this user and password")),
        _ => Err(Error::Malformed("SOCKS 5")),
    }
}

/// Encodes a CONNECT request (RFC 1928 4).
fn connect_request(endpoint: &Endpoint) -> Result<Vec<u8>, Error> {
    let mut request = vec![5, CONNECT, 0];
    match endpoint.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            let length = u8::try_from(endpoint.host.len());
            let too_long = "SOCKS 5 supports names of at most 255 bytes";
            request.push(NAME);
            request.push(length.map_err(|_| Error::Unsupported(too_long))?);
            request.extend(endpoint.host.as_bytes());
        }
    }
    request.extend(endpoint.port.to_be_bytes());
    Ok(request)
}

/// Reads the reply (RFC 1928 6). The bound address in it is read and ignored.
async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), Error> {
    // Some proxies close after the code of a refusal.
    let mut version_and_code = [0; 2];
    stream.read_exact(&mut version_and_code).await?;
    let [5, code] = version_and_code else {
        return Err(Error::Malformed("SOCKS 5"));
    };
    if code != 0 {
        return refused(reply_text(code));
    }
    let mut reserved_and_type = [0; 2];
    stream.read_exact(&mut reserved_and_type).await?;
    let length = match reserved_and_type {
        [_, IPV4] => 4,
        [_, IPV6] => 16,
        [_, NAME] => stream.read_u8().await?,
        _ => return Err(Error::Malformed("SOCKS 5")),
    };
    let mut address_and_port = vec![0; usize::from(length).saturating_add(2)];
    stream.read_exact(&mut address_and_port).await?;
    Ok(())
}

fn reply_text(code: u8) -> String {
    let text = match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable, or no such name",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown code",
    };
    format!("{text} ({code})")
}

fn refused(reason: impl Into<String>) -> Result<(), Error> {
    Err(Error::Refused(reason.into()))
}

const CONNECT: u8 = 1;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Invalid address that marks a SOCKS 4a request with a name at its end.
const NAME_MARKER: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[derive(Clone, Copy)]
    enum Version {
        /// With the looked-up address.
        Four(Option<Ipv4Addr>),
        Five,
    }

    /// Returns the sent bytes and the result of a request that gets `answer`.
    async fn exchange(
        version: Version,
        host: &str,
        login: Option<(&str, &str)>,
        answer: &[u8],
    ) -> (Vec<u8>, Result<(), String>) {
        let endpoint = Endpoint {
            host: host.to_owned(),
            port: 1935,
        };
        let login = login.map(|(user, password)| Login {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        let (mut near, mut far) = duplex(4096);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let result = match version {
            Version::Four(address) => {
                request_v4(&mut near, &endpoint, address, login.as_ref()).await
            }
            Version::Five => request_v5(&mut near, &endpoint, login.as_ref()).await,
        };
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        (sent, result.map_err(|error| error.to_string()))
    }

    const GRANTED_4: &[u8] = &[0, 90, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn socks_4_requests_an_address() {
        let address = Some(Ipv4Addr::new(10, 1, 2, 3));
        let (sent, result) = exchange(Version::Four(address), "name", None, GRANTED_4).await;
        assert_eq!(result, Ok(()));
        #[rustfmt::skip]
        assert_eq!(sent, [
            4, 1,         // version, CONNECT
            0x07, 0x8F,   // port 1935
            10, 1, 2, 3,
            0,            // no user
        ]);
    }

    #[tokio::test]
    async fn socks_4a_requests_a_name() {
        let login = Some(("joe", ""));
        let (sent, result) = exchange(Version::Four(None), "host.example", login, GRANTED_4).await;
        assert_eq!(result, Ok(()));
        let expected = b"\x04\x01\x07\x8F\x00\x00\x00\x01joe\0host.example\0";
        assert_eq!(sent, expected);
        let (sent, _) = exchange(Version::Four(None), "10.1.2.3", None, GRANTED_4).await;
        assert_eq!(sent, b"\x04\x01\x07\x8F\x0A\x01\x02\x03\0");
    }

    #[tokio::test]
    async fn socks_4_refusals_are_described() {
        for (code, expected) in [
            (91, "the proxy refused: request rejected or failed (91)"),
            (
                92,
                "the proxy refused: it cannot reach identd on this machine (92)",
            ),
            (
                93,
                "the proxy refused: identd on this machine reports another user (93)",
            ),
            (0, "the proxy sent an answer that is not SOCKS 4"),
        ] {
            let answer = [0, code, 0, 0, 0, 0, 0, 0];
            let (_, result) = exchange(Version::Four(None), "h", None, &answer).await;
            assert_eq!(result.unwrap_err(), expected);
        }
        let (sent, result) = exchange(Version::Four(None), "::1", None, GRANTED_4).await;
        assert_eq!(
            result.unwrap_err(),
            "SOCKS 4 does not support IPv6 addresses"
        );
        assert!(sent.is_empty());
    }

    #[rustfmt::skip]
    const GRANTED_5: &[u8] = &[
        5, 0,                         // no login
        5, 0, 0, 1, 0, 0, 0, 0, 0, 0, // granted, from 0.0.0.0:0
    ];

    #[tokio::test]
    async fn socks_5_requests_names_and_addresses() {
        for (host, address) in [
            ("host", &b"\x03\x04host"[..]),
            ("10.1.2.3", &[1, 10, 1, 2, 3]),
            ("::1", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            let (sent, result) = exchange(Version::Five, host, None, GRANTED_5).await;
            assert_eq!(result, Ok(()));
            let expected = [&[5, 1, 0, 5, 1, 0], address, &[0x07, 0x8F]].concat();
            assert_eq!(sent, expected, "{host}");
        }
    }

    #[rustfmt::skip]
    const GRANTED_5_TO_JOE: &[u8] = &[
        5, 2,                                       // user and password
        1, 0,                                       // accepted
        5, 0, 0, 3, 5, b'p', b'r', 0xFF, b'x', b'y', 0, 1, // granted, from a name that is not UTF-8
    ];

    #[tokio::test]
    async fn socks_5_logs_in_with_user_and_password() {
        let login = Some(("joe", "pw"));
        let (sent, result) = exchange(Version::Five, "h", login, GRANTED_5_TO_JOE).await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            sent,
            b"\x05\x02\x00\x02\x01\x03joe\x02pw\x05\x01\x00\x03\x01h\x07\x8F"
        );
    }

    #[tokio::test]
    async fn socks_5_refusals_are_described() {
        let login = Some(("joe", "wrong"));
        for (login, answer, expected) in [
            (None, &[5, 0xFF][..], "the proxy requires user and password"),
            (
                login,
                &[5, 0xFF],
                "the proxy does not support login by user and password",
            ),
            (
                login,
                &[5, 2, 1, 1],
                "the proxy does not accept this user and password",
            ),
            (
                None,
                &[5, 2],
                "the proxy sent an answer that is not SOCKS 5",
            ),
            (
                None,
                &[5, 0, 5, 5],
                "the proxy refused: connection refused (5)",
            ),
            (None, &[5, 0, 5, 99], "the proxy refused: unknown code (99)"),
            (
                None,
                &[5, 0, 5, 0, 0, 9],
                "the proxy sent an answer that is not SOCKS 5",
            ),
            (
                None,
                b"HTTP/1.1 400",
                "the proxy sent an answer that is not SOCKS 5",
            ),
        ] {
            let (_, result) = exchange(Version::Five, "h", login, answer).await;
            assert_eq!(result.unwrap_err(), expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn too_long_names_and_logins_are_rejected() {
        let long = "x".repeat(256);
        let (_, result) = exchange(Version::Five, &long, None, GRANTED_5).await;
        let error = result.unwrap_err();
        assert_eq!(error, "SOCKS 5 supports names of at most 255 bytes");
        let login = Some(("joe", long.as_str()));
        let (_, result) = exchange(Version::Five, "h", login, GRANTED_5_TO_JOE).await;
        let error = result.unwrap_err();
        assert_eq!(
            error,
            "SOCKS 5 supports user and password of at most 255 bytes"
        );
    }

    #[tokio::test]
    async fn an_answer_cut_anywhere_is_an_error() {
        let joe = Some(("joe", "pw"));
        for (version, login, answer) in [
            (Version::Four(None), None, GRANTED_4),
            (Version::Five, None, GRANTED_5),
            (Version::Five, joe, GRANTED_5_TO_JOE),
        ] {
            for end in 0..answer.len() {
                let (_, result) = exchange(version, "h", login, &answer[..end]).await;
                let error = result.unwrap_err();
                let expected = "the proxy closed the connection instead of answering";
                assert_eq!(error, expected, "{:?}", &answer[..end]);
            }
        }
    }
}
