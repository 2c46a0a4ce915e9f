//! Descriptors: valid ones, and the errors for invalid ones.

use planner::descriptor::{self, Compat};
use planner::tree::SourceFile;

fn file(text: &str) -> SourceFile {
    SourceFile { path: "d".to_owned(), text: text.to_owned() }
}

/// Problems and guidelines as `line:column: message [code]` with their help.
fn told(problems: &[planner::Problem], guidelines: &[planner::Problem]) -> String {
    let problem = |problem: &planner::Problem| problem.to_string().replace("\n  help: ", " | ");
    let guideline = |guideline: &planner::Problem| {
        let (line, help) = (guideline.line.expect("a line"), guideline.help.as_deref().expect("a help"));
        format!("guideline {line}: {} [{}] | {help}", guideline.message, guideline.code)
    };
    problems.iter().map(problem).chain(guidelines.iter().map(guideline)).collect::<Vec<_>>().join("\n")
}

fn science(text: &str) -> String {
    let (_, problems, guidelines) = descriptor::science(&file(text), "dir");
    told(&problems, &guidelines)
}

fn compat(text: &str) -> String {
    let (_, problems, guidelines) = descriptor::compat(&file(text));
    told(&problems, &guidelines)
}

#[test]
fn a_documented_example_is_read_with_its_comments() {
    let text = "\u{feff}// a science layer\r\n{\r\n  # the product, \"quoted\" and {nested [\r\n  \"image\": \"nist-basic\", /* # no\r\n comment */\r\n  \
                \"version\": \"2.0\",\r\n  \"compat\": \"jupyter\",\r\n  \"args\": {\"A\": \"x # y // z\",},\r\n  \
                \"description\": \"é\\u00e9\",\r\n  \"keywords\": [\"a\", \"b\",],\r\n  \"tests\": [{\"run\": [\"a\"], /* # */ \"x-n\": 1.5}, \"b.sh\",],\r\n  \
                \"$schema\": 1, \"x-mine\": {\"y\": 2},\r\n}\r\n# the end";
    let (science, problems, guidelines) = descriptor::science(&file(text), "nist");
    assert_eq!(told(&problems, &guidelines), "");
    let science = science.expect("no problems");
    assert_eq!((science.image.as_str(), science.version.as_str()), ("nist-basic", "2.0"));
    assert_eq!(science.target.as_str(), "nist");
    assert_eq!(science.compat, Compat::Layer("jupyter".to_owned()));
    assert_eq!(science.args.get("A").map(String::as_str), Some("x # y // z"));
    assert_eq!(science.description.as_deref(), Some("éé"));
    assert_eq!(science.keywords, ["a", "b"]);
    let tests: Vec<_> = science.tests().map(|(line, test)| (line, test.script(), test.timeout)).collect();
    assert_eq!(tests, [(11, None, 60), (11, Some("b.sh"), 60)]);
    let value = |field| science.place(field).map(|place| &text[place]);
    assert_eq!(
        (value("version"), value("compat"), value("url")),
        (Some("\"2.0\""), Some("\"jupyter\""), None)
    );
}

