//! Whole source trees (invariants 5 and 6): any text as a tree gives a plan or problems, the same
//! ones each time, and the plan satisfies its invariants.

use std::collections::BTreeSet;

use plan::{ImageName, Plan, Target};
use planner::tree::Inputs;
use planner::{Planned, Request, Selection, fixture};

use crate::names;

/// The separator of the tree and the base that it is compared with.
const BASE: &str = "\n//- base\n";

/// The text is a tree in the form of `planner::fixture`, and may contain a second one.
pub(crate) fn body(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (now, base) = match text.split_once(BASE) {
        Some((now, base)) => (now, Some(base)),
        None => (text.as_ref(), None),
    };
    let compared = match base {
        Some(base) => fixture::inputs(now, base),
        None => fixture::first(now),
    };
    let mut shallow = fixture::first(now);
    shallow.revision.count = None;
    shallow.revision.shallow = true;
    check(&compared, &Request::default());
    check(&compared, &Request { selection: Selection::All, rebuild: Some(1), ..Request::default() });
    check(&shallow, &Request { repo: Some("127.0.0.1:5000/x".to_owned()), ..Request::default() });
    if let Err(problems) = planner::graph(&compared.now, &Request::default()) {
        crate::check_problems(&problems);
        assert!(planner::plan(&compared, &Request::default()).is_err(), "what has no graph has no plan");
    }
}

fn check(inputs: &Inputs, request: &Request) {
    let planned = planner::plan(inputs, request);
    match (&planned, planner::plan(inputs, request)) {
        (Ok(planned), Ok(again)) => {
            assert_eq!(planned.plan.to_json(), again.plan.to_json());
            check_planned(planned, inputs);
        }
        (Err(problems), Err(again)) => {
            assert_eq!(*problems, again);
            crate::check_problems(problems);
        }
        (planned, again) => panic!("once {:?}, once {:?}", planned.is_ok(), again.is_ok()),
    }
}

fn check_planned(planned: &Planned, inputs: &Inputs) {
    let plan = &planned.plan;
    let read = Plan::from_json(&plan.to_json()).expect("our own plans are read");
    assert_eq!(read.to_json(), plan.to_json());
    let mut tags = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for build in &plan.builds {
        for tag in build.tags.iter() {
            assert!(tags.insert(tag.as_str()), "{tag} twice");
            let shown_only = inputs.revision.count.is_none() && tag.contains('?');
            assert!(shown_only || names::is_reference(tag), "{tag}");
        }
        assert!(!build.reasons.is_empty(), "{} without a reason", build.id);
        assert!(build.needs.iter().all(|need| ids.contains(need)), "{} before what it needs", build.id);
        assert!(ids.insert(build.id.clone()), "{} twice", build.id);
        assert!(
            build.labels.keys().all(|key| !key.is_empty() && !key.contains(char::is_control)),
            "{}",
            build.id
        );
        let mut end = 0;
        for reference in &build.references {
            let span = reference.span;
            assert!(end <= span.start && build.dockerfile.get(span.start..span.end).is_some(), "{span:?}");
            end = span.end;
            match &reference.target {
                Target::Build { id } => assert!(build.needs.contains(id), "{}: {id}", build.id),
                Target::Layer { reference, .. }
                | Target::Pinned { reference }
                | Target::External { reference } => {
                    assert!(ImageName::parse(reference).is_ok(), "{}: {reference}", build.id);
                }
                Target::Scratch => {}
            }
        }
        let entries = &planned.contexts.get(&build.id).expect("each build has a context").entries;
        assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path), "{}", build.id);
    }
    assert_eq!(planned.contexts.len(), plan.builds.len());
}
