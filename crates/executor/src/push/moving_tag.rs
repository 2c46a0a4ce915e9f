//! Points a moving tag to a verified build by writing its manifest again, and never to an older
//! build.
//!
//! Registries have no compare-and-swap, so runs on two machines can read the tag at the same
//! moment. An older run still cannot win, because every run pushes its build tag before it sets its
//! moving tag, and lists the build tags before and after its own change. If a newer build tag
//! exists before, the run stops. If one appears in between, its run may have set the moving tag and
//! been overwritten, so the tag is set again. The remaining gap is a run that dies between its
//! change and its second read; the next run corrects the tag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use parking_lot::Mutex;
use plan::label::{self, Field, oci};
use plan::{Build, BuildTag, ImageName, Kind, Plan};
use registry::{ErrorKind, Registry};

use crate::Relation;
use crate::build::labels::BuiltFrom;
use crate::engine::split_tag;
use crate::push::build_tag::PushFailure;
use crate::push::image_size::ImageSize;
use crate::run::result::Failure;
use crate::run::tag_order::{MoveDecision, Rank, decide_move, is_newer};

/// Gives up after losing the race for a moving tag this many times.
const ROUNDS: usize = 20;

/// The image that a moving tag points to.
#[derive(Debug, Clone)]
pub(crate) struct TagState {
    pub digest: String,
    /// The build tag recorded in the image's labels.
    pub tag: Option<BuildTag>,
    /// The commit that it was built from, possibly abbreviated.
    pub commit: Option<String>,
    /// Number of science builds it was made from that are of its own commit, if known.
    pub current_parents: Option<usize>,
}

impl TagState {
    /// The build tag, or the digest of an image without one.
    pub(crate) fn reported(self) -> String {
        self.tag.map_or(self.digest, |tag| tag.to_string())
    }
}

/// The product and repository of a moving tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MovingTagTarget<'a> {
    pub kind: Kind,
    /// The target of a science layer; ignored for a compat image.
    pub target: &'a str,
    /// The full reference of the build tag that the moving tag should point to.
    pub build_tag: &'a str,
    /// The full reference of the moving tag.
    pub moving: &'a str,
    /// Prefix of the keys of provenance labels.
    pub prefix: &'a str,
    /// `os/architecture[/variant]`.
    pub platform: &'a str,
}

impl<'a> MovingTagTarget<'a> {
    /// The moving tag of a planned build.
    pub(crate) fn of(plan: &'a Plan, build: &'a Build) -> Self {
        Self {
            kind: build.kind,
            target: &build.target,
            build_tag: build.build_tag(),
            moving: build.moving_tag(),
            prefix: &plan.label_prefix,
            platform: &plan.platform,
        }
    }

    fn name(&self) -> Result<ImageName, PushFailure> {
        ImageName::parse(self.moving).map_err(|error| PushFailure::new(Failure::Push, error.to_string()))
    }

    /// Reads the image that the moving tag points to now.
    pub(crate) async fn read(
        &self,
        registry: &Registry,
    ) -> Result<Option<(TagState, registry::Image)>, PushFailure> {
        let shown = registry.image(&self.name()?, self.platform).await?;
        Ok(shown.map(|image| {
            (read_shown(self.kind, self.target, self.prefix, image.digest.clone(), &image.labels), image)
        }))
    }

    /// Lists the build tags in its repository; empty if the registry does not list tags.
    pub(crate) async fn build_tags(&self, registry: &Registry) -> Result<BTreeSet<String>, PushFailure> {
        let tags = match registry.tags(&self.name()?).await {
            Ok(tags) => tags,
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(tags.into_iter().filter(|tag| BuildTag::parse(tag).is_some()).collect())
    }

    /// Points the moving tag to an image of its repository, by digest.
    pub(crate) async fn set(&self, registry: &Registry, digest: &str) -> Result<(), PushFailure> {
        let name = self.name()?;
        let from = ImageName { digest: Some(digest.to_owned()), ..name.clone() };
        registry.set_tag(&from, name.tag.as_deref().unwrap_or("latest")).await?;
        Ok(())
    }

    /// Resolves the digest that the moving tag points to now.
    pub(crate) async fn resolve(&self, registry: &Registry) -> Result<Option<String>, PushFailure> {
        Ok(registry.resolve(&self.name()?).await?)
    }

    /// Reads the image of one of its build tags.
    async fn read_build(
        &self,
        registry: &Registry,
        build_tag: &str,
    ) -> Result<Option<TagState>, PushFailure> {
        let name = ImageName { tag: Some(build_tag.to_owned()), ..self.name()? };
        let image = registry.image(&name, self.platform).await?;
        Ok(image.map(|image| read_shown(self.kind, self.target, self.prefix, image.digest, &image.labels)))
    }

    /// Resolves the digest of one of its build tags.
    pub(crate) async fn resolve_build(
        &self,
        registry: &Registry,
        build_tag: &str,
    ) -> Result<Option<String>, PushFailure> {
        let name = ImageName { tag: Some(build_tag.to_owned()), ..self.name()? };
        Ok(registry.resolve(&name).await?)
    }
}

/// A build that the moving tag should point to.
#[derive(Debug, Clone)]
struct WantedBuild {
    digest: String,
    tag: BuildTag,
    /// The build tag as text.
    name: String,
    current_parents: Option<usize>,
}

impl WantedBuild {
    fn rank(&self) -> Rank<'_> {
        Rank { tag: &self.tag, current_parents: self.current_parents }
    }
}

