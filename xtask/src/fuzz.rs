//! `cargo xtask fuzz`: runs libFuzzer on the targets of `fuzz/`, each for an equal share of the
//! time.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{check, place, process};

/// Optimised, with assertions and overflow checks (cargo-fuzz's defaults), and with many codegen
/// units, to compile faster.
const PROFILE: [&str; 2] = ["--codegen-units", "16"];

/// Runs the named targets, or all targets. Fails with the path of every finding.
pub(crate) fn run(asked: &[String], minutes: u64) -> Result<()> {
    let directory = place::workspace().join("fuzz");
    let known = targets(&directory)?;
    if let Some(unknown) = asked.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}; known are {}", known.join(", "));
    }
    let targets: Vec<String> = if asked.is_empty() { known } else { asked.to_vec() };
    let Some(fuzzer) = check::tool("cargo-fuzz")? else {
        bail!("cargo-fuzz is not here and cannot be installed; `cargo test -p fuzzing` runs the same bodies");
    };
    let kept = place::target().join("fuzz");
    let mut build = command(&fuzzer);
    build.arg("build").args(PROFILE).arg("--fuzz-dir").arg(&directory).arg("--target-dir").arg(&kept);
    process::run(&mut build).with_context(|| {
        if process::quiet(Command::new("c++").arg("--version")) {
            "the targets were not built".to_owned()
        } else {
            "the targets were not built: libFuzzer needs a C++ compiler, and there is no c++ here".to_owned()
        }
    })?;
    // A target that ends with a finding does not remove its temporary files, so they go into a
    // directory that we remove.
    let scratch = tempfile::tempdir()?;
    let seconds = (minutes * 60 / targets.len() as u64).max(1);
    let mut findings = Vec::new();
    for target in &targets {
        let (corpus, found) = (kept.join("corpus").join(target), kept.join("findings").join(target));
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&found)?;
        let before = files(&found)?;
        let mut run = command(&fuzzer);
        run.arg("run").args(PROFILE).arg("--fuzz-dir").arg(&directory).arg("--target-dir").arg(&kept);
        run.env("TMPDIR", scratch.path()).arg(target);
        run.arg(&corpus).arg(directory.join("seeds").join(target)).arg("--");
        run.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
        run.args([
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-detect_leaks=0",
            "-print_final_stats=1",
        ]);
        let output = run.output().with_context(|| format!("cannot run {}", fuzzer.display()))?;
        if process::interrupted() {
            bail!("interrupted");
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let inputs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let new: Vec<PathBuf> = files(&found)?.into_iter().filter(|file| !before.contains(file)).collect();
        println!("{target}: {} inputs in {seconds} s, {} findings", inputs.unwrap_or("?").trim(), new.len());
        if !output.status.success() && new.is_empty() {
            let last: Vec<&str> = said.lines().rev().take(15).collect();
            bail!("{target} did not run:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        findings.extend(new);
    }
    for finding in &findings {
        println!("finding: {}", finding.display());
    }
    if findings.is_empty() {
        Ok(())
    } else {
        bail!("{} findings; keep each in fuzz/seeds with its fix", findings.len())
    }
}

/// Returns cargo-fuzz with a toolchain that accepts its nightly flags: nightly if installed,
/// otherwise the pinned toolchain with nightly flags enabled.
fn command(fuzzer: &Path) -> Command {
    let mut command = Command::new(fuzzer);
    let nightly = process::quiet(Command::new("rustc").args(["+nightly", "--version"]));
    command.current_dir(place::workspace()).env_remove("CARGO_TARGET_DIR");
    match nightly {
        true => command.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO"),
        false => {
            command.env("RUSTC_BOOTSTRAP", "1").env("CARGO", env::var_os("CARGO").unwrap_or("cargo".into()))
        }
    };
    command
}

/// Returns the names of the targets in `fuzz/`.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let files = files(&directory.join("fuzz_targets"))?;
    Ok(files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = list.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let directory = place::workspace().join("fuzz");
        let targets = targets(&directory).unwrap();
        assert!(targets.len() >= 7, "{targets:?}");
        for target in targets {
            assert!(files(&directory.join("seeds").join(&target)).unwrap().len() >= 5, "{target}");
        }
        assert!(run(&["nothing".to_owned()], 1).unwrap_err().to_string().contains("no target nothing"));
    }
}
