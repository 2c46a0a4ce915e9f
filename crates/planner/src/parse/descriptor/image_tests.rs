//! Parses the field `tests` of a descriptor: commands that must succeed in the new image before it
//! is published.
//!
//! Validates each test by itself, without reading its script.

use std::time::Duration;

use jsonc_parser::ast::{Object, ObjectProp, Value};

use crate::parse::descriptor::{Reader, is_printable};
use crate::parse::jsonc;
use crate::views::suggest;

/// Fields of a test.
pub(crate) const TEST_FIELDS: [&str; 5] = ["run", "script", "timeout", "network", "user"];

/// The time-out of a test that does not set one, in seconds.
pub(crate) const DEFAULT_TIMEOUT: u64 = 60;

/// The longest time-out of a test, in seconds.
const MAX_TIMEOUT: u64 = 3600;

/// The largest number of tests of a layer.
const MAX_TESTS: usize = 50;

/// The largest total size of the words of a `run`, in bytes. Linux accepts twice that.
const MAX_RUN: usize = 64 << 10;

/// A test as declared in a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTest {
    /// The command.
    pub action: DeclaredAction,
    /// The time-out in seconds. A test that takes longer has failed.
    pub timeout: u64,
    /// Whether the container of the test has a network.
    pub network: bool,
    /// The user that runs the test, in docker's form: a user, optionally followed by a colon and a
    /// group.
    pub user: Option<String>,
}

/// The command of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredAction {
    /// A program with its arguments.
    Run(Vec<String>),
    /// The path of a script below the layer.
    Script(String),
}

impl DeclaredTest {
    /// The path of the script below the layer, if the test is a script.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        match &self.action {
            DeclaredAction::Script(path) => Some(path),
            DeclaredAction::Run(_) => None,
        }
    }
}

impl<'a> Reader<'a> {
    /// Returns the valid tests, each with its line.
    pub(super) fn tests(&mut self) -> Vec<(u32, DeclaredTest)> {
        let Some((property, elements)) = self.elements("tests") else { return Vec::new() };
        if elements.len() > MAX_TESTS {
            let message = format!("tests: {} tests, {MAX_TESTS} is the most", elements.len());
            self.value_problem(property, message, "put what belongs together into one script");
            return Vec::new();
        }
        let mut tests = Vec::with_capacity(elements.len());
        for element in elements {
            let line = self.line_at(element);
            let test = match element {
                Value::StringLit(path) => self.script(element, &path.value).map(|path| DeclaredTest {
                    action: DeclaredAction::Script(path),
                    timeout: DEFAULT_TIMEOUT,
                    network: false,
                    user: None,
                }),
                Value::Object(object) => self.test(element, object),
                _ => {
                    self.refuse(element, "tests: a test is an object, or the path of a script", EXAMPLE);
                    None
                }
            };
            tests.extend(test.map(|test| (line, test)));
        }
        tests
    }

    fn test(&mut self, element: &Value<'a>, object: &Object<'a>) -> Option<DeclaredTest> {
        let before = self.problems.len();
        self.check_test_fields(object);
        let get = |field: &str| object.properties.iter().find(|property| jsonc::key(&property.name) == field);
        let action = match (get("run"), get("script")) {
            (Some(run), None) => self.run(run).map(DeclaredAction::Run),
            (None, Some(script)) => match &script.value {
                Value::StringLit(path) => self.script(&script.value, &path.value).map(DeclaredAction::Script),
                other => {
                    self.refuse(
                        other,
                        "tests: script is not a string",
                        "give the path of a file of the layer",
                    );
                    None
                }
            },
            (Some(_), Some(script)) => {
                self.refuse(&script.value, "tests: a test has both run and script", "make two tests of it");
                None
            }
            (None, None) => {
                self.refuse(element, "tests: a test has neither run nor script", EXAMPLE);
                None
            }
        };
        let timeout = get("timeout").map_or(Some(DEFAULT_TIMEOUT), |property| self.timeout(property));
        let network = match get("network").map(|property| &property.value) {
            None => Some(false),
            Some(Value::BooleanLit(wanted)) => Some(wanted.value),
            Some(other) => {
                self.refuse(other, "tests: network is neither true nor false", "write it without quotes");
                None
            }
        };
        let user = match get("user") {
            None => Some(None),
            Some(property) => self.user(property).map(Some),
        };
        let (action, timeout, network, user) = (action?, timeout?, network?, user?);
        (self.problems.len() == before).then_some(DeclaredTest { action, timeout, network, user })
    }

