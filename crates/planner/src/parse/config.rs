//! Parses `image-builder.toml`.

use std::collections::BTreeMap;
use std::ops::Range;

use plan::{ImageName, Name, Version};
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use crate::Problem;
use crate::parse::descriptor;
use crate::tree::SourceFile;
use crate::views::suggest;

/// The configuration of a source tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `{repo}`: a registry host with an optional path.
    pub repo: String,
    /// Other names that FROM lines use for `repo`.
    pub aliases: Vec<String>,
    /// The repository from which parent images that `repo` lacks are pulled.
    pub base_repo: Option<String>,
    /// The platform of builds, `os/arch[/variant]`.
    pub platform: String,
    /// The first part of the keys of the provenance labels.
    pub label_prefix: String,
    /// The variable that holds an image's own name.
    pub image_variable: String,
    /// Science targets that exist in the registry but no longer in the tree.
    pub published: Vec<String>,
    /// Products that were removed on purpose, `image:version`.
    pub retired: Vec<String>,
    /// Products that no plan builds and whose moving tags no push updates, `image:version`.
    pub hold: Vec<String>,
    /// The repository's public address.
    pub source: Option<String>,
    /// Levels of guidelines that differ from the default, by code.
    pub check: BTreeMap<String, Level>,
}

/// The level of a guideline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not reported.
    Allow,
    /// Reported as a warning.
    Warn,
    /// Reported as a problem: the tree is rejected.
    Deny,
}

/// Guidelines by code, with their default levels.
pub const GUIDELINES: [(&str, Level); 11] = [
    ("arg-secret", Level::Warn),
    ("compat-shadowed", Level::Warn),
    ("external-like-layer", Level::Warn),
    ("from-rel", Level::Deny),
    ("from-unpinned", Level::Warn),
    ("from-unqualified", Level::Warn),
    ("from-unversioned", Level::Warn),
    ("label-overridden", Level::Warn),
    ("no-compat", Level::Warn),
    ("onbuild-inherited", Level::Warn),
    ("version-unquoted", Level::Warn),
];

/// Size limit of the file, in bytes.
const MAX_SIZE: usize = 128 << 10;

/// At most this many problems of the file are reported.
const MAX_PROBLEMS: usize = 50;

/// The keys of the file.
pub const KEYS: [&str; 11] = [
    "repo",
    "aliases",
    "base_repo",
    "platform",
    "label_prefix",
    "image_variable",
    "published",
    "retired",
    "hold",
    "source",
    "check",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            repo: "containers.repo.sciserver.org/compute-images".to_owned(),
            aliases: vec!["compute.repo.sciserver.org".to_owned()],
            base_repo: None,
            platform: "linux/amd64".to_owned(),
            label_prefix: "org.sciserver".to_owned(),
            image_variable: "SCISERVER_IMAGE".to_owned(),
            published: Vec::new(),
            retired: Vec::new(),
            hold: Vec::new(),
            source: None,
            check: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Returns the level of a guideline. Unknown codes have the level [`Level::Warn`].
    #[must_use]
    pub fn level(&self, code: &str) -> Level {
        let default = GUIDELINES.iter().find(|(known, _)| *known == code).map(|(_, level)| *level);
        self.check.get(code).copied().or(default).unwrap_or(Level::Warn)
    }
}

/// Parses the configuration file. Returns the defaults if there is no file.
///
/// An invalid value is reported and left at its default, so that the rest of the tree can be
/// checked.
#[must_use]
pub fn parse(file: Option<&SourceFile>) -> (Config, Vec<Problem>) {
    let mut config = Config::default();
    let Some(file) = file else { return (config, Vec::new()) };
    if file.text.len() > MAX_SIZE {
        let problem = Problem::in_file("too-large", &file.path, "the configuration is larger than 128 KiB");
        return (config, vec![problem.help("it holds a few settings; keep data elsewhere")]);
    }
    let bom = if file.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (table, errors) = DeTable::parse_recoverable(&file.text[bom..]);
    let mut reader = Reader { file, bom, problems: Vec::new() };
    for error in errors {
        let message = format!("not TOML: {}", error.message().replace('\n', ", "));
        let help = "see https://toml.io for the form of the file";
        reader.problem("config-syntax", error.span().unwrap_or(0..0), message, help);
    }
    if !reader.problems.is_empty() {
        // Values of a broken file are not used.
        reader.problems.sort();
        return (config, reader.problems);
    }
    for (key, value) in table.get_ref() {
        let place = value.span();
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "repo" => reader.set(&mut config.repo, "repo", value, place, check_repo),
            "aliases" => reader.set_list(&mut config.aliases, "aliases", value, place, check_repo),
            "base_repo" => reader.set_option(&mut config.base_repo, "base_repo", value, place, check_repo),
            "platform" => reader.set(&mut config.platform, "platform", value, place, check_platform),
            "label_prefix" => {
                reader.set(&mut config.label_prefix, "label_prefix", value, place, check_prefix);
            }
            "image_variable" => {
                reader.set(&mut config.image_variable, "image_variable", value, place, check_variable);
            }
            "published" => reader.set_list(&mut config.published, "published", value, place, check_target),
            "retired" => reader.set_list(&mut config.retired, "retired", value, place, check_product),
            "hold" => reader.set_list(&mut config.hold, "hold", value, place, check_product),
            "source" => reader.set_option(&mut config.source, "source", value, place, check_source),
            "check" => reader.check(&mut config.check, value, place),
            unknown => reader.unknown(key.span(), "key", unknown, &KEYS),
        }
    }
    reader.problems.sort();
    (config, reader.problems)
}

