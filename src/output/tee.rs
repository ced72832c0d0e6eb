//! All that one download is written to: the recording, and a pipe beside it.

use std::{io, time::Instant};

use jiff::Timestamp;

use super::Gap;
use super::{
    Destination, ExistingFile, FileOptions, Recording, SegmentFacts, SegmentOptions, Totals,
};
use crate::core::{
    amf::Object,
    flv::FrameInfo,
    payload::{Payload, Pool},
};

/// The recording, which everything that is asked of an output is asked of, and perhaps a pipe that gets
/// the same tags.
///
/// The recording is what must not be lost: a pipe beside it that is slow lacks frames, or has the
/// network wait, and one that breaks is given up.
#[derive(Debug)]
pub(crate) struct Tee {
    recording: Recording,
    beside: Option<Beside>,
    /// What went wrong with the recording while the pipe was still waited for.
    failure: Option<io::Error>,
}

/// A pipe beside a recording in files.
#[derive(Debug)]
struct Beside {
    output: Recording,
    /// Spent copies, for the next ones.
    pool: Pool,
}

impl Tee {
    /// A recording into `destination`, and a pipe to `beside`.
    pub(crate) fn new(
        destination: Destination,
        parts: &SegmentOptions,
        beside: Option<Destination>,
    ) -> Self {
        Self {
            recording: Recording::new(destination, parts),
            beside: beside.map(Beside::new),
            failure: None,
        }
    }

    /// See [`Recording::allow_backlog`].
    pub(crate) fn allow_backlog(&mut self, backlog_bytes: usize) {
        self.pipe().allow_backlog(backlog_bytes);
    }

    /// See [`Recording::resume_from`]. The pipe gets what is new.
    pub(crate) fn resume_from(&mut self, file: ExistingFile) {
        self.recording.resume_from(file);
    }

    /// See [`Recording::set_file_options`].
    pub(crate) fn set_file_options(&mut self, options: FileOptions) {
        self.recording.set_file_options(options);
    }

    /// See [`Recording::keep_free`].
    pub(crate) fn keep_free(&mut self, bytes: u64) {
        self.recording.keep_free(bytes);
    }

    /// See [`Recording::check_free_space`].
    pub(crate) fn check_free_space(&mut self, now: Instant) -> io::Result<()> {
        self.recording.check_free_space(now)
    }

    /// See [`Recording::set_wall_clock`].
    pub(crate) fn set_wall_clock(&mut self, wall: Timestamp) {
        self.recording.set_wall_clock(wall);
        if let Some(beside) = &mut self.beside {
            beside.output.set_wall_clock(wall);
        }
    }

    /// See [`Recording::request_split`].
    pub(crate) fn request_split(&mut self) {
        self.recording.request_split();
    }

    /// See [`Recording::bytes_with`].
    pub(crate) fn bytes_with(&mut self, info: FrameInfo, at_ms: u64, payload: &Payload) -> u64 {
        self.recording.bytes_with(info, at_ms, payload)
    }

    /// What is in the recording.
    pub(crate) fn totals(&self) -> Totals {
        self.recording.totals()
    }

    /// See [`Recording::take_segment`].
    pub(crate) fn take_segment(&mut self) -> Option<SegmentFacts> {
        self.recording.take_segment()
    }

    /// What the recording lacks. What a pipe beside it lacks is only logged.
    pub(crate) fn take_gap(&mut self) -> Option<Gap> {
        if let Some(beside) = &mut self.beside {
            while let Some(gap) = beside.output.take_gap() {
                tell(&gap);
            }
        }
        self.recording.take_gap()
    }

    /// See [`Recording::metadata`].
    pub(crate) fn metadata(
        &mut self,
        now: Instant,
        at_ms: u64,
        members: Object,
        payload: Payload,
    ) -> io::Result<()> {
        self.with_pipe(|beside| {
            let copy = beside.copy(&payload);
            beside.output.metadata(now, at_ms, members.clone(), copy)
        });
        self.recording.metadata(now, at_ms, members, payload)
    }

    /// See [`Recording::media`]. The pipe comes first: it gets what a full disk does not take.
    pub(crate) fn media(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: u64,
        payload: Payload,
    ) -> io::Result<()> {
        self.with_pipe(|beside| beside.media(now, info, at_ms, &payload));
        self.recording.media(now, info, at_ms, payload)
    }

    /// SequenceHeaders that the recording may have already: a pipe that has not begun does not.
    pub(crate) fn prepare_pipe(&mut self, now: Instant, info: FrameInfo, payload: &Payload) {
        if info.is_sequence_header {
            self.with_pipe(|beside| match beside.output.part {
                None => beside.media(now, info, 0, payload),
                Some(_) => Ok(()),
            });
        }
    }

