//! Conversion of FLV files, which may be damaged, to other files or a pipe.
//!
//! ```text
//! Reader ── SalvageWindow ── OutputClock ── Tee
//! (input)   (tags, garbage)  (times)        (the output of a download)
//! ```
//!
//! The tags of the input are treated as the messages of a recorded stream: the output is the same as that of a
//! download of this stream.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod damage;
mod input;
mod overlap;

use std::{io, time::Instant};

use jiff::Timestamp as WallTime;

pub use self::input::{Error, Input};
use self::{damage::Damage, input::Reader, overlap::Overlap};
use crate::{
    core::{
        amf::Object,
        flv::{
            FrameInfo, FrameParser, TrackFilter, TrackId, TrackSet, metadata_message,
            reader::TagView, salvage::Piece,
        },
        output_clock::OutputClock,
        payload::{Payload, Pool},
        rejoin::matcher::History,
        rtmp::message::Timestamp,
    },
    output::{Destination, FileOptions, PipeOptions, SegmentFacts, SegmentOptions, Stop, Tee},
};

/// One conversion with all defaults applied.
#[derive(Debug, Clone)]
pub struct Job {
    /// Inputs, which are joined in this order.
    pub inputs: Vec<Input>,
    /// Destination of the recording.
    pub output: Destination,
    /// Pipe that receives the same frames as a recording in files (`--tee`).
    pub pipe: Option<Destination>,
    /// Tracks to convert; `None` converts all.
    pub tracks: Option<TrackSet>,
    /// How files are written.
    pub file: FileOptions,
    /// How pipes and devices are written.
    pub pipe_options: PipeOptions,
    /// When a segment ends, and which program and manifest are notified.
    pub segments: SegmentOptions,
    /// Whether output times are the timestamps of the input.
    pub keep_timestamps: bool,
    /// Limits of the recording.
    pub limits: Limits,
}

/// Limits set by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Largest length in milliseconds.
    pub duration_ms: Option<u64>,
    /// Largest size of the output in bytes, all segments together.
    pub bytes: Option<u64>,
    /// Free space to keep on the output's disk, in bytes.
    pub min_free: Option<u64>,
}

/// Result of a conversion. Everything that was read is in the output.
#[derive(Debug)]
pub struct Outcome {
    /// Why the conversion ended.
    pub end: End,
    /// Number of audio and video frames read.
    pub frames: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Tags written.
    pub tags: u64,
    /// Duration of the output in milliseconds.
    pub position_ms: u64,
    /// Selected tracks that the input does not have.
    pub missing_tracks: Vec<TrackId>,
}

/// Why a conversion ended.
#[derive(Debug)]
pub enum End {
    /// All inputs are converted.
    Complete,
    /// A limit set by the user was reached.
    Limit,
    /// The user stopped the conversion.
    Stopped,
    /// An input cannot be read.
    Input {
        /// Name of the input.
        name: String,
        /// Cause.
        error: Error,
    },
    /// The output cannot be written.
    Output(io::Error),
}

/// Receiver of the events of a conversion.
pub trait Report {
    /// The metadata of the stream was read.
    fn metadata(&mut self, metadata: &Object);
    /// The first frame was read.
    fn started(&mut self);
    /// More data was converted. Called once per read from the input.
    fn progress(&mut self, progress: &Progress);
    /// A file of the output is complete.
    fn segment(&mut self, facts: &SegmentFacts);
}

/// Progress of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Number of audio and video frames read.
    pub frames: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Duration of the output so far, in milliseconds.
    pub position_ms: u64,
    /// Bytes read from all inputs.
    pub read: u64,
    /// Length of all inputs together; `None` if one of them is a pipe.
    pub length: Option<u64>,
}

