//! Row 21: text from other people reaches terminals and CI systems escaped, in every format, at
//! every verbosity.

use std::fs::File;
use std::io::Read as _;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::fixture::{finish, git_says, layer, run, wait};
use crate::support::{Run, Tree};

/// Text that a terminal or a CI system would interpret: colours, titles, C1 controls, bidirectional
/// marks, log commands.
const HOSTILE: [&str; 12] = [
    "\u{1b}[7;5mred\u{1b}[0;8m",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{202e}txet\u{2066}",
    "\u{200b}\u{feff}",
    "a\rb\u{8}\u{7f}",
    "::error::x",
    "\n::set-output name=a::b",
    "##[error]x",
    "##vso[task.setvariable variable=a]b",
    "section_start:1:a\r\u{1b}[0Ksection_end:1:a\r\u{1b}[0K",
    "##teamcity[message text='x']",
];

/// Characters that our output must not contain raw. A terminal's own colours and line ends are
/// removed before.
fn bad(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[track_caller]
fn harmless(text: &str, what: &str) {
    if let Some(c) = text.chars().find(|c| bad(*c)) {
        panic!("{what}: raw {c:?} in {text:?}");
    }
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("::"), "{what}: GitHub would obey {line:?}");
        for command in ["##[error]", "##vso[", "##teamcity["] {
            assert!(!line.contains(command), "{what}: {command} in {line:?}");
        }
        assert!(!line.starts_with("section_start:"), "{what}: GitLab would obey {line:?}");
    }
}

/// Not a controlling terminal, and not inherited by a child, which would keep its own terminal
/// open.
const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

/// Runs the program on a pseudo terminal. Returns the exit code and the output.
fn on_a_terminal(tree: &Tree, arguments: &[&str]) -> (Option<i32>, String) {
    let master = openpt(FLAGS).expect("a pseudo terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let terminal = || ioctl_tiocgptpeer(&master, FLAGS).expect("its other end");
    let mut command = tree.command(arguments);
    command.env("TERM", "xterm").stdin(terminal()).stdout(terminal()).stderr(terminal());
    let mut child = command.spawn().expect("the binary runs");
    // Only the child holds the other end now, so reading ends when the child ends.
    drop(command);
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    let mut reader = File::from(master);
    while let Ok(length @ 1..) = reader.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
    }
    (wait(&mut child).code(), String::from_utf8(shown).expect("the command speaks UTF-8"))
}

/// Removes our own colours and the terminal's line ends.
fn without_colours(text: &str) -> String {
    let mut plain = text.replace("\r\n", "\n");
    for colour in ["0", "1", "2", "4", "22", "31", "32", "33", "34", "35", "36", "39", "1;31", "1;32", "1;33"]
    {
        plain = plain.replace(&format!("\u{1b}[{colour}m"), "");
    }
    plain
}

#[track_caller]
fn check(tree: &Tree, code: i32, commands: &[&[&str]]) {
    for arguments in commands {
        let Run { stdout, stderr, .. } = finish(tree, &mut tree.command(arguments)).code(code);
        harmless(&stdout, &format!("{arguments:?}, stdout"));
        harmless(&stderr, &format!("{arguments:?}, stderr"));
        let (ended, shown) = on_a_terminal(tree, arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {shown}");
        harmless(&without_colours(&shown), &format!("{arguments:?}, terminal"));
    }
}

const EVERY: [&[&str]; 7] = [
    &["plan"],
    &["plan", "-v"],
    &["plan", "-vv"],
    &["plan", "-vvv", "--all"],
    &["--dryrun", "-vv", "--format", "json"],
    &["graph"],
    &["graph", "--format", "dot", "--planned"],
];

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("JSON as documented")
}

