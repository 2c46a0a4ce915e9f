//! Splits a Dockerfile into logical lines as BuildKit does: continuations joined, comments and
//! heredoc bodies left out.

use std::collections::HashMap;
use std::ops::Range;

use plan::Span;

use crate::Problem;
use crate::tree::SourceFile;

use crate::parse::dockerfile::head::Head;
use crate::parse::dockerfile::{frontend, words};

/// The longest line that builders read, in bytes.
const LONGEST_LINE: usize = 65_535;

/// A Dockerfile, line by line.
#[derive(Debug)]
pub(super) struct Lines {
    /// One for each instruction.
    pub(super) lines: Vec<Line>,
    /// The escape character, which also continues lines: `\`, or that of `# escape=`.
    pub(super) escape: char,
    /// The construct that is not closed at the end of the text.
    open: Option<Open>,
    /// Where the first line begins that is too long for builders.
    too_long: Option<usize>,
}

/// An instruction with the lines that continue it, as one line.
#[derive(Debug)]
pub(super) struct Line {
    /// Joined, without line ends and comments.
    pub(super) text: String,
    /// The number of the first line that has text, counted from 1.
    pub(super) number: u32,
    /// The number of the last line of the instruction, including the end of a heredoc.
    pub(super) end: u32,
    pub(super) head: Head,
    /// The instruction after `ONBUILD`.
    pub(super) trigger: Option<Head>,
    /// Ranges of heredoc text in the file in which variables are expanded.
    pub(super) bodies: Vec<Range<usize>>,
    /// The pieces that `text` was joined from, in order; none is empty.
    pieces: Vec<Piece>,
}

/// A part of a line's text that is contiguous in the file.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where the piece begins in the line's text.
    at: usize,
    /// Where the piece begins in the file.
    offset: usize,
}

#[derive(Debug)]
enum Open {
    /// The last line ends in a continuation.
    Continuation { at: usize },
    /// The last line is a continuation and nothing else.
    Nothing { at: usize },
    /// `<<{name}` has no line `{name}`.
    Heredoc { name: String, at: usize },
    /// `<< {name}` has no line `{name}`: new builders read this as a heredoc, old ones do not.
    SpacedHeredoc { name: String, at: usize },
}

impl Line {
    /// The keyword as written.
    pub(super) fn word(&self) -> &str {
        self.text.trim_start().get(..self.head.keyword.len()).unwrap_or_default()
    }

    /// The text after the keyword.
    pub(super) fn behind(&self) -> &str {
        &self.text[self.head.behind..]
    }

    /// Converts a range of `text` to a range of the file. A range across a line end includes it.
    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        let end = match range.end.checked_sub(1).filter(|last| *last >= range.start) {
            Some(last) => self.offset(last) + 1,
            None => self.offset(range.start),
        };
        Span { start: self.offset(range.start), end }
    }

    /// Converts a position in `text` to one in the file. A position after the last byte becomes the
    /// end.
    pub(super) fn offset(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        let behind = self.pieces.partition_point(|piece| piece.at <= at);
        self.pieces[..behind].last().map_or(0, |piece| piece.offset + (at - piece.at))
    }
}

