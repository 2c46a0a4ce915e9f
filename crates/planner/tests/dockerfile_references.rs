//! Dockerfiles and the images that they reference: snippets with their references, and the text
//! with each replaced.

use std::collections::BTreeMap;

use plan::Role;
use planner::dockerfile::{self, Dockerfile};
use planner::tree::SourceFile;

/// A text, its references as `role text`, and the text with the n-th reference replaced by `<n>`.
const CASES: &[(&str, &str, &str)] = &[
    ("FROM debian:12", "base debian:12", "FROM <0>"),
    ("FROM debian:12\n", "base debian:12", "FROM <0>\n"),
    ("from debian:12 as x\nFrom x\n", "base debian:12", "from <0> as x\nFrom x\n"),
    ("FROM scratch\nCOPY a /\n", "base scratch", "FROM <0>\nCOPY a /\n"),
    (
        "FROM sci/a:1.0 AS one\nFROM sci/b:2.0\nCOPY --from=one /x /x\n",
        "stage sci/a:1.0, base sci/b:2.0",
        "FROM <0> AS one\nFROM <1>\nCOPY --from=one /x /x\n",
    ),
    (
        "FROM sci/a:1.0 AS One\nFROM debian:12 AS two\nFROM one\nCOPY --from=TWO /x /x\n",
        "base sci/a:1.0, stage debian:12",
        "FROM <0> AS One\nFROM <1> AS two\nFROM one\nCOPY --from=TWO /x /x\n",
    ),
    (
        "FROM sci/a:1.0 AS a\nFROM a AS b\nFROM debian:12 AS c\nFROM b\n",
        "base sci/a:1.0, stage debian:12",
        "FROM <0> AS a\nFROM a AS b\nFROM <1> AS c\nFROM b\n",
    ),
    // A trigger of a stage runs in builds based on the stage, and its names are resolved there.
    (
        "FROM debian:12 AS one\nONBUILD COPY --from=sci/a:1 /x /x\nFROM scratch AS two\nFROM one\n",
        "base debian:12, copy sci/a:1, stage scratch",
        "FROM <0> AS one\nONBUILD COPY --from=<1> /x /x\nFROM <2> AS two\nFROM one\n",
    ),
    (
        "FROM debian:12 AS one\nONBUILD COPY --from=two /x /x\nFROM scratch AS two\nFROM one\nFROM one\n",
        "base debian:12, stage scratch",
        "FROM <0> AS one\nONBUILD COPY --from=two /x /x\nFROM <1> AS two\nFROM one\nFROM one\n",
    ),
    // A variable without a value is empty.
    ("ARG VARIANT\nFROM busybox:stable${VARIANT}\n", "base busybox:stable", "ARG VARIANT\nFROM <0>\n"),
    (
        "ARG VARIANT\nARG TAG=stable${VARIANT}\nFROM busybox:$TAG\n",
        "base busybox:stable",
        "ARG VARIANT\nARG TAG=stable${VARIANT}\nFROM <0>\n",
    ),
    ("ARG V\nFROM debian:12${V:+-}${V}\n", "base debian:12", "ARG V\nFROM <0>\n"),
    // Patterns.
    (
        "ARG image=docker.io/library/busybox:stable\nFROM ${image#docker.io/library/} AS x\nFROM ${image%%:*}:1\n",
        "stage busybox:stable, base docker.io/library/busybox:1",
        "ARG image=docker.io/library/busybox:stable\nFROM <0> AS x\nFROM <1>\n",
    ),
    (
        "ARG A=a.b.c\nFROM x:${A##*.}\nFROM x:${A%.*}\nFROM x:${A/./-}\nFROM x:${A//./-}\nFROM x:${A/\\//-}\n",
        "stage x:c, stage x:a.b, stage x:a-b.c, stage x:a-b-c, base x:a.b.c",
        "ARG A=a.b.c\nFROM <0>\nFROM <1>\nFROM <2>\nFROM <3>\nFROM <4>\n",
    ),
    ("FROM b:1\nFROM debian AS b\n", "stage b:1, base debian", "FROM <0>\nFROM <1> AS b\n"),
    (
        "FROM builder\nFROM debian AS builder\nRUN x\n",
        "stage builder, base debian",
        "FROM <0>\nFROM <1> AS builder\nRUN x\n",
    ),
    ("FROM a AS x\nFROM b AS x\nFROM x\n", "stage a, base b", "FROM <0> AS x\nFROM <1> AS x\nFROM x\n"),
    (
        "FROM debian:12 AS a\nFROM debian:13\nCOPY --from=0 /x /x\n",
        "stage debian:12, base debian:13",
        "FROM <0> AS a\nFROM <1>\nCOPY --from=0 /x /x\n",
    ),
    (
        "FROM debian:12\nCOPY --from=sci/tools:1.0 /x /x\n",
        "base debian:12, copy sci/tools:1.0",
        "FROM <0>\nCOPY --from=<1> /x /x\n",
    ),
    (
        "FROM debian:12\ncopy --chown=1:1 --from=sci/tools:1.0 --link /x /x\n",
        "base debian:12, copy sci/tools:1.0",
        "FROM <0>\ncopy --chown=1:1 --from=<1> --link /x /x\n",
    ),
    (
        "FROM debian:12\nCOPY --from=\"sci/tools:1.0\" /x /x\n",
        "base debian:12, copy sci/tools:1.0",
        "FROM <0>\nCOPY --from=\"<1>\" /x /x\n",
    ),
    (
        "FROM debian:12\nCOPY \"--from=sci/tools:1.0\" /x /x\n",
        "base debian:12",
        "FROM <0>\nCOPY \"--from=sci/tools:1.0\" /x /x\n",
    ),
    (
        "FROM debian:12\nCOPY --'from'=sci/tools:1.0 /x /x\n",
        "base debian:12, copy sci/tools:1.0",
        "FROM <0>\nCOPY --'from'=<1> /x /x\n",
    ),
    (
        "FROM debian:12\nCOPY --from=scratch / /x\n",
        "base debian:12, copy scratch",
        "FROM <0>\nCOPY --from=<1> / /x\n",
    ),
    (
        "FROM debian:12\nCOPY -- --from=sci/tools:1.0 /x\n",
        "base debian:12",
        "FROM <0>\nCOPY -- --from=sci/tools:1.0 /x\n",
    ),
    (
        "FROM debian:12\nCOPY a --from=sci/tools:1.0 /x\n",
        "base debian:12",
        "FROM <0>\nCOPY a --from=sci/tools:1.0 /x\n",
    ),
    (
        "FROM debian:12\nADD --from=sci/tools:1.0 a /x\n",
        "base debian:12",
        "FROM <0>\nADD --from=sci/tools:1.0 a /x\n",
    ),
    (
        "FROM debian:12\nRUN --mount=type=bind,from=sci/tools:1.0,target=/t true\n",
        "base debian:12, mount sci/tools:1.0",
        "FROM <0>\nRUN --mount=type=bind,from=<1>,target=/t true\n",
    ),
    (
        "FROM debian:12\nRUN --mount=from=sci/a:1,target=/a --mount=type=cache,target=/c --mount=type=bind,target=/b,from=sci/b:2 make --from=no\n",
        "base debian:12, mount sci/a:1, mount sci/b:2",
        "FROM <0>\nRUN --mount=from=<1>,target=/a --mount=type=cache,target=/c --mount=type=bind,target=/b,from=<2> make --from=no\n",
    ),
    (
        "FROM debian:12\nRUN --network=none --mount=type=bind,FROM=sci/a:1,target=/a true\n",
        "base debian:12, mount sci/a:1",
        "FROM <0>\nRUN --network=none --mount=type=bind,FROM=<1>,target=/a true\n",
    ),
    (
        "FROM debian:12\nRUN --mount=\"type=bind,from=sci/a:1,target=/a b\" true\n",
        "base debian:12, mount sci/a:1",
        "FROM <0>\nRUN --mount=\"type=bind,from=<1>,target=/a b\" true\n",
    ),
    (
        "FROM debian:12 AS s\nFROM debian:13\nRUN --mount=type=bind,from=s,target=/s true\n",
        "stage debian:12, base debian:13",
        "FROM <0> AS s\nFROM <1>\nRUN --mount=type=bind,from=s,target=/s true\n",
    ),
    (
        "FROM debian:12\nRUN --mount=type=secret,id=x cat\n",
        "base debian:12",
        "FROM <0>\nRUN --mount=type=secret,id=x cat\n",
    ),
    (
        "FROM debian:12\nRUN echo --mount=from=sci/a:1\n",
        "base debian:12",
        "FROM <0>\nRUN echo --mount=from=sci/a:1\n",
    ),
    (
        "FROM debian:12\nONBUILD COPY --from=sci/a:1 /x /x\n",
        "base debian:12",
        "FROM <0>\nONBUILD COPY --from=sci/a:1 /x /x\n",
    ),
    (
        "FROM debian:12\nonbuild run --mount=from=sci/a:1,target=/x x\n",
        "base debian:12",
        "FROM <0>\nonbuild run --mount=from=sci/a:1,target=/x x\n",
    ),
    ("ARG V=12\nFROM debian:$V\n", "base debian:12", "ARG V=12\nFROM <0>\n"),
    ("ARG V=12\nARG B=debian:${V}\nFROM ${B}\n", "base debian:12", "ARG V=12\nARG B=debian:${V}\nFROM <0>\n"),
    ("ARG BASE=debian:12\nFROM $BASE\n", "base sci/given:1.0", "ARG BASE=debian:12\nFROM <0>\n"),
    ("ARG BASE\nFROM ${BASE}\n", "base sci/given:1.0", "ARG BASE\nFROM <0>\n"),
    ("ARG A=debian B=12\nFROM ${A}:${B}\n", "base debian:12", "ARG A=debian B=12\nFROM <0>\n"),
    ("ARG A=\"debian:12\"\nFROM \"$A\"\n", "base debian:12", "ARG A=\"debian:12\"\nFROM <0>\n"),
    ("FROM debian:${V:-12}\n", "base debian:12", "FROM <0>\n"),
    ("FROM debian:${V-12}\n", "base debian:12", "FROM <0>\n"),
    ("ARG V=\nFROM debian:${V:-12}\n", "base debian:12", "ARG V=\nFROM <0>\n"),
    ("ARG V=\nFROM debian${V-:12}\n", "base debian", "ARG V=\nFROM <0>\n"),
    ("ARG SLIM=1\nFROM debian:12${SLIM:+-slim}\n", "base debian:12-slim", "ARG SLIM=1\nFROM <0>\n"),
    ("FROM debian:12${SLIM:+-slim}\n", "base debian:12", "FROM <0>\n"),
    ("FROM ${A:-${B:-debian}}:12\n", "base debian:12", "FROM <0>\n"),
    ("ARG EMPTY\nFROM debian${EMPTY}:12\n", "base debian:12", "ARG EMPTY\nFROM <0>\n"),
    ("ARG X=debian\nFROM ${X}\\:12\n", "base debian:12", "ARG X=debian\nFROM <0>\n"),
    ("FROM --platform=$BUILDPLATFORM debian:12\n", "base debian:12", "FROM --platform=$BUILDPLATFORM <0>\n"),
    (
        "FROM --platform=linux/amd64 debian:12 AS x\n",
        "base debian:12",
        "FROM --platform=linux/amd64 <0> AS x\n",
    ),
    ("FROM acme/tool-${TARGETARCH}:1\n", "base acme/tool-arm64:1", "FROM <0>\n"),
    (
        "ARG TARGETARCH\nFROM acme/tool-${TARGETOS}-$TARGETARCH-$TARGETVARIANT:1\n",
        "base acme/tool-linux-arm64-v8:1",
        "ARG TARGETARCH\nFROM <0>\n",
    ),
    (
        "ARG TARGETPLATFORM\nFROM debian:12\nARG V=3\nFROM debian:13\n",
        "stage debian:12, base debian:13",
        "ARG TARGETPLATFORM\nFROM <0>\nARG V=3\nFROM <1>\n",
    ),
    ("FROM \\\n  debian:12\n", "base debian:12", "FROM \\\n  <0>\n"),
    (
        "FROM \\\n# a comment\n\n   # another\n  debian:12 \\\n  AS x\n",
        "base debian:12",
        "FROM \\\n# a comment\n\n   # another\n  <0> \\\n  AS x\n",
    ),
    ("FR\\\nOM deb\\\nian:12\n", "base debian:12", "FR\\\nOM <0>\n"),
    (
        "FROM debian:12\nRUN a && \\\n# FROM x\n  b\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN a && \\\n# FROM x\n  b\nCOPY --from=<1> a b\n",
    ),
    ("FROM debian:12\nRUN a \\  \n  FROM x\n", "base debian:12", "FROM <0>\nRUN a \\  \n  FROM x\n"),
    (
        "FROM debian:12\nRUN a\\\\\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN a\\\\\nCOPY --from=<1> a b\n",
    ),
    (
        "# escape=`\nFROM debian:12\nRUN a `\n  b\nCOPY --from=sci/x:1 c:\\ d\nRUN c:\\\nCOPY --from=sci/y:1 a b\n",
        "base debian:12, copy sci/x:1, copy sci/y:1",
        "# escape=`\nFROM <0>\nRUN a `\n  b\nCOPY --from=<1> c:\\ d\nRUN c:\\\nCOPY --from=<2> a b\n",
    ),
    ("#escape = `\nFROM `\n debian:12\n", "base debian:12", "#escape = `\nFROM `\n <0>\n"),
    (
        "# a comment\n# escape=`\nFROM debian:12\nRUN a \\\n  FROM x\n",
        "base debian:12",
        "# a comment\n# escape=`\nFROM <0>\nRUN a \\\n  FROM x\n",
    ),
    (
        "# unknown=1\n# escape=`\nFROM debian:12\nRUN a \\\n  FROM x\n",
        "base debian:12",
        "# unknown=1\n# escape=`\nFROM <0>\nRUN a \\\n  FROM x\n",
    ),
    (
        "FROM debian:12\nRUN <<EOF\nFROM x\nCOPY --from=sci/x:1 a b\nEOF\nCOPY --from=sci/y:1 a b\n",
        "base debian:12, copy sci/y:1",
        "FROM <0>\nRUN <<EOF\nFROM x\nCOPY --from=sci/x:1 a b\nEOF\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nRUN cat <<A >x && cat <<-'B'\nFROM a\nA\nFROM b\n\tB\nCOPY --from=sci/y:1 a b\n",
        "base debian:12, copy sci/y:1",
        "FROM <0>\nRUN cat <<A >x && cat <<-'B'\nFROM a\nA\nFROM b\n\tB\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nRUN sh -e <<\"END OF\" && \\\n  true\nFROM a\nEND OF\nUSER x\n",
        "base debian:12",
        "FROM <0>\nRUN sh -e <<\"END OF\" && \\\n  true\nFROM a\nEND OF\nUSER x\n",
    ),
    (
        "FROM debian:12\nCOPY <<EOF <<EOT /dest/\nCOPY --from=sci/x:1 a b\nEOF\n# x\nEOT\nRUN 3<<X true\nFROM y\nX\n",
        "base debian:12",
        "FROM <0>\nCOPY <<EOF <<EOT /dest/\nCOPY --from=sci/x:1 a b\nEOF\n# x\nEOT\nRUN 3<<X true\nFROM y\nX\n",
    ),
    (
        "FROM debian:12\nCOPY --from=sci/x:1 <<EOF /y\nFROM no\nEOF\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nCOPY --from=<1> <<EOF /y\nFROM no\nEOF\n",
    ),
    (
        "FROM debian:12\nRUN << EOF\nFROM no\nEOF\nUSER a\n",
        "base debian:12",
        "FROM <0>\nRUN << EOF\nFROM no\nEOF\nUSER a\n",
    ),
    (
        "FROM debian:12\nRUN echo $((1 << 2))\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN echo $((1 << 2))\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nRUN echo '<<EOF'\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN echo '<<EOF'\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nRUN cat <<<EOF\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN cat <<<EOF\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nRUN [\"cat\", \"<<EOF\"]\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN [\"cat\", \"<<EOF\"]\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nENV X=<<EOF\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nENV X=<<EOF\nCOPY --from=<1> a b\n",
    ),
    (
        "FROM debian:12\nLABEL x=\"\\\nFROM y\\\nCOPY --from=sci/x:1\"\n",
        "base debian:12",
        "FROM <0>\nLABEL x=\"\\\nFROM y\\\nCOPY --from=sci/x:1\"\n",
    ),
    (
        "FROM debian:12\nONBUILD RUN <<EOF\nFROM x\nEOF\nUSER x\n",
        "base debian:12",
        "FROM <0>\nONBUILD RUN <<EOF\nFROM x\nEOF\nUSER x\n",
    ),
    (
        "FROM debian:12\r\nCOPY --from=sci/x:1 \\\r\n a b\r\nRUN <<EOF\r\nFROM x\r\nEOF\r\nFROM sci/y:1\r\n",
        "stage debian:12, copy sci/x:1, base sci/y:1",
        "FROM <0>\r\nCOPY --from=<1> \\\r\n a b\r\nRUN <<EOF\r\nFROM x\r\nEOF\r\nFROM <2>\r\n",
    ),
    (
        "\u{feff}FROM debian:12\nCOPY --from=sci/x:1 a b\n",
        "base debian:12, copy sci/x:1",
        "\u{feff}FROM <0>\nCOPY --from=<1> a b\n",
    ),
    ("\u{feff}# escape=`\nFROM `\ndebian:12", "base debian:12", "\u{feff}# escape=`\nFROM `\n<0>"),
    ("\n\n  \t# x\n   FROM\tdebian:12\tAS\tx\n", "base debian:12", "\n\n  \t# x\n   FROM\t<0>\tAS\tx\n"),
    (
        "FROM localhost:5000/sci/a:1.0@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        "base localhost:5000/sci/a:1.0@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "FROM <0>\n",
    ),
    (
        "FROM debian:12\nRUN echo é && \\\n  true\nCOPY --from=sci/x:1 é /\n",
        "base debian:12, copy sci/x:1",
        "FROM <0>\nRUN echo é && \\\n  true\nCOPY --from=<1> é /\n",
    ),
    (
        "# syntax=docker/dockerfile:1\nFROM debian:12\n",
        "base debian:12",
        "# syntax=docker/dockerfile:1\nFROM <0>\n",
    ),
    (
        "# syntax=docker.io/docker/dockerfile:1.7-labs\n# check=skip=all\n# escape=`\nFROM `\ndebian\n",
        "base debian",
        "# syntax=docker.io/docker/dockerfile:1.7-labs\n# check=skip=all\n# escape=`\nFROM `\n<0>\n",
    ),
    (
        "# syntax = docker/dockerfile:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nFROM debian:12\n",
        "base debian:12",
        "# syntax = docker/dockerfile:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nFROM <0>\n",
    ),
    ("# syntax=acme/frontend:3\nFROM debian:12\n", "base debian:12", "# syntax=acme/frontend:3\nFROM <0>\n"),
    (
        "# hello\n# syntax=evil/frontend\nFROM debian:12\n",
        "base debian:12",
        "# hello\n# syntax=evil/frontend\nFROM <0>\n",
    ),
    (
        "ARG BUILDKIT_SANDBOX_HOSTNAME\nFROM debian:12\n",
        "base debian:12",
        "ARG BUILDKIT_SANDBOX_HOSTNAME\nFROM <0>\n",
    ),
    ("FROM debian:12\nCOPY --from= a b\n", "base debian:12", "FROM <0>\nCOPY --from= a b\n"),
    ("FROM debian:12 AS last\nRUN \\\n", "base debian:12", "FROM <0> AS last\nRUN \\\n"),
];

