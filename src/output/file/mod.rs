//! A regular file: opened in place, written inline, its head updated in place.

pub(super) mod existing_movie;
pub(super) mod faststart;
pub(super) mod free_space;
pub(super) mod lock;
mod movie;
pub(super) mod replace;
pub(super) mod slow_disk;
mod sync;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    lock::lock,
    sync::{SyncState, Syncer},
};
use super::{
    ExistingFile, Totals,
    existing_file::Contents,
    muxer::{Muxer, Tracks, Unit},
    write_queue::{complete_units, write_all},
};
use crate::core::{
    amf::Object,
    flv::{Metadata, head_writer::Patch},
};

/// A file that consists of a head and complete units at every instant.
#[derive(Debug)]
pub(super) struct MediaFile<S = File> {
    storage: S,
    /// Its statistics describe the units that the file contains, and no others.
    muxer: Muxer,
    totals: Totals,
    head_updated_at: Instant,
    /// `None` if the system decides when the file is synced.
    syncer: Option<Syncer>,
    /// Patches that describe units whose sync is running.
    unsynced_patches: Vec<Patch>,
    has_head: bool,
    ending: Ending,
}

/// Progress of the steps that finish an MP4 file.
#[derive(Debug, Default)]
enum Ending {
    #[default]
    Growing,
    /// The tables are written, and may not be on the disk yet.
    Complete,
    Sealed,
}

/// Operations that a file must support.
pub(super) trait Storage: Read + Write + Seek {
    /// Truncates the file to `length` bytes.
    fn set_len(&mut self, length: u64) -> io::Result<()>;

    /// Allocates disk space for `bytes` from this offset on, without a change of the length. Does nothing if
    /// the system or the file system cannot.
    ///
    /// # Errors
    ///
    /// Fails if the disk is full.
    fn reserve(&mut self, offset: u64, bytes: u64) -> io::Result<()>;

    /// Returns a function that syncs all written data and can be called from any thread.
    fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>>;
}

/// Opens a file, locks it, and truncates it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = open_readable(&mut options, path)?;
    lock(&file)?;
    // ext4 flushes a file that was truncated when it is closed, even if it was empty before.
    if file.metadata()?.len() > 0 {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Creates a file that does not exist yet, and locks it.
pub(super) fn open_new(path: &Path) -> io::Result<File> {
    let file = open_readable(OpenOptions::new().write(true).create_new(true), path)?;
    lock(&file)?;
    Ok(file)
}

/// Opens a file for reading as well, if the permissions allow it. The end of an MP4 file is computed from its
/// fragments.
fn open_readable(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    match options.read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            options.read(false).open(path)
        }
        opened => opened,
    }
}

impl MediaFile {
    /// Continues an existing file. Truncates it to the end of its last complete unit.
    pub(super) fn resume(
        existing: ExistingFile,
        sync_interval: Option<Duration>,
        now: Instant,
    ) -> io::Result<Self> {
        let totals = existing.totals();
        let writer = match existing.contents {
            Contents::Flv(writer) => writer,
            Contents::Mp4(movie) => {
                let mut file = Self::reopen(existing.file, *movie, now)?;
                file.sync_every(sync_interval, now)?;
                return Ok(file);
            }
        };
        let mut file = Self {
            totals,
            storage: existing.file,
            muxer: Muxer::Flv(writer),
            head_updated_at: now,
            syncer: None,
            unsynced_patches: Vec::new(),
            has_head: true,
            ending: Ending::default(),
        };
        file.sync_every(sync_interval, now)?;
        file.truncate()?;
        Ok(file)
    }
}

impl<S: Storage> MediaFile<S> {
    /// Starts an empty file, which is synced every `sync_interval`. A head that is rewritten is written at
    /// once; any other waits for [`MediaFile::write_head`].
    pub(super) fn create(
        storage: S,
        muxer: Muxer,
        sync_interval: Option<Duration>,
        now: Instant,
    ) -> io::Result<Self> {
        let mut file = Self {
            storage,
            muxer,
            totals: Totals::default(),
            head_updated_at: now,
            syncer: None,
            unsynced_patches: Vec::new(),
            has_head: false,
            ending: Ending::default(),
        };
        if file.muxer.rewrites_head() {
            file.write_head(Tracks::default())?;
        }
        file.sync_every(sync_interval, now)?;
        Ok(file)
    }

