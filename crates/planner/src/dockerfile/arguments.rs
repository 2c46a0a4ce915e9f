//! `ARG` before the first FROM: what variables in FROM lines stand for.

use std::collections::BTreeMap;

use super::words::{self, Unknown, Value};

/// The variables that FROM lines see.
///
/// Build arguments count for what an `ARG` declares; the platform's are declared from the start. Builders call
/// the machine's own platform `BUILD…`; here that is the target's too, so that a plan is the same everywhere.
pub(super) struct Global<'a> {
    given: &'a BTreeMap<String, String>,
    declared: BTreeMap<String, Declared>,
}

enum Declared {
    Value(String),
    Unset,
    DependsOn(String),
}

impl<'a> Global<'a> {
    /// What is declared before the first line: `platform` is `os/arch[/variant]`.
    pub(super) fn new(given: &'a BTreeMap<String, String>, platform: &str) -> Self {
        let mut parts = platform.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (os, arch, variant) = (part(), part(), part());
        let mut declared = BTreeMap::new();
        for side in ["BUILD", "TARGET"] {
            for (what, value) in [("PLATFORM", platform), ("OS", &os), ("ARCH", &arch), ("VARIANT", &variant)]
            {
                let name = format!("{side}{what}");
                let value = given.get(&name).map_or(value, String::as_str);
                declared.insert(name, Declared::Value(value.to_owned()));
            }
        }
        Self { given, declared }
    }

    /// Takes the arguments of an `ARG` in.
    pub(super) fn declare(&mut self, arguments: &str, escape: char) -> Result<(), Unknown> {
        for word in words::split(arguments, escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word, None),
            };
            let declared = match (self.given.get(name), default) {
                (Some(given), _) => Declared::Value(given.clone()),
                (None, Some(default)) => match words::expand(default, escape, &|name| self.value(name)) {
                    Ok(value) => Declared::Value(value),
                    Err(Unknown::Unset(other) | Unknown::DependsOn(_, other)) => Declared::DependsOn(other),
                    Err(syntax) => return Err(syntax),
                },
                (None, None) if matches!(self.declared.get(name), Some(Declared::Value(_))) => continue,
                (None, None) => Declared::Unset,
            };
            self.declared.insert(name.to_owned(), declared);
        }
        Ok(())
    }

    /// What a variable stands for.
    pub(super) fn value(&self, name: &str) -> Value<'_> {
        match self.declared.get(name) {
            Some(Declared::Value(value)) => Value::Known(value),
            Some(Declared::DependsOn(other)) => Value::DependsOn(other),
            Some(Declared::Unset) | None => Value::Unset,
        }
    }

    /// What to do about a variable that has no value.
    pub(super) fn help(&self, name: &str) -> String {
        if self.declared.contains_key(name) {
            format!("give it a default (`ARG {name}=…`), or set it in `args` of sciserver-image.json")
        } else if self.given.contains_key(name) {
            format!("`args` sets it, but FROM sees it only with a line `ARG {name}` before the first FROM")
        } else {
            format!("declare it before the first FROM with a default: `ARG {name}=…`")
        }
    }
}