/// Converts all inputs in order. The output contains everything that was read, even if the conversion ends early.
pub async fn run(job: &Job, report: &mut dyn Report, mut stop: Stop) -> Outcome {
    let mut converter = Converter::new(job, report);
    let converted = converter.convert(job, &mut stop).await;
    let finished = converter.output.finish_unless_stopped(&mut stop).await;
    let end = match (converted, finished) {
        (Err(end @ End::Output(_)), _) => end,
        (_, Err(error)) => End::Output(error),
        (_, Ok(true)) => End::Stopped,
        (Err(end), Ok(false)) => end,
        (Ok(()), Ok(false)) => End::Complete,
    };
    converter.report_progress();
    let missing = converter.filter.as_ref().map(TrackFilter::missing);
    let missing = missing.unwrap_or_default();
    for track in &missing {
        tracing::warn!("the input has no track {track}, which --tracks selects");
    }
    converter
        .output
        .finish_hooks_unless_stopped(&mut stop)
        .await;
    let totals = converter.output.totals();
    Outcome {
        end,
        frames: converter.frames,
        bytes: totals.bytes,
        tags: totals.tags,
        position_ms: converter.clock.position_ms(),
        missing_tracks: missing,
    }
}

/// State of a conversion across all inputs.
struct Converter<'a> {
    output: Tee,
    report: &'a mut dyn Report,
    clock: OutputClock,
    limits: Limits,
    /// Output time of the first frame.
    first_ms: Option<u64>,
    frames: u64,
    /// Number of bytes read from the inputs before the current one.
    read_before: u64,
    read: u64,
    length: Option<u64>,
    parser: FrameParser,
    /// Removes the tracks that are not converted.
    filter: Option<TrackFilter>,
    damage: Damage,
    /// Whether a frame of the current input was read.
    has_frame: bool,
    /// The frame whose output time depends on the next frame.
    held: Option<Message>,
    /// The latest frames written; kept only if another input may repeat them.
    history: Option<History>,
    overlap: Overlap,
    pool: Pool,
}

/// A message of the input.
struct Message {
    info: FrameInfo,
    timestamp: Timestamp,
    payload: Payload,
}

impl<'a> Converter<'a> {
    fn new(job: &Job, report: &'a mut dyn Report) -> Self {
        Self {
            output: Tee::new(
                job.output.clone(),
                job.pipe.clone(),
                &job.segments,
                (job.file, job.pipe_options),
                job.limits.min_free,
            ),
            report,
            clock: OutputClock::new(job.keep_timestamps),
            limits: job.limits,
            first_ms: None,
            frames: 0,
            read_before: 0,
            read: 0,
            length: Some(0),
            parser: FrameParser::new(),
            filter: job.tracks.map(TrackFilter::new),
            damage: Damage::default(),
            has_frame: false,
            held: None,
            history: (job.inputs.len() > 1).then(History::default),
            overlap: Overlap::Decided,
            pool: Pool::default(),
        }
    }

    async fn convert(&mut self, job: &Job, stop: &mut Stop) -> Result<(), End> {
        for input in &job.inputs {
            let length = input.check().map_err(|error| input_end(input, error))?;
            self.length = self.length.zip(length).map(|(a, b)| a.saturating_add(b));
        }
        let is_split = job.segments.has_split_condition();
        let checked = job.pipe.iter().map(|pipe| pipe.check(false));
        checked
            .chain([job.output.check(is_split)])
            .collect::<io::Result<()>>()
            .map_err(End::Output)?;
        for input in &job.inputs {
            self.clock.restart();
            if input.can_be_reopened() {
                self.search_overlap();
            }
            self.convert_input(input, stop).await?;
            if matches!(self.overlap, Overlap::Missing) {
                self.overlap = Overlap::Decided;
                self.convert_input(input, stop).await?;
            }
        }
        match job.inputs.first() {
            Some(input) if self.frames == 0 => Err(input_end(input, Error::NoMedia)),
            _ => Ok(()),
        }
    }

