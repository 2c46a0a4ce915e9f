//! Formats text in columns that fit the terminal's width.
//!
//! Takes text that is already escaped. Colour is added last, so that it does not count as width.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::report::text::format::Paint;

/// A colour of [`Paint`], chosen before a cell's width is known.
pub(crate) type Colour = fn(Paint, &str) -> String;

/// No colour.
pub(crate) fn plain(_: Paint, text: &str) -> String {
    text.to_owned()
}

/// Shortens a text to at most `width` columns; a shortened text ends in `…`.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Shortens or pads a text to exactly `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// Formats rows of coloured cells as a table. Each row has as many cells as the first one; the
/// columns listed in `right` are right-aligned.
pub(crate) fn table(rows: &[Vec<(String, Colour)>], right: &[usize], paint: Paint) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].0.width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    // An empty column takes no space.
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let mut blank = 0;
        for (column, (text, colour)) in row.iter().enumerate() {
            if widths[column] == 0 {
                continue;
            }
            let missing = widths[column] - text.width();
            let before = if right.contains(&column) { missing } else { 0 };
            line.push_str(&" ".repeat(blank + before));
            line.push_str(&if text.is_empty() { String::new() } else { colour(paint, text) });
            blank = 2 + missing - before;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        for (text, width, expect) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("水水水", 4, "水…"),
            ("水水水", 5, "水水…"),
            ("ab", 0, ""),
            ("ab", 1, "…"),
        ] {
            assert_eq!(fit(text, width), expect, "{text} {width}");
        }
        assert_eq!(pad("a", 3), "a  ");
    }

    #[test]
    fn columns_are_as_wide_as_they_show() {
        let row = |a: &str, b: &str, c: &str| {
            vec![(a.to_owned(), plain as Colour), (b.to_owned(), Paint::red as Colour), (c.to_owned(), plain)]
        };
        let rows = [row("build", "time", "why"), row("水", "1.0 s", ""), row("abc", "", "x")];
        assert_eq!(table(&rows, &[1], Paint::Plain), "build   time  why\n水     1.0 s\nabc           x\n");
        assert!(table(&rows, &[1], Paint::Colour).contains("水     \x1b[1;31m1.0 s\x1b[0m\n"));
    }
}
