//! Moves the `moov` box of a finished MP4 file to its start (`--faststart`).
//!
//! ```text
//! ┌──────┬────────────┬──────┐        ┌──────┬──────┬────────────┐
//! │ ftyp │ mdat       │ moov │  ───▶  │ ftyp │ moov │ mdat       │
//! └──────┴────────────┴──────┘        └──────┴──────┴────────────┘
//! ```
//!
//! The file is copied to a temporary file in the same folder, which replaces it once it is synced. Until then,
//! the file itself stays unchanged.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytesize::ByteSize;

use super::{
    lock::lock,
    replace::{ignore_unsupported_sync, keep_attributes, sync_directory_of},
};
use crate::core::{
    mp4::{BoxHeader, has_file_type},
    wire::Reader,
};

/// Copies in progress of one recording, which can be cancelled.
#[derive(Debug, Default)]
pub(in crate::output) struct Faststart {
    is_cancelled: AtomicBool,
    /// Paths of the temporary files.
    temporaries: Mutex<Vec<PathBuf>>,
}

impl Faststart {
    /// Moves the `moov` box of the file at `path` to its start. A file without a `moov` box at its end stays
    /// unchanged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] if the copy was cancelled. After any error, the file is unchanged, and the
    /// temporary file is removed.
    pub(in crate::output) fn move_movie_to_start(&self, path: &Path) -> io::Result<()> {
        // A rename would replace a link, not the file.
        let path = fs::canonicalize(path)?;
        let mut source = File::open(&path)?;
        let Some(plan) = Plan::of(&mut source)? else {
            return Ok(());
        };
        ensure_space(&path, source.metadata()?.len())?;
        let temporary = TemporaryFile::create(&path, self)?;
        let mut copy = Copy {
            source: &mut source,
            out: &temporary.file,
            is_cancelled: &self.is_cancelled,
        };
        copy.run(&plan)?;
        temporary.replace(&path)
    }

    /// Cancels all copies, and removes their temporary files. Does not wait for the copies, whose threads may be
    /// blocked by the disk. Returns whether a copy was in progress.
    pub(in crate::output) fn cancel(&self) -> bool {
        self.is_cancelled.store(true, Ordering::Relaxed);
        let temporaries = std::mem::take(&mut *self.temporaries());
        for path in &temporaries {
            // A later rename fails, because the file no longer exists.
            let _is_replaced = fs::remove_file(path);
        }
        !temporaries.is_empty()
    }

