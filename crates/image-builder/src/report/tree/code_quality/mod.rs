//! Writes findings in the formats of code-quality views: SARIF and GitLab's.
//!
//! SARIF 2.1.0 is an OASIS standard (docs.oasis-open.org/sarif); GitHub shows it. GitLab's form is
//! a list of issues ("Code Quality report format" in its documentation). Both name files below the
//! repository's root, which may lie above the source tree's.

use std::collections::BTreeMap;

use planner::config::{GUIDELINES, Level};
use planner::{Checked, Finding, Problem, code};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::report::tree::findings::pretty;

/// The file of findings that have none: flags have no file, and their settings would be in the
/// configuration.
const NO_FILE: &str = "image-builder.toml";

/// SARIF 2.1.0. `below` is where the source tree is in its repository: empty, or a path that ends
/// in `/`.
pub(crate) fn sarif(checked: &Checked, below: &str) -> String {
    let mut rules: Vec<&str> = checked.findings.iter().map(|finding| finding.problem.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let rule = |code: &&str| {
        let default =
            GUIDELINES.iter().find(|(known, _)| known == code).map_or(Level::Deny, |(_, level)| *level);
        json!({
            "id": code,
            "shortDescription": { "text": code::summary(code).unwrap_or_default() },
            "defaultConfiguration": { "level": level_word(default) },
        })
    };
    let fingerprints = fingerprints(checked);
    let result = |(finding, fingerprint): (&Finding, String)| {
        let problem = &finding.problem;
        let mut result = json!({
            "ruleId": problem.code,
            "ruleIndex": rules.binary_search(&problem.code).unwrap_or_default(),
            "level": level_word(finding.level),
            "message": { "text": sentence(problem) },
            "partialFingerprints": { "imageBuilder/v1": fingerprint },
        });
        if let Some(file) = &problem.file {
            let mut place = json!({ "artifactLocation": { "uri": uri(&format!("{below}{file}")), "uriBaseId": "%SRCROOT%" } });
            if let Some(line) = problem.line {
                place["region"] = region(problem, line);
            }
            result["locations"] = json!([{ "physicalLocation": place }]);
        }
        result
    };
    let results: Vec<Value> = checked.findings.iter().zip(fingerprints).map(result).collect();
    pretty(&json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "image-builder",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn region(problem: &Problem, line: u32) -> Value {
    let mut region = json!({ "startLine": line });
    if let Some(column) = problem.column {
        region["startColumn"] = column.into();
        if let Some(width) = problem.width {
            region["endColumn"] = column.saturating_add(width).into();
        }
    }
    region
}

/// GitLab's code quality report.
pub(crate) fn gitlab(checked: &Checked, below: &str) -> String {
    let issue = |(finding, fingerprint): (&Finding, String)| {
        let problem = &finding.problem;
        json!({
            "description": sentence(problem),
            "check_name": problem.code,
            "fingerprint": fingerprint,
            "severity": match finding.level {
                Level::Deny => "critical",
                Level::Warn | Level::Allow => "minor",
            },
            "location": {
                "path": format!("{below}{}", problem.file.as_deref().unwrap_or(NO_FILE)),
                "lines": { "begin": problem.line.unwrap_or(1) },
            },
        })
    };
    let issues: Vec<Value> = checked.findings.iter().zip(fingerprints(checked)).map(issue).collect();
    pretty(&issues)
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Deny => "error",
        Level::Warn => "warning",
        Level::Allow => "note",
    }
}

fn sentence(problem: &Problem) -> String {
    match &problem.help {
        Some(help) => format!("{}; {help}", problem.message),
        None => problem.message.clone(),
    }
}

/// Returns a fingerprint for each finding, made from code, file, message, and its number among
/// equal ones. It stays the same while the finding moves within its file.
fn fingerprints(checked: &Checked) -> Vec<String> {
    let mut seen: BTreeMap<(&str, Option<&str>, &str), usize> = BTreeMap::new();
    let fingerprint = |finding: &'_ Finding, number: usize| {
        let Problem { file, code, message, .. } = &finding.problem;
        let text = format!("{code}\0{}\0{message}\0{number}", file.as_deref().unwrap_or_default());
        hex::encode(&Sha256::digest(text.as_bytes())[..16])
    };
    let mut fingerprints = Vec::with_capacity(checked.findings.len());
    for finding in &checked.findings {
        let Problem { file, code, message, .. } = &finding.problem;
        let number = seen.entry((code, file.as_deref(), message)).or_default();
        fingerprints.push(fingerprint(finding, *number));
        *number += 1;
    }
    fingerprints
}

/// A path as a relative reference (RFC 3986): all but unreserved characters and `/` as `%XX`.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests;
