//! Compares `.dockerignore` parsing with the files that BuildKit's client sends.
//!
//! `dockerignore.tsv` was recorded from `docker buildx build` 0.13.1 on Docker 26.1.5: each ignore
//! file was put into a directory with the files of [`FILES`], and a build copied its whole context
//! into an image. The last column is the result of the classic builder of Docker 20.10, if it
//! differs.

use planner::dockerignore;
use planner::tree::SourceFile;

const TABLE: &str = include_str!("dockerignore.tsv");

const FILES: [&str; 42] = [
    "!bang",
    "#hash",
    ".dockerignore",
    ".env",
    ".git/config",
    "Dockerfile",
    "README.md",
    "[odd]",
    "a.txt",
    "b.md",
    "back\\slash",
    "bar/baz.txt",
    "bar/deep/er/x.md",
    "bar/deep/foo",
    "bar/foo",
    "dangling",
    "docker/app/conf",
    "docker/app/other",
    "docker/conf",
    "docker/web/conf",
    "docs/README.md",
    "docs/a.md",
    "docs/b/c.md",
    "flink",
    "foo",
    "foobar",
    "link",
    "node_modules/p/index.js",
    "pkg/dlink",
    "pkg/inner/data.csv",
    "pkg/inner/n.py",
    "pkg/m.py",
    "src/.hidden",
    "src/main.rs",
    "src/main.rs.bak",
    "star*name",
    "sub/node_modules/q.js",
    "tests/data/d.csv",
    "tests/t.py",
    "top.py",
    "x y.txt",
    "é.txt",
];

/// Patterns that clients accept but that are never intended: rejected here, with a replacement.
const REFUSED_HERE: &[&str] = &[];

fn file(text: &str) -> SourceFile {
    SourceFile { path: "science/a/.dockerignore".to_owned(), text: text.to_owned() }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('\\') => '\\',
                other => panic!("no escape of the table: {other:?}"),
            },
            other => other,
        });
    }
    plain
}

/// Returns the files that are sent; `None` if the client rejects the file.
fn sent(cell: &str) -> Option<Vec<&'static str>> {
    let (sign, names) = match cell.split_at_checked(1) {
        _ if cell == "refused" => return None,
        Some(parts) => parts,
        None => panic!("an empty cell"),
    };
    let names: Vec<String> = names.split('|').filter(|name| !name.is_empty()).map(unescaped).collect();
    for name in &names {
        assert!(FILES.contains(&name.as_str()), "{name} is no file of the table");
    }
    let is_named = |file: &&&str| names.iter().any(|name| name == **file);
    Some(FILES.iter().filter(|file| is_named(file) == (sign == "+")).copied().collect())
}

#[test]
fn case_dockerignore_wildcard_exceptions() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    let mut refused_here = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with("# ")) {
        let mut cells = line.split('\t');
        let text = unescaped(cells.next().expect("patterns"));
        let expected = sent(cells.next().unwrap_or_else(|| panic!("two columns: {line}")));
        rows += 1;
        match (dockerignore::parse(&file(&text)), expected) {
            (Err(_), None) => {}
            (Err(_), Some(_)) => refused_here.push(text),
            (Ok(ignore), expected) => {
                let found: Vec<&str> = FILES.iter().copied().filter(|name| !ignore.hides(name)).collect();
                if expected.as_ref() != Some(&found) {
                    wrong.push(format!("{text:?}: sent {found:?} instead of {expected:?}"));
                }
            }
        }
    }
    assert!(rows >= 340, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(refused_here, REFUSED_HERE);
}

/// The client reads these in an unintended way, or differently from builders.
#[test]
fn what_is_read_in_two_ways_is_refused() {
    for text in ["[[:alpha:]]*", "[*]", "[a?]", "\\book", "\\1", "[\\d]", "[-a]"] {
        let problems = dockerignore::parse(&file(text)).expect_err(text);
        assert_eq!((problems.len(), problems[0].line), (1, Some(1)), "{text}");
    }
}

#[test]
fn every_bad_pattern_is_told_with_its_line() {
    let problems = dockerignore::parse(&file("# fine\n*.md\n[\n\n!\n")).expect_err("two patterns are bad");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    science/a/.dockerignore:3: the pattern "[" cannot be read [ignore-pattern]
      help: close the '[', or escape it: '\['
    science/a/.dockerignore:5: the pattern "!" cannot be read [ignore-pattern]
      help: add a pattern after the '!'
    "#);
}

#[test]
fn case_committed_conflict_in_an_ignore_file() {
    let problems = dockerignore::parse(&file("*.md\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> 1cafbc2 (fix)\n"));
    let problems = problems.expect_err("a conflict");
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].code, problems[0].line), ("merge-conflict", Some(2)));
}

mod properties {
    use super::file;
    use planner::dockerignore;
    use proptest::prelude::*;

    proptest! {
        /// Also checks that excluding a directory excludes its contents, unless there is an
        /// exception.
        #[test]
        fn any_text_is_read_without_a_panic(
            text in r"[a-c*?!/\\\[\]\-^#. \né]{0,24}",
            path in "[a-cé]{1,3}(/[a-c]{1,2}){0,3}",
        ) {
            if let Ok(ignore) = dockerignore::parse(&file(&text)) {
                let excluded = ignore.excludes(&path);
                if excluded && !text.contains('!') {
                    let below = format!("{path}/below");
                    prop_assert!(ignore.excludes(&below));
                }
            }
        }
    }
}
