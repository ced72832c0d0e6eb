//! Prepared bytes, sent in real time to many players by one thread.

use std::{
    fmt,
    io::ErrorKind,
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use super::{
    clip::{Clip, Tag},
    connection::{Connection, Disconnected},
    replay::{Replay, Round},
};

/// Live stream that every player receives from its beginning, in real time.
pub struct LiveReplay {
    sequence_headers: [Vec<u8>; 2],
    round: Round,
    rounds: u64,
    players: Arc<Mutex<Vec<Player>>>,
}

/// A player that receives the stream.
struct Player {
    socket: Weak<TcpStream>,
    start: Instant,
    /// Number of messages that were sent.
    sent: u64,
    /// Sent bytes of the next message.
    offset: usize,
}

impl LiveReplay {
    /// Creates a stream that repeats the frames of `clip` `rounds` times.
    pub fn looping(clip: &Clip, rounds: u64) -> Self {
        let players = Arc::new(Mutex::new(Vec::new()));
        let round = Round::of_frames(Replay::CLIP_CHUNK_SIZE as usize, clip);
        let live = Self {
            sequence_headers: super::replay::sequence_headers(clip),
            round,
            rounds,
            players,
        };
        live.start_sending();
        live
    }

    /// Returns the chunk size that the server must announce.
    pub fn chunk_size(&self) -> u32 {
        Replay::CLIP_CHUNK_SIZE
    }

    /// Returns 1 Mbit/s of H.264 and AAC: a GOP of two seconds.
    pub fn megabit() -> Clip {
        let mut clip = Replay::clip(2);
        let mut pictures = 0;
        for tag in &mut clip.tags {
            if tag.kind == Tag::VIDEO && !tag.is_sequence_header() {
                let is_first = pictures == 0;
                tag.body
                    .truncate(if is_first { KEYFRAME_LEN } else { FRAME_LEN });
                tag.body[0] = if is_first { 0x17 } else { 0x27 };
                let unit_len = tag.body.len() as u32 - 9;
                tag.body[5..9].copy_from_slice(&unit_len.to_be_bytes());
                tag.body[9] = if is_first { 0x65 } else { 0x41 };
                pictures += 1;
            }
        }
        clip
    }

    /// Sends the complete stream. Returns after the last message.
    pub fn send(&self, connection: &mut Connection) -> Result<(), Disconnected> {
        let [audio, video] = &self.sequence_headers;
        Replay::queue_sequence_headers(connection, 0, audio, video)?;
        connection.flush()?;
        let start = Instant::now();
        self.players
            .lock()
            .expect("the lock is not poisoned")
            .push(Player {
                socket: connection.weak_socket(),
                start,
                sent: 0,
                offset: 0,
            });
        let length = Duration::from_millis(self.rounds * u64::from(self.round.length_ms));
        let end = start + length + END_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            connection.receive(left.min(Duration::from_secs(5)))?;
        }
    }

    /// Starts the thread that sends to all players. It ends with the stream.
    fn start_sending(&self) {
        let players = Arc::downgrade(&self.players);
        let (round, rounds) = (self.round.clone(), self.rounds);
        thread::spawn(move || {
            while let Some(players) = players.upgrade() {
                let mut players = players.lock().expect("the lock is not poisoned");
                players.retain_mut(|player| player.send_due(&round, rounds));
                drop(players);
                thread::sleep(TICK);
            }
        });
    }
}

impl Player {
    /// Sends the messages that are due, and returns whether more follow.
    fn send_due(&mut self, round: &Round, rounds: u64) -> bool {
        let Some(socket) = self.socket.upgrade() else {
            return false;
        };
        let passed = self.start.elapsed().as_millis() as u64;
        let messages = round.ends.len() as u64;
        while self.sent < rounds * messages {
            let index = (self.sent % messages) as usize;
            let due = self.sent / messages * u64::from(round.length_ms)
                + u64::from(round.times_ms[index]);
            if due > passed {
                return true;
            }
            let begin = index.checked_sub(1).map_or(0, |before| round.ends[before]);
            let bytes = &round.chunks[begin + self.offset..round.ends[index]];
            match send_now(&socket, bytes) {
                Ok(count) if count == bytes.len() => {
                    self.sent += 1;
                    self.offset = 0;
                }
                Ok(count) => self.offset += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => {
                    let _ = socket.shutdown(Shutdown::Both);
                    return false;
                }
            }
        }
        false
    }
}

impl fmt::Debug for LiveReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveReplay({} rounds)", self.rounds)
    }
}

/// Writes as many bytes as the socket accepts at once. The socket itself is in blocking mode.
#[cfg(target_os = "linux")]
fn send_now(socket: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    const MSG_DONTWAIT: i32 = 0x40;
    socket2::SockRef::from(socket).send_with_flags(bytes, MSG_DONTWAIT)
}

#[cfg(not(target_os = "linux"))]
fn send_now(mut socket: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    std::io::Write::write(&mut socket, bytes)
}

/// Time between two looks for due messages.
const TICK: Duration = Duration::from_millis(5);

/// Time from the last message to the end signals.
const END_PAUSE: Duration = Duration::from_millis(500);

/// Lengths of pictures, for 872 kbit/s besides 128 kbit/s of audio.
const KEYFRAME_LEN: usize = 30_000;
const FRAME_LEN: usize = 3_837;
