//! Splits the output of a test into lines and bounds it: keeps the beginning and the end of long
//! output.
//!
//! Pure: takes chunks of bytes, returns lines.

use std::collections::VecDeque;

/// Output is reported as it arrives up to this many bytes.
const REPORT_LIMIT: usize = 1 << 20;
/// Bytes after which a test is stopped; no reasonable test prints that much.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// Lines are cut at this many bytes.
const LONGEST_LINE: usize = 16 << 10;
/// Number of last lines kept when the output is too long to be reported completely.
const LAST_LINES: usize = 20;

/// The output stream of a chunk; lines of different streams are not mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Stdout,
    Stderr,
}

/// Output so far.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    open: [Vec<u8>; 2],
    bytes: u64,
    reported: usize,
    left_out: u64,
    last: VecDeque<String>,
}

impl OutputBuffer {
    /// Adds a chunk and returns the lines to report now.
    pub(crate) fn take(&mut self, from: OutputStream, piece: &[u8]) -> Vec<String> {
        self.bytes += piece.len() as u64;
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(LONGEST_LINE)) {
            let open = &mut self.open[from as usize];
            open.extend_from_slice(part);
            if open.ends_with(b"\n") || open.len() >= LONGEST_LINE {
                let line = text(&std::mem::take(open));
                lines.extend(self.line(line));
            }
        }
        lines
    }

    /// Returns the remaining lines at the end of the output.
    pub(crate) fn rest(mut self) -> Vec<String> {
        let open = std::mem::take(&mut self.open).into_iter().filter(|line| !line.is_empty());
        let mut lines: Vec<String> = open.filter_map(|line| self.line(text(&line))).collect();
        if self.left_out > 0 {
            lines.push(format!("… {} lines are left out …", self.left_out));
        }
        lines.extend(self.last);
        lines
    }

    /// Whether the output exceeds the limit.
    pub(crate) fn is_endless(&self) -> bool {
        self.bytes > OUTPUT_LIMIT
    }

    fn line(&mut self, line: String) -> Option<String> {
        self.reported += line.len() + 1;
        if self.reported <= REPORT_LIMIT {
            return Some(line);
        }
        self.last.push_back(line);
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
            self.left_out += 1;
        }
        None
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_two_outputs_are_kept_apart() {
        let mut printed = OutputBuffer::default();
        assert_eq!(printed.take(OutputStream::Stdout, b"a\r\nb"), ["a"]);
        assert_eq!(printed.take(OutputStream::Stderr, b"x\ny"), ["x"]);
        assert_eq!(printed.take(OutputStream::Stdout, b"c\n\n"), ["bc", ""]);
        assert_eq!(printed.take(OutputStream::Stdout, b"\xff"), [""; 0]);
        assert_eq!(printed.rest(), ["\u{fffd}", "y"]);
    }

    #[test]
    fn of_much_the_beginning_and_the_end_are_told() {
        let mut printed = OutputBuffer::default();
        let mut reported = 0;
        for line in 0..200_000 {
            reported += printed.take(OutputStream::Stdout, format!("line {line}\n").as_bytes()).len();
        }
        assert!(!printed.is_endless());
        let rest = printed.rest();
        assert_eq!(rest.len(), LAST_LINES + 1);
        assert_eq!(rest[0], format!("… {} lines are left out …", 200_000 - reported - LAST_LINES));
        assert_eq!(rest.last().map(String::as_str), Some("line 199999"));
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut printed = OutputBuffer::default();
        let piece = vec![b'x'; 1 << 20];
        let mut reported = 0;
        for _ in 0..65 {
            reported += printed.take(OutputStream::Stderr, &piece).iter().map(String::len).sum::<usize>();
        }
        assert!(printed.is_endless());
        assert!(reported <= REPORT_LIMIT, "{reported}");
        assert!(printed.rest().iter().map(String::len).sum::<usize>() <= (LAST_LINES + 2) * LONGEST_LINE);
    }
}
