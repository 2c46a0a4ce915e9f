//! A story's source tree: its history, and the plan of each commit as the planner would make it.

use std::collections::{BTreeMap, BTreeSet};

use plan::label::{self, Field, oci};
use plan::{
    Build, BuildContext, BuildId, ComparedWith, Kind, Plan, Reference, Revision, Role, Span, Tags, Target,
};

use super::story::Story;
use crate::Relation;

/// Prefix of the keys of provenance labels.
pub(crate) const PREFIX: &str = "x";
const REPO: &str = "r.example/tree";

/// Layers and commits.
#[derive(Debug)]
pub(crate) struct Tree {
    /// For each layer, its parents.
    parents: Vec<Vec<usize>>,
    finals: Vec<bool>,
    /// For each commit, its parent.
    commits: Vec<Option<usize>>,
    /// For each commit, the layers that it changed.
    changed: Vec<BTreeSet<usize>>,
}

impl Tree {
    pub(crate) fn new(story: &Story) -> Self {
        let mut parents = Vec::new();
        for (index, layer) in story.layers.iter().enumerate() {
            let own: BTreeSet<usize> = match index {
                0 => BTreeSet::new(),
                _ => layer.parents.iter().map(|parent| parent.index(index)).collect(),
            };
            parents.push(own.into_iter().collect());
        }
        let (mut commits, mut changed) = (vec![None], vec![(0..parents.len()).collect()]);
        for commit in &story.commits {
            commits.push(Some(commit.parent.index(commits.len())));
            changed.push(commit.changed.iter().map(|layer| layer.index(parents.len())).collect());
        }
        let finals = story.layers.iter().map(|layer| layer.is_final).collect();
        Self { parents, finals, commits, changed }
    }

    pub(crate) fn commits(&self) -> usize {
        self.commits.len()
    }

    /// A commit and its ancestors, latest first.
    fn history(&self, commit: usize) -> Vec<usize> {
        std::iter::successors(Some(commit), |commit| self.commits[*commit]).collect()
    }

    /// Returns how the commit that a tag points to relates to ours.
    pub(crate) fn relation(&self, shown: usize, ours: usize) -> Relation {
        if shown == ours {
            Relation::Same
        } else if self.history(ours).contains(&shown) {
            Relation::Ancestor
        } else if self.history(shown).contains(&ours) {
            Relation::Descendant
        } else {
            Relation::Diverged
        }
    }

    /// Finds the commit with this hash or abbreviated hash, as the command does in git.
    pub(crate) fn commit(&self, digits: &str) -> Option<usize> {
        (0..self.commits.len()).find(|commit| full(*commit).starts_with(digits))
    }

    /// The plan of all layers at a commit.
    pub(crate) fn plan_all(&self, commit: usize) -> Plan {
        self.plan(commit, &(0..self.parents.len()).collect())
    }

    /// The plan of a commit compared with its parent: the changed layers and all descendants.
    pub(crate) fn plan_changed(&self, commit: usize) -> Plan {
        let mut planned = self.changed[commit].clone();
        for (layer, parents) in self.parents.iter().enumerate() {
            if parents.iter().any(|parent| planned.contains(parent)) {
                planned.insert(layer);
            }
        }
        self.plan(commit, &planned)
    }

