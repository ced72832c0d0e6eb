//! SOCKS 4, 4a, and 5 (RFC 1928) with user and password (RFC 1929).

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Error, Login};
use crate::transport::{Endpoint, Family, Timeout, tcp};

/// The address of `endpoint`, for a proxy that knows no names.
pub(super) async fn lookup_ipv4(endpoint: &Endpoint, wait: Timeout) -> Result<Ipv4Addr, Error> {
    let addresses = tcp::lookup(endpoint, Family::V4, wait)
        .await
        .map_err(|error| Error::Name(Box::new(error)))?;
    let mut addresses = addresses.iter().map(|address| address.ip());
    match addresses.next() {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(Error::Unsupported("SOCKS 4 reaches IPv4 addresses alone")),
    }
}

/// Asks a SOCKS 4 proxy for a connection to `address`, or a 4a one to the host's name where there is
/// none.
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
        return Err(Error::Unsupported("a user or host with a zero in its name"));
    }
    if address.is_none() && host.contains(':') {
        return Err(Error::Unsupported("SOCKS 4 reaches no IPv6 address"));
    }
    let mut request = vec![4, CONNECT];
    request.extend(endpoint.port.to_be_bytes());
    request.extend(address.unwrap_or(NAME_FOLLOWS).octets());
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
        [0, 92, ..] => refused("it cannot reach identd here (92)"),
        [0, 93, ..] => refused("identd here names another user (93)"),
        _ => Err(Error::Malformed("SOCKS 4")),
    }
}

/// Asks a SOCKS 5 proxy for a connection to `endpoint`, which may be a name.
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
        ([5, PASSWORD], Some(login)) => log_in(stream, login).await?,
        ([5, 0xFF], None) => return Err(Error::Login("wants user and password")),
        ([5, 0xFF], Some(_)) => return Err(Error::Login("takes no login by user and password")),
        _ => return Err(Error::Malformed("SOCKS 5")),
    }
    stream.write_all(&request(endpoint)?).await?;
    read_reply(stream).await
}

/// RFC 1929 2.
async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    login: &Login,
) -> Result<(), Error> {
    let mut message = vec![1];
    for text in [&login.user, &login.password] {
        let length = u8::try_from(text.len());
        let long = "SOCKS 5 takes user and password of up to 255 bytes";
        message.push(length.map_err(|_| Error::Unsupported(long))?);
        message.extend(text.as_bytes());
    }
    stream.write_all(&message).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    // Some answer with SOCKS's version instead of the login's.
    match answer {
        [1 | 5, 0] => Ok(()),
        [1 | 5, _] => Err(Error::Login("does not accept this user and password")),
        _ => Err(Error::Malformed("SOCKS 5")),
    }
}

/// RFC 1928 4.
fn request(endpoint: &Endpoint) -> Result<Vec<u8>, Error> {
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
            let long = "SOCKS 5 takes names of up to 255 bytes";
            request.push(NAME);
            request.push(length.map_err(|_| Error::Unsupported(long))?);
            request.extend(endpoint.host.as_bytes());
        }
    }
    request.extend(endpoint.port.to_be_bytes());
    Ok(request)
}

/// RFC 1928 6. The address that the proxy uses does not matter, but has to be read away.
async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), Error> {
    let mut head = [0; 4];
    // A refusal may end with its code.
    stream.read_exact(&mut head[..2]).await?;
    let [5, code, ..] = head else {
        return Err(Error::Malformed("SOCKS 5"));
    };
    if code != 0 {
        return refused(reply_in_words(code));
    }
    stream.read_exact(&mut head[2..]).await?;
    let length = match head {
        [_, _, _, IPV4] => 4,
        [_, _, _, IPV6] => 16,
        [_, _, _, NAME] => stream.read_u8().await?,
        _ => return Err(Error::Malformed("SOCKS 5")),
    };
    let mut address_and_port = [0; 255 + 2];
    stream
        .read_exact(&mut address_and_port[..usize::from(length) + 2])
        .await?;
    Ok(())
}

fn reply_in_words(code: u8) -> String {
    let words = match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable, or no such name",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "it makes no connections",
        8 => "it knows no such addresses",
        _ => "unknown code",
    };
    format!("{words} ({code})")
}

fn refused(why: impl Into<String>) -> Result<(), Error> {
    Err(Error::Refused(why.into()))
}

