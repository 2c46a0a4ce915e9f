//! Evaluates `ARG` before the first FROM: the variables of FROM lines.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use crate::parse::dockerfile::expansion::{self, Expanded, ExpansionError, Quotes, Value};
use crate::parse::dockerfile::words;

/// The variables that FROM lines see.
///
/// Build arguments count for what an `ARG` declares; the platform's are declared from the start.
/// Builders call the machine's own platform `BUILD…`; here that is the target's too, so that a plan
/// is the same everywhere.
pub(super) struct Global<'a> {
    given: &'a BTreeMap<String, String>,
    platform: &'a str,
    /// By the file.
    declared: BTreeMap<String, Declared<'a>>,
    left: Cell<usize>,
}

/// Most bytes that the values of one file may expand to. A variable that holds another one twice,
/// thirty times over, would exceed any memory.
const MOST: usize = 4 << 20;

struct Declared<'a> {
    value: Option<Cow<'a, str>>,
    /// A variable without a value that its default names.
    from: Option<String>,
}

impl<'a> Global<'a> {
    /// Variables that are declared before the first line: `platform` is `os/arch[/variant]`.
    pub(super) fn new(given: &'a BTreeMap<String, String>, platform: &'a str) -> Self {
        Self { given, platform, declared: BTreeMap::new(), left: Cell::new(MOST) }
    }

    /// The value of a variable that is declared from the start.
    pub(super) fn of_platform(&self, name: &str) -> Option<&'a str> {
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
    pub(super) fn declare(&mut self, arguments: &str, escape: char) -> Result<(), ExpansionError> {
        for word in words::split(arguments, escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word, None),
            };
            let declared = match (self.given.get(name), default) {
                (Some(given), _) => Declared { value: Some(Cow::Borrowed(given.as_str())), from: None },
                (None, Some(default)) => {
                    let Expanded { text, lack, .. } = self.expand(default, escape)?;
                    let from = lack.map(|lack| lack.from.unwrap_or(lack.name));
                    Declared { value: Some(Cow::Owned(text)), from }
                }
                (None, None) if self.value(name).text.is_some() => continue,
                (None, None) => Declared { value: None, from: None },
            };
            self.declared.insert(name.to_owned(), declared);
        }
        Ok(())
    }

    /// Takes quotes away and puts the values of variables in.
    pub(super) fn expand(&self, text: &str, escape: char) -> Result<Expanded, ExpansionError> {
        expansion::expand(text, escape, Quotes::Group, &self.left, &|name| self.value(name))
    }

    /// The build argument of that name, whether or not something declares it.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.given.get(name).map(String::as_str)
    }

    /// The value of a variable.
    pub(super) fn value(&self, name: &str) -> Value<'_> {
        match self.declared.get(name) {
            Some(Declared { value, from }) => {
                Value { text: value.as_deref(), sure: true, from: from.as_deref() }
            }
            None => Value { text: self.of_platform(name), ..Value::UNSET },
        }
    }

    /// Whether an `ARG` before the first FROM, or the builder, declares it.
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name) || self.of_platform(name).is_some()
    }

    /// Help for a variable without a value.
    pub(super) fn help(&self, name: &str) -> String {
        if self.is_declared(name) {
            format!("give it a default (`ARG {name}=…`), or set it in `args` of sciserver-image.json")
        } else if self.given.contains_key(name) {
            format!("`args` sets it, but FROM sees it only with a line `ARG {name}` before the first FROM")
        } else {
            format!("declare it before the first FROM with a default: `ARG {name}=…`")
        }
    }
}
