//! Published science layers whose external base images moved, and the resulting plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use plan::ImageName;
use planner::published::BuildTagShows;
use planner::published::stale::{Bases, Question, Shown, Stale, State, built_already};
use planner::{Request, fixture, published};

use super::world::World;
use super::{short, told};

const REPO: &str = "containers.repo.sciserver.org/compute-images";
const DEBIAN: &str = "docker.io/library/debian:12";
const TOOLS: &str = "quay.io/tools/uv:1";

const TREE: &str = r#"
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
COPY --from=quay.io/tools/uv:1 /uv /uv
//- /science/base/sciserver-image.json
{ "image": "base", "version": "1.0", "compat": null }
//- /science/leaf/Dockerfile
FROM sci/base:1.0
//- /science/leaf/sciserver-image.json
{ "image": "leaf", "version": "1.0", "compat": "web" }
//- /science/tool/Dockerfile
FROM quay.io/tools/uv:1 AS tools
FROM docker.io/library/debian:12
//- /science/tool/sciserver-image.json
{ "image": "tool", "version": "1.0", "compat": "web" }
//- /compat/web/Dockerfile
RUN web
//- /compat/web/sciserver-image.json
{}
"#;

fn digest(of: &str) -> String {
    format!("sha256:{}", of.repeat(64))
}

/// A world in which the whole tree was published by its first commit.
fn published(text: &str) -> World {
    let mut world = World::default();
    world.bases = [(DEBIAN, "a"), (TOOLS, "b")].map(|(name, of)| (name.to_owned(), digest(of))).into();
    let inputs = world.commit(1, &fixture::tree(text));
    let planned =
        world.plan(&inputs, &Request::default()).unwrap_or_else(|problems| panic!("{}", told(&problems)));
    assert!(world.build(&planned.plan, &BTreeSet::new()).is_empty());
    world
}

/// Returns the results of registries for the questions.
fn asked(world: &World, questions: &BTreeMap<ImageName, Question>) -> Bases {
    let show = |image: &ImageName| {
        let digest = world.bases.get(&image.to_string()).cloned();
        (image.to_string(), Shown { digest, ..Shown::default() })
    };
    questions.keys().map(show).collect()
}

/// The state of every layer, with the dependents of stale ones.
fn layers(world: &mut World, text: &str) -> String {
    let inputs = world.commit(2, &fixture::tree(text));
    let request = Request::default();
    let stale = Stale::new(&inputs, &request).expect("the tree is sound");
    let images = world.shown(stale.references());
    let bases = asked(world, &stale.questions(&images));
    told_of(&stale, &images, &bases)
}

fn told_of(stale: &Stale<'_>, images: &BTreeMap<String, Option<published::Image>>, bases: &Bases) -> String {
    let mut out = String::new();
    for layer in stale.layers(images, bases) {
        for base in &layer.bases {
            let role = format!("{:?}", base.role).to_lowercase();
            let state = match &base.state {
                State::Moved { from, to } => format!("moved {} => {}", &from[7..9], &to[7..9]),
                State::PinBehind { digest, to } => {
                    format!("pinned {}, tag {}", &digest[7..9], to.as_ref().map_or("none", |to| &to[7..9]))
                }
                other => {
                    serde_json::to_value(other).expect("JSON")["state"].as_str().expect("a tag").to_owned()
                }
            };
            writeln!(out, "{} {role} {}: {state}", layer.layer, base.image).expect("a string takes all");
        }
        if layer.is_stale() {
            writeln!(out, "  below {}", layer.dependents.join(", ")).expect("a string takes all");
        }
    }
    out
}

/// The plan of the second commit.
fn plan(world: &mut World, text: &str, request: &Request) -> String {
    let inputs = world.commit(2, &fixture::tree(text));
    let stale = Stale::new(&inputs, request).expect("the tree is sound");
    let images = world.shown(published::references(&inputs, request).expect("the tree is sound").images);
    let bases = asked(world, &stale.questions(&images));
    let planned = stale.plan(&images, &bases).unwrap_or_else(|problems| panic!("{}", told(&problems)));
    assert_eq!(planned.plan.compared_with, plan::ComparedWith::Bases);
    assert_eq!(built_already(&planned.plan, &images), Vec::<String>::new(), "another commit, another tag");
    short(&planned).replace(&"a".repeat(64), "a").replace(&"b".repeat(64), "b").replace(&"c".repeat(64), "c")
}

