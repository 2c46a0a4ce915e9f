//! Properties of all parsers: no text makes them panic, and every reported position exists. Another
//! Dockerfile parser is used as an oracle.

use std::collections::BTreeMap;

use parse_dockerfile::Instruction as Witness;
use plan::Role;
use planner::dockerfile::{self, ImageReference};
use planner::tree::SourceFile;
use planner::{config, descriptor};
use proptest::prelude::*;

fn file(text: &str) -> SourceFile {
    SourceFile { path: "f".to_owned(), text: text.to_owned() }
}

fn parse(text: &str) -> Result<dockerfile::Dockerfile, Vec<planner::Problem>> {
    dockerfile::parse(&file(text), &BTreeMap::new(), "linux/amd64", &[])
}

/// Fragments of text that are relevant in Dockerfiles.
fn scrap() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "FROM ",
        "from\t",
        "RUN ",
        "COPY ",
        "ONBUILD ",
        "ARG ",
        "ENV ",
        "--from=",
        "--mount=",
        "from=",
        ",",
        "AS ",
        "a",
        "b:1",
        "sci/x:1.0",
        "scratch",
        "${A}",
        "$A",
        "${A:-b}",
        "${",
        "}",
        "A=",
        "=",
        "\"",
        "'",
        "\\",
        "`",
        "\\\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "#",
        "# escape=`\n",
        "# syntax=",
        "<<E",
        "<<-E",
        "<< E",
        "E\n",
        "\tE\n",
        "é",
        "\u{feff}",
        "0",
        "--",
        "[",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

/// Arbitrary texts, many of them nearly Dockerfiles.
fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![1 => scrap(), 4 => plain_line().prop_map(str::to_owned)];
    let lines = prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat());
    prop_oneof![1 => prop::collection::vec(scrap(), 0..40).prop_map(|scraps| scraps.concat()), 3 => lines]
}

/// As [`text`], without whole FROM lines.
fn fragment() -> impl Strategy<Value = String> {
    let behind = |line: &&str| !line.to_lowercase().starts_with("fr") && !line.contains("--from=0");
    let line = prop_oneof![
        1 => scrap(),
        4 => plain_line().prop_filter("behind a FROM", behind).prop_map(str::to_owned)
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

/// Lines without constructs that the second parser does not support: quoted flags, and heredocs
/// that are not first.
fn plain_line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "FROM debian:12\n",
        "from debian:12 as one\n",
        "FROM --platform=linux/amd64 sci/a:1.0 AS two\n",
        "FROM \\\n# c\n\n  sci/b:1.0 \\\n  AS three\n",
        "FR\\\nOM sci/c:1.0\n",
        "COPY --from=sci/d:1.0 a b\n",
        "copy --link --from=one a b\r\n",
        "COPY a \\\n  --from=sci/no:1 b\n",
        "COPY --from=0 \\\n a b\n",
        "RUN echo a && \\\n  FROM x && \\\n\n  # FROM z\n  COPY --from=y b c\n",
        "RUN <<EOF\nFROM x\nCOPY --from=y a b\nEOF\n",
        "RUN <<-'E F'\nFROM x\n\tE F\n",
        "COPY <<EOF /x\nFROM y\nEOF\n",
        "# FROM x\n",
        "   \t\n",
        "ENV A=\"b\\\n  FROM c\"\n",
        "ONBUILD COPY --from=sci/e:1.0 a b\n",
        "LABEL a=b\n",
        "USER é\n",
    ])
}

