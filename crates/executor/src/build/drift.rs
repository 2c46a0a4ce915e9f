//! Compares the packages of a new image with those of the image that its moving tag points to,
//! before the new image is published.
//!
//! Both images are read in place, see `image_reader`. A package change that a science layer
//! inherits from its parent layer is attributed to the parent. A layer is judged by the changes
//! that its own instructions and its external base image made.

use std::collections::{BTreeMap, BTreeSet};

use image_contents::{Contents, Move, Setting, Unread};
use parking_lot::Mutex;
use plan::label::{self, Field};
use plan::{Build, Family, ImageName, Kind, Plan, Reason, Role, Target, provenance};
use registry::Registry;

use crate::build::progress::ProgressEvent;
use crate::build::{BuildFailure, BuildUpdate};
use crate::engine::Engine;
use crate::image_reader::{Image, ImageSource, Reader};
use crate::preflight::Resolved;
use crate::run::error::RunError;
use crate::run::options::{Drift, Options};
use crate::run::result::Failure;

/// Maximum number of package changes in an error, and of unreadable records in a build's notice.
const NAMED: usize = 5;

/// Compares packages during a run.
pub(crate) struct DriftCheck<'a> {
    plan: &'a Plan,
    prepared: &'a Resolved,
    engine: &'a Engine,
    reader: Reader,
    options: &'a Options,
    moved: Mutex<BTreeMap<usize, Vec<Move>>>,
}

/// Package changes of one image.
struct PackageChanges {
    /// All changes since the image that the moving tag points to.
    all: Vec<Move>,
    /// The changes that were not inherited from its parent.
    own: Vec<Move>,
    /// Records in either image that could not be read.
    unread: BTreeSet<String>,
    /// A record beyond a limit; its author may have made it unreadable on purpose.
    beyond: Option<Unread>,
}

impl<'a> DriftCheck<'a> {
    pub(crate) fn new(
        options: &'a Options,
        plan: &'a Plan,
        prepared: &'a Resolved,
        engine: &'a Engine,
        registry: &Registry,
    ) -> Self {
        let platform = Some(plan.platform.clone());
        let reader = Reader::new(Some(engine.clone()), registry.clone(), platform, options.idle_timeout);
        Self { plan, prepared, engine, reader, options, moved: Mutex::default() }
    }

    /// Compares a new image before it gets its tags. Fails if drift is forbidden, and was found or
    /// cannot be ruled out.
    pub(crate) async fn check(
        &self,
        position: usize,
        image: &str,
        report: &mut (dyn FnMut(BuildUpdate) + Send),
    ) -> Result<(), BuildFailure> {
        if self.options.drift == Drift::Ignore {
            return Ok(());
        }
        let build = &self.plan.builds[position];
        let forbidden = self.options.drift == Drift::Forbid
            && build.kind == Kind::Science
            && !is_explained(&build.reasons);
        let cannot_compare = |message: &str| {
            let message = format!("cannot compare packages, required by --forbid-drift: {message}");
            Err(BuildFailure { failure: Failure::Environment, message })
        };
        let moved = match self.compare_in_time(build, image).await {
            Ok(Some(moved)) => moved,
            // Without a published image there is nothing to compare.
            Ok(None) => return Ok(()),
            Err(message) if forbidden => return cannot_compare(&message),
            Err(message) => {
                report(BuildUpdate::Notice(format!("{}: cannot compare packages: {message}", build.id)));
                return Ok(());
            }
        };
        if let (true, Some(Unread { path, why, .. })) = (forbidden, &moved.beyond) {
            return cannot_compare(&format!("/{path} is not read: {why}"));
        }
        for record in unread(&moved.unread) {
            report(BuildUpdate::Notice(format!("{}: cannot compare the packages of {record}", build.id)));
        }
        for one in &moved.all {
            report(BuildUpdate::Progress(ProgressEvent::Line(format!("moved: {}", words(one)))));
        }
        let verdict = match moved.own.is_empty() || !forbidden {
            true => Ok(()),
            false => Err(BuildFailure { failure: Failure::Drift, message: message(build, &moved.own) }),
        };
        if !moved.all.is_empty() {
            self.moved.lock().insert(position, moved.all);
        }
        verdict
    }

