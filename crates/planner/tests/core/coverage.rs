//! Finds the published products that contain the compat stack of a tree.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use planner::published::BuildTagShows;
use planner::published::coverage::{Coverage, State};
use planner::{Request, fixture};

use super::told;
use super::world::{PREFIX, World, digits};

const REPO: &str = "containers.repo.sciserver.org/compute-images";

const TREE: &str = r#"
//- /science/sky/Dockerfile
FROM docker.io/library/debian:12
//- /science/sky/data
1
//- /science/sky/sciserver-image.json
{ "image": "sky", "version": "1.0", "compat": "web" }
//- /science/sea/Dockerfile
FROM docker.io/library/debian:12
//- /science/sea/sciserver-image.json
{ "image": "sea", "version": "1.0", "compat": "batch" }
//- /compat/core/Dockerfile
RUN core
//- /compat/core/sciserver-image.json
{}
//- /compat/web/Dockerfile
RUN web
//- /compat/web/sciserver-image.json
{ "includes": ["core"] }
//- /compat/batch/Dockerfile
RUN batch
//- /compat/batch/sciserver-image.json
{ "includes": ["core"] }
"#;

/// A world in which the whole tree was published by its first commit.
fn published() -> World {
    let mut world = World::default();
    let inputs = world.commit(1, &fixture::tree(TREE));
    let planned = world.plan(&inputs, &Request::default()).expect("the tree is sound");
    assert!(world.build(&planned.plan, &BTreeSet::new()).is_empty());
    world
}

/// The states of all products at the second commit, one per line.
fn judged(world: &mut World, text: &str, compat: Option<&str>) -> String {
    let inputs = world.commit(2, &fixture::tree(text));
    let request = Request::default();
    let coverage = Coverage::new(&inputs, &request, compat)
        .unwrap_or_else(|problems| panic!("refused:\n{}", told(&problems)));
    let references = coverage.references();
    assert!(
        references.iter().all(|reference| reference.starts_with(&format!("{REPO}/rel/"))),
        "{references:?}"
    );
    let images = world.shown(references);
    let commits = world.held(coverage.commits(&images));
    let mut out = String::new();
    for covered in coverage.judge(&images, &commits) {
        let held = if covered.held { " (held)" } else { "" };
        let state = match covered.state {
            State::Carries => "carries".to_owned(),
            State::NotPublished => "not published".to_owned(),
            State::Untold { why } => format!("? {why}"),
            State::Behind { layers, paths, commit, why } => format!(
                "behind since {}: {} [{}]{}",
                commit.as_deref().map_or("?", |commit| &commit[..7]),
                layers.join(", "),
                paths.join(", "),
                why.map(|why| format!(" {why}")).unwrap_or_default()
            ),
        };
        writeln!(out, "{}{held} {state}", covered.product).expect("a string takes all");
    }
    out
}

#[test]
fn what_is_published_as_it_is_here_carries_it_and_asks_no_commit() {
    let mut world = published();
    world.commits.clear();
    assert_eq!(judged(&mut world, TREE, None), "sea:1.0 carries\nsky:1.0 carries\n");
    assert_eq!(judged(&mut world, TREE, Some("web")), "sky:1.0 carries\n");
    assert_eq!(judged(&mut world, TREE, Some("compat/core/")), "sea:1.0 carries\nsky:1.0 carries\n");
}

