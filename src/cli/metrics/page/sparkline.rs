//! A small chart without axes.

use std::fmt;

use crate::cli::terminal::units::size;

/// Returns an SVG element that shows the samples from left to right. The largest one reaches the top.
pub(super) fn sparkline(samples: &[u32]) -> impl fmt::Display {
    Sparkline(samples)
}

struct Sparkline<'a>(&'a [u32]);

impl fmt::Display for Sparkline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let top = self.0.iter().copied().max().unwrap_or(0);
        let right = self.0.len().saturating_sub(1);
        write!(
            f,
            "<svg viewBox=\"0 0 {right} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"at most {}/s\">",
            size(top.into())
        )?;
        write!(f, "<path class=\"area\" d=\"M0 {HEIGHT}")?;
        self.write_points(f, top, 'L')?;
        write!(f, "L{right} {HEIGHT}Z\"/><path class=\"line\" d=\"")?;
        self.write_points(f, top, 'M')?;
        f.write_str("\"/></svg>")
    }
}

impl Sparkline<'_> {
    /// Writes the points. `first` is the command before the first one.
    fn write_points(&self, f: &mut fmt::Formatter<'_>, top: u32, first: char) -> fmt::Result {
        for (x, sample) in self.0.iter().enumerate() {
            let command = if x == 0 { first } else { 'L' };
            let share = f64::from(*sample) / f64::from(top.max(1));
            let y = f64::from(HEIGHT) * (1.0 - share);
            write!(f, "{command}{x} {y:.1}")?;
        }
        Ok(())
    }
}

/// Height of the drawing in its own units.
const HEIGHT: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sample_reaches_the_top() {
        let svg = sparkline(&[0, 1024, 512]).to_string();
        assert!(svg.contains("viewBox=\"0 0 2 20\""), "{svg}");
        assert!(
            svg.contains("d=\"M0 20L0 20.0L1 0.0L2 10.0L2 20Z\""),
            "{svg}"
        );
        assert!(svg.contains("d=\"M0 20.0L1 0.0L2 10.0\""), "{svg}");
        assert!(svg.contains("at most 1 KiB/s"), "{svg}");
    }

    #[test]
    fn silence_is_a_flat_line() {
        let svg = sparkline(&[0, 0]).to_string();
        assert!(svg.contains("d=\"M0 20.0L1 20.0\""), "{svg}");
        assert!(sparkline(&[]).to_string().contains("<svg"));
    }
}
