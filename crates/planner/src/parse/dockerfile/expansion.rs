//! Expands variables in a text as BuildKit's lexer does (`frontend/dockerfile/shell/lex.go`).
//!
//! A variable without a value is empty. A variable that a base image may set also counts as empty,
//! but such a result is not [`Expanded::sure`].

use std::cell::Cell;
use std::iter::Peekable;
use std::str::Chars;

use crate::parse::dockerfile::patterns;

/// The deepest nesting of `${A:-${B:-…}}`.
const MAX_DEPTH: usize = 16;

/// The value of a variable, if known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    /// The value; `None` if the variable is not set. Builders insert nothing in this case.
    pub(super) text: Option<&'a str>,
    /// Whether the value is certain. A base image may set a variable that the Dockerfile does not
    /// set.
    pub(super) sure: bool,
    /// An undefined variable that this value was expanded from.
    pub(super) from: Option<&'a str>,
}

impl Value<'_> {
    /// A variable that is not set.
    pub(super) const UNSET: Self = Self { text: None, sure: true, from: None };
}

/// The result of an expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether every value is certain.
    pub(super) sure: bool,
    /// The first undefined variable, which expanded to nothing.
    pub(super) lack: Option<UndefinedVariable>,
}

/// A variable without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UndefinedVariable {
    /// The name of the variable.
    pub(super) name: String,
    /// The undefined variable that this one was expanded from, if that is the reason.
    pub(super) from: Option<String>,
}

/// The reason why an expansion failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExpansionError {
    /// `${name:?}` requires a value that the variable does not have.
    Required(String),
    /// Builders reject the syntax.
    Syntax(String),
}

/// How quotes are treated in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Quotes group, and are removed.
    Group,
    /// Quotes are ordinary characters, as in a heredoc.
    Plain,
}

/// Removes quotes and expands variables. Values from `lookup` count against `left`, in bytes.
pub(super) fn expand<'v>(
    text: &str,
    escape: char,
    quotes: Quotes,
    left: &Cell<usize>,
    lookup: &dyn Fn(&str) -> Value<'v>,
) -> Result<Expanded, ExpansionError> {
    if !text.bytes().any(|byte| matches!(byte, b'$' | b'\'' | b'"') || char::from(byte) == escape) {
        return Ok(Expanded { text: text.to_owned(), sure: true, lack: None });
    }
    let chars = text.chars().peekable();
    let mut expansion = Expansion { chars, escape, quotes, left, lookup, sure: true, lack: None };
    let text = expansion.until(None, Escapes::Read, 0)?;
    Ok(Expanded { text, sure: expansion.sure, lack: expansion.lack })
}

/// How escape characters are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// The escape character is removed.
    Read,
    /// The escape character stays, since the pattern is parsed once more.
    Kept,
}

struct Expansion<'a, 'l, 'v> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    quotes: Quotes,
    left: &'l Cell<usize>,
    lookup: &'l dyn Fn(&str) -> Value<'v>,
    sure: bool,
    lack: Option<UndefinedVariable>,
}

