//! The man page and the shell completions, generated from the definitions of the options.

mod roff;

use std::io;

use clap::{Command, ValueEnum};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// Document that `--generate` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// The manual page
    Man,
    /// Completions for Bash
    CompleteBash,
    /// Completions for Zsh
    CompleteZsh,
    /// Completions for fish
    CompleteFish,
    /// Completions for PowerShell
    CompletePowershell,
}

/// Sections of the man page that follow the options, in the Markdown that [`roff::from_markdown`] reads.
pub(super) const MANUAL: &str = include_str!("manual.md");

impl Generate {
    /// Returns the document for `command`.
    pub fn text(self, mut command: Command) -> String {
        let shell = match self {
            Self::Man => return man_page(command),
            Self::CompleteBash => Shell::Bash,
            Self::CompleteZsh => Shell::Zsh,
            Self::CompleteFish => Shell::Fish,
            Self::CompletePowershell => Shell::PowerShell,
        };
        let mut out = Vec::new();
        let name = command.get_name().to_owned();
        generate(shell, &mut command, name, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn man_page(command: Command) -> String {
    let title = format!(
        ".TH rtmpull 1 \"\" \"rtmpull {}\" \"User Commands\"\n",
        command.get_version().unwrap_or_default()
    );
    let man = Man::new(command);
    let section = |render: fn(&Man, &mut dyn io::Write) -> io::Result<()>| {
        let mut out = Vec::new();
        render(&man, &mut out).expect("writing to memory cannot fail");
        String::from_utf8_lossy(&out).into_owned()
    };
    let options = section(Man::render_options_section);
    [
        title,
        NO_HYPHENATION.to_owned(),
        section(Man::render_name_section),
        section(Man::render_synopsis_section),
        section(Man::render_description_section),
        // clap_mangen makes a section of each help heading. They become subsections of OPTIONS.
        options
            .replace("\n.SH ", "\n.SS ")
            .replacen(".SS ", ".SH ", 1),
        roff::from_markdown(MANUAL),
    ]
    .concat()
}

/// Options and names must stay in one piece. Without hyphenation, justified lines have large gaps.
const NO_HYPHENATION: &str = ".nh\n.ad l\n";

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;
    use crate::cli::args::Args;

    /// Prefixes of long and short options in each document.
    const SPELLINGS: [(Generate, &str, &str); 5] = [
        (Generate::Man, r"\-\-", r"\-"),
        (Generate::CompleteBash, "--", "-"),
        (Generate::CompleteZsh, "--", "-"),
        (Generate::CompleteFish, "-l ", "-s "),
        (Generate::CompletePowershell, "'--", "'-"),
    ];

    #[test]
    fn every_document_contains_every_option() {
        for (what, long_prefix, letter_prefix) in SPELLINGS {
            let text = what.text(Args::command());
            for arg in Args::command()
                .get_arguments()
                .filter(|arg| !arg.is_positional())
            {
                for name in names(what, arg, long_prefix, letter_prefix) {
                    assert!(has_word(&text, &name), "{what:?} has no {name}:\n{text}");
                }
            }
        }
    }

    #[test]
    fn man_page_explains_every_option() {
        let manual = Generate::Man.text(Args::command());
        let plain = manual.replace(r"\-", "-").replace(r"\*(Aq", "'");
        for arg in Args::command().get_arguments() {
            let help = arg.get_help().unwrap().to_string();
            let first_words: Vec<&str> = help.split_whitespace().take(4).collect();
            assert!(plain.contains(&first_words.join(" ")), "{help}");
        }
        for heading in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "\"EXIT STATUS\"",
            "\"JSON EVENTS\"",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
            "\"SEE ALSO\"",
        ] {
            assert!(manual.contains(&format!("\n.SH {heading}\n")), "{heading}");
        }
        assert!(manual.contains("\n.SS CONNECTION\n"), "{manual}");
    }

    /// A renamed or removed option must not survive in the text.
    #[test]
    fn manual_mentions_only_existing_options() {
        let command = Args::command();
        let is_option = |name: &str| {
            command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(name))
        };
        assert!(
            MANUAL.is_ascii(),
            "groff needs a preprocessor for other characters"
        );
        let spans = MANUAL.split('`').skip(1).step_by(2);
        let words = spans.flat_map(|span| span.split([' ', '\n', '=', '[', '\'']));
        for name in words.filter_map(|word| word.strip_prefix("--")) {
            assert!(
                is_option(name) || name == "name" || name == "rt",
                "--{name}"
            );
        }
    }

    fn names(what: Generate, arg: &Arg, long_prefix: &str, letter_prefix: &str) -> Vec<String> {
        let hyphens = |name: &str| match what {
            Generate::Man => name.replace('-', r"\-"),
            _ => name.to_owned(),
        };
        let long = arg
            .get_long()
            .map(|name| format!("{long_prefix}{}", hyphens(name)));
        let letter = arg
            .get_short()
            .map(|letter| format!("{letter_prefix}{letter}"));
        long.into_iter().chain(letter).collect()
    }

    fn has_word(text: &str, word: &str) -> bool {
        text.match_indices(word).any(|(at, _)| {
            let next = text[at + word.len()..].chars().next();
            next.is_none_or(|next| !next.is_alphanumeric() && next != '-')
        })
    }
}
