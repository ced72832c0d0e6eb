//! What the files of an output are called.

use std::{
    fs::{self, File},
    io,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

use jiff::Zoned;

use super::{destination::naming, file};

/// A file name with a counter or the time in it.
///
/// | field | what stands there |
/// | --- | --- |
/// | `%d`, `%03d` | the number of the part, from 1 |
/// | `%Y` `%y` `%m` `%e` `%j` | year, its last two digits, month, day of the month, day of the year |
/// | `%H` `%I` `%p` `%M` `%S` | hour, hour of twelve, AM or PM, minute, second |
/// | `%F` `%T` `%s` `%z` | date, time of day, seconds since 1970, offset from Greenwich |
/// | `%%` | a percent sign |
///
/// Each is of constant width, the day of the month too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The name as it was given.
    source: PathBuf,
    pieces: Vec<Piece>,
    /// Whether a field is in a folder's name.
    names_folders: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Counter { width: usize },
    Time(char),
}

impl Template {
    /// Reads a name; `None` where it has no field, or a percent sign that begins none: such a name is
    /// taken as it is.
    pub fn parse(name: &Path) -> Option<Self> {
        let mut rest = name.to_str()?;
        let mut pieces = Vec::new();
        while let Some((text, behind)) = rest.split_once('%') {
            pieces.push(Piece::Text(text.to_owned()));
            let (piece, length) = Piece::read(behind)?;
            pieces.push(piece);
            rest = &behind[length..];
        }
        if pieces.is_empty() {
            return None;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let is_field = |piece: &Piece| !matches!(piece, Piece::Text(_));
        let behind_field = pieces.iter().skip_while(|piece| !is_field(piece));
        let is_folder = |c| c == '/' || c == MAIN_SEPARATOR;
        let names_folders = behind_field
            .into_iter()
            .any(|piece| matches!(piece, Piece::Text(text) if text.contains(is_folder)));
        Some(Self {
            source: name.to_owned(),
            pieces,
            names_folders,
        })
    }

    /// Whether each part has another name.
    pub fn has_counter(&self) -> bool {
        let is_counter = |piece: &Piece| matches!(piece, Piece::Counter { .. });
        self.pieces.iter().any(is_counter)
    }

    /// For how many seconds the name stays the same; `None` without a time in it.
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

    /// The name as it was given, fields and all.
    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    /// The name of part `number` that begins at `start`.
    fn name(&self, number: u32, start: &Zoned) -> PathBuf {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Counter { width } => format!("{number:0width$}"),
            // The system's %d has the zero in front that its %e has not.
            Piece::Time('e') => start.strftime("%d").to_string(),
            Piece::Time(field) => start.strftime(&format!("%{field}")).to_string(),
        };
        let name: String = self.pieces.iter().map(text).collect();
        name.into()
    }
}

