//! CONNECT of HTTP (RFC 9110 9.3.6).

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Error, Login};
use crate::transport::Endpoint;

/// Asks for a connection to `endpoint`. Not a byte behind the answer's head is taken.
pub(super) async fn ask(
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
    let (status, reason) = read_head(tcp).await?;
    match status {
        200..300 => Ok(()),
        // tinyproxy asks with 401, which is a web server's word.
        401 | 407 if login.is_none() => Err(Error::Login("wants user and password")),
        401 | 407 => Err(Error::Login("does not accept this user and password")),
        _ => Err(Error::Refused(
            format!("{status} {reason}").trim().to_owned(),
        )),
    }
}

/// Status and reason of an answer whose head is read to its end and no further.
async fn read_head(tcp: &mut TcpStream) -> Result<(u16, String), Error> {
    let mut head = Vec::new();
    let mut peeked = vec![0; MAX_HEAD_BYTES];
    loop {
        let room = MAX_HEAD_BYTES - head.len();
        let count = tcp.peek(&mut peeked[..room]).await?;
        if count == 0 {
            return Err(if room == 0 { MALFORMED } else { Error::Closed });
        }
        let known = head.len();
        head.extend_from_slice(&peeked[..count]);
        let parsed = parse(&head)?;
        let end = parsed.as_ref().map_or(head.len(), |(end, ..)| *end);
        // All of it has come already.
        tcp.read_exact(&mut peeked[..end - known]).await?;
        if let Some((_, status, reason)) = parsed {
            return Ok((status, reason));
        }
    }
}

/// Where the head ends, status and reason; `None` where there is more to come.
fn parse(head: &[u8]) -> Result<Option<(usize, u16, String)>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(end)) => {
            let reason = response.reason.unwrap_or_default().to_owned();
            Ok(Some((end, response.code.unwrap_or_default(), reason)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => {
            tracing::debug!("the proxy's answer: {error}");
            Err(MALFORMED)
        }
    }
}

const MALFORMED: Error = Error::Malformed("HTTP");

/// Heads are some hundred bytes; whoever sends more is no proxy.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// As many fields as servers take in requests.
const MAX_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of an answer, what was asked, and what was left behind the head.
    async fn asked(answer: &[u8], login: Option<&Login>) -> (Result<(), String>, String, Vec<u8>) {
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
        let (result, request) = tokio::join!(ask(&mut near, &endpoint, login), conversation);
        let mut left = Vec::new();
        near.read_to_end(&mut left).await.unwrap();
        (result.map_err(|error| error.to_string()), request, left)
    }

    #[tokio::test]
    async fn nothing_behind_the_head_is_lost() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n\x03RTMP";
        let (result, request, left) = asked(answer, None).await;
        assert_eq!(result, Ok(()));
        assert_eq!(
            request,
            "CONNECT host.example:1935 HTTP/1.1\r\nHost: host.example:1935\r\n\r\n"
        );
        assert_eq!(left, b"\x03RTMP");
    }

    #[tokio::test]
    async fn who_asks_is_said_in_base64() {
        let login = Login {
            user: "Aladdin".into(),
            password: "open sesame".into(),
        };
        let (result, request, _) = asked(b"HTTP/1.0 200 OK\r\n\r\n", Some(&login)).await;
        assert_eq!(result, Ok(()));
        let field = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(request.contains(field), "{request}");
    }

    #[tokio::test]
    async fn refusals_are_told_in_the_proxys_words() {
        let login = Login {
            user: "joe".into(),
            password: "wrong".into(),
        };
        for (answer, login, expected) in [
            (
                "HTTP/1.1 403 Access denied\r\n\r\n",
                None,
                "the proxy refuses: 403 Access denied",
            ),
            ("HTTP/1.1 502 \r\n\r\n", None, "the proxy refuses: 502"),
            (
                "HTTP/1.1 407 Login\r\n\r\n",
                None,
                "the proxy wants user and password",
            ),
            (
                "HTTP/1.1 407 Login\r\n\r\n",
                Some(&login),
                "the proxy does not accept this user and password",
            ),
            (
                "SSH-2.0-OpenSSH_9.2\r\n",
                None,
                "the proxy answers with something that is no HTTP",
            ),
            (
                "\x05\x00",
                None,
                "the proxy answers with something that is no HTTP",
            ),
        ] {
            let (result, ..) = asked(answer.as_bytes(), login).await;
            assert_eq!(result.unwrap_err(), expected);
        }
    }

    #[tokio::test]
    async fn an_answer_cut_anywhere_is_no_answer() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..answer.len() {
            let (result, ..) = asked(&answer[..end], None).await;
            let told = result.unwrap_err();
            assert_eq!(
                told, "the proxy closed the connection instead of answering",
                "{end}"
            );
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_given_up() {
        let mut answer = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        answer.resize(MAX_HEAD_BYTES + 1, b'a');
        let (result, ..) = asked(&answer, None).await;
        let told = result.unwrap_err();
        assert_eq!(told, "the proxy answers with something that is no HTTP");
    }
}