    /// Whether the head is written. Units can only be appended after it.
    pub(super) fn has_head(&self) -> bool {
        self.has_head
    }

    /// Writes the head of a file with these tracks.
    pub(super) fn write_head(&mut self, tracks: Tracks) -> io::Result<()> {
        let head = self.muxer.head(tracks);
        if let Err(error) = self.storage.write_all(&head) {
            let _keeps_torn_head = self.storage.set_len(0);
            return Err(error);
        }
        self.has_head = true;
        self.totals.bytes = head.len() as u64;
        Ok(())
    }

    fn sync_every(&mut self, interval: Option<Duration>, now: Instant) -> io::Result<()> {
        if let Some(interval) = interval {
            self.syncer = Some(Syncer::new(self.storage.syncer()?, interval, now));
        }
        Ok(())
    }

    /// Appends units. If the disk is full, the file keeps the units that fit, and the torn one is
    /// removed.
    pub(super) fn append(&mut self, units: &[Unit]) -> io::Result<()> {
        let (units, reserved) = self.reserve_end(units);
        match write_all(&mut self.storage, units) {
            Ok(()) => {
                self.note(units);
                reserved
            }
            Err((written, error)) => {
                self.note(complete_units(units, written));
                if let Err(error) = self.truncate() {
                    tracing::warn!("cannot remove an incomplete tag: {error}");
                }
                Err(error)
            }
        }
    }

