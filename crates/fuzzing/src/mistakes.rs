//! A grammar of mistakes: source trees and flags that must be rejected with exit code 2, by
//! systematic mutation of a valid tree. Each is invalid in one place, so accepting it is definitely
//! a bug.

mod descriptors;
mod dockerfiles;
mod files;
mod graphs;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use planner::tree::{Inputs, Mode};
use planner::{Request, Selection, fixture};

/// A source tree by path, and the flags of the command.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// The kind of mistake, for figures and messages.
    pub kind: &'static str,
    /// Text by path below the root.
    pub files: BTreeMap<String, String>,
    /// Flags with their values.
    pub flags: Vec<(&'static str, String)>,
}

/// The valid tree: two science layers, one based on the other, and a stack of two compat layers.
#[must_use]
pub fn right() -> Mistake {
    let files = [
        ("compat/common/Dockerfile", "USER root\n"),
        ("compat/common/sciserver-image.json", r#"{"args":{"A":"b"}}"#),
        ("compat/top/Dockerfile", "CMD [\"x\"]\n"),
        ("compat/top/sciserver-image.json", r#"{"includes":["common"]}"#),
        ("science/sky/.dockerignore", "*.md\n!README.md\n"),
        ("science/sky/Dockerfile", "FROM docker.io/library/debian:12\nRUN true\n"),
        ("science/sky/sciserver-image.json", SKY),
        ("science/stars/Dockerfile", "FROM sci/sky:1.0\nRUN true\n"),
        ("science/stars/sciserver-image.json", r#"{"image":"stars","version":"2.0","compat":"top"}"#),
    ];
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    Mistake { kind: "none", files, flags: Vec::new() }
}

/// The descriptor that is mutated: every text in it is a name, so nearly every change makes it
/// invalid.
const SKY: &str = r#"{"image":"sky","version":"1.0","target":"sky","compat":"common"}"#;

impl Mistake {
    /// The valid tree with one file replaced or added.
    fn with(kind: &'static str, path: &str, text: impl Into<String>) -> Self {
        let mut mistake = right();
        mistake.kind = kind;
        mistake.files.insert(path.to_owned(), text.into());
        mistake
    }

    /// Adds a file.
    fn and(mut self, path: &str, text: impl Into<String>) -> Self {
        self.files.insert(path.to_owned(), text.into());
        self
    }

    /// The valid tree with a flag.
    fn flag(flag: &'static str, value: &str) -> Self {
        Self { kind: "flag", flags: vec![(flag, value.to_owned())], ..right() }
    }

    /// The input of the planner's core.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        let files = self.files.iter().map(|(path, text)| (path.clone(), (Mode::File, text.clone())));
        Inputs { now: fixture::of_files(&files.collect()), ..fixture::first("") }
    }

    /// The flags as the planner's core receives them.
    #[must_use]
    pub fn request(&self) -> Request {
        let mut request = Request::default();
        for (flag, value) in &self.flags {
            match *flag {
                "--repo" => request.repo = Some(value.clone()),
                "--allow-orphan" => request.allow_orphan.push(value.clone()),
                "--ignore" => request.ignore.push(value.clone()),
                "--include" => request.selection = Selection::Include(vec![value.clone()]),
                other => unreachable!("no mistake has the flag {other}"),
            }
        }
        request
    }

    /// Its unique name.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.files, &self.flags).hash(&mut hasher);
        hasher.finish()
    }
}

/// All mistakes, each once.
#[must_use]
pub fn all() -> Vec<Mistake> {
    let mut met = HashSet::from([right().hash()]);
    let all = descriptors::all().chain(dockerfiles::all()).chain(files::all()).chain(graphs::all());
    all.filter(|mistake| met.insert(mistake.hash())).collect()
}

/// Strings that are invalid in every kind of name.
const STRANGE: [&str; 44] = [
    "\0",
    "\u{1}",
    "\u{7}",
    "\u{8}",
    "\t",
    "\n",
    "\u{b}",
    "\u{c}",
    "\r",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{9b}",
    "\u{a0}",
    "\u{ad}",
    "\u{200b}",
    "\u{200e}",
    "\u{2028}",
    "\u{202e}",
    "\u{2066}",
    "\u{feff}",
    "\u{fffd}",
    "\u{e0041}",
    "é",
    "ß",
    "И",
    "水",
    "😀",
    "ａ",
    "\u{301}",
    " ",
    "!",
    "%",
    "&",
    "*",
    "+",
    ";",
    "<",
    ">",
    "?",
    "^",
    "|",
    "~",
    "(",
];

/// A text with another one inserted at each position.
fn inserted<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = String> + 'a {
    let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.map(move |at| format!("{}{what}{}", &text[..at], &text[at..]))
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
