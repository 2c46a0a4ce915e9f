//! Dockerfiles of science layers: every reference is at its span, and replacing the names there
//! gives a Dockerfile with as many references.

use std::collections::BTreeMap;

use plan::{ImageName, Role};
use planner::dockerfile::{self, Dockerfile};
use planner::tree::SourceFile;

use crate::file;

/// The text is a Dockerfile; with a first line `args: A=B …`, those are build arguments.
pub(crate) fn body(data: &[u8]) {
    let whole = file("Dockerfile", data);
    let mut args = BTreeMap::new();
    let mut text = whole;
    if let Some(rest) = text.text.strip_prefix("args:") {
        let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
        args.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        text = SourceFile { path: text.path, text: rest.to_owned() };
    }
    match parse(&text, &args) {
        Err(problems) => crate::check_problems(&problems),
        Ok(read) => check(&text, &read, &args),
    }
}

fn parse(file: &SourceFile, args: &BTreeMap<String, String>) -> Result<Dockerfile, Vec<planner::Problem>> {
    dockerfile::parse(file, args, "linux/amd64", &[])
}

/// Asserts the invariants of a parsed Dockerfile.
fn check(file: &SourceFile, read: &Dockerfile, args: &BTreeMap<String, String>) {
    let text = &file.text;
    let mut end = 0;
    for reference in &read.references {
        let span = reference.span;
        assert!(end <= span.start && span.start < span.end, "spans in order: {span:?}");
        assert!(text.get(span.start..span.end).is_some(), "within the text, between characters: {span:?}");
        assert!(reference.text == "scratch" || ImageName::parse(&reference.text).is_ok(), "{reference:?}");
        let above = text[..span.start].matches('\n').count();
        assert_eq!(reference.line as usize, above + 1, "{reference:?}");
        end = span.end;
    }
    assert!(read.references.iter().filter(|reference| reference.role == Role::Base).count() <= 1);
    assert!(read.instructions.iter().any(|instruction| instruction.keyword == "FROM"));
    let digest = format!("[::1]:5000/a/b:2@sha256:{}", "0".repeat(64));
    for name in ["x.example.org/y:1", &digest] {
        let put_in: Vec<_> =
            read.references.iter().map(|reference| (reference.span, name.to_owned())).collect();
        let rewritten = dockerfile::rewrite(text, &put_in);
        let sent = executor::fuzzing::replace(text, &put_in);
        assert_eq!(sent.as_deref(), Ok(rewritten.as_str()), "the executor puts in what the planner would");
        let again = SourceFile { path: file.path.clone(), text: rewritten };
        let again = parse(&again, args).expect("other names make no other Dockerfile");
        assert_eq!(again.references.len(), read.references.len());
        let roles = |read: &Dockerfile| read.references.iter().map(|found| found.role).collect::<Vec<_>>();
        assert_eq!(roles(&again), roles(read));
        assert!(again.references.iter().all(|reference| reference.text == name), "{again:?}");
        let keywords =
            |read: &Dockerfile| read.instructions.iter().map(|at| at.keyword.clone()).collect::<Vec<_>>();
        assert_eq!(keywords(&again), keywords(read));
    }
}