    fn temporaries(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        let locked = self.temporaries.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The boxes of a finished file.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    file_type: Range<u64>,
    data: Range<u64>,
    movie: Range<u64>,
    /// Tables in the `moov` box, in the order of the file.
    tables: Vec<OffsetTable>,
}

/// Entries of a table of chunk offsets (ISO 14496-12 8.7.5).
#[derive(Debug, PartialEq, Eq)]
struct OffsetTable {
    entries: Range<u64>,
    /// Bytes per entry: 4 in `stco`, 8 in `co64`.
    width: u64,
}

impl Plan {
    /// Reads the structure of a file. Returns `None` unless it consists of `ftyp`, other boxes, and `moov` at the
    /// end.
    fn of(source: &mut File) -> io::Result<Option<Self>> {
        let length = source.metadata()?.len();
        let mut boxes = Vec::new();
        let mut at = 0;
        while at < length && boxes.len() < MAX_BOXES {
            let (header, range) = read_header(source, at, length)?;
            at = range.end;
            boxes.push((header.kind, range));
        }
        let [(first, file_type), .., (last, movie)] = boxes.as_slice() else {
            return Ok(None);
        };
        let has_several_movies = boxes.iter().filter(|(kind, _)| kind == b"moov").count() > 1;
        if first != b"ftyp" || last != b"moov" || movie.end != length || has_several_movies {
            return Ok(None);
        }
        let mut tables = Vec::new();
        find_tables(source, movie.clone(), 0, &mut tables)?;
        Ok(Some(Self {
            file_type: file_type.clone(),
            data: file_type.end..movie.start,
            movie: movie.clone(),
            tables,
        }))
    }
}

/// Reads the header of the box at `at`, and returns the range of the box. It must end before `limit`.
fn read_header(source: &mut File, at: u64, limit: u64) -> io::Result<(BoxHeader, Range<u64>)> {
    let mut bytes = Vec::new();
    source.seek(SeekFrom::Start(at))?;
    Read::by_ref(source)
        .take(limit.saturating_sub(at).min(LONGEST_HEADER))
        .read_to_end(&mut bytes)?;
    let header = BoxHeader::read(&mut Reader::new(&bytes)).map_err(|_| invalid(at))?;
    let end = match header.length {
        // The box extends to the end of the file.
        0 => limit,
        length => at.saturating_add(length),
    };
    if end > limit || end < at.saturating_add(header.header) {
        return Err(invalid(at));
    }
    Ok((header, at..end))
}

/// Adds the tables of chunk offsets in a box.
fn find_tables(
    source: &mut File,
    parent: Range<u64>,
    depth: usize,
    tables: &mut Vec<OffsetTable>,
) -> io::Result<()> {
    let (header, _) = read_header(source, parent.start, parent.end)?;
    let mut at = parent.start.saturating_add(header.header);
    while at < parent.end {
        let (header, range) = read_header(source, at, parent.end)?;
        at = range.end;
        match &header.kind {
            b"stco" => tables.push(read_table(source, &header, range, 4)?),
            b"co64" => tables.push(read_table(source, &header, range, 8)?),
            kind if PATH.get(depth) == Some(kind) => {
                find_tables(source, range, depth.saturating_add(1), tables)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_table(
    source: &mut File,
    header: &BoxHeader,
    range: Range<u64>,
    width: u64,
) -> io::Result<OffsetTable> {
    // Version, flags, and the number of entries.
    let start = range.start.saturating_add(header.header);
    let entries_start = start.saturating_add(8);
    let mut fields = [0; 8];
    source.seek(SeekFrom::Start(start))?;
    source.read_exact(&mut fields)?;
    let [.., a, b, c, d] = fields;
    let count = u64::from(u32::from_be_bytes([a, b, c, d]));
    let entries = entries_start..entries_start.saturating_add(count.saturating_mul(width));
    if entries.end != range.end {
        return Err(invalid(range.start));
    }
    Ok(OffsetTable { entries, width })
}

fn invalid(at: u64) -> io::Error {
    let why = format!("the boxes of the file are damaged at byte {at}");
    io::Error::new(ErrorKind::InvalidData, why)
}

/// Copy of a file in the new order.
struct Copy<'a> {
    source: &'a mut File,
    out: &'a File,
    is_cancelled: &'a AtomicBool,
}

impl Copy<'_> {
    fn run(&mut self, plan: &Plan) -> io::Result<()> {
        self.copy(plan.file_type.clone())?;
        self.copy_movie(plan)?;
        self.copy(plan.data.clone())
    }

    /// Copies bytes unchanged. The system may share the blocks of both files instead.
    fn copy(&mut self, range: Range<u64>) -> io::Result<()> {
        self.source.seek(SeekFrom::Start(range.start))?;
        let mut rest = range.end.saturating_sub(range.start);
        while rest > 0 {
            self.ensure_running()?;
            let mut step = Read::by_ref(self.source).take(rest.min(STEP_BYTES));
            let copied = io::copy(&mut step, &mut self.out)?;
            if copied == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            rest = rest.saturating_sub(copied);
        }
        Ok(())
    }

    /// Copies the `moov` box, and adds its length to all chunk offsets.
    fn copy_movie(&mut self, plan: &Plan) -> io::Result<()> {
        let shift = plan.movie.end.saturating_sub(plan.movie.start);
        let mut at = plan.movie.start;
        for table in &plan.tables {
            self.copy(at..table.entries.start)?;
            self.copy_table(table, shift, &plan.data)?;
            at = table.entries.end;
        }
        self.copy(at..plan.movie.end)
    }

    fn copy_table(&mut self, table: &OffsetTable, shift: u64, data: &Range<u64>) -> io::Result<()> {
        let Range { start, end } = table.entries;
        self.source.seek(SeekFrom::Start(start))?;
        let length = end.saturating_sub(start);
        let mut entries = io::BufReader::new(Read::by_ref(self.source).take(length));
        let mut out = BufWriter::new(self.out);
        for _ in 0..length.checked_div(table.width).unwrap_or(0) {
            let mut entry = [0; 8];
            let unused = 8_usize.saturating_sub(table.width as usize);
            let bytes = entry.get_mut(unused..).unwrap_or_default();
            entries.read_exact(bytes)?;
            let offset = u64::from_be_bytes(entry);
            if !data.contains(&offset) {
                return Err(invalid(start));
            }
            let moved = offset.saturating_add(shift).to_be_bytes();
            let (high, low) = moved.split_at(unused);
            if high.iter().any(|byte| *byte > 0) {
                let why = "the file is too large for its 32-bit chunk offsets";
                return Err(io::Error::new(ErrorKind::InvalidData, why));
            }
            out.write_all(low)?;
        }
        out.flush()
    }

    fn ensure_running(&self) -> io::Result<()> {
        match self.is_cancelled.load(Ordering::Relaxed) {
            true => Err(io::Error::new(ErrorKind::Interrupted, "interrupted")),
            false => Ok(()),
        }
    }
}

/// Fails if the disk of `path` has less free space than `needed`.
fn ensure_space(path: &Path, needed: u64) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    match fs4::available_space(directory) {
        Ok(free) if free < needed => {
            let why = format!(
                "the copy needs {}, but only {} are free",
                ByteSize(needed),
                ByteSize(free)
            );
            Err(io::Error::new(ErrorKind::StorageFull, why))
        }
        // A file system may not report its free space.
        _ => Ok(()),
    }
}

/// File with a temporary name. It is deleted unless it replaces the other file.
#[derive(Debug)]
struct TemporaryFile<'f> {
    file: File,
    path: PathBuf,
    is_finished: bool,
    faststart: &'f Faststart,
}

impl<'f> TemporaryFile<'f> {
    /// Creates the file next to `output`, or reuses the file of a killed process.
    fn create(output: &Path, faststart: &'f Faststart) -> io::Result<Self> {
        let mut name = OsString::from(output);
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path)?;
        lock(&file)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file)
            .take(LONGEST_HEADER)
            .read_to_end(&mut start)?;
        if !start.is_empty() && !has_file_type(&start) {
            let why = format!(
                "{} exists and is not a temporary file of rtmpull; move it away first",
                path.display()
            );
            return Err(io::Error::new(ErrorKind::AlreadyExists, why));
        }
        file.set_len(0)?;
        file.rewind()?;
        faststart.temporaries().push(path.clone());
        Ok(Self {
            file,
            path,
            is_finished: false,
            faststart,
        })
    }

    fn replace(mut self, output: &Path) -> io::Result<()> {
        keep_attributes(&self.file, &fs::metadata(output)?)?;
        // Sync before the rename: otherwise a crash could leave an empty file under the final name.
        ignore_unsupported_sync(self.file.sync_all())?;
        fs::rename(&self.path, output)?;
        self.is_finished = true;
        sync_directory_of(output);
        Ok(())
    }
}

