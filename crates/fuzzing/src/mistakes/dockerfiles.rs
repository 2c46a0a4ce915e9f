//! Dockerfiles and fragments: invalid references, invalid forms of FROM, constructs that absorb the
//! lines after them, and frontends.

use super::{Mistake, STRANGE, inserted};
use crate::names::is_reference;

const SCIENCE: &str = "science/sky/Dockerfile";

/// The fragment in the middle of a stack, and the one on its top.
const FRAGMENTS: [&str; 2] = ["compat/common/Dockerfile", "compat/top/Dockerfile"];

const INSTRUCTIONS: [&str; 17] = [
    "ADD",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

pub(super) fn all() -> impl Iterator<Item = Mistake> {
    references().chain(forms()).chain(words()).chain(frontends()).chain(fragments())
}

/// References with a string that the distribution grammar does not allow, wherever a reference can
/// be.
fn references() -> impl Iterator<Item = Mistake> {
    const RIGHT: [&str; 7] = [
        "docker.io/library/debian:12",
        "sci/sky:1.0",
        "localhost:5000/x/y:1",
        "quay.io/a/b-c__d/e.f:v1",
        "[::1]:5000/x",
        "example.org/a@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "debian:12",
    ];
    // Syntax of the Dockerfile itself is tested elsewhere.
    let strange =
        STRANGE.iter().filter(|what| !what.contains(char::is_whitespace) && !what.contains(['\0', '<', '#']));
    const ASCII: [&str; 14] = ["@", ":", "/", "..", "@@", "::", "//", "-", ".", "_", "A", "=", ",", "]"];
    let texts = strange
        .chain(ASCII.iter())
        .flat_map(|what| RIGHT.iter().flat_map(move |right| inserted(right, what)));
    let wrong = texts.filter(|text| {
        // The grammar is applied to the text with docker's defaults, as it will be used.
        let full = [text.clone(), format!("docker.io/{text}"), format!("docker.io/library/{text}")];
        !full.iter().any(|full| is_reference(full))
    });
    wrong
        .enumerate()
        .map(|(number, text)| {
            let line = match number % 4 {
                0 | 1 => format!("FROM {text}\n"),
                2 => format!("FROM scratch\nCOPY --from={text} / /\n"),
                _ => format!("FROM scratch\nRUN --mount=type=bind,from={text},target=/x true\n"),
            };
            Mistake::with("reference", SCIENCE, line)
        })
        .filter(|mistake| {
            // A comma ends the field of a mount, and quotes are another mistake.
            let text = &mistake.files[SCIENCE];
            !(text.contains("--mount") && text.matches(',').count() > 2)
        })
}

fn forms() -> impl Iterator<Item = Mistake> {
    let whole = [
        "",
        "\n",
        "# FROM scratch\n",
        "RUN x\n",
        "ARG A\n",
        "FROM\n",
        "FROM \\\n",
        "FROM a b\n",
        "FROM a AS\n",
        "FROM a AS b c\n",
        "FROM a b c\n",
        "FROM a AS 1x\n",
        "FROM a AS x/y\n",
        "FROM a AS -x\n",
        "FROM a AS é\n",
        "FROM $A\n",
        "FROM ${A}\n",
        "FROM ${A\n",
        "FROM ${A:\n",
        "FROM ${A:-\n",
        "FROM ${A:-$B}\n",
        "FROM ${A-${B}}\n",
        "FROM ${A#x}\n",
        "FROM ${A%x}\n",
        "FROM ${A/x/y}\n",
        "FROM ${}\n",
        "FROM $\n",
        "FROM $1\n",
        "FROM ${A:?no}\n",
        "ARG A\nFROM $A\n",
        "ARG A=$B\nFROM $A\n",
        "ARG A=${B\nFROM $A\n",
        "ARG A=\"x\nFROM $A\n",
        "ARG A=\nFROM $A\n",
        "ARG A=A\nFROM $A\n",
        "ARG A=../x\nFROM $A\n",
        "FROM \"a\n",
        "FROM 'a\n",
        "FROM \"\"\n",
        "FROM --platform=x\n",
        "FROM scratch\nCOPY --from=1 / /\n",
        "FROM scratch\nCOPY --from=0 / /\n",
        "FROM scratch\nCOPY --from=-1 / /\n",
        "FROM scratch\nCOPY --from=$A / /\n",
        "FROM scratch\nCOPY --from=x / /\nFROM scratch AS x\n",
        "FROM scratch\nRUN --mount=from=0 x\n",
        "FROM scratch\nRUN --mount=from=$A x\n",
        "FROM scratch\nRUN <<E\n",
        "FROM scratch\nRUN <<-E\n  E\n",
        "FROM scratch\nCOPY <<A <<B /\nA\n",
        "FROM scratch\nONBUILD FROM x\n",
        "FROM scratch\nONBUILD ONBUILD RUN x\n",
        "FROM scratch\nONBUILD MAINTAINER x\n",
        "FROM scratch\nONBUILD COPY --from=A/B / /\n",
        "FROM scratch\nARG BUILDKIT_SYNTAX=x\n",
        "ARG BUILDKIT_SYNTAX=x\nFROM scratch\n",
        "FROM rel/sky:1.0\n",
        "FROM sci/sky:1.0\n",
        "FROM sci/\n",
        "FROM rel/\n",
        "FROM scratch\nRUN x\nFROM\n",
    ];
    let unknown = (0..120).map(|number| format!("FROM sci/nowhere-{number}:1.0\n"));
    let early = INSTRUCTIONS
        .iter()
        .filter(|word| !matches!(**word, "FROM"))
        .map(|word| format!("{word} x\nFROM scratch\n"));
    let digests = (0..64).map(|length| format!("FROM a@sha256:{}\n", "0".repeat(length)));
    let algorithms = ["md5", "sha1", "sha512", "SHA256", "", "x"];
    let algorithms = algorithms.into_iter().map(|name| format!("FROM a@{name}:{}\n", "0".repeat(64)));
    let long = [256, 300, 1_000, 100_000].into_iter().flat_map(|length| {
        [
            format!("FROM {}\n", "a".repeat(length)),
            format!("FROM a:{}\n", "b".repeat(length)),
            format!("FROM {}\n", "a/".repeat(length)),
        ]
    });
    let large = ["#", "\n", "RUN x\n"]
        .map(|what| format!("FROM scratch\n{}", what.repeat((1 << 20) / what.len() + 1)));
    let heredocs = (0..60).map(|number| format!("FROM scratch\nRUN <<E{number}\nE\nE{number} \n"));
    let digits = whole.map(str::to_owned).into_iter();
    digits
        .chain(unknown)
        .chain(early)
        .chain(digests)
        .chain(algorithms)
        .chain(long)
        .chain(large)
        .chain(heredocs)
        .map(|text| Mistake::with("dockerfile", SCIENCE, text))
}

/// Words that are not instructions: each known one with a letter lost or doubled, or followed by a
/// strange string.
fn words() -> impl Iterator<Item = Mistake> {
    let wrong = INSTRUCTIONS.iter().flat_map(|word| {
        let lost = (0..word.len()).map(move |at| format!("{}{}", &word[..at], &word[at + 1..]));
        let doubled = (0..word.len()).map(move |at| format!("{}{}", &word[..=at], &word[at..]));
        let strange = STRANGE.iter().filter(|what| !what.contains(char::is_whitespace));
        lost.chain(doubled).chain(strange.map(move |what| format!("{word}{what}")))
    });
    wrong
        .filter(|word| !INSTRUCTIONS.contains(&word.as_str()) && word != "ARG")
        .map(|word| Mistake::with("instruction", SCIENCE, format!("FROM scratch\n{word} x\n")))
}

/// Frontends in every form that BuildKit accepts, of images that are not allowed.
fn frontends() -> impl Iterator<Item = Mistake> {
    let images = [
        "evil",
        "evil:1",
        "evil/frontend",
        "docker/dockerfile:2",
        "docker/dockerfile-upstream:1",
        "docker.io/docker/dockerfile2:1",
        "example.org/docker/dockerfile:1",
        "localhost/docker/dockerfile:1",
        "docker/dockerfile@sha256:0",
    ];
    images.into_iter().flat_map(|image| {
        [
            format!("# syntax={image}\n"),
            format!("#syntax={image}\n"),
            format!("# syntax = {image}\n"),
            format!("#\tSYNTAX={image}\n"),
            format!("# Syntax={image}\r\n"),
            format!("\u{feff}# syntax={image}\n"),
            format!("# escape=`\n# syntax={image}\n"),
            format!("# check=skip=all\n#syntax={image}\n"),
            format!("// syntax={image}\n"),
            format!("//syntax={image}\n"),
            format!("#!/bin/sh\n# syntax={image}\n"),
        ]
        .map(|line| Mistake::with("frontend", SCIENCE, format!("{line}FROM scratch\n")))
    })
}

/// Fragments with a FROM, an unclosed construct or a directive, at the bottom and the top of a
/// stack.
fn fragments() -> impl Iterator<Item = Mistake> {
    let froms = ["FROM", "from", "From", "fRoM"].into_iter().flat_map(|word| {
        ["", "USER x\n", "\n\n# c\n", "RUN a \\\n b\n", "RUN <<E\nE\n"].into_iter().flat_map(move |before| {
            [" scratch", " a AS b", "\ta", " --platform=x y", " \\\n a", "", " a b c"]
                .map(|behind| format!("{before}{word}{behind}\n"))
        })
    });
    let open = ["RUN x", "ENV A=b", "CMD x", "COPY a b", "LABEL a=b", "RUN a && \\\n b"]
        .into_iter()
        .flat_map(|line| {
            ["\\", "\\\n", " \\", "\\ ", "\\\t \n", "\\\r\n", "\\\n\n", "\\\n# c\n", "\\\n# c", "\\\n  \n\n"]
                .map(|end| format!("{line} {end}"))
        });
    let heredocs =
        ["RUN", "COPY", "ADD", "run", "ONBUILD RUN", "ONBUILD COPY"].into_iter().flat_map(|word| {
            ["<<E", "<<-E", "<<\"E\"", "<<'E'", "<< E", "0<<E", "cat <<E", "<<A <<E", "<<E x", "<<-\"E F\""]
                .into_iter()
                .flat_map(move |start| {
                    ["", "\n", "\nx\n", "\n E\n", "\nE \n", "\nE;\n", "\ne\n", "\nA\n"]
                        .map(|body| format!("{word} {start}{body}"))
                })
        });
    let directives = ["escape=`", "syntax=x", "check=skip=all", "syntax=docker/dockerfile:1", "escape=\\"];
    let directives = directives.into_iter().flat_map(|directive| {
        let spaced = directive.replacen('=', " = ", 1);
        let upper = directive.to_uppercase();
        [
            format!("# {directive}\n"),
            format!("#{directive}\n"),
            format!("#  {spaced}\nUSER x\n"),
            format!("# {upper}\n"),
            format!("\u{feff}#{directive}\n"),
        ]
    });
    froms
        .chain(open)
        .chain(heredocs)
        .chain(directives)
        .flat_map(|text| FRAGMENTS.map(|path| Mistake::with("fragment", path, text.clone())))
}
