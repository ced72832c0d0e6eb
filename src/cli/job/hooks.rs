//! Commands of `--on-segment` and `--on-start`.

use std::{
    env,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Folders and extensions that the system tries to find a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgramSearch {
    /// Folders in order; `None` leaves the choice to the system.
    pub folders: Option<Vec<PathBuf>>,
    /// Extensions of programs, with the dot; `None` on systems that mark programs by their permissions.
    pub extensions: Option<Vec<String>>,
}

impl ProgramSearch {
    /// Reads the environment of this process.
    pub(super) fn here() -> Self {
        let path = env::var_os("PATH");
        let listed = path.map(|path| env::split_paths(&path).collect::<Vec<_>>());
        if !cfg!(windows) {
            return Self {
                folders: listed,
                extensions: None,
            };
        }
        // Windows tries the folder of the running program and its own folders first.
        let own = env::current_exe().ok();
        let own = own.as_deref().and_then(Path::parent).map(Path::to_owned);
        let root = env::var_os("SystemRoot").map(PathBuf::from);
        let system = root.map(|root| [root.join("System32"), root]);
        let first = own.into_iter().chain(system.into_iter().flatten());
        let extensions = env::var("PATHEXT").unwrap_or_else(|_| ".COM;.EXE;.BAT;.CMD".to_owned());
        Self {
            folders: Some(first.chain(listed.into_iter().flatten()).collect()),
            extensions: Some(extensions.split(';').map(str::to_owned).collect()),
        }
    }

    /// Returns the path of `program`, a name to search for or a path.
    fn find(&self, program: &str) -> Result<Option<PathBuf>, NotFound> {
        let is_path = program.contains(['/', MAIN_SEPARATOR]);
        let candidates: Vec<_> = match &self.folders {
            _ if is_path => vec![PathBuf::from(program)],
            Some(folders) => folders.iter().map(|folder| folder.join(program)).collect(),
            None => return Ok(None),
        };
        let names = candidates.iter().flat_map(|path| self.names(path));
        match names.into_iter().find(|path| is_program(path)) {
            Some(found) => Ok(Some(found)),
            None if !is_path => Err(NotFound::InFolders),
            None if Path::new(program).exists() => Err(NotFound::NotExecutable),
            None => Err(NotFound::Missing),
        }
    }

    /// Returns the names that `path` may stand for: a name without extension gets those of programs.
    fn names(&self, path: &Path) -> Vec<PathBuf> {
        let Some(extensions) = &self.extensions else {
            return vec![path.to_owned()];
        };
        let extended = extensions.iter().map(|extension| {
            let mut name = path.as_os_str().to_owned();
            name.push(extension);
            PathBuf::from(name)
        });
        let complete = path.extension().map(|_| path.to_owned());
        complete.into_iter().chain(extended).collect()
    }
}

/// Why a program cannot be run.
#[derive(Debug, PartialEq, Eq)]
enum NotFound {
    InFolders,
    Missing,
    NotExecutable,
}

/// Splits the command of `option` into words, and checks that its program exists. `facts` are the names that
/// may stand in braces.
pub(super) fn command(
    option: &str,
    text: &str,
    facts: &[&str],
    search: &ProgramSearch,
) -> Result<Vec<String>> {
    let mut words = shell_words::split(text).with_context(|| format!("{option} {text:?}"))?;
    let program = words.first_mut().filter(|program| !program.is_empty());
    let program = program
        .with_context(|| format!("{option} needs the name of a program, but its value is empty"))?;
    match search.find(program) {
        // Windows itself adds no extension but .exe.
        Ok(Some(found)) if cfg!(windows) => {
            if let Some(found) = found.to_str() {
                found.clone_into(program);
            }
        }
        Ok(_) => {}
        Err(NotFound::InFolders) => {
            bail!("{option}: the program {program:?} is not in a folder of PATH")
        }
        Err(NotFound::Missing) => bail!("{option}: the program {program:?} does not exist"),
        Err(NotFound::NotExecutable) => bail!("{option}: {program:?} is not an executable program"),
    }
    warn_about_unexpanded(option, &words, facts);
    Ok(words)
}

/// Warns about words that the user probably expects to be expanded.
fn warn_about_unexpanded(option: &str, words: &[String], facts: &[&str]) {
    let is_shell = |word: &String| {
        let name = Path::new(word).file_stem().unwrap_or_default();
        SHELLS.iter().any(|shell| name == *shell)
    };
    if !words.iter().any(is_shell)
        && let Some(variable) = words.iter().find_map(|word| variable(word))
    {
        tracing::warn!(
            "{option} runs without a shell, so {variable} is not expanded: use {{path}} and the other values \
             in braces, or sh -c"
        );
    }
    let fields = facts.iter().map(|fact| format!("{{{fact}}}"));
    for field in fields {
        if words[1..]
            .iter()
            .any(|word| word.contains(&field) && *word != field)
        {
            tracing::warn!("{option}: {field} is replaced only as a separate word");
        }
    }
}

/// Returns a variable of the hook in the notation of a shell: `$RTMPULL_PATH`, `${RTMPULL_PATH}` or
/// `%RTMPULL_PATH%`.
fn variable(word: &str) -> Option<&str> {
    let name = word.find(VARIABLE_PREFIX)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = word[name..]
        .find(|c| !is_name(c))
        .map_or(word.len(), |end| name + end);
    let (before, after) = (&word[..name], &word[end..]);
    match () {
        () if before.ends_with("${") && after.starts_with('}') => Some(&word[name - 2..=end]),
        () if before.ends_with('%') && after.starts_with('%') => Some(&word[name - 1..=end]),
        () if before.ends_with('$') => Some(&word[name - 1..end]),
        () => None,
    }
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    let found = path.metadata();
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

const VARIABLE_PREFIX: &str = "RTMPULL_";

/// Programs that expand variables in their arguments.
const SHELLS: [&str; 10] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "fish",
    "busybox",
    "pwsh",
    "powershell",
    "cmd",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_recognized_in_every_notation() {
        for (word, expected) in [
            ("$RTMPULL_PATH", Some("$RTMPULL_PATH")),
            ("--file=${RTMPULL_PATH}.bak", Some("${RTMPULL_PATH}")),
            ("%RTMPULL_PATH%", Some("%RTMPULL_PATH%")),
            ("a$RTMPULL_BYTES/é", Some("$RTMPULL_BYTES")),
            ("RTMPULL_PATH", None),
            ("$ENV{RTMPULL_PATH}", None),
            ("$HOME", None),
            ("", None),
        ] {
            assert_eq!(variable(word), expected, "{word}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn programs_are_found_by_name_and_by_path() {
        use std::{fs, os::unix::fs::PermissionsExt};

        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for (name, mode) in [("run", 0o755), ("text", 0o644)] {
            fs::write(inside(name), "").unwrap();
            fs::set_permissions(inside(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let search = ProgramSearch {
            folders: Some(vec!["/nowhere".into(), folder.path().to_owned()]),
            extensions: None,
        };
        let find = |program: &str| search.find(program);
        let path = |name: &str| inside(name).to_str().unwrap().to_owned();
        assert_eq!(find("run"), Ok(Some(inside("run"))));
        assert_eq!(find("text"), Err(NotFound::InFolders));
        assert_eq!(find("none"), Err(NotFound::InFolders));
        assert_eq!(find(&path("run")), Ok(Some(inside("run"))));
        assert_eq!(find(&path("text")), Err(NotFound::NotExecutable));
        assert_eq!(find(&path("none")), Err(NotFound::Missing));
        assert_eq!(find(&path("")), Err(NotFound::NotExecutable));
        let unknown = ProgramSearch::default();
        assert_eq!(unknown.find("none"), Ok(None), "the system decides");
    }

    #[cfg(unix)]
    #[test]
    fn names_without_extension_get_those_of_windows_programs() {
        use std::{fs, os::unix::fs::PermissionsExt};

        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        for name in ["plain", "upload.CMD", "tool.exe"] {
            fs::write(inside(name), "").unwrap();
            fs::set_permissions(inside(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let search = ProgramSearch {
            folders: Some(vec![folder.path().to_owned()]),
            extensions: Some([".exe", ".CMD"].map(str::to_owned).into()),
        };
        for (program, found) in [
            ("upload", Some("upload.CMD")),
            ("upload.CMD", Some("upload.CMD")),
            ("tool", Some("tool.exe")),
            ("plain", None),
        ] {
            let found = found.map(inside).ok_or(NotFound::InFolders);
            assert_eq!(search.find(program), found.map(Some), "{program}");
        }
    }

    #[test]
    fn a_command_without_program_is_an_error() {
        let search = ProgramSearch::default();
        let command = |text: &str| command("--on-start", text, &[], &search);
        assert_eq!(command("a 'b c' \"\"").unwrap(), ["a", "b c", ""]);
        for text in ["", "  ", "'' a", "a 'b"] {
            assert!(command(text).is_err(), "{text:?}");
        }
    }
}