fn read(text: &str) -> Dockerfile {
    let file = SourceFile { path: "science/a/Dockerfile".to_owned(), text: text.to_owned() };
    let args = [("BASE", "sci/given:1.0"), ("EMPTY", ""), ("UNDECLARED", "x")];
    let args: BTreeMap<String, String> = args.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    dockerfile::parse(&file, &args, "linux/arm64/v8", &["acme/frontend:3".to_owned()])
        .unwrap_or_else(|problems| panic!("{text:?}: {problems:?}"))
}

/// The text with each reference replaced.
fn rewrite(text: &str, read: &Dockerfile, replacement: impl Fn(usize) -> String) -> String {
    let replacements: Vec<_> =
        read.references.iter().enumerate().map(|(n, found)| (found.span, replacement(n))).collect();
    dockerfile::rewrite(text, &replacements)
}

#[test]
fn every_form_of_a_reference_is_found_and_replaced() {
    for (text, references, rewritten) in CASES {
        let read = read(text);
        let found: Vec<String> = read
            .references
            .iter()
            .map(|reference| format!("{:?} {}", reference.role, reference.text).to_lowercase())
            .collect();
        assert_eq!(found.join(", "), *references, "{text:?}");
        assert_eq!(rewrite(text, &read, |n| format!("<{n}>")), *rewritten, "{text:?}");
    }
}

