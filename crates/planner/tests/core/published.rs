//! `--since-published`: compares one published image after the other with the tree.

use std::collections::BTreeSet;

use plan::BuildId;
use planner::published::BuildTagShows;
use planner::tree::{Inputs, Tree};
use planner::{Planned, Request, fixture};

use super::world::{PREFIX, World};
use super::{short, told};

const REPO: &str = "containers.repo.sciserver.org/compute-images";

const TREE: &str = r#"
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
//- /science/base/sciserver-image.json
{ "image": "base", "version": "1.0", "compat": null }
//- /science/tool/Dockerfile
FROM docker.io/library/debian:12
//- /science/tool/sciserver-image.json
{ "image": "tool", "version": "1.0", "compat": null }
//- /science/leaf/Dockerfile
FROM sci/base:1.0
COPY --from=sci/tool:1.0 /t /t
//- /science/leaf/data
1
//- /science/leaf/sciserver-image.json
{ "image": "leaf", "version": "1.0", "compat": "web" }
//- /compat/core/Dockerfile
RUN core
//- /compat/core/sciserver-image.json
{}
//- /compat/web/Dockerfile
RUN web
//- /compat/web/sciserver-image.json
{ "includes": ["core"] }
"#;

/// A world in which the whole tree was published by its first commit.
fn published(text: &str) -> (World, Tree) {
    let mut world = World::default();
    let tree = fixture::tree(text);
    let inputs = world.commit(1, &tree);
    let planned = plan(&world, &inputs, &Request::default());
    assert!(planned.plan.builds.iter().all(|build| !build.reasons.is_empty()));
    assert!(world.build(&planned.plan, &BTreeSet::new()).is_empty());
    (world, tree)
}

fn plan(world: &World, inputs: &Inputs, request: &Request) -> Planned {
    world.plan(inputs, request).unwrap_or_else(|problems| panic!("refused:\n{}", told(&problems)))
}

/// The plan of the second commit as short text, with undecided images.
fn second(world: &mut World, text: &str, request: &Request) -> String {
    let inputs = world.commit(2, &fixture::tree(text));
    let planned = plan(world, &inputs, request);
    let undecided =
        planned.undecided.iter().map(|image| format!("undecided {}: {}\n", image.reference, image.why));
    let out = short(&planned) + &undecided.collect::<String>();
    out.replace(REPO, "$REPO")
}

fn sci(target: &str) -> String {
    format!("{REPO}/sci/{target}:1.0")
}

fn version(target: &str) -> String {
    format!("{PREFIX}.science.{target}.version")
}

/// Returns the number of science images that need no request, because a product records them.
fn told_by_products(world: &mut World, text: &str) -> usize {
    let inputs = world.commit(9, &fixture::tree(text));
    world.plan_by_products(&inputs, &Request::default()).expect("the tree is sound").1
}

