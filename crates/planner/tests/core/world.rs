//! A registry in memory, and builds that write the same labels as the executor: inherited ones and
//! new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use plan::label::{self, Field, oci};
use plan::{Build, BuildId, Kind, Plan, Role, Target};
use planner::published::{self, BuildTagShows, Image, Published};
use planner::tree::{Base, Inputs, Tree};
use planner::{Planned, Problem, Request};

pub(super) const PREFIX: &str = "org.sciserver";

/// The published images, and the earlier commits.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// Labels of images by moving tag.
    pub(super) images: BTreeMap<String, BTreeMap<String, String>>,
    /// Trees by commit id, with all digits.
    pub(super) commits: BTreeMap<String, Tree>,
    /// Digests of external tags, by full reference.
    pub(super) bases: BTreeMap<String, String>,
    /// The images at the build tags that images name, by moving tag, if they differ from that
    /// image.
    pub(super) build_tags: BTreeMap<String, BuildTagShows>,
    /// The hour of the last build.
    hours: u32,
}

/// Returns the digest of an image in this model, computed from its labels.
fn digest_of(labels: &BTreeMap<String, String>) -> String {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    format!("sha256:{:064x}", hasher.finish())
}

/// Returns the digest of an image's configuration, which is the image's id on an engine.
pub(super) fn config_of(labels: &BTreeMap<String, String>) -> String {
    digest_of(&BTreeMap::from([("config".to_owned(), digest_of(labels))]))
}

/// Returns the id of the n-th commit.
pub(super) fn digits(number: u64) -> String {
    format!("{number:07x}{}", "c".repeat(33))
}

impl World {
    /// Adds the tree to the history as the n-th commit.
    pub(super) fn commit(&mut self, number: u64, tree: &Tree) -> Inputs {
        self.commits.insert(digits(number), tree.clone());
        let mut revision = planner::fixture::revision();
        (revision.commit, revision.count) = (digits(number), Some(number));
        revision.short = revision.commit[..7].to_owned();
        Inputs { revision, now: tree.clone(), base: Base::Empty }
    }

    /// Plans as the command does: reads images, then commits. Checks for every world of the tests
    /// that the labels of products lead to the same plan as the science images' own labels.
    pub(super) fn plan(&self, inputs: &Inputs, request: &Request) -> Result<Planned, Vec<Problem>> {
        let planned = self.plan_by_images(inputs, request);
        match (&planned, self.plan_by_products(inputs, request)) {
            (Ok(one), Ok((other, _))) => {
                assert_eq!(one.plan, other.plan);
                assert_eq!(one.undecided, other.undecided);
            }
            (Err(one), Err(other)) => assert_eq!(*one, other),
            (one, other) => panic!("one plans, the other does not: {one:?} {other:?}"),
        }
        planned
    }

    fn plan_by_images(&self, inputs: &Inputs, request: &Request) -> Result<Planned, Vec<Problem>> {
        let images = self.shown(published::references(inputs, request)?.images);
        let commits = self.held(published::further(inputs, request, &images).commits);
        published::plan(inputs, request, &Published { images, commits })
    }

    /// As [`World::plan`], without reading labels of science images that a product has. Also
    /// returns the number of images that were not read.
    pub(super) fn plan_by_products(
        &self,
        inputs: &Inputs,
        request: &Request,
    ) -> Result<(Planned, usize), Vec<Problem>> {
        let references = published::references(inputs, request)?;
        let mut images = self.shown(references.images);
        for (product, science) in &references.finals {
            let (Some(Some(product)), Some(Some(shown))) = (images.get(product), images.get(science)) else {
                continue;
            };
            let below = published::below(product, science, PREFIX);
            let config = config_of(&shown.labels);
            if let Some(below) = below.filter(|below| below.is(&shown.digest) || below.is(&config)) {
                let digest = shown.digest.clone();
                images.insert(science.clone(), Some(below.shown_as(digest)));
            }
        }
        let further = published::further(inputs, request, &images);
        images.extend(self.shown(further.images));
        let further = published::further(inputs, request, &images);
        assert!(further.images.is_empty(), "they are asked for once");
        let taken = images.values().flatten().filter(|image| image.is_inherited).count();
        let commits = self.held(further.commits);
        Ok((published::plan(inputs, request, &Published { images, commits })?, taken))
    }

