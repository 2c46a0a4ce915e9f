//! Reads both sides of a promotion: the builds that make up the products, those that the target
//! lacks, and the builds that its moving tags point to.
//!
//! Changes nothing. All missing builds and all obstacles are found in one pass.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use plan::provenance::StepKind;
use plan::{BuildTag, ImageName, Kind, LayerKey, Name, Provenance, Repository, split_tag};
use registry::Registry;

use crate::promote::{
    Copying, FORMAT_VERSION, History, Item, MoveState, Moving, Promotion, Route, Unit, sort,
};
use crate::push::moving_tag::{MovingTag, MovingTagTarget, Observed, TagState, read_shown};
use crate::run::error::RunError;
use crate::run::result::Failure;

/// Maximum number of concurrent image requests.
const AT_ONCE: usize = 16;

/// Maximum depth of a provenance. An image has at most 127 layers, so a base chain is not longer,
/// and images that are only copied from add few levels. Without a limit, a registry that names a
/// further parent for each build would be queried forever.
const MOST_LEVELS: usize = 512;

/// Maximum number of builds: those of a whole repo, with a margin.
const MOST_BUILDS: usize = 50_000;

/// A build: its repository below the repo, and its build tag.
type Key = (String, String);

/// A build of the provenance.
#[derive(Debug, Clone)]
struct Node {
    /// The build in the source repo.
    source: Option<Source>,
    /// The digest of its build tag in the target repo.
    target: Option<String>,
}

#[derive(Debug, Clone)]
struct Source {
    digest: String,
    bytes: u64,
    commit: Option<String>,
    current_parents: Option<usize>,
    /// The recorded parents.
    parents: Vec<Key>,
}

/// Looks up everything. Missing builds and obstacles are listed in the result.
///
/// # Errors
/// If a registry cannot be queried.
pub async fn survey(
    registry: &Registry,
    units: &[Unit],
    route: &Route,
    history: History<'_>,
) -> Result<Promotion, RunError> {
    let mut promotion = Promotion {
        format_version: FORMAT_VERSION,
        from: route.from.clone(),
        to: route.to.clone(),
        products: Vec::new(),
        missing: Vec::new(),
        conflicts: Vec::new(),
        notes: Vec::new(),
        images: Vec::new(),
    };
    let asked = stream::iter(units).map(|unit| top(registry, unit, route)).buffered(AT_ONCE);
    let mut tops = Vec::new();
    for (unit, found) in units.iter().zip(asked.try_collect::<Vec<_>>().await?) {
        match found {
            Top::Found(key, source) => {
                promotion.products.push(unit.product.clone());
                tops.push((unit, key, source));
            }
            Top::Absent(name) if route.only_present => {
                promotion.notes.push(format!("{name} is not there: {} is left out", unit.product));
            }
            Top::Absent(missing) | Top::Broken(missing) => promotion.missing.push(missing),
        }
    }
    let nodes = builds(registry, route, &tops).await?;
    for (key, node) in &nodes {
        let name = |repo: &str| format!("{repo}/{}:{}", key.0, key.1);
        match (&node.source, &node.target) {
            (None, None) => promotion.missing.push(name(&route.from)),
            (Some(source), Some(shown)) if source.digest != *shown => promotion.conflicts.push(format!(
                "{} exists and is another image ({shown}) than {} ({})",
                name(&route.to),
                name(&route.from),
                source.digest
            )),
            _ => {}
        }
    }
    let moving = moving(&tops);
    let order = order(&nodes, tops.iter().map(|(_, key, _)| key));
    promotion.images = items(&nodes, &order, &moving);
    if promotion.missing.is_empty() && promotion.conflicts.is_empty() {
        judge(registry, route, history, &mut promotion).await?;
        promotion.notes.extend(behind(registry, route, &promotion).await?);
    }
    promotion.missing.sort();
    promotion.conflicts.sort();
    Ok(promotion)
}

fn name(repo: &str, image: &str, tag: &str) -> Result<ImageName, RunError> {
    ImageName::parse(&format!("{repo}/{image}:{tag}")).map_err(|error| RunError::refused(error.to_string()))
}