#[test]
fn defaults() {
    let (science, problems, _) = descriptor::science(&file(r#"{"image": "a"}"#), "dir");
    let science = science.expect("enough");
    assert_eq!(problems, []);
    assert_eq!((science.version.as_str(), science.target.as_str()), ("1.0", "dir"));
    assert_eq!((science.compat, science.args.len(), science.tests.len()), (Compat::Unset, 0, 0));
    let (science, ..) = descriptor::science(&file(r#"{"image": "a", "compat": null, "target": "t"}"#), "BAD");
    assert_eq!(
        science.map(|science| (science.compat, science.target.to_string())),
        Some((Compat::None, "t".to_owned()))
    );
    let (layer, problems, _) = descriptor::compat(&file("{}"));
    assert_eq!((layer.expect("enough").includes.len(), problems.len()), (0, 0));
}

#[test]
fn what_is_wrong_with_a_science_layer_is_told() {
    let cases: &[(&str, &str)] = &[
        (
            "",
            "d:1:1: a descriptor is one JSON object [descriptor-syntax] | begin it with `{` and end it with `}`",
        ),
        (
            "# nothing",
            "d:1:1: a descriptor is one JSON object [descriptor-syntax] | begin it with `{` and end it with `}`",
        ),
        (
            "[]",
            "d:1:1: a descriptor is one JSON object [descriptor-syntax] | begin it with `{` and end it with `}`",
        ),
        (
            "\"x\"",
            "d:1:1: a descriptor is one JSON object [descriptor-syntax] | begin it with `{` and end it with `}`",
        ),
        (
            "{\"image\": \"a\"} x",
            "d:1:16: not JSON: text cannot contain more than one JSON value [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\"}{}",
            "d:1:15: not JSON: text cannot contain more than one JSON value [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\",, }",
            "d:1:15: not JSON: unexpected token in object [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\" \"version\": \"1\"}",
            "d:1:14: not JSON: expected comma [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{'image': 'a'}",
            "d:1:2: not JSON: single-quoted strings are not allowed [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{image: \"a\"}",
            "d:1:2: not JSON: expected string for object property [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\"",
            "d:1:1: not JSON: unterminated object [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a}\n",
            "d:1:11: not JSON: unterminated string literal [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\" /* x",
            "d:1:15: not JSON: unterminated comment block [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\", \"args\": {\"x\": 0x10}}",
            "d:1:30: not JSON: hexadecimal numbers are not allowed [descriptor-syntax] | comments (#, //, /* */) and trailing commas are fine, all else is as in JSON",
        ),
        (
            "{\"image\": \"a\",\n \"image\": \"b\"}",
            "d:2:2: the field \"image\" stands twice [descriptor-syntax] | remove one of them",
        ),
        (
            "{\"image\": \"a\", \"x-y\": {\"b\": 1, \"b\": 2}}",
            "d:1:32: the field \"b\" stands twice [descriptor-syntax] | remove one of them",
        ),
        (
            "{}",
            "d:1:1: the field \"image\" is missing [descriptor-field] | add `\"image\": \"…\"`, the name of the product that the layer belongs to",
        ),
        (
            "{\"image\": 1}",
            "d:1:11: image is not a string [descriptor-value] | make it a string, or remove it",
        ),
        (
            "{\"image\": null}",
            "d:1:11: image is not a string [descriptor-value] | make it a string, or remove it",
        ),
        (
            "{\"image\": \"A\"}",
            "d:1:11: image: \"A\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"a/b\"}",
            "d:1:11: image: \"a/b\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"a\\nb\"}",
            "d:1:11: image: \"a\\nb\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"a\\u0000\"}",
            "d:1:11: image: \"a\\0\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"...\"}",
            "d:1:11: image: \"...\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"-x\"}",
            "d:1:11: image: \"-x\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"a\",\n  \"version\": 2.0}",
            "guideline 2: the version 2.0 is a number [version-unquoted] | put it into quotes: \"2.0\"",
        ),
        (
            "{\"image\": \"a\", \"version\": 2}",
            "guideline 1: the version 2 is a number [version-unquoted] | put it into quotes: \"2\"",
        ),
        (
            "{\"image\": \"a\", \"args\": {\"DB_PASSWORD\": \"x\", \"TOKENS\": \"y\", \"pip_api_key\": \"\"}}",
            "guideline 1: args: DB_PASSWORD looks like a secret, and everyone with the image can read it [arg-secret] | mount it: RUN --mount=type=secret,id=NAME in the Dockerfile, --secret id=NAME on the command line",
        ),
        (
            "{\"image\": \"a\",\n \"args\": {\"my_api_key\": \"x\"}}",
            "guideline 2: args: my_api_key looks like a secret, and everyone with the image can read it [arg-secret] | mount it: RUN --mount=type=secret,id=NAME in the Dockerfile, --secret id=NAME on the command line",
        ),
        (
            "{\"image\": \"a\", \"version\": 2.10}",
            "d:1:27: the version 2.10 is a number that JSON readers shorten [descriptor-value] | put it into quotes: \"2.10\"",
        ),
        (
            "{\"image\": \"a\", \"version\": 1e3}",
            "d:1:27: the version 1e3 is a number that JSON readers shorten [descriptor-value] | put it into quotes: a number, then any number of parts of letters, digits and '_' with a '.' before each, at most 128 characters",
        ),
        (
            "{\"image\": \"a\", \"version\": -1}",
            "d:1:27: the version -1 is a number that JSON readers shorten [descriptor-value] | put it into quotes: a number, then any number of parts of letters, digits and '_' with a '.' before each, at most 128 characters",
        ),
        (
            "{\"image\": \"a\", \"version\": \"v1\"}",
            "d:1:27: version: \"v1\" is not a version [descriptor-value] | a number, then any number of parts of letters, digits and '_' with a '.' before each, at most 128 characters",
        ),
        (
            "{\"image\": \"a\", \"version\": \"1-2\"}",
            "d:1:27: version: \"1-2\" is not a version [descriptor-value] | a number, then any number of parts of letters, digits and '_' with a '.' before each, at most 128 characters",
        ),
        (
            "{\"image\": \"a\", \"version\": true}",
            "d:1:27: version is not a string [descriptor-value] | make it a string, or remove it",
        ),
        (
            "{\"image\": \"a\", \"version\": 12345678901234567890123}",
            "d:1:27: the version 12345678901234567890123 is a number that JSON readers shorten [descriptor-value] | put it into quotes: \"12345678901234567890123\"",
        ),
        (
            "{\"image\": \"a\", \"target\": \"T\"}",
            "d:1:26: target: \"T\" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "{\"image\": \"a\", \"target\": null}",
            "d:1:26: target is not a string [descriptor-value] | make it a string, or remove it",
        ),
        (
            "{\"image\": \"a\", \"compat\": \"/x\"}",
            "d:1:26: compat: \"/x\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'",
        ),
        (
            "{\"image\": \"a\", \"compat\": \"a/../b\"}",
            "d:1:26: compat: \"a/../b\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'",
        ),
        (
            "{\"image\": \"a\", \"compat\": \"\"}",
            "d:1:26: compat: \"\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'",
        ),
        (
            "{\"image\": \"a\", \"compat\": []}",
            "d:1:26: compat is not a string or null [descriptor-value] | make it a string or null, or remove it",
        ),
        (
            "{\"image\": \"a\", \"compat\": \"C:\\\\x\"}",
            "d:1:26: compat: \"C:\\\\x\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'",
        ),
        (
            "{\"image\": \"a\", \"args\": []}",
            "d:1:24: args is not an object of strings [descriptor-value] | make it an object of strings, or remove it",
        ),
        (
            "{\"image\": \"a\", \"args\": {\"A\": 1}}",
            "d:1:30: args: the value of \"A\" is not a string [descriptor-value] | put it into quotes",
        ),
        (
            "{\"image\": \"a\", \"args\": {\"A B\": \"1\"}}",
            "d:1:32: args: \"A B\" is not a name of a build argument [descriptor-value] | letters, digits and '_', no digit first",
        ),
        (
            "{\"image\": \"a\", \"args\": {\"buildkit_syntax\": \"1\"}}",
            "d:1:25: args: \"buildkit_syntax\" steers the builder itself [buildkit-argument] | remove it",
        ),
        (
            "{\"image\": \"a\", \"keywords\": \"x\"}",
            "d:1:28: keywords is not a list [descriptor-value] | make it a list, or remove it",
        ),
        (
            "{\"image\": \"a\", \"keywords\": [\"x\", 1]}",
            "d:1:34: keywords: a list of strings [descriptor-value] | put each into quotes",
        ),
        (
            "{\"image\": \"a\", \"tests\": {}}",
            "d:1:25: tests is not a list [descriptor-value] | make it a list, or remove it",
        ),
        (
            "{\"image\": \"a\", \"licence\": \"MIT\"}",
            "d:1:16: unknown field \"licence\" [descriptor-field] | did you mean \"licenses\"? fields of your own begin with \"x-\"",
        ),
        (
            "{\"image\": \"a\", \"licenses\": [\"MIT\"]}",
            "d:1:28: licenses is not a string [descriptor-value] | make it a string, or remove it",
        ),
        (
            "{\"image\": \"a\", \"zzzzzzzzzz\": 1}",
            "d:1:16: unknown field \"zzzzzzzzzz\" [descriptor-field] | known are image, version, target, compat, args, description, authors, licenses, url, documentation, keywords, tests; fields of your own begin with \"x-\"",
        ),
        (
            "{\"image\": \"a\", \"includes\": []}",
            "d:1:16: unknown field \"includes\" [descriptor-field] | known are image, version, target, compat, args, description, authors, licenses, url, documentation, keywords, tests; fields of your own begin with \"x-\"",
        ),
        (
            "{\"image\": \"a\", \"description\": \"a\\u0000\"}",
            "d:1:31: description holds a NUL [descriptor-value] | remove it",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(science(text), *expected, "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_compat_layer_is_told() {
    let cases: &[(&str, &str)] = &[
        (
            "[1]",
            "d:1:1: a descriptor is one JSON object [descriptor-syntax] | begin it with `{` and end it with `}`",
        ),
        (
            "{\"includes\": \"a\"}",
            "d:1:14: includes is not a list [descriptor-value] | make it a list, or remove it",
        ),
        (
            "{\"includes\": [\"a\", 1]}",
            "d:1:20: includes: a list of strings [descriptor-value] | put it into quotes",
        ),
        ("{\"includes\": [\"a\", \"a\"]}", "d:1:20: \"a\" is included twice [descriptor-value] | remove one"),
        (
            "{\"includes\": [\"/etc\"]}",
            "d:1:15: includes: \"/etc\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'",
        ),
        (
            "{\"includes\": [\"a/..\", \".\", \"a//b\"]}",
            "d:1:15: includes: \"a/..\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'\nd:1:23: includes: \".\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'\nd:1:28: includes: \"a//b\" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'",
        ),
        (
            "{\"include\": [\"a\"]}",
            "d:1:2: unknown field \"include\" [descriptor-field] | did you mean \"includes\"? fields of your own begin with \"x-\"",
        ),
        (
            "{\"image\": \"a\"}",
            "d:1:2: unknown field \"image\" [descriptor-field] | known are includes, args, description, tests; fields of your own begin with \"x-\"",
        ),
        (
            "{\"args\": {\"BUILDKIT_X\": \"1\"}}",
            "d:1:11: args: \"BUILDKIT_X\" steers the builder itself [buildkit-argument] | remove it",
        ),
        (
            "{\"description\": 1, \"tests\": 1}",
            "d:1:17: description is not a string [descriptor-value] | make it a string, or remove it\nd:1:29: tests is not a list [descriptor-value] | make it a list, or remove it",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(compat(text), *expected, "{text}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = "{\n  \"imgae\": \"a\",\n  \"image\": \"A\",\n  \"version\": 2.10,\n  \"compat\": \"../x\",\n  \"args\": {\n    \"BUILDKIT_SYNTAX\": \"x\",\n    \"n\": 1\n  },\n  \"url\": 3\n}\n";
    insta::assert_snapshot!(science(text), @r#"
    d:2:3: unknown field "imgae" [descriptor-field] | did you mean "image"? fields of your own begin with "x-"
    d:3:12: image: "A" is not a valid image name [descriptor-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters
    d:4:14: the version 2.10 is a number that JSON readers shorten [descriptor-value] | put it into quotes: "2.10"
    d:5:13: compat: "../x" is not a name of a compat layer [descriptor-value] | name a directory below compat/, without a leading '/' and without '..'
    d:7:5: args: "BUILDKIT_SYNTAX" steers the builder itself [buildkit-argument] | remove it
    d:8:10: args: the value of "n" is not a string [descriptor-value] | put it into quotes
    d:10:10: url is not a string [descriptor-value] | make it a string, or remove it
    "#);
}

/// A descriptor that the rest of the tree depends on is returned in spite of other problems.
#[test]
fn a_wrong_field_does_not_hide_the_layer() {
    let (science, problems, _) =
        descriptor::science(&file(r#"{"image": "a", "colour": "red", "url": 1}"#), "dir");
    assert_eq!(problems.len(), 2);
    assert_eq!(science.map(|science| science.image.to_string()), Some("a".to_owned()));
}

#[test]
fn hostile_sizes_are_refused_without_harm() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(science(&deep).contains("nested more than 64 deep"));
    let deep = format!("{{\"tests\": {}", "{\"a\":[".repeat(100_000));
    assert!(science(&deep).contains("nested more than 64 deep"));
    let large = format!("{{\"image\": \"a\", \"description\": \"{}\"}}", "x".repeat(1 << 20));
    assert!(science(&large).contains("larger than 1 MiB"));
    let many = format!(
        "{{\"image\": \"a\", {}}}",
        (0..40_000).map(|n| format!("\"x-{n}\": 1,")).collect::<String>()
    );
    assert_eq!(science(&many), "");
}
