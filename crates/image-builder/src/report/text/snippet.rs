//! Shows a source line with a marked range, as compilers do.
//!
//! No library is used: the line is untrusted and escaped first, and the mark must match the escaped
//! text.

use unicode_width::UnicodeWidthStr as _;

use crate::cli::escape::escape;
use crate::report::text::format::Paint;

/// How much of a line is shown, in columns of a terminal.
const WIDTH: usize = 100;
/// Characters of the line shown before the mark.
const BEFORE: usize = 40;

/// A line that is longer than this, in bytes, is not shown: no person wrote it.
const LONGEST: usize = 10_000;

/// Formats a line with `width` characters from `column` on marked; both count from 1. Without a
/// column, the whole line is marked; without a width, the word at the column. `number` is the line
/// number in the file.
pub(crate) fn excerpt(
    line: &str,
    number: u32,
    column: Option<u32>,
    width: Option<u32>,
    paint: Paint,
) -> Option<String> {
    if line.len() > LONGEST {
        return None;
    }
    let characters: Vec<char> = line.trim_end().chars().collect();
    let start = match column {
        Some(column) => usize::try_from(column).ok()?.checked_sub(1)?,
        None => characters.iter().take_while(|c| c.is_whitespace()).count(),
    };
    // The position may be at or beyond the end of the line.
    let start = start.min(characters.len());
    let length = match (column, width) {
        (None, _) => characters.len() - start,
        (Some(_), Some(width)) => usize::try_from(width).ok()?,
        (Some(_), None) => word(&characters[start..]),
    };
    let end = start.saturating_add(length).min(characters.len());
    let from = if start > BEFORE + 2 && characters.len() > WIDTH { start - BEFORE } else { 0 };
    let to = characters.len().min(from + WIDTH);
    let (start, end) = (start.min(to), end.clamp(start.min(to), to));
    let piece = |from: usize, to: usize| -> String {
        characters[from..to].iter().collect::<String>().replace('\t', "    ").replace('\u{feff}', "")
    };
    let (left, right) = (if from > 0 { "… " } else { "" }, if to < characters.len() { " …" } else { "" });
    let number = number.to_string();
    let gutter = " ".repeat(number.len());
    // Escape the whole text at once, because a command can extend over several pieces.
    let whole = escape(&piece(from, to)).into_owned();
    let indent = left.width() + escape(&piece(from, start)).width();
    let marks = "^".repeat(escape(&piece(start, end)).width().max(1));
    Some(format!(
        "  {gutter} {bar}\n  {number} {bar} {left}{whole}{right}\n  {gutter} {bar} {space}{marks}\n",
        bar = paint.dim("|"),
        number = paint.dim(&number),
        space = " ".repeat(indent),
        marks = paint.red(&marks),
    ))
}

/// The length of the word at the start of a text, which ends at white space or at the closing
/// quote. A comment counts as one word.
fn word(text: &[char]) -> usize {
    let Some(first) = text.first() else { return 0 };
    if *first == '#' {
        return text.len();
    }
    if matches!(first, '"' | '\'') {
        let end = text.iter().skip(1).position(|c| c == first);
        return end.map_or(text.len(), |end| end + 2);
    }
    let end = text.iter().position(|c| c.is_whitespace()).unwrap_or(text.len());
    match text[..end] {
        [] => 0,
        [.., ',' | '}' | ']'] if end > 1 => end - 1,
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, line: u32, column: Option<u32>, width: Option<u32>) -> String {
        let shown = text.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
        excerpt(shown, line, column, width, Paint::Plain).unwrap_or_default()
    }

    #[test]
    fn the_mark_stands_under_what_is_meant() {
        insta::assert_snapshot!(check("FROM a\r\nFROM debian:12 AS x\r\n", 2, Some(6), Some(9)), @"
            |
          2 | FROM debian:12 AS x
            |      ^^^^^^^^^
        ");
        // Without a length a word is marked; without a position the whole line.
        insta::assert_snapshot!(check("{ \"imag\": 1 }", 1, Some(3), None), @r#"
            |
          1 | { "imag": 1 }
            |   ^^^^^^
        "#);
        insta::assert_snapshot!(check("\t\tRUN x y", 1, None, None), @"
            |
          1 |         RUN x y
            |         ^^^^^^^
        ");
        // Wide characters, zero-width characters, a byte order mark, the end of a line.
        insta::assert_snapshot!(check("\u{feff}水水 e\u{301} x", 1, Some(8), Some(1)), @"
          |
        1 | 水水 é x
          |        ^
        ");
        insta::assert_snapshot!(check("{}", 1, Some(9), None), @"
            |
          1 | {}
            |   ^
        ");
        assert_eq!(check(&"x".repeat(LONGEST + 1), 1, Some(1), None), "");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_escaped_and_the_mark_moves_with_it() {
        insta::assert_snapshot!(check("a\x1b[31m ::x ##vso[y] b", 1, Some(21), Some(1)), @r"
          |
        1 | a\x1b[31m ::x \x23#vso[y] b
          |                           ^
        ");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_mark_is_shown() {
        let long = format!("{}here{}", "x ".repeat(200), " y".repeat(200));
        let shown = check(&long, 1, Some(401), Some(4));
        assert!(shown.lines().all(|line| line.chars().count() < 120), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[1].find("here").map(|at| lines[1][..at].chars().count()),
            lines[2].find('^'),
            "{shown}"
        );
    }
}