/// Checks that a text can be `{repo}`: a registry host with an optional path and without a tag.
///
/// # Errors
/// Returns the form that is required.
pub fn check_repo(text: &str) -> Result<(), &'static str> {
    let rule =
        "a registry host, with a path or without, as in registry.example.org/images: lower case, without tag";
    // Validated as part of an image name.
    match ImageName::parse(&format!("{text}/sci/x")) {
        Ok(name) if name.has_registry && !text.bytes().any(|c| c.is_ascii_uppercase()) => Ok(()),
        _ => Err(rule),
    }
}

/// Checks that a text names a platform.
///
/// # Errors
/// Returns the form that is required.
pub fn check_platform(text: &str) -> Result<(), &'static str> {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
    };
    if (2..=3).contains(&text.split('/').count()) && text.split('/').all(word) {
        Ok(())
    } else {
        Err("os/arch or os/arch/variant, as in linux/amd64")
    }
}

/// Checks that a text names a product, `image:version`.
///
/// # Errors
/// Returns the form that is required.
pub fn check_product(text: &str) -> Result<(), &'static str> {
    match text.split_once(':') {
        Some((image, version)) if Name::parse(image).is_ok() && Version::parse(version).is_ok() => Ok(()),
        _ => Err("a product, as in nist-basic:2.0"),
    }
}

fn check_prefix(text: &str) -> Result<(), &'static str> {
    let word =
        |part: &str| !part.is_empty() && part.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if text.split('.').all(word) { Ok(()) } else { Err("a domain in reverse, as in org.example") }
}

fn check_variable(text: &str) -> Result<(), &'static str> {
    if descriptor::is_variable(text) { Ok(()) } else { Err("letters, digits and '_', no digit first") }
}

fn check_target(text: &str) -> Result<(), &'static str> {
    Name::parse(text).map(|_| ()).map_err(|error| error.rule)
}

fn check_source(text: &str) -> Result<(), &'static str> {
    let rule = "a public address, https://…, without user name, password or token";
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://")).ok_or(rule)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if plain && !host.is_empty() && !host.contains('@') { Ok(()) } else { Err(rule) }
}

/// A check of a value. `Err` contains the form that is required.
type Rule = fn(&str) -> Result<(), &'static str>;

struct Reader<'a> {
    file: &'a SourceFile,
    bom: usize,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn set(
        &mut self,
        field: &mut String,
        key: &'static str,
        value: &DeValue<'_>,
        place: Range<usize>,
        rule: Rule,
    ) {
        if let Some(text) = self.text(key, value, place, rule) {
            *field = text;
        }
    }

    fn set_option(
        &mut self,
        field: &mut Option<String>,
        key: &'static str,
        value: &DeValue<'_>,
        place: Range<usize>,
        rule: Rule,
    ) {
        if let Some(text) = self.text(key, value, place, rule) {
            *field = Some(text);
        }
    }

    fn set_list(
        &mut self,
        field: &mut Vec<String>,
        key: &'static str,
        value: &DeValue<'_>,
        place: Range<usize>,
        rule: Rule,
    ) {
        let DeValue::Array(array) = value else {
            return self.problem("config-value", place, format!("{key} is not a list of strings"), "use […]");
        };
        *field = array
            .iter()
            .filter_map(|element| self.text(key, element.get_ref(), element.span(), rule))
            .collect();
    }

    fn check(&mut self, field: &mut BTreeMap<String, Level>, value: &DeValue<'_>, place: Range<usize>) {
        let DeValue::Table(table) = value else {
            return self.problem("config-value", place, "check is not a table".to_owned(), "write `[check]`");
        };
        for (code, level) in table {
            let known = GUIDELINES.map(|(known, _)| known);
            if !known.contains(&code.get_ref().as_ref()) {
                self.unknown(code.span(), "guideline", code.get_ref(), &known);
                continue;
            }
            let level = match level.get_ref().as_str() {
                Some("allow") => Level::Allow,
                Some("warn") => Level::Warn,
                Some("deny") => Level::Deny,
                _ => {
                    let message = format!("check: {} has an unknown level", code.get_ref());
                    let help = "use \"allow\", \"warn\" or \"deny\"";
                    self.problem("config-value", level.span(), message, help);
                    continue;
                }
            };
            field.insert(code.get_ref().to_string(), level);
        }
    }

    fn text(&mut self, key: &str, value: &DeValue<'_>, place: Range<usize>, rule: Rule) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.problem("config-value", place, format!("{key}: not a string"), "put it into quotes");
            return None;
        };
        match rule(text) {
            Ok(()) => Some(text.to_owned()),
            Err(rule) => {
                // An address can contain a token, so it is not shown.
                let shown = if key == "source" { "the address".to_owned() } else { format!("{text:?}") };
                self.problem("config-value", place, format!("{key}: {shown} is not valid"), rule);
                None
            }
        }
    }

    fn unknown(&mut self, place: Range<usize>, what: &str, word: &str, known: &[&str]) {
        let help = match suggest::closest(word, known.iter().copied()) {
            Some(closest) => format!("did you mean {closest:?}?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.problem("config-key", place, format!("unknown {what} {word:?}"), help);
    }

    fn problem(&mut self, code: &'static str, place: Range<usize>, message: String, help: impl Into<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let problem = Problem::in_file(code, &self.file.path, message);
        let place = place.start + self.bom..place.end + self.bom;
        self.problems.push(problem.span(&self.file.text, place).help(help));
    }
}