const CONNECT: u8 = 1;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// SOCKS 4a: an address that cannot be says that the name stands at the end.
const NAME_FOLLOWS: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[derive(Clone, Copy)]
    enum Version {
        /// With the address that was looked up.
        Four(Option<Ipv4Addr>),
        Five,
    }

    /// What is sent, and what comes of the `answer`.
    async fn asked(
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
    async fn asks_socks_4_for_an_address() {
        let address = Some(Ipv4Addr::new(10, 1, 2, 3));
        let (sent, result) = asked(Version::Four(address), "name", None, GRANTED_4).await;
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
    async fn asks_socks_4a_for_a_name() {
        let login = Some(("joe", ""));
        let (sent, result) = asked(Version::Four(None), "host.example", login, GRANTED_4).await;
        assert_eq!(result, Ok(()));
        let expected = b"\x04\x01\x07\x8F\x00\x00\x00\x01joe\0host.example\0";
        assert_eq!(sent, expected);
        let (sent, _) = asked(Version::Four(None), "10.1.2.3", None, GRANTED_4).await;
        assert_eq!(sent, b"\x04\x01\x07\x8F\x0A\x01\x02\x03\0");
    }

    #[tokio::test]
    async fn socks_4_says_no_in_words() {
        for (code, expected) in [
            (91, "the proxy refuses: request rejected or failed (91)"),
            (92, "the proxy refuses: it cannot reach identd here (92)"),
            (93, "the proxy refuses: identd here names another user (93)"),
            (0, "the proxy answers with something that is no SOCKS 4"),
        ] {
            let answer = [0, code, 0, 0, 0, 0, 0, 0];
            let (_, result) = asked(Version::Four(None), "h", None, &answer).await;
            assert_eq!(result.unwrap_err(), expected);
        }
        let (sent, result) = asked(Version::Four(None), "::1", None, GRANTED_4).await;
        assert_eq!(result.unwrap_err(), "SOCKS 4 reaches no IPv6 address");
        assert!(sent.is_empty());
    }

    #[rustfmt::skip]
    const GRANTED_5: &[u8] = &[
        5, 0,                         // no login
        5, 0, 0, 1, 0, 0, 0, 0, 0, 0, // granted, from 0.0.0.0:0
    ];

    #[tokio::test]
    async fn asks_socks_5_for_names_and_addresses() {
        for (host, address) in [
            ("host", &b"\x03\x04host"[..]),
            ("10.1.2.3", &[1, 10, 1, 2, 3]),
            ("::1", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            let (sent, result) = asked(Version::Five, host, None, GRANTED_5).await;
            assert_eq!(result, Ok(()));
            let expected = [&[5, 1, 0, 5, 1, 0], address, &[0x07, 0x8F]].concat();
            assert_eq!(sent, expected, "{host}");
        }
    }

    #[rustfmt::skip]
    const GRANTED_5_TO_JOE: &[u8] = &[
        5, 2,                                       // user and password
        1, 0,                                       // accepted
        5, 0, 0, 3, 5, b'p', b'r', 0xFF, b'x', b'y', 0, 1, // granted, from a name that is no text
    ];

    #[tokio::test]
    async fn logs_into_socks_5() {
        let login = Some(("joe", "pw"));
        let (sent, result) = asked(Version::Five, "h", login, GRANTED_5_TO_JOE).await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            sent,
            b"\x05\x02\x00\x02\x01\x03joe\x02pw\x05\x01\x00\x03\x01h\x07\x8F"
        );
    }

    #[tokio::test]
    async fn socks_5_says_no_in_words() {
        let login = Some(("joe", "wrong"));
        for (login, answer, expected) in [
            (None, &[5, 0xFF][..], "the proxy wants user and password"),
            (
                login,
                &[5, 0xFF],
                "the proxy takes no login by user and password",
            ),
            (
                login,
                &[5, 2, 1, 1],
                "the proxy does not accept this user and password",
            ),
            (
                None,
                &[5, 2],
                "the proxy answers with something that is no SOCKS 5",
            ),
            (
                None,
                &[5, 0, 5, 5],
                "the proxy refuses: connection refused (5)",
            ),
            (None, &[5, 0, 5, 99], "the proxy refuses: unknown code (99)"),
            (
                None,
                &[5, 0, 5, 0, 0, 9],
                "the proxy answers with something that is no SOCKS 5",
            ),
            (
                None,
                b"HTTP/1.1 400",
                "the proxy answers with something that is no SOCKS 5",
            ),
        ] {
            let (_, result) = asked(Version::Five, "h", login, answer).await;
            assert_eq!(result.unwrap_err(), expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_not_said() {
        let long = "x".repeat(256);
        let (_, result) = asked(Version::Five, &long, None, GRANTED_5).await;
        let told = result.unwrap_err();
        assert_eq!(told, "SOCKS 5 takes names of up to 255 bytes");
        let login = Some(("joe", long.as_str()));
        let (_, result) = asked(Version::Five, "h", login, GRANTED_5_TO_JOE).await;
        let told = result.unwrap_err();
        assert_eq!(told, "SOCKS 5 takes user and password of up to 255 bytes");
    }

    #[tokio::test]
    async fn an_answer_cut_anywhere_is_no_answer() {
        let joe = Some(("joe", "pw"));
        for (version, login, answer) in [
            (Version::Four(None), None, GRANTED_4),
            (Version::Five, None, GRANTED_5),
            (Version::Five, joe, GRANTED_5_TO_JOE),
        ] {
            for end in 0..answer.len() {
                let (_, result) = asked(version, "h", login, &answer[..end]).await;
                let told = result.unwrap_err();
                let expected = "the proxy closed the connection instead of answering";
                assert_eq!(told, expected, "{:?}", &answer[..end]);
            }
        }
    }
}