    /// Returns the images at moving tags.
    pub(super) fn shown(&self, references: BTreeSet<String>) -> BTreeMap<String, Option<Image>> {
        let show = |reference: String| {
            let image = self.images.get(&reference).map(|labels| Image {
                digest: digest_of(labels),
                labels: labels.clone(),
                is_inherited: false,
                build_tag: self.build_tags.get(&reference).cloned().unwrap_or(BuildTagShows::It),
            });
            (reference, image)
        };
        references.into_iter().map(show).collect()
    }

    /// Returns the trees of commits, by some of their digits.
    pub(super) fn held(&self, commits: BTreeSet<String>) -> BTreeMap<String, Option<Tree>> {
        let find = |digits: String| {
            let mut found = self.commits.iter().filter(|(commit, _)| commit.starts_with(&digits));
            let tree = found.next().map(|(_, tree)| tree.clone());
            (digits, tree)
        };
        commits.into_iter().map(find).collect()
    }

    /// Executes a plan. Builds in `failing` fail, and their dependents are skipped. Returns the
    /// missing builds.
    pub(super) fn build(&mut self, plan: &Plan, failing: &BTreeSet<BuildId>) -> BTreeSet<BuildId> {
        let mut missing = BTreeSet::new();
        for build in &plan.builds {
            if failing.contains(&build.id) || build.needs.iter().any(|need| missing.contains(need)) {
                missing.insert(build.id.clone());
                continue;
            }
            let labels = self.labels(plan, build);
            self.images.insert(build.moving_tag().to_owned(), labels);
        }
        missing
    }

    fn labels(&mut self, plan: &Plan, build: &Build) -> BTreeMap<String, String> {
        self.hours += 1;
        let shown = |target: &Target| match target {
            Target::Build { id } => {
                let parent = plan.build(id).expect("it is in the plan");
                Some((parent.target.clone(), parent.moving_tag().to_owned()))
            }
            Target::Layer { reference, target } => Some((target.clone(), reference.clone())),
            _ => None,
        };
        let mut labels = BTreeMap::new();
        let mut base_digest = String::new();
        let (mut from, mut ids, mut images) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for reference in &build.references {
            if let Target::External { reference } = &reference.target {
                let pinned = reference.split_once('@').map(|(_, digest)| digest.to_owned());
                images.insert(reference.clone(), pinned.or_else(|| self.bases.get(reference).cloned()));
            }
            let Some((target, moving)) = shown(&reference.target) else { continue };
            let parent = self.images.get(&moving).unwrap_or_else(|| panic!("{} needs {moving}", build.id));
            let tag = parent.get(&label::science(PREFIX, &target, Field::Version));
            let parent_digest = digest_of(parent);
            let version = moving.rsplit_once(':').expect("a tag").1;
            let layer = format!("{target}:{version}");
            from.insert(layer.clone(), tag.cloned());
            if reference.role == Role::Base {
                labels.clone_from(parent);
                // An image of the same run has an id, but no digest yet.
                match reference.target {
                    Target::Layer { .. } => base_digest = parent_digest,
                    _ => drop(ids.insert(layer, config_of(parent))),
                }
            }
        }
        let key = |field| match build.kind {
            Kind::Science => label::science(PREFIX, &build.target, field),
            Kind::Compat => label::compat(PREFIX, field),
        };
        labels.extend(build.labels.clone());
        labels.insert(oci::BASE_DIGEST.to_owned(), base_digest);
        labels.insert(key(Field::BuildTime), format!("{}.5", self.hours));
        let from = serde_json::json!({"layers": from, "images": images, "ids": ids});
        labels.insert(key(Field::From), from.to_string());
        labels
    }

    /// Removes the labels that the previous tool did not write from all images.
    pub(super) fn as_the_predecessor(&mut self) {
        for labels in self.images.values_mut() {
            labels.retain(|key, _| {
                key.starts_with(PREFIX) && (key.ends_with(".version") || key.ends_with(".buildtime"))
            });
        }
    }
}