    /// Takes the package changes of a build, for its result.
    pub(crate) fn take(&self, position: usize) -> Vec<Move> {
        self.moved.lock().remove(&position).unwrap_or_default()
    }

    /// [`Self::compare`] with a time-out, since neither the registry's speed nor the size of the
    /// layers is known.
    async fn compare_in_time(&self, build: &Build, image: &str) -> Result<Option<PackageChanges>, String> {
        let bound = self.options.read_timeout;
        match tokio::time::timeout(bound, self.compare(build, image)).await {
            Ok(moved) => moved,
            Err(_) => Err(format!(
                "the published image {} could not be read in {} (--read-timeout)",
                build.moving_tag(),
                humantime::format_duration(bound)
            )),
        }
    }

    async fn compare(&self, build: &Build, image: &str) -> Result<Option<PackageChanges>, String> {
        let reported = |error: RunError| error.to_string();
        let Some(old) = self.reader.published(build.moving_tag()).await.map_err(reported)? else {
            return Ok(None);
        };
        let new = self.reader.find(image, ImageSource::Engine).await.map_err(reported)?;
        let compared = self.reader.compare(&old, &new).await.map_err(reported)?;
        let [before, after] = &compared.contents;
        let all = image_contents::moves(&before.packages, &after.packages);
        let records = || [before, after].into_iter().flat_map(|contents: &Contents| &contents.unread);
        let unread = records().map(|unread| unread.path.clone()).collect();
        let beyond = records().find(|unread| unread.is_beyond).cloned();
        let inherited = match all.is_empty() {
            true => BTreeSet::new(),
            false => self.inherited(build, &old, &new).await.map_err(reported)?.into_iter().collect(),
        };
        let own = all.iter().filter(|one| !inherited.contains(one)).cloned().collect();
        Ok(Some(PackageChanges { all, own, unread, beyond }))
    }

    /// Package changes between the earlier and the present version of the science layer that a
    /// build is based on. Empty if the earlier version is unknown or gone.
    async fn inherited(&self, build: &Build, old: &Image, new: &Image) -> Result<Vec<Move>, RunError> {
        let Some(base) = build.references.iter().find(|reference| reference.role == Role::Base) else {
            return Ok(Vec::new());
        };
        let key = match &base.target {
            Target::Build { id } => self
                .plan
                .builds
                .iter()
                .find(|parent| parent.id == *id)
                .map(|parent| (parent.target.clone(), parent.version.clone())),
            Target::Layer { reference, target } => {
                let version = ImageName::parse(reference).ok().and_then(|name| name.tag);
                version.map(|version| (target.clone(), version))
            }
            Target::Pinned { .. } | Target::External { .. } | Target::Scratch => None,
        };
        let Some((target, version)) = key else { return Ok(Vec::new()) };
        let Some(exact) = self.prepared.exact(self.plan, base, self.engine) else { return Ok(Vec::new()) };
        let standing =
            self.engine.inspect(&exact).await.map_err(|error| RunError::environment(error.message))?;
        let now = standing.map(|parent| parent.layers).unwrap_or_default();
        let before = match self.earlier_parent(build, old, &format!("{target}:{version}"), &target) {
            Some(name) => self.reader.published(&name).await?.map(|parent| parent.configuration.layers),
            None => None,
        };
        let before = before.unwrap_or_default();
        // A parent is identified by its layers, which are the lowest layers of its child.
        if before.is_empty()
            || !old.configuration.layers.starts_with(&before)
            || !new.configuration.layers.starts_with(&now)
        {
            return Ok(Vec::new());
        }
        if before == now {
            return Ok(Vec::new());
        }
        let [before, after] = self.reader.lowest([(old, before.len()), (new, now.len())]).await?;
        Ok(image_contents::moves(&before.packages, &after.packages))
    }

