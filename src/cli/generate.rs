//! The manual page and the completions, out of the definition of the flags.

use clap::{Command, ValueEnum};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// What can be printed.
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

impl Generate {
    /// It, for `command`.
    pub fn text(self, mut command: Command) -> String {
        let mut out = Vec::new();
        match self.shell() {
            Some(shell) => {
                let name = command.get_name().to_owned();
                generate(shell, &mut command, name, &mut out);
            }
            None => Man::new(command)
                .render(&mut out)
                .expect("memory takes everything"),
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn shell(self) -> Option<Shell> {
        match self {
            Self::Man => None,
            Self::CompleteBash => Some(Shell::Bash),
            Self::CompleteZsh => Some(Shell::Zsh),
            Self::CompleteFish => Some(Shell::Fish),
            Self::CompletePowershell => Some(Shell::PowerShell),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;
    use crate::cli::args::Args;

    /// How each notation writes the long name and the letter of an option.
    const SPELLINGS: [(Generate, &str, &str); 5] = [
        (Generate::Man, r"\-\-", r"\-"),
        (Generate::CompleteBash, "--", "-"),
        (Generate::CompleteZsh, "--", "-"),
        (Generate::CompleteFish, "-l ", "-s "),
        (Generate::CompletePowershell, "'--", "'-"),
    ];

    #[test]
    fn knows_every_option() {
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
    fn explains_every_option_in_the_manual() {
        let manual = Generate::Man.text(Args::command());
        let plain = manual.replace(r"\-", "-").replace(r"\*(Aq", "'");
        for arg in Args::command().get_arguments() {
            let help = arg.get_help().unwrap().to_string();
            let first_words: Vec<&str> = help.split_whitespace().take(4).collect();
            assert!(plain.contains(&first_words.join(" ")), "{help}");
        }
        for heading in ["NAME", "SYNOPSIS", "OPTIONS"] {
            assert!(manual.contains(&format!(".SH {heading}")), "{heading}");
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
