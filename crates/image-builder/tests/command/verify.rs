//! `verify`: the real binary on a history, with images like those that a build would have
//! published.

use std::collections::BTreeMap;

use plan::{Kind, Plan, Target};

use crate::served::Registry;
use crate::support::{Run, Tree};

/// Publishes the images that a plan with `--all` would build now, with their labels, including
/// `from`. Returns the build tag of version 1.0.
fn publish(tree: &Tree, registry: &Registry) -> String {
    let repo = format!("{}/x", registry.host());
    let plan = tree.run(&["plan", "--all", "--format", "json", "--repo", &repo]).code(0).stdout;
    let plan = Plan::from_json(&plan).expect("a plan was printed");
    let mut images: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for build in &plan.builds {
        let (mut layers, mut inherited) = (BTreeMap::new(), BTreeMap::new());
        for reference in &build.references {
            let Target::Build { id } = &reference.target else { continue };
            let parent = plan.build(id).expect("the plan has its own builds");
            let (_, tag) = parent.build_tag().rsplit_once(':').expect("a tag");
            layers.insert(format!("{}:{}", parent.target, parent.version), tag.to_owned());
            inherited = images[&id.0].clone();
        }
        let key = match build.kind {
            Kind::Science => format!("org.sciserver.science.{}", build.target),
            Kind::Compat => "org.sciserver.compat".to_owned(),
        };
        inherited.extend(build.labels.clone());
        inherited.insert(format!("{key}.buildtime"), "1700000000".to_owned());
        inherited
            .insert(format!("{key}.from"), serde_json::json!({"layers": layers, "images": {}}).to_string());
        let labels: Vec<(&str, &str)> =
            inherited.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        for tag in build.tags.iter() {
            registry.image(tag.split_once('/').expect("a registry").1, &labels);
        }
        images.insert(build.id.0.clone(), inherited);
    }
    format!("1.0-{}-{}", plan.revision.count.expect("a full clone"), plan.revision.short)
}

fn verify(tree: &Tree, registry: &Registry, arguments: &[&str]) -> Run {
    let repo = format!("{}/x", registry.host());
    let mut all = vec!["verify", "--from", "registry", "--repo", &repo];
    all.extend(arguments);
    let run = tree.run(&all);
    Run { stdout: run.stdout.replace(&registry.host(), "$REGISTRY"), ..run }
}

#[test]
fn a_fresh_product_holds_until_a_layer_or_a_parent_changes() {
    let mut tree = Tree::sample();
    let registry = Registry::start();
    let first = publish(&tree, &registry);
    let fresh = verify(&tree, &registry, &["rel/nist-basic:2.0"]).code(0);
    insta::assert_snapshot!(fresh.stdout, @r"
    $REGISTRY/x/rel/nist-basic:2.0
      rel/nist-basic 2.0-2-77fe882
        holds  commit 77fe882 is HEAD
        holds  its inputs are what commit 77fe882 gives
        holds  HEAD gives the same inputs
        holds  it was built on sci/nist-basic-2:2.0-2-77fe882, which is published
      sci/nist-basic-2 2.0-2-77fe882
        holds  commit 77fe882 is HEAD
        holds  its inputs are what commit 77fe882 gives
        holds  HEAD gives the same inputs
        holds  it was built on sci/nist-basic:1.0-2-77fe882, which is published
      sci/nist-basic 1.0-2-77fe882
        holds  commit 77fe882 is HEAD
        holds  its inputs are what commit 77fe882 gives
        holds  HEAD gives the same inputs
      all holds: 3 builds
    ");

    // A change to a file that is in no image has no effect. Then the interface changes, and later
    // the lowest layer.
    tree.write("science/nist-basic/README.md", "another text\n");
    tree.commit();
    verify(&tree, &registry, &["rel/nist-basic:2.0"]).code(0);
    tree.write("compat/common/Dockerfile", "USER 1001\nCMD [\"true\"]\n");
    tree.commit();
    let changed = verify(&tree, &registry, &["rel/nist-basic:2.0"]).code(7);
    insta::assert_snapshot!(changed.stdout, @r#"
    $REGISTRY/x/rel/nist-basic:2.0
      rel/nist-basic 2.0-2-77fe882
        holds  commit 77fe882 is in the history of HEAD (2ddd015)
        holds  its inputs are what commit 77fe882 gives
        fails  changed since by 2ddd015 "x" (2023-11-14)
        holds  it was built on sci/nist-basic-2:2.0-2-77fe882, which is published
      sci/nist-basic-2 2.0-2-77fe882
        holds  commit 77fe882 is in the history of HEAD (2ddd015)
        holds  its inputs are what commit 77fe882 gives
        holds  HEAD gives the same inputs
        holds  it was built on sci/nist-basic:1.0-2-77fe882, which is published
      sci/nist-basic 1.0-2-77fe882
        holds  commit 77fe882 is in the history of HEAD (2ddd015)
        holds  its inputs are what commit 77fe882 gives
        holds  HEAD gives the same inputs
      does not hold: 1 of 3 builds
    "#);
    let provenance = verify(&tree, &registry, &["rel/nist-basic:2.0", "--provenance"]).code(0);
    assert!(provenance.stdout.contains("note   changed since by "), "{}", provenance.stdout);

    tree.write("science/nist-basic/packages.txt", "numpy\nscipy\nsympy\n");
    tree.commit();
    let second = publish(&tree, &registry);
    assert_ne!(first, second);
    let old = format!("sci/nist-basic-2:{}", first.replacen("1.0", "2.0", 1));
    let told = verify(&tree, &registry, &[&old]).code(7).stdout;
    assert!(
        told.contains(&format!("fails  it was built on sci/nist-basic:{first}, and published is {second}")),
        "{told}"
    );
    verify(&tree, &registry, &["rel/nist-basic:2.0", "sci/nist-basic:1.0"]).code(0);
}

#[test]
fn what_the_tree_does_not_know_or_does_not_give_does_not_hold() {
    let tree = Tree::sample();
    let registry = Registry::start();
    publish(&tree, &registry);
    let rewritten = Tree::sample();
    rewritten.git(&["commit", "--quiet", "--amend", "-m", "rewritten"]);
    let told = verify(&rewritten, &registry, &["sci/nist-basic:1.0"]).code(7).stdout;
    assert!(told.contains(" is not in the history of HEAD ("), "{told}");
    let mut stranger = Tree::new();
    stranger.write("science/other/Dockerfile", "FROM scratch\n");
    stranger.commit();
    let told = verify(&stranger, &registry, &["sci/nist-basic:1.0"]).code(7).stdout;
    assert!(told.contains(" is not in this clone"), "{told}");

    let tag = publish(&tree, &registry);
    let labels = [
        ("org.sciserver.science.nist-basic.version", tag.as_str()),
        ("org.sciserver.science.nist-basic.inputs", "v1:sha256:0"),
        ("org.sciserver.science.nist-basic.from", "{}"),
    ];
    registry.image("x/sci/nist-basic:forged", &labels);
    let told = verify(&tree, &registry, &["sci/nist-basic:forged", "--provenance"]).code(7).stdout;
    assert!(told.contains("fails  its inputs are v1:sha256:0, and commit "), "{told}");
    registry.image("x/sci/other:1", &[]);
    let json = verify(&tree, &registry, &["sci/other:1", "--format", "json"]).code(7).stdout;
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&document["format_version"], &document["holds"]), (&"1.0".into(), &false.into()));
}

