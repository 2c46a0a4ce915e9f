//! Parses descriptors, `sciserver-image.json`.
//!
//! Each field is checked by itself. Does not know which names exist elsewhere in the tree.

mod image_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use plan::{Family, Kind, Name, Span, Version};

use crate::Problem;
use crate::diagnostics::problem;
use crate::parse::jsonc;
use crate::tree::SourceFile;
use crate::views::suggest;

#[cfg(test)]
pub(crate) use image_tests::TEST_FIELDS;
pub use image_tests::{DeclaredAction, DeclaredTest};

/// Fields of a science layer's descriptor.
pub const SCIENCE_FIELDS: [&str; 12] = [
    "image",
    "version",
    "target",
    "compat",
    "args",
    "description",
    "authors",
    "licenses",
    "url",
    "documentation",
    "keywords",
    "tests",
];

/// Fields of a compat layer's descriptor.
pub(crate) const COMPAT_FIELDS: [&str; 4] = ["includes", "args", "description", "tests"];

/// The version of a layer whose descriptor has none.
pub(crate) const DEFAULT_VERSION: &str = "1.0";

/// A science layer's descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Science {
    /// Name of the product.
    pub image: Name,
    /// Version of the product.
    pub version: Version,
    /// The layer's name; defaults to the name of its directory.
    pub target: Name,
    /// The compat layer, if the layer is final.
    pub compat: Compat,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The description. It becomes a label, as do the following fields.
    pub description: Option<String>,
    /// The contact for questions.
    pub authors: Option<String>,
    /// The license as an SPDX expression.
    pub licenses: Option<String>,
    /// The address of the project.
    pub url: Option<String>,
    /// The address of the documentation.
    pub documentation: Option<String>,
    /// Keywords for searches.
    pub keywords: Vec<String>,
    /// Tests that must succeed in the image before it is published.
    pub tests: Vec<DeclaredTest>,
    test_lines: Vec<u32>,
    places: BTreeMap<String, Range<usize>>,
}

/// The field `compat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compat {
    /// The field is missing.
    Unset,
    /// `null`: the layer has no compat image on top.
    None,
    /// The name of a compat layer: its path below `compat/`.
    Layer(String),
}

/// A compat layer's descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompatLayer {
    /// Compat layers that this one includes, by their paths below `compat/`.
    pub includes: Vec<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// A description for readers.
    pub description: Option<String>,
    /// Tests that must succeed in the image before it is published.
    pub tests: Vec<DeclaredTest>,
    test_lines: Vec<u32>,
    places: BTreeMap<String, Range<usize>>,
}

impl Science {
    /// The layer's image by its moving tag, `sci/nist:1.0`.
    #[must_use]
    pub fn reference(&self) -> String {
        Family::Sci.repository(self.target.as_str()).tagged(&self.version)
    }

    /// The byte range of a field's value in the file; `None` if it is missing.
    #[must_use]
    pub fn place(&self, field: &str) -> Option<Range<usize>> {
        self.places.get(field).cloned()
    }

    /// The tests, each with its line.
    pub fn tests(&self) -> impl Iterator<Item = (u32, &DeclaredTest)> {
        self.test_lines.iter().copied().zip(&self.tests)
    }
}

impl CompatLayer {
    /// The byte range of a field's value in the file; `None` if it is missing.
    #[must_use]
    pub fn place(&self, field: &str) -> Option<Range<usize>> {
        self.places.get(field).cloned()
    }

    /// The tests, each with its line.
    pub fn tests(&self) -> impl Iterator<Item = (u32, &DeclaredTest)> {
        self.test_lines.iter().copied().zip(&self.tests)
    }
}

