//! Parses Dockerfiles and fragments: the images that they reference with their positions, their
//! instructions, and their defects.
//!
//! Follows BuildKit (`frontend/dockerfile/parser` and the Dockerfile reference), including its
//! quirks, since a missed reference is a missed rebuild. Constructs that builders read differently,
//! or whose effect is unknown before a build, are reported as problems instead of being guessed.
//! Does not know about layers: references are resolved elsewhere.

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

/// Size limit of a Dockerfile, in bytes. Builders need quadratic time for larger ones.
const MAX_SIZE: usize = 1 << 20;

/// Supported forms of variables.
const SUBSTITUTIONS: &str = "use $NAME, ${NAME}, ${NAME:-default}, ${NAME:+text}, ${NAME#prefix}, ${NAME%suffix} or ${NAME/text/other}";

/// An image that a Dockerfile references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The role of the image.
    pub role: Role,
    /// The byte range of the name in the file. Replacing it by an image gives a valid Dockerfile.
    pub span: Span,
    /// The name, variables expanded; `scratch` for the empty image.
    pub text: String,
    /// The line where the name begins.
    pub line: u32,
    /// The platform of the image.
    pub platform: Platform,
}

/// The platform of a referenced image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Platform {
    /// The target platform of the build.
    #[default]
    Target,
    /// The platform of `FROM --platform=`, variables expanded.
    Named(String),
    /// `FROM --platform=` with a value that is known only in the build.
    Unknown,
}

/// An instruction, reduced to the parts that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The keyword in upper case; `ONBUILD` for a trigger of any kind.
    pub keyword: String,
    /// The text after the flags, line continuations joined.
    pub arguments: String,
    /// The line where the instruction begins.
    pub line: u32,
    /// The last line of the instruction, including continuations and the end of a heredoc.
    pub end: u32,
}

/// Paths of the context that one instruction uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextUse {
    /// `COPY`, `ADD` or `RUN --mount`.
    pub keyword: &'static str,
    /// The sources whose names are certain.
    pub sources: Vec<Source>,
    /// Whether `sources` contains everything that the instruction uses.
    pub complete: bool,
    /// Whether `*`, `?` and `[` are ordinary characters.
    pub literal: bool,
}

/// A file, a directory or a pattern that an instruction names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The cleaned path below the context; empty for the context itself.
    pub path: String,
    /// The path as written, variables expanded.
    pub typed: String,
    /// The byte range of the path in the file, or that of all words of the instruction.
    pub span: Span,
}

/// An `ONBUILD` instruction. It runs in builds that use this image as their base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The instruction, without `ONBUILD`.
    pub text: String,
    /// Its line.
    pub line: u32,
    /// The stages or images that the instruction names.
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
    /// Every referenced image, in the order of the spans: `scratch` is included, stages are not.
    pub references: Vec<ImageReference>,
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
    /// Ids of the secrets that the Dockerfile mounts.
    pub secrets: BTreeSet<String>,
    /// Keys of the labels that the last stage sets, with their positions.
    pub labels: Vec<(String, Span)>,
    /// Paths of the context that the Dockerfile uses.
    pub taken: Vec<ContextUse>,
    /// The names of the stages, in lower case.
    pub stages: BTreeSet<String>,
    /// Instructions that run in builds that use this image as their base.
    pub triggers: Vec<Trigger>,
    /// Paths that the triggers use from the context of the build that runs them.
    pub triggered: Vec<ContextUse>,
    /// Defects and warnings that do not prevent parsing.
    pub noticed: DockerfileNotes,
}

/// The Dockerfile of a compat layer: instructions that follow a FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Where the text begins, after a byte order mark. The mark is left out when texts are joined.
    pub start: usize,
    /// As in [`Dockerfile`]; spans count from the beginning of the file, byte order mark included.
    pub references: Vec<ImageReference>,
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
    /// Image settings that can have only one value, with their lines: `USER`, `WORKDIR`,
    /// `ENTRYPOINT`, `CMD`, `ENV key`.
    pub overrides: Vec<(String, u32)>,
    /// Ids of the secrets that the fragment mounts.
    pub secrets: BTreeSet<String>,
    /// Keys of the labels that the fragment sets, with their positions.
    pub labels: Vec<(String, Span)>,
    /// Paths of the context that the fragment uses.
    pub taken: Vec<ContextUse>,
    /// Defects and warnings that do not prevent parsing.
    pub noticed: DockerfileNotes,
}

/// Parses the Dockerfile of a science layer.
///
/// `args` are the build arguments of the descriptor, `platform` is `os/arch[/variant]`,
/// `allowed_frontends` are the images that `# syntax=` may name in addition to
/// `docker/dockerfile:1…`.
///
/// # Errors
/// Returns all problems if one of them makes the references uncertain. Other problems are in
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

/// Parses the fragment of a compat layer. A fragment has no FROM and no parser directive, and all
/// its constructs are closed, so that it does not swallow the text that follows. The line end at
/// its end may be missing.
///
/// `args` are the build arguments of the descriptor.
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
    // A fragment has no ARG before the FROM, so the platform variables are not visible.
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

/// Returns the text with each span replaced. Spans must be sorted and must not overlap, as those of
/// references.
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

/// Returns the settings of a fragment that a later instruction can override.
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

/// Returns the keys of `LABEL` after the last FROM. Keys that contain variables are left out.
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
