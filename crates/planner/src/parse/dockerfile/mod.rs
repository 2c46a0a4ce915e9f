//! Parses Dockerfiles and fragments: the images that they reference with their positions, their
//! instructions, and their defects.
//!
//! Parsed as BuildKit does (`frontend/dockerfile/parser` and the Dockerfile reference), including
//! its quirks, since a missed reference is a missed rebuild. Constructs that builders read
//! differently, or whose effect is unknown before a build, are problems, not guesses. Does not know
//! layers: references are resolved elsewhere.

mod arguments;
mod expansion;
mod frontend;
mod head;
mod lines;
mod patterns;
mod references;
mod rules;
mod scope;
mod secrets;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use plan::{Role, Span};

use crate::Problem;
use crate::tree::SourceFile;

/// The largest Dockerfile that is read, in bytes. Builders need quadratic time for larger ones.
const MAX_SIZE: usize = 1 << 20;

/// Supported forms of variables.
const SUBSTITUTIONS: &str = "use $NAME, ${NAME}, ${NAME:-default}, ${NAME:+text}, ${NAME#prefix}, ${NAME%suffix} or ${NAME/text/other}";

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Its role.
    pub role: Role,
    /// Bytes of the file's text that name it: replacing them by an image gives a valid Dockerfile
    /// again.
    pub span: Span,
    /// The name, variables substituted; `scratch` for the empty image.
    pub text: String,
    /// Where the name begins.
    pub line: u32,
    /// For which platform its image is taken.
    pub platform: Platform,
}

/// For which platform an image is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Platform {
    /// The one that is built for.
    #[default]
    Target,
    /// The platform of `FROM --platform=`, variables substituted.
    Named(String),
    /// `FROM --platform=` with what only a build knows.
    Unknown,
}

/// An instruction, as far as anybody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// In capitals; `ONBUILD` for a trigger of any kind.
    pub keyword: String,
    /// The text after the flags, line continuations joined.
    pub arguments: String,
    /// Where it begins.
    pub line: u32,
    /// Its last line: that of a continuation, or the end of a heredoc.
    pub end: u32,
}

/// Paths of the context that one instruction uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextUse {
    /// `COPY`, `ADD` or `RUN --mount`.
    pub keyword: &'static str,
    /// Those whose names are certain.
    pub sources: Vec<Source>,
    /// Whether these are all that it takes.
    pub complete: bool,
    /// Whether `*`, `?` and `[` are characters as any other.
    pub literal: bool,
}

/// A file, a directory or a pattern that an instruction names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Below the context, cleaned; empty for the context itself.
    pub path: String,
    /// As it is named, variables put in.
    pub typed: String,
    /// Bytes of the file's text that name it, or those of all words of the instruction.
    pub span: Span,
}

/// An instruction that runs where something is built on this image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The instruction, without `ONBUILD`.
    pub text: String,
    /// Its line.
    pub line: u32,
    /// The stages or images that it names.
    pub names: Vec<String>,
}

/// Defects and warnings of a Dockerfile that can still be parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerfileNotes {
    /// Defects that every builder rejects.
    pub defects: Vec<Problem>,
    /// Warnings.
    pub warnings: Vec<Problem>,
}

/// The Dockerfile of a science layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Every image named, `scratch` included and stages left out, in the order of their spans.
    pub references: Vec<ImageReference>,
    /// In order.
    pub instructions: Vec<Instruction>,
    /// Ids of the secrets that it mounts.
    pub secrets: BTreeSet<String>,
    /// Keys of the labels that it sets in its last stage, with their positions.
    pub labels: Vec<(String, Span)>,
    /// Paths of the context that it uses.
    pub taken: Vec<ContextUse>,
    /// The names of its stages, in lower case.
    pub stages: BTreeSet<String>,
    /// Instructions that run in builds based on it.
    pub triggers: Vec<Trigger>,
    /// Paths that these use from the context that they run in.
    pub triggered: Vec<ContextUse>,
    /// Further defects.
    pub noticed: DockerfileNotes,
}

/// The Dockerfile of a compat layer: instructions that go behind a FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Where the text begins, behind a byte order mark: leave that out when texts are joined.
    pub start: usize,
    /// As in [`Dockerfile`]; spans count from the beginning of the file, byte order mark included.
    pub references: Vec<ImageReference>,
    /// In order.
    pub instructions: Vec<Instruction>,
    /// Image settings that can have only one value: `USER`, `WORKDIR`, `ENTRYPOINT`, `CMD`, `ENV
    /// key`, with its line.
    pub overrides: Vec<(String, u32)>,
    /// Ids of the secrets that it mounts.
    pub secrets: BTreeSet<String>,
    /// Keys of the labels that it sets, with their positions.
    pub labels: Vec<(String, Span)>,
    /// Paths of the context that it uses.
    pub taken: Vec<ContextUse>,
    /// Further defects.
    pub noticed: DockerfileNotes,
}