impl Lines {
    /// Returns problems that every builder rejects.
    pub(super) fn problems(&self, file: &SourceFile) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(at) = self.too_long {
            let message = format!("a line is longer than {LONGEST_LINE} bytes, which no builder reads");
            let help = "split it with continuations, or put the data into a file beside the Dockerfile";
            problems.push(Problem::in_file("long-line", &file.path, message).at(&file.text, at).help(help));
        }
        if let Some(at) = file.text.find('\0') {
            let problem =
                Problem::in_file("instruction", &file.path, "a NUL byte, which no instruction can hold");
            problems.push(problem.at(&file.text, at).help("remove it"));
        }
        if let Some(Open::Nothing { at }) = self.open {
            let message = format!("a continuation ('{}') with nothing before or behind it", self.escape);
            problems.push(
                Problem::in_file("instruction", &file.path, message)
                    .at(&file.text, at)
                    .help("remove the line"),
            );
        }
        if let Some(Open::Heredoc { name, at }) = &self.open {
            problems.push(
                Problem::in_file("heredoc-open", &file.path, format!("the heredoc {name:?} has no end"))
                    .at(&file.text, *at)
                    .help(format!("end it with a line that holds {name:?} and nothing else")),
            );
        }
        problems
    }

    /// Reports the first conflict marker of an unfinished git merge.
    pub(super) fn conflict(&self, file: &SourceFile) -> Option<Problem> {
        let pieces = self.lines.iter().flat_map(|line| line.pieces.iter().map(|piece| piece.offset));
        let mut marks = pieces.filter(|offset| is_conflict_mark(&file.text, *offset));
        let at = marks.next()?;
        let problem = Problem::in_file("merge-conflict", &file.path, "a merge conflict was committed");
        let help = "keep one of the two sides, and remove the lines <<<<<<<, ======= and >>>>>>>";
        Some(problem.at(&file.text, at).help(help))
    }

    /// Reports an unclosed construct that would swallow text appended to this one.
    pub(super) fn problems_at_end(&self, file: &SourceFile) -> Option<Problem> {
        match self.open.as_ref()? {
            Open::Continuation { at } => Some(
                Problem::in_file(
                    "fragment-open",
                    &file.path,
                    format!("the fragment ends in a continuation ('{}')", self.escape),
                )
                .at(&file.text, *at)
                .help("remove it: the next fragment would become a part of this instruction"),
            ),
            Open::SpacedHeredoc { name, at } => Some(
                Problem::in_file("heredoc-open", &file.path, format!("the heredoc {name:?} has no end"))
                    .at(&file.text, *at)
                    .help(format!(
                        "end it with a line that holds {name:?} and nothing else; if it is a shift and no \
                         heredoc, put it into quotes"
                    )),
            ),
            Open::Heredoc { .. } | Open::Nothing { .. } => None,
        }
    }
}

/// Joins physical lines. Never fails: unclosed constructs are reported by [`Lines::problems`] and
/// [`Lines::problems_at_end`].
pub(super) fn read(text: &str) -> Lines {
    let escape = frontend::escape(text);
    let mut rest = Physical { text, at: frontend::start(text), number: 0, last: None, too_long: None };
    let mut lines = Lines { lines: Vec::new(), escape, open: None, too_long: None };
    while let Some((at, first)) = rest.next() {
        let first = trim_line_end(first);
        let indent = first.len() - first.trim_start().len();
        if first.trim_start().is_empty() || is_comment(first) {
            continue;
        }
        let room = first.len();
        let mut line = Line {
            text: String::with_capacity(room),
            number: rest.number,
            end: 0,
            head: Head::default(),
            trigger: None,
            bodies: Vec::new(),
            pieces: Vec::new(),
        };
        let mut continuation = push(&mut line, &first[indent..], at + indent, escape);
        while let Some(open_at) = continuation {
            let Some((at, next)) = rest.next() else {
                lines.open = Some(Open::Continuation { at: open_at });
                break;
            };
            let next = trim_line_end(next);
            if is_comment(next) || next.trim_start().is_empty() {
                continue;
            }
            if line.text.is_empty() {
                line.number = rest.number;
            }
            continuation = push(&mut line, next, at, escape);
        }
        if line.text.trim().is_empty() {
            if let Some(Open::Continuation { at }) = lines.open {
                lines.open = Some(Open::Nothing { at });
            }
            continue;
        }
        line.head = Head::read(&line.text, 0);
        if line.head.is("onbuild") {
            line.trigger = Some(Head::read(&line.text, line.head.behind));
        }
        if can_have_heredocs(&line) {
            for heredoc in words::heredocs(&line.text) {
                let at = line.offset(heredoc.at);
                if heredoc.spaced && !rest.ends(&heredoc) {
                    lines.open = Some(Open::SpacedHeredoc { name: heredoc.name, at });
                    break;
                }
                let body = rest.at;
                let Some(end) = rest.skip_heredoc(&heredoc) else {
                    lines.open = Some(Open::Heredoc { name: heredoc.name, at });
                    break;
                };
                if heredoc.expands {
                    line.bodies.push(body..end);
                }
            }
        }
        line.end = rest.number;
        lines.lines.push(line);
    }
    lines.too_long = rest.too_long;
    lines
}

