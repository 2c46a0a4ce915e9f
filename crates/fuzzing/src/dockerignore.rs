//! `.dockerignore`: properties of every list of patterns.

use planner::dockerignore;

use crate::file;

/// Paths that are matched with every input.
const PATHS: [&str; 6] = ["a", "a/b", "a/b/c.txt", "dir/.hidden", "é/ü", "x y"];

/// The text is an ignore file up to a line `//- paths`; the lines after it are paths to match.
pub(crate) fn body(data: &[u8]) {
    let whole = file(".dockerignore", data);
    let (patterns, paths) = whole.text.split_once("\n//- paths\n").unwrap_or((&whole.text, ""));
    let read = |text: &str| dockerignore::parse(&file(".dockerignore", text.as_bytes()));
    let ignore = match read(patterns) {
        Ok(ignore) => ignore,
        Err(problems) => {
            crate::check_problems(&problems);
            assert!(problems.iter().all(|problem| problem.line.is_some() || problem.code == "too-large"));
            return;
        }
    };
    let commented = read(&format!("# first\n\n{}", patterns.strip_prefix('\u{feff}').unwrap_or(patterns)));
    let commented = commented.expect("a comment and an empty line change nothing");
    // A file of the maximum size cannot take another pattern.
    let all = match read(&format!("{patterns}\n**\n")) {
        Ok(all) => Some(all),
        Err(problems) => {
            assert!(problems.iter().all(|problem| problem.code == "too-large"), "{problems:?}");
            None
        }
    };
    let none = read(&format!("# {}\n", patterns.replace(['\n', '\r'], " "))).expect("a comment");
    for path in PATHS.into_iter().chain(paths.lines()).filter(|path| is_path(path)) {
        let excluded = ignore.excludes(path);
        assert_eq!(excluded, commented.excludes(path), "{path:?}");
        assert!(!none.excludes(path), "{path:?} left out by a comment");
        let always = matches!(path, "Dockerfile" | ".dockerignore");
        assert!(!(always && excluded), "{path:?} is always sent");
        let survives = all.as_ref().is_some_and(|all| !all.excludes(path));
        assert!(always || !survives, "{path:?} survived '**' as the last word");
    }
    assert!(!ignore.excludes("Dockerfile") && !ignore.excludes(".dockerignore"));
}

/// Whether a context can contain the path.
fn is_path(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