/// Reads the Dockerfile of a science layer.
///
/// `args` are the descriptor's, `platform` is `os/arch[/variant]`, `allowed_frontends` are images that
/// `# syntax=` may name beside `docker/dockerfile:1…`.
///
/// # Errors
/// Every problem that was found, if one of them leaves it in doubt what the Dockerfile names. Others are
/// [`Dockerfile::noticed`].
pub fn parse(
    file: &SourceFile,
    args: &BTreeMap<String, String>,
    platform: &str,
    allowed_frontends: &[String],
) -> Result<Dockerfile, Vec<Problem>> {
    check_size(file)?;
    let lines = lines::read(&file.text);
    if let Some(conflict) = lines.conflict(file) {
        return Err(vec![conflict]);
    }
    let mut problems = frontend::problems(file, allowed_frontends);
    problems.extend(lines.problems(file));
    let mut rules = rules::Rules::new(file, lines.escape);
    let global = arguments::Global::new(args, platform);
    let named = references::of_dockerfile(file, &lines, global, &mut rules);
    problems.extend(named.problems);
    if !problems.is_empty() {
        return Err(all(problems, rules.defects));
    }
    rules.warnings.extend(named.warnings);
    Ok(Dockerfile {
        references: named.references,
        instructions: instructions(&lines),
        secrets: secrets::mounted(&lines),
        labels: labels(&lines),
        taken: rules.taken,
        stages: named.stages,
        triggers: named.triggers,
        triggered: named.triggered,
        noticed: DockerfileNotes { defects: rules.defects, warnings: rules.warnings },
    })
}

/// Reads the fragment of a compat layer: no FROM, no parser directive, and closed at its end, so that what is
/// put behind it is not swallowed. A missing line end there is no problem.
///
/// `args` are the descriptor's.
///
/// # Errors
/// As [`parse`].
pub fn fragment(file: &SourceFile, args: &BTreeMap<String, String>) -> Result<Fragment, Vec<Problem>> {
    check_size(file)?;
    let lines = lines::read(&file.text);
    if let Some(conflict) = lines.conflict(file) {
        return Err(vec![conflict]);
    }
    let mut problems = frontend::problems_of_fragment(file);
    problems.extend(lines.problems(file));
    problems.extend(lines.problems_at_end(file));
    let mut rules = rules::Rules::new(file, lines.escape);
    // A fragment has no ARG before the FROM, where the platform would be visible.
    let global = arguments::Global::new(args, "");
    let named = references::of_fragment(file, &lines, &mut rules, &global);
    problems.extend(named.problems);
    if !problems.is_empty() {
        return Err(all(problems, rules.defects));
    }
    rules.warnings.extend(named.warnings);
    Ok(Fragment {
        start: frontend::start(&file.text),
        references: named.references,
        instructions: instructions(&lines),
        overrides: overrides(&lines),
        secrets: secrets::mounted(&lines),
        labels: labels(&lines),
        taken: rules.taken,
        noticed: DockerfileNotes { defects: rules.defects, warnings: rules.warnings },
    })
}

fn all(mut problems: Vec<Problem>, defects: Vec<Problem>) -> Vec<Problem> {
    problems.extend(defects);
    problems.sort();
    problems.dedup();
    problems
}

/// The text with each span replaced. Spans are sorted and do not overlap, as those of references.
#[must_use]
pub fn rewrite(text: &str, replacements: &[(Span, String)]) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut at = 0;
    for (span, replacement) in replacements {
        rewritten.push_str(&text[at..span.start]);
        rewritten.push_str(replacement);
        at = span.end;
    }
    rewritten.push_str(&text[at..]);
    rewritten
}

fn check_size(file: &SourceFile) -> Result<(), Vec<Problem>> {
    if file.text.len() <= MAX_SIZE {
        return Ok(());
    }
    let problem = Problem::in_file("too-large", &file.path, "the Dockerfile is larger than 1 MiB");
    Err(vec![problem.help("put data into a file beside it, and COPY that")])
}

fn instructions(lines: &lines::Lines) -> Vec<Instruction> {
    let instruction = |line: &lines::Line| Instruction {
        keyword: line.head.keyword.to_ascii_uppercase(),
        arguments: line.text[line.head.rest..].trim().to_owned(),
        line: line.number,
        end: line.end,
    };
    lines.lines.iter().map(instruction).collect()
}

/// Settings of a fragment that a later one replaces.
fn overrides(lines: &lines::Lines) -> Vec<(String, u32)> {
    let mut overrides = Vec::new();
    for line in &lines.lines {
        match line.head.keyword.as_str() {
            keyword @ ("user" | "workdir" | "entrypoint" | "cmd") => {
                overrides.push((keyword.to_ascii_uppercase(), line.number));
            }
            "env" => {
                for (key, _) in words::keys(line.behind().trim(), lines.escape) {
                    overrides.push((format!("ENV {key}"), line.number));
                }
            }
            _ => {}
        }
    }
    overrides
}

/// The keys of `LABEL` behind the last FROM. One with a variable in it is left out.
fn labels(lines: &lines::Lines) -> Vec<(String, Span)> {
    let stage = lines.lines.iter().rposition(|line| line.head.is("from")).unwrap_or(0);
    let mut labels = Vec::new();
    for line in lines.lines[stage..].iter().filter(|line| line.head.is("label")) {
        let start = line.head.behind;
        for (key, range) in words::keys(line.behind(), lines.escape) {
            labels.push((key, line.span(start + range.start..start + range.end)));
        }
    }
    labels.retain(|(key, _)| !key.contains('$'));
    labels
}
