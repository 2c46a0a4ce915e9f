//! Estimates the width of a text without knowing the viewer's fonts.
//!
//! The widths are those of DejaVu Sans, rounded up: it is the widest of the fonts that the picture
//! asks for, so a text fits in the others too.

/// Size of names, in pixels.
pub(super) const NAME: f64 = 13.0;
/// Size of the text below a name.
pub(super) const NOTE: f64 = 11.0;
/// Names of more characters than this are broken into lines.
const LONG: usize = 38;

/// The width of a text in pixels.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let ems: f64 = text.chars().map(letter).sum();
    ems * size * if bold { 1.13 } else { 1.02 }
}

/// In ems.
fn letter(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.29,
        ' ' | '.' | ',' | ':' | ';' | '/' | '\\' | 'I' | 't' | 'f' | '-' | '(' | ')' | '[' | ']' | '!' => 0.4,
        'r' | 'J' | '"' => 0.46,
        'm' | '@' | '%' | 'W' => 1.0,
        'w' | 'M' | 'O' | 'Q' | 'G' | 'H' | 'N' | 'D' | '+' | '=' | '<' | '>' | '~' | '#' => 0.85,
        'a'..='z' | '0'..='9' | '_' | '?' | '*' | '$' => 0.64,
        c if c.is_ascii() => 0.75,
        _ => 1.1,
    }
}

/// Breaks a name into lines that are not too long, after a separator where there is one.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.chars().count() > LONG {
        let limit = rest.char_indices().nth(LONG).map_or(rest.len(), |(at, _)| at);
        let at = rest[..limit].rfind(['/', '-', '_', ':', '@']).map_or(limit, |at| at + 1);
        // Breaking at an early separator would leave a very short line.
        let at = if at * 2 < limit { limit } else { at };
        lines.push(rest[..at].to_owned());
        rest = &rest[at..];
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_broken_where_they_can_be_and_nothing_is_lost() {
        assert_eq!(lines("science/nist"), ["science/nist"]);
        assert_eq!(
            lines("registry.example.org/compute-images/sci/nist:1.0"),
            ["registry.example.org/compute-images/", "sci/nist:1.0"]
        );
        let unbroken = "ä".repeat(80);
        assert_eq!(lines(&unbroken).concat(), unbroken);
        assert!(lines(&unbroken).iter().all(|line| line.chars().count() <= LONG));
    }

    #[test]
    fn wide_letters_are_wider() {
        assert!(width("mmm", NAME, false) > width("iii", NAME, false) * 2.0);
        assert!(width("abc", NAME, true) > width("abc", NAME, false));
    }
}