#[test]
fn each_base_is_asked_for_once_and_what_moved_is_told_with_what_depends_on_it() {
    let mut world = published(TREE);
    let inputs = world.commit(2, &fixture::tree(TREE));
    let request = Request::default();
    let stale = Stale::new(&inputs, &request).expect("the tree is sound");
    assert_eq!(
        stale.references().into_iter().collect::<Vec<_>>(),
        [format!("{REPO}/sci/base:1.0"), format!("{REPO}/sci/tool:1.0")],
        "a layer that stands on layers alone has no base of its own"
    );
    let questions = stale.questions(&world.shown(stale.references()));
    let of = |image: &str, digests: &str| {
        (ImageName::parse(image).expect("a reference"), BTreeSet::from([digest(digests)]))
    };
    let digests = questions.into_iter().map(|(image, question)| (image, question.digests));
    assert_eq!(digests.collect::<BTreeMap<_, _>>(), BTreeMap::from([of(DEBIAN, "a"), of(TOOLS, "b")]));
    assert_eq!(
        layers(&mut world, TREE),
        "science/base base docker.io/library/debian:12: same\n\
         science/base copy quay.io/tools/uv:1: same\n\
         science/tool base docker.io/library/debian:12: same\n\
         science/tool stage quay.io/tools/uv:1: same\n"
    );
    world.bases.insert(DEBIAN.to_owned(), digest("c"));
    assert_eq!(
        layers(&mut world, TREE),
        "science/base base docker.io/library/debian:12: moved aa => cc\n\
         science/base copy quay.io/tools/uv:1: same\n  below science/leaf, rel/leaf:1.0\n\
         science/tool base docker.io/library/debian:12: moved aa => cc\n\
         science/tool stage quay.io/tools/uv:1: same\n  below rel/tool:1.0\n"
    );
}

#[test]
fn what_compat_layers_copy_is_watched_for_each_product() {
    const TREE_OF_COPIES: &str = r#"
//- /compat/core/Dockerfile
COPY --from=quay.io/tools/uv:1 /uv /uv
//- /compat/core/sciserver-image.json
{}
//- /compat/web/Dockerfile
COPY --from=quay.io/tools/uv:1 /uvx /uvx
//- /compat/web/sciserver-image.json
{ "includes": ["core"] }
//- /compat/bare/Dockerfile
CMD ["true"]
//- /compat/bare/sciserver-image.json
{}
"#;
    let science = |name: &str, compat: &str| {
        format!(
            "//- /science/{name}/Dockerfile\nFROM docker.io/library/debian:12\n//- /science/{name}/sciserver-image.json\n\
             {{ \"image\": \"{name}\", \"version\": \"1.0\", \"compat\": \"{compat}\" }}\n"
        )
    };
    let text =
        [TREE_OF_COPIES, &science("one", "web"), &science("two", "core"), &science("three", "bare")].concat();
    let mut world = published(&text);
    let science = "science/one base docker.io/library/debian:12: same\nscience/three base docker.io/library/debian:12: same\n\
                   science/two base docker.io/library/debian:12: same\n";
    assert_eq!(
        layers(&mut world, &text),
        format!("{science}rel/one:1.0 copy {TOOLS}: same\nrel/two:1.0 copy {TOOLS}: same\n")
    );
    assert_eq!(plan(&mut world, &text, &Request::default()), "");
    world.bases.insert(TOOLS.to_owned(), digest("c"));
    assert_eq!(
        layers(&mut world, &text),
        format!(
            "{science}rel/one:1.0 copy {TOOLS}: moved bb => cc\n  below \nrel/two:1.0 copy {TOOLS}: moved bb => cc\n  below \n"
        )
    );
    let one = format!("rel/one:1.0 on one\n    base {TOOLS} sha256:b => sha256:c\n");
    let two = format!("rel/two:1.0 on two\n    base {TOOLS} sha256:b => sha256:c\n");
    assert_eq!(plan(&mut world, &text, &Request::default()), format!("{one}{two}"));
    let held = format!("{text}//- /image-builder.toml\nhold = [\"two:1.0\"]\n");
    assert_eq!(
        plan(&mut world, &held, &Request::default()),
        format!("{one}not science/two (rel/two:1.0): two:1.0 is under `hold` in image-builder.toml\n")
    );
    let ignore = Request { ignore: vec!["compat/core".to_owned()], ..Request::default() };
    assert_eq!(
        plan(&mut world, &text, &ignore),
        format!("not compat/core ({TOOLS}): --ignore compat/core treats it as unchanged\n"),
        "the lowest that names it decides"
    );
    // After the rebuild, nothing is stale.
    let inputs = world.commit(3, &fixture::tree(&text));
    let request = Request::default();
    let stale = Stale::new(&inputs, &request).expect("the tree is sound");
    let images = world.shown(published::references(&inputs, &request).expect("the tree is sound").images);
    let bases = asked(&world, &stale.questions(&images));
    let followed = stale.plan(&images, &bases).expect("a plan");
    assert!(world.build(&followed.plan, &BTreeSet::new()).is_empty());
    assert_eq!(plan(&mut world, &text, &Request::default()), "");
}

