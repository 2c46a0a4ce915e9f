//! Splits text into words as BuildKit's lexer does (`frontend/dockerfile/shell`): quotes, escapes,
//! heredocs.

use std::ops::Range;

/// The beginning of a heredoc.
#[derive(Debug)]
pub(super) struct Heredoc {
    /// The line that ends it.
    pub(super) name: String,
    /// `<<-`: tabs may precede the end marker.
    pub(super) strip_tabs: bool,
    /// `<< name`, which builders before 2024 read as two words.
    pub(super) spaced: bool,
    /// Whether COPY and ADD expand variables in the text: they do unless the name is quoted.
    pub(super) expands: bool,
    /// Its position in the line.
    pub(super) at: usize,
}

/// Characters at which BuildKit splits instructions.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// Splits a text into words, which keep their quotes and escapes.
pub(super) fn split(text: &str, escape: char) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| &text[start..at]));
            continue;
        }
        start.get_or_insert(at);
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape && quote != Some('\'') => {
                chars.next();
            }
            _ => {}
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

/// Returns the keys of an `ENV` or `LABEL` instruction, `key=value …` or the legacy `key value`,
/// without quotes, with their ranges in the text.
pub(super) fn keys(arguments: &str, escape: char) -> Vec<(String, Range<usize>)> {
    let mut keys = Vec::new();
    let mut end = 0;
    for (number, word) in split(arguments, escape).into_iter().enumerate() {
        // Only white space separates words.
        let start = arguments.len() - arguments[end..].trim_start().len();
        end = start + word.len();
        let key = match word.split_once('=') {
            Some((key, _)) => key,
            None if number == 0 => word,
            None => continue,
        };
        keys.push((key.trim_matches(['"', '\'']).to_owned(), start..start + key.len()));
        if number == 0 && !word.contains('=') {
            break;
        }
    }
    keys
}

/// Returns the heredocs that begin in an instruction, in order: words of the form `<<name`,
/// optionally preceded by a number. A line with an unclosed quote has none.
pub(super) fn heredocs(line: &str) -> Vec<Heredoc> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut word: Option<(usize, String)> = None;
    let mut quote = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let (_, text) = word.get_or_insert_with(|| (at, String::new()));
        text.push(c);
        match quote {
            None if c == '<' && chars.next_if(|(_, next)| *next == '<').is_some() => {
                text.push('<');
                while let Some((_, blank)) = chars.next_if(|(_, next)| next.is_whitespace()) {
                    text.push(blank);
                }
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == '\\' && quote != Some('\'') => text.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => {}
        }
    }
    if quote.is_some() {
        return Vec::new();
    }
    words.extend(word);
    words.into_iter().filter_map(|(at, word)| heredoc(at, &word)).collect()
}

fn heredoc(at: usize, word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let raw = rest.trim_start();
    if raw.is_empty() || raw.contains('<') {
        return None;
    }
    let expands = !raw.contains(['"', '\'', '\\']);
    Some(Heredoc { name: unquote(raw), strip_tabs, spaced: raw.len() < rest.len(), expands, at })
}

/// Removes quotes and escapes; a `$` stays.
fn unquote(text: &str) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            None if c == '\\' => plain.extend(chars.next()),
            Some('"') if c == '\\' => match chars.next_if(|next| matches!(next, '"' | '$' | '\\')) {
                Some(escaped) => plain.push(escaped),
                None => plain.push(c),
            },
            _ => plain.push(c),
        }
    }
    plain
}