impl<'v> Expansion<'_, '_, 'v> {
    /// Expands up to `stop`, which is consumed, or up to the end.
    fn until(
        &mut self,
        stop: Option<char>,
        escapes: Escapes,
        depth: usize,
    ) -> Result<String, ExpansionError> {
        if depth > MAX_DEPTH {
            return Err(ExpansionError::Syntax("variables are nested too deep".to_owned()));
        }
        let mut value = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                _ if Some(c) == stop => return Ok(value),
                '\'' if self.quotes == Quotes::Group => self.single(&mut value)?,
                '"' if self.quotes == Quotes::Group => self.double(&mut value, escapes, depth)?,
                '$' => value.push_str(&self.variable(depth)?),
                _ if c == self.escape => {
                    if escapes == Escapes::Kept {
                        value.push(c);
                    }
                    value.extend(self.chars.next());
                }
                _ => value.push(c),
            }
        }
        match stop {
            Some('/') => Err(ExpansionError::Syntax("a '/' is missing in '${…/…'".to_owned())),
            Some(_) => Err(ExpansionError::Syntax("'${' is not closed by '}'".to_owned())),
            None => Ok(value),
        }
    }

    fn single(&mut self, value: &mut String) -> Result<(), ExpansionError> {
        for c in self.chars.by_ref() {
            if c == '\'' {
                return Ok(());
            }
            value.push(c);
        }
        Err(ExpansionError::Syntax("a quote (') is not closed".to_owned()))
    }

    fn double(&mut self, value: &mut String, escapes: Escapes, depth: usize) -> Result<(), ExpansionError> {
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(()),
                '$' => value.push_str(&self.variable(depth)?),
                _ if c == self.escape => {
                    if escapes == Escapes::Kept {
                        value.push(c);
                    }
                    let escape = self.escape;
                    match self.chars.next_if(|next| matches!(next, '"' | '$') || *next == escape) {
                        Some(escaped) => value.push(escaped),
                        None => value.push(c),
                    }
                }
                _ => value.push(c),
            }
        }
        Err(ExpansionError::Syntax("a quote (\") is not closed".to_owned()))
    }

    /// Parses the text after a `$`.
    fn variable(&mut self, depth: usize) -> Result<String, ExpansionError> {
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            return if name.is_empty() { Ok("$".to_owned()) } else { self.plain(&name) };
        }
        if self.chars.next_if_eq(&'}').is_some() {
            return Err(ExpansionError::Syntax("'${}' names no variable".to_owned()));
        }
        let name = self.name();
        let colon = self.chars.next_if_eq(&':').is_some();
        let operator = match self.chars.next() {
            Some('}') if !colon => return self.plain(&name),
            Some(operator @ ('-' | '+' | '?')) => operator,
            Some(operator @ ('#' | '%')) if !colon => return self.trimmed(&name, operator, depth),
            Some('/') if !colon => return self.replaced(&name, depth),
            None => return Err(ExpansionError::Syntax("'${' is not closed by '}'".to_owned())),
            Some(other) => {
                let colon = if colon { ":" } else { "" };
                return Err(ExpansionError::Syntax(format!("no builder reads '${{{name}{colon}{other}'")));
            }
        };
        // An undefined variable in the word counts only if the word is used.
        let (sure, lack) = (self.sure, self.lack.clone());
        let word = self.until(Some('}'), Escapes::Read, depth + 1)?;
        let of_word = (std::mem::replace(&mut self.sure, sure), std::mem::replace(&mut self.lack, lack));
        let found = self.look_up(&name)?;
        let value = found.text.filter(|value| !(colon && value.is_empty()));
        self.sure &= found.sure;
        match (operator, value) {
            ('-', None) | ('+', Some(_)) => {
                self.sure &= of_word.0;
                self.lack = of_word.1;
                Ok(word)
            }
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => {
                self.note(&name, found.from);
                Ok(value.to_owned())
            }
            (_, None) if found.sure => Err(ExpansionError::Required(name)),
            (_, None) => Ok(String::new()),
        }
    }

    /// Expands `${name#pattern}`, `${name##pattern}`, `${name%pattern}` and `${name%%pattern}`.
    fn trimmed(&mut self, name: &str, operator: char, depth: usize) -> Result<String, ExpansionError> {
        let pattern = self.until(Some('}'), Escapes::Kept, depth + 1)?;
        let value = self.plain(name)?;
        let (longest, pattern) = match pattern.strip_prefix(operator) {
            Some(rest) => (true, rest),
            None => (false, pattern.as_str()),
        };
        let side = if operator == '#' { patterns::Side::Front } else { patterns::Side::Back };
        patterns::trim(&value, pattern, side, longest, self.left).map_err(ExpansionError::Syntax)
    }

    /// Expands `${name/pattern/text}` and `${name//pattern/text}`.
    fn replaced(&mut self, name: &str, depth: usize) -> Result<String, ExpansionError> {
        let every = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.until(Some('/'), Escapes::Kept, depth + 1)?;
        let replacement = self.until(Some('}'), Escapes::Kept, depth + 1)?;
        let value = self.plain(name)?;
        patterns::replace(&value, &pattern, &replacement, every, self.left).map_err(ExpansionError::Syntax)
    }

    /// Reads the name of a variable: a word, a number, or one of the shell's special parameters.
    /// Empty if there is no name.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let is_special = |c: &char| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!');
        if let Some(special) = self.chars.next_if(is_special) {
            name.push(special);
            return name;
        }
        let is_number = self.chars.peek().is_some_and(char::is_ascii_digit);
        let belongs = |c: &char| c.is_ascii_digit() || !is_number && (c.is_alphanumeric() || *c == '_');
        while let Some(c) = self.chars.next_if(belongs) {
            name.push(c);
        }
        name
    }

    /// Returns a variable's value, or an empty string if the variable is not set.
    fn plain(&mut self, name: &str) -> Result<String, ExpansionError> {
        let found = self.look_up(name)?;
        self.sure &= found.sure;
        if let Some(text) = found.text {
            self.note(name, found.from);
            return Ok(text.to_owned());
        }
        self.lack.get_or_insert_with(|| UndefinedVariable { name: name.to_owned(), from: None });
        Ok(String::new())
    }

    fn note(&mut self, name: &str, from: Option<&str>) {
        if let (Some(from), None) = (from, &self.lack) {
            self.lack = Some(UndefinedVariable { name: name.to_owned(), from: Some(from.to_owned()) });
        }
    }

    fn look_up(&self, name: &str) -> Result<Value<'v>, ExpansionError> {
        let found = (self.lookup)(name);
        let length = found.text.map_or(0, str::len) + found.from.map_or(0, str::len);
        let Some(left) = self.left.get().checked_sub(length) else {
            return Err(ExpansionError::Syntax("the values of variables come to more than 4 MiB".to_owned()));
        };
        self.left.set(left);
        Ok(found)
    }
}