impl Piece {
    /// What stands behind a percent sign, and how many bytes of it belong to it.
    fn read(text: &str) -> Option<(Self, usize)> {
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

/// Names for one file after another, none of which takes the place of anything.
#[derive(Debug)]
pub(super) struct Names {
    pattern: Pattern,
    /// How many files there may be.
    most: u32,
    /// How many there are.
    made: u32,
    /// The number in the latest name.
    number: u32,
    /// The latest name made of the time alone.
    latest: PathBuf,
}

#[derive(Debug)]
pub(super) enum Pattern {
    /// `name.flv`, then `name.2.flv`, `name.3.flv` …; the first name is the caller's business.
    Numbered(PathBuf),
    Template(Template),
}

impl Names {
    pub(super) fn new(pattern: Pattern, most: u32) -> Self {
        let number = match pattern {
            Pattern::Numbered(_) => 1,
            Pattern::Template(_) => 0,
        };
        Self {
            made: number,
            number,
            pattern,
            most,
            latest: PathBuf::new(),
        }
    }

    /// Lets there be at least so many files.
    pub(super) fn allow(&mut self, most: u32) {
        self.most = self.most.max(most);
    }

    /// Makes a file under the next name where nothing is yet.
    pub(super) fn create(&mut self, start: &Zoned) -> io::Result<(PathBuf, File)> {
        if self.made >= self.most {
            let why = format!("there are {} parts already", self.made);
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        self.begin(start)?;
        while self.number < MAX_NUMBER {
            self.number += 1;
            let path = self.name(start);
            match file::open_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened.map_err(|error| naming(&path, &error))?;
                    self.made += 1;
                    return Ok((path, file));
                }
            }
        }
        let why = format!("no free name up to number {MAX_NUMBER}");
        Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
    }

    /// Makes the folders that the time names, and counts anew where it names another file.
    fn begin(&mut self, start: &Zoned) -> io::Result<()> {
        let Pattern::Template(template) = &self.pattern else {
            return Ok(());
        };
        let name = template.name(self.number + 1, start);
        if template.names_folders
            && let Some(folder) = name.parent()
        {
            fs::create_dir_all(folder)?;
        }
        if !template.has_counter() && name != self.latest {
            self.number = 0;
            self.latest = name;
        }
        Ok(())
    }

    fn name(&self, start: &Zoned) -> PathBuf {
        match &self.pattern {
            Pattern::Numbered(path) => numbered(path, self.number),
            Pattern::Template(template) if template.has_counter() => {
                template.name(self.number, start)
            }
            Pattern::Template(_) if self.number == 1 => self.latest.clone(),
            Pattern::Template(_) => numbered(&self.latest, self.number),
        }
    }
}

/// `name.flv` with a number: `name.2.flv`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The highest number in a name, those that others have taken included.
const MAX_NUMBER: u32 = 10_000_000;

/// The fields of strftime that are known. Those that begin a byte of UTF-8 in percent notation are
/// not among them, so that `%C3%A9` stays what it is.
const TIME_FIELDS: &str = "YymejHIpMSFTsz";

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Zoned {
        "2026-11-05T07:08:09+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn template(name: &str) -> Option<Template> {
        Template::parse(Path::new(name))
    }

    #[test]
    fn counter_and_time_are_filled_in() {
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
    fn a_name_with_any_other_percent_sign_is_taken_as_it_is() {
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
    fn it_is_known_how_long_a_name_lasts() {
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

    /// The names of so many files in a folder where `there` are already.
    fn created(pattern: &str, there: &[&str], starts: &[Zoned]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in there {
            fs::write(folder.path().join(name), "precious").unwrap();
        }
        let path = folder.path().join(pattern);
        let pattern = Template::parse(&path).map_or(Pattern::Numbered(path), Pattern::Template);
        let mut names = Names::new(pattern, 100);
        let created = starts.iter().map(|start| names.create(start).unwrap().0);
        let relative = created.map(|path| path.strip_prefix(folder.path()).unwrap().to_owned());
        let created = relative
            .map(|path| path.to_str().unwrap().to_owned())
            .collect();
        for name in there {
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"precious");
        }
        created
    }

    #[test]
    fn no_name_is_taken_twice() {
        let now = start();
        let later = now
            .checked_add(jiff::SignedDuration::from_hours(1))
            .unwrap();
        let starts = [now.clone(), now, later];
        assert_eq!(
            created("a.flv", &["a.flv", "a.3.flv"], &starts),
            ["a.2.flv", "a.4.flv", "a.5.flv"]
        );
        assert_eq!(
            created("%02d.flv", &["02.flv"], &starts),
            ["01.flv", "03.flv", "04.flv"]
        );
        assert_eq!(
            created("%H.flv", &["08.flv"], &starts),
            ["07.flv", "07.2.flv", "08.2.flv"]
        );
        assert_eq!(
            created("%e/%H-%d", &[], &starts),
            ["05/07-1", "05/07-2", "05/08-3"]
        );
    }

    #[test]
    fn names_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Names::new(Pattern::Numbered(folder.path().join("a")), 2);
        assert!(names.create(&start()).is_ok());
        let error = names.create(&start()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn numbers_stand_before_the_extension() {
        let numbered = |path: &str, number| numbered(Path::new(path), number);
        assert_eq!(numbered("a/name.flv", 2), Path::new("a/name.2.flv"));
        assert_eq!(numbered("name", 3), Path::new("name.3"));
    }
}
