//! Small files that cause much work: time, memory, or repeated work for each line. Without limits,
//! each of these exceeded the time here, or 3 GB of memory.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use planner::{Request, fixture};

use crate::{refused, told};

/// The time limit. Work within limits takes a fraction of it even without optimisation, unlimited
/// work takes far longer.
const LONGEST: Duration = Duration::from_secs(20);

fn layer(dockerfile: &str, more: &str) -> String {
    format!(
        "//- /science/a/Dockerfile\n{dockerfile}\n//- /science/a/sciserver-image.json\n\
         {{\"image\": \"a\", \"compat\": null}}\n{more}"
    )
}

/// Plans a tree within the limit, and returns its problems.
#[track_caller]
fn problems(tree: &str) -> String {
    let start = Instant::now();
    let planned = planner::plan(&fixture::first(tree), &Request::default());
    let took = start.elapsed();
    assert!(took < LONGEST, "it took {took:?}");
    planned.err().map(|problems| told(&problems)).unwrap_or_default()
}

#[test]
fn variables_that_double_each_other() {
    let mut text = "ARG A=xxxxxxxx\n".to_owned();
    for _ in 0..40 {
        text += "ARG A=$A$A\n";
    }
    let refused = refused(&fixture::first(&layer(&format!("{text}FROM $A"), "")), &Request::default());
    assert!(refused.contains("the values of variables come to more than 4 MiB"), "{refused}");
}

#[test]
fn a_long_variable_named_by_many() {
    let long = "L".repeat(500_000);
    let mut text = format!("ARG A=${long}\n");
    for number in 0..20_000 {
        writeln!(text, "ARG A{number}=$A").expect("a string takes all");
    }
    let refused = problems(&layer(&format!("{text}FROM $A1"), ""));
    assert!(refused.contains("more than 4 MiB"), "{}", &refused[..200]);
}

#[test]
fn stages_and_patterns_without_end() {
    let mut text = "FROM scratch AS s0\n".to_owned();
    for number in 1..15_000 {
        writeln!(text, "ENV A{number}=x\nFROM s{} AS s{number}", number - 1).expect("a string takes all");
    }
    assert_eq!(problems(&layer(&text, "")), "");
    let mut text = format!("FROM scratch\nENV A={}\n", "ab".repeat(30_000));
    for _ in 0..20_000 {
        text += "ENV B=${A//a*b/x} C=${A%%a*}\n";
    }
    assert!(problems(&layer(&text, "")).contains("too long for patterns"));
    let copies = "COPY *x*y*z a?b*c /\n".repeat(10_000);
    let files: String = (0..500).map(|number| format!("//- /science/a/f{number}\nx\n")).collect();
    problems(&layer(&format!("FROM scratch\n{copies}"), &files));
}

#[test]
fn many_references_in_one_line() {
    let mounts = "--mount=from=scratch,target=/x \\\n".repeat(30_000);
    assert_eq!(problems(&layer(&format!("FROM scratch\nRUN {mounts}x"), "")), "");
    let mounts = "--mount=from=scratch ".repeat(45_000);
    assert!(problems(&layer(&format!("FROM scratch\nRUN {mounts}x"), "")).lines().count() <= 204);
}

#[test]
fn many_includes() {
    let names: Vec<String> = (0..90_000).map(|number| format!("\"c{number}\"")).collect();
    let more = format!(
        "//- /compat/c/Dockerfile\n//- /compat/c/sciserver-image.json\n{{\"includes\": [{}]}}\n",
        names.join(",")
    );
    assert!(problems(&layer("FROM scratch", &more)).contains("there is no compat layer"));
}

#[test]
fn patterns_and_settings_without_end() {
    let ignore =
        |text: &str| problems(&layer("FROM scratch", &format!("//- /science/a/.dockerignore\n{text}\n")));
    assert!(ignore(&"*a\n".repeat(300_000)).contains("more than 2000 patterns"));
    assert!(ignore(&"*a".repeat(500_000)).contains("longer than 4096 bytes"));
    assert!(ignore(&"[\n".repeat(500_000)).lines().count() <= 101);
    for text in ["=\n".repeat(60_000), format!("retired = [{}]", "1,".repeat(60_000)), "=".repeat(200_000)] {
        let text = format!("//- /image-builder.toml\n{text}\n{}", layer("FROM scratch", ""));
        assert!(problems(&text).lines().count() <= 101);
    }
}

#[test]
fn a_word_of_a_megabyte_is_not_compared() {
    let word = "x".repeat(1_000_000);
    assert!(problems(&layer(&format!("FROM scratch\n{word} y"), "")).contains("is not an instruction"));
}

#[test]
fn as_many_unknown_targets_as_layers() {
    let mut tree = String::new();
    for number in 0..4_000 {
        write!(
            tree,
            "//- /science/l{number}/Dockerfile\nFROM sci/unknown{number}:1.0\n\
             //- /science/l{number}/sciserver-image.json\n{{\"image\": \"i{number}\", \"compat\": \"no{number}\"}}\n"
        )
        .expect("a string takes all");
    }
    assert_eq!(problems(&tree).matches("no layer of the tree has the target").count(), 4_000);
}
