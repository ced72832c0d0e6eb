//! The outputs of one download: files, a pipe, or both.

use std::{io, path::Path, time::Instant};

use jiff::Timestamp;

use super::{
    Destination, Drops, ExistingFile, FileOptions, Gap, PipeOptions, SegmentFacts, SegmentOptions,
    Totals,
    destination::is_special,
    discard::Discard,
    naming::Pattern,
    pipe::{PipeRecording, PipeTarget},
    recording::FileRecording,
};
use crate::core::{
    amf::Object,
    flv::FrameInfo,
    payload::{Payload, Pool},
};

/// A recording in files or in a pipe, or none. Files may have a pipe with the same frames (`--tee`).
#[derive(Debug)]
pub(crate) enum Tee {
    Discard(Box<Discard>),
    Pipe(Box<PipeRecording>),
    Files {
        /// The recording. All queries refer to it, not to the pipe.
        files: Box<FileRecording>,
        /// A slow pipe lacks frames or stops the network. A broken pipe is given up.
        pipe: Option<Box<PipeCopy>>,
        /// Error of the files, while the pipe is still being finished.
        failure: Option<io::Error>,
    },
}

/// A pipe that gets copies of all payloads.
#[derive(Debug)]
pub(crate) struct PipeCopy {
    pipe: PipeRecording,
    /// Buffers for the copies.
    pool: Pool,
}

impl Tee {
    /// Creates a recording to `destination`, and optionally a pipe with the same frames. Opens nothing.
    ///
    /// `min_free` is the number of bytes that must stay free on the disk of the files.
    pub(crate) fn new(
        destination: Destination,
        pipe: Option<Destination>,
        segments: &SegmentOptions,
        (options, pipe_options): (FileOptions, PipeOptions),
        min_free: Option<u64>,
    ) -> Self {
        let pattern = match destination {
            Destination::Template(template) => Pattern::Template(template),
            Destination::Path(path) if !is_special(&path) => Pattern::Numbered(path),
            Destination::Path(path) => return Self::to_pipe(PipeTarget::Path(path), pipe_options),
            Destination::Stdout => return Self::to_pipe(PipeTarget::Stdout, pipe_options),
            Destination::Discard => return Self::Discard(Box::default()),
        };
        let target = pipe.and_then(|pipe| match pipe {
            Destination::Stdout => Some(PipeTarget::Stdout),
            Destination::Path(path) => Some(PipeTarget::Path(path)),
            Destination::Template(_) | Destination::Discard => None,
        });
        Self::Files {
            files: Box::new(FileRecording::new(pattern, segments, options, min_free)),
            pipe: target.map(|target| Box::new(PipeCopy::new(target, pipe_options))),
            failure: None,
        }
    }

    fn to_pipe(target: PipeTarget, options: PipeOptions) -> Self {
        Self::Pipe(Box::new(PipeRecording::new(target, options)))
    }

    /// Lets up to `bytes` wait for a slow reader of the pipe while the stream continues.
    pub(crate) fn allow_backlog(&mut self, bytes: usize) {
        if let Some(pipe) = self.pipe_mut() {
            pipe.allow_backlog(bytes);
        }
    }

    /// Continues `file` after its last intact tag. A pipe gets only the new frames.
    pub(crate) fn resume_from(&mut self, file: ExistingFile) {
        if let Some(files) = self.files_mut() {
            files.resume_from(file);
        }
    }

    /// Cuts off everything after the last intact tag of the existing file.
    pub(crate) fn cut_garbage(&mut self) -> io::Result<()> {
        let files = self.files_mut();
        files.map_or(Ok(()), |files| files.cut_garbage())
    }

    /// Fails if the disk has too little free space. The check is cheap and can be called often.
    pub(crate) fn check_free_space(&mut self, now: Instant) -> io::Result<()> {
        let files = self.files_mut();
        files.map_or(Ok(()), |files| files.check_free_space(now))
    }