    /// See [`Recording::has_sequence_header`].
    pub(crate) fn has_sequence_header(&self, info: FrameInfo, payload: &Payload) -> bool {
        self.recording.has_sequence_header(info, payload)
    }

    /// When [`Tee::flush_due`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let beside = self.beside.as_ref();
        let of_pipe = beside.and_then(|beside| beside.output.deadline());
        self.recording.deadline().into_iter().chain(of_pipe).min()
    }

    /// See [`Recording::flush_due`].
    pub(crate) fn flush_due(&mut self, now: Instant) -> io::Result<()> {
        self.with_pipe(|beside| beside.output.flush_due(now));
        self.recording.flush_due(now)
    }

    /// See [`Recording::is_full`].
    pub(crate) fn is_full(&self) -> bool {
        let beside = self.beside.as_ref();
        beside
            .map_or(&self.recording, |beside| &beside.output)
            .is_full()
    }

    /// See [`Recording::is_behind`].
    pub(crate) fn is_behind(&self) -> bool {
        let beside = self.beside.as_ref();
        beside
            .map_or(&self.recording, |beside| &beside.output)
            .is_behind()
    }

    /// See [`Recording::wait_for_reader`].
    pub(crate) async fn wait_for_reader(&mut self) -> io::Result<()> {
        let Some(beside) = &mut self.beside else {
            return self.recording.wait_for_reader().await;
        };
        let waited = beside.output.wait_for_reader().await;
        self.with_pipe(|_| waited);
        Ok(())
    }

    /// See [`Recording::recycle`].
    pub(crate) fn recycle(&mut self, payload: Payload) {
        self.recording.recycle(payload);
    }

    /// See [`Recording::take_spent`].
    pub(crate) fn take_spent(&mut self) -> Option<Payload> {
        self.recording.take_spent()
    }

    /// See [`Recording::finish`]. The recording waits for no reader, and an error is its own.
    pub(crate) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(beside) = &mut self.beside else {
            return self.recording.finish(deadline).await;
        };
        let (recording, failure) = (&mut self.recording, &mut self.failure);
        // Whoever waits for the reader may lose patience and call again: nothing is to be forgotten.
        let finished = async {
            if let Err(error) = recording.finish(deadline).await {
                failure.get_or_insert(error);
            }
        };
        let ((), taken) = tokio::join!(finished, beside.output.finish(deadline));
        self.with_pipe(|_| taken);
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Whether a pipe's reader has taken all that was sent.
    #[cfg(test)]
    pub(crate) fn is_drained(&mut self) -> bool {
        self.pipe().pipe().is_none_or(super::pipe::Pipe::is_idle)
    }

    /// See [`Recording::finish_hooks`].
    pub(crate) async fn finish_hooks(&mut self, deadline: Instant) {
        self.recording.finish_hooks(deadline).await;
    }

    /// See [`Recording::abandon_hooks`].
    pub(crate) fn abandon_hooks(&self) {
        self.recording.abandon_hooks();
    }

    /// The output that may be a pipe.
    fn pipe(&mut self) -> &mut Recording {
        match &mut self.beside {
            Some(beside) => &mut beside.output,
            None => &mut self.recording,
        }
    }

    /// Does something with the pipe beside the recording, and gives it up where that fails.
    fn with_pipe(&mut self, work: impl FnOnce(&mut Beside) -> io::Result<()>) {
        let worked = self.beside.as_mut().map_or(Ok(()), work);
        if let Err(error) = worked {
            self.give_up_pipe(&error);
        }
    }

    #[cold]
    fn give_up_pipe(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                tracing::info!(
                    "the reader of the pipe has left, the recording goes on in the file"
                );
            }
            io::ErrorKind::TimedOut => {
                tracing::warn!("the reader of the pipe did not take all; the file has it");
            }
            _ => tracing::warn!(
                "the pipe cannot be written, the recording goes on in the file: {error}"
            ),
        }
        self.beside = None;
    }
}

impl Beside {
    fn new(destination: Destination) -> Self {
        Self {
            output: Recording::new(destination, &SegmentOptions::none()),
            pool: Pool::default(),
        }
    }

    fn media(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: u64,
        payload: &Payload,
    ) -> io::Result<()> {
        if self.is_foretold(info, payload) {
            return Ok(());
        }
        let copy = self.copy(payload);
        self.output.media(now, info, at_ms, copy)
    }

    fn is_foretold(&self, info: FrameInfo, payload: &Payload) -> bool {
        self.output.part.is_none() && self.output.has_sequence_header(info, payload)
    }

    fn copy(&mut self, payload: &Payload) -> Payload {
        while let Some(spent) = self.output.take_spent() {
            self.pool.put(spent);
        }
        let mut copy = self.pool.take(payload.len());
        copy.extend_from_slice(payload);
        copy
    }
}

