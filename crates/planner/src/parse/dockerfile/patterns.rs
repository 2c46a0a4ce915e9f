//! Matches the patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.
//!
//! `*` matches any text, `?` any character, neither across a line end; `\` escapes these and
//! itself. BuildKit converts patterns to regular expressions (`convertShellPatternToRegex`).
//! Patterns have no alternatives, so both methods find the same text: the shortest or the longest
//! match from one position on.

use std::cell::Cell;

/// The end of a value from which text is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Front,
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
}

/// Returns a value without the text at one end that a pattern matches.
pub(super) fn trim(
    value: &str,
    pattern: &str,
    side: Side,
    longest: bool,
    left: &Cell<usize>,
) -> Result<String, String> {
    let mut tokens = tokens(pattern)?;
    let mut chars: Vec<char> = value.chars().collect();
    spend(left, chars.len(), tokens.len())?;
    match side {
        Side::Front => {
            let end = match_at(&tokens, &chars, longest).unwrap_or(0);
            Ok(chars[end..].iter().collect())
        }
        Side::Back => {
            tokens.reverse();
            chars.reverse();
            let end = match_at(&tokens, &chars, longest).unwrap_or(0);
            Ok(chars[end..].iter().rev().collect())
        }
    }
}

/// Replaces the first match of a pattern in a value, or every match.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    every: bool,
    left: &Cell<usize>,
) -> Result<String, String> {
    let tokens = tokens(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    spend(left, chars.len().saturating_mul(chars.len().max(1)), tokens.len())?;
    let mut replaced = String::new();
    let mut at = 0;
    let mut goes_on = true;
    // An empty match right after another match does not count.
    let mut may_be_empty = true;
    while at <= chars.len() {
        let found = if goes_on { match_at(&tokens, &chars[at..], true) } else { None };
        match found.filter(|length| *length > 0 || may_be_empty) {
            Some(length) => {
                spend(left, replacement.len(), 1)?;
                replaced.push_str(replacement);
                goes_on = every;
                may_be_empty = length == 0;
                if length == 0 {
                    replaced.extend(chars.get(at));
                }
                at += length.max(1);
            }
            None => {
                replaced.extend(chars.get(at));
                may_be_empty = true;
                at += 1;
            }
        }
    }
    Ok(replaced)
}

fn tokens(pattern: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => Token::Char(escaped),
                Some(other) => return Err(format!("a pattern takes no '\\{other}'")),
                None => return Err("a pattern ends in an escape".to_owned()),
            },
            other => Token::Char(other),
        });
    }
    Ok(tokens)
}

/// Returns the length of the prefix that a pattern matches; `None` if it does not match there.
fn match_at(tokens: &[Token], chars: &[char], longest: bool) -> Option<usize> {
    // Tokens that may come next; the last position is reached when all are used up.
    let mut open = vec![false; tokens.len() + 1];
    open[0] = true;
    let mut found = None;
    for at in 0..=chars.len() {
        for token in 0..tokens.len() {
            if open[token] && tokens[token] == Token::Any {
                open[token + 1] = true;
            }
        }
        if open[tokens.len()] {
            found = Some(at);
            if !longest {
                return found;
            }
        }
        let Some(c) = chars.get(at) else { break };
        let mut behind = vec![false; tokens.len() + 1];
        for token in (0..tokens.len()).filter(|token| open[*token]) {
            match tokens[token] {
                Token::Any => behind[token] |= *c != '\n',
                Token::One => behind[token + 1] |= *c != '\n',
                Token::Char(expected) => behind[token + 1] |= *c == expected,
            }
        }
        if !behind.contains(&true) {
            break;
        }
        open = behind;
    }
    found
}

/// Subtracts the cost of a match from the budget of the file.
fn spend(left: &Cell<usize>, length: usize, tokens: usize) -> Result<(), String> {
    let cost = length.saturating_mul(tokens.max(1));
    let rest = left.get().checked_sub(cost).ok_or("the values of variables are too long for patterns")?;
    left.set(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trimmed(value: &str, form: &str) -> String {
        let left = Cell::new(1 << 20);
        let (side, longest, pattern) = match form.as_bytes() {
            [b'#', b'#', ..] => (Side::Front, true, &form[2..]),
            [b'#', ..] => (Side::Front, false, &form[1..]),
            [b'%', b'%', ..] => (Side::Back, true, &form[2..]),
            _ => (Side::Back, false, &form[1..]),
        };
        trim(value, pattern, side, longest, &left).expect("a pattern")
    }

    #[test]
    fn ends_are_taken_away_as_a_shell_does_it() {
        for (value, form, expect) in [
            ("linux/amd64", "#linux/", "amd64"),
            ("linux/amd64", "#windows/", "linux/amd64"),
            ("a.b.c", "#*.", "b.c"),
            ("a.b.c", "##*.", "c"),
            ("a.b.c", "%.*", "a.b"),
            ("a.b.c", "%%.*", "a"),
            ("abc", "#?", "bc"),
            ("abc", "%?", "ab"),
            ("abc", "##*", ""),
            ("abc", "#*", "abc"),
            ("abc", "#", "abc"),
            ("a*b", "#a\\*", "b"),
            ("x-y", "%-\\?", "x-y"),
            ("a[b]", "%[b]", "a"),
            ("äöü", "%?", "äö"),
            ("a/b}c", "#a\\/b\\}", "c"),
        ] {
            assert_eq!(trimmed(value, form), expect, "{value} {form}");
        }
    }

    #[test]
    fn texts_are_replaced_once_or_always() {
        for (value, pattern, replacement, every, expect) in [
            ("x.y.z", ".", "_", false, "x_y.z"),
            ("x.y.z", ".", "_", true, "x_y_z"),
            ("x.y.z", ".*", "", false, "x"),
            ("aaa", "a", "b", true, "bbb"),
            ("abc", "z", "-", true, "abc"),
            ("abc", "*", "-", true, "-"),
            ("ab", "", "-", true, "-a-b-"),
            ("ab", "", "-", false, "-ab"),
        ] {
            let left = Cell::new(1 << 20);
            let found = replace(value, pattern, replacement, every, &left);
            assert_eq!(found.as_deref(), Ok(expect), "{value} {pattern} {every}");
        }
    }

    #[test]
    fn long_values_are_refused_and_not_waited_for() {
        let left = Cell::new(4 << 20);
        let long = "a".repeat(100_000);
        assert!(replace(&long, "*b", "c", true, &left).is_err());
        assert!(trim(&long, &"*a".repeat(1000), Side::Front, true, &left).is_err());
        assert!(trim("a", "\\x", Side::Front, true, &left).is_err());
    }
}