    /// Sets the wall-clock time of the following messages.
    pub(crate) fn set_wall_clock(&mut self, wall: Timestamp) {
        if let Some(files) = self.files_mut() {
            files.set_wall_clock(wall);
        }
        if let Some(pipe) = self.pipe_mut() {
            pipe.set_wall_clock(wall);
        }
    }

    /// Runs the start hook at the next frame: media returns after a gap.
    pub(crate) fn note_gap(&mut self) {
        if let Some(files) = self.files_mut() {
            files.note_gap();
        }
    }

    /// Starts a new segment at the next frame. A pipe is never split.
    pub(crate) fn request_split(&mut self) {
        if let Some(files) = self.files_mut() {
            files.request_split();
        }
    }

    /// Returns the size of the recording if this message were written, with heads and queued messages.
    pub(crate) fn bytes_with(&mut self, info: FrameInfo, at_ms: u64, payload: &Payload) -> u64 {
        match self {
            Self::Discard(discard) => discard.bytes_with(payload),
            Self::Pipe(pipe) => pipe.bytes_with(info, at_ms, payload),
            Self::Files { files, .. } => files.bytes_with(info, at_ms, payload),
        }
    }

    /// Bytes and tags in the recording. Queued messages do not count.
    pub(crate) fn totals(&self) -> Totals {
        match self {
            Self::Discard(discard) => discard.totals(),
            Self::Pipe(pipe) => pipe.totals(),
            Self::Files { files, .. } => files.totals(),
        }
    }

    /// Returns the oldest finished segment that was not returned before.
    pub(crate) fn take_segment(&mut self) -> Option<SegmentFacts> {
        self.files_mut()?.take_segment()
    }

    /// Returns the oldest gap of the recording that was not returned before. A pipe beside files only logs
    /// its gaps.
    pub(crate) fn take_gap(&mut self) -> Option<Gap> {
        let copy = match self {
            Self::Discard(_) => return None,
            Self::Pipe(pipe) => return pipe.take_gap(),
            Self::Files { pipe, .. } => pipe.as_mut()?,
        };
        while let Some(gap) = copy.pipe.take_gap() {
            tracing::warn!(
                "the reader of the pipe is too slow: {:.1} s from {:.1} s on are only in the file",
                gap.length_ms as f64 / 1000.0,
                gap.at_ms as f64 / 1000.0
            );
        }
        None
    }

    /// Frames that the pipe lacks because its reader was too slow.
    pub(crate) fn drops(&self) -> Drops {
        self.pipe()
            .map_or_else(Drops::default, PipeRecording::drops)
    }

    /// Number of files opened so far. It changes with [`Tee::current_file`].
    pub(crate) fn opened_files(&self) -> u64 {
        match self {
            Self::Discard(_) | Self::Pipe(_) => 0,
            Self::Files { files, .. } => files.opened_files(),
        }
    }

    /// Path of the file that is being written.
    pub(crate) fn current_file(&self) -> Option<&Path> {
        match self {
            Self::Discard(_) | Self::Pipe(_) => None,
            Self::Files { files, .. } => files.current_file(),
        }
    }

    /// Merges fields of the server's `onMetaData` into the heads. `payload` is the same in its encoded form.
    pub(crate) fn metadata(
        &mut self,
        now: Instant,
        at_ms: u64,
        fields: &Object,
        payload: Payload,
    ) -> io::Result<()> {
        self.with_copy(&payload, |pipe, copy| {
            pipe.metadata(now, at_ms, fields, copy)
        });
        match self {
            Self::Discard(discard) => {
                discard.recycle(payload);
                Ok(())
            }
            Self::Pipe(pipe) => pipe.metadata(now, at_ms, fields, payload),
            Self::Files { files, .. } => files.metadata(now, at_ms, fields, payload),
        }
    }

    /// Writes a message at its output time. Messages before the first frame are pending and get its time.
    ///
    /// The pipe comes first: it gets the frames that a full disk cannot store.
    pub(crate) fn media(
        &mut self,
        now: Instant,
        info: FrameInfo,
        at_ms: u64,
        payload: Payload,
    ) -> io::Result<()> {
        self.with_copy(&payload, |pipe, copy| pipe.media(now, info, at_ms, copy));
        match self {
            Self::Discard(discard) => {
                discard.message(payload);
                Ok(())
            }
            Self::Pipe(pipe) => pipe.media(now, info, at_ms, payload),
            Self::Files { files, .. } => files.media(now, info, at_ms, payload),
        }
    }

