//! Detects missing sequence headers, and fetches them for a recorded stream.
//!
//! Some servers send the sequence headers only to clients that play a recorded stream from its
//! beginning. If the first frame after `--start` lacks its header, rtmpull plays the beginning of
//! the stream on a second connection until both headers are known. Meanwhile it does not read from
//! the first connection, so TCP holds the frames and nothing needs to be buffered here.

use std::{
    mem,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;
use tokio::time::timeout;

use super::Pump;
use crate::{
    core::{
        flv::{FrameInfo, TagKind},
        rtmp::{
            client::{
                Client, Event,
                config::{Config, Start},
            },
            message::Message,
        },
    },
    download::{
        Stop,
        connection::{Connection, Moved},
        outcome::EndCause,
    },
    transport::{Dialer, Route},
};

/// Where the same stream can be played once more.
pub(in crate::download) struct HeaderSource<'a> {
    pub(in crate::download) dialer: &'a Dialer,
    pub(in crate::download) route: &'a Route,
    pub(in crate::download) session: &'a Config,
}

/// Sequence headers that arrived, and frames that need one. All tracks of a kind count as one.
#[derive(Debug, Default)]
pub(super) struct HeaderCheck {
    video: TrackHeaders,
    audio: TrackHeaders,
    fetch: Fetch,
}

#[derive(Debug, Default)]
struct TrackHeaders {
    has_header: bool,
    /// Number of frames that need a header that has not arrived.
    frames: u32,
}

/// Search for the headers on another connection.
#[derive(Debug, Default)]
enum Fetch {
    #[default]
    NotTried,
    /// The search must start. The frame that lacks its header is handled after it.
    Due(Box<(Message, FrameInfo)>),
    Tried,
}

impl HeaderCheck {
    /// Assumes that all headers are present, because an existing recording contains them.
    pub(super) fn assume_present(&mut self) {
        self.video.has_header = true;
        self.audio.has_header = true;
    }

    /// Records a message. Warns once per track if frames continue to arrive without a header.
    pub(super) fn record(&mut self, info: FrameInfo) {
        let is_missing = self.is_missing(info);
        let Some(track) = self.track(info.track) else {
            return;
        };
        track.has_header |= info.is_sequence_header;
        if !is_missing {
            return;
        }
        track.frames = track.frames.saturating_add(1);
        if track.frames == FRAMES_BEFORE_WARNING {
            tracing::warn!(
                "no {} sequence header arrived, so players cannot decode the {0}",
                info.track
            );
        }
    }

    /// Whether a decoder needs a header for this frame and none has arrived.
    fn is_missing(&self, info: FrameInfo) -> bool {
        info.carries_media
            && !self.has_header(info.track)
            && info
                .codec
                .is_some_and(|codec| codec.needs_sequence_header())
    }

    fn has_header(&self, kind: TagKind) -> bool {
        match kind {
            TagKind::VIDEO => self.video.has_header,
            TagKind::AUDIO => self.audio.has_header,
            _ => true,
        }
    }

    /// Postpones a frame that lacks its header until the search for headers has finished.
    pub(super) fn postpone(&mut self, message: Message, info: FrameInfo) {
        self.fetch = Fetch::Due(Box::new((message, info)));
    }

    /// Returns the tracks with frames that cannot be decoded.
    pub(super) fn missing(&self) -> Vec<TagKind> {
        let tracks = [(TagKind::VIDEO, &self.video), (TagKind::AUDIO, &self.audio)];
        let missing = tracks
            .into_iter()
            .filter(|(_, track)| !track.has_header && track.frames > 0);
        missing.map(|(kind, _)| kind).collect()
    }

    fn track(&mut self, kind: TagKind) -> Option<&mut TrackHeaders> {
        match kind {
            TagKind::VIDEO => Some(&mut self.video),
            TagKind::AUDIO => Some(&mut self.audio),
            _ => None,
        }
    }

    /// Whether a search for headers must run before anything else is handled.
    pub(super) fn is_fetch_due(&self) -> bool {
        matches!(self.fetch, Fetch::Due(_))
    }
}