/// Parses a science layer's descriptor. `directory` is the last component of its path, the default
/// of `target`.
///
/// A descriptor with problems is still returned if its image, version, target and compat layer are
/// known, so that the rest of the tree can be checked. The last list contains broken guidelines;
/// the configuration sets their levels.
#[must_use]
pub fn science(file: &SourceFile, directory: &str) -> (Option<Science>, Vec<Problem>, Vec<Problem>) {
    let prepared = match jsonc::prepare(file) {
        Ok(prepared) => prepared,
        Err(problem) => return (None, vec![problem], Vec::new()),
    };
    let (object, problems) = match jsonc::object(file, &prepared) {
        Ok(read) => read,
        Err(problems) => return (None, problems, Vec::new()),
    };
    let mut reader = Reader { file, object: &object, problems, guidelines: Vec::new() };
    reader.check_fields(&SCIENCE_FIELDS);
    let image = reader.image();
    let version = reader.version();
    let target = reader.target(directory);
    let compat = reader.compat();
    let args = reader.args();
    let mut text = |field| reader.text(field);
    let (description, authors, licenses) = (text("description"), text("authors"), text("licenses"));
    let (url, documentation) = (text("url"), text("documentation"));
    let keywords = reader.texts("keywords");
    let (test_lines, tests) = reader.tests().into_iter().unzip();
    let science = match (image, version, target, compat) {
        (Some(image), Some(version), Some(target), Some(compat)) => Some(Science {
            image,
            version,
            target,
            compat,
            args,
            description,
            authors,
            licenses,
            url,
            documentation,
            keywords,
            tests,
            test_lines,
            places: reader.places(),
        }),
        _ => None,
    };
    (science, reader.problems, reader.guidelines)
}

/// Parses a compat layer's descriptor.
#[must_use]
pub fn compat(file: &SourceFile) -> (Option<CompatLayer>, Vec<Problem>, Vec<Problem>) {
    let prepared = match jsonc::prepare(file) {
        Ok(prepared) => prepared,
        Err(problem) => return (None, vec![problem], Vec::new()),
    };
    let (object, problems) = match jsonc::object(file, &prepared) {
        Ok(read) => read,
        Err(problems) => return (None, problems, Vec::new()),
    };
    let mut reader = Reader { file, object: &object, problems, guidelines: Vec::new() };
    reader.check_fields(&COMPAT_FIELDS);
    let (includes, args) = (reader.includes(), reader.args());
    let description = reader.text("description");
    let (test_lines, tests) = reader.tests().into_iter().unzip();
    let layer = CompatLayer { includes, args, description, tests, test_lines, places: reader.places() };
    (Some(layer), reader.problems, reader.guidelines)
}

/// Returns the scripts that a descriptor names as tests, by their paths below the layer's
/// directory.
#[must_use]
pub fn scripts(kind: Kind, file: &SourceFile) -> BTreeSet<String> {
    // Most descriptors have no tests and need not be parsed.
    if !file.text.contains("tests") {
        return BTreeSet::new();
    }
    let tests = match kind {
        Kind::Science => science(file, "any").0.map(|science| science.tests),
        Kind::Compat => compat(file).0.map(|compat| compat.tests),
    };
    tests.iter().flatten().filter_map(DeclaredTest::script).map(str::to_owned).collect()
}

