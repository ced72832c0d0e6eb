use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// Server side of a connection.
struct Peer {
    stream: DuplexStream,
    inbox: Vec<u8>,
}

impl Peer {
    fn pair() -> (DuplexStream, Self) {
        let (near, stream) = duplex(4 * 1024);
        let inbox = Vec::new();
        (near, Self { stream, inbox })
    }

    /// Returns path and body of the next request, or `None` after the client closed the connection.
    async fn request(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            let end = self.inbox.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8(self.inbox[..end].to_vec()).unwrap();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let length: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
                if self.inbox.len() >= end + 4 + length {
                    let rest = self.inbox.split_off(end + 4 + length);
                    let body = self.inbox.split_off(end + 4);
                    self.inbox = rest;
                    return Some((path, body));
                }
            }
            if self.stream.read_buf(&mut self.inbox).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn path(&mut self) -> String {
        self.request().await.expect("a request").0
    }

    async fn answer(&mut self, body: &[u8]) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), body].concat();
        let _client_may_be_gone = self.stream.write_all(&answer).await;
    }
}

/// Opens a tunnel over the first of `streams`. The others are dialed in order.
async fn open(mut streams: Vec<DuplexStream>) -> io::Result<Tunnel<DuplexStream>> {
    let first = streams.remove(0);
    let streams = Arc::new(Mutex::new(streams.into_iter()));
    let dial = move || -> Dialing<DuplexStream> {
        let next = streams.lock().unwrap().next();
        Box::pin(async move { next.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()) })
    };
    Tunnel::open(first, "h:80".into(), Box::new(dial)).await
}