/// A gap of the pipe alone.
fn tell(gap: &Gap) {
    tracing::warn!(
        "the reader of the pipe is too slow: it lacks {:.1} s from {:.1} s on, which the file has",
        gap.length_ms as f64 / 1000.0,
        gap.at_ms as f64 / 1000.0
    );
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        fs,
        io::{PipeReader, PipeWriter, Read},
        os::fd::AsRawFd,
        path::PathBuf,
        time::Duration,
    };

    use super::*;
    use crate::core::flv::{FrameParser, TagKind};

    const CONFIGURATION: [u8; 12] = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 13, 0xFF, 0xE0, 0];
    const KEYFRAME: [u8; 10] = [0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65];

    /// A file, and a pipe beside it whose far end is held here.
    struct Fixture {
        outputs: Tee,
        folder: tempfile::TempDir,
        writer: PipeWriter,
        reader: PipeReader,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("out.flv");
            Self::into(file, folder)
        }

        fn into(file: PathBuf, folder: tempfile::TempDir) -> Self {
            let (reader, writer) = io::pipe().unwrap();
            let pipe = Destination::Path(format!("/dev/fd/{}", writer.as_raw_fd()).into());
            Self {
                outputs: Tee::new(Destination::Path(file), &SegmentOptions::none(), Some(pipe)),
                folder,
                writer,
                reader,
                now: Instant::now(),
            }
        }

        fn video(&mut self, at_ms: u64, body: &[u8]) -> io::Result<()> {
            let info = FrameParser::new().parse(TagKind::VIDEO, body);
            self.outputs
                .media(self.now, info, at_ms, Payload::from(body))
        }

        /// The tags of the file.
        fn file(&self) -> Vec<u8> {
            let file = fs::read(self.folder.path().join("out.flv")).unwrap();
            file[crate::core::flv::head::LENGTH..].to_vec()
        }

        /// All that has gone through the pipe.
        fn piped(self) -> Vec<u8> {
            drop((self.outputs, self.writer));
            let (mut bytes, mut reader) = (Vec::new(), self.reader);
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        }
    }

    #[tokio::test]
    async fn both_get_the_same_tags() {
        let mut fixture = Fixture::new();
        fixture.video(0, &CONFIGURATION).unwrap();
        for at_ms in [0, 40, 80] {
            fixture.video(at_ms, &KEYFRAME).unwrap();
        }
        fixture.outputs.finish(None).await.unwrap();
        let file = fixture.file();
        assert_eq!(file.len(), 12 + 3 * 10 + 4 * 15);
        let written = fixture.outputs.totals();
        assert_eq!(written.tags, 4, "the file's alone");
        assert!(fixture.piped().ends_with(&file));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_costs_the_file_nothing() {
        let mut fixture = Fixture::new();
        fixture.video(0, &KEYFRAME).unwrap();
        (fixture.reader, fixture.writer) = io::pipe().unwrap();
        for at_ms in 1..500 {
            fixture.video(at_ms, &KEYFRAME).unwrap();
            fixture.outputs.flush_due(fixture.now).unwrap();
            std::thread::sleep(Duration::from_micros(100));
        }
        assert!(fixture.outputs.beside.is_none(), "given up");
        fixture.outputs.finish(None).await.unwrap();
        assert_eq!(fixture.file().len(), 500 * 25);
    }

    #[tokio::test]
    async fn a_reader_that_pauses_keeps_the_file_from_nothing_at_the_end() {
        let mut fixture = Fixture::new();
        fixture.video(0, &[0x17; 300_000]).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        fixture.outputs.finish(Some(deadline)).await.unwrap();
        assert_eq!(fixture.file().len(), 300_015);
    }

    #[tokio::test]
    async fn what_cannot_be_recorded_goes_down_the_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let mut fixture = Fixture::into("/nowhere/at/all.flv".into(), folder);
        let error = fixture.video(0, &KEYFRAME).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fixture.outputs.finish(None).await.unwrap();
        assert!(fixture.piped().ends_with(&[0, 0, 0, 21]));
    }

    #[tokio::test]
    async fn configuration_that_the_file_has_is_news_to_a_pipe_that_begins() {
        let mut fixture = Fixture::new();
        let info = FrameParser::new().parse(TagKind::VIDEO, &CONFIGURATION);
        let payload = Payload::from(&CONFIGURATION[..]);
        for _ in 0..2 {
            fixture.outputs.prepare_pipe(fixture.now, info, &payload);
        }
        fixture.video(0, &CONFIGURATION).unwrap();
        fixture.video(0, &KEYFRAME).unwrap();
        fixture.outputs.prepare_pipe(fixture.now, info, &payload);
        fixture.outputs.finish(None).await.unwrap();
        let file = fixture.file();
        let piped = fixture.piped();
        assert!(piped.ends_with(&file));
        let times = piped.windows(12).filter(|bytes| **bytes == CONFIGURATION);
        assert_eq!(times.count(), 1);
    }
}