    fn plan(&self, commit: usize, planned: &BTreeSet<usize>) -> Plan {
        let builds = planned.iter().flat_map(|layer| {
            let science = self.science(commit, *layer, planned);
            let compat = self.finals[*layer].then(|| self.compat(commit, *layer));
            [Some(science), compat].into_iter().flatten()
        });
        Plan {
            format_version: plan::FORMAT_VERSION.to_owned(),
            revision: Revision {
                commit: full(commit),
                count: Some(self.count(commit)),
                short: short(commit),
                dirty: None,
                shallow: false,
            },
            compared_with: ComparedWith::All,
            repo: REPO.to_owned(),
            platform: "linux/amd64".to_owned(),
            label_prefix: PREFIX.to_owned(),
            builds: builds.collect(),
            unbuilt: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn count(&self, commit: usize) -> u64 {
        self.history(commit).len() as u64
    }

    /// A value that changes with the commit that last changed a layer, like its inputs digest.
    fn inputs(&self, commit: usize, layer: usize) -> String {
        let last = self.history(commit).into_iter().find(|commit| self.changed[*commit].contains(&layer));
        format!("v1:sha256:{layer}-{}", last.unwrap_or(0))
    }

    fn science(&self, commit: usize, layer: usize, planned: &BTreeSet<usize>) -> Build {
        let target = format!("l{layer}");
        let reference = |(index, parent): (usize, &usize)| Reference {
            role: if index == 0 { Role::Base } else { Role::Copy },
            span: Span { start: index, end: index },
            target: if planned.contains(parent) {
                Target::Build { id: science_id(*parent) }
            } else {
                Target::Layer { reference: format!("{REPO}/sci/l{parent}:1.0"), target: format!("l{parent}") }
            },
        };
        let references: Vec<Reference> = self.parents[layer].iter().enumerate().map(reference).collect();
        let needs = self.parents[layer].iter().filter(|parent| planned.contains(parent));
        let tag = self.build_tag(commit);
        let inputs = self.inputs(commit, layer);
        let labels = [
            (label::science(PREFIX, &target, Field::Version), tag.clone()),
            (label::science(PREFIX, &target, Field::Inputs), inputs.clone()),
            (oci::REVISION.to_owned(), full(commit)),
        ];
        Build {
            id: science_id(layer),
            kind: Kind::Science,
            tags: tags(&format!("{REPO}/sci/{target}"), &tag),
            labels: labels.into(),
            needs: needs.map(|parent| science_id(*parent)).collect(),
            context: BuildContext { inputs, sources: Vec::new() },
            references,
            ..blank(target)
        }
    }

    fn compat(&self, commit: usize, layer: usize) -> Build {
        let target = format!("l{layer}");
        let tag = self.build_tag(commit);
        let inputs = format!("{}-compat", self.inputs(commit, layer));
        let labels = [
            (label::compat(PREFIX, Field::Version), format!("p{layer}:{tag}")),
            (label::compat(PREFIX, Field::Inputs), inputs.clone()),
            (oci::REVISION.to_owned(), full(commit)),
        ];
        let span = Span { start: 0, end: 0 };
        let below = Target::Build { id: science_id(layer) };
        Build {
            id: BuildId(format!("rel/p{layer}:1.0")),
            kind: Kind::Compat,
            tags: tags(&format!("{REPO}/rel/p{layer}"), &tag),
            labels: labels.into(),
            needs: vec![science_id(layer)],
            context: BuildContext { inputs, sources: Vec::new() },
            references: vec![Reference { role: Role::Base, span, target: below }],
            ..blank(target)
        }
    }

    fn build_tag(&self, commit: usize) -> String {
        format!("1.0-{}-{}", self.count(commit), short(commit))
    }
}

fn blank(target: String) -> Build {
    Build {
        id: BuildId(String::new()),
        kind: Kind::Science,
        layer: String::new(),
        image: target.clone(),
        version: "1.0".to_owned(),
        target,
        is_final: false,
        references: Vec::new(),
        needs: Vec::new(),
        reasons: Vec::new(),
        tags: Tags::default(),
        labels: BTreeMap::new(),
        args: BTreeMap::new(),
        context: BuildContext { inputs: String::new(), sources: Vec::new() },
        compat_stack: Vec::new(),
        shadowed: Vec::new(),
        secrets: Vec::new(),
        origins: Vec::new(),
        tests: Vec::new(),
        dockerfile: String::new(),
    }
}

fn science_id(layer: usize) -> BuildId {
    BuildId(format!("science/l{layer}"))
}

fn tags(repository: &str, build_tag: &str) -> Tags {
    Tags { build: format!("{repository}:{build_tag}"), moving: format!("{repository}:1.0") }
}

fn short(commit: usize) -> String {
    format!("c{commit:06x}")
}

fn full(commit: usize) -> String {
    format!("{}{:033}", short(commit), 0)
}
