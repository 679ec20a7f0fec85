//! How many tests a program says have passed and failed, read from the lines it prints.

use std::ops::AddAssign;

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn ran(self) -> usize {
        self.passed + self.failed
    }

    /// Counts a closing line of cargo test, node's test runner, Playwright or Vitest; other lines say nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(figures) = line.strip_prefix("test result: ") {
            let figures = figures.split_once(". ").map_or(figures, |(_, figures)| figures);
            self.add(figures.split("; "));
        } else if let Some(figures) = line.strip_prefix("Tests ") {
            self.add(figures.trim().split('|'));
        } else if let Some(figure) = line.strip_prefix(['ℹ', '#']).map(str::trim) {
            match figure.split_once(' ') {
                Some(("pass", count)) => self.passed += count.parse().unwrap_or(0),
                Some(("fail", count)) => self.failed += count.parse().unwrap_or(0),
                _ => {}
            }
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            let bare = line.split_once(" (").map_or(line, |(bare, _)| bare);
            self.add([bare].into_iter());
        }
    }

    /// Adds figures such as `12 passed`.
    fn add<'a>(&mut self, figures: impl Iterator<Item = &'a str>) {
        for figure in figures {
            let mut words = figure.split_whitespace();
            let count = words.next().and_then(|count| count.parse().ok()).unwrap_or(0);
            match words.next().filter(|_| words.next().is_none_or(|more| more.starts_with('('))) {
                Some("passed") => self.passed += count,
                Some("failed") => self.failed += count,
                _ => {}
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> (usize, usize) {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        (tally.passed, tally.failed)
    }

    #[test]
    fn closing_lines_of_every_runner_in_use_are_counted() {
        let cargo = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(tally(&[cargo]), (3, 1));
        assert_eq!(tally(&["test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured"]), (7, 0));
        assert_eq!(tally(&["ℹ tests 5", "ℹ pass 4", "ℹ fail 1"]), (4, 1));
        assert_eq!(tally(&["# tests 5", "# pass 4", "# fail 1"]), (4, 1));
        assert_eq!(tally(&["  1 failed", "    [chromium] a.spec.ts:3:1", "  12 passed (3.4s)"]), (12, 1));
        assert_eq!(tally(&["      Tests  1 failed | 12 passed (13)"]), (12, 1));
    }

    #[test]
    fn other_lines_say_nothing() {
        assert_eq!(
            tally(&["test a_test ... ok", "12 passed tests are nice", "ℹ duration_ms 12", "", "3"]),
            (0, 0)
        );
    }
}