#[test]
fn only_the_stack_counts_and_only_the_part_of_it_that_is_asked_for() {
    let mut world = published();
    // Changes of science layers do not count.
    let science = TREE.replace("//- /science/sky/data\n1", "//- /science/sky/data\n2");
    assert_eq!(judged(&mut world, &science, None), "sea:1.0 carries\nsky:1.0 carries\n");
    let web = TREE.replace("RUN web", "RUN more");
    let behind = "sky:1.0 behind since 0000001: web [compat/web/Dockerfile]\n";
    assert_eq!(judged(&mut world, &web, None), format!("sea:1.0 carries\n{behind}"));
    assert_eq!(judged(&mut world, &web, Some("web")), behind);
    assert_eq!(judged(&mut world, &web, Some("core")), "sea:1.0 carries\nsky:1.0 carries\n");
    assert_eq!(judged(&mut world, &web, Some("batch")), "sea:1.0 carries\n");
    let core = TREE.replace("RUN core", "RUN more");
    assert_eq!(
        judged(&mut world, &core, Some("web")),
        "sky:1.0 behind since 0000001: core [compat/core/Dockerfile]\n",
        "what it includes is a part of it"
    );
    // A corrected description does not change the images.
    let description = TREE.replace("{}", r#"{ "description": "better" }"#);
    assert_eq!(judged(&mut world, &description, None), "sea:1.0 carries\nsky:1.0 carries\n");
}

#[test]
fn another_compat_layer_is_not_what_is_asked_for_unless_the_image_had_it_too() {
    let switched = TREE.replace(r#""compat": "batch""#, r#""compat": "web""#);
    let why = "it has another compat layer than its descriptor names now";
    let behind = format!("sea:1.0 behind since 0000001:  [science/sea/sciserver-image.json] {why}\n");
    for (compat, expect) in [
        (None, format!("{behind}sky:1.0 carries\n")),
        (Some("web"), format!("{behind}sky:1.0 carries\n")),
        (Some("core"), "sea:1.0 carries\nsky:1.0 carries\n".to_owned()),
    ] {
        assert_eq!(judged(&mut published(), &switched, compat), expect, "{compat:?}");
    }
    // A layer that was added to the stack by an include.
    let included =
        format!("{TREE}//- /compat/new/Dockerfile\nRUN new\n//- /compat/new/sciserver-image.json\n{{}}\n")
            .replace(
                r#"{ "includes": ["core"] }
//- /compat/batch"#,
                r#"{ "includes": ["core", "new"] }
//- /compat/batch"#,
            );
    let found = judged(&mut published(), &included, Some("new"));
    assert!(found.starts_with("sky:1.0 behind since 0000001: new [compat/new/"), "{found}");
}

#[test]
fn another_final_layer_below_the_same_stack_carries_it() {
    let taken_over = TREE.to_owned()
        + "//- /science/cloud/Dockerfile\nFROM sci/sky:1.0\n//- /science/cloud/sciserver-image.json\n\
           { \"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"web\" }\n";
    assert_eq!(judged(&mut published(), &taken_over, None), "sea:1.0 carries\nsky:1.0 carries\n");
}

#[test]
fn what_is_absent_held_or_of_the_predecessor_is_told_as_that() {
    let mut world = published();
    world.images.remove(&format!("{REPO}/rel/sea:1.0"));
    let held =
        format!("{TREE}//- /image-builder.toml\nhold = [\"sky:1.0\"]\n").replace("RUN web", "RUN more");
    assert_eq!(
        judged(&mut world, &held, None),
        "sea:1.0 not published\nsky:1.0 (held) behind since 0000001: web [compat/web/Dockerfile]\n"
    );
    let mut world = published();
    world.as_the_predecessor();
    let core = TREE.replace("RUN web", "RUN more");
    assert_eq!(
        judged(&mut world, &core, None),
        "sea:1.0 carries\nsky:1.0 behind since 0000001: web [compat/web/Dockerfile]\n"
    );
    // The commit is missing.
    world.commits.remove(&digits(1));
    let unknown = "? commit 0000001, from which it was built, is not in this repository";
    assert_eq!(judged(&mut world, TREE, None), format!("sea:1.0 {unknown}\nsky:1.0 {unknown}\n"));
}

#[test]
fn without_its_commit_other_inputs_are_all_that_can_be_told() {
    let mut world = published();
    world.commits.clear();
    let found = judged(&mut world, &TREE.replace("RUN web", "RUN more"), None);
    assert!(
        found.starts_with(
            "sea:1.0 carries\nsky:1.0 behind since ?:  [] it was made from other inputs; commit "
        ),
        "{found}"
    );
    let labels = world.images.get_mut(&format!("{REPO}/rel/sky:1.0")).expect("it was built");
    labels.insert(format!("{PREFIX}.compat.inputs"), "v9:x".to_owned());
    let found = judged(&mut world, &TREE.replace("RUN web", "RUN more"), None);
    assert!(found.contains("sky:1.0 ? commit "), "{found}");
}

#[test]
fn a_compat_layer_that_is_not_there_is_refused_with_the_closest() {
    let inputs = fixture::first(TREE);
    let problems = Coverage::new(&inputs, &Request::default(), Some("wab")).expect_err("it is refused");
    let said = told(&problems);
    assert!(said.contains("--compat wab is not a compat layer of this source tree"), "{said}");
    assert!(said.contains("did you mean web?"), "{said}");
}

#[test]
fn row_51_an_image_that_is_not_the_build_it_tells_of_covers_nothing() {
    let mut world = published();
    assert!(!judged(&mut world, TREE, None).contains("untold"), "{}", judged(&mut world, TREE, None));
    let (tag, digest) = ("1.0-1-0000001".to_owned(), Some("sha256:e".to_owned()));
    world.build_tags.insert(format!("{REPO}/rel/sky:1.0"), BuildTagShows::Other { tag, digest });
    let told = judged(&mut world, TREE, None);
    assert!(told.contains("sky:1.0") && told.contains("another client moved one of them"), "{told}");
}
