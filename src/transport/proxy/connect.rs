//! HTTP CONNECT (RFC 9110 9.3.6).

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Error, Login};
use crate::transport::{
    Endpoint,
    http::response::{Head, MAX_HEAD},
};

/// Requests a connection to `endpoint`. Leaves all bytes after the head of the response in the socket.
pub(super) async fn request(
    tcp: &mut TcpStream,
    endpoint: &Endpoint,
    login: Option<&Login>,
) -> Result<(), Error> {
    let mut request = format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n");
    if let Some(Login { user, password }) = login {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        request += &format!("Proxy-Authorization: Basic {credentials}\r\n");
    }
    request += "\r\n";
    tcp.write_all(request.as_bytes()).await?;
    let status = read_head(tcp).await?.status;
    match status.code {
        200..300 => Ok(()),
        // tinyproxy answers with 401 although 407 is the code for proxies.
        401 | 407 if login.is_none() => Err(Error::Login("requires user and password")),
        401 | 407 => Err(Error::Login("does not accept this user and password")),
        _ => Err(Error::Refused(status.to_string())),
    }
}

/// Reads the head of the response and no further.
///
/// The bytes after the head belong to the server at the other end. Each piece is therefore peeked first
/// and read only up to the end of the head.
async fn read_head(tcp: &mut TcpStream) -> Result<Head, Error> {
    let mut bytes = Vec::new();
    let mut peeked = vec![0; MAX_HEAD];
    loop {
        let count = tcp.peek(&mut peeked).await?;
        if count == 0 {
            return Err(Error::Closed);
        }
        let known = bytes.len();
        bytes.extend_from_slice(peeked.get(..count).unwrap_or_default());
        let parsed = Head::parse(&bytes).map_err(|error| {
            tracing::debug!("invalid response of the proxy: {error}");
            Error::Malformed("HTTP")
        })?;
        let end = parsed.as_ref().map_or(bytes.len(), |(_, length)| *length);
        let unread = peeked.get_mut(..end.saturating_sub(known));
        tcp.read_exact(unread.unwrap_or_default()).await?;
        if let Some((head, _)) = parsed {
            return Ok(head);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Returns the result for an answer, the request, and the bytes that remain in the socket.
    async fn exchange(
        answer: &[u8],
        login: Option<&Login>,
    ) -> (Result<(), String>, String, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        let endpoint = Endpoint {
            host: "host.example".into(),
            port: 1935,
        };
        let conversation = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(far.read_u8().await.unwrap());
            }
            for byte in answer {
                far.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            far.shutdown().await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let (result, request) = tokio::join!(request(&mut near, &endpoint, login), conversation);
        let mut left = Vec::new();
        near.read_to_end(&mut left).await.unwrap();
        (result.map_err(|error| error.to_string()), request, left)
    }

    #[tokio::test]
    async fn bytes_after_the_head_stay_in_the_socket() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n\x03RTMP";
        let (result, request, left) = exchange(answer, None).await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            request,
            "CONNECT host.example:1935 HTTP/1.1\r\nHost: host.example:1935\r\n\r\n"
        );
        assert_eq!(left, b"\x03RTMP");
    }

    #[tokio::test]
    async fn the_login_is_sent_in_base64() {
        let login = Login {
            user: "Aladdin".into(),
            password: "open sesame".into(),
        };
        let (result, request, _) = exchange(b"HTTP/1.0 200 OK\r\n\r\n", Some(&login)).await;
        assert_eq!(result, Ok(()));
        let field = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(request.contains(field), "{request}");
    }

    #[tokio::test]
    async fn refusals_quote_the_proxy() {
        let login = Login {
            user: "joe".into(),
            password: "wrong".into(),
        };
        for (answer, login, expected) in [
            (
                "HTTP/1.1 403 Access denied\r\n\r\n",
                None,
                "the proxy refused: 403 Access denied",
            ),
            ("HTTP/1.1 502 \r\n\r\n", None, "the proxy refused: 502"),
            (
                "HTTP/1.1 407 Login\r\n\r\n",
                None,
                "the proxy requires user and password",
            ),
            (
                "HTTP/1.1 407 Login\r\n\r\n",
                Some(&login),
                "the proxy does not accept this user and password",
            ),
            (
                "SSH-2.0-OpenSSH_9.2\r\n",
                None,
                "the proxy sent an answer that is not HTTP",
            ),
            (
                "\x05\x00",
                None,
                "the proxy sent an answer that is not HTTP",
            ),
        ] {
            let (result, ..) = exchange(answer.as_bytes(), login).await;
            assert_eq!(result.unwrap_err(), expected);
        }
    }

    #[tokio::test]
    async fn an_answer_cut_anywhere_is_an_error() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..answer.len() {
            let (result, ..) = exchange(&answer[..end], None).await;
            let error = result.unwrap_err();
            assert_eq!(
                error, "the proxy closed the connection instead of answering",
                "{end}"
            );
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_an_error() {
        let mut answer = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        answer.resize(MAX_HEAD + 1, b'a');
        let (result, ..) = exchange(&answer, None).await;
        let error = result.unwrap_err();
        assert_eq!(error, "the proxy sent an answer that is not HTTP");
    }
}