/// The result of a replacement is again a Dockerfile, with the same structure and the inserted
/// images.
#[test]
fn what_is_replaced_is_read_again() {
    for (text, ..) in CASES {
        let before = read(text);
        let replacement =
            |n: usize| format!("registry.example.org:5000/put/in-{n}:1@sha256:{}", "a".repeat(64));
        let after = read(&rewrite(text, &before, replacement));
        let roles: Vec<Role> = before.references.iter().map(|reference| reference.role).collect();
        assert_eq!(
            after.references.iter().map(|reference| reference.role).collect::<Vec<_>>(),
            roles,
            "{text:?}"
        );
        for (n, reference) in after.references.iter().enumerate() {
            assert_eq!(reference.text, replacement(n), "{text:?}");
        }
        let keywords = |read: &Dockerfile| -> Vec<String> {
            read.instructions.iter().map(|instruction| instruction.keyword.clone()).collect()
        };
        assert_eq!(keywords(&after), keywords(&before), "{text:?}");
    }
}

#[test]
fn references_tell_the_line_that_they_begin_in() {
    let text = "\u{feff}# c\r\nFROM \\\r\n# c\r\n a:1\r\nRUN <<E\r\nx\r\nE\r\nRUN --mount=target=/x,\\\r\nfrom=b:1 y\r\n";
    let lines: Vec<u32> = read(text).references.iter().map(|reference| reference.line).collect();
    assert_eq!(lines, [4, 9]);
    assert_eq!(read("\\\nFROM a:1\n").references[0].line, 2);
}

#[test]
fn instructions_are_told_without_flags_and_heredocs() {
    let read = read("from a:1\nCOPY --chown=1 a \\\n  b\nRUN <<E\nUSER x\nE\nUSER y\n");
    let told: Vec<String> = read
        .instructions
        .iter()
        .map(|instruction| format!("{} {} {}", instruction.line, instruction.keyword, instruction.arguments))
        .collect();
    assert_eq!(told, ["1 FROM a:1", "2 COPY a   b", "4 RUN <<E", "7 USER y"]);
}
