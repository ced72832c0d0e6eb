//! A terminal that may hang, as over a lost SSH connection, without delaying the program.

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
};

use console::Term;
use indicatif::TermLike;

use crate::cli::report::json::line_writer::{LineWriter, Priority};

/// Terminal at standard error. Each drawing is queued as one text, so that it is written or left out completely.
#[derive(Debug)]
pub(super) struct QueuedTerminal {
    queue: Arc<LineWriter>,
    drawing: Mutex<String>,
}

impl QueuedTerminal {
    /// `queue` writes to standard error.
    pub(super) fn new(queue: Arc<LineWriter>) -> Self {
        Self {
            queue,
            drawing: Mutex::default(),
        }
    }

    fn add(&self, text: &str) -> io::Result<()> {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        drawing.push_str(text);
        Ok(())
    }

    /// Adds the control sequence that moves the cursor `n` times.
    fn move_cursor(&self, n: usize, direction: char) -> io::Result<()> {
        match n {
            0 => Ok(()),
            n => self.add(&format!("\x1b[{n}{direction}")),
        }
    }
}

impl TermLike for QueuedTerminal {
    fn width(&self) -> u16 {
        Term::stderr().size().1
    }

    fn height(&self) -> u16 {
        Term::stderr().size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        let drawing = mem::take(&mut *drawing);
        if !drawing.is_empty() {
            self.queue.push(drawing, Priority::Low);
        }
        Ok(())
    }
}
