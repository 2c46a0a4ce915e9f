//! Bad inputs through the whole command: a sample of the grammar of mistakes, invalid revisions,
//! and excessively large trees (row 15).

use std::fs;
use std::process::Command;

use fuzzing::mistakes::{self, Mistake};

use crate::support::{Run, Tree};

/// Approximate number of mistakes that go through the binary.
const SHARE: usize = 320;

/// Asserts exit code 2, an error message, no panic, and no raw control character.
fn check(run: &Run, what: &str) {
    assert_eq!(run.code, Some(2), "{what}: {run:?}");
    assert!(run.stderr.contains("error: "), "{what}: {run:?}");
    assert!(!run.stderr.contains("panicked") && run.stdout.is_empty(), "{what}: {run:?}");
    let raw = |c: char| c != '\n' && c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!run.stderr.contains(raw), "{what}: {:?}", run.stderr);
}

/// Whether a mistake can be written to a file system and a command line.
fn can_be_written(mistake: &Mistake) -> bool {
    mistake.files.keys().all(|path| !path.contains('\0'))
        && mistake.files.values().all(|text| text.len() < 100_000)
}

/// Adds all files to git's index: untracked files are not part of the tree.
fn stage(tree: &Tree) {
    let added = Command::new("git").args(["add", "--all"]).current_dir(tree.root()).status();
    assert!(added.expect("git runs").success());
}

#[test]
fn mistakes_through_the_binary() {
    let all: Vec<Mistake> = mistakes::all().into_iter().filter(can_be_written).collect();
    let right = mistakes::right();
    let tree = Tree::new();
    let write = |mistake: &Mistake| mistake.files.iter().for_each(|(path, text)| tree.write(path, text));
    write(&right);
    let mut tree = tree;
    tree.commit();
    tree.run(&["plan"]).code(0);
    let mut count = 0;
    for mistake in all.iter().step_by(all.len() / SHARE) {
        for (path, text) in &mistake.files {
            tree.write(path, text);
        }
        stage(&tree);
        let flags = mistake.flags.iter().map(|(flag, value)| format!("{flag}={value}"));
        let arguments: Vec<String> = std::iter::once("plan".to_owned()).chain(flags).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        check(&tree.run(&arguments), &format!("{} {:?}", mistake.kind, mistake.flags));
        for path in mistake.files.keys().filter(|path| !right.files.contains_key(*path)) {
            tree.remove(path);
        }
        for (path, text) in right.files.iter().filter(|(path, text)| mistake.files.get(*path) != Some(*text))
        {
            tree.write(path, text);
        }
        count += 1;
    }
    assert!(count >= 300, "{count}");
    stage(&tree);
    tree.run(&["plan"]).code(0);
}

#[test]
fn revisions_that_are_none() {
    let tree = Tree::sample();
    let mut texts: Vec<String> = [
        "-",
        "--",
        "--output=F",
        "-p",
        "....",
        "..--x",
        "a..b..c",
        "HEAD..nowhere",
        "nowhere...HEAD",
        "HEAD^9",
        "HEAD~99",
        "HEAD^{",
        "HEAD^{tree}",
        "HEAD^{blob}",
        "HEAD:science",
        "@{",
        "@{-1}",
        ":",
        "^",
        "~",
        "HEAD HEAD",
        " HEAD",
        "HEAD ",
        "/",
        "../x",
        "refs/heads/",
        "\u{1b}[31m",
        "\u{202e}",
        "a\nb",
        "é",
        "*",
        "?",
        "[",
        "\\",
        "HEAD\\",
        "a..",
        "zz..zz",
    ]
    .map(str::to_owned)
    .into();
    texts.extend([4_000, 100_000].map(|length| "a".repeat(length)));
    texts.extend((0..8).map(|length| format!("HEAD..{}", "~".repeat(length) + "x")));
    for text in &texts {
        check(&tree.run(&["plan", &format!("--ref={text}")]), &format!("--ref={text:.80}"));
    }
    assert!(!tree.root().join("F").exists());
}

/// Row 15 through the binary: a chain that would overflow the stack with recursion, and very many
/// layers side by side.
#[test]
fn trees_of_a_size_that_nobody_has() {
    let (chain, beside) = testbed::time_scale::quick_or_long((1_000, 1_500), (10_000, 100_000));
    for (count, is_chain) in [(chain, true), (beside, false)] {
        let mut tree = Tree::new();
        for layer in 0..count {
            let below =
                if is_chain && layer > 0 { format!("sci/l{}:1.0", layer - 1) } else { "scratch".to_owned() };
            tree.write(&format!("science/l{layer}/Dockerfile"), format!("FROM {below}\n").as_str());
            let descriptor = format!("{{\"image\": \"i{layer}\", \"compat\": null}}");
            tree.write(&format!("science/l{layer}/sciserver-image.json"), &descriptor);
        }
        tree.commit();
        let out = tree.home().join("plan.json");
        let out = out.to_str().expect("a temporary path is text");
        let output = tree.command(&["plan", "--all", "--out", out]).output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{:?}", stderr.lines().last());
        let plan: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(out).expect("the plan")).expect("it is JSON");
        assert_eq!(plan["builds"].as_array().map(Vec::len), Some(count));
    }
}
