//! The field `tests` of a descriptor: valid values, and the errors for invalid ones.

use planner::descriptor::{self, DeclaredAction, DeclaredTest};
use planner::tree::SourceFile;

fn read(tests: &str) -> (Vec<DeclaredTest>, String) {
    let text = format!("{{\"image\": \"a\",\n\"tests\": {tests}}}");
    let file = SourceFile { path: "d".to_owned(), text };
    let (science, problems, _) = descriptor::science(&file, "dir");
    let told: Vec<String> =
        problems.iter().map(|problem| problem.to_string().replace("\n  help: ", " | ")).collect();
    // A compat layer reads the same field the same way.
    let text = format!("{{\"args\": {{}},\n\"tests\": {tests}}}");
    let file = SourceFile { path: "d".to_owned(), text };
    let (compat, others, _) = descriptor::compat(&file);
    let tests = science.expect("the image is there").tests;
    assert_eq!(compat.expect("nothing is required").tests, tests);
    assert_eq!(others.len(), problems.len());
    (tests, told.join("\n"))
}

#[test]
fn tests_are_read_with_their_defaults() {
    let (tests, told) = read(
        r#"[
            {"run": ["python3", "-c", "import numpy"]},
            {"run": ["curl", ""], "timeout": "1h", "network": true, "user": "1000:users", "x-why": 1},
            {"script": "tests/import.sh", "timeout": "1m 30s", "network": false},
            "answers.sh", # the short form
        ]"#,
    );
    assert_eq!(told, "");
    let run = |words: &[&str]| DeclaredAction::Run(words.iter().map(|word| (*word).to_owned()).collect());
    let script = |path: &str| DeclaredAction::Script(path.to_owned());
    let test = |action, timeout, network, user: Option<&str>| DeclaredTest {
        action,
        timeout,
        network,
        user: user.map(str::to_owned),
    };
    assert_eq!(
        tests,
        [
            test(run(&["python3", "-c", "import numpy"]), 60, false, None),
            test(run(&["curl", ""]), 3600, true, Some("1000:users")),
            test(script("tests/import.sh"), 90, false, None),
            test(script("answers.sh"), 60, false, None),
        ]
    );
}

#[test]
fn what_is_wrong_with_a_test_is_told() {
    const EXAMPLE: &str = "for instance { \"run\": [\"python3\", \"-c\", \"import numpy\"] }, or { \"script\": \"tests/import.sh\" }";
    const RUN: &str = "for instance [\"python3\", \"-c\", \"import numpy\"]: a program with its arguments";
    const TIME: &str = "whole seconds, from \"1s\" to \"1h\", for instance \"90s\" or \"5m\"";
    const USER: &str =
        "a name or number in quotes, with a group behind a colon where that matters: \"1000:1000\"";
    const PATH: &str = "name a file below the layer's directory, without a leading '/' and without '..'";
    let value = |message: &str, help: &str| format!("{message} [descriptor-value] | {help}");
    let cases: Vec<(&str, String)> = vec![
        ("{}", value("tests is not a list", "make it a list, or remove it")),
        ("[1]", value("tests: a test is an object, or the path of a script", EXAMPLE)),
        ("[{}]", value("tests: a test has neither run nor script", EXAMPLE)),
        (
            r#"[{"run": ["a"], "script": "b"}]"#,
            value("tests: a test has both run and script", "make two tests of it"),
        ),
        (
            r#"[{"run": ["a"], "time": "1s"}]"#,
            "tests: unknown field \"time\" [descriptor-field] | known are run, script, timeout, network, user".to_owned(),
        ),
        (
            r#"[{"run": ["a"], "timout": "1s"}]"#,
            "tests: unknown field \"timout\" [descriptor-field] | did you mean \"timeout\"?".to_owned(),
        ),
        (r#"[{"run": "a b"}]"#, value("tests: run is not a list", RUN)),
        (r#"[{"run": []}]"#, value("tests: run names no program", RUN)),
        (r#"[{"run": [""]}]"#, value("tests: run names no program", RUN)),
        (r#"[{"run": ["a", 1]}]"#, value("tests: run is a list of strings, without NUL", RUN)),
        (r#"[{"run": ["a\u0000"]}]"#, value("tests: run is a list of strings, without NUL", RUN)),
        (
            r#"[{"script": 1}]"#,
            value("tests: script is not a string", "give the path of a file of the layer"),
        ),
        (r#"["../a"]"#, value("tests: \"../a\" is not a path of a script", PATH)),
        (r#"["/a"]"#, value("tests: \"/a\" is not a path of a script", PATH)),
        (r#"[""]"#, value("tests: \"\" is not a path of a script", PATH)),
        (r#"[{"script": "a/./b"}]"#, value("tests: \"a/./b\" is not a path of a script", PATH)),
        (r#"[{"script": "a\nb"}]"#, value("tests: \"a\\nb\" is not a path of a script", PATH)),
        (r#"[{"run": ["a"], "timeout": 60}]"#, value("tests: timeout is not a string", TIME)),
        (r#"[{"run": ["a"], "timeout": "0s"}]"#, value("tests: \"0s\" is no time that a test may take", TIME)),
        (r#"[{"run": ["a"], "timeout": "61m"}]"#, value("tests: \"61m\" is no time that a test may take", TIME)),
        (r#"[{"run": ["a"], "timeout": "1500ms"}]"#, value("tests: \"1500ms\" is no time that a test may take", TIME)),
        (r#"[{"run": ["a"], "timeout": "soon"}]"#, value("tests: \"soon\" is no time that a test may take", TIME)),
        (
            r#"[{"run": ["a"], "network": "no"}]"#,
            value("tests: network is neither true nor false", "write it without quotes"),
        ),
        (r#"[{"run": ["a"], "user": 1000}]"#, value("tests: user is not a string", USER)),
        (r#"[{"run": ["a"], "user": "-x"}]"#, value("tests: \"-x\" is no user", USER)),
        (r#"[{"run": ["a"], "user": "a:b:c"}]"#, value("tests: \"a:b:c\" is no user", USER)),
        (r#"[{"run": ["a"], "user": "a b"}]"#, value("tests: \"a b\" is no user", USER)),
    ];
    for (text, expect) in cases {
        let (tests, told) = read(text);
        assert_eq!(tests, [], "{text}");
        let (place, told) = told.split_once(": ").unwrap_or_else(|| panic!("{text} was taken"));
        assert!(place.starts_with("d:2:"), "{text}: {place}");
        assert_eq!(told, expect, "{text}");
    }
}

#[test]
fn too_much_is_refused_and_a_bad_test_does_not_hide_the_next() {
    let many = format!("[{}]", vec!["\"a\""; 51].join(","));
    assert!(read(&many).1.contains("51 tests, 50 is the most"));
    let long = format!("[{{\"run\": [\"{}\"]}}]", "a".repeat((64 << 10) + 1));
    assert!(read(&long).1.contains("longer than 64 KiB"));
    let (tests, told) = read(r#"[1, "a", {"run": 1}, {"script": "b"}]"#);
    assert_eq!(tests.iter().filter_map(DeclaredTest::script).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(told.lines().count(), 2);
}
