use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// The server's end of a connection.
struct Peer {
    pipe: DuplexStream,
    inbox: Vec<u8>,
}

impl Peer {
    fn pair() -> (DuplexStream, Self) {
        let (near, pipe) = duplex(4 * 1024);
        let inbox = Vec::new();
        (near, Self { pipe, inbox })
    }

    /// The address of the next request, and its body; none where the client has left.
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
            if self.pipe.read_buf(&mut self.inbox).await.ok()? == 0 {
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
        // A client that has left needs none.
        let _ = self.pipe.write_all(&answer).await;
    }
}

/// Opens a tunnel over the first of `pipes`; the others are dialled in turn.
async fn open(mut pipes: Vec<DuplexStream>) -> io::Result<Tunnel<DuplexStream>> {
    let first = pipes.remove(0);
    let pipes = Arc::new(Mutex::new(pipes.into_iter()));
    let dial = move || -> Dialing<DuplexStream> {
        let next = pipes.lock().unwrap().next();
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
async fn a_silent_stream_is_asked_for_twice_a_second() {
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
async fn bytes_go_both_ways_over_one_connection_after_the_other() {
    let (near, mut peer) = Peer::pair();
    let (again, mut next) = Peer::pair();
    let served = async {
        peer.path().await;
        peer.answer(b"id\n").await;
        assert_eq!(peer.path().await, "/send/id/0");
        drop(peer);
        let send = next.request().await.expect("once more");
        assert_eq!(send, ("/send/id/0".into(), b"question".to_vec()));
        next.answer(b"\x01answer").await;
        assert_eq!(next.path().await, "/idle/id/1");
        // Nobody goes on here.
        drop(next);
    };
    let asked = async {
        let mut tunnel = open(vec![near, again]).await.unwrap();
        tunnel.write_all(b"question").await.unwrap();
        tunnel.flush().await.unwrap();
        let mut answer = [0; 6];
        tunnel.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        let gone = tunnel.read(&mut answer).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(tunnel.read(&mut answer).await.unwrap(), 0);
        let error = tunnel.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        tunnel.shutdown().await.unwrap();
    };
    tokio::join!(served, asked);
}

#[tokio::test(start_paused = true)]
async fn answers_of_any_length_come_as_they_are() {
    let (mut tunnel, mut peer) = opened().await;
    let lengths = [1, 2, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 100_000, 7];
    let said: Vec<u8> = (0..lengths.iter().sum())
        .map(|at| (at % 251) as u8)
        .collect();
    let served = async {
        let mut rest = &said[..];
        for length in lengths {
            let (now, then) = rest.split_at(length);
            peer.path().await;
            peer.answer(&[b"\x01", now].concat()).await;
            rest = then;
        }
    };
    let mut heard = vec![0; said.len()];
    let (read, ()) = tokio::join!(tunnel.read_exact(&mut heard), served);
    read.unwrap();
    assert!(heard == said);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_while_nobody_reads() {
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
    let some = async {
        for _ in 0..5 {
            tunnel.read_exact(&mut buffer).await.unwrap();
        }
    };
    tokio::select! {
        () = served => panic!("more is asked for than is read"),
        () = async { some.await; tokio::time::sleep(Duration::from_secs(60)).await } => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_is_told_of_the_end() {
    let (mut tunnel, mut peer) = opened().await;
    tunnel.write_all(b"last words").await.unwrap();
    let served = async {
        let words = peer.request().await.expect("words");
        assert_eq!(words, ("/send/id/0".into(), b"last words".to_vec()));
        assert_eq!(peer.path().await, "/close/id/1");
        peer.answer(b"\x01much that nobody wants").await;
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
async fn open_without_an_answer_is_told_after_the_second_time() {
    let (near, peer) = Peer::pair();
    let (again, next) = Peer::pair();
    drop((peer, next));
    let error = open(vec![near, again]).await.unwrap_err();
    assert_eq!(error.to_string(), Error::Lost.to_string());
}
