//! Valid and invalid Dockerfiles, as BuildKit of two releases and the classic builder accept them:
//! instructions that every builder rejects are rejected here, and no others. The table is that of
//! `tests/docker_instructions.rs`, which compares it with engines.

use planner::config::Level;
use planner::{Request, fixture};

const TABLE: &str = include_str!("../../../tests/docker_instructions.tsv");

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('0') => '\0',
                Some('\\') => '\\',
                other => panic!("no escape of the table: {other:?}"),
            },
            other => other,
        });
    }
    plain
}

fn tree(dockerfile: &str) -> planner::tree::Tree {
    let files = [
        ("science/x/sciserver-image.json", "{\"image\": \"x\", \"compat\": null}\n"),
        ("science/x/Dockerfile", dockerfile),
        ("science/x/a", "a\n"),
        ("science/x/b", "b\n"),
        ("science/x/dir/f", "f\n"),
        ("science/x/dir/sub/g", "g\n"),
    ];
    let file = |(path, text): (&str, &str)| (path.to_owned(), (planner::tree::Mode::File, text.to_owned()));
    fixture::of_files(&files.into_iter().map(file).collect())
}

#[test]
fn case_broken_instructions_of_the_table() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let &[id, expected, _, _, text] = columns.as_slice() else { panic!("five columns: {line}") };
        rows += 1;
        let tree = tree(&unescaped(text));
        let findings = planner::check(&tree, None, None, &Request::default()).findings;
        // Guidelines are independent of builders.
        let told: Vec<_> =
            findings.iter().filter(|finding| !finding.problem.code.starts_with("from-")).collect();
        let is_refused = told.iter().any(|finding| finding.level == Level::Deny);
        let is_right = match expected {
            "accepted" | "newer" => !is_refused,
            "refused" => is_refused,
            "differs" => !told.is_empty(),
            "any" => true,
            other => panic!("{id}: {other}"),
        };
        let told: Vec<String> = told.iter().map(|finding| finding.problem.to_string()).collect();
        if !is_right {
            wrong.push(format!("{id} ({expected}): {text}\n    {}", told.join("\n    ")));
        }
        // Every problem has a position and a help.
        for finding in findings.iter().filter(|finding| finding.level == Level::Deny) {
            let problem = &finding.problem;
            if problem.line.is_none() || problem.help.is_none() {
                wrong.push(format!("{id}: no place or no help: {problem}"));
            }
        }
        let inputs = planner::tree::Inputs {
            revision: fixture::revision(),
            now: tree,
            base: planner::tree::Base::Empty,
        };
        if planner::plan(&inputs, &Request::default()).is_err() != is_refused {
            wrong.push(format!("{id}: a plan and a check are of two minds"));
        }
    }
    assert!(rows >= 490, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}
