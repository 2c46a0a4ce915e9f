//! Parses directives: `# escape=`, and the frontends that `# syntax=` and `BUILDKIT_SYNTAX` would
//! run.
//!
//! A frontend is a third-party program that the builder runs to read the Dockerfile, so this finds
//! every form in which BuildKit would find one (`frontend/dockerfile/parser/directives.go`), and a
//! few that it would not.

use plan::ImageName;

use crate::Problem;
use crate::tree::SourceFile;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A directive and its position.
struct Directive<'a> {
    name: String,
    value: &'a str,
    at: usize,
}

/// Returns the position where the text begins, after a byte order mark.
pub(super) fn start(text: &str) -> usize {
    if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
}

/// Returns the escape character: `\`, or the one that `# escape=` sets.
pub(super) fn escape(text: &str) -> char {
    let found = directives(text, start(text));
    let escape = found.iter().find(|directive| directive.name == "escape");
    match escape.map(|directive| directive.value) {
        Some("`") => '`',
        _ => '\\',
    }
}

/// Returns the problems of a Dockerfile's directives.
pub(super) fn problems(file: &SourceFile, allowed: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let text = &file.text;
    let mut seen: Vec<String> = Vec::new();
    for directive in directives(text, start(text)) {
        if seen.contains(&directive.name) {
            problems.push(
                Problem::in_file("directive", &file.path, format!("a second `# {}=`", directive.name))
                    .at(text, directive.at)
                    .help("leave one of them: builders refuse both"),
            );
        }
        if directive.name == "escape" && !matches!(directive.value, "`" | "\\") {
            let message = format!("{:?} is not an escape character", directive.value);
            problems.push(
                Problem::in_file("directive", &file.path, message)
                    .at(text, directive.at)
                    .help("use a backslash or a backtick"),
            );
        }
        seen.push(directive.name);
    }
    for (value, at) in frontends(text) {
        let image = value.split(char::is_whitespace).next().unwrap_or_default();
        if !is_allowed(image, allowed) {
            problems.push(
                Problem::in_file(
                    "frontend",
                    &file.path,
                    format!("the frontend {image:?} is not allowed: it would run in place of the builder's own"),
                )
                .at(text, at)
                .help(format!(
                    "remove the line, use docker/dockerfile:1, or pass `--allow-frontend {image}` if you trust it"
                )),
            );
        }
    }
    problems
}

/// Reports the directives of a fragment. A fragment cannot have any, since it is inserted into a
/// Dockerfile.
pub(super) fn problems_of_fragment(file: &SourceFile) -> Vec<Problem> {
    let text = &file.text;
    let mut found: Vec<(String, usize)> = Vec::new();
    for directive in directives(text, start(text)) {
        found.push((directive.name, directive.at));
    }
    for (_, at) in frontends(text) {
        if !found.iter().any(|(_, known)| *known == at) {
            found.push(("syntax".to_owned(), at));
        }
    }
    let problem = |(name, at): (String, usize)| {
        Problem::in_file(
            "fragment-directive",
            &file.path,
            format!("a compat fragment has a parser directive (`{name}`)"),
        )
        .at(text, at)
        .help("remove the line: fragments are joined into one Dockerfile, which has no directives")
    };
    found.into_iter().map(problem).collect()
}

/// Returns the directives at the top of a text: comment lines of the form `key=value` up to the
/// first other line.
fn directives(text: &str, start: usize) -> Vec<Directive<'_>> {
    let mut found = Vec::new();
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let Some(rest) = line.trim().strip_prefix('#') else { break };
        let Some((name, value)) = rest.split_once('=') else { break };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if value.is_empty() || !matches!(name.as_str(), "syntax" | "escape" | "check") {
            break;
        }
        found.push(Directive { name, value, at: at + indent });
        at += line.len();
    }
    found
}

/// Returns every frontend that any release of BuildKit could find in a text.
///
/// The releases differ. In old ones, such as that of Docker 20.10, the search continues after any
/// `key=value` comment, and the last `syntax` counts. Later releases stop at an unknown key, skip
/// `#!` lines, and also know `//` and JSON. So this search continues as long as that of any release
/// would, and collects every `syntax` on its way.
fn frontends(text: &str) -> Vec<(String, usize)> {
    let start = start(text);
    let mut found: Vec<(String, usize)> = Vec::new();
    found.extend(json_syntax(&text[start..]).map(|value| (value, start)));
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let shebang = line.starts_with("#!");
        match comment_pair(line) {
            Some((name, value)) if name.eq_ignore_ascii_case("syntax") => {
                found.push((value.to_owned(), at + indent));
            }
            Some(_) => {}
            None if shebang => {}
            None => break,
        }
        at += line.len();
        if shebang {
            found.extend(json_syntax(&text[at..]).map(|value| (value, at)));
        }
    }
    found
}

/// Parses `# key=value` or `// key=value` with any key.
fn comment_pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let rest = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
    let (name, value) = rest.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_key = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|c| c.is_ascii_alphanumeric())
        && !value.is_empty();
    is_key.then_some((name, value))
}

/// Returns the `syntax` of a text that is, or begins with, a JSON object: `{"syntax": …}` in any
/// letter case.
fn json_syntax(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let first = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>().next()?.ok()?;
    let syntax = first.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case("syntax"))?;
    Some(syntax.1.as_str()?.to_owned())
}

/// Whether a frontend is allowed: Docker's own in version 1, or one that the command line allows.
fn is_allowed(image: &str, allowed: &[String]) -> bool {
    let Ok(name) = ImageName::parse(image) else { return false };
    let docker = name.registry == "docker.io"
        && name.repository == "docker/dockerfile"
        && name
            .tag
            .as_deref()
            .is_some_and(|tag| tag == "1" || tag.starts_with("1.") || tag.starts_with("1-"));
    docker
        || allowed.iter().any(|allowed| {
            ImageName::parse(allowed).is_ok_and(|allowed| allowed.to_string() == name.to_string())
        })
}

/// Whether the arguments of an `ARG` give a value to `BUILDKIT_SYNTAX`, which as a build argument
/// chooses a frontend. Other variables with that prefix have other purposes.
pub(super) fn is_chosen(arguments: &str) -> bool {
    arguments.split_whitespace().any(|word| word.starts_with("BUILDKIT_SYNTAX="))
}
