//! The joiner of compat fragments: in the Dockerfile of a stack, every fragment has the same
//! instructions as alone, and none absorbs the instructions after it.

use std::collections::BTreeMap;

use plan::Kind;
use planner::dockerfile::{self, Fragment, Instruction};
use planner::tree::Mode;
use planner::{Request, fixture};

use crate::file;

/// The separator of fragments in one input.
const BETWEEN: &str = "\n//- next\n";

/// Maximum number of fragments that are parsed.
const MOST: usize = 4;

/// The text is up to four fragments; each is parsed separately, then the valid ones are planned as
/// one stack.
pub(crate) fn body(data: &[u8]) {
    let whole = file("Dockerfile", data).text;
    let mut fragments: Vec<(String, Fragment)> = Vec::new();
    for text in whole.split(BETWEEN).take(MOST) {
        match dockerfile::fragment(&file("Dockerfile", text.as_bytes()), &BTreeMap::new()) {
            Ok(fragment) => fragments.push((text.to_owned(), fragment)),
            Err(problems) => crate::check_problems(&problems),
        }
    }
    if fragments.is_empty() {
        return;
    }
    let planned = match planner::plan(&fixture_of(&fragments), &Request::default()) {
        Ok(planned) => planned,
        // Each fragment is valid alone, but its references are not in this tree.
        Err(problems) => return crate::check_problems(&problems),
    };
    let compat =
        planned.plan.builds.iter().find(|build| build.kind == Kind::Compat).expect("it has a compat");
    let joined = file("Dockerfile", compat.dockerfile.as_bytes());
    let read = dockerfile::parse(&joined, &BTreeMap::new(), "linux/amd64", &[]);
    let read =
        read.unwrap_or_else(|problems| panic!("the joined text is refused: {problems:?}\n{}", joined.text));
    let shown = |all: &[Instruction]| -> Vec<(String, String)> {
        all.iter().map(|one| (one.keyword.clone(), one.arguments.clone())).collect()
    };
    let all = shown(&read.instructions);
    let (first, rest) = all.split_first().expect("it begins with FROM");
    let (last, middle) = rest.split_last().expect("it ends with ENV");
    assert_eq!(first.0, "FROM");
    assert_eq!(
        compat.dockerfile.get(compat.references[0].span.start..compat.references[0].span.end),
        Some(first.1.as_str())
    );
    assert_eq!(
        (last.0.as_str(), last.1.starts_with("SCISERVER_IMAGE=product:")),
        ("ENV", true),
        "{}",
        joined.text
    );
    let alone: Vec<_> = fragments.iter().flat_map(|(_, fragment)| shown(&fragment.instructions)).collect();
    assert_eq!(middle, alone, "{}", joined.text);

    let count: usize = fragments.iter().map(|(_, fragment)| fragment.references.len()).sum();
    assert_eq!(compat.references.len(), count + 1, "{}", joined.text);
    for (ours, found) in compat.references.iter().zip(&read.references) {
        assert_eq!(ours.span, found.span, "{}", joined.text);
    }
}

/// One science layer with a stack of these fragments, the first at the bottom.
fn fixture_of(fragments: &[(String, Fragment)]) -> planner::tree::Inputs {
    let mut files = BTreeMap::new();
    let mut add = |path: String, text: String| files.insert(path, (Mode::File, text));
    let top = fragments.len() - 1;
    add("science/a/Dockerfile".to_owned(), "FROM docker.io/library/debian:12\n".to_owned());
    add(
        "science/a/sciserver-image.json".to_owned(),
        format!("{{\"image\": \"product\", \"compat\": \"c{top}\"}}"),
    );
    for (index, (text, _)) in fragments.iter().enumerate() {
        let below = index.checked_sub(1).map(|below| format!("\"c{below}\"")).unwrap_or_default();
        add(format!("compat/c{index}/Dockerfile"), text.clone());
        add(format!("compat/c{index}/sciserver-image.json"), format!("{{\"includes\": [{below}]}}"));
    }
    let now = fixture::of_files(&files);
    planner::tree::Inputs { now, ..fixture::first("") }
}