#[test]
fn row_21_hostile_texts_of_a_plan_are_shown_escaped() {
    // On a terminal the output is coloured; otherwise the terminal half of this test would test
    // nothing.
    let (_, shown) = on_a_terminal(&Tree::sample(), &["plan", "-v"]);
    assert!(shown.contains("\u{1b}["), "{shown:?}");
    for hostile in HOSTILE {
        let mut tree = Tree::sample();
        let text = json(hostile);
        let own = format!(
            "{{\"image\": \"x\", \"compat\": null, \"args\": {{\"A\": {text}}}, \"description\": {text}, \"authors\": {text}, \
             \"keywords\": [{text}], \"x-own\": {text}}}"
        );
        let comment = hostile.replace('\n', "\n# ");
        tree.write_all(&layer(
            "x",
            &format!("FROM docker.io/library/debian:12\n# {comment}\nLABEL a={text}\nARG A"),
            &own,
        ));
        tree.write("science/x/file", hostile);
        tree.commit();
        git_says(&tree, &["commit", "--quiet", "--amend", "--allow-empty-message", "-m", hostile]);
        check(&tree, 0, &EVERY);
        let plan = run(&tree, &["plan", "--format", "json"]).code(0).stdout;
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let x = plan["builds"].as_array().unwrap().iter().find(|build| build["id"] == "science/x").unwrap();
        assert_eq!(x["args"]["A"], hostile, "data stays what it is");
    }
}

#[test]
fn row_21_hostile_names_of_files_are_shown_escaped() {
    // Hostile texts without control characters are valid in paths of the tree.
    for hostile in
        ["\u{202e}txet\u{2066}", "\u{200b}\u{feff}", "::error::x", "##[error]x", "##vso[task.setvariable]b"]
    {
        let mut tree = Tree::sample();
        tree.write(&format!("science/nist-basic/{hostile}"), "x");
        tree.write(&format!("compat/common/{hostile}"), "x");
        let own = "{\"image\": \"x\", \"target\": \"x\", \"compat\": null}";
        tree.write_all(&layer(&format!("{hostile}/x"), "FROM scratch", own));
        tree.commit();
        check(&tree, 0, &EVERY);
        tree.write(&format!("science/nist-basic/{hostile}"), "edited");
        check(&tree, 2, &[&["build", "--push"]]);
    }
}

#[test]
fn row_21_hostile_refusals_are_shown_escaped() {
    const OWN: &str = "{\"image\": \"x\", \"compat\": null}";
    for hostile in HOSTILE {
        let text = json(hostile);
        let broken = [
            ("FROM scratch".to_owned(), format!("{{\"image\": {text}}}")),
            ("FROM scratch".to_owned(), format!("{{\"image\": \"x\", \"version\": {text}}}")),
            ("FROM scratch".to_owned(), format!("{{\"image\": \"x\", \"compat\": {text}}}")),
            ("FROM scratch".to_owned(), format!("{{\"image\": \"x\", {text}: 1}}")),
            ("FROM scratch".to_owned(), format!("{{\"image\": \"x\", \"args\": {{{text}: \"1\"}}}}")),
            ("FROM scratch".to_owned(), format!("{{\"image\": \"x\" {hostile}")),
            (format!("FROM {hostile}:1"), OWN.to_owned()),
            (format!("FROM scratch AS {hostile}"), OWN.to_owned()),
            (format!("FROM scratch\n{hostile} x\nRUN <<{hostile}\n"), OWN.to_owned()),
            (format!("# syntax={hostile}\nFROM"), OWN.to_owned()),
        ];
        // All in one tree: one run reports all problems.
        let mut tree = Tree::sample();
        for (index, (dockerfile, descriptor)) in broken.iter().enumerate() {
            tree.write_all(&layer(&format!("x{index}"), dockerfile, descriptor));
        }
        tree.commit();
        check(&tree, 2, &[&["plan", "-vv"], &["graph"]]);
        let told = run(&tree, &["plan"]).stderr;
        for index in 0..broken.len() {
            assert!(told.contains(&format!("science/x{index}/")), "{hostile:?}: x{index} in {told}");
        }
        for line in [format!("{text} = 1"), format!("repo = {text}"), format!("repo = \"a\n{hostile}")] {
            let mut tree = Tree::sample();
            tree.write("image-builder.toml", &line);
            tree.commit();
            check(&tree, 2, &[&["plan"]]);
        }
    }
}

#[test]
fn row_21_hostile_flags_are_shown_escaped() {
    let tree = Tree::sample();
    for hostile in HOSTILE {
        for flag in ["--ref", "--root", "--repo", "--ignore", "--include", "--allow-orphan", "--with-ignored"]
        {
            let flag = format!("{flag}={hostile}");
            check(&tree, 2, &[&["plan", &flag]]);
        }
        // These values are rejected by the command-line parser, before our own code runs.
        check(
            &tree,
            2,
            &[
                &["plan", "--format", hostile],
                &[hostile],
                &["plan", &format!("--{hostile}")],
                &["build", "--jobs", hostile],
            ],
        );
    }
}