    /// Passes a sequence header to a pipe beside files that has not started. A resumed file contains the
    /// header already, and the stream may not repeat it.
    pub(crate) fn prepare_pipe(&mut self, now: Instant, info: FrameInfo, payload: &Payload) {
        let is_needed = self.pipe_mut().is_some_and(|pipe| !pipe.is_open());
        if is_needed && info.is_sequence_header {
            self.with_copy(payload, |pipe, copy| pipe.media(now, info, 0, copy));
        }
    }

    /// Whether the latest sequence header of this kind has the same payload.
    pub(crate) fn has_sequence_header(&self, info: FrameInfo, payload: &Payload) -> bool {
        match self {
            Self::Discard(_) => false,
            Self::Pipe(pipe) => pipe.has_sequence_header(info, payload),
            Self::Files { files, .. } => files.has_sequence_header(info, payload),
        }
    }

    /// Time at which [`Tee::flush_due`] must be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let pipe = self.pipe().and_then(PipeRecording::deadline);
        let files = match self {
            Self::Discard(_) | Self::Pipe(_) => None,
            Self::Files { files, .. } => files.deadline(),
        };
        pipe.into_iter().chain(files).min()
    }

    /// Writes queued messages, updates the head and syncs the file, each if it is due.
    pub(crate) fn flush_due(&mut self, now: Instant) -> io::Result<()> {
        match self {
            Self::Discard(_) => Ok(()),
            Self::Pipe(pipe) => pipe.flush_due(now),
            Self::Files { files, pipe, .. } => {
                if let Some(copy) = pipe {
                    let flushed = copy.pipe.flush_due(now);
                    give_up_broken(pipe, flushed);
                }
                files.flush_due(now)
            }
        }
    }

    /// Whether the network must not be read until the reader of the pipe has accepted more.
    pub(crate) fn is_full(&self) -> bool {
        self.pipe().is_some_and(PipeRecording::is_full)
    }

    /// Whether the stream continues although the reader of the pipe is slow.
    pub(crate) fn is_behind(&self) -> bool {
        self.pipe().is_some_and(PipeRecording::is_behind)
    }

    /// Waits until the reader of the pipe accepts something. The future may be dropped and created again.
    pub(crate) async fn wait_for_reader(&mut self) -> io::Result<()> {
        match self {
            Self::Discard(_) => Ok(()),
            Self::Pipe(pipe) => pipe.wait_for_reader().await,
            Self::Files { pipe, .. } => {
                if let Some(copy) = pipe {
                    let waited = copy.pipe.wait_for_reader().await;
                    give_up_broken(pipe, waited);
                }
                Ok(())
            }
        }
    }

    /// Accepts a payload that must not be written.
    pub(crate) fn recycle(&mut self, payload: Payload) {
        match self {
            Self::Discard(discard) => discard.recycle(payload),
            Self::Pipe(pipe) => pipe.recycle(payload),
            Self::Files { files, .. } => files.recycle(payload),
        }
    }

    /// Returns the buffer of a written payload.
    pub(crate) fn take_spent(&mut self) -> Option<Payload> {
        match self {
            Self::Discard(discard) => discard.take_spent(),
            Self::Pipe(pipe) => pipe.take_spent(),
            Self::Files { files, .. } => files.take_spent(),
        }
    }

    /// Writes everything and finishes the outputs. The reader of a pipe may take until `deadline`; the files
    /// do not wait for it. The future may be dropped and created again.
    pub(crate) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let (files, pipe, failure) = match self {
            Self::Discard(_) => return Ok(()),
            Self::Pipe(pipe) => return pipe.finish(deadline).await,
            Self::Files {
                files,
                pipe,
                failure,
            } => (files, pipe, failure),
        };
        let Some(copy) = pipe else {
            return files.finish(deadline).await;
        };
        // The error is stored, because the caller may drop this future while it waits for the reader.
        let finish_files = async {
            if let Err(error) = files.finish(deadline).await {
                failure.get_or_insert(error);
            }
        };
        let ((), finished) = tokio::join!(finish_files, copy.pipe.finish(deadline));
        give_up_broken(pipe, finished);
        failure.take().map_or(Ok(()), Err)
    }

    /// Whether the reader of the pipe has accepted everything that was sent.
    #[cfg(test)]
    pub(crate) fn is_drained(&self) -> bool {
        self.pipe().is_none_or(PipeRecording::is_drained)
    }

    /// Waits for the running hooks, until `deadline`. The future may be dropped and created again.
    pub(crate) async fn finish_hooks(&mut self, deadline: Instant) {
        if let Some(files) = self.files_mut() {
            files.finish_hooks(deadline).await;
        }
    }

    /// Logs the hooks that are still running or were never started.
    pub(crate) fn abandon_hooks(&self) {
        if let Self::Files { files, .. } = self {
            files.abandon_hooks();
        }
    }

    /// Passes a copy of `payload` to a pipe beside files.
    fn with_copy(
        &mut self,
        payload: &Payload,
        write: impl FnOnce(&mut PipeRecording, Payload) -> io::Result<()>,
    ) {
        if let Self::Files {
            pipe: pipe @ Some(_),
            ..
        } = self
            && let Some(copy) = pipe
        {
            let payload = copy.copy(payload);
            let written = write(&mut copy.pipe, payload);
            give_up_broken(pipe, written);
        }
    }

    fn files_mut(&mut self) -> Option<&mut FileRecording> {
        match self {
            Self::Discard(_) | Self::Pipe(_) => None,
            Self::Files { files, .. } => Some(files),
        }
    }

    fn pipe(&self) -> Option<&PipeRecording> {
        match self {
            Self::Discard(_) => None,
            Self::Pipe(pipe) => Some(pipe),
            Self::Files { pipe, .. } => pipe.as_ref().map(|copy| &copy.pipe),
        }
    }

    fn pipe_mut(&mut self) -> Option<&mut PipeRecording> {
        match self {
            Self::Discard(_) => None,
            Self::Pipe(pipe) => Some(pipe),
            Self::Files { pipe, .. } => pipe.as_mut().map(|copy| &mut copy.pipe),
        }
    }
}