proptest! {
    #[test]
    fn any_dockerfile_is_read_and_what_is_found_is_there(text in text()) {
        for start in ["", "FROM a:1\n"] {
            let text = format!("{start}{text}");
            match parse(&text) {
                Ok(read) => {
                    let mut end = 0;
                    for reference in &read.references {
                        prop_assert!(end <= reference.span.start && reference.span.start < reference.span.end);
                        prop_assert!(text.get(reference.span.start..reference.span.end).is_some());
                        end = reference.span.end;
                        let above = text[..reference.span.start].matches('\n').count();
                        prop_assert_eq!(reference.line as usize, above + 1);
                    }
                    prop_assert!(read.references.iter().filter(|reference| reference.role == Role::Base).count() == 1);
                    let put_in: Vec<_> =
                        read.references.iter().map(|reference| (reference.span, "x.org/y:1".to_owned())).collect();
                    let again = parse(&dockerfile::rewrite(&text, &put_in));
                    prop_assert_eq!(again.map(|again| again.references.len()), Ok(read.references.len()));
                }
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    for problem in problems {
                        prop_assert!(problem.line.is_some() && problem.help.is_some(), "{:?}", problem);
                    }
                }
            }
        }
    }

    /// Valid fragments can be joined: each has the same meaning as alone.
    #[test]
    fn fragments_do_not_change_each_other(first in fragment(), second in fragment()) {
        let read = |text: &str| dockerfile::fragment(&file(text), &BTreeMap::new());
        if let (Ok(one), Ok(two)) = (read(&first), read(&second)) {
            let joined = format!("FROM a:1\n{}\n{}", &first[one.start..], &second[two.start..]);
            let whole = parse(&joined);
            prop_assert!(whole.is_ok(), "{:?}: {:?}", joined, whole);
            let whole = whole.expect("just asserted");
            let images = |references: &[dockerfile::ImageReference]| -> Vec<String> {
                references.iter().map(|reference| reference.text.clone()).collect()
            };
            prop_assert_eq!(images(&whole.references)[1..].to_vec(), [images(&one.references), images(&two.references)].concat());
            prop_assert_eq!(whole.instructions.len(), 1 + one.instructions.len() + two.instructions.len());
        }
    }

    #[test]
    fn an_independent_reader_agrees(lines in prop::collection::vec(plain_line(), 0..12), bom in any::<bool>()) {
        let text = format!("{}FROM debian:11\n{}", if bom { "\u{feff}" } else { "" }, lines.concat());
        let Ok(read) = parse(&text) else { return Ok(()) };
        let mut stages = Vec::new();
        let mut witnessed = Vec::new();
        for instruction in parse_dockerfile::parse_iter(&text).expect("no directive") {
            match instruction.expect("plain lines are Dockerfile lines") {
                Witness::From(from) => {
                    witnessed.push(from.image.value.to_string());
                    stages.extend(from.as_.map(|(_, name)| name.value.to_string()));
                }
                Witness::Copy(copy) => {
                    let froms = copy.options.iter().filter(|flag| flag.name.value == "from");
                    let froms = froms.filter_map(|flag| flag.value.as_ref()).map(|value| value.value.to_string());
                    witnessed.extend(froms.filter(|from| from != "0" && !stages.contains(from)));
                }
                _ => {}
            }
        }
        // The names of a trigger are resolved where it runs.
        let is_trigger = |reference: &ImageReference| {
            let line = text.lines().nth(reference.line as usize - 1).unwrap_or_default();
            line.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase().starts_with("onbuild")
        };
        let found = read.references.into_iter().filter(|reference| !is_trigger(reference));
        let found: Vec<String> = found.map(|reference| reference.text).collect();
        prop_assert_eq!(found, witnessed);
    }

    #[test]
    fn any_descriptor_is_read(text in "[{}\\[\\]\",:#/*\\\\ \n0-9eE.x-]{0,60}|\\PC{0,40}", field in "[a-z]{0,8}") {
        for text in [text.clone(), format!("{{\"image\": \"a\", \"{field}\": {text}}}")] {
            let (science, problems, _) = descriptor::science(&file(&text), "dir");
            prop_assert!(science.is_some() || !problems.is_empty());
            for problem in problems.iter().chain(&descriptor::compat(&file(&text)).1) {
                prop_assert!(problem.line.is_some() && problem.help.is_some());
            }
        }
    }

    #[test]
    fn any_configuration_is_read(text in "([a-z_]{1,8}( = )?[\"'\\[\\]{}=,.#0-9a-z:/\n-]{0,20}\n){0,5}|\\PC{0,40}") {
        for problem in config::parse(Some(&file(&text))).1 {
            prop_assert!(problem.line.is_some() && problem.help.is_some());
        }
    }
}
