//! `.dockerignore` against what the docker client sends.
//!
//! The table was taken from the client of Docker 28.2.2: each ignore file was put into a directory with the files
//! of [`FILES`] and a Dockerfile, `docker build` (classic, whose client makes the tar) was run against a socket
//! that kept what it received, and the names in that tar were compared with the names in the directory.

use planner::dockerignore;
use planner::tree::SourceFile;

use Expected::{Left, Refused, Sent};

/// What became of the files.
#[derive(Debug)]
enum Expected {
    /// Exactly these were left out.
    Left(&'static [&'static str]),
    /// Exactly these were sent.
    Sent(&'static [&'static str]),
    /// The client failed: "syntax error in pattern", "illegal exclusion pattern".
    Refused,
}

const FILES: &[&str] = &[
    "!bang",
    "#hash",
    ".env",
    ".git/config",
    "README.md",
    "[odd]",
    "a.txt",
    "b.md",
    "back\\slash",
    "bar/baz.txt",
    "bar/deep/er/x.md",
    "bar/deep/foo",
    "bar/foo",
    "docs/README.md",
    "docs/a.md",
    "docs/b/c.md",
    "foo",
    "foobar",
    "node_modules/p/index.js",
    "src/.hidden",
    "src/main.rs",
    "src/main.rs.bak",
    "star*name",
    "sub/node_modules/q.js",
    "x y.txt",
    "é.txt",
];