/// The image that the moving tag of a unit points to in the source.
enum Top {
    /// This build.
    Found(Key, Source),
    /// There is no such tag.
    Absent(String),
    /// The build is ambiguous or has no build tag of its own, with the reason.
    Broken(String),
}

async fn top(registry: &Registry, unit: &Unit, route: &Route) -> Result<Top, RunError> {
    let (image, version) = split_tag(&unit.top);
    let version = version.unwrap_or_default();
    let full = name(&route.from, image, version)?;
    let Some(found) = registry.image(&full, &route.platform).await? else {
        return Ok(Top::Absent(full.to_string()));
    };
    let trail = Provenance::read(&found.labels, Some(&route.label_prefix));
    let tag = trail.as_ref().map(Provenance::top).filter(|crumb| crumb.repository() == image);
    let Some(tag) = tag.and_then(|crumb| crumb.version.clone()).filter(|tag| BuildTag::parse(tag).is_some())
    else {
        return Ok(Top::Broken(format!("{full} does not record in its labels which build it is")));
    };
    let build = name(&route.from, image, &tag)?;
    Ok(match registry.resolve(&build).await? {
        Some(shown) if shown == found.digest => {
            Top::Found((image.to_owned(), tag), source(image, found, route))
        }
        Some(_) => Top::Broken(format!("{full} records {tag} as its build, which is another image")),
        None => Top::Broken(build.to_string()),
    })
}

fn source(image: &str, found: registry::Image, route: &Route) -> Source {
    let (kind, own) = sort(image);
    let shown = read_shown(kind, own, &route.label_prefix, found.digest.clone(), &found.labels);
    let trail = Provenance::read(&found.labels, Some(&route.label_prefix));
    Source {
        bytes: found.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add),
        digest: found.digest,
        commit: shown.commit,
        current_parents: shown.current_parents,
        parents: trail.as_ref().map(parents).unwrap_or_default(),
    }
}

/// All builds below the top of a provenance, by their names in a repo.
fn parents(trail: &Provenance) -> Vec<Key> {
    let ours = |what: &StepKind| -> Option<Key> {
        match what {
            StepKind::Build { crumb, .. } => {
                let crumb = &trail.crumbs[*crumb];
                Some((crumb.repository(), crumb.version.clone()?))
            }
            StepKind::Copied { layer, build_tag } => {
                Some((LayerKey::parse(layer)?.repository().to_string(), build_tag.clone()?))
            }
            // A build of this repo that a Dockerfile names exactly and copies from.
            StepKind::Image { reference, .. } => {
                let image = ImageName::parse(reference).ok()?;
                let name = image.name();
                let below = name.strip_prefix(trail.repo.as_deref()?)?.strip_prefix('/')?;
                Some((below.to_owned(), image.tag?))
            }
        }
    };
    // Labels are untrusted: accept only images directly below `sci/` or `rel/`.
    let is_ours = |key: &Key| {
        let image = Repository::parse(&key.0);
        image.is_some_and(|image| Name::parse(&image.name).is_ok()) && BuildTag::parse(&key.1).is_some()
    };
    let below = trail.steps.iter().skip(1).filter_map(|step| ours(&step.what));
    let mut met = BTreeSet::new();
    below.filter(|key| is_ours(key) && met.insert(key.clone())).collect()
}

