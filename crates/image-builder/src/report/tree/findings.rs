//! Writes the findings of a check: as text, or as a versioned JSON document.
//!
//! Forms that other tools define are in [`crate::report::tree::code_quality`].

use std::collections::BTreeMap;

use planner::config::Level;
use planner::tree::Tree;
use planner::{Checked, Finding};
use serde::Serialize;

use crate::cli::escape::{escape, escape_json};
use crate::report::text::format::{Paint, count};
use crate::report::text::problems::{help_lines, place};
use crate::report::text::snippet::excerpt;

/// The version of the JSON document. A reader ignores unknown fields of the same major.
const FORMAT_VERSION: &str = "1.0";

/// The texts of a tree's files, by path.
pub(crate) fn texts(tree: &Tree) -> BTreeMap<&str, &str> {
    let of_layer = tree.layers.iter().flat_map(|layer| {
        [Some(&layer.descriptor), layer.dockerfile.as_ref(), layer.ignore_file.as_ref()].into_iter().flatten()
    });
    of_layer.chain(&tree.config).map(|file| (file.path.as_str(), file.text.as_str())).collect()
}

/// Every finding with its line, then their number. Findings at one place share a line.
pub(crate) fn text(checked: &Checked, texts: &BTreeMap<&str, &str>, paint: Paint) -> String {
    let place = |finding: &'_ Finding| {
        let problem = &finding.problem;
        (problem.file.clone(), problem.line, problem.column, problem.width)
    };
    let mut out = String::new();
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for alike in checked.findings.chunk_by(|a, b| place(a) == place(b)) {
        let place = alike[0].problem.file.as_ref().zip(alike[0].problem.line);
        let line = place.and_then(|(file, line)| {
            let (file, text) = texts.get_key_value(file.as_str())?;
            let lines = lines.entry(file).or_insert_with(|| text.split('\n').collect());
            lines.get(usize::try_from(line).ok()?.checked_sub(1)?).copied()
        });
        out.push_str(&at_one_place(alike, line, paint));
        out.push('\n');
    }
    out.push_str(&summary(checked, paint));
    out
}

/// Formats findings at one place: `file:line:column: level: message [code]` for each, then the
/// source line, then the help texts.
fn at_one_place(findings: &[Finding], line: Option<&str>, paint: Paint) -> String {
    let mut out = String::new();
    for Finding { level, problem } in findings {
        let level = match level {
            Level::Deny => paint.red("error"),
            Level::Warn | Level::Allow => paint.yellow("warning"),
        };
        out.push_str(&format!(
            "{}{level}: {} {}\n",
            place(problem.file.as_deref(), problem.line, problem.column),
            escape(&problem.message),
            paint.dim(&format!("[{}]", problem.code))
        ));
    }
    let problem = &findings[0].problem;
    if let (Some(line), Some(number)) = (line, problem.line) {
        out.push_str(&excerpt(line, number, problem.column, problem.width, paint).unwrap_or_default());
    }
    let helps = findings.iter().filter_map(|finding| finding.problem.help.as_deref());
    out.extend(helps.map(help_lines));
    out
}

fn summary(checked: &Checked, paint: Paint) -> String {
    let layers = count(checked.layers, "layer");
    let (denied, warned) = (number(checked, Level::Deny), number(checked, Level::Warn));
    let found = match (denied, warned) {
        (0, 0) => return format!("{layers}: {}\n", paint.green("nothing to mend")),
        (0, warned) => count(warned, "warning"),
        (denied, 0) => count(denied, "problem"),
        (denied, warned) => format!("{} and {}", count(denied, "problem"), count(warned, "warning")),
    };
    let fixable = checked.findings.iter().filter(|finding| finding.problem.fix.is_some()).count();
    let fix = match fixable {
        0 => String::new(),
        1 => "; `image-builder check --fix` fixes one of them".to_owned(),
        more => format!("; `image-builder check --fix` fixes {more} of them"),
    };
    format!("{layers}: {found}{fix}\n")
}

fn number(checked: &Checked, level: Level) -> usize {
    checked.findings.iter().filter(|finding| finding.level == level).count()
}

/// The versioned document.
pub(crate) fn json(checked: &Checked) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        format_version: &'a str,
        layers: usize,
        problems: usize,
        warnings: usize,
        findings: Vec<Found<'a>>,
    }
    #[derive(Serialize)]
    struct Found<'a> {
        code: &'a str,
        level: &'a str,
        file: Option<&'a str>,
        /// Line and columns count from 1, columns in characters; `end_column` is behind the last
        /// one.
        line: Option<u32>,
        column: Option<u32>,
        end_column: Option<u32>,
        message: &'a str,
        help: Option<&'a str>,
        fix: Option<Fix<'a>>,
    }
    #[derive(Serialize)]
    struct Fix<'a> {
        /// Byte offsets in the file.
        start: usize,
        end: usize,
        text: &'a str,
    }
    let findings = checked
        .findings
        .iter()
        .map(|Finding { level, problem }| Found {
            code: problem.code,
            level: match level {
                Level::Deny => "error",
                Level::Warn | Level::Allow => "warning",
            },
            file: problem.file.as_deref(),
            line: problem.line,
            column: problem.column,
            end_column: problem.column.zip(problem.width).map(|(column, width)| column.saturating_add(width)),
            message: &problem.message,
            help: problem.help.as_deref(),
            fix: problem.fix.as_ref().map(|edit| Fix {
                start: edit.span.start,
                end: edit.span.end,
                text: &edit.text,
            }),
        })
        .collect();
    let document = Document {
        format_version: FORMAT_VERSION,
        layers: checked.layers,
        problems: number(checked, Level::Deny),
        warnings: number(checked, Level::Warn),
        findings,
    };
    pretty(&document)
}

/// JSON for a file or a pipe: on several lines, safe to print.
pub(crate) fn pretty(document: &impl Serialize) -> String {
    let json =
        serde_json::to_string_pretty(document).expect("a report holds only strings, numbers and lists");
    format!("{}\n", escape_json(&json))
}