/// The update of one moving tag to one verified build, over all attempts.
pub(crate) struct MovingTag<'a> {
    pub subject: MovingTagTarget<'a>,
    /// The digest of the verified build.
    pub digest: &'a str,
    /// See [`TagState::current_parents`].
    pub current_parents: Option<usize>,
    pub history: &'a (dyn Fn(&str) -> Relation + Send + Sync),
    pub allow_older: bool,
    pub registry: &'a Registry,
    pub observed: Observed,
}

/// Results of registry reads that later attempts of the same push need.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// The build tags before our first change; set right before that change is attempted.
    pub before: Mutex<Option<BTreeSet<String>>>,
    /// The image that the tag pointed to at the first read.
    pub earlier: OnceLock<Option<ImageSize>>,
}

impl MovingTag<'_> {
    /// Makes one attempt. Reads the registry first, so that nothing is done twice and no newer
    /// build is replaced.
    pub(crate) async fn push(&self) -> Result<String, PushFailure> {
        let wanted = self.wanted()?;
        let shown = self.read().await?;
        let known = self.observed.before.lock().clone();
        let before = match (self.must_move(&wanted, shown.as_ref())?, known) {
            (false, None) => return Ok(wanted.digest),
            // An earlier attempt set the tag but did not get to its second read.
            (false, Some(before)) => before,
            (true, _) => {
                let before = self.build_tags().await?;
                self.nothing_newer(&before, &wanted, shown.as_ref()).await?;
                *self.observed.before.lock() = Some(before.clone());
                self.set(&wanted).await?;
                before
            }
        };
        self.settle(wanted, before).await?;
        Ok(self.digest.to_owned())
    }

    /// Checks what a push would do now, without doing it: whether it would set the tag, and what
    /// the tag points to.
    pub(crate) async fn judge(&self) -> Result<(bool, Option<TagState>), PushFailure> {
        let wanted = self.wanted()?;
        let shown = self.read().await?;
        let moves = self.must_move(&wanted, shown.as_ref())?;
        if moves {
            self.nothing_newer(&self.build_tags().await?, &wanted, shown.as_ref()).await?;
        }
        Ok((moves, shown))
    }

    fn wanted(&self) -> Result<WantedBuild, PushFailure> {
        let tag = own_tag(self.subject.build_tag)?;
        let name = split_tag(self.subject.build_tag).1.to_owned();
        Ok(WantedBuild { digest: self.digest.to_owned(), tag, name, current_parents: self.current_parents })
    }

    /// Reads the tag and the build tags again after a change, and corrects the tag, until nothing
    /// changes.
    async fn settle(&self, ours: WantedBuild, mut before: BTreeSet<String>) -> Result<(), PushFailure> {
        let moving = self.subject.moving;
        let mut wanted = ours.clone();
        for _ in 0..ROUNDS {
            let digest = self.subject.resolve(self.registry).await?;
            if digest.as_ref() != Some(&wanted.digest) {
                let Some(shown) = self.read().await? else {
                    let text = format!("the registry confirmed {moving} and does not have it");
                    return Err(PushFailure::new(Failure::Push, text));
                };
                if self.must_move(&wanted, Some(&shown))? {
                    // An older run interfered: it read before our change and wrote after it.
                    self.set(&wanted).await?;
                }
                continue;
            }
            let now = self.build_tags().await?;
            let came = now.difference(&before).filter_map(|text| Some((text, BuildTag::parse(text)?)));
            let Some((text, tag)) = self.newest(came, &wanted).await? else {
                return if wanted.digest == ours.digest { Ok(()) } else { Err(self.overtaken(&wanted)) };
            };
            // The newer run may have set the moving tag before us, and we may have overwritten it:
            // set it again.
            if let Some(TagState { digest, current_parents, .. }) =
                self.subject.read_build(self.registry, &text).await?
            {
                wanted = WantedBuild { digest, tag, name: text, current_parents };
                self.set(&wanted).await?;
            }
            before.extend(now);
        }
        let text = format!("{moving} is repeatedly set by other clients; gave up after {ROUNDS} attempts");
        Err(PushFailure::new(Failure::Conflict, text))
    }

    async fn set(&self, wanted: &WantedBuild) -> Result<(), PushFailure> {
        self.subject.set(self.registry, &wanted.digest).await
    }

    async fn read(&self) -> Result<Option<TagState>, PushFailure> {
        let shown = self.subject.read(self.registry).await?;
        self.observed.earlier.get_or_init(|| shown.as_ref().map(|(_, image)| ImageSize::stored(image)));
        Ok(shown.map(|(shown, _)| shown))
    }

    async fn build_tags(&self) -> Result<BTreeSet<String>, PushFailure> {
        self.subject.build_tags(self.registry).await
    }

    /// Fails if a newer build exists whose moving tag is not set yet: its run is about to set it.
    async fn nothing_newer(
        &self,
        tags: &BTreeSet<String>,
        ours: &WantedBuild,
        shown: Option<&TagState>,
    ) -> Result<(), PushFailure> {
        if self.allow_older {
            return Ok(());
        }
        let judged = shown.and_then(|shown| shown.tag.as_ref());
        // Builds of this commit that may be newer are read, unless their names decide already.
        let may_be = |tag: &BuildTag| {
            Some(tag) != judged && (tag.hash != ours.tag.hash || tag.rebuild > ours.tag.rebuild)
        };
        let others = tags.iter().filter_map(|text| Some((text, BuildTag::parse(text)?)));
        let others = others.filter(|(_, tag)| may_be(tag));
        let Some((newer, _)) = self.newest(others, ours).await? else { return Ok(()) };
        let moving = self.subject.moving;
        Err(PushFailure::new(
            Failure::Conflict,
            format!(
                "{moving} is not set: {newer} is in the registry, which is newer or may be, and its run may be setting it \
                 now; --allow-older sets it anyway"
            ),
        ))
    }

    /// The newest of the builds that are newer than `than`.
    async fn newest<'t>(
        &self,
        builds: impl Iterator<Item = (&'t String, BuildTag)>,
        than: &WantedBuild,
    ) -> Result<Option<(String, BuildTag)>, PushFailure> {
        let mut newest: Option<(String, BuildTag)> = None;
        for (text, tag) in builds {
            let rank = |tag: &BuildTag| (tag.count, tag.rebuild);
            let is_first = newest.as_ref().is_none_or(|(_, newest)| rank(newest) <= rank(&tag));
            if is_first && self.counts_as_newer(text, &tag, than).await? {
                newest = Some((text.clone(), tag));
            }
        }
        Ok(newest)
    }

    async fn counts_as_newer(
        &self,
        text: &str,
        tag: &BuildTag,
        than: &WantedBuild,
    ) -> Result<bool, PushFailure> {
        if tag.version == than.tag.version && tag.hash == than.tag.hash && *tag != than.tag {
            // The inputs of two builds of a commit decide before their names.
            let image = self.subject.read_build(self.registry, text).await?;
            return Ok(image.is_some_and(|image| {
                Rank { tag, current_parents: image.current_parents }.replaces(&than.rank())
            }));
        }
        Ok(is_newer(tag, &than.tag, self.history, self.allow_older))
    }

    fn overtaken(&self, by: &WantedBuild) -> PushFailure {
        let moving = self.subject.moving;
        let text = format!("{moving} shows {}, a newer build pushed meanwhile, and is left there", by.name);
        PushFailure::new(Failure::Conflict, text)
    }

    fn must_move(&self, wanted: &WantedBuild, shown: Option<&TagState>) -> Result<bool, PushFailure> {
        let commit = shown.and_then(|shown| shown.commit.as_deref());
        let relation = commit.map_or(Relation::Unknown, self.history);
        must_move(self.subject.moving, (&wanted.digest, wanted.rank()), shown, relation, self.allow_older)
    }
}