/// All builds that the tops are made of, found by following their provenance.
async fn builds(
    registry: &Registry,
    route: &Route,
    tops: &[(&Unit, Key, Source)],
) -> Result<BTreeMap<Key, Node>, RunError> {
    let mut nodes: BTreeMap<Key, Node> = BTreeMap::new();
    let mut open: BTreeMap<Key, Option<Source>> =
        tops.iter().map(|(_, key, source)| (key.clone(), Some(source.clone()))).collect();
    for level in 0.. {
        if open.is_empty() {
            break;
        }
        if level == MOST_LEVELS || nodes.len() + open.len() > MOST_BUILDS {
            let (image, tag) = open.keys().next().cloned().unwrap_or_default();
            let message = format!(
                "{} has too many parents: after {} builds there are more, such as {image}:{tag}",
                route.from,
                nodes.len()
            );
            return Err(RunError::environment(message).with_help(
                "the labels of its images name them: check what was pushed there, or promote fewer products at once",
            ));
        }
        let asked = stream::iter(std::mem::take(&mut open)).map(async |(key, known)| {
            let node = node(registry, route, &key, known).await?;
            Ok::<_, RunError>((key, node))
        });
        for (key, node) in asked.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await? {
            let parents = node.source.as_ref().map(|source| source.parents.clone()).unwrap_or_default();
            nodes.insert(key, node);
            open.extend(parents.into_iter().map(|parent| (parent, None)));
        }
        open.retain(|key, _| !nodes.contains_key(key));
    }
    Ok(nodes)
}

async fn node(
    registry: &Registry,
    route: &Route,
    (image, tag): &Key,
    known: Option<Source>,
) -> Result<Node, RunError> {
    let from = name(&route.from, image, tag)?;
    let to = name(&route.to, image, tag)?;
    let asked = async {
        match known {
            Some(known) => Ok(Some(known)),
            None => {
                Ok(registry.image(&from, &route.platform).await?.map(|found| source(image, found, route)))
            }
        }
    };
    let (source, target) = futures_util::try_join!(asked, registry.resolve(&to))?;
    Ok(Node { source, target })
}

/// The builds that the moving tags must point to, with their versions.
fn moving(tops: &[(&Unit, Key, Source)]) -> BTreeMap<Key, String> {
    let mut moving = BTreeMap::new();
    for (unit, key, source) in tops {
        let mut taken = BTreeSet::new();
        for (image, tag) in [key].into_iter().chain(&source.parents) {
            let Some(version) = BuildTag::parse(tag).map(|tag| tag.version.as_str().to_owned()) else {
                continue;
            };
            let name = format!("{image}:{version}");
            // The base image is listed before images that are only copied from.
            if unit.own.contains(&name) && taken.insert(name) {
                moving.insert((image.clone(), tag.clone()), version);
            }
        }
    }
    moving
}

/// Sorts parents before children. Labels are untrusted, so they may form a cycle, which is cut
/// somewhere.
fn order<'a>(nodes: &BTreeMap<Key, Node>, tops: impl Iterator<Item = &'a Key>) -> Vec<Key> {
    let mut order: Vec<Key> = Vec::new();
    let mut met: BTreeSet<Key> = BTreeSet::new();
    for top in tops {
        // (build, whether its parents are done)
        let mut open = vec![(top.clone(), false)];
        while let Some((key, ready)) = open.pop() {
            if ready {
                order.push(key);
            } else if met.insert(key.clone()) {
                let parents = nodes.get(&key).and_then(|node| node.source.as_ref());
                let parents = parents.map(|source| source.parents.clone()).unwrap_or_default();
                open.push((key, true));
                open.extend(parents.into_iter().rev().map(|parent| (parent, false)));
            }
        }
    }
    order
}

fn items(nodes: &BTreeMap<Key, Node>, order: &[Key], moving: &BTreeMap<Key, String>) -> Vec<Item> {
    let positions: BTreeMap<&Key, usize> = order.iter().zip(0..).collect();
    let item = |(key, at): (&Key, usize)| {
        let Node { source, target } = &nodes[key];
        let digest = source.as_ref().map(|source| &source.digest).or(target.as_ref())?;
        let parents = source.iter().flat_map(|source| &source.parents);
        let needs: BTreeSet<usize> =
            parents.filter_map(|parent| positions.get(parent).copied()).filter(|need| *need < at).collect();
        let hash = || BuildTag::parse(&key.1).map(|tag| tag.hash).unwrap_or_default();
        Some(Item {
            image: key.0.clone(),
            build_tag: key.1.clone(),
            digest: digest.clone(),
            bytes: source.as_ref().map(|source| source.bytes),
            state: if target.is_some() { Copying::There } else { Copying::ToCopy },
            moving: moving.get(key).map(|version| Moving {
                tag: version.clone(),
                shows: None,
                state: MoveState::ToMove,
            }),
            error: None,
            commit: source.as_ref().and_then(|source| source.commit.clone()).unwrap_or_else(hash),
            current_parents: source.as_ref().and_then(|source| source.current_parents),
            needs: needs.into_iter().collect(),
        })
    };
    // If a build is missing from both repos, there are no items at all.
    order.iter().zip(0..).map(item).collect::<Option<_>>().unwrap_or_default()
}

