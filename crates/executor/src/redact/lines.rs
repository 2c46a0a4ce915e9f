//! Redacts streams of lines, including secrets that are split across lines.
//!
//! If a secret may begin at the end of a line, the line is held back until the following lines show
//! whether it did.

use super::{Forms, MARK};

/// Maximum number of lines held back, so that an endless run of empty lines does not fill the
/// memory.
const MOST_HELD: usize = 1000;

/// The lines of one output.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Bytes that are held back, without line ends.
    held: Vec<u8>,
    /// Whether each held byte belongs to a secret.
    marked: Vec<bool>,
    /// The positions in `held` at which lines end.
    ends: Vec<usize>,
}

impl Lines {
    /// Adds a line without its line end, and returns the lines that can be shown now.
    pub(crate) fn push(&mut self, line: &str, forms: &Forms) -> Vec<String> {
        self.held.extend_from_slice(line.as_bytes());
        self.marked.resize(self.held.len(), false);
        self.ends.push(self.held.len());
        forms.mark(&self.held, &mut self.marked);
        let safe = match forms.begun(&self.held) {
            Some(start) if self.ends.len() < MOST_HELD => start,
            _ => self.held.len(),
        };
        self.release(safe)
    }

    /// Returns the lines that were held back, at the end of the output.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.release(self.held.len())
    }

    /// Returns the lines that end at or before `safe`.
    fn release(&mut self, safe: usize) -> Vec<String> {
        let count = self.ends.partition_point(|end| *end <= safe);
        let mut start = 0;
        let mut lines = Vec::with_capacity(count);
        for end in self.ends.drain(..count) {
            lines.push(shown(&self.held[start..end], &self.marked[start..end]));
            start = end;
        }
        self.held.drain(..start);
        self.marked.drain(..start);
        self.ends.iter_mut().for_each(|end| *end -= start);
        lines
    }
}

fn shown(line: &[u8], marked: &[bool]) -> String {
    let mut shown = Vec::with_capacity(line.len());
    let mut at = 0;
    for run in marked.chunk_by(|a, b| a == b) {
        if run[0] {
            shown.extend_from_slice(MARK.as_bytes());
        } else {
            shown.extend_from_slice(&line[at..at + run.len()]);
        }
        at += run.len();
    }
    String::from_utf8_lossy(&shown).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(forms: &Forms, lines: &[&str]) -> Vec<String> {
        let mut output = Lines::default();
        let mut shown: Vec<String> = lines.iter().flat_map(|line| output.push(line, forms)).collect();
        shown.extend(output.rest());
        shown
    }

    #[test]
    fn a_secret_that_is_cut_over_lines_is_found() {
        let forms = Forms::of([b"hunter2-and-more".as_slice()]);
        for (lines, expect) in [
            (vec!["a hunter2-and-more b", "c"], vec!["a *** b", "c"]),
            (vec!["a hunter2-", "and-more b"], vec!["a ***", "*** b"]),
            (vec!["h", "unter2-", "", "and-mor", "e", "x"], vec!["***", "***", "", "***", "***", "x"]),
            (vec!["a hunter2-", "and-less"], vec!["a hunter2-", "and-less"]),
            (vec!["hunter2-", "hunter2-", "and-more"], vec!["hunter2-", "***", "***"]),
            (vec!["x h", "done"], vec!["x h", "done"]),
        ] {
            assert_eq!(all(&forms, &lines), expect, "{lines:?}");
        }
    }

    #[test]
    fn only_what_may_be_a_beginning_is_held_back() {
        let forms = Forms::of([b"hunter2".as_slice()]);
        let mut output = Lines::default();
        assert_eq!(output.push("plain", &forms), ["plain"]);
        assert_eq!(output.push("a hun", &forms), Vec::<String>::new());
        assert_eq!(output.push("dred", &forms), ["a hun", "dred"]);
        let mut held = 0;
        output.push("h", &forms);
        for _ in 0..2 * MOST_HELD {
            held = if output.push("", &forms).is_empty() { held + 1 } else { 0 };
            assert!(held < MOST_HELD);
        }
    }

    proptest! {
        #[test]
        fn lines_stay_as_they_are_but_for_secrets(
            lines in proptest::collection::vec("[ab]{0,6}", 0..12),
            secret in "[ab]{4,7}",
        ) {
            let forms = Forms::of([secret.as_bytes()]);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let shown = all(&forms, &lines);
            prop_assert_eq!(shown.len(), lines.len());
            // A model that processes the whole text at once.
            let whole = lines.concat();
            let mut marked = vec![false; whole.len()];
            for start in 0..whole.len() {
                if whole[start..].starts_with(&secret) {
                    marked[start..start + secret.len()].fill(true);
                }
            }
            let mut at = 0;
            for (line, shown) in lines.iter().zip(&shown) {
                let expect = super::shown(line.as_bytes(), &marked[at..at + line.len()]);
                prop_assert_eq!(shown, &expect);
                at += line.len();
            }
        }
    }
}
