//! Names of the files of a recording.

use std::{
    cmp::Reverse,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

use jiff::Zoned;

use super::file;

/// A file name with fields for the number of the segment or the time.
///
/// | field | value |
/// | --- | --- |
/// | `%d`, `%03d` | number of the segment, from 1 |
/// | `%Y` `%y` `%m` `%e` `%j` | year, its last two digits, month, day of the month, day of the year |
/// | `%H` `%I` `%p` `%M` `%S` | hour, hour on a 12-hour clock, AM or PM, minute, second |
/// | `%F` `%T` `%s` `%z` | date, time of day, seconds since 1970, offset from UTC |
/// | `%%` | a percent sign |
///
/// Every time field has a constant width, including the day of the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The name as the user specified it.
    source: PathBuf,
    pieces: Vec<Piece>,
    /// Whether the name of a directory contains a field.
    has_directory_fields: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Counter { width: usize },
    Time(char),
}

impl Template {
    /// Parses a name. Returns `None` if it has no field, or a percent sign that does not start one: such a
    /// name is used unchanged.
    pub fn parse(name: &Path) -> Option<Self> {
        let mut rest = name.to_str()?;
        let mut pieces = Vec::new();
        while let Some((text, field)) = rest.split_once('%') {
            pieces.push(Piece::Text(text.to_owned()));
            let (piece, length) = Piece::parse(field)?;
            pieces.push(piece);
            rest = &field[length..];
        }
        if pieces.is_empty() {
            return None;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let is_field = |piece: &Piece| !matches!(piece, Piece::Text(_));
        let from_field = pieces.iter().skip_while(|piece| !is_field(piece));
        let is_separator = |c| c == '/' || c == MAIN_SEPARATOR;
        let has_directory_fields = from_field
            .into_iter()
            .any(|piece| matches!(piece, Piece::Text(text) if text.contains(is_separator)));
        Some(Self {
            source: name.to_owned(),
            pieces,
            has_directory_fields,
        })
    }

    /// Creates a template without fields: every segment gets the first free name of `name.flv`, `name.2.flv`
    /// and so on.
    pub fn literal(name: &Path) -> Self {
        Self {
            source: name.to_owned(),
            pieces: vec![Piece::Text(name.to_string_lossy().into_owned())],
            has_directory_fields: false,
        }
    }

    /// The name as the user specified it.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The extension of the name.
    pub(super) fn extension(&self) -> Option<&OsStr> {
        self.source.extension()
    }

    /// Whether the name contains the number of the segment.
    pub fn has_counter(&self) -> bool {
        let is_counter = |piece: &Piece| matches!(piece, Piece::Counter { .. });
        self.pieces.iter().any(is_counter)
    }

    /// Number of seconds for which the name stays the same; `None` if it does not contain the time.
    pub fn constant_seconds(&self) -> Option<u32> {
        let seconds = |piece: &Piece| match piece {
            Piece::Time('S' | 's' | 'T') => Some(1),
            Piece::Time('M') => Some(60),
            Piece::Time('H' | 'I') => Some(3_600),
            Piece::Time(_) => Some(86_400),
            Piece::Text(_) | Piece::Counter { .. } => None,
        };
        self.pieces.iter().filter_map(seconds).min()
    }

    /// Whether the name of a directory contains a field. Such directories are created.
    pub(super) fn has_directory_fields(&self) -> bool {
        self.has_directory_fields
    }

    /// Name of segment `number`, whose first frame arrived at `start`.
    pub(super) fn name(&self, number: u32, start: &Zoned) -> PathBuf {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Counter { width } => format!("{number:0width$}"),
            // In strftime, %d has a leading zero and %e a space. Here %d is the number.
            Piece::Time('e') => start.strftime("%d").to_string(),
            Piece::Time(field) => {
                let time = start.strftime(&format!("%{field}")).to_string();
                // NTFS takes a colon for the start of a stream name.
                if cfg!(windows) {
                    time.replace(':', "-")
                } else {
                    time
                }
            }
        };
        let name: String = self.pieces.iter().map(text).collect();
        name.into()
    }
}