    fn check_test_fields(&mut self, object: &Object<'a>) {
        for property in &object.properties {
            let key = jsonc::key(&property.name);
            if TEST_FIELDS.contains(&key) || key.starts_with("x-") {
                continue;
            }
            let help = match suggest::closest(key, TEST_FIELDS.into_iter()) {
                Some(closest) => format!("did you mean {closest:?}?"),
                None => format!("known are {}", TEST_FIELDS.join(", ")),
            };
            self.problem("descriptor-field", property, format!("tests: unknown field {key:?}"), help);
        }
    }

    fn run(&mut self, property: &ObjectProp<'a>) -> Option<Vec<String>> {
        const HELP: &str =
            "for instance [\"python3\", \"-c\", \"import numpy\"]: a program with its arguments";
        let Value::Array(array) = &property.value else {
            self.refuse(&property.value, "tests: run is not a list", HELP);
            return None;
        };
        let mut words = Vec::with_capacity(array.elements.len());
        for element in &array.elements {
            match element {
                Value::StringLit(word) if !word.value.contains('\0') => words.push(word.value.to_string()),
                _ => {
                    self.refuse(element, "tests: run is a list of strings, without NUL", HELP);
                    return None;
                }
            }
        }
        if words.first().is_none_or(String::is_empty) {
            self.refuse(&property.value, "tests: run names no program", HELP);
            return None;
        }
        if words.iter().map(String::len).sum::<usize>() > MAX_RUN {
            self.refuse(&property.value, "tests: run is longer than 64 KiB", "put it into a script");
            return None;
        }
        Some(words)
    }

    /// Checks that a script's path stays below the layer.
    fn script(&mut self, place: &Value<'a>, path: &str) -> Option<String> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && is_printable(part);
        if path.split('/').all(plain) && !path.contains('\\') {
            return Some(path.to_owned());
        }
        let message = format!("tests: {path:?} is not a path of a script");
        self.refuse(
            place,
            message,
            "name a file below the layer's directory, without a leading '/' and without '..'",
        );
        None
    }

    fn timeout(&mut self, property: &ObjectProp<'a>) -> Option<u64> {
        const HELP: &str = "whole seconds, from \"1s\" to \"1h\", for instance \"90s\" or \"5m\"";
        let Value::StringLit(text) = &property.value else {
            self.refuse(&property.value, "tests: timeout is not a string", HELP);
            return None;
        };
        let time = humantime::parse_duration(&text.value).ok().filter(|time| time.subsec_nanos() == 0);
        match time.map(|time: Duration| time.as_secs()) {
            Some(seconds @ 1..=MAX_TIMEOUT) => Some(seconds),
            _ => {
                let message = format!("tests: {:?} is no time that a test may take", text.value);
                self.refuse(&property.value, message, HELP);
                None
            }
        }
    }

    fn user(&mut self, property: &ObjectProp<'a>) -> Option<String> {
        const HELP: &str =
            "a name or number in quotes, with a group behind a colon where that matters: \"1000:1000\"";
        let Value::StringLit(text) = &property.value else {
            self.refuse(&property.value, "tests: user is not a string", HELP);
            return None;
        };
        if is_user(&text.value) {
            return Some(text.value.to_string());
        }
        self.refuse(&property.value, format!("tests: {:?} is no user", text.value), HELP);
        None
    }

    fn refuse(&mut self, place: &Value<'a>, message: impl Into<String>, help: impl Into<String>) {
        self.problem("descriptor-value", place, message, help);
    }
}

const EXAMPLE: &str = "for instance { \"run\": [\"python3\", \"-c\", \"import numpy\"] }, or { \"script\": \"tests/import.sh\" }";

/// Whether a text is `user` or `user:group`. Names follow the rules of the tools that create users;
/// numbers are accepted too.
fn is_user(text: &str) -> bool {
    let mut parts = text.split(':');
    let good = |part: &str| {
        (1..=64).contains(&part.len())
            && !part.starts_with('-')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-'))
    };
    parts.by_ref().take(2).all(good) && parts.next().is_none()
}