struct Reader<'a> {
    file: &'a SourceFile,
    object: &'a Object<'a>,
    problems: Vec<Problem>,
    guidelines: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn check_fields(&mut self, known: &[&str]) {
        for property in &self.object.properties {
            let key = jsonc::key(&property.name);
            let full = self.problems.len() >= jsonc::MAX_PROBLEMS;
            if full || known.contains(&key) || key == "$schema" || key.starts_with("x-") {
                continue;
            }
            let help = match suggest::closest(key, known.iter().copied()) {
                Some(closest) => format!("did you mean {closest:?}? fields of your own begin with \"x-\""),
                None => format!("known are {}; fields of your own begin with \"x-\"", known.join(", ")),
            };
            self.problem("descriptor-field", property, format!("unknown field {key:?}"), help);
        }
    }

    fn image(&mut self) -> Option<Name> {
        if self.property("image").is_none() {
            let problem =
                Problem::in_file("descriptor-field", &self.file.path, "the field \"image\" is missing");
            let at = self.object.range.start;
            let help = "add `\"image\": \"…\"`, the name of the product that the layer belongs to";
            self.problems.push(problem.at(&self.file.text, at).help(help));
        }
        self.name("image")
    }

    fn name(&mut self, field: &str) -> Option<Name> {
        let (property, text) = self.string(field)?;
        match Name::parse(&text) {
            Ok(name) => Some(name),
            Err(error) => {
                let message = format!("{field}: {text:?} is not a valid {}", error.what);
                self.value_problem(property, message, error.rule);
                None
            }
        }
    }

    fn version(&mut self) -> Option<Version> {
        let Some(property) = self.property("version") else {
            return Some(Version::parse(DEFAULT_VERSION).expect("the default is a version"));
        };
        let text = match &property.value {
            Value::StringLit(text) => text.value.to_string(),
            Value::NumberLit(number) if keeps_its_digits(number.value) => {
                let message = format!("the version {} is a number", number.value);
                let quoted = format!("\"{}\"", number.value);
                let place = number.range.start..number.range.end;
                let problem = Problem::in_file("version-unquoted", &self.file.path, message)
                    .span(&self.file.text, place.clone())
                    .help(format!("put it into quotes: {quoted}"))
                    .fix(Span { start: place.start, end: place.end }, quoted);
                self.guidelines.push(problem);
                number.value.to_owned()
            }
            Value::NumberLit(number) => {
                let message = format!("the version {} is a number that JSON readers shorten", number.value);
                let place = number.range.start..number.range.end;
                let problem = Problem::in_file("descriptor-value", &self.file.path, message)
                    .span(&self.file.text, place.clone());
                self.problems.push(match Version::parse(number.value) {
                    Ok(version) => problem
                        .help(format!("put it into quotes: \"{version}\""))
                        .fix(Span { start: place.start, end: place.end }, format!("\"{version}\"")),
                    Err(error) => problem.help(format!("put it into quotes: {}", error.rule)),
                });
                return None;
            }
            _ => {
                self.type_problem(property, "a string");
                return None;
            }
        };
        match Version::parse(&text) {
            Ok(version) => Some(version),
            Err(error) => {
                self.value_problem(property, format!("version: {text:?} is not a version"), error.rule);
                None
            }
        }
    }

    fn target(&mut self, directory: &str) -> Option<Name> {
        if self.property("target").is_some() {
            return self.name("target");
        }
        match Name::parse(directory) {
            Ok(name) => Some(name),
            Err(error) => {
                let message = format!("the directory's name {directory:?} cannot be the layer's target");
                let help = format!("set \"target\", or rename the directory: {}", error.rule);
                let problem = Problem::in_file("descriptor-value", &self.file.path, message);
                self.problems.push(problem.at(&self.file.text, self.object.range.start).help(help));
                None
            }
        }
    }

    fn compat(&mut self) -> Option<Compat> {
        let Some(property) = self.property("compat") else { return Some(Compat::Unset) };
        match &property.value {
            Value::NullKeyword(_) => Some(Compat::None),
            Value::StringLit(text) => {
                let name = text.value.to_string();
                self.layer_name(property, &property.value, &name).then_some(Compat::Layer(name))
            }
            _ => {
                self.type_problem(property, "a string or null");
                None
            }
        }
    }

    fn includes(&mut self) -> Vec<String> {
        let mut includes = Vec::new();
        let mut met = std::collections::HashSet::new();
        let Some((property, elements)) = self.elements("includes") else { return includes };
        for element in elements {
            let Value::StringLit(text) = element else {
                self.problem(
                    "descriptor-value",
                    element,
                    "includes: a list of strings",
                    "put it into quotes",
                );
                continue;
            };
            let name = text.value.to_string();
            if !met.insert(name.clone()) {
                self.problem(
                    "descriptor-value",
                    element,
                    format!("{name:?} is included twice"),
                    "remove one",
                );
            } else if self.layer_name(property, element, &name) {
                includes.push(name);
            }
        }
        includes
    }

    /// Checks that a text can be the name of a compat layer: a path that stays below `compat/`.
    fn layer_name(&mut self, property: &ObjectProp<'_>, value: &Value<'_>, name: &str) -> bool {
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !part.contains(['\\', ':'])
                && is_printable(part)
        };
        let good = name.split('/').all(plain);
        if !good {
            let message = format!("{}: {name:?} is not a name of a compat layer", jsonc::key(&property.name));
            self.problem(
                "descriptor-value",
                value,
                message,
                "name a directory below compat/, without a leading '/' and without '..'",
            );
        }
        good
    }

    fn args(&mut self) -> BTreeMap<String, String> {
        let mut args = BTreeMap::new();
        let Some(property) = self.property("args") else { return args };
        let Value::Object(object) = &property.value else {
            self.type_problem(property, "an object of strings");
            return args;
        };
        for argument in &object.properties {
            let name = jsonc::key(&argument.name);
            let Value::StringLit(value) = &argument.value else {
                let message = format!("args: the value of {name:?} is not a string");
                self.value_problem(argument, message, "put it into quotes");
                continue;
            };
            if name.to_ascii_uppercase().starts_with("BUILDKIT_") {
                let message = format!("args: {name:?} steers the builder itself");
                self.problem("buildkit-argument", argument, message, "remove it");
            } else if !is_variable(name) {
                let message = format!("args: {name:?} is not a name of a build argument");
                self.value_problem(argument, message, "letters, digits and '_', no digit first");
            } else if value.value.contains('\0') {
                self.value_problem(argument, format!("args: {name:?} holds a NUL"), "remove it");
            } else {
                self.check_secret(argument, name, &value.value);
                args.insert(name.to_owned(), value.value.to_string());
            }
        }
        args
    }

    /// Reports a build argument that seems to hold a secret: build arguments are visible in git, in
    /// the plan and in the image's history.
    fn check_secret(&mut self, argument: &ObjectProp<'_>, name: &str, value: &str) {
        const WORDS: [&str; 8] =
            ["PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "APIKEY", "CREDENTIAL", "CREDENTIALS"];
        let words = name.to_ascii_uppercase().replace("API_KEY", "APIKEY").replace("PRIVATE_KEY", "SECRET");
        if !value.is_empty() && words.split('_').any(|word| WORDS.contains(&word)) {
            let message =
                format!("args: {name} looks like a secret, and everyone with the image can read it");
            let place = argument.name.range();
            let problem = Problem::in_file("arg-secret", &self.file.path, message)
                .span(&self.file.text, place.start..place.end);
            let help = "mount it: RUN --mount=type=secret,id=NAME in the Dockerfile, --secret id=NAME on the command line";
            self.guidelines.push(problem.help(help));
        }
    }

    fn text(&mut self, field: &str) -> Option<String> {
        let (property, text) = self.string(field)?;
        if text.contains('\0') {
            self.value_problem(property, format!("{field} holds a NUL"), "remove it");
            return None;
        }
        Some(text)
    }

    fn texts(&mut self, field: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for element in self.elements(field).map(|(_, elements)| elements).unwrap_or_default() {
            match element {
                Value::StringLit(text) if !text.value.contains('\0') => texts.push(text.value.to_string()),
                _ => self.problem(
                    "descriptor-value",
                    element,
                    format!("{field}: a list of strings"),
                    "put each into quotes",
                ),
            }
        }
        texts
    }

    fn elements(&mut self, field: &str) -> Option<(&'a ObjectProp<'a>, &'a [Value<'a>])> {
        let property = self.property(field)?;
        match &property.value {
            Value::Array(array) => Some((property, &array.elements)),
            _ => {
                self.type_problem(property, "a list");
                None
            }
        }
    }

    fn string(&mut self, field: &str) -> Option<(&'a ObjectProp<'a>, String)> {
        let property = self.property(field)?;
        match &property.value {
            Value::StringLit(text) => Some((property, text.value.to_string())),
            _ => {
                self.type_problem(property, "a string");
                None
            }
        }
    }

    fn property(&self, field: &str) -> Option<&'a ObjectProp<'a>> {
        self.object.properties.iter().find(|property| jsonc::key(&property.name) == field)
    }

    fn places(&self) -> BTreeMap<String, Range<usize>> {
        let place = |property: &ObjectProp<'_>| {
            let value = property.value.range();
            (jsonc::key(&property.name).to_owned(), value.start..value.end)
        };
        self.object.properties.iter().map(place).collect()
    }

    fn line_at(&self, place: &impl Ranged) -> u32 {
        problem::line_of(&self.file.text, place.range().start)
    }

    fn type_problem(&mut self, property: &ObjectProp<'_>, wanted: &str) {
        let message = format!("{} is not {wanted}", jsonc::key(&property.name));
        self.value_problem(property, message, format!("make it {wanted}, or remove it"));
    }

    fn value_problem(&mut self, property: &ObjectProp<'_>, message: String, help: impl Into<String>) {
        self.problem("descriptor-value", &property.value, message, help);
    }

    fn problem(
        &mut self,
        code: &'static str,
        place: &impl Ranged,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.problems.len() < jsonc::MAX_PROBLEMS {
            let problem = Problem::in_file(code, &self.file.path, message);
            let place = place.range();
            self.problems.push(problem.span(&self.file.text, place.start..place.end).help(help));
        }
    }
}

/// Whether a number keeps its digits when a JSON parser reads and prints it.
fn keeps_its_digits(number: &str) -> bool {
    if number.contains('.') {
        number.parse::<f64>().is_ok_and(|value| format!("{value:?}") == number)
    } else {
        number.parse::<u64>().is_ok_and(|value| value.to_string() == number)
    }
}

/// Whether a text can be the name of a variable or build argument.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