    async fn convert_input(&mut self, input: &Input, stop: &mut Stop) -> Result<(), End> {
        let mut reader = Reader::open(input).map_err(|error| input_end(input, error))?;
        self.parser = FrameParser::new();
        self.damage = Damage::default();
        self.has_frame = false;
        let mut copied = self.copy(input, &mut reader, stop).await;
        if copied.is_ok() {
            copied = self.conclude_overlap(Instant::now());
        }
        if matches!(self.overlap, Overlap::Missing) {
            return copied;
        }
        // Frames before an error or a stop request are part of the output.
        let released = self.release_held(Instant::now());
        self.read_before = self.read;
        self.damage.log(input, copied.is_ok());
        copied.and(released)
    }

    async fn copy(
        &mut self,
        input: &Input,
        reader: &mut Reader,
        stop: &mut Stop,
    ) -> Result<(), End> {
        let cannot_read = |error| input_end(input, error);
        loop {
            let now = Instant::now();
            self.output.set_wall_clock(WallTime::now());
            self.output.check_free_space(now).map_err(End::Output)?;
            while let Some(piece) = reader.next().map_err(cannot_read)? {
                self.convert_piece(now, piece)?;
                if matches!(self.overlap, Overlap::Missing) {
                    return Ok(());
                }
            }
            self.output.flush_due(now).map_err(End::Output)?;
            self.read = self.read_before.saturating_add(reader.bytes());
            self.report_progress();
            if reader.is_at_end() {
                return Ok(());
            }
            let waits_for_reader = self.output.is_full() || self.output.is_behind();
            let may_read = !self.output.is_full();
            let deadline = self.output.deadline();
            tokio::select! {
                biased;
                () = stop.requested() => return Err(End::Stopped),
                waited = self.output.wait_for_reader(), if waits_for_reader => {
                    waited.map_err(End::Output)?;
                }
                read = reader.fill(), if may_read => read.map_err(cannot_read)?,
                () = sleep_until(deadline) => {}
            }
        }
    }

    fn convert_piece(&mut self, now: Instant, piece: Piece<'_>) -> Result<(), End> {
        match piece {
            Piece::Garbage(bytes) => {
                self.damage.garbage(bytes);
                Ok(())
            }
            Piece::Tag {
                tag, is_size_wrong, ..
            } => {
                self.damage.tag(&tag, is_size_wrong);
                if tag.header.is_filtered {
                    return Ok(());
                }
                self.convert_tag(now, &tag)
            }
        }
    }

    fn convert_tag(&mut self, now: Instant, tag: &TagView<'_>) -> Result<(), End> {
        while let Some(spent) = self.output.take_spent() {
            self.pool.put(spent);
        }
        if let Some((mut fields, start)) = tag.metadata() {
            let filter = self.filter.as_ref();
            if filter.is_some_and(|filter| filter.selected().filter_metadata(&mut fields))
                && let Some(filtered) = metadata_message(&fields)
            {
                return self.metadata(now, &fields, &filtered);
            }
            return self.metadata(now, &fields, tag.body.get(start..).unwrap_or_default());
        }
        let mut info = self.parser.parse(tag.header.kind, tag.body);
        let mut payload = self.payload(tag.body);
        if let Some(filter) = &mut self.filter {
            match filter.apply(info, &mut payload) {
                Some(filtered) => info = filtered,
                None => {
                    self.pool.put(payload);
                    return Ok(());
                }
            }
        }
        let message = Message {
            info,
            // FLV allows negative timestamps. The clock compares times by serial arithmetic.
            timestamp: Timestamp(tag.header.timestamp_ms.cast_unsigned()),
            payload,
        };
        self.message(now, message)
    }

    fn payload(&mut self, body: &[u8]) -> Payload {
        let mut payload = self.pool.take(body.len());
        payload.extend_from_slice(body);
        payload
    }

