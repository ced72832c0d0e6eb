//! The one loop: network → session → tags → output, with the timers and the user's wish to end.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Job, Progress, Report, Stop,
    ending::{Facts, Last},
    output::{Nature, Output},
    timeline::Timeline,
};
use crate::{
    amf::{Object, Value},
    flv::TagKind,
    rtmp::{
        client::{
            Client, Event,
            config::{Config, Start},
        },
        command::Redirect,
        handshake,
        message::{Kind, Message},
    },
};

/// What one connection ended with.
#[derive(Debug)]
pub(super) enum End {
    Last(Last),
    Redirected(Redirect),
}

/// What outlives a connection: the output, its clock, and what is known of the stream.
pub(super) struct Pump<'a> {
    pub(super) output: Output,
    pub(super) report: &'a mut dyn Report,
    timeline: Timeline,
    is_live_wanted: bool,
    is_recorded: bool,
    is_connected: bool,
    is_shaking_hands: bool,
    is_start_told: bool,
    has_media: bool,
    duration_ms: Option<u64>,
    pace: Pace,
}

/// The time between two video frames, or two audio frames where there is no video.
#[derive(Debug, Default)]
struct Pace {
    last_ms: Option<u64>,
    interval_ms: u64,
    is_of_video: bool,
}

impl<'a> Pump<'a> {
    pub(super) fn new(job: &Job, report: &'a mut dyn Report) -> Self {
        Self {
            output: Output::new(job.output.clone()),
            report,
            timeline: Timeline::new(job.keep_timestamps),
            is_live_wanted: job.session.start == Start::Live,
            is_recorded: false,
            is_connected: false,
            is_shaking_hands: true,
            is_start_told: false,
            has_media: false,
            duration_ms: None,
            pace: Pace::default(),
        }
    }

    /// Plays over `stream` until something ends it.
    pub(super) async fn run(
        &mut self,
        mut stream: TcpStream,
        client: &mut Client,
        stop: &mut Stop,
    ) -> End {
        let mut outbox = BytesMut::new();
        let end = self.exchange(&mut stream, client, &mut outbox, stop).await;
        self.is_shaking_hands = client.is_shaking_hands();
        client.leave();
        if client.poll_transmit(&mut outbox).is_ok() {
            say_goodbye(&mut stream, &outbox).await;
        }
        end
    }

    async fn exchange(
        &mut self,
        stream: &mut TcpStream,
        client: &mut Client,
        outbox: &mut BytesMut,
        stop: &mut Stop,
    ) -> End {
        let (mut reader, mut writer) = stream.split();
        let mut inbox = BytesMut::with_capacity(READ_BYTES + MAX_LEFT_OVER);
        let mut is_writable = true;
        loop {
            if let Err(error) = client.poll_transmit(outbox) {
                return End::Last(Last::Protocol(error));
            }
            // While a pipe's reader pauses nothing is read, so silence says nothing.
            let is_full = self.output.is_full();
            let session_deadline = client.poll_timeout().filter(|_| !is_full);
            let deadline = earliest(session_deadline, self.output.deadline());
            // What is left over is a part of a header: this moves it to the front, and never grows.
            inbox.reserve(READ_BYTES);
            tokio::select! {
                biased;
                () = stop.requested() => return End::Last(Last::Stopped),
                read = reader.read_buf(&mut inbox), if !is_full => match read {
                    Ok(0) => {
                        let between_messages = inbox.is_empty() && client.is_between_messages();
                        return End::Last(Last::PeerClosed { between_messages });
                    }
                    Ok(_) => {}
                    Err(error) => return End::Last(Last::Broken(error)),
                },
                written = writer.write_buf(outbox), if is_writable && !outbox.is_empty() => {
                    // What had arrived is still to be read; the end of it says what happened.
                    if let Err(error) = written {
                        tracing::debug!("cannot send: {error}");
                        is_writable = false;
                    }
                }
                waited = self.output.wait_for_reader(), if is_full => {
                    if let Err(error) = waited {
                        return End::Last(Last::Output(error));
                    }
                }
                () = sleep_until(deadline) => {}
            }
            if !is_writable {
                outbox.clear();
            }
            if let Some(end) = self.turn(client, &mut inbox, is_full) {
                return end;
            }
        }
    }

    /// Brings everything that has come to where it belongs, and acts on what is due.
    fn turn(&mut self, client: &mut Client, inbox: &mut BytesMut, was_full: bool) -> Option<End> {
        let now = Instant::now();
        loop {
            let received = client.receive(now, inbox);
            let had_events = match self.events(now, client) {
                Ok(had_events) => had_events,
                Err(end) => return Some(end),
            };
            if let Err(error) = received {
                return Some(End::Last(Last::Protocol(error)));
            }
            if !had_events {
                break;
            }
        }
        // A server that talks without end must not hide what does not come.
        if !was_full
            && client
                .poll_timeout()
                .is_some_and(|deadline| deadline <= now)
        {
            client.handle_timeout(now);
            if let Err(end) = self.events(now, client) {
                return Some(end);
            }
        }
        self.report_progress();
        match self.output.settle(now) {
            Ok(()) => None,
            Err(error) => Some(End::Last(Last::Output(error))),
        }
    }