    /// Allocates disk space for units and for the end of an MP4 file after them, so that the file can be finished
    /// on a full disk. Returns the units for which there is space, and the error for the others.
    fn reserve_end<'a>(&mut self, units: &'a [Unit]) -> (&'a [Unit], io::Result<()>) {
        if !self.muxer.has_tables() {
            return (units, Ok(()));
        }
        let mut units = units;
        let mut reserved = Ok(());
        while let Some((_, fewer)) = units.split_last() {
            let bytes = units.iter().map(Unit::file_bytes);
            let bytes = bytes.fold(self.muxer.tables_bytes(), u64::saturating_add);
            match self.storage.reserve(self.muxer.file_bytes(), bytes) {
                Ok(()) => break,
                Err(error) => reserved = Err(error),
            }
            units = fewer;
        }
        (units, reserved)
    }

    /// Removes everything after the last complete unit.
    fn truncate(&mut self) -> io::Result<()> {
        self.seek_to_end()?;
        self.storage.set_len(self.muxer.file_bytes())
    }

    /// Returns how long the latest sync took, once.
    pub(super) fn take_sync_time(&mut self) -> Option<Duration> {
        self.syncer.as_mut()?.take_time()
    }

    /// Time at which [`MediaFile::maintain`] must be called, even if nothing is written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.syncer.as_ref()?.deadline()
    }

    /// Updates the head and syncs the file, each if it is due.
    ///
    /// The head must describe synced units only: after a power failure, a head that describes lost units
    /// would make players seek beyond the end. Patches are therefore computed when a sync starts and
    /// written when it has finished. If syncs are rarer than head updates, the head waits for the sync.
    pub(super) fn maintain(&mut self, now: Instant) -> io::Result<()> {
        let is_update_due = now.saturating_duration_since(self.head_updated_at) >= UPDATE_INTERVAL;
        let state = self.poll_syncer(now)?;
        if state == Some(SyncState::Done) {
            let patches = std::mem::take(&mut self.unsynced_patches);
            self.write_patches(patches)?;
        }
        let is_frequent = |syncer: &Syncer| syncer.interval() <= UPDATE_INTERVAL;
        match &mut self.syncer {
            Some(_) if state == Some(SyncState::Running) => return Ok(()),
            Some(syncer) if syncer.is_due(now) || is_update_due && is_frequent(syncer) => {
                if is_update_due {
                    self.head_updated_at = now;
                    self.unsynced_patches = self.muxer.patches();
                }
                syncer.start(now);
            }
            None if is_update_due => {
                self.head_updated_at = now;
                self.update_head()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the state of the sync, or `None` if the file is not synced.
    fn poll_syncer(&mut self, now: Instant) -> io::Result<Option<SyncState>> {
        let Some(syncer) = &mut self.syncer else {
            return Ok(None);
        };
        let state = syncer.poll(now);
        self.check_sync(state.map(Some))
    }

    /// Stops syncing after an error. A file system that cannot sync is not an error.
    fn check_sync<T: Default>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let Err(error) = result else {
            return result;
        };
        self.syncer = None;
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
                tracing::warn!("the file system cannot sync the recording: {error}");
                Ok(T::default())
            }
            _ => Err(error),
        }
    }

    /// Syncs the complete file, until `deadline`. The future may be dropped and created again.
    pub(super) async fn sync_at_end(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(syncer) = &mut self.syncer else {
            return Ok(());
        };
        let finished = syncer.finish(deadline).await;
        self.check_sync(finished)
    }

    /// Makes the head describe all units. Rewrites the parts that changed in place, which is possible on a
    /// full disk.
    pub(super) fn update_head(&mut self) -> io::Result<()> {
        self.unsynced_patches.clear();
        self.write_patches(self.muxer.patches())
    }

    fn write_patches(&mut self, patches: Vec<Patch>) -> io::Result<()> {
        if let (Some(syncer), false) = (&mut self.syncer, patches.is_empty()) {
            syncer.mark_dirty();
        }
        let written = self.overwrite(patches);
        let sought = self.seek_to_end();
        written.and(sought)
    }

    /// Writes the patches in the order of [`Muxer::patches`]. A patch that fails stays pending there.
    fn overwrite(&mut self, patches: Vec<Patch>) -> io::Result<()> {
        for patch in patches {
            self.storage.seek(SeekFrom::Start(patch.offset))?;
            self.storage.write_all(&patch.bytes)?;
            self.muxer.patched(&patch);
        }
        Ok(())
    }

    fn seek_to_end(&mut self) -> io::Result<()> {
        let end = SeekFrom::Start(self.muxer.file_bytes());
        self.storage.seek(end).map(drop)
    }

    /// Merges fields of the server's `onMetaData` into the head, if that can change. An existing file whose
    /// head was not written by rtmpull keeps its own fields.
    pub(super) fn set_metadata(&mut self, fields: &Object) {
        self.muxer.set_metadata(fields);
    }

    /// Adds the fields that the server sent before the existing file was reopened.
    pub(super) fn inherit_metadata(&mut self, metadata: &Metadata) {
        self.muxer.inherit_metadata(metadata);
    }

    pub(super) fn muxer(&self) -> &Muxer {
        &self.muxer
    }

    pub(super) fn muxer_mut(&mut self) -> &mut Muxer {
        &mut self.muxer
    }

    /// Bytes and tags in the file.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    fn note(&mut self, units: &[Unit]) {
        if let Some(syncer) = &mut self.syncer {
            syncer.mark_dirty();
        }
        self.totals.add_units(units);
        for unit in units {
            self.muxer.written(unit);
        }
    }
}

impl Storage for File {
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        use rustix::{
            fs::{FallocateFlags, fallocate},
            io::Errno,
        };