    /// The parent of a published image, by the build tag recorded in its label; build tags never
    /// change.
    fn earlier_parent(&self, build: &Build, old: &Image, key: &str, target: &str) -> Option<String> {
        let prefix = &self.plan.label_prefix;
        let label = match build.kind {
            Kind::Science => label::science(prefix, &build.target, Field::From),
            Kind::Compat => label::compat(prefix, Field::From),
        };
        let text = old.configuration.settings.get(&Setting::Label(label))?;
        let from: provenance::BuiltFrom = serde_json::from_str(text).ok()?;
        let tag = from.layers.get(key)?.as_ref()?;
        Some(format!("{}/{}", self.plan.repo, Family::Sci.repository(target).tagged(tag)))
    }
}

/// Whether the reasons explain package changes: the layer itself changed, or the base image that it
/// follows moved.
fn is_explained(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| {
        matches!(
            reason,
            Reason::NewLayer
                | Reason::FileChanged { .. }
                | Reason::DescriptorChanged { .. }
                | Reason::InputsChanged { .. }
                | Reason::BaseMoved { .. }
        )
    })
}

fn message(build: &Build, moves: &[Move]) -> String {
    let named: Vec<String> = moves.iter().take(NAMED).map(words).collect();
    let more = match moves.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more, see its log"),
    };
    let tag = build.moving_tag();
    format!(
        "packages changed since the image of {tag}, although the layer did not (--forbid-drift): {}{more}",
        named.join(", ")
    )
}

/// The first [`NAMED`] records, and the number of the others.
fn unread(records: &BTreeSet<String>) -> Vec<String> {
    let named = records.iter().take(NAMED).map(|record| format!("/{record}"));
    let more = records.len().saturating_sub(NAMED);
    named.chain((more > 0).then(|| format!("{more} more records"))).collect()
}

/// `python numpy 1.26.4 → 2.0.0`
fn words(one: &Move) -> String {
    let versions = |versions: &[String]| match versions {
        [] => "none".to_owned(),
        some => some.join(" and "),
    };
    let Move { ecosystem, name, from, to, .. } = one;
    format!("{ecosystem} {name} {} → {}", versions(from), versions(to))
}

#[cfg(test)]
mod tests {
    use image_contents::Ecosystem;

    use super::*;

    #[test]
    fn packages_may_move_where_the_layer_or_its_base_did() {
        let text = || "x".to_owned();
        let rebuilt = Reason::ParentRebuilt { via: plan::BuildId(text()) };
        let forced = Reason::Forced { flag: text() };
        for (reason, expect) in [
            (Reason::FileChanged { paths: vec![text()] }, true),
            (Reason::InputsChanged { published: None, paths: Vec::new(), fields: Vec::new() }, true),
            (Reason::BaseMoved { image: text(), from: text(), to: text() }, true),
            (Reason::ParentMoved { layer: text(), from: None, to: text() }, false),
            (rebuilt.clone(), false),
        ] {
            assert_eq!(is_explained(&[forced.clone(), reason.clone()]), expect, "{reason:?}");
        }
        assert!(!is_explained(&[forced, rebuilt]));
    }

    #[test]
    fn records_that_were_not_read_are_named_up_to_a_number() {
        let records = |count: usize| (0..count).map(|number| format!("r{number}")).collect();
        assert_eq!(unread(&records(2)), ["/r0", "/r1"]);
        assert_eq!(unread(&records(7)), ["/r0", "/r1", "/r2", "/r3", "/r4", "2 more records"]);
    }

    #[test]
    fn moves_read_as_words() {
        let one = |from: &[&str], to: &[&str]| Move {
            ecosystem: Ecosystem::Python,
            place: "opt/v".to_owned(),
            name: "numpy".to_owned(),
            from: from.iter().map(|version| (*version).to_owned()).collect(),
            to: to.iter().map(|version| (*version).to_owned()).collect(),
        };
        assert_eq!(words(&one(&["1"], &["2"])), "python numpy 1 → 2");
        assert_eq!(words(&one(&[], &["1", "2"])), "python numpy none → 1 and 2");
    }
}