impl Pump<'_> {
    /// Whether the beginning of the stream may supply the header that this frame lacks.
    pub(super) fn must_fetch_headers(&self, info: FrameInfo) -> bool {
        matches!(self.headers.fetch, Fetch::NotTried)
            && self.range.start_ms > 0
            && self.rejoin.is_none()
            && self.headers.is_missing(info)
    }

    /// Searches for the headers if a search is due, then continues with the postponed frame.
    /// Returns whether a search was due.
    pub(super) async fn fetch_due_headers(
        &mut self,
        source: &HeaderSource<'_>,
        stop: &mut Stop,
    ) -> Result<bool, EndCause> {
        if !self.headers.is_fetch_due() {
            return Ok(false);
        }
        tracing::info!(
            "the stream has no sequence header, playing its beginning on another connection"
        );
        let reading = timeout(FETCH_TIMEOUT, read_headers(source));
        let found = self.meanwhile(reading, stop).await?;
        let now = self.check_limits()?;
        for (message, info) in found.ok().flatten().unwrap_or_default() {
            if !self.headers.has_header(info.track) {
                self.message(now, message, info)?;
            }
        }
        if let Fetch::Due(frame) = mem::replace(&mut self.headers.fetch, Fetch::Tried) {
            self.message(now, frame.0, frame.1)?;
        }
        Ok(true)
    }
}

/// Plays the beginning of the stream, and returns the headers before the first frames. Returns
/// `None` if the connection fails.
async fn read_headers(source: &HeaderSource<'_>) -> Option<Vec<(Message, FrameInfo)>> {
    let config = Config {
        start: Start::At { ms: 0 },
        length_ms: None,
        ..source.session.clone()
    };
    let dialed = source.dialer.dial(source.route).await;
    let stream = dialed
        .inspect_err(|error| tracing::debug!("no connection for the sequence headers: {error}"))
        .ok()?;
    let mut connection = Connection::new(stream);
    let mut rng: StdRng = rand::make_rng();
    let mut client = Client::new(config, Instant::now(), &mut rng);
    let mut found = Found::default();
    while !found.is_complete {
        client.poll_transmit(&mut connection.outbox).ok()?;
        let moved = connection.exchange(true).await.ok()?;
        found.receive(&mut client, &mut connection)?;
        if moved == Moved::Closed {
            break;
        }
    }
    client.close();
    if client.poll_transmit(&mut connection.outbox).is_ok() {
        connection.close().await;
    }
    Some(found.headers)
}

/// Headers at the beginning of a stream.
#[derive(Default)]
struct Found {
    headers: Vec<(Message, FrameInfo)>,
    frames: u32,
    has_video: bool,
    has_audio: bool,
    is_complete: bool,
}

impl Found {
    /// Handles everything in the inbox.
    fn receive(&mut self, client: &mut Client, connection: &mut Connection) -> Option<()> {
        while !self.is_complete {
            let received = client.receive(Instant::now(), &mut connection.inbox);
            let mut had_events = false;
            while let Some(event) = client.poll_event() {
                had_events = true;
                match event {
                    Event::Media { message, info } => self.add(message, info),
                    Event::Ended(_) | Event::Redirected(_) | Event::Reconnect { .. } => {
                        self.is_complete = true;
                    }
                    _ => {}
                }
            }
            received.ok()?;
            if !had_events {
                break;
            }
        }
        Some(())
    }

    /// Servers send the header of a track before its first frame. A track may be missing, so the
    /// number of frames is limited too.
    fn add(&mut self, message: Message, info: FrameInfo) {
        if info.is_sequence_header
            && self.headers.len() < MAX_HEADERS
            && message.payload.len() <= MAX_HEADER_BYTES
        {
            self.headers.push((message, info));
        } else if info.carries_media {
            self.frames += 1;
            self.has_video |= info.track == TagKind::VIDEO;
            self.has_audio |= info.track == TagKind::AUDIO;
            self.is_complete |= self.has_video && self.has_audio || self.frames >= MAX_FRAMES;
        }
    }
}

/// Time within which the headers must arrive on the other connection.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest number of headers that are kept.
const MAX_HEADERS: usize = 16;

/// Largest size of a header; usual ones have a few hundred bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Number of frames after which no further track is expected at the beginning of the stream.
const MAX_FRAMES: u32 = 50;

/// Number of frames after which a header counts as missing. Some servers send it a few frames late.
const FRAMES_BEFORE_WARNING: u32 = 25;