#[test]
fn a_product_that_was_built_on_a_published_image_tells_of_it() {
    let (mut world, _) = published(TREE);
    let text = TREE.replace("RUN web", "RUN web 2");
    let inputs = world.commit(2, &fixture::tree(&text));
    let compat = plan(&world, &inputs, &Request::default()).plan;
    assert_eq!(compat.builds.len(), 1);
    assert!(world.build(&compat, &BTreeSet::new()).is_empty());
    assert_eq!(told_by_products(&mut world, &text), 1);
    assert_eq!(second(&mut world, &text, &Request::default()), "");
    // The image's own labels, which name all inputs of its commit, show what changed.
    let changed = text.replace("\n1\n", "\n2\n");
    assert_eq!(told_by_products(&mut world, &changed), 0);
    assert!(second(&mut world, &changed, &Request::default()).contains("science/leaf/data"));
    // The parent moved: its tag shows another image, which the product does not record.
    let mut moved = world.clone();
    let leaf = moved.images.get_mut(&sci("leaf")).expect("it is published");
    leaf.insert(version("leaf"), "1.0-3-0000003".to_owned());
    assert_eq!(told_by_products(&mut moved, &text), 0);
    assert!(second(&mut moved, &text, &Request::default()).contains("rel/leaf"));
    // An instruction of a compat layer overrides an inherited label.
    let product = format!("{REPO}/rel/leaf:1.0");
    for (key, value) in [
        (version("leaf"), "1.0-8-0000008"),
        (format!("{PREFIX}.science.leaf.inputs"), "v1:sha256:0"),
        (format!("{PREFIX}.science.leaf.inputs"), "v7:sha256:0"),
        ("org.opencontainers.image.base.name".to_owned(), "r.example/x/sci/base:1.0"),
        ("org.opencontainers.image.base.digest".to_owned(), ""),
    ] {
        let mut written = world.clone();
        written.images.get_mut(&product).expect("it is published").insert(key.clone(), value.to_owned());
        assert_eq!(told_by_products(&mut written, &text), 0, "{key}");
        assert_eq!(second(&mut written, &text, &Request::default()), "", "{key}");
    }
    // Images of the previous tool inherit the labels for their base.
    let labels = world.images.get_mut(&product).expect("it is published");
    labels.remove(&format!("{PREFIX}.compat.inputs"));
    assert_eq!(told_by_products(&mut world, &text), 0);
}

/// Sets a field of the label with a product's inputs.
fn tell(world: &mut World, product: &str, field: &str, value: serde_json::Value) {
    let labels = world.images.get_mut(product).expect("it is published");
    let from = labels.get_mut(&format!("{PREFIX}.compat.from")).expect("it tells");
    let mut told: serde_json::Value = serde_json::from_str(from).expect("JSON");
    told[field] = value;
    *from = told.to_string();
}

#[test]
fn a_product_that_was_built_in_one_run_with_its_science_image_tells_of_it() {
    let (mut world, _) = published(TREE);
    let product = format!("{REPO}/rel/leaf:1.0");
    assert_eq!(world.images[&product]["org.opencontainers.image.base.digest"], "");
    assert_eq!(told_by_products(&mut world, TREE), 1);
    assert_eq!(second(&mut world, TREE, &Request::default()), "");
    let changed = TREE.replace("\n1\n", "\n2\n");
    assert_eq!(told_by_products(&mut world, &changed), 0);
    assert!(second(&mut world, &changed, &Request::default()).contains("science/leaf/data"));
    // Built again with equal image layers: another label means another configuration.
    let mut again = world.clone();
    let leaf = again.images.get_mut(&sci("leaf")).expect("it is published");
    leaf.insert(format!("{PREFIX}.science.leaf.buildtime"), "1800000000".to_owned());
    assert_eq!(told_by_products(&mut again, TREE), 0);
    assert_eq!(second(&mut again, TREE, &Request::default()), "");
    // Built from other inputs under the same build tag, without a record in the product.
    let mut other = world.clone();
    let leaf = other.images.get_mut(&sci("leaf")).expect("it is published");
    leaf.insert(format!("{PREFIX}.science.leaf.inputs"), "v1:sha256:0".to_owned());
    assert_eq!(told_by_products(&mut other, TREE), 0);
    assert!(second(&mut other, TREE, &Request::default()).contains("science/leaf"));
    // Another layer, another version, nothing, no id, and an engine with other ids.
    let id = super::world::config_of(&world.images[&sci("leaf")]);
    for ids in [
        serde_json::json!({"base:1.0": id}),
        serde_json::json!({"leaf:2.0": id}),
        serde_json::json!({}),
        serde_json::json!(null),
        serde_json::json!(id),
        serde_json::json!({"leaf:1.0": null}),
        serde_json::json!({"leaf:1.0": [id]}),
        serde_json::json!({"leaf:1.0": id.to_uppercase()}),
        serde_json::json!({"leaf:1.0": &id[..id.len() - 1]}),
        serde_json::json!({"leaf:1.0": id.trim_start_matches("sha256:")}),
        serde_json::json!({"leaf:1.0": format!("sha256:{}", "e".repeat(64))}),
    ] {
        let mut written = world.clone();
        tell(&mut written, &product, "ids", ids.clone());
        assert_eq!(told_by_products(&mut written, TREE), 0, "{ids}");
        assert_eq!(second(&mut written, TREE, &Request::default()), "", "{ids}");
    }
    // The inherited labels must match the recorded build and base image.
    for (key, value) in [
        (version("leaf"), "1.0-8-0000008"),
        ("org.opencontainers.image.base.name".to_owned(), "r.example/x/sci/base:1.0"),
        // A recorded digest takes precedence over an id: it is the digest of the image that was
        // used.
        ("org.opencontainers.image.base.digest".to_owned(), "sha256:0"),
    ] {
        let mut written = world.clone();
        written.images.get_mut(&product).expect("it is published").insert(key.clone(), value.to_owned());
        assert_eq!(told_by_products(&mut written, TREE), 0, "{key}");
    }
    let mut untold = world.clone();
    tell(&mut untold, &product, "layers", serde_json::json!({}));
    assert_eq!(told_by_products(&mut untold, TREE), 0);
    world.images.get_mut(&product).expect("it is published").remove(&format!("{PREFIX}.compat.inputs"));
    assert_eq!(told_by_products(&mut world, TREE), 0);
}

