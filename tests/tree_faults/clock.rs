//! Row 42: a plan does not depend on the clock, the time zone, the locale, or the machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::fixture::{bounded, finish, run, under};
use crate::support::{Run, Tree};

const PLANS: [&[&str]; 4] = [
    &["plan", "--format", "json"],
    &["plan", "-vv"],
    &["plan", "--all", "--untracked", "-vv"],
    &["graph", "--format", "dot"],
];

fn tree() -> Tree {
    let tree = Tree::sample();
    tree.write("science/nist-basic/packages.txt", "edited: Iı\n");
    tree.write("compat/common/i", "");
    tree.write("compat/common/I", "");
    tree.write("compat/common/ä", "");
    tree
}

/// Returns the path of libfaketime, as Debian installs it.
fn libfaketime() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
        .chain([PathBuf::from("/usr/lib/faketime/libfaketime.so.1")])
        .find(|path| path.is_file());
    if found.is_none() {
        println!("libfaketime is not installed: other times are left out");
    }
    found
}

#[test]
fn row_42_ten_years_more_or_less_give_the_same_plan() {
    let Some(library) = libfaketime() else { return };
    let tree = tree();
    let expected: Vec<Run> = PLANS.iter().map(|arguments| run(&tree, arguments).code(0)).collect();
    for (offset, year) in
        [("@2015-01-01 00:00:00", "2015"), ("@2036-12-31 23:59:58", "2036"), ("@1971-01-01 00:00:00", "1971")]
    {
        let fake = |command: &mut Command| {
            command.env("LD_PRELOAD", &library).env("FAKETIME", offset).env("FAKETIME_DONT_RESET", "1");
            command.env("NO_FAKE_STAT", "1");
        };
        let mut date = Command::new("date");
        date.arg("+%Y");
        fake(&mut date);
        assert_eq!(
            String::from_utf8_lossy(&date.output().unwrap().stdout).trim(),
            year,
            "the fault is there"
        );
        for (arguments, expected) in PLANS.iter().zip(&expected) {
            let mut command = tree.command(arguments);
            fake(&mut command);
            let found = finish(&tree, &mut command).code(0);
            assert_eq!(
                (&found.stdout, &found.stderr),
                (&expected.stdout, &expected.stderr),
                "{offset} {arguments:?}"
            );
        }
    }
    // Ten years later the file times are in the past, and ten years earlier in the future.
    for offset in ["+3652d", "-3652d"] {
        for (arguments, expected) in PLANS.iter().zip(&expected) {
            let mut command = tree.command(arguments);
            command.env("LD_PRELOAD", &library).env("FAKETIME", offset);
            let found = finish(&tree, &mut command).code(0);
            assert_eq!(found.stdout, expected.stdout, "{offset} {arguments:?}");
        }
    }
}

#[test]
fn row_42_another_time_zone_or_locale_gives_the_same_plan() {
    let tree = tree();
    for arguments in PLANS {
        let expected = run(&tree, arguments).code(0);
        for (name, value) in [
            ("TZ", "Pacific/Kiritimati"),
            ("TZ", "Etc/GMT+12"),
            ("TZ", ":/nonexistent"),
            ("TZ", "\u{7}"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("LC_ALL", "C"),
            ("LC_ALL", "ja_JP.EUC-JP"),
            ("LANG", "de_DE.ISO-8859-1"),
            ("LANGUAGE", "de"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("SOURCE_DATE_EPOCH", "never"),
            ("HOSTNAME", "elsewhere"),
            ("USER", "somebody"),
            ("COLUMNS", "20"),
            ("TERM", "xterm-256color"),
            ("CI", "true"),
            ("RUST_LOG", "trace"),
            ("RUST_BACKTRACE", "full"),
        ] {
            let found = finish(&tree, tree.command(arguments).env(name, value)).code(0);
            assert_eq!(
                (&found.stdout, &found.stderr),
                (&expected.stdout, &expected.stderr),
                "{name}={value} {arguments:?}"
            );
        }
    }
}

/// The plan does not depend on file times and on the tree's location either.
#[test]
fn row_42_other_file_times_and_places_give_the_same_plan() {
    let tree = tree();
    let expected: Vec<String> = PLANS.iter().map(|arguments| run(&tree, arguments).code(0).stdout).collect();
    for stamp in ["197101010000", "203612312359"] {
        let touched = bounded(&mut under_find(&tree, stamp));
        assert!(touched.status.success(), "{}", String::from_utf8_lossy(&touched.stderr));
        for (arguments, expected) in PLANS.iter().zip(&expected) {
            assert_eq!(run(&tree, arguments).code(0).stdout, *expected, "{stamp} {arguments:?}");
        }
    }
    let moved = tree.home().join("somewhere else");
    fs::rename(tree.root(), &moved).unwrap();
    for (arguments, expected) in PLANS.iter().zip(&expected) {
        let found = finish(&tree, tree.command(arguments).current_dir(&moved)).code(0);
        assert_eq!(found.stdout, *expected, "{arguments:?}");
    }
    fs::rename(&moved, tree.root()).unwrap();
    // With one processor only.
    if crate::fixture::has("taskset") {
        for (arguments, expected) in PLANS.iter().zip(&expected) {
            let found = finish(&tree, &mut under(&tree, &["taskset", "1"], arguments)).code(0);
            assert_eq!(found.stdout, *expected, "{arguments:?}");
        }
    }
}

fn under_find(tree: &Tree, stamp: &str) -> Command {
    let mut find = Command::new("find");
    find.args(["science", "compat", ".git", "-exec", "touch", "-h", "-t", stamp, "{}", "+"])
        .current_dir(tree.root());
    find
}