#[test]
fn an_index_that_moved_for_other_platforms_only_is_the_same() {
    let mut world = published(TREE);
    let inputs = world.commit(2, &fixture::tree(TREE));
    let request = Request::default();
    let stale = Stale::new(&inputs, &request).expect("the tree is sound");
    let images = world.shown(stale.references());
    let mut bases = asked(&world, &stale.questions(&images));
    let shown = Shown { digest: Some(digest("c")), same: BTreeSet::from([digest("a")]) };
    bases.insert(DEBIAN.to_owned(), shown);
    // The other registry cannot be queried.
    bases.remove(TOOLS);
    assert_eq!(
        told_of(&stale, &images, &bases),
        "science/base base docker.io/library/debian:12: same\n\
         science/base copy quay.io/tools/uv:1: unanswered\n\
         science/tool base docker.io/library/debian:12: same\n\
         science/tool stage quay.io/tools/uv:1: unanswered\n"
    );
    assert_eq!(stale.plan(&images, &bases).expect("a plan").plan.builds.len(), 0);
}

#[test]
fn the_plan_names_the_move_and_builds_what_depends_on_it() {
    let mut world = published(TREE);
    assert_eq!(plan(&mut world, TREE, &Request::default()), "");
    world.bases.insert(TOOLS.to_owned(), digest("c"));
    assert_eq!(
        plan(&mut world, TREE, &Request::default()),
        "science/base\n    base quay.io/tools/uv:1 sha256:b => sha256:c\n\
         science/tool\n    base quay.io/tools/uv:1 sha256:b => sha256:c\n\
         rel/tool:1.0 on tool\n    parent science/tool\n\
         science/leaf\n    parent science/base\n\
         rel/leaf:1.0 on leaf\n    parent science/leaf\n"
    );
    // Held layers and ignored layers are not built.
    let held = format!("{TREE}//- /image-builder.toml\nhold = [\"leaf:1.0\"]\n");
    let ignore = Request { ignore: vec!["science/tool".to_owned()], ..Request::default() };
    assert_eq!(
        plan(&mut world, &held, &ignore),
        "science/base\n    base quay.io/tools/uv:1 sha256:b => sha256:c\n\
         not science/leaf (rel/leaf:1.0): leaf:1.0 is under `hold` in image-builder.toml\n\
         not science/leaf (science/base): leaf:1.0 is under `hold` in image-builder.toml\n\
         not science/tool (quay.io/tools/uv:1): --ignore science/tool treats it as unchanged\n"
    );
}

#[test]
fn a_commit_that_was_built_needs_another_number() {
    let mut world = published(TREE);
    world.bases.insert(DEBIAN.to_owned(), digest("c"));
    let inputs = world.commit(1, &fixture::tree(TREE));
    let check = |rebuild| {
        let request = Request { rebuild, ..Request::default() };
        let stale = Stale::new(&inputs, &request).expect("the tree is sound");
        let images = world.shown(published::references(&inputs, &request).expect("the tree is sound").images);
        let bases = asked(&world, &stale.questions(&images));
        built_already(&stale.plan(&images, &bases).expect("a plan").plan, &images)
    };
    assert_eq!(check(None).len(), 5);
    assert!(check(None).contains(&format!("{REPO}/rel/leaf:1.0-1-0000001")));
    assert_eq!(check(Some(7)), Vec::<String>::new());
}

#[test]
fn what_is_pinned_cannot_move_and_its_tag_is_told() {
    let (a, c) = (digest("a"), digest("c"));
    let pinned = TREE
        .replace(
            "FROM docker.io/library/debian:12\nCOPY",
            &format!("FROM docker.io/library/debian@{a}\nCOPY"),
        )
        .replace(
            "tools\nFROM docker.io/library/debian:12",
            &format!("tools\nFROM docker.io/library/debian:12@{a}"),
        );
    let mut world = published(&pinned);
    world.bases.insert(DEBIAN.to_owned(), c);
    assert_eq!(
        layers(&mut world, &pinned).replace(&a, "$A"),
        "science/base base docker.io/library/debian@$A: pinned\n\
         science/base copy quay.io/tools/uv:1: same\n\
         science/tool base docker.io/library/debian:12@$A: pinned aa, tag cc\n\
         science/tool stage quay.io/tools/uv:1: same\n"
    );
    assert_eq!(plan(&mut world, &pinned, &Request::default()), "", "a new build would be on the same digest");
    world.bases.remove(DEBIAN);
    assert!(layers(&mut world, &pinned).contains("pinned aa, tag none"));
}

