//! Invalid Dockerfiles with their errors, and fragments.

use std::collections::BTreeMap;

use planner::Problem;
use planner::dockerfile;
use planner::tree::SourceFile;

/// A text, and each problem as `line:column: message [code]` with its help.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "d:1: the Dockerfile has no FROM [no-from] | begin it with `FROM sci/{target}:{version}` or another image",
        ],
    ),
    (
        "\n# only a comment\n",
        &[
            "d:1: the Dockerfile has no FROM [no-from] | begin it with `FROM sci/{target}:{version}` or another image",
        ],
    ),
    (
        "ARG X=1\n",
        &[
            "d:1: the Dockerfile has no FROM [no-from] | begin it with `FROM sci/{target}:{version}` or another image",
        ],
    ),
    (
        "RUN x\nFROM debian\n",
        &[
            "d:1:1: RUN before the first FROM [no-from] | a Dockerfile begins with FROM; only ARG may stand before it",
        ],
    ),
    ("FORM debian:12\n", &["d:1:1: \"FORM\" is not an instruction [instruction] | did you mean FROM?"]),
    (
        "FROM debian:${V}\n",
        &[
            "d:1:6: FROM: V has no value [unknown-reference] | declare it before the first FROM with a default: `ARG V=…`",
        ],
    ),
    (
        "FROM $UNDECLARED\n",
        &[
            "d:1:6: FROM: UNDECLARED has no value [unknown-reference] | `args` sets it, but FROM sees it only with a line `ARG UNDECLARED` before the first FROM",
        ],
    ),
    (
        "ARG V\nFROM debian:$V\n",
        &[
            "d:2:6: FROM: V has no value [unknown-reference] | give it a default (`ARG V=…`), or set it in `args` of sciserver-image.json",
        ],
    ),
    (
        "ARG A=$B\nFROM debian:$A\n",
        &[
            "d:2:6: FROM: A has no value, since it refers to B, which has none [unknown-reference] | declare it before the first FROM with a default: `ARG B=…`",
        ],
    ),
    (
        "FROM debian:${V:?no}\n",
        &[
            "d:1:6: FROM: V has no value [unknown-reference] | declare it before the first FROM with a default: `ARG V=…`",
        ],
    ),
    (
        "FROM debian:${V%x}\n",
        &[
            "d:1:6: FROM: V has no value [unknown-reference] | declare it before the first FROM with a default: `ARG V=…`",
        ],
    ),
    (
        "FROM debian:${V\n",
        &[
            "d:1:6: FROM: '${' is not closed by '}' [unknown-reference] | use $NAME, ${NAME}, ${NAME:-default}, ${NAME:+text}, ${NAME#prefix}, ${NAME%suffix} or ${NAME/text/other}",
        ],
    ),
    (
        "FROM 'debian\n",
        &[
            "d:1:6: FROM: a quote (') is not closed [unknown-reference] | use $NAME, ${NAME}, ${NAME:-default}, ${NAME:+text}, ${NAME#prefix}, ${NAME%suffix} or ${NAME/text/other}",
        ],
    ),
    (
        "FROM ${E:-}\n",
        &[
            "d:1:6: \"\" is not an image reference: it is empty [reference] | a reference has the form registry/path/name:tag, in lower case up to the tag",
        ],
    ),
    (
        "FROM debian:12\nARG V=1\nFROM debian:$V\n",
        &[
            "d:3:6: FROM: V has no value [unknown-reference] | declare it before the first FROM with a default: `ARG V=…`",
        ],
    ),
    (
        "FROM\n",
        &[
            "d:1:1: FROM takes one image, and AS with one name [from] | write `FROM image` or `FROM image AS name`",
        ],
    ),
    (
        "FROM a b\n",
        &[
            "d:1:1: FROM takes one image, and AS with one name [from] | write `FROM image` or `FROM image AS name`",
        ],
    ),
    (
        "FROM a AS\n",
        &[
            "d:1:1: FROM takes one image, and AS with one name [from] | write `FROM image` or `FROM image AS name`",
        ],
    ),
    (
        "FROM a AS 1x\n",
        &[
            "d:1:11: \"1x\" is not a name for a stage [stage-name] | a letter first, then letters, digits, '-', '_' and '.'",
        ],
    ),
    (
        "FROM Debian\n",
        &[
            "d:1:6: \"Debian\" is not an image reference: a repository is lower case words with '/' between them [reference] | a reference has the form registry/path/name:tag, in lower case up to the tag",
        ],
    ),
    (
        "FROM debian:12:13\n",
        &[
            "d:1:6: \"debian:12:13\" is not an image reference: a tag is letters, digits, '_', '.' and '-', at most 128, not '.' or '-' first [reference] | a reference has the form registry/path/name:tag, in lower case up to the tag",
        ],
    ),
    (
        "FROM debian\nCOPY --from=$X a b\n",
        &[
            "d:2:13: COPY --from with a variable [variable] | docker does not expand variables here: define a stage with `FROM … AS name`, and name that",
        ],
    ),
    (
        "FROM debian\nCOPY --from=0 a b\n",
        &[
            "d:2:13: COPY --from=0: there is no stage 0 above this one [stage] | give the stage a name, and name it",
        ],
    ),
    (
        "FROM debian\nCOPY --from=7 a b\n",
        &[
            "d:2:13: COPY --from=7: there is no stage 7 above this one [stage] | give the stage a name, and name it",
        ],
    ),
    (
        "FROM debian AS me\nCOPY --from=me a b\n",
        &[
            "d:2:13: COPY --from: the stage \"me\" is not above this one [stage] | move the stage up: some builders would use the stage here, others an image",
        ],
    ),
    (
        "FROM debian AS a\nCOPY --from=b x y\nFROM debian AS b\n",
        &[
            "d:2:13: COPY --from: the stage \"b\" is not above this one [stage] | move the stage up: some builders would use the stage here, others an image",
        ],
    ),
    (
        "FROM debian\nCOPY --from=sci\"/x:1\" a b\n",
        &[
            "d:2:13: COPY --from: quotes or escapes within the name of the image [quoted] | write the name as it is",
        ],
    ),
    (
        "FROM debian\nRUN --mount=from=${X},target=/x y\n",
        &[
            "d:2:18: RUN --mount from with a variable [variable] | docker does not expand variables here: define a stage with `FROM … AS name`, and name that",
        ],
    ),
    (
        "FROM debian AS x\nFROM debian\nRUN --mount=from=0,target=/x y\n",
        &["d:3:18: a mount does not accept a stage number (0) [stage] | give the stage a name, and name it"],
    ),
    (
        "FROM debian\nRUN --mount='\"from=sci/x:1\",target=/x' y\n",
        &[
            "d:2:20: a mount with a quote in its value and an image in `from` [quoted] | write `from=` without quotes",
        ],
    ),
    (
        "FROM debian\nRUN cat <<EOF\nCOPY --from=sci/x:1 a b\n",
        &[
            "d:2:9: the heredoc \"EOF\" has no end [heredoc-open] | end it with a line that holds \"EOF\" and nothing else",
        ],
    ),
    (
        "FROM debian\nONBUILD FROM x\nONBUILD ONBUILD RUN x\n",
        &[
            "d:2:9: ONBUILD FROM is not allowed [onbuild] | use another instruction as a trigger",
            "d:3:9: ONBUILD ONBUILD is not allowed [onbuild] | use another instruction as a trigger",
        ],
    ),
    (
        "ARG BUILDKIT_SYNTAX=evil/frontend\nFROM debian\nARG A=1 BUILDKIT_SYNTAX=2\n",
        &[
            "d:1:1: ARG BUILDKIT_SYNTAX with a value: it steers the builder itself [buildkit-argument] | remove it",
            "d:3:1: ARG BUILDKIT_SYNTAX with a value: it steers the builder itself [buildkit-argument] | remove it",
        ],
    ),
    (
        "FROM debian\nONBUILD arg BUILDKIT_SYNTAX=2\n",
        &[
            "d:2:1: ARG BUILDKIT_SYNTAX with a value: it steers the builder itself [buildkit-argument] | remove it",
        ],
    ),
    (
        "# syntax=evil/frontend\nFROM debian\n",
        &[
            "d:1:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "# SYNTAX = evil/frontend:1 arg\nFROM debian\n",
        &[
            "d:1:1: the frontend \"evil/frontend:1\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend:1` if you trust it",
        ],
    ),
    (
        "  #syntax=evil/frontend\nFROM debian\n",
        &[
            "d:1:3: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "\u{feff}# syntax=evil/frontend\nFROM debian\n",
        &[
            "d:1:2: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "#!/bin/x\n# syntax=evil/frontend\nFROM debian\n",
        &[
            "d:2:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "// syntax=evil/frontend\nFROM debian\n",
        &[
            "d:1:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
            "d:1:1: \"//\" is not an instruction [instruction] | a line begins with an instruction, or continues one",
        ],
    ),
    (
        "{\"Syntax\": \"evil/frontend\"}",
        &[
            "d:1:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
            "d:1:1: \"{\\\"Syntax\\\":\" is not an instruction [instruction] | a line begins with an instruction, or continues one",
        ],
    ),
    (
        "#!/x\n//syntax=evil/frontend\nFROM debian\n",
        &[
            "d:2:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
            "d:2:1: \"//syntax=evil/frontend\" is not an instruction [instruction] | a line begins with an instruction, or continues one",
        ],
    ),
    (
        "# check=skip=all\n# syntax=evil/frontend\nFROM debian\n",
        &[
            "d:2:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "# maintainer=x\n# syntax=evil/frontend\nFROM debian\n",
        &[
            "d:2:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "# maintainer=x\n#!/bin/x\n# syntax=evil/frontend\nFROM debian\n",
        &[
            "d:3:1: the frontend \"evil/frontend\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it",
        ],
    ),
    (
        "# syntax=docker/dockerfile\nFROM debian\n",
        &[
            "d:1:1: the frontend \"docker/dockerfile\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend docker/dockerfile` if you trust it",
        ],
    ),
    (
        "# syntax=docker/dockerfile:10\nFROM debian\n",
        &[
            "d:1:1: the frontend \"docker/dockerfile:10\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend docker/dockerfile:10` if you trust it",
        ],
    ),
    (
        "# syntax=docker/dockerfile-upstream:1\nFROM debian\n",
        &[
            "d:1:1: the frontend \"docker/dockerfile-upstream:1\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend docker/dockerfile-upstream:1` if you trust it",
        ],
    ),
    (
        "# syntax=evil.example/docker/dockerfile:1\nFROM debian\n",
        &[
            "d:1:1: the frontend \"evil.example/docker/dockerfile:1\" is not allowed: it would run in place of the builder's own [frontend] | remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil.example/docker/dockerfile:1` if you trust it",
        ],
    ),
    (
        "# escape=x\nFROM debian\n",
        &["d:1:1: \"x\" is not an escape character [directive] | use a backslash or a backtick"],
    ),
    (
        "# escape=`\n# escape=`\nFROM debian\n",
        &["d:2:1: a second `# escape=` [directive] | leave one of them: builders refuse both"],
    ),
    (
        "FROM ${A}\nFROM Debian\nXYZ\nCOPY --from=$X a b\n",
        &[
            "d:1:6: FROM: A has no value [unknown-reference] | declare it before the first FROM with a default: `ARG A=…`",
            "d:2:6: \"Debian\" is not an image reference: a repository is lower case words with '/' between them [reference] | a reference has the form registry/path/name:tag, in lower case up to the tag",
            "d:3:1: \"XYZ\" is not an instruction [instruction] | a line begins with an instruction, or continues one",
            "d:4:13: COPY --from with a variable [variable] | docker does not expand variables here: define a stage with `FROM … AS name`, and name that",
        ],
    ),
];

/// A fragment, its references as `role text`, and its settings with their lines.
const FRAGMENTS: &[(&str, &str, &str)] = &[
    ("USER root\nRUN x", "", "USER 1"),
    (
        "WORKDIR /x\nENTRYPOINT [\"a\"]\ncmd b\nENV A=1 B=\"x y\" C=3\nENV OLD a b=c\n",
        "",
        "WORKDIR 1, ENTRYPOINT 2, CMD 3, ENV A 4, ENV B 4, ENV C 4, ENV OLD 5",
    ),
    ("COPY --from=sci/tools:1.0 /x /x\n", "copy sci/tools:1.0", ""),
    ("\u{feff}COPY --from=sci/tools:1.0 /x /x\n", "copy sci/tools:1.0", ""),
    ("RUN <<EOF\nFROM x\nUSER y\nEOF\n", "", ""),
    ("# escape\nRUN x \\\n  y\n", "", ""),
    ("", "", ""),
    ("# only a comment\n", "", ""),
];

/// A rejected fragment, as in [`REFUSED`].
const REFUSED_FRAGMENTS: &[(&str, &[&str])] = &[
    (
        "FROM debian\n",
        &[
            "d:1:1: a compat fragment has a FROM [fragment-from] | remove it: the fragment is put on top of a science image",
        ],
    ),
    (
        "RUN x \\\n",
        &[
            "d:1:7: the fragment ends in a continuation ('\\') [fragment-open] | remove it: the next fragment would become a part of this instruction",
        ],
    ),
    (
        "RUN x \\\n# c\n\n",
        &[
            "d:1:7: the fragment ends in a continuation ('\\') [fragment-open] | remove it: the next fragment would become a part of this instruction",
        ],
    ),
    (
        "RUN x \\",
        &[
            "d:1:7: the fragment ends in a continuation ('\\') [fragment-open] | remove it: the next fragment would become a part of this instruction",
        ],
    ),
    (
        "RUN <<EOF\nx\n",
        &[
            "d:1:5: the heredoc \"EOF\" has no end [heredoc-open] | end it with a line that holds \"EOF\" and nothing else",
        ],
    ),
    (
        "RUN cat << EOF\nx\n",
        &[
            "d:1:9: the heredoc \"EOF\" has no end [heredoc-open] | end it with a line that holds \"EOF\" and nothing else; if it is a shift and no heredoc, put it into quotes",
            "d:2:1: \"x\" is not an instruction [instruction] | a line begins with an instruction, or continues one",
        ],
    ),
    (
        "RUN echo $((1 << 2))\n",
        &[
            "d:1:15: the heredoc \"2))\" has no end [heredoc-open] | end it with a line that holds \"2))\" and nothing else; if it is a shift and no heredoc, put it into quotes",
        ],
    ),
    (
        "# escape=`\nRUN x\n",
        &[
            "d:1:1: a compat fragment has a parser directive (`escape`) [fragment-directive] | remove the line: fragments are joined into one Dockerfile, which has no directives",
        ],
    ),
    (
        "# syntax=docker/dockerfile:1\nRUN x\n",
        &[
            "d:1:1: a compat fragment has a parser directive (`syntax`) [fragment-directive] | remove the line: fragments are joined into one Dockerfile, which has no directives",
        ],
    ),
    (
        "# check=skip=all\nRUN x\n",
        &[
            "d:1:1: a compat fragment has a parser directive (`check`) [fragment-directive] | remove the line: fragments are joined into one Dockerfile, which has no directives",
        ],
    ),
    (
        "//syntax=a\nRUN x\n",
        &[
            "d:1:1: a compat fragment has a parser directive (`syntax`) [fragment-directive] | remove the line: fragments are joined into one Dockerfile, which has no directives",
            "d:1:1: \"//syntax=a\" is not an instruction [instruction] | a line begins with an instruction, or continues one",
        ],
    ),
    (
        "COPY --from=0 a b\n",
        &[
            "d:1:13: COPY --from=0: there is no stage 0 above this one [stage] | give the stage a name, and name it",
        ],
    ),
    (
        "ARG BUILDKIT_SYNTAX=x\n",
        &[
            "d:1:1: ARG BUILDKIT_SYNTAX with a value: it steers the builder itself [buildkit-argument] | remove it",
        ],
    ),
    (
        "onbuild from x\n",
        &["d:1:9: ONBUILD FROM is not allowed [onbuild] | use another instruction as a trigger"],
    ),
    (
        "RNU x\nFROM a\nRUN \\",
        &[
            "d:1:1: \"RNU\" is not an instruction [instruction] | did you mean RUN?",
            "d:2:1: a compat fragment has a FROM [fragment-from] | remove it: the fragment is put on top of a science image",
            "d:3:5: the fragment ends in a continuation ('\\') [fragment-open] | remove it: the next fragment would become a part of this instruction",
        ],
    ),
];

fn file(text: &str) -> SourceFile {
    SourceFile { path: "d".to_owned(), text: text.to_owned() }
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.to_string().replace("\n  help: ", " | ")).collect()
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_its_remedy() {
    let args = BTreeMap::from([("UNDECLARED".to_owned(), "x".to_owned())]);
    let mut wrong = Vec::new();
    for (text, expected) in REFUSED {
        let problems = dockerfile::parse(&file(text), &args, "linux/amd64", &["acme/frontend:3".to_owned()])
            .expect_err(text);
        let told = told(&problems);
        if told != *expected {
            wrong.push(format!("{text:?}\n  is: {told:#?}\n  not: {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fragments_are_read() {
    for (text, references, overrides) in FRAGMENTS {
        let fragment = dockerfile::fragment(&file(text), &BTreeMap::new())
            .unwrap_or_else(|problems| panic!("{text:?}: {problems:?}"));
        let found: Vec<String> = fragment
            .references
            .iter()
            .map(|reference| format!("{:?} {}", reference.role, reference.text).to_lowercase())
            .collect();
        assert_eq!(found.join(", "), *references, "{text:?}");
        let set: Vec<String> =
            fragment.overrides.iter().map(|(what, line)| format!("{what} {line}")).collect();
        assert_eq!(set.join(", "), *overrides, "{text:?}");
        assert_eq!(fragment.start, if text.starts_with('\u{feff}') { 3 } else { 0 });
    }
}

#[test]
fn fragments_that_would_break_their_neighbours_are_refused() {
    for (text, expected) in REFUSED_FRAGMENTS {
        let problems = dockerfile::fragment(&file(text), &BTreeMap::new()).expect_err(text);
        assert_eq!(told(&problems), *expected, "{text:?}");
    }
}

/// Hostile inputs are rejected quickly and with few problems.
#[test]
fn large_and_deep_texts_are_read_in_linear_time() {
    let none = BTreeMap::new();
    let parse = |text: &str| dockerfile::parse(&file(text), &none, "linux/amd64", &[]);
    let deep = |depth: usize| format!("FROM {}{}\n", "${A:-".repeat(depth), "}".repeat(depth));
    assert_eq!(parse(&deep(10_000)).expect_err("too deep").len(), 1);
    let codes: Vec<&str> =
        parse(&deep(100_000)).expect_err("too long").iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["long-line", "unknown-reference"]);
    assert!(parse(&"x\n".repeat(500_000)).expect_err("no instruction").len() <= 51);
    assert!(parse(&format!("FROM a\n{}", "RUN << x\n".repeat(100_000))).is_ok());
    assert!(parse(&format!("FROM a\n{}", "COPY --from=b:1 c d\n".repeat(50_000))).is_ok());
    assert!(parse(&format!("FROM a\nRUN {}\n", "\\\n".repeat(400_000))).is_ok());
    assert_eq!(parse(&"#".repeat((1 << 20) + 1)).expect_err("too large")[0].code, "too-large");
}
