//! Tracks the values of a stage's variables, instruction by instruction.
//!
//! `ENV` overrides `ARG`, also an `ENV` of the base image. So the value of an `ARG`, or that a
//! variable has none, is certain only in a stage `FROM scratch`.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::parse::dockerfile::arguments::Global;
use crate::parse::dockerfile::expansion::{self, Expanded, ExpansionError, Quotes, Value};

/// Most bytes that the values of one file may expand to.
const MOST: usize = 4 << 20;

/// Most variables that are passed from stage to stage in one file; beyond that no value is certain.
const MOST_HANDED_ON: usize = 100_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    variables: BTreeMap<String, Variable>,
    /// Whether nothing else can set a variable.
    closed: bool,
    /// Whether the stage sets its directory.
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
    /// Those of the stages above, as they are at their ends.
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

    /// A stage begins.
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

    /// The variables of a stage above: those that are set for the image, since those of `ARG` end
    /// with the stage.
    fn hand_on(&mut self, stage: usize) -> Scope {
        let below = match self.ended.get(stage) {
            Some(below) => below,
            // The present one, which is not put away yet.
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

    /// Puts the values of variables into a text.
    pub(super) fn expand(
        &self,
        text: &str,
        escape: char,
        quotes: Quotes,
    ) -> Result<Expanded, ExpansionError> {
        expansion::expand(text, escape, quotes, &self.left, &|name| self.now.value(name))
    }

    /// An `ARG` of the present stage: with a default, or without.
    pub(super) fn declare(&mut self, name: String, default: Option<Expanded>, global: Option<&Global<'_>>) {
        if self.now.variables.get(&name).is_some_and(|known| known.by == By::Env) {
            return;
        }
        let given = global.and_then(|global| global.given(&name).or(global.value(&name).text));
        let (text, sure) = match (given, default) {
            // A build argument goes before the default; one before the first FROM does not.
            (Some(given), None) => (Some(given.to_owned()), true),
            (_, Some(default)) => match global.and_then(|global| global.given(&name)) {
                Some(given) => (Some(given.to_owned()), true),
                None => (Some(default.text), default.sure),
            },
            (None, None) => (None, true),
        };
        self.now.variables.insert(name, Variable { text, sure, by: By::Arg });
    }

    /// An `ENV` of the present stage.
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