/// Whether a line begins at a position with a conflict marker of git.
fn is_conflict_mark(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let begins_line = at.checked_sub(1).is_none_or(|before| bytes[before] == b'\n');
    let mark = bytes.get(at..at + 7).unwrap_or_default();
    begins_line && (mark == b"<<<<<<<" || mark == b">>>>>>>") && bytes.get(at + 7) == Some(&b' ')
}

/// Cleans a path in a context as builders do: `..` does not leave the context. The context itself
/// is the empty path.
pub(super) fn clean(path: &str) -> String {
    let is_clean = |pair: &[u8]| pair[0] != b'/' || !matches!(pair[1], b'/' | b'.');
    if !path.starts_with(['/', '.']) && !path.ends_with('/') && path.as_bytes().windows(2).all(is_clean) {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Adds a physical line. Returns the position of its continuation character, if any.
///
/// This is BuildKit's rule: the escape character at the end, possibly followed by blanks, and not
/// preceded by the same character.
fn push(line: &mut Line, text: &str, at: usize, escape: char) -> Option<usize> {
    let trimmed = text.trim_end_matches([' ', '\t']);
    let body = trimmed.strip_suffix(escape).filter(|body| !body.ends_with(escape));
    let kept = body.unwrap_or(text);
    if !kept.is_empty() {
        line.pieces.push(Piece { at: line.text.len(), offset: at });
    }
    line.text.push_str(kept);
    body.map(|body| at + body.len())
}

/// Whether an instruction can have heredocs: RUN, COPY and ADD can, also as triggers.
fn can_have_heredocs(line: &Line) -> bool {
    let head = line.trigger.as_ref().unwrap_or(&line.head);
    matches!(head.keyword.as_str(), "run" | "copy" | "add") && line.text.contains("<<")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn trim_line_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// The physical lines of the file.
struct Physical<'a> {
    text: &'a str,
    at: usize,
    number: u32,
    /// The last occurrence of each line, with and without leading tabs. Created on demand; it keeps
    /// the search for a missing end from being quadratic.
    last: Option<HashMap<&'a str, usize>>,
    /// Where the first line begins that is too long for builders.
    too_long: Option<usize>,
}

impl<'a> Physical<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let at = self.at;
        let rest = self.text.get(at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        self.at += length;
        if length > LONGEST_LINE && rest[..length].trim_end_matches('\n').len() > LONGEST_LINE {
            self.too_long.get_or_insert(at);
        }
        self.number = self.number.saturating_add(1);
        Some((at, &rest[..length]))
    }

    /// Whether a heredoc's end follows further down.
    fn ends(&mut self, heredoc: &words::Heredoc) -> bool {
        let last = self.last.get_or_insert_with(|| {
            let mut last = HashMap::new();
            let mut at = 0;
            for line in self.text.split_inclusive('\n') {
                last.insert(trim_line_end(line), at);
                last.insert(trim_line_end(line).trim_start_matches('\t'), at);
                at += line.len();
            }
            last
        });
        last.get(heredoc.name.as_str()).is_some_and(|at| *at >= self.at)
    }

    /// Skips the body of a heredoc and returns where it ends; `None` if it has no end.
    fn skip_heredoc(&mut self, heredoc: &words::Heredoc) -> Option<usize> {
        while let Some((at, line)) = self.next() {
            let line = trim_line_end(line);
            let line = if heredoc.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == heredoc.name {
                return Some(at);
            }
        }
        None
    }
}
