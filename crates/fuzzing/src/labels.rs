//! Labels of an image: any labels give a provenance that lists each build once, or none.

use std::collections::{BTreeMap, BTreeSet};

use plan::provenance::{KnownBy, StepKind, Writer};
use plan::{Kind, Provenance};

/// Each line of the input is a label, `key=value`.
pub(crate) fn body(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let labels: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    for prefix in [None, Some("org.sciserver")] {
        let trail = Provenance::read(&labels, prefix);
        assert_eq!(trail, Provenance::read(&labels, prefix));
        if let Some(trail) = trail {
            check(&trail, &labels);
        }
    }
}

fn check(trail: &Provenance, labels: &BTreeMap<String, String>) {
    assert!(trail.top < trail.crumbs.len());
    let first = trail.steps.first().map(|step| (step.depth, &step.what));
    assert_eq!(first, Some((0, &StepKind::Build { crumb: trail.top, known: KnownBy::Top })));
    for (before, step) in trail.steps.iter().zip(&trail.steps[1..]) {
        assert!(step.depth >= 1 && step.depth <= before.depth + 1, "{:?}", trail.steps);
    }
    let mut met = BTreeSet::new();
    for step in &trail.steps {
        if let StepKind::Build { crumb, .. } = &step.what {
            assert!(met.insert(*crumb), "{crumb} twice in {:?}", trail.steps);
        }
    }
    let foreign: BTreeSet<usize> = trail.foreign.iter().copied().collect();
    assert!(met.is_disjoint(&foreign) && met.len() + foreign.len() == trail.crumbs.len());
    for (at, crumb) in trail.crumbs.iter().enumerate() {
        let writer = if foreign.contains(&at) { Writer::Foreign(at) } else { Writer::Build(at) };
        let key = match crumb.kind {
            Kind::Science => plan::label::science(&trail.prefix, &crumb.name, plan::label::Field::Version),
            Kind::Compat => plan::label::compat(&trail.prefix, plan::label::Field::Version),
        };
        assert!(labels.contains_key(&key), "{key:?} out of nothing");
        assert_eq!(trail.writer(&key), writer, "{key:?}");
    }
    for key in labels.keys() {
        if let Writer::Build(at) | Writer::Foreign(at) = trail.writer(key) {
            assert!(at < trail.crumbs.len());
        }
    }
}
