//! Checks the text of files: files that are too long, switched-off checks, and text that is
//! specific to one machine.

use super::{File, without_tests};

const LONGEST: usize = 700;

/// (text, rest of the text, why), for Rust. The text is in two pieces so that this file does not
/// match itself.
const RUST: [(&str, &str, &str); 6] = [
    ("#[ign", "ore", "every test runs"),
    ("todo", "!(", "nothing is left for later in code"),
    ("unimpl", "emented!(", "nothing is left for later in code"),
    ("#[al", "low(", "say `expect` with a reason"),
    ("#![al", "low(", "say `expect` with a reason"),
    ("thread::", "sleep(Duration::from_secs", "sleeping is no synchronisation"),
];

/// Parts of the addresses of package mirrors that only some machines can reach.
const MIRRORS: [(&str, &str); 4] =
    [("pkg.", "dev/"), ("arti", "factory"), ("/nex", "us/repository"), ("code", "artifact.")];

/// Calls that open a file for writing, in two pieces as above.
const WRITES: [(&str, &str); 7] = [
    ("fs::wri", "te("),
    ("File::cre", "ate"),
    ("Open", "Options"),
    ("NamedTemp", "File"),
    ("tempfile_", "in("),
    ("fs::cre", "ate_dir"),
    ("fs::ren", "ame("),
];

/// Crates that must write files through the crate `files`, which follows no link of a source tree.
const WRITERS: [&str; 6] = ["image-builder", "executor", "registry", "planner", "image-contents", "plan"];

/// (path, call, why): exceptions that do no harm.
const HARMLESS: [(&str, &str, &str); 4] = [
    ("crates/executor/src/build/context/mod.rs", "OpenOptions", "reads, without following a link"),
    ("crates/planner/src/git/working_tree/disk.rs", "OpenOptions", "reads, without following a link"),
    (
        "crates/image-contents/src/parse/rpm.rs",
        concat!("NamedTemp", "File"),
        "in a temporary directory of its own",
    ),
    (
        "crates/image-contents/src/parse/rpm.rs",
        concat!("tempfile_", "in("),
        "in a temporary directory of its own",
    ),
];

pub(super) fn findings(files: &[File], workspace: &str) -> Vec<String> {
    let mut findings: Vec<String> = files.iter().flat_map(|file| one(file, workspace)).collect();
    findings.extend(files.iter().flat_map(writes));
    findings
}

/// Returns the places where a crate writes a file by itself. Temporary files without a name
/// (`tempfile::tempfile`, `spooled_tempfile`) and temporary directories in the system's default
/// place are harmless.
fn writes(file: &File) -> Vec<String> {
    let source = WRITERS.iter().any(|name| file.path.starts_with(&format!("crates/{name}/src/")));
    let is_test = file.path.ends_with("_tests.rs") || file.path.ends_with("/tests.rs");
    if !source || is_test || file.path.contains("/tests/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in without_tests(&file.text).lines().enumerate() {
        for what in WRITES.map(|(first, second)| format!("{first}{second}")) {
            let known = HARMLESS.iter().any(|(path, harmless, _)| *path == file.path && what == *harmless);
            if line.contains(&what) && !known && !line.trim_start().starts_with("//") {
                findings.push(format!(
                    "{}:{}: {what}: files are written through the crate `files`",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    findings
}

fn one(file: &File, workspace: &str) -> Vec<String> {
    let File { path, text } = file;
    let mut findings = Vec::new();
    let rust = path.ends_with(".rs");
    let lines = text.lines().count();
    if rust && lines > LONGEST {
        findings.push(format!("{path}: {lines} lines, more than {LONGEST}; split it by what it speaks of"));
    }
    if rust && !text.is_empty() && !text.starts_with("//!") {
        findings.push(format!("{path}:1: does not open with what it is for (//!)"));
    }
    for (number, line) in text.lines().enumerate() {
        let mut say = |what: &str| findings.push(format!("{path}:{}: {what}", number + 1));
        for (first, second, why) in RUST.iter().filter(|_| rust) {
            if line.contains(&format!("{first}{second}")) {
                say(&format!("{first}{second}: {why}"));
            }
        }
        if MIRRORS.iter().any(|(first, second)| line.contains(&format!("{first}{second}"))) {
            say("a host of somebody's package mirror");
        }
        if line.contains(workspace) && workspace.len() > 3 {
            say("a path of this machine");
        }
        let foreign =
            line.starts_with("source = ") && !line.contains("https://github.com/rust-lang/crates.io-index\"");
        if path == "Cargo.lock" && foreign {
            say("a dependency that is not from crates.io");
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    fn check(path: &str, text: &str) -> String {
        findings(&[file(path, text)], "/somewhere/house").join("\n")
    }

    #[test]
    fn what_switches_checks_off_is_found() {
        assert_eq!(check("a.rs", "//! fine\nfn f() {}\n"), "");
        assert!(check("a.rs", &["//! x\n#[ig", "nore]\nfn f() {}"].concat()).starts_with("a.rs:2: "));
        assert!(check("a.rs", &["//! x\n#[al", "low(dead_code)]"].concat()).contains("expect"));
        assert!(check("a.rs", "fn f() {}").contains("does not open"));
    }

    #[test]
    fn files_that_are_written_past_the_one_place_are_found() {
        let text = ["//! x\nuse std::fs;\nfn f() { fs::wri", "te(a, b); }\n"].concat();
        let path = "crates/executor/src/run/run_dir.rs";
        assert!(check(path, &text).starts_with(&format!("{path}:3: fs::wri")), "{}", check(path, &text));
        for other in ["crates/files/src/dir.rs", "crates/executor/src/a/tests.rs", "xtask/src/a.rs"] {
            assert_eq!(check(other, &text), "");
        }
        let in_tests = ["//! x\n#[cfg(test)]\nmod tests { fs::wri", "te(a, b) }\n"].concat();
        assert_eq!(check(path, &in_tests), "");
        let reads = ["//! x\nuse std::fs::Open", "Options;\n"].concat();
        assert_eq!(check("crates/planner/src/git/working_tree/disk.rs", &reads), "");
        assert!(!check("crates/planner/src/git/mod.rs", &reads).is_empty());
    }

    #[test]
    fn long_files_are_found() {
        let text = format!("//! x\n{}", "\n".repeat(700));
        assert!(check("a.rs", &text).contains("701 lines"));
        assert_eq!(check("a.md", &text), "");
    }

    #[test]
    fn what_belongs_to_one_machine_is_found() {
        assert_eq!(check("README.md", "see /somewhere/house/README"), "README.md:1: a path of this machine");
        assert!(check(".cargo/config.toml", &["https://x.pkg.", "dev/y"].concat()).contains("mirror"));
        assert!(
            check("Cargo.lock", "source = \"registry+https://elsewhere\"").contains("not from crates.io")
        );
    }
}
