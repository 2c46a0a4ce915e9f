//! Tracks the values of a stage's variables, instruction by instruction.
//!
//! `ENV` overrides `ARG`, even if the base image sets it. So the value of an `ARG`, or the lack of
//! a value, is certain only in a stage `FROM scratch`.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::parse::dockerfile::arguments::Global;
use crate::parse::dockerfile::expansion::{self, Expanded, ExpansionError, Quotes, Value};

/// The limit on the bytes that the values of one file expand to in total.
const MOST: usize = 4 << 20;

/// The limit on the variables that one file passes from stage to stage. Beyond this limit, no value
/// is certain.
const MOST_HANDED_ON: usize = 100_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    variables: BTreeMap<String, Variable>,
    /// Whether nothing else can set a variable.
    closed: bool,
    /// Whether the stage sets its working directory.
    pub(super) has_workdir: bool,
}

#[derive(Debug, Clone)]
struct Variable {
    text: Option<String>,
    sure: bool,
    by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Arg,
    Env,
}

/// The scopes of all stages of a file.
#[derive(Debug)]
pub(super) struct Scopes {
    /// Scopes of the preceding stages, as of their ends.
    ended: Vec<Scope>,
    pub(super) now: Scope,
    begun: bool,
    handed_on: usize,
    left: Cell<usize>,
}

/// The base of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StageBase {
    Nothing,
    Stage(usize),
    Image,
}

impl Scopes {
    pub(super) fn new() -> Self {
        Self { ended: Vec::new(), now: Scope::default(), begun: false, handed_on: 0, left: Cell::new(MOST) }
    }

    /// Begins a stage.
    pub(super) fn begin(&mut self, on: StageBase) {
        let next = match on {
            StageBase::Nothing => Scope { closed: true, ..Scope::default() },
            StageBase::Image => Scope::default(),
            StageBase::Stage(stage) => self.hand_on(stage),
        };
        let before = std::mem::replace(&mut self.now, next);
        if std::mem::replace(&mut self.begun, true) {
            self.ended.push(before);
        }
    }

    /// Returns the variables that a stage inherits from a preceding one: those of `ENV`. Those of
    /// `ARG` end with their stage.
    fn hand_on(&mut self, stage: usize) -> Scope {
        let below = match self.ended.get(stage) {
            Some(below) => below,
            // The present stage, which has not been moved to `ended` yet.
            None => &self.now,
        };
        self.handed_on += below.variables.len();
        if self.handed_on > MOST_HANDED_ON {
            return Scope::default();
        }
        let is_handed_on = |(_, variable): &(&String, &Variable)| variable.by == By::Env;
        let variables = below.variables.iter().filter(is_handed_on);
        Scope {
            variables: variables.map(|(name, variable)| (name.clone(), variable.clone())).collect(),
            closed: below.closed,
            has_workdir: below.has_workdir,
        }
    }

    /// Expands variables in a text.
    pub(super) fn expand(
        &self,
        text: &str,
        escape: char,
        quotes: Quotes,
    ) -> Result<Expanded, ExpansionError> {
        expansion::expand(text, escape, quotes, &self.left, &|name| self.now.value(name))
    }

    /// Declares an `ARG` of the present stage, with or without a default.
    pub(super) fn declare(&mut self, name: String, default: Option<Expanded>, global: Option<&Global<'_>>) {
        if self.now.variables.get(&name).is_some_and(|known| known.by == By::Env) {
            return;
        }
        let given = global.and_then(|global| global.given(&name).or(global.value(&name).text));
        let (text, sure) = match (given, default) {
            // A build argument overrides the default; an `ARG` before the first FROM does not.
            (Some(given), None) => (Some(given.to_owned()), true),
            (_, Some(default)) => match global.and_then(|global| global.given(&name)) {
                Some(given) => (Some(given.to_owned()), true),
                None => (Some(default.text), default.sure),
            },
            (None, None) => (None, true),
        };
        self.now.variables.insert(name, Variable { text, sure, by: By::Arg });
    }

    /// Sets an `ENV` of the present stage.
    pub(super) fn set(&mut self, name: String, value: Expanded) {
        self.now.variables.insert(name, Variable { text: Some(value.text), sure: value.sure, by: By::Env });
    }
}

impl Scope {
    fn value(&self, name: &str) -> Value<'_> {
        match self.variables.get(name) {
            Some(Variable { text, sure, by }) => {
                let sure = *sure && (*by == By::Env || self.closed);
                Value { text: text.as_deref(), sure, from: None }
            }
            None => Value { sure: self.closed, ..Value::UNSET },
        }
    }
}