#[test]
fn what_tells_no_digest_is_never_planned() {
    let mut world = published(TREE);
    world.as_the_predecessor();
    world.bases.insert(DEBIAN.to_owned(), digest("c"));
    let untold = layers(&mut world, TREE);
    assert_eq!(untold.lines().filter(|line| line.ends_with(": untold")).count(), 4, "{untold}");
    let why = "what is published does not record the digest it was built on";
    let unplanned = plan(&mut world, TREE, &Request::default());
    assert!(unplanned.starts_with(&format!("not science/base ({DEBIAN}): {why}\n")), "{unplanned}");
    assert_eq!(unplanned.lines().count(), 4, "{unplanned}");
    // A deleted tag, and a layer that was never published.
    let mut world = published(TREE);
    world.bases.remove(TOOLS);
    world.images.remove(&format!("{REPO}/sci/tool:1.0"));
    assert_eq!(
        layers(&mut world, TREE),
        "science/base base docker.io/library/debian:12: same\n\
         science/base copy quay.io/tools/uv:1: gone\n\
         science/tool base docker.io/library/debian:12: not-published\n\
         science/tool stage quay.io/tools/uv:1: not-published\n"
    );
    assert!(plan(&mut world, TREE, &Request::default()).contains("its registry has no such tag any more"));
}

#[test]
fn a_broken_tree_asks_for_nothing() {
    let broken = TREE.replace("FROM sci/base:1.0", "FROM sci/bass:1.0");
    let inputs = fixture::first(&broken);
    let problems = Stale::new(&inputs, &Request::default()).expect_err("it is refused");
    assert!(told(&problems).contains("did you mean base?"));
}

#[test]
fn row_51_an_image_that_is_not_the_build_it_tells_of_tells_no_base() {
    let mut world = published(TREE);
    let (tag, digest) = ("1.0-1-0000001".to_owned(), None);
    world.build_tags.insert(format!("{REPO}/sci/base:1.0"), BuildTagShows::Other { tag, digest });
    let inputs = world.commit(2, &fixture::tree(TREE));
    let request = Request::default();
    let stale = Stale::new(&inputs, &request).expect("the tree is sound");
    let images = world.shown(stale.references());
    let bases = asked(&world, &stale.questions(&images));
    let layers = stale.layers(&images, &bases);
    let base = layers.iter().find(|layer| layer.layer == "science/base").expect("it names a base");
    assert!(base.bases.iter().all(|base| base.state == State::Untold), "{:?}", base.bases);
}

#[test]
fn case_stale_ignores_from_platform() {
    let text = TREE
        .replace(
            "FROM quay.io/tools/uv:1 AS tools",
            "ARG WHERE\nFROM --platform=linux/arm64 quay.io/tools/uv:1 AS tools",
        )
        .replace(
            "FROM docker.io/library/debian:12\n//- /science/tool",
            "FROM --platform=$BUILDPLATFORM docker.io/library/debian:12\n//- /science/tool",
        );
    let mut world = published(&text);
    let inputs = world.commit(2, &fixture::tree(&text));
    let request = Request::default();
    let stale = Stale::new(&inputs, &request).expect("the tree is sound");
    let images = world.shown(stale.references());
    let questions = stale.questions(&images);
    let platforms = |name: &str| {
        let found = questions.iter().find(|(image, _)| image.to_string() == name).expect("it is asked about");
        found.1.platforms.iter().cloned().collect::<Vec<_>>()
    };
    let named = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>();
    // `science/base` uses the image for the plan's platform, `science/tool` for another one.
    assert_eq!(platforms(TOOLS), named(&["linux/amd64", "linux/arm64"]));
    assert_eq!(platforms(DEBIAN), named(&["linux/amd64"]), "what the plan builds for");
    // A platform that is known only in the build is not compared.
    let text = text.replace("--platform=linux/arm64", "--platform=$WHERE");
    let inputs = world.commit(3, &fixture::tree(&text));
    if let Ok(stale) = Stale::new(&inputs, &request) {
        let images = world.shown(stale.references());
        let questions = stale.questions(&images);
        let asked =
            questions.iter().find(|(image, _)| image.to_string() == TOOLS).expect("it is asked about");
        assert!(asked.1.platforms.contains(&None), "{:?}", asked.1.platforms);
    }
}