    /// Acts on all that the session has to say; tells whether that was anything.
    fn events(&mut self, now: Instant, client: &mut Client) -> Result<bool, End> {
        let mut had_events = false;
        while let Some(event) = client.poll_event() {
            had_events = true;
            if let Some(end) = self.event(now, client, event) {
                return Err(end);
            }
            while let Some(payload) = self.output.take_spent() {
                client.recycle(payload);
            }
        }
        Ok(had_events)
    }

    fn event(&mut self, now: Instant, client: &mut Client, event: Event) -> Option<End> {
        let written = match event {
            Event::Media(message) => self.message(now, message),
            Event::Metadata { members, payload } => {
                client.recycle(payload);
                self.metadata(now, members)
            }
            Event::Connected => {
                self.is_connected = true;
                self.report.connected();
                Ok(())
            }
            Event::Recorded => {
                self.is_recorded = true;
                Ok(())
            }
            Event::Started | Event::Restarted => Ok(()),
            Event::Redirected(redirect) => return Some(End::Redirected(redirect)),
            Event::Ended(end) => return Some(End::Last(Last::Session(end))),
        };
        written.err().map(|error| End::Last(Last::Output(error)))
    }

    fn metadata(&mut self, now: Instant, metadata: Object) -> io::Result<()> {
        self.tell_start();
        self.report.metadata(&metadata);
        self.duration_ms = metadata.get("duration").and_then(duration_ms);
        let at_ms = self.timeline.companion();
        self.output.metadata(now, at_ms, metadata)
    }

    fn tell_start(&mut self) {
        if !self.is_start_told {
            self.is_start_told = true;
            self.report.started(self.is_live_wanted);
        }
    }

    /// The line that turns a message into a tag.
    fn message(&mut self, now: Instant, message: Message) -> io::Result<()> {
        let Message {
            kind,
            timestamp,
            payload,
            ..
        } = message;
        let nature = match kind {
            Kind::VIDEO => Nature::of_video(&payload),
            Kind::AUDIO => Nature::of_audio(&payload),
            _ => {
                let at_ms = self.timeline.companion();
                return self.output.script(now, at_ms, payload);
            }
        };
        if payload.is_empty() && !self.output.is_open() {
            return Ok(());
        }
        let at_ms = if nature.is_frame {
            let at_ms = self.timeline.frame(timestamp);
            self.pace.frame(nature.kind, at_ms);
            at_ms
        } else {
            self.timeline.companion()
        };
        self.has_media = true;
        self.tell_start();
        self.output.media(now, nature, at_ms, payload)
    }

    /// Whether the server closed during a digest handshake: very old ones know the plain one only. A
    /// silent server is not asked again.
    pub(super) fn is_hung_up_on(&self, last: &Last, session: &Config) -> bool {
        self.is_shaking_hands
            && session.handshake == handshake::Mode::Auto
            && matches!(last, Last::PeerClosed { .. } | Last::Broken(_))
    }

    /// What is known of the stream.
    pub(super) fn facts(&self) -> Facts {
        // A stream that nobody calls recorded is taken for a live one, once there is a stream.
        let is_called_recorded = self.is_recorded || self.duration_ms.is_some();
        Facts {
            is_live: self.is_live_wanted || self.has_media && !is_called_recorded,
            is_connected: self.is_connected,
            is_shaking_hands: self.is_shaking_hands,
            has_media: self.has_media,
            position_ms: self.timeline.position_ms(),
            duration_ms: self.duration_ms,
            frame_interval_ms: self.pace.interval_ms,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            bytes: self.output.written().0,
            position_ms: self.timeline.position_ms(),
            duration_ms: self.duration_ms,
        }
    }

    pub(super) fn report_progress(&mut self) {
        if self.has_media {
            let progress = self.progress();
            self.report.progress(&progress);
        }
    }
}

impl Pace {
    fn frame(&mut self, kind: TagKind, at_ms: u64) {
        let is_video = kind == TagKind::VIDEO;
        if self.is_of_video && !is_video {
            return;
        }
        if is_video && !self.is_of_video {
            *self = Self {
                is_of_video: true,
                ..Self::default()
            };
        }
        if let Some(last_ms) = self.last_ms {
            self.interval_ms = at_ms.saturating_sub(last_ms);
        }
        self.last_ms = Some(at_ms);
    }
}

/// A claimed duration in seconds, as milliseconds. 0 is what live servers send.
fn duration_ms(value: &Value) -> Option<u64> {
    let seconds = value.as_number()?;
    let is_plausible = seconds.is_finite() && seconds > 0.0 && seconds < MAX_DURATION_SECONDS;
    is_plausible.then(|| (seconds * 1000.0).round() as u64)
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Sends the last words. A peer that does not read is not waited for.
async fn say_goodbye(stream: &mut TcpStream, words: &[u8]) {
    let goodbye = async {
        stream.write_all(words).await?;
        stream.shutdown().await
    };
    if let Ok(Err(error)) = timeout(GOODBYE_PATIENCE, goodbye).await {
        tracing::debug!("cannot say goodbye: {error}");
    }
}

/// Read at a time: enough to make system calls rare, little enough to stay in the cache.
const READ_BYTES: usize = 256 * 1024;

/// More than a chunk header, which is all that is left over from one read to the next; a handshake
/// is left over once, and fits too.
const MAX_LEFT_OVER: usize = 4096;

/// How long the last words may take.
const GOODBYE_PATIENCE: Duration = Duration::from_millis(200);

/// A century: longer durations are nonsense.
const MAX_DURATION_SECONDS: f64 = 3.2e9;

#[cfg(test)]
mod tests;
