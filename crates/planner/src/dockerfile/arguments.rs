//! `ARG` before the first FROM: what variables in FROM lines stand for.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use super::words::{self, Unknown, Value};

/// The variables that FROM lines see.
///
/// Build arguments count for what an `ARG` declares; the platform's are declared from the start. Builders call
/// the machine's own platform `BUILD…`; here that is the target's too, so that a plan is the same everywhere.
pub(super) struct Global<'a> {
    given: &'a BTreeMap<String, String>,
    platform: &'a str,
    /// By the file.
    declared: BTreeMap<String, Declared<'a>>,
    left: Cell<usize>,
}

/// What the values of one file may come to where they are put in, in bytes. A variable that holds another one twice,
/// thirty times over, would be larger than any machine.
const MOST: usize = 4 << 20;

enum Declared<'a> {
    Value(Cow<'a, str>),
    Unset,
    DependsOn(String),
}

impl<'a> Global<'a> {
    /// What is declared before the first line: `platform` is `os/arch[/variant]`.
    pub(super) fn new(given: &'a BTreeMap<String, String>, platform: &'a str) -> Self {
        Self { given, platform, declared: BTreeMap::new(), left: Cell::new(MOST) }
    }

    /// The value of a variable that is declared from the start.
    fn of_platform(&self, name: &str) -> Option<&'a str> {
        let what = name.strip_prefix("BUILD").or_else(|| name.strip_prefix("TARGET"))?;
        let mut parts = self.platform.splitn(3, '/');
        let value = match what {
            "PLATFORM" => self.platform,
            "OS" => parts.next().unwrap_or_default(),
            "ARCH" => parts.nth(1).unwrap_or_default(),
            "VARIANT" => parts.nth(2).unwrap_or_default(),
            _ => return None,
        };
        Some(self.given.get(name).map_or(value, String::as_str))
    }

    /// Takes the arguments of an `ARG` in.
    pub(super) fn declare(&mut self, arguments: &str, escape: char) -> Result<(), Unknown> {
        for word in words::split(arguments, escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word, None),
            };
            let declared = match (self.given.get(name), default) {
                (Some(given), _) => Declared::Value(Cow::Borrowed(given)),
                (None, Some(default)) => match self.expand(default, escape) {
                    Ok(value) => Declared::Value(Cow::Owned(value)),
                    Err(Unknown::Unset(other) | Unknown::DependsOn(_, other)) => Declared::DependsOn(other),
                    Err(syntax) => return Err(syntax),
                },
                (None, None) if matches!(self.value(name), Value::Known(_)) => continue,
                (None, None) => Declared::Unset,
            };
            self.declared.insert(name.to_owned(), declared);
        }
        Ok(())
    }

    /// Takes quotes away and puts the values of variables in.
    pub(super) fn expand(&self, text: &str, escape: char) -> Result<String, Unknown> {
        words::expand(text, escape, &self.left, &|name| self.value(name))
    }

    /// What a variable stands for.
    fn value(&self, name: &str) -> Value<'_> {
        match self.declared.get(name) {
            Some(Declared::Value(value)) => Value::Known(value),
            Some(Declared::DependsOn(other)) => Value::DependsOn(other),
            Some(Declared::Unset) => Value::Unset,
            None => self.of_platform(name).map_or(Value::Unset, Value::Known),
        }
    }

    /// What to do about a variable that has no value.
    pub(super) fn help(&self, name: &str) -> String {
        if self.declared.contains_key(name) || self.of_platform(name).is_some() {
            format!("give it a default (`ARG {name}=…`), or set it in `args` of sciserver-image.json")
        } else if self.given.contains_key(name) {
            format!("`args` sets it, but FROM sees it only with a line `ARG {name}` before the first FROM")
        } else {
            format!("declare it before the first FROM with a default: `ARG {name}=…`")
        }
    }
}