const CASES: &[(&str, Expected)] = &[
    ("", Left(&[])),
    ("*.md", Left(&["README.md", "b.md"])),
    (
        "**/*.md",
        Left(&["README.md", "b.md", "bar/deep/er/x.md", "docs/README.md", "docs/a.md", "docs/b/c.md"]),
    ),
    ("*.md\n!README.md", Left(&["b.md"])),
    ("**/*.md\n!**/README.md", Left(&["b.md", "bar/deep/er/x.md", "docs/a.md", "docs/b/c.md"])),
    ("foo", Left(&["foo"])),
    ("/foo", Left(&["foo"])),
    ("./foo", Left(&["foo"])),
    ("foo/", Left(&["foo"])),
    ("bar/", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo", "bar/foo"])),
    ("bar", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo", "bar/foo"])),
    ("bar/foo", Left(&["bar/foo"])),
    ("bar/*", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo", "bar/foo"])),
    ("bar/**", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo", "bar/foo"])),
    ("**", Sent(&[])),
    ("**\n!src", Sent(&["src/.hidden", "src/main.rs", "src/main.rs.bak"])),
    ("*", Sent(&[])),
    ("*\n!src/main.rs", Sent(&["src/main.rs"])),
    ("*\n!src", Sent(&["src/.hidden", "src/main.rs", "src/main.rs.bak"])),
    ("*\n!src/*.rs", Sent(&["src/main.rs"])),
    ("bar\n!bar/deep", Left(&["bar/baz.txt", "bar/foo"])),
    ("bar\n!bar/deep/foo", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/foo"])),
    ("bar/*\n!bar/foo", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo"])),
    ("**/foo", Left(&["bar/deep/foo", "bar/foo", "foo"])),
    ("**foo", Left(&["bar/deep/foo", "bar/foo", "foo"])),
    ("foo**", Left(&["foo", "foobar"])),
    ("bar/**/foo", Left(&["bar/deep/foo", "bar/foo"])),
    ("**/deep/**", Left(&["bar/deep/er/x.md", "bar/deep/foo"])),
    ("# foo\n#hash", Left(&[])),
    (" #hash", Left(&["#hash"])),
    ("\\#hash", Left(&["#hash"])),
    ("  foo  ", Left(&["foo"])),
    ("foo\t", Left(&["foo"])),
    ("!foo", Left(&[])),
    ("foo\n!foo\nfoo", Left(&["foo"])),
    ("foo\n!foo", Left(&[])),
    ("! foo\nfoo", Left(&["foo"])),
    ("foo\n! foo", Left(&[])),
    ("!", Refused),
    ("[", Refused),
    ("[odd]", Left(&[])),
    ("\\[odd\\]", Left(&["[odd]"])),
    (
        "[a-f]*",
        Left(&[
            "a.txt",
            "b.md",
            "back\\slash",
            "bar/baz.txt",
            "bar/deep/er/x.md",
            "bar/deep/foo",
            "bar/foo",
            "docs/README.md",
            "docs/a.md",
            "docs/b/c.md",
            "foo",
            "foobar",
        ]),
    ),
    (
        "[^a-f]*",
        Sent(&[
            "a.txt",
            "b.md",
            "back\\slash",
            "bar/baz.txt",
            "bar/deep/er/x.md",
            "bar/deep/foo",
            "bar/foo",
            "docs/README.md",
            "docs/a.md",
            "docs/b/c.md",
            "foo",
            "foobar",
        ]),
    ),
    (
        "[!a-f]*",
        Left(&[
            "!bang",
            "a.txt",
            "b.md",
            "back\\slash",
            "bar/baz.txt",
            "bar/deep/er/x.md",
            "bar/deep/foo",
            "bar/foo",
            "docs/README.md",
            "docs/a.md",
            "docs/b/c.md",
            "foo",
            "foobar",
        ]),
    ),
    ("?oo", Left(&["foo"])),
    ("f?o", Left(&["foo"])),
    ("*/foo", Left(&["bar/foo"])),
    ("*/*/foo", Left(&["bar/deep/foo"])),
    ("x y.txt", Left(&["x y.txt"])),
    ("x*txt", Left(&["x y.txt"])),
    ("back\\slash", Left(&[])),
    ("back\\\\slash", Left(&["back\\slash"])),
    ("star\\*name", Left(&["star*name"])),
    ("star*", Left(&["star*name"])),
    ("../foo", Left(&[])),
    ("bar/../foo", Left(&["foo"])),
    ("bar/./foo", Left(&["bar/foo"])),
    ("bar//foo", Left(&["bar/foo"])),
    ("..", Left(&[])),
    ("/", Left(&[])),
    (".", Left(&[])),
    ("./", Left(&[])),
    (".*", Left(&[".env", ".git/config"])),
    (".env", Left(&[".env"])),
    (".git", Left(&[".git/config"])),
    ("node_modules", Left(&["node_modules/p/index.js"])),
    ("**/node_modules", Left(&["node_modules/p/index.js", "sub/node_modules/q.js"])),
    ("**/node_modules/", Left(&["node_modules/p/index.js", "sub/node_modules/q.js"])),
    ("*\n!Dockerfile", Sent(&[])),
    ("Dockerfile", Left(&[])),
    (".dockerignore\nDockerfile", Left(&[])),
    ("\u{feff}foo", Left(&["foo"])),
    ("foo\r\nbar/baz.txt\r\n", Left(&["bar/baz.txt", "foo"])),
    ("é.txt", Left(&["é.txt"])),
    ("?.txt", Left(&["a.txt", "é.txt"])),
    ("a.txt\n\n\nb.md", Left(&["a.txt", "b.md"])),
    ("**/*.rs*\n!**/*.rs", Left(&["src/main.rs.bak"])),
    ("docs\n!docs/b/c.md", Left(&["docs/README.md", "docs/a.md"])),
    ("docs\n!**/c.md", Left(&["docs/README.md", "docs/a.md", "docs/b/c.md"])),
    ("docs/**\n!docs/b", Left(&["docs/README.md", "docs/a.md"])),
    ("**/b", Left(&["docs/b/c.md"])),
    ("src/.h*", Left(&["src/.hidden"])),
    ("src/**/.hidden", Left(&["src/.hidden"])),
    ("*\n!bar/deep\nbar/deep/er", Sent(&["bar/deep/foo"])),
    (
        "bar/deep\n!bar/deep/er/x.md\n**/*.md",
        Left(&[
            "README.md",
            "b.md",
            "bar/deep/er/x.md",
            "bar/deep/foo",
            "docs/README.md",
            "docs/a.md",
            "docs/b/c.md",
        ]),
    ),
    ("FOO", Left(&[])),
    ("foo/bar", Left(&[])),
    ("[]", Refused),
    ("[a", Refused),
    ("a]", Left(&[])),
    ("[b-a]*", Refused),
    ("foo\\", Refused),
    ("\\foo", Left(&[])),
    ("**/", Sent(&[])),
    ("***", Sent(&[])),
    ("**/**", Sent(&[])),
    ("bar/***", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo", "bar/foo"])),
    ("*/", Sent(&[])),
    ("!!foo", Left(&[])),
    ("foo*", Left(&["foo", "foobar"])),
    ("foo+", Left(&[])),
    ("(foo)", Left(&[])),
    ("foo|bar", Left(&[])),
    ("{foo,bar}", Left(&[])),
    ("$foo", Left(&[])),
    ("^foo", Left(&[])),
    ("!bang", Left(&[])),
    ("\\!bang", Left(&["!bang"])),
    ("*\n!*/*.txt", Sent(&[])),
    ("*\n!bar/**/foo", Sent(&["bar/foo"])),
    ("bar/[a-z]*.txt", Left(&["bar/baz.txt"])),
    ("bar/[^/]*", Left(&["bar/baz.txt", "bar/deep/er/x.md", "bar/deep/foo", "bar/foo"])),
    ("bar?foo", Left(&[])),
    ("**/[!x]*.md", Left(&["bar/deep/er/x.md"])),
    ("*\n!./src", Sent(&["src/.hidden", "src/main.rs", "src/main.rs.bak"])),
    ("*\n!/src", Sent(&["src/.hidden", "src/main.rs", "src/main.rs.bak"])),
    ("!src\n*", Sent(&[])),
    ("a.txt #comment", Left(&[])),
    ("*.md\n!docs/*.md\ndocs/README.md", Left(&["README.md", "b.md", "docs/README.md"])),
];

fn file(text: &str) -> SourceFile {
    SourceFile { path: "science/a/.dockerignore".to_owned(), text: text.to_owned() }
}

#[test]
fn files_are_left_out_as_the_docker_client_leaves_them_out() {
    for (text, expected) in CASES {
        let (left, sent): (Vec<&str>, Vec<&str>) = match (dockerignore::parse(&file(text)), expected) {
            (Err(_), Refused) => continue,
            (Ok(ignore), Left(_) | Sent(_)) => FILES.iter().copied().partition(|name| ignore.excludes(name)),
            (ignore, expected) => panic!("{text:?}: {ignore:?} instead of {expected:?}"),
        };
        match expected {
            Left(expected) => assert_eq!(left, *expected, "{text:?}"),
            Sent(expected) => assert_eq!(sent, *expected, "{text:?}"),
            Refused => unreachable!("taken care of above"),
        }
    }
}

/// The client reads these as something that nobody means, or not as builders do.
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
      help: put a pattern behind the '!'
    "#);
}

#[test]
fn dockerfile_and_ignore_file_are_always_sent() {
    let ignore = dockerignore::parse(&file("**\nDockerfile\n.dockerignore")).expect("good patterns");
    assert!(!ignore.excludes("Dockerfile") && !ignore.excludes(".dockerignore"));
    assert!(ignore.excludes("sub/Dockerfile"));
}

mod properties {
    use super::file;
    use planner::dockerignore;
    use proptest::prelude::*;

    proptest! {
        /// Also: what leaves a directory out leaves out what is in it, as long as there is no exception.
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