/// Parses the build tag of a full reference.
pub(crate) fn own_tag(reference: &str) -> Result<BuildTag, PushFailure> {
    let (_, tag) = split_tag(reference);
    BuildTag::parse(tag).ok_or_else(|| PushFailure::new(Failure::Push, format!("{tag} is not a build tag")))
}

/// Whether a moving tag must be set to `wanted`, a digest with its build tag. The error says why it
/// must not be.
pub(crate) fn must_move(
    moving: &str,
    wanted: (&str, Rank<'_>),
    shown: Option<&TagState>,
    relation: Relation,
    allow_older: bool,
) -> Result<bool, PushFailure> {
    let before = shown.map(|shown| {
        let rank = |tag| Rank { tag, current_parents: shown.current_parents };
        (shown.digest.as_str(), shown.tag.as_ref().map(rank))
    });
    let carries = shown.and_then(|shown| shown.commit.as_deref()).unwrap_or("an unknown commit");
    match decide_move(wanted, before, relation, allow_older) {
        MoveDecision::Keep => Ok(false),
        MoveDecision::Set => Ok(true),
        MoveDecision::Newer if relation == Relation::Same => Err(PushFailure::new(
            Failure::Conflict,
            format!(
                "{moving} shows {}, a later build of the same commit, and is not set back; a higher --rebuild than its own \
                 makes a newer one",
                shown.cloned().map(TagState::reported).unwrap_or_default()
            ),
        )),
        MoveDecision::Newer => Err(PushFailure::new(
            Failure::Conflict,
            format!("{moving} shows a newer build, of {carries}, and is not set back"),
        )),
        MoveDecision::Unclear => Err(PushFailure::new(
            Failure::Conflict,
            format!(
                "{moving} shows a build of {carries}, which may be newer than this one; --allow-older moves it anyway"
            ),
        )),
    }
}

/// Reads the state of a moving tag from the labels of its image.
pub(crate) fn read_shown(
    kind: Kind,
    target: &str,
    prefix: &str,
    digest: String,
    labels: &BTreeMap<String, String>,
) -> TagState {
    let version = match kind {
        Kind::Science => labels.get(&label::science(prefix, target, Field::Version)).map(String::as_str),
        Kind::Compat => {
            labels.get(&label::compat(prefix, Field::Version)).map(|text| plan::tag_of(text).unwrap_or(text))
        }
    };
    let tag = version.and_then(BuildTag::parse);
    let revision = labels.get(oci::REVISION).filter(|revision| !revision.is_empty());
    // The revision label is inherited from any base image. It belongs to this image only if its
    // provenance label agrees.
    let commit = match (&tag, revision) {
        (Some(tag), Some(revision)) if revision.starts_with(&tag.hash) => Some(revision.clone()),
        (Some(tag), _) => Some(tag.hash.clone()),
        (None, _) => None,
    };
    let from = match kind {
        Kind::Science => labels.get(&label::science(prefix, target, Field::From)),
        Kind::Compat => labels.get(&label::compat(prefix, Field::From)),
    };
    let from = from.and_then(|text| serde_json::from_str::<BuiltFrom>(text).ok());
    let current_parents = from.zip(tag.as_ref()).map(|(from, tag)| current_parents(&from, &tag.hash));
    TagState { digest, tag, commit, current_parents }
}

/// Number of science builds that an image of `commit` was made from and that are of that commit.
pub(crate) fn current_parents(from: &BuiltFrom, commit: &str) -> usize {
    let tags = from.layers.values().flatten().filter_map(|tag| BuildTag::parse(tag));
    tags.filter(|tag| commit.starts_with(&tag.hash) || tag.hash.starts_with(commit)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_counts_only_where_the_breadcrumb_agrees() {
        let full = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
        for (kind, labels, commit) in [
            (
                Kind::Science,
                vec![("x.science.a.version", "1.0-7-0a1b2c3"), (oci::REVISION, full)],
                Some(full),
            ),
            (
                Kind::Science,
                vec![("x.science.a.version", "1.0-7-0a1b2c3"), (oci::REVISION, "ffff")],
                Some("0a1b2c3"),
            ),
            (Kind::Science, vec![("x.science.b.version", "1.0-7-0a1b2c3"), (oci::REVISION, full)], None),
            (Kind::Science, vec![("x.science.a.version", "2.0"), (oci::REVISION, full)], None),
            (
                Kind::Compat,
                vec![("x.compat.version", "a:1.0-7-0a1b2c3"), ("x.science.a.version", "1.0-6-bbbbbbb")],
                Some("0a1b2c3"),
            ),
        ] {
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let shown = read_shown(kind, "a", "x", "sha256:1".to_owned(), &labels);
            assert_eq!(shown.commit.as_deref(), commit, "{labels:?}");
        }
    }
}