impl Drop for TemporaryFile<'_> {
    fn drop(&mut self) {
        self.faststart
            .temporaries()
            .retain(|path| *path != self.path);
        if !self.is_finished {
            let _file_remains = fs::remove_file(&self.path);
        }
    }
}

/// Suffix of the temporary file.
const SUFFIX: &str = ".faststart";

/// Boxes from `moov` to the tables of chunk offsets.
const PATH: [[u8; 4]; 4] = [*b"trak", *b"mdia", *b"minf", *b"stbl"];

/// Length of the header of a box with a 64-bit length.
const LONGEST_HEADER: u64 = 16;

/// Largest number of top-level boxes. A finished file has three.
const MAX_BOXES: usize = 16;

/// Bytes that are copied between two checks for cancellation.
const STEP_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes()[..], kind, body].concat()
    }

    fn track(table: &[u8]) -> Vec<u8> {
        let tables = [put(b"stsd", &[7; 9]), table.to_vec()].concat();
        let media = put(b"minf", &put(b"stbl", &tables));
        put(
            b"trak",
            &[put(b"tkhd", &[5; 20]), put(b"mdia", &media)].concat(),
        )
    }

    fn offsets(kind: &[u8; 4], entries: &[&[u8]]) -> Vec<u8> {
        let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
        let body = [&[0; 4][..], &count, &entries.concat()].concat();
        put(kind, &body)
    }

    /// Returns a file whose chunks are the bytes "AAAA" and "BBBB", with offsets from `shift` on.
    fn file(is_front: bool) -> Vec<u8> {
        let file_type = put(b"ftyp", b"isom\0\0\0\0");
        let data = put(b"mdat", b"..AAAA..BBBB..");
        let movie = |shift: u64| {
            let at = |text: &[u8]| {
                let found = data.windows(4).position(|window| window == text);
                (file_type.len() + found.unwrap()) as u64 + shift
            };
            let (first, second) = (at(b"AAAA"), at(b"BBBB"));
            let long = offsets(b"co64", &[&first.to_be_bytes(), &second.to_be_bytes()]);
            let short = offsets(b"stco", &[&(second as u32).to_be_bytes()]);
            put(
                b"moov",
                &[track(&long), track(&short), put(b"udta", &[1; 3])].concat(),
            )
        };
        let length = movie(0).len() as u64;
        match is_front {
            false => [file_type.clone(), data.clone(), movie(0)].concat(),
            true => [file_type.clone(), movie(length), data.clone()].concat(),
        }
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn names(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path()).unwrap().count()
    }

    #[test]
    fn tables_move_before_the_data_and_offsets_are_corrected() {
        let (folder, path) = written(&file(false));
        for _ in 0..2 {
            // The second run finds the box at the start.
            Faststart::default().move_movie_to_start(&path).unwrap();
            assert!(fs::read(&path).unwrap() == file(true));
            assert_eq!(names(&folder), 1);
        }
    }

    #[test]
    fn a_cancelled_copy_leaves_the_file_unchanged() {
        let (folder, path) = written(&file(false));
        let faststart = Faststart::default();
        assert!(!faststart.cancel());
        let error = faststart.move_movie_to_start(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(fs::read(&path).unwrap() == file(false));
        assert_eq!(names(&folder), 1);
    }

    #[test]
    fn a_copy_that_is_cancelled_late_does_not_replace_the_file() {
        let (folder, path) = written(&file(false));
        let faststart = Faststart::default();
        let temporary = TemporaryFile::create(&path, &faststart).unwrap();
        assert_eq!(names(&folder), 2);
        assert!(faststart.cancel());
        assert_eq!(names(&folder), 1);
        temporary.replace(&path).unwrap_err();
        assert!(fs::read(&path).unwrap() == file(false));
        assert_eq!(names(&folder), 1);
    }

    #[test]
    fn the_temporary_file_of_a_killed_process_is_reused_but_no_other_file() {
        let (folder, path) = written(&file(false));
        let temporary = folder.path().join("clip.mp4.faststart");
        fs::write(&temporary, "a text of the user").unwrap();
        let error = Faststart::default().move_movie_to_start(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&temporary).unwrap(), b"a text of the user");
        assert!(fs::read(&path).unwrap() == file(false));
        fs::write(&temporary, &file(true)[..30]).unwrap();
        Faststart::default().move_movie_to_start(&path).unwrap();
        assert!(fs::read(&path).unwrap() == file(true));
        assert_eq!(names(&folder), 1);
    }

    #[test]
    fn damaged_files_stay_unchanged() {
        let intact = file(false);
        for at in 0..intact.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut damaged = intact.clone();
                damaged[at] = value;
                let (folder, path) = written(&damaged);
                if Faststart::default().move_movie_to_start(&path).is_err() {
                    assert!(fs::read(&path).unwrap() == damaged, "byte {at}");
                }
                assert_eq!(fs::metadata(&path).unwrap().len(), intact.len() as u64);
                assert_eq!(names(&folder), 1, "byte {at}");
            }
        }
        for end in 0..intact.len() {
            let (folder, path) = written(&intact[..end]);
            let _unchanged = Faststart::default().move_movie_to_start(&path);
            assert!(fs::read(&path).unwrap() == intact[..end]);
            assert_eq!(names(&folder), 1);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let (folder, path) = written(&file(false));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link.mp4");
        symlink(&path, &link).unwrap();
        Faststart::default().move_movie_to_start(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read(&path).unwrap() == file(true));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}