#[test]
fn nothing_is_planned_when_all_is_published() {
    let (mut world, _) = published(TREE);
    assert_eq!(second(&mut world, TREE, &Request::default()), "");
    // A description in a descriptor is not an input.
    let described = TREE.replace(r#""image": "tool","#, r#""image": "tool", "description": "x","#);
    assert_eq!(second(&mut world, &described, &Request::default()), "");
}

#[test]
fn each_reason_tells_what_a_person_needs() {
    for (from, to, expect) in [
        (
            "//- /science/leaf/data\n1",
            "//- /science/leaf/data\n2",
            "science/leaf\n    inputs since 1.0-1-0000001: science/leaf/data\n\
             rel/leaf:1.0 on leaf\n    parent science/leaf\n",
        ),
        (
            r#""image": "leaf", "#,
            r#""image": "leaf", "args": {"A": "1"}, "#,
            "science/leaf\n    inputs since 1.0-1-0000001: args\nrel/leaf:1.0 on leaf\n    parent science/leaf\n",
        ),
        ("RUN core", "RUN more", "rel/leaf:1.0 on leaf\n    compat core: compat/core/Dockerfile\n"),
        (r#""compat": "web""#, r#""compat": "core""#, "rel/leaf:1.0 on leaf\n    fields compat\n"),
        (
            "COPY --from=sci/tool:1.0 /t /t\n",
            "",
            "science/leaf\n    inputs since 1.0-1-0000001: science/leaf/Dockerfile\n\
             rel/leaf:1.0 on leaf\n    parent science/leaf\n",
        ),
    ] {
        let (mut world, _) = published(TREE);
        assert!(TREE.contains(from), "{from}");
        let found = second(&mut world, &TREE.replace(from, to), &Request::default());
        assert_eq!(found, expect, "{to}");
    }
}

#[test]
fn what_is_absent_is_planned_with_all_that_needs_it() {
    let (mut world, _) = published(TREE);
    world.images.remove(&format!("{REPO}/rel/leaf:1.0"));
    let found = second(&mut world, TREE, &Request::default());
    assert_eq!(found, "rel/leaf:1.0 on leaf\n    absent $REPO/rel/leaf:1.0\n");
    world.images.remove(&sci("base"));
    let found = second(&mut world, TREE, &Request::default());
    assert_eq!(
        found,
        "science/base\n    absent $REPO/sci/base:1.0\nscience/leaf\n    parent science/base\n\
         rel/leaf:1.0 on leaf\n    parent science/leaf\n    absent $REPO/rel/leaf:1.0\n"
    );
}

#[test]
fn a_parent_that_moved_is_found_through_the_trail() {
    for (target, path) in [("base", "science/base"), ("tool", "science/tool")] {
        let (mut world, _) = published(TREE);
        let labels = world.images.get_mut(&sci(target)).expect("it was built");
        labels.insert(version(target), "1.0-1-0000001-r1".to_owned());
        let found = second(&mut world, TREE, &Request::default());
        assert_eq!(
            found,
            format!(
                "science/leaf\n    moved {path} 1.0-1-0000001 => 1.0-1-0000001-r1\n\
                 rel/leaf:1.0 on leaf\n    parent science/leaf\n"
            )
        );
    }
    // Only the science image of a product is new: its compat build failed after the science image
    // was pushed.
    let (mut world, tree) = published(TREE);
    let changed = TREE.replace("//- /science/leaf/data\n1", "//- /science/leaf/data\n2");
    let inputs = world.commit(2, &fixture::tree(&changed));
    let planned = plan(&world, &inputs, &Request::default());
    let missing = world.build(&planned.plan, &BTreeSet::from([BuildId("rel/leaf:1.0".to_owned())]));
    assert_eq!(missing.len(), 1);
    let found = second(&mut world, &changed, &Request::default());
    assert_eq!(found, "rel/leaf:1.0 on leaf\n    moved science/leaf 1.0-1-0000001 => 1.0-2-0000002\n");
    // The tree is reverted: the science image is built again, and the compat image with it.
    let inputs = world.commit(3, &tree);
    assert_eq!(plan(&world, &inputs, &Request::default()).plan.builds.len(), 2);
}

#[test]
fn a_parent_that_only_the_registry_has_may_move_too() {
    let (before, rest) = TREE.split_once("//- /science/tool/Dockerfile").expect("it is there");
    let (_, after) = rest.split_once("//- /science/leaf/Dockerfile").expect("it is there");
    let text = format!(
        "{before}//- /science/leaf/Dockerfile{after}//- /image-builder.toml\npublished = [\"tool\"]\n"
    );
    let (mut world, _) = published(TREE);
    assert_eq!(second(&mut world, &text, &Request::default()), "");
    let labels = world.images.get_mut(&sci("tool")).expect("it was built");
    labels.insert(version("tool"), "1.0-7-0000007".to_owned());
    let found = second(&mut world, &text, &Request::default());
    assert_eq!(
        found,
        "science/leaf\n    moved $REPO/sci/tool:1.0 1.0-1-0000001 => 1.0-7-0000007\n\
         rel/leaf:1.0 on leaf\n    parent science/leaf\n"
    );
}

#[test]
fn images_of_the_predecessor_are_compared_through_their_commit() {
    let (mut world, _) = published(TREE);
    world.as_the_predecessor();
    assert_eq!(second(&mut world, TREE, &Request::default()), "");
    let changed = TREE
        .replace("//- /science/leaf/data\n1", "//- /science/leaf/data\n2")
        .replace("//- /science/tool/Dockerfile\n", "//- /science/tool/Dockerfile\n# x\n");
    let found = second(&mut world, &changed, &Request::default());
    assert_eq!(
        found,
        "science/tool\n    inputs since 1.0-1-0000001: science/tool/Dockerfile\n\
         science/leaf\n    parent science/tool\n    inputs since 1.0-1-0000001: science/leaf/data\n\
         rel/leaf:1.0 on leaf\n    parent science/leaf\n"
    );
    let fragment = TREE.replace("RUN web", "RUN else");
    let found = second(&mut world, &fragment, &Request::default());
    assert_eq!(found, "rel/leaf:1.0 on leaf\n    compat web: compat/web/Dockerfile\n");
    // The previous tool did not record copied images: a parent that is younger than the image is
    // not the one that was used.
    let labels = world.images.get_mut(&sci("tool")).expect("it was built");
    labels.insert(version("tool"), "1.0-9-0000009".to_owned());
    labels.insert(format!("{PREFIX}.science.tool.buildtime"), "1000.25".to_owned());
    world.commits.insert(super::world::digits(9), fixture::tree(TREE));
    let found = second(&mut world, TREE, &Request::default());
    assert_eq!(
        found,
        "science/leaf\n    moved science/tool ? => 1.0-9-0000009\nrel/leaf:1.0 on leaf\n    parent science/leaf\n"
    );
}

#[test]
fn what_nobody_can_tell_is_never_planned_by_itself() {
    let why_gone = "commit 0000001, from which it was built, is not in this repository";
    let why_version = "its inputs are recorded as v9:x, a version that this image-builder does not know";
    let why_nothing = "it does not record the commit it was built from";
    let why_dirty = "it was built with changes that are in no commit";
    let tag = version("base");
    for (label, value, why) in [
        (None, "", why_gone),
        (Some(format!("{PREFIX}.science.base.inputs")), "v9:x", why_version),
        (Some(tag.clone()), "by hand", why_nothing),
        (Some(tag.clone()), "1.0-1-0000001-dirty-01234567", why_dirty),
    ] {
        let (mut world, _) = published(TREE);
        let mut images = std::mem::take(&mut world.images);
        let base = images.remove(&sci("base")).expect("it was built");
        world.images.insert(sci("base"), base);
        world.as_the_predecessor();
        // All other labels are as this program writes them.
        world.images.extend(images);
        let base = world.images.get_mut(&sci("base")).expect("it is there");
        match &label {
            Some(label) => {
                base.insert(label.clone(), value.to_owned());
            }
            None => world.commits.clear(),
        }
        // Its descendant still records the previous build tag.
        let leaf = world.images.get_mut(&sci("leaf")).expect("it is there");
        if label.as_ref() == Some(&tag) {
            let from = leaf.get_mut(&format!("{PREFIX}.science.leaf.from")).expect("it was written");
            *from = from.replace("\"base:1.0\":\"1.0-1-0000001\"", &format!("\"base:1.0\":\"{value}\""));
        }
        let undecided =
            format!("not science/base ($REPO/sci/base:1.0): {why}\nundecided $REPO/sci/base:1.0: {why}\n");
        assert_eq!(second(&mut world, TREE, &Request::default()), undecided);
        let adopt = Request { adopt: true, ..Request::default() };
        assert_eq!(second(&mut world, TREE, &adopt), "", "{why}");
        let ignore = Request { ignore: vec!["science/base".to_owned()], ..Request::default() };
        assert_eq!(
            second(&mut world, TREE, &ignore),
            "not science/base ($REPO/sci/base:1.0): --ignore science/base treats it as unchanged\n"
        );
        let rebuild = Request { rebuild: Some(3), ..Request::default() };
        assert!(
            second(&mut world, TREE, &rebuild)
                .starts_with("science/base\n    forced --rebuild 3\nscience/leaf\n")
        );
    }
}

#[test]
fn a_compat_image_that_tells_nothing_is_made_again_unless_it_is_adopted() {
    let (mut world, _) = published(TREE);
    let labels = world.images.get_mut(&format!("{REPO}/rel/leaf:1.0")).expect("it was built");
    labels.retain(|key, _| !key.starts_with(&format!("{PREFIX}.compat.")));
    let found = second(&mut world, TREE, &Request::default());
    assert_eq!(found, "rel/leaf:1.0 on leaf\n    inputs since ?: \n");
    let adopt = Request { adopt: true, ..Request::default() };
    assert_eq!(second(&mut world, TREE, &adopt), "");
}

#[test]
fn a_product_that_is_held_is_left_alone() {
    let (mut world, _) = published(TREE);
    let held =
        format!("{TREE}//- /image-builder.toml\nhold = [\"leaf:1.0\"]\n").replace("RUN web", "RUN else");
    let found = second(&mut world, &held, &Request::default());
    assert_eq!(found, "not science/leaf (rel/leaf:1.0): leaf:1.0 is under `hold` in image-builder.toml\n");
}

#[test]
fn a_product_is_not_published_without_what_it_had() {
    let (mut world, _) = published(TREE);
    // Another layer, which is not based on the old one, takes over the product.
    let other = TREE
        .replace(r#"{ "image": "leaf", "version": "1.0""#, r#"{ "image": "leaf", "version": "2.0""#)
        + "//- /science/new/Dockerfile\nFROM docker.io/library/debian:12\n//- /science/new/sciserver-image.json\n\
           { \"image\": \"leaf\", \"version\": \"1.0\", \"compat\": \"web\" }\n";
    let inputs = world.commit(2, &fixture::tree(&other));
    let refused = told(&world.plan(&inputs, &Request::default()).expect_err("it is refused"));
    assert!(refused.contains("leaf:1.0 would silently lose the contents of leaf"), "{refused}");
    let allowed = Request { allow_orphan: vec!["leaf:1.0".to_owned()], ..Request::default() };
    let planned = plan(&world, &inputs, &allowed);
    assert!(
        short(&planned).contains("rel/leaf:1.0 on new\n    parent science/new\n    final leaf => new\n"),
        "{}",
        short(&planned)
    );
}

#[test]
fn a_tree_that_is_wrong_asks_for_nothing() {
    let broken = TREE.replace("FROM sci/base:1.0", "FROM sci/bass:1.0");
    let problems = World::default()
        .plan(&planner::fixture::first(&broken), &Request::default())
        .expect_err("it is refused");
    assert!(told(&problems).contains("did you mean base?"));
}

/// A world in which a moving tag points to an image with the labels of the build `tag`, and that
/// build tag shows `digest`.
fn moved(name: &str, tag: &str, digest: Option<&str>) -> World {
    let (mut world, _) = published(TREE);
    let (tag, digest) = (tag.to_owned(), digest.map(str::to_owned));
    world.build_tags.insert(format!("{REPO}/{name}:1.0"), BuildTagShows::Other { tag, digest });
    world
}

#[test]
fn row_51_a_moving_tag_is_not_believed_because_its_labels_are_right() {
    let ours = "1.0-1-0000001";
    // A product is rebuilt on the unchanged science image.
    let mut world = moved("rel/leaf", ours, Some("sha256:e"));
    let planned = second(&mut world, TREE, &Request::default());
    assert_eq!(planned, "rel/leaf:1.0 on leaf\n    moved $REPO/rel/leaf:1.0 from 1.0-1-0000001\n");
    // A science image is never replaced automatically: it is reported, with the digest of its build
    // tag.
    for digest in [Some("sha256:e"), None] {
        let mut world = moved("sci/base", ours, digest);
        let told = second(&mut world, TREE, &Request::default());
        assert!(told.contains("undecided $REPO/sci/base:1.0: ") && !told.contains("science/leaf"), "{told}");
        assert!(told.contains(ours) && told.contains(digest.unwrap_or("is not there")), "{told}");
        assert_eq!(second(&mut world, TREE, &Request { adopt: true, ..Request::default() }), "");
        let rebuilt = second(&mut world, TREE, &Request { rebuild: Some(7), ..Request::default() });
        assert!(rebuilt.contains("science/base\n    forced --rebuild 7\n"), "{rebuilt}");
    }
    // The build of this commit exists: it is reused, and the moving tag is corrected.
    let mut world = moved("sci/base", ours, Some("sha256:e"));
    let inputs = world.commit(1, &fixture::tree(TREE));
    let planned = plan(&world, &inputs, &Request::default());
    assert!(planned.undecided.is_empty());
    assert!(short(&planned).contains("science/base\n    moved"), "{}", short(&planned));
    // The labels of an image that is not the build it claims to be do not affect its descendants.
    let mut world = moved("sci/base", ours, Some("sha256:e"));
    let base = world.images.get_mut(&sci("base")).expect("it is published");
    base.insert(version("base"), "1.0-9-0000009".to_owned());
    let told = second(&mut world, TREE, &Request::default());
    assert!(!told.contains("science/leaf"), "{told}");
    assert_eq!(
        told_by_products(&mut moved("rel/leaf", ours, None), TREE),
        0,
        "nor does a product tell of it"
    );
}