#[test]
fn a_merge_is_no_change_of_what_it_only_brought_together() {
    let mut tree = Tree::sample();
    let registry = Registry::start();
    publish(&tree, &registry);
    tree.git(&["checkout", "--quiet", "-b", "side"]);
    tree.write("compat/common/Dockerfile", "USER 1001\nCMD [\"true\"]\n");
    tree.commit();
    let side = tree.head();
    tree.git(&["checkout", "--quiet", "-"]);
    tree.write("science/nist-basic/README.md", "another text\n");
    tree.commit();
    tree.git(&["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
    assert_ne!(side, tree.head());
    let told = verify(&tree, &registry, &["rel/nist-basic:2.0"]).code(7).stdout;
    let line = told.lines().find(|line| line.contains("changed since by")).unwrap();
    assert_eq!(line.matches(&side[..7]).count(), 1, "{told}");
    assert!(!line.contains(&tree.head()[..7]), "{told}");
}

/// Another client moves a tag to an image with the same labels and an additional layer.
#[test]
fn a_moving_tag_that_shows_another_image_with_the_right_labels_does_not_hold() {
    let tree = Tree::sample();
    let registry = Registry::start();
    publish(&tree, &registry);
    verify(&tree, &registry, &["rel/nist-basic:1.0"]).code(0);
    registry.move_tag("x/rel/nist-basic:1.0");
    let moved = verify(&tree, &registry, &["rel/nist-basic:1.0"]).code(7);
    let fails = moved.stdout.lines().filter(|line| line.contains("    fails")).collect::<Vec<_>>();
    assert_eq!(fails.len(), 1, "{}", moved.stdout);
    assert!(fails[0].contains("its labels name the build $REGISTRY/x/rel/nist-basic:1.0-2-"), "{}", fails[0]);
    assert!(fails[0].contains(", which shows sha256:"), "{}", fails[0]);
    // The same for a parent; the product itself is unchanged.
    registry.move_tag("x/sci/nist-basic:1.0");
    let parent = verify(&tree, &registry, &["rel/nist-basic:1.0"]).code(7);
    assert!(
        parent.stdout.contains("sci/nist-basic:1.0 shows an image that is not the build 1.0-2-"),
        "{}",
        parent.stdout
    );
    // An image named by its build tag is compared with itself.
    let build = format!("rel/nist-basic:1.0-2-{}", &tree.head()[..7]);
    let by_build = verify(&tree, &registry, &[&build]).code(7);
    assert!(!by_build.stdout.contains("its labels name"), "{}", by_build.stdout);
}
