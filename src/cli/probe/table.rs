//! Rows of a probe in aligned columns.

/// A titled group of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// A field and its value, both without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) value: String,
}

impl Section {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, unless the value is unknown.
    pub(super) fn add(&mut self, label: impl Into<String>, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.rows.push(Row {
                label: label.into(),
                value: value.into(),
            });
        }
    }
}

/// Formats sections as lines: the title, then the indented rows with aligned values.
pub(super) fn lines(sections: &[Section]) -> Vec<String> {
    let mut lines = Vec::new();
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        let labels = section.rows.iter().map(|row| columns_of(&row.label));
        let width = labels.fold(LABEL_WIDTH, usize::max);
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(section.title.clone());
        for row in &section.rows {
            let label = padded(&row.label, width);
            lines.push(format!("  {label}  {}", row.value).trim_end().to_owned());
        }
    }
    lines
}

/// Width of the labels, which only sections with longer ones exceed.
const LABEL_WIDTH: usize = 18;

/// Appends spaces up to `width` columns of a terminal.
pub(super) fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns_of(text));
    format!("{text}{}", " ".repeat(missing))
}

/// Returns the number of columns that `text` takes on a terminal.
pub(super) fn columns_of(text: &str) -> usize {
    console::measure_text_width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned() {
        let mut first = Section::new("Server");
        first.add("software", Some("nginx-rtmp"));
        first.add("duration", None::<String>);
        let mut second = Section::new("Video v0");
        second.add("B-frames", Some("no"));
        let empty = Section::new("File");
        let expected = [
            "Server",
            "  software            nginx-rtmp",
            "",
            "Video v0",
            "  B-frames            no",
        ];
        assert_eq!(lines(&[first, empty, second]), expected);
    }

    #[test]
    fn wide_characters_keep_the_columns_aligned() {
        assert_eq!(padded("\u{4f60}", 4), "\u{4f60}  ");
    }
}
