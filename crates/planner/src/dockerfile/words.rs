//! Words as BuildKit's lexer reads them (`frontend/dockerfile/shell`): quotes, escapes, variables, heredocs.

use std::cell::Cell;
use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

/// How deep `${A:-${B:-…}}` may go.
const MAX_DEPTH: usize = 16;

/// What is known of a variable.
pub(super) enum Value<'a> {
    /// Its value.
    Known(&'a str),
    /// Nothing gives it a value.
    Unset,
    /// Its value stands on another variable, that has none.
    DependsOn(&'a str),
}

/// Why a text with variables has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unknown {
    /// This variable has no value.
    Unset(String),
    /// The first one stands on the second one, that has no value.
    DependsOn(String, String),
    /// It cannot be read, or not by every builder.
    Syntax(String),
}

/// The beginning of a heredoc.
#[derive(Debug)]
pub(super) struct Heredoc {
    /// The line that ends it.
    pub(super) name: String,
    /// `<<-`: tabs may stand before that.
    pub(super) strip_tabs: bool,
    /// `<< name`, which builders before 2024 take for two words.
    pub(super) spaced: bool,
    /// Where it stands in the line.
    pub(super) at: usize,
}

/// Takes quotes away and puts the values of variables in. What `lookup` gives counts against `left`, in bytes.
pub(super) fn expand<'v>(
    text: &str,
    escape: char,
    left: &Cell<usize>,
    lookup: &dyn Fn(&str) -> Value<'v>,
) -> Result<String, Unknown> {
    Expansion { chars: text.chars().peekable(), escape, left, lookup }.until(None, 0)
}

/// The words of a text, quotes and escapes still in them.
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

/// The keys of an `ENV` or `LABEL` instruction, `key=value …` or `key value` of old, quotes taken away, and where
/// they stand in the text.
pub(super) fn keys(arguments: &str, escape: char) -> Vec<(String, Range<usize>)> {
    let mut keys = Vec::new();
    let mut end = 0;
    for (number, word) in split(arguments, escape).into_iter().enumerate() {
        // Between words there is white space and nothing else.
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

/// The heredocs that begin in an instruction, in order: words of the form `<<name`, a number or nothing before
/// it. A line with an open quote has none.
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
    Some(Heredoc { name: unquote(raw), strip_tabs, spaced: raw.len() < rest.len(), at })
}

/// Takes quotes and escapes away; a `$` stays as it is.
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

struct Expansion<'a, 'l, 'v> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    left: &'l Cell<usize>,
    lookup: &'l dyn Fn(&str) -> Value<'v>,
}

impl Expansion<'_, '_, '_> {
    /// Up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>, depth: usize) -> Result<String, Unknown> {
        if depth > MAX_DEPTH {
            return Err(Unknown::Syntax("variables are nested too deep".to_owned()));
        }
        let mut value = String::new();
        // Read on behind a variable without value: where this ends must be known in any case.
        let mut unknown = None;
        let mut quote = None;
        while let Some(c) = self.chars.next() {
            match quote {
                None if Some(c) == stop => return unknown.map_or(Ok(value), Err),
                None if c == '\'' || c == '"' => quote = Some(c),
                Some(open) if c == open => quote = None,
                None if c == self.escape => value.extend(self.chars.next()),
                Some('"') if c == self.escape => {
                    let escape = self.escape;
                    match self.chars.next_if(|next| matches!(next, '"' | '$') || *next == escape) {
                        Some(escaped) => value.push(escaped),
                        None => value.push(c),
                    }
                }
                Some('\'') => value.push(c),
                _ if c == '$' => match self.variable(depth) {
                    Ok(text) => value.push_str(&text),
                    Err(syntax @ Unknown::Syntax(_)) => return Err(syntax),
                    Err(other) => unknown = unknown.or(Some(other)),
                },
                _ => value.push(c),
            }
        }
        if let Some(quote) = quote {
            return Err(Unknown::Syntax(format!("a quote ({quote}) is not closed")));
        }
        if stop.is_some() {
            return Err(Unknown::Syntax("'${' is not closed by '}'".to_owned()));
        }
        unknown.map_or(Ok(value), Err)
    }

    /// What follows a `$`.
    fn variable(&mut self, depth: usize) -> Result<String, Unknown> {
        let braced = self.chars.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Unknown::Syntax("a '$' without the name of a variable".to_owned()));
        }
        if !braced {
            return self.value(&name);
        }
        let colon = self.chars.next_if_eq(&':').is_some();
        let operator = match self.chars.next() {
            Some('}') if !colon => return self.value(&name),
            Some(operator @ ('-' | '+' | '?')) => operator,
            None => return Err(Unknown::Syntax("'${' is not closed by '}'".to_owned())),
            Some(other) => {
                let colon = if colon { ":" } else { "" };
                let form = format!("'${{{name}{colon}{other}' is read by some builders only");
                return Err(Unknown::Syntax(form));
            }
        };
        let word = self.until(Some('}'), depth + 1);
        if let Err(syntax @ Unknown::Syntax(_)) = word {
            return Err(syntax);
        }
        let value = match self.value(&name) {
            Err(Unknown::Unset(_)) => None,
            Err(other) => return Err(other),
            Ok(value) if value.is_empty() && colon => None,
            Ok(value) => Some(value),
        };
        match (operator, value) {
            ('-', None) | ('+', Some(_)) => word,
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => Err(Unknown::Unset(name)),
        }
    }

    fn value(&self, name: &str) -> Result<String, Unknown> {
        let found = (self.lookup)(name);
        let length = match found {
            Value::Known(text) | Value::DependsOn(text) => text.len(),
            Value::Unset => 0,
        };
        let Some(left) = self.left.get().checked_sub(length) else {
            return Err(Unknown::Syntax("the values of variables come to more than 4 MiB".to_owned()));
        };
        self.left.set(left);
        match found {
            Value::Known(value) => Ok(value.to_owned()),
            Value::Unset => Err(Unknown::Unset(name.to_owned())),
            Value::DependsOn(other) => Err(Unknown::DependsOn(name.to_owned(), other.to_owned())),
        }
    }
}