    /// Writes metadata. The first file describes the complete recording, so the metadata at the start of the
    /// other ones is left out.
    fn metadata(&mut self, now: Instant, fields: &Object, body: &[u8]) -> Result<(), End> {
        let is_of_overlap = !matches!(self.overlap, Overlap::Decided);
        if is_of_overlap || self.frames > 0 && !self.has_frame {
            return Ok(());
        }
        let payload = self.payload(body);
        self.report.metadata(fields);
        let at_ms = self.clock.script_time();
        self.ensure_within_size(FrameInfo::SCRIPT, at_ms, &payload)?;
        let written = self.output.metadata(now, at_ms, fields, payload);
        written.map_err(End::Output)
    }

    /// Compares a message with the previous input, or writes it.
    fn message(&mut self, now: Instant, message: Message) -> Result<(), End> {
        self.has_frame |= message.info.carries_media;
        match self.match_message(now, message)? {
            Some(message) => self.assign_time(now, message),
            None => Ok(()),
        }
    }

    /// Assigns an output time to a message and writes it, or holds it until its time is known.
    fn assign_time(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let info = message.info;
        if !info.carries_media {
            // A decoder applies a sequence header to the frames after it.
            let held = self.held.as_ref();
            if held.is_some_and(|held| held.info.track == info.track) {
                self.release_held(now)?;
            }
            let at_ms = self.clock.header_time(info, message.timestamp);
            return self.write(now, at_ms, message);
        }
        self.count_frame(info);
        let times = self.clock.frame(info.track, message.timestamp, now, false);
        if let Some(at_ms) = times.held
            && let Some(held) = self.held.take()
        {
            self.write(now, at_ms, held)?;
        }
        let Some(at_ms) = times.frame else {
            self.held = Some(message);
            return Ok(());
        };
        self.write(now, at_ms, message)
    }

    fn count_frame(&mut self, info: FrameInfo) {
        if !info.carries_media {
            return;
        }
        if self.frames == 0 {
            self.report.started();
        }
        self.frames = self.frames.saturating_add(1);
    }

    /// Writes the frame that is held for its output time, if any.
    fn release_held(&mut self, now: Instant) -> Result<(), End> {
        match self.clock.release().zip(self.held.take()) {
            Some((at_ms, held)) => self.write(now, at_ms, held),
            None => Ok(()),
        }
    }

    fn write(&mut self, now: Instant, at_ms: u64, message: Message) -> Result<(), End> {
        let Message { info, payload, .. } = message;
        if info.carries_media {
            let first_ms = *self.first_ms.get_or_insert(at_ms);
            let length_ms = at_ms.saturating_sub(first_ms);
            if self
                .limits
                .duration_ms
                .is_some_and(|most_ms| length_ms >= most_ms)
            {
                return Err(End::Limit);
            }
        } else if self.history.is_some() && self.output.has_sequence_header(info, &payload) {
            // Joined inputs usually have the same sequence headers.
            self.pool.put(payload);
            return Ok(());
        }
        self.ensure_within_size(info, at_ms, &payload)?;
        self.note_written(info, at_ms, &payload);
        let written = self.output.media(now, info, at_ms, payload);
        written.map_err(End::Output)
    }

    fn ensure_within_size(
        &mut self,
        info: FrameInfo,
        at_ms: u64,
        payload: &Payload,
    ) -> Result<(), End> {
        match self.limits.bytes {
            Some(most) if self.output.bytes_with(info, at_ms, payload) > most => Err(End::Limit),
            _ => Ok(()),
        }
    }

    fn report_progress(&mut self) {
        while let Some(facts) = self.output.take_segment() {
            self.report.segment(&facts);
        }
        // Only the reader of a live stream's pipe can miss frames.
        let _none = self.output.take_gap();
        if self.frames > 0 {
            self.report.progress(&Progress {
                frames: self.frames,
                bytes: self.output.totals().bytes,
                position_ms: self.clock.position_ms(),
                read: self.read,
                length: self.length,
            });
        }
    }
}

fn input_end(input: &Input, error: Error) -> End {
    End::Input {
        name: input.name(),
        error,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