        match fallocate(&*self, FallocateFlags::KEEP_SIZE, offset, bytes) {
            Err(error) if [Errno::NOSPC, Errno::DQUOT].contains(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>> {
        let file = self.try_clone()?;
        Ok(Arc::new(move || file.sync_data()))
    }
}

/// Time between two updates of the head while the file grows.
const UPDATE_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::core::{
        flv::{FrameParser, Layout, TagKind, TagReader, head},
        payload::Payload,
    };
    use crate::output::muxer::Message;

    /// A disk of limited size.
    #[derive(Debug)]
    struct MemoryDisk {
        bytes: Vec<u8>,
        cursor: usize,
        size: usize,
        /// Offset of a byte that cannot be written.
        bad_byte: Option<usize>,
        cannot_truncate: bool,
        /// Results of the syncs, which finish when they arrive.
        syncs: Arc<Mutex<mpsc::Receiver<io::Result<()>>>>,
    }

    impl Read for MemoryDisk {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let mut rest = self.bytes.get(self.cursor..).unwrap_or_default();
            let count = rest.read(bytes)?;
            self.cursor += count;
            Ok(count)
        }
    }

    impl Write for MemoryDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let free = self.size - self.cursor;
            let good = self.bad_byte.and_then(|bad| bad.checked_sub(self.cursor));
            let count = bytes.len().min(free).min(good.unwrap_or(free));
            if count == 0 && good == Some(0) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let end = self.cursor + count;
            self.bytes.resize(self.bytes.len().max(end), 0);
            self.bytes[self.cursor..end].copy_from_slice(&bytes[..count]);
            self.cursor = end;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for MemoryDisk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.cursor = match to {
                SeekFrom::Start(offset) => offset as usize,
                SeekFrom::End(0) => self.bytes.len(),
                _ => panic!("unexpected seek"),
            };
            Ok(self.cursor as u64)
        }
    }

    impl Storage for MemoryDisk {
        fn reserve(&mut self, _: u64, _: u64) -> io::Result<()> {
            panic!("FLV files reserve nothing")
        }

        fn syncer(&self) -> io::Result<Arc<dyn Fn() -> io::Result<()> + Send + Sync>> {
            let syncs = Arc::clone(&self.syncs);
            Ok(Arc::new(move || {
                let ended = syncs.lock().unwrap().recv();
                ended.unwrap_or(Ok(()))
            }))
        }

        fn set_len(&mut self, length: u64) -> io::Result<()> {
            if self.cannot_truncate {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.bytes.resize(length as usize, 0);
            Ok(())
        }
    }

    impl Default for MemoryDisk {
        fn default() -> Self {
            Self::syncing().0
        }
    }

    impl MemoryDisk {
        fn syncing() -> (Self, mpsc::Sender<io::Result<()>>) {
            let (sender, syncs) = mpsc::channel();
            let disk = Self {
                bytes: Vec::new(),
                cursor: 0,
                size: 1 << 20,
                bad_byte: None,
                cannot_truncate: false,
                syncs: Arc::new(Mutex::new(syncs)),
            };
            (disk, sender)
        }
    }

    /// A keyframe at `number` seconds that takes 1,000 bytes of the file.
    fn keyframe(number: u32) -> Unit {
        let mut body = vec![0x17, 1, 0, 0, 0];
        body.resize(1000 - 15, 7);
        let info = FrameParser::new().parse(TagKind::VIDEO, &body);
        let message = Message {
            info,
            at_ms: Some(u64::from(number) * 1000),
            payload: Payload::from(&body[..]),
        };
        let mut units = Vec::new();
        muxer().push(message, 0, &mut units, &mut Vec::new());
        units.remove(0)
    }

    fn file_on(size: usize) -> MediaFile<MemoryDisk> {
        let disk = MemoryDisk {
            size,
            ..MemoryDisk::default()
        };
        MediaFile::create(disk, muxer(), None, Instant::now()).unwrap()
    }

    fn muxer() -> Muxer {
        Muxer::flv(Layout::Seekable, &Metadata::default())
    }

    /// Value of a number in the head.
    fn head_number(file: &[u8], name: &str) -> f64 {
        let name = [&[0, name.len() as u8], name.as_bytes(), &[0]].concat();
        let found = file.windows(name.len()).position(|window| window == name);
        let at = found.unwrap() + name.len();
        f64::from_be_bytes(file[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn the_head_on_a_full_disk_describes_the_units_in_the_file() {
        for torn in [0, 1, 999] {
            let mut file = file_on(head::LENGTH + 4000 + torn);
            let tags: Vec<Unit> = (0..10).map(keyframe).collect();
            file.append(&tags[..3]).unwrap();
            let error = file.append(&tags[3..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            file.update_head().unwrap();
            let bytes = &file.storage.bytes;
            assert_eq!(bytes.len(), head::LENGTH + 4000);
            assert_eq!(
                (file.totals().bytes, file.totals().tags),
                (bytes.len() as u64, 4)
            );
            assert_eq!(head_number(bytes, "filesize"), bytes.len() as f64);
            assert_eq!(head_number(bytes, "videosize"), 4000.0);
            assert_eq!(head_number(bytes, "duration"), 4.0);
            assert_eq!(head_number(bytes, "lastkeyframetimestamp"), 3.0);
            let last = head_number(bytes, "lastkeyframelocation") as usize;
            assert_eq!(last, head::LENGTH + 3000);
            assert_eq!(bytes[last..], tags[3].bytes);
            let (mut reader, mut rest) = (TagReader::new(), &bytes[..]);
            while reader.read(&mut rest).unwrap().is_some() {}
            assert_eq!(reader.torn(rest), None);
        }
    }
    #[test]
    fn a_failed_truncation_does_not_hide_the_write_error() {
        let mut file = file_on(head::LENGTH + 1500);
        file.storage.cannot_truncate = true;
        let error = file.append(&[keyframe(0), keyframe(1)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        // The next unit overwrites the torn one.
        file.storage.size += 1000;
        file.append(&[keyframe(2)]).unwrap();
        assert_eq!(
            file.storage.bytes[head::LENGTH + 1000..],
            keyframe(2).bytes,
            "the bytes after the complete units"
        );
    }

    #[test]
    fn a_failed_head_update_keeps_the_units_and_is_repeated() {
        let mut file = file_on(1 << 20);
        file.append(&[keyframe(0), keyframe(1)]).unwrap();
        // In the file positions of the keyframe index.
        file.storage.bad_byte = Some(21_000);
        let error = file.update_head().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        file.storage.bad_byte = None;
        file.append(&[keyframe(2)]).unwrap();
        let tags = [0, 1, 2].map(|number| keyframe(number).bytes).concat();
        assert_eq!(file.storage.bytes[head::LENGTH..], tags);
        file.update_head().unwrap();
        let mut expected = file_on(1 << 20);
        expected
            .append(&[keyframe(0), keyframe(1), keyframe(2)])
            .unwrap();
        expected.update_head().unwrap();
        assert!(file.storage.bytes == expected.storage.bytes);
    }

    /// A file on a disk whose syncs finish with the results of the sender.
    struct SyncedFile {
        file: MediaFile<MemoryDisk>,
        syncs: mpsc::Sender<io::Result<()>>,
        created_at: Instant,
    }

    impl SyncedFile {
        fn every(seconds: u64) -> Self {
            let (disk, syncs) = MemoryDisk::syncing();
            let created_at = Instant::now();
            let interval = Some(Duration::from_secs(seconds));
            Self {
                file: MediaFile::create(disk, muxer(), interval, created_at).unwrap(),
                syncs,
                created_at,
            }
        }

        fn maintain_at(&mut self, seconds: u64) -> io::Result<()> {
            self.file
                .maintain(self.created_at + Duration::from_secs(seconds))
        }

        /// Finishes the running sync and waits for its thread.
        fn finish_sync(&self, result: io::Result<()>) {
            self.syncs.send(result).unwrap();
            self.wait();
        }

        fn wait(&self) {
            let syncer = self.file.syncer.as_ref().unwrap();
            while syncer.is_running() {
                std::thread::yield_now();
            }
        }

        fn is_syncing(&self) -> bool {
            self.file.syncer.as_ref().is_some_and(Syncer::is_running)
        }

        fn duration(&self) -> f64 {
            head_number(&self.file.storage.bytes, "duration")
        }
    }

    #[test]
    fn the_head_describes_units_after_their_sync() {
        let mut synced = SyncedFile::every(10);
        synced.file.append(&[keyframe(0), keyframe(1)]).unwrap();
        synced.maintain_at(9).unwrap();
        assert!(!synced.is_syncing());
        synced.maintain_at(10).unwrap();
        assert!(synced.is_syncing());
        // The sync is slow, and the file grows meanwhile.
        synced.file.append(&[keyframe(2)]).unwrap();
        synced.maintain_at(25).unwrap();
        assert_eq!(synced.duration(), 0.0);
        synced.finish_sync(Ok(()));
        synced.maintain_at(26).unwrap();
        assert_eq!(synced.duration(), 2.0);
        assert!(synced.is_syncing(), "the next sync is overdue");
        synced.finish_sync(Ok(()));
        synced.maintain_at(27).unwrap();
        assert_eq!(synced.duration(), 3.0);
        let mut rest = &synced.file.storage.bytes[head::LENGTH..];
        assert_eq!(rest.len(), 3000);
        for number in 0..3 {
            assert_eq!(rest[..1000], keyframe(number).bytes);
            rest = &rest[1000..];
        }
    }

    #[test]
    fn an_unchanged_file_is_not_synced_again() {
        let mut synced = SyncedFile::every(1);
        let at = |seconds| Some(synced.created_at + Duration::from_secs(seconds));
        let (first, second) = (at(1), at(2));
        assert_eq!(synced.file.deadline(), first, "the head is not synced");
        synced.maintain_at(1).unwrap();
        synced.finish_sync(Ok(()));
        synced.maintain_at(1).unwrap();
        assert_eq!(synced.file.deadline(), None);
        synced.maintain_at(5).unwrap();
        assert!(!synced.is_syncing());
        synced.file.append(&[keyframe(0)]).unwrap();
        assert_eq!(synced.file.deadline(), second);
    }

    #[test]
    fn the_head_waits_for_rare_syncs() {
        let mut synced = SyncedFile::every(60);
        synced.file.append(&[keyframe(0), keyframe(1)]).unwrap();
        synced.maintain_at(10).unwrap();
        assert!(!synced.is_syncing());
        assert_eq!(synced.duration(), 0.0);
        synced.maintain_at(60).unwrap();
        assert_eq!(synced.duration(), 0.0);
        synced.finish_sync(Ok(()));
        synced.maintain_at(61).unwrap();
        assert_eq!(synced.duration(), 2.0);
    }

    #[test]
    fn a_failed_sync_is_reported_once() {
        let mut synced = SyncedFile::every(1);
        synced.maintain_at(1).unwrap();
        synced.finish_sync(Err(io::Error::from_raw_os_error(5)));
        let error = synced.maintain_at(2).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
        synced.file.append(&[keyframe(0)]).unwrap();
        synced.maintain_at(20).unwrap();
        assert_eq!(synced.file.deadline(), None);
        // A file system without fsync is not an error.
        let mut synced = SyncedFile::every(1);
        synced.maintain_at(1).unwrap();
        synced.finish_sync(Err(io::ErrorKind::Unsupported.into()));
        synced.maintain_at(2).unwrap();
        assert_eq!(synced.file.deadline(), None);
    }

    #[tokio::test]
    async fn the_end_of_the_file_is_synced_until_the_deadline() {
        let mut synced = SyncedFile::every(10);
        synced.file.append(&[keyframe(0)]).unwrap();
        synced.file.sync_at_end(None).await.unwrap();
        synced.maintain_at(10).unwrap();
        synced.file.append(&[keyframe(1)]).unwrap();
        synced.file.update_head().unwrap();
        assert_eq!(synced.duration(), 2.0);
        synced.file.sync_at_end(Some(Instant::now())).await.unwrap();
        assert!(synced.is_syncing());
        for _ in 0..2 {
            synced.syncs.send(Ok(())).unwrap();
        }
        synced.file.sync_at_end(None).await.unwrap();
        assert!(!synced.is_syncing());
        assert_eq!(synced.file.deadline(), None);
    }
}
