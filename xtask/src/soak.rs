//! `cargo xtask soak`: runs every test in its long form and writes the figures of the run into
//! `RELIABILITY.md`.
//!
//! Tests that count something (survived faults, kills, inputs) each write a JSON file, which is
//! copied without calculations.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::check::step;
use crate::engine::{Kind, Session};
use crate::{place, process, suite};

/// Markers around the figures on the page.
const BEGIN: &str = "<!-- figures: written by cargo xtask soak -->";
const END: &str = "<!-- end of figures -->";

/// Runs the tests on the first engine. The page is written only if all tests passed.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    if place::user()? != 0 {
        bail!("the long run kills engines of its own, which only root can start");
    }
    let start = Instant::now();
    let figures = place::target().join("figures");
    if figures.exists() {
        fs::remove_dir_all(&figures).context("cannot remove the figures of an earlier run")?;
    }
    fs::create_dir_all(&figures)?;
    step("every test in its long form, on debian", || {
        let session = Session::start(Kind::Debian)?;
        let mut command = suite::tests(&[]);
        if let Some(only) = only {
            command = suite::tests(&["--test", only]);
        }
        command.envs(session.state().environment());
        command.env("IMAGE_BUILDER_SOAK", "1").env("IMAGE_BUILDER_FIGURES", &figures);
        process::run(&mut command)
    })?;
    let found = read(&figures)?;
    let minutes = start.elapsed().as_secs().div_ceil(60);
    let table = table(&found, minutes, &day()?);
    println!("{table}");
    if only.is_some() {
        println!("a part of the tests only: RELIABILITY.md is left as it is");
        return Ok(());
    }
    let page = place::workspace().join("RELIABILITY.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    fs::write(&page, replace(&text, &table)?).with_context(|| format!("cannot write {}", page.display()))?;
    println!("written to RELIABILITY.md");
    Ok(())
}

/// Reads all files of figures, by name.
fn read(directory: &Path) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path)?;
            let value =
                serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
            found.insert(name, value);
        }
    }
    Ok(found)
}

fn table(found: &BTreeMap<String, Value>, minutes: u64, day: &str) -> String {
    let mut text = format!(
        "Run of {day}, {minutes} minutes, Docker Engine of Debian, on one machine:\n\n| what | figures |\n| --- | --- |\n"
    );
    for (name, value) in found {
        text.push_str(&format!("| {} | {} |\n", name.replace(['-', '_'], " "), words(value)));
    }
    text
}

fn words(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let parts = fields
                .iter()
                .map(|(key, value)| format!("{} {}", key.replace(['_', '-'], " "), words(value)));
            parts.collect::<Vec<_>>().join(" · ")
        }
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.replace('|', "\\|"),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(count), _) => thousands(count),
            (None, Some(measured)) => format!("{measured:.2}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Formats a count with its digits in groups of three.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

fn replace(page: &str, table: &str) -> Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        bail!("RELIABILITY.md has no place for figures: {BEGIN} … {END}")
    };
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn day() -> Result<String> {
    let text = process::read(std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_where_the_page_has_room_for_them() {
        let found = BTreeMap::from([
            ("push-matrix".to_owned(), serde_json::json!({"cells": 144, "right": 144})),
            (
                "kills_of".to_owned(),
                serde_json::json!({"tool": 1_234_300, "violations": [], "seconds": 0.4321}),
            ),
        ]);
        let table = table(&found, 12, "2026-01-02");
        let page = replace(&format!("a\n{BEGIN}\nold\n{END}\nb\n"), &table).unwrap();
        assert_eq!(
            page,
            format!(
                "a\n{BEGIN}\nRun of 2026-01-02, 12 minutes, Docker Engine of Debian, on one machine:\n\n\
                 | what | figures |\n| --- | --- |\n| kills of | seconds 0.43 · tool 1,234,300 · violations  |\n\
                 | push matrix | cells 144 · right 144 |\n{END}\nb\n"
            )
        );
        assert!(replace("no place", &table).is_err());
    }
}
