//! Evaluates `ARG` before the first FROM: the variables of FROM lines.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use crate::parse::dockerfile::expansion::{self, Expanded, ExpansionError, Quotes, Value};
use crate::parse::dockerfile::words;

/// The variables that FROM lines see.
///
/// A build argument overrides the value of a declared `ARG`. The platform variables are declared
/// from the start. Builders use the machine's platform for `BUILD…`; here `BUILD…` is the target
/// platform too, so that a plan is the same on every machine.
pub(super) struct Global<'a> {
    given: &'a BTreeMap<String, String>,
    platform: &'a str,
    /// Variables that the file declares.
    declared: BTreeMap<String, Declared<'a>>,
    left: Cell<usize>,
}

/// The limit on the bytes that the values of one file expand to in total. Thirty variables that
/// each contain the previous one twice would exceed any memory.
const MOST: usize = 4 << 20;

struct Declared<'a> {
    value: Option<Cow<'a, str>>,
    /// An undefined variable that the default refers to.
    from: Option<String>,
}

impl<'a> Global<'a> {
    /// Creates the variables that are declared before the first line. `platform` is
    /// `os/arch[/variant]`.
    pub(super) fn new(given: &'a BTreeMap<String, String>, platform: &'a str) -> Self {
        Self { given, platform, declared: BTreeMap::new(), left: Cell::new(MOST) }
    }

    /// Returns the value of a platform variable, which is declared from the start.
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

    /// Adds the variables that an `ARG` declares.
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

    /// Removes quotes and expands variables.
    pub(super) fn expand(&self, text: &str, escape: char) -> Result<Expanded, ExpansionError> {
        expansion::expand(text, escape, Quotes::Group, &self.left, &|name| self.value(name))
    }

    /// Returns the build argument of that name, even if the file does not declare it.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.given.get(name).map(String::as_str)
    }

    /// Returns the value of a variable.
    pub(super) fn value(&self, name: &str) -> Value<'_> {
        match self.declared.get(name) {
            Some(Declared { value, from }) => {
                Value { text: value.as_deref(), sure: true, from: from.as_deref() }
            }
            None => Value { text: self.of_platform(name), ..Value::UNSET },
        }
    }

    /// Whether a variable is declared by an `ARG` before the first FROM, or by the builder.
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name) || self.of_platform(name).is_some()
    }

    /// Returns the help for a variable without a value.
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