impl PipeCopy {
    fn new(target: PipeTarget, options: PipeOptions) -> Self {
        Self {
            pipe: PipeRecording::new(target, options),
            pool: Pool::default(),
        }
    }

    fn copy(&mut self, payload: &Payload) -> Payload {
        while let Some(spent) = self.pipe.take_spent() {
            self.pool.put(spent);
        }
        let mut copy = self.pool.take(payload.len());
        copy.extend_from_slice(payload);
        copy
    }
}

/// Removes a pipe beside files after an error: the recording continues in the files.
fn give_up_broken(pipe: &mut Option<Box<PipeCopy>>, result: io::Result<()>) {
    let Err(error) = result else {
        return;
    };
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            tracing::info!("the reader closed the pipe, the recording continues in the file");
        }
        io::ErrorKind::TimedOut => {
            tracing::warn!(
                "the reader of the pipe did not accept everything, the file is complete"
            );
        }
        _ => {
            tracing::warn!("cannot write the pipe, the recording continues in the file: {error}");
        }
    }
    *pipe = None;
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

    const SEQUENCE_HEADER: [u8; 12] = [0x17, 0, 0, 0, 0, 1, 0x64, 0, 13, 0xFF, 0xE0, 0];
    const KEYFRAME: [u8; 10] = [0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65];

    /// A file and a pipe with the same frames.
    struct Fixture {
        tee: Tee,
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
                tee: Tee::new(
                    Destination::Path(file),
                    Some(pipe),
                    &SegmentOptions::none(),
                    (FileOptions::default(), PipeOptions::default()),
                    None,
                ),
                folder,
                writer,
                reader,
                now: Instant::now(),
            }
        }

        fn video(&mut self, at_ms: u64, body: &[u8]) -> io::Result<()> {
            let info = FrameParser::new().parse(TagKind::VIDEO, body);
            self.tee.media(self.now, info, at_ms, Payload::from(body))
        }

        /// Tags of the file.
        fn file(&self) -> Vec<u8> {
            let file = fs::read(self.folder.path().join("out.flv")).unwrap();
            file[crate::core::flv::head::LENGTH..].to_vec()
        }

        /// All bytes of the pipe.
        fn piped(self) -> Vec<u8> {
            drop((self.tee, self.writer));
            let (mut bytes, mut reader) = (Vec::new(), self.reader);
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        }
    }

    #[tokio::test]
    async fn both_outputs_get_the_same_tags() {
        let mut fixture = Fixture::new();
        fixture.video(0, &SEQUENCE_HEADER).unwrap();
        for at_ms in [0, 40, 80] {
            fixture.video(at_ms, &KEYFRAME).unwrap();
        }
        fixture.tee.finish(None).await.unwrap();
        let file = fixture.file();
        assert_eq!(file.len(), 12 + 3 * 10 + 4 * 15);
        let written = fixture.tee.totals();
        assert_eq!(written.tags, 4, "only the file counts");
        assert!(fixture.piped().ends_with(&file));
    }

    #[tokio::test]
    async fn the_file_is_complete_after_the_reader_closed_the_pipe() {
        let mut fixture = Fixture::new();
        for number in 0..20 {
            fixture.video(number * 40, &KEYFRAME).unwrap();
        }
        fixture.tee.flush_due(fixture.now).unwrap();
        // The thread has opened the pipe, whose descriptor may be reused from here on.
        fixture.tee.wait_for_reader().await.unwrap();
        (fixture.reader, fixture.writer) = io::pipe().unwrap();
        for number in 20..500 {
            fixture.video(number * 40, &KEYFRAME).unwrap();
            fixture.tee.flush_due(fixture.now).unwrap();
            std::thread::sleep(Duration::from_micros(100));
        }
        // The thread reports the closed reader.
        while fixture.tee.pipe().is_some() {
            fixture.tee.wait_for_reader().await.unwrap();
        }
        fixture.tee.finish(None).await.unwrap();
        assert_eq!(fixture.file().len(), 500 * 25);
    }

    #[tokio::test]
    async fn a_paused_reader_does_not_delay_the_end_of_the_file() {
        let mut fixture = Fixture::new();
        fixture.video(0, &[0x17; 300_000]).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        fixture.tee.finish(Some(deadline)).await.unwrap();
        assert_eq!(fixture.file().len(), 300_015);
    }

    #[tokio::test]
    async fn the_pipe_gets_frames_that_the_file_cannot_store() {
        let folder = tempfile::tempdir().unwrap();
        let mut fixture = Fixture::into("/nowhere/at/all.flv".into(), folder);
        let error = fixture.video(0, &KEYFRAME).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fixture.tee.finish(None).await.unwrap();
        assert!(fixture.piped().ends_with(&[0, 0, 0, 21]));
    }

    #[tokio::test]
    async fn a_new_pipe_gets_sequence_headers_that_the_file_has() {
        let mut fixture = Fixture::new();
        let info = FrameParser::new().parse(TagKind::VIDEO, &SEQUENCE_HEADER);
        let payload = Payload::from(&SEQUENCE_HEADER[..]);
        for _ in 0..2 {
            fixture.tee.prepare_pipe(fixture.now, info, &payload);
        }
        fixture.video(0, &SEQUENCE_HEADER).unwrap();
        fixture.video(0, &KEYFRAME).unwrap();
        fixture.tee.prepare_pipe(fixture.now, info, &payload);
        fixture.tee.finish(None).await.unwrap();
        let file = fixture.file();
        let piped = fixture.piped();
        assert!(piped.ends_with(&file));
        let times = piped.windows(12).filter(|bytes| **bytes == SEQUENCE_HEADER);
        assert_eq!(times.count(), 1);
    }
}