async fn opened() -> (Tunnel<DuplexStream>, Peer) {
    let (near, mut peer) = Peer::pair();
    let answered = async {
        assert_eq!(peer.path().await, "/open/1");
        peer.answer(b"id\n").await;
    };
    let (tunnel, ()) = tokio::join!(open(vec![near]), answered);
    (tunnel.unwrap(), peer)
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_polled_twice_a_second() {
    let (mut tunnel, mut peer) = opened().await;
    let served = async {
        for number in 0..100 {
            assert_eq!(peer.path().await, format!("/idle/id/{number}"));
            peer.answer(b"\x01").await;
        }
    };
    let start = Instant::now();
    let mut buffer = [0; 10];
    tokio::select! {
        read = tunnel.read(&mut buffer) => panic!("{read:?}"),
        () = served => {}
    }
    let seconds = start.elapsed().as_secs();
    assert!((45..=50).contains(&seconds), "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn data_continues_over_the_next_connection() {
    let (near, mut peer) = Peer::pair();
    let (second, mut next) = Peer::pair();
    let served = async {
        peer.path().await;
        peer.answer(b"id\n").await;
        assert_eq!(peer.path().await, "/send/id/0");
        drop(peer);
        let send = next.request().await.expect("the repeated request");
        assert_eq!(send, ("/send/id/0".into(), b"question".to_vec()));
        next.answer(b"\x01answer").await;
        assert_eq!(next.path().await, "/idle/id/1");
        // No third connection can be dialed.
        drop(next);
    };
    let client = async {
        let mut tunnel = open(vec![near, second]).await.unwrap();
        tunnel.write_all(b"question").await.unwrap();
        tunnel.flush().await.unwrap();
        let mut answer = [0; 6];
        tunnel.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        let lost = tunnel.read(&mut answer).await.unwrap_err();
        assert_eq!(lost.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(tunnel.read(&mut answer).await.unwrap(), 0);
        let error = tunnel.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        tunnel.shutdown().await.unwrap();
    };
    tokio::join!(served, client);
}

#[tokio::test(start_paused = true)]
async fn bytes_written_after_a_refusal_use_the_next_connection() {
    let (near, mut peer) = Peer::pair();
    let (second, mut next) = Peer::pair();
    let served = async {
        peer.path().await;
        peer.answer(b"id\n").await;
        let mut answered = 0;
        // The first two answers with data let the client pipeline.
        while answered < 2 {
            assert_eq!(peer.path().await, format!("/idle/id/{answered}"));
            peer.answer(b"\x01ab").await;
            answered += 1;
        }
        assert_eq!(peer.path().await, "/idle/id/2");
        assert_eq!(peer.path().await, "/idle/id/3");
        peer.answer(b"\x01cd").await;
        let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        peer.stream.write_all(refusal).await.unwrap();
        assert_eq!(peer.request().await, None, "a request after the refusal");
        assert_eq!(next.path().await, "/idle/id/3");
        next.answer(b"\x01ef").await;
        let send = next.request().await.expect("the written bytes");
        assert_eq!(send, ("/send/id/4".into(), b"more".to_vec()));
        next.answer(b"\x01gh").await;
    };
    let client = async {
        let mut tunnel = open(vec![near, second]).await.unwrap();
        let mut buffer = [0; 8];
        for at in 0..3 {
            tunnel.read_exact(&mut buffer[2 * at..][..2]).await.unwrap();
        }
        // Let the refusal arrive.
        tokio::time::sleep(Duration::from_millis(1)).await;
        tunnel.write_all(b"more").await.unwrap();
        // The flush waits for the next connection.
        let poll_flush = |context: &mut Context<'_>| {
            let flushed = Pin::new(&mut tunnel).poll_flush(context);
            Poll::Ready(flushed.is_pending())
        };
        assert!(std::future::poll_fn(poll_flush).await);
        let mut rest = [0; 4];
        tunnel.read_exact(&mut rest).await.unwrap();
        assert_eq!((&buffer[..6], &rest), (&b"ababcd"[..], b"efgh"));
    };
    tokio::join!(served, client);
}

#[tokio::test(start_paused = true)]
async fn data_before_an_error_is_delivered_first() {
    let (mut tunnel, mut peer) = opened().await;
    let served = async {
        peer.path().await;
        let data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x01last";
        let answer = [&data[..], b"surplus"].concat();
        peer.stream.write_all(&answer).await.unwrap();
    };
    let client = async {
        let mut data = [0; 9];
        assert_eq!(tunnel.read(&mut data).await.unwrap(), 4);
        assert_eq!(&data[..4], b"last");
        tunnel.read(&mut data).await.unwrap_err().to_string()
    };
    let (error, ()) = tokio::join!(client, served);
    assert_eq!(error, Error::Surplus.to_string());
}

#[tokio::test(start_paused = true)]
async fn responses_of_any_length_arrive_unchanged() {
    let (mut tunnel, mut peer) = opened().await;
    let lengths = [1, 2, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 100_000, 7];
    let sent: Vec<u8> = (0..lengths.iter().sum())
        .map(|at| (at % 251) as u8)
        .collect();
    let served = async {
        let mut rest = &sent[..];
        for length in lengths {
            let (body, after) = rest.split_at(length);
            peer.path().await;
            peer.answer(&[b"\x01", body].concat()).await;
            rest = after;
        }
    };
    let mut received = vec![0; sent.len()];
    let (read, ()) = tokio::join!(tunnel.read_exact(&mut received), served);
    read.unwrap();
    assert!(received == sent);
}

#[tokio::test(start_paused = true)]
async fn no_data_is_requested_without_a_reader() {
    let (mut tunnel, mut peer) = opened().await;
    let served = async {
        let mut answers = 0;
        while peer.request().await.is_some() {
            peer.answer(&[1; 1000]).await;
            answers += 1;
            if answers == 10 {
                return;
            }
        }
    };
    let mut buffer = [0; 1000];
    let read_some = async {
        for _ in 0..5 {
            tunnel.read_exact(&mut buffer).await.unwrap();
        }
    };
    tokio::select! {
        () = served => panic!("the tunnel requests more than is read"),
        () = async { read_some.await; tokio::time::sleep(Duration::from_secs(60)).await } => {}
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_sends_the_remaining_bytes_and_close() {
    let (mut tunnel, mut peer) = opened().await;
    tunnel.write_all(b"last words").await.unwrap();
    let served = async {
        let send = peer.request().await.expect("a request");
        assert_eq!(send, ("/send/id/0".into(), b"last words".to_vec()));
        assert_eq!(peer.path().await, "/close/id/1");
        peer.answer(b"\x01ignored data").await;
        peer.answer(b"\0").await;
        peer.request().await
    };
    let (shut_down, after) = tokio::join!(
        async {
            let shut_down = tunnel.shutdown().await;
            drop(tunnel);
            shut_down
        },
        served
    );
    shut_down.unwrap();
    assert_eq!(after, None);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_open_fails_after_the_second_attempt() {
    let (near, peer) = Peer::pair();
    let (second, next) = Peer::pair();
    drop((peer, next));
    let error = open(vec![near, second]).await.unwrap_err();
    assert_eq!(error.to_string(), Error::Lost.to_string());
}

#[tokio::test(start_paused = true)]
async fn the_facts_describe_requests_and_connections() {
    let (near, mut peer) = Peer::pair();
    let (second, mut next) = Peer::pair();
    let served = async {
        peer.path().await;
        let head = "HTTP/1.0 200 OK\r\nServer: FlashCom/3.5.7\r\nContent-Length: 3\r\n\r\nid\n";
        peer.stream.write_all(head.as_bytes()).await.unwrap();
        drop(peer);
        next.path().await;
        next.answer(b"\x09").await;
        next.path().await;
        next.answer(b"\x01data").await;
        next
    };
    let read = async {
        let mut tunnel = open(vec![near, second]).await.unwrap();
        assert_eq!(tunnel.facts().connections, 1);
        assert_eq!(tunnel.facts().http_minor_version, Some(0));
        let mut data = [0; 4];
        tunnel.read_exact(&mut data).await.unwrap();
        tunnel
    };
    let (tunnel, _peer) = tokio::join!(read, served);
    let facts = tunnel.facts().clone();
    assert_eq!(facts.http_minor_version, Some(1));
    assert_eq!(facts.server.as_deref(), Some("FlashCom/3.5.7"));
    assert_eq!(facts.connections, 2);
    // The response with the data is complete, and the next request is sent.
    assert_eq!((facts.requests, facts.responses), (4, 3));
    assert_eq!(facts.responses_with_data, 1);
    let ms = Duration::from_millis;
    assert_eq!(facts.intervals, Some((ms(10), ms(90))));
    assert!(facts.keeps_connections);
    assert_eq!((facts.refusals, facts.max_in_flight), (0, 1));
}