/// The full references of an item in the target: build tag and moving tag.
pub(super) fn references(item: &Item, route: &Route) -> Option<(String, String)> {
    let moving = item.moving.as_ref()?;
    let repository = format!("{}/{}", route.to, item.image);
    Some((format!("{repository}:{}", item.build_tag), format!("{repository}:{}", moving.tag)))
}

/// Reads the moving tags of the target, and checks whether they may be moved.
async fn judge(
    registry: &Registry,
    route: &Route,
    history: History<'_>,
    promotion: &mut Promotion,
) -> Result<(), RunError> {
    let wanted = promotion.images.iter().zip(0..).filter(|(item, _)| item.moving.is_some());
    let asked = stream::iter(wanted).map(async |(item, at): (&Item, usize)| {
        let Some((build_tag, moving)) = references(item, route) else { return (at, Ok((false, None))) };
        let relation = |other: &str| history(&item.commit, other);
        let (kind, target) = item.sort();
        let subject = MovingTagTarget {
            kind,
            target,
            build_tag: &build_tag,
            moving: &moving,
            prefix: &route.label_prefix,
            platform: &route.platform,
        };
        let moving = MovingTag {
            subject,
            digest: &item.digest,
            current_parents: item.current_parents,
            history: &relation,
            allow_older: route.allow_older,
            registry,
            observed: Observed::default(),
        };
        (at, moving.judge().await)
    });
    let judged: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    for (at, judged) in judged {
        match judged {
            Ok((moves, shown)) => {
                if let Some(moving) = &mut promotion.images[at].moving {
                    moving.shows = shown.map(TagState::reported);
                    moving.state = if moves { MoveState::ToMove } else { MoveState::Kept };
                }
            }
            Err(failure) if failure.failure == Failure::Conflict => promotion.conflicts.push(failure.message),
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

/// Science layers whose moving tag in the source points to another build than the one that the
/// product is based on.
async fn behind(registry: &Registry, route: &Route, promotion: &Promotion) -> Result<Vec<String>, RunError> {
    let layers =
        promotion.images.iter().filter(|item| item.bytes.is_some() && item.sort().0 == Kind::Science);
    let asked = stream::iter(layers).map(async |item: &Item| {
        let Some(moving) = &item.moving else { return Ok::<_, RunError>(None) };
        let full = name(&route.from, &item.image, &moving.tag)?;
        let shown = registry.resolve(&full).await?;
        let reported = || {
            format!(
                "{full} shows another build now than {}, which the product is based on and which is promoted",
                item.build_tag
            )
        };
        Ok(shown.filter(|shown| *shown != item.digest).map(|_| reported()))
    });
    let reported: Vec<Option<String>> = asked.buffered(AT_ONCE).try_collect().await?;
    Ok(reported.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(image: &str) -> Key {
        (image.to_owned(), "1.0-1-aaaaaaa".to_owned())
    }

    fn node(parents: &[&str]) -> Node {
        let parents = parents.iter().map(|parent| key(parent)).collect();
        Node {
            source: Some(Source {
                digest: "sha256:1".to_owned(),
                bytes: 1,
                commit: None,
                current_parents: None,
                parents,
            }),
            target: None,
        }
    }

    #[test]
    fn parents_come_first_and_a_circle_ends() {
        let nodes = BTreeMap::from([
            (key("rel/a"), node(&["sci/a", "sci/base"])),
            (key("sci/a"), node(&["sci/base", "sci/tools"])),
            (key("sci/base"), node(&[])),
            (key("sci/tools"), node(&["sci/a"])),
        ]);
        let order = order(&nodes, [key("rel/a"), key("sci/a")].iter());
        let names: Vec<&str> = order.iter().map(|key| key.0.as_str()).collect();
        assert_eq!(names, ["sci/base", "sci/tools", "sci/a", "rel/a"]);
        let items = items(&nodes, &order, &BTreeMap::from([(key("sci/a"), "1.0".to_owned())]));
        let needs: Vec<&[usize]> = items.iter().map(|item| &item.needs[..]).collect();
        assert_eq!(needs, [&[][..], &[], &[0, 1], &[0, 2]]);
        assert_eq!(items.iter().filter(|item| item.moving.is_some()).count(), 1);
        assert!(items.iter().all(|item| item.commit == "aaaaaaa" && item.state == Copying::ToCopy));
    }

    /// A registry that names one more parent for every build must not be queried forever.
    #[tokio::test]
    async fn case_promote_asks_for_a_bounded_number_of_parents() {
        let shelf = testbed::registry::Shelf::start();
        let tag = "1.0-1-aaaaaaa";
        for level in 0..MOST_LEVELS + 2 {
            let from = format!(r#"{{"layers":{{"l{}:1.0":"{tag}"}},"images":{{}}}}"#, level + 1);
            let labels = BTreeMap::from([
                ("org.opencontainers.image.ref.name".to_owned(), format!("r.example/x/sci/l{level}:1.0")),
                (format!("x.science.l{level}.version"), tag.to_owned()),
                (format!("x.science.l{level}.from"), from),
            ]);
            let tags: &[&str] = if level == 0 { &[tag, "1.0"] } else { &[tag] };
            tags.iter().for_each(|tag| shelf.put(&format!("x/sci/l{level}"), tag, &labels));
        }
        let registry = Registry::new(registry::Options::default());
        let route = Route {
            from: format!("{}/x", shelf.address()),
            to: format!("{}/y", shelf.address()),
            platform: "linux/amd64".to_owned(),
            label_prefix: "x".to_owned(),
            allow_older: false,
            only_present: false,
            push_timeout: std::time::Duration::from_secs(5),
        };
        let unit = Unit {
            product: "l0:1.0".to_owned(),
            top: "sci/l0:1.0".to_owned(),
            own: BTreeSet::from(["sci/l0:1.0".to_owned()]),
        };
        let error = survey(&registry, &[unit], &route, &|_, _| crate::Relation::Same).await.unwrap_err();
        assert_eq!(error.kind(), crate::RunErrorKind::Environment);
        assert!(error.message().contains("has too many parents: after 512 builds"), "{error}");
        let asked = shelf.asked().len();
        assert!(asked <= 5 * MOST_LEVELS, "{asked}");
    }

    #[test]
    fn a_trail_names_builds_that_are_copied_from_too() {
        let labels = [
            ("org.opencontainers.image.ref.name", "r.example/x/rel/a:1.0"),
            ("x.compat.version", "a:1.0-2-bbbbbbb"),
            ("x.compat.from", r#"{"layers":{"a:1.0":"1.0-1-aaaaaaa"},"images":{}}"#),
            ("x.science.a.version", "1.0-1-aaaaaaa"),
            (
                "x.science.a.from",
                r#"{"layers":{"tools:3.0":"3.0-1-ccccccc","silent:1.0":null,"../../y:1.0":"1.0-1-ccccccc"},
                    "images":{"r.example/x/sci/pinned:1.0-9-ddddddd":"sha256:1","docker.io/library/debian:12":null,
                              "r.example/x/private/pinned:1.0-9-ddddddd":"sha256:1"}}"#,
            ),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let trail = Provenance::read(&labels, Some("x")).expect("a trail");
        let shown: Vec<String> = parents(&trail).iter().map(|key| format!("{}:{}", key.0, key.1)).collect();
        assert_eq!(shown, ["sci/a:1.0-1-aaaaaaa", "sci/tools:3.0-1-ccccccc", "sci/pinned:1.0-9-ddddddd"]);
    }
}