impl Piece {
    /// Parses the field at the start of `text`, after its percent sign. Returns its length as well.
    fn parse(text: &str) -> Option<(Self, usize)> {
        let mut chars = text.chars();
        match chars.next()? {
            '%' => Some((Self::Text("%".to_owned()), 1)),
            'd' => Some((Self::Counter { width: 1 }, 1)),
            '0' => {
                let width = chars.next()?.to_digit(10).filter(|width| *width > 0)?;
                (chars.next()? == 'd').then_some((
                    Self::Counter {
                        width: width as usize,
                    },
                    3,
                ))
            }
            field if TIME_FIELDS.contains(field) => Some((Self::Time(field), 1)),
            _ => None,
        }
    }
}

/// Opens the files of a recording. Only a plain first name replaces an existing file.
#[derive(Debug)]
pub(super) struct SegmentNames {
    pattern: Pattern,
    /// Largest number of files.
    most: u32,
    /// Number of files so far.
    opened: u32,
    /// Number in the latest name.
    number: u32,
    /// Latest name that consists of the time alone.
    latest: PathBuf,
}

/// Names of the segments.
#[derive(Debug)]
pub(super) enum Pattern {
    /// `name.flv`, then `name.2.flv`, `name.3.flv` …
    Numbered(PathBuf),
    Template(Template),
}

/// A locked, empty file.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Whether the file did not exist before.
    pub(super) is_new: bool,
}

impl SegmentNames {
    pub(super) fn new(pattern: Pattern, most: u32) -> Self {
        Self {
            pattern,
            most,
            opened: 0,
            number: 0,
            latest: PathBuf::new(),
        }
    }

    /// Allows at least `most` files.
    pub(super) fn allow(&mut self, most: u32) {
        self.most = self.most.max(most);
    }

    /// Gives the following files another extension. They do not replace existing files.
    pub(super) fn use_extension(&mut self, extension: &str) {
        let mut template = match &self.pattern {
            Pattern::Numbered(path) => Template::literal(path),
            Pattern::Template(template) => template.clone(),
        };
        if let Some(Piece::Text(text)) = template.pieces.last_mut() {
            let stem = match text.rsplit_once('.') {
                Some((stem, old)) if !old.contains(['/', MAIN_SEPARATOR]) => stem,
                _ => text.as_str(),
            };
            *text = format!("{stem}.{extension}");
        }
        self.pattern = Pattern::Template(template);
        self.number = 0;
        self.latest = PathBuf::new();
    }

    /// Replaces the limit of the number of files.
    #[cfg(test)]
    pub(super) fn limit(&mut self, most: u32) {
        self.most = most;
    }

    /// The name as the user specified it.
    pub(super) fn source(&self) -> &Path {
        match &self.pattern {
            Pattern::Numbered(path) => path,
            Pattern::Template(template) => &template.source,
        }
    }

    /// Counts the file of an earlier run as the first one.
    pub(super) fn use_existing(&mut self) {
        self.opened = 1;
        self.number = 1;
    }

    /// Opens the next file. `start` is the arrival time of its first frame.
    ///
    /// # Errors
    ///
    /// Fails with [`io::ErrorKind::AlreadyExists`] if there are too many files, or no free name.
    pub(super) fn open(&mut self, start: &Zoned) -> io::Result<OpenedFile> {
        if let (Pattern::Numbered(path), 0) = (&self.pattern, self.opened) {
            let path = path.clone();
            let file = file::open(&path).map_err(|error| with_path(&path, &error))?;
            self.use_existing();
            return Ok(OpenedFile {
                path,
                file,
                is_new: false,
            });
        }
        if self.opened >= self.most {
            let why = format!("the recording has {} segments already", self.opened);
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        self.prepare(start)?;
        self.create_next(start)
    }

    /// Creates the directories that the time names, and restarts the numbers if it names another file.
    fn prepare(&mut self, start: &Zoned) -> io::Result<()> {
        let Pattern::Template(template) = &self.pattern else {
            return Ok(());
        };
        let name = template.name(self.number.saturating_add(1), start);
        if template.has_directory_fields
            && let Some(directory) = name.parent()
        {
            fs::create_dir_all(directory)?;
        }
        if !template.has_counter() && name != self.latest {
            self.number = 0;
            self.latest = name;
        }
        Ok(())
    }

    /// Creates a file with the next number that is not in use.
    fn create_next(&mut self, start: &Zoned) -> io::Result<OpenedFile> {
        while self.number < MAX_NUMBER {
            self.number = self.number.saturating_add(1);
            let path = self.name(start);
            match file::open_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened.map_err(|error| with_path(&path, &error))?;
                    self.opened = self.opened.saturating_add(1);
                    return Ok(OpenedFile {
                        path,
                        file,
                        is_new: true,
                    });
                }
            }
        }
        let why = format!("all names up to number {MAX_NUMBER} are in use");
        Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
    }

    fn name(&self, start: &Zoned) -> PathBuf {
        match &self.pattern {
            Pattern::Numbered(path) => numbered_name(path, self.number),
            Pattern::Template(template) if template.has_counter() => {
                template.name(self.number, start)
            }
            Pattern::Template(_) if self.number == 1 => self.latest.clone(),
            Pattern::Template(_) => numbered_name(&self.latest, self.number),
        }
    }
}

