//! Conversion of the manual to roff.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// Converts a subset of Markdown to the macros of man(7): headings of two levels, paragraphs, list items,
/// code spans, and fenced code blocks.
///
/// A list item that starts with code spans and a colon, as in "`--flag`: text" or "`word` (0): text", becomes
/// a term with an indented description. Lines of a paragraph or of a list item are joined.
pub(super) fn from_markdown(markdown: &str) -> String {
    let mut roff = Roff::new();
    let mut after_heading = true;
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        // man(7): .SH and .SS start a paragraph themselves.
        let needs_paragraph = !std::mem::take(&mut after_heading);
        if let Some(heading) = line.strip_prefix("# ") {
            roff.control("SH", [heading.to_uppercase().as_str()]);
            after_heading = true;
        } else if let Some(heading) = line.strip_prefix("## ") {
            roff.control("SS", [heading]);
            after_heading = true;
        } else if line == FENCE {
            code_block(&mut roff, lines.by_ref().take_while(|line| *line != FENCE));
        } else {
            let mut text = line.to_owned();
            while let Some(next) = lines.next_if(|line| continues_text(line)) {
                text.push(' ');
                text.push_str(next.trim_start());
            }
            match text.strip_prefix("- ") {
                Some(item) => list_item(&mut roff, item),
                None => {
                    if needs_paragraph {
                        roff.control("PP", []);
                    }
                    roff.text(inlines(&text));
                }
            }
        }
    }
    roff.render()
}

fn continues_text(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("- ") && line != FENCE
}

fn code_block<'a>(roff: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    roff.control("PP", [])
        .control("RS", ["4"])
        .control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).control("RE", []);
}

fn list_item(roff: &mut Roff, item: &str) {
    match item.split_once(": ") {
        Some((term, text)) if term.starts_with('`') && term.ends_with(['`', ')']) => {
            roff.control("TP", [])
                .text(inlines(term))
                .text(inlines(text));
        }
        _ => {
            roff.control("IP", [r"\(bu", "2"]).text(inlines(item));
        }
    }
}

/// Splits a text at its backticks; every second piece is a code span.
fn inlines(text: &str) -> Vec<Inline> {
    let pieces = text.split('`').enumerate();
    let pieces = pieces.filter(|(_, piece)| !piece.is_empty());
    pieces
        .map(|(at, piece)| {
            if at % 2 == 0 {
                roman(piece)
            } else {
                bold(piece)
            }
        })
        .collect()
}

const FENCE: &str = "```";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_man_macros() {
        let markdown = "\
# Exit status

First `-a`
line.

Second.

## A part

- `word` (0): a description
  in two lines
- `-m` limits two steps: lookup and connect
- plain

```
$ rtmpull
.x
```
";
        let expected = r#".SH "EXIT STATUS"
First \fB\-a\fR line.
.PP
Second.
.SS "A part"
.TP
\fBword\fR (0)
a description in two lines
.IP \(bu 2
\fB\-m\fR limits two steps: lookup and connect
.IP \(bu 2
plain
.PP
.RS 4
.nf
$ rtmpull
\&.x
.fi
.RE
"#;
        let roff = from_markdown(markdown);
        assert!(roff.ends_with(expected), "{roff}");
    }
}