/// Returns the files of an existing recording, the latest first: `name.flv` and its later segments
/// `name.2.flv`, `name.3.flv` …
///
/// The modification time decides, not the number: a recording that replaced `name.flv` may have left later
/// segments of an older one. Without `name.flv` there is no recording.
pub(crate) fn existing_segments(path: &Path) -> Vec<PathBuf> {
    let mut segments = Vec::new();
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    if let (Ok(first), Ok(entries)) = (modified(path), fs::read_dir(directory)) {
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let later = path.with_file_name(&name);
            if let Some(number) = number_of(&name, path)
                && let Ok(modified) = modified(&later)
            {
                segments.push((modified, number, later));
            }
        }
        segments.push((first, 1, path.to_owned()));
    }
    segments.sort_by_key(|(modified, number, _)| Reverse((*modified, *number)));
    segments.into_iter().map(|(_, _, path)| path).collect()
}

/// Returns the number in the name of a later segment of `path`.
fn number_of(name: &OsStr, path: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_str()?;
    let rest = name.to_str()?.strip_prefix(stem)?.strip_prefix('.')?;
    let number = match path.extension() {
        Some(extension) => rest.strip_suffix(extension.to_str()?)?.strip_suffix('.')?,
        None => rest,
    };
    let number = number.parse().ok()?;
    let is_canonical = numbered_name(path, number).file_name() == Some(name);
    (number > 1 && is_canonical).then_some(number)
}

/// Inserts a number into `name.flv`: `name.2.flv`.
pub fn numbered_name(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Largest number in a name. Numbers that are in use count as well.
const MAX_NUMBER: u32 = 10_000_000;

/// Supported fields of strftime. None of them starts a percent-encoded byte of UTF-8, so that `%C3%A9` is
/// not a field.
const TIME_FIELDS: &str = "YymejHIpMSFTsz";

/// Adds the path to the text of an error.
pub(super) fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn start() -> Zoned {
        "2026-11-05T07:08:09+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn template(name: &str) -> Option<Template> {
        Template::parse(Path::new(name))
    }

    #[test]
    fn number_and_time_are_inserted() {
        let cases = [
            ("cam-%d.flv", "cam-7.flv"),
            ("cam-%03d.flv", "cam-007.flv"),
            ("%Y%m%e-%H%M%S.flv", "20261105-070809.flv"),
            ("%F_%T %z.flv", "2026-11-05_07:08:09 +0100.flv"),
            ("%y-%j %I %p %s", "26-309 07 AM 1793858889"),
            ("100%%/%d%%", "100%/7%"),
        ];
        for (name, expected) in cases {
            let template = template(name).unwrap();
            assert_eq!(template.name(7, &start()), Path::new(expected), "{name}");
        }
    }

    #[test]
    fn a_literal_name_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("100%.flv");
        fs::write(&path, "precious").unwrap();
        let pattern = Pattern::Template(Template::literal(&path));
        let mut names = SegmentNames::new(pattern, 9);
        let opened = [(); 2].map(|()| names.open(&start()).unwrap().path);
        assert_eq!(opened, [2, 3].map(|number| numbered_name(&path, number)));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_name_with_another_percent_sign_is_not_a_template() {
        let names = [
            "cam.flv",
            "100%.flv",
            "%",
            "a%20b.flv",
            "%Y-%q.flv",
            "%0d",
            "%3d",
            "%00d",
            "%03x",
            "caf%C3%A9.flv",
            "caf%c3%a9.flv",
            "%e2%82%ac",
            "%F0%9F%8E%A5",
            "%d0%b0",
            "%2F",
        ];
        for name in names {
            assert_eq!(template(name), None, "{name}");
        }
    }

    #[test]
    fn the_time_field_with_the_finest_unit_determines_the_constant_seconds() {
        let cases = [
            ("%d", None, true),
            ("%F", Some(86_400), false),
            ("%F-%H", Some(3_600), false),
            ("%H%M-%02d", Some(60), true),
            ("%T", Some(1), false),
            ("%%", None, false),
        ];
        for (name, seconds, has_counter) in cases {
            let template = template(name).unwrap();
            assert_eq!(template.constant_seconds(), seconds, "{name}");
            assert_eq!(template.has_counter(), has_counter, "{name}");
        }
    }

    /// Names of the files that are opened after the first in a directory that contains `existing`.
    fn opened(pattern: &str, existing: &[&str], starts: &[Zoned]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in existing {
            fs::write(folder.path().join(name), "precious").unwrap();
        }
        let path = folder.path().join(pattern);
        let pattern = Template::parse(&path).map_or(Pattern::Numbered(path), Pattern::Template);
        let mut names = SegmentNames::new(pattern, 100);
        if let Pattern::Numbered(_) = names.pattern {
            names.use_existing();
        }
        let opened = starts.iter().map(|start| names.open(start).unwrap().path);
        let relative = opened.map(|path| path.strip_prefix(folder.path()).unwrap().to_owned());
        let opened = relative
            .map(|path| path.to_str().unwrap().to_owned())
            .collect();
        for name in existing {
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"precious");
        }
        opened
    }

    #[test]
    fn names_in_use_are_skipped() {
        let now = start();
        let later = now
            .checked_add(jiff::SignedDuration::from_hours(1))
            .unwrap();
        let starts = [now.clone(), now, later];
        assert_eq!(
            opened("a.flv", &["a.flv", "a.3.flv"], &starts),
            ["a.2.flv", "a.4.flv", "a.5.flv"]
        );
        assert_eq!(
            opened("%02d.flv", &["02.flv"], &starts),
            ["01.flv", "03.flv", "04.flv"]
        );
        assert_eq!(
            opened("%H.flv", &["08.flv"], &starts),
            ["07.flv", "07.2.flv", "08.2.flv"]
        );
        assert_eq!(
            opened("%e/%H-%d", &[], &starts),
            ["05/07-1", "05/07-2", "05/08-3"]
        );
    }

    #[test]
    fn the_number_of_files_is_limited() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = SegmentNames::new(Pattern::Numbered(folder.path().join("a")), 2);
        for is_new in [false, true] {
            assert_eq!(names.open(&start()).unwrap().is_new, is_new);
        }
        let error = names.open(&start()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn existing_segments_are_sorted_by_time_then_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let create = |name: &str, seconds| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(now + Duration::from_secs(seconds))
                .unwrap();
        };
        let path = folder.path().join("a.flv");
        assert!(existing_segments(&path).is_empty());
        create("a.2.flv", 1);
        assert!(existing_segments(&path).is_empty(), "the first is missing");
        let others = [
            "b.2.flv", "a.02.flv", "a.1.flv", "a.x.flv", "a.3.mp4", "a.2",
        ];
        others.iter().for_each(|name| create(name, 9));
        create("a.flv", 2);
        create("a.10.flv", 3);
        create("a.3.flv", 3);
        let names: Vec<_> = existing_segments(&path)
            .iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a.10.flv", "a.3.flv", "a.flv", "a.2.flv"]);
    }

    #[test]
    fn the_number_precedes_the_extension() {
        let numbered = |path: &str, number| numbered_name(Path::new(path), number);
        assert_eq!(numbered("a/name.flv", 2), Path::new("a/name.2.flv"));
        assert_eq!(numbered("name", 3), Path::new("name.3"));
    }
}
