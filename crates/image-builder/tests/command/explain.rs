//! `explain`: its output and its errors.

use serde_json::Value;

use crate::support::Tree;

#[test]
fn a_product_is_explained_by_the_file_that_changed_below_it() {
    insta::assert_snapshot!(Tree::sample().run(&["explain", "nist-basic:2.0"]).code(0).stdout, @"
    plan for commit 77fe882, compared with 1ae6dd9

    rel/nist-basic:2.0 is built => rel/nist-basic:2.0-2-77fe882, rel/nist-basic:2.0
      science/nist-basic: changed: science/nist-basic/packages.txt
        └─ science/nist-basic-2 is based on it (Dockerfile:1)
           └─ rel/nist-basic:2.0 is its compat image
    ");
}

#[test]
fn several_can_be_asked_for_and_what_is_not_built_says_why() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/x", "x");
    tree.commit();
    let run = tree.run(&["explain", "science/nist-basic", "nist-basic:1.0", "jupyter"]).code(0);
    insta::assert_snapshot!(run.stdout, @"
    plan for commit 85b8376, compared with 77fe882

    science/nist-basic is not built
      nothing in it changed since 77fe882
      it needs no other layer of the tree
      the compat image on top of it, rel/nist-basic:1.0, is not built

    rel/nist-basic:1.0 is not built
      its final layer, science/nist-basic, is not built:
        nothing in it changed since 77fe882
        it needs no other layer of the tree
      no layer of its compat stack changed in what it builds: compat/common and compat/jupyter

    compat/jupyter has no image of its own, and nothing is built because of it
      nothing in it changed since 77fe882
      of the products that have it in their stack, rel/nist-basic:2.0 is built
      of the products that have it in their stack, rel/nist-basic:1.0 is not built
    ");
    let run = tree.run(&["explain", "--ref", "HEAD~2", "nist-basic"]).code(0);
    assert!(run.stdout.contains("science/nist-basic is built"), "{}", run.stdout);
}

#[test]
fn an_unknown_name_gets_the_closest_one_and_exit_2() {
    let run = Tree::sample().run(&["explain", "science/nist-basik"]).code(2);
    insta::assert_snapshot!(run.stderr, @r#"
    error: no layer or product of this source tree is called "science/nist-basik"
      help: did you mean science/nist-basic?
    "#);
    assert_eq!(run.stdout, "");
}

#[test]
fn the_document_has_one_explanation_for_each_name() {
    let run = Tree::sample().run(&["explain", "nist-basic-2", "compat/common", "--format", "json"]).code(0);
    let document: Value = serde_json::from_str(&run.stdout).expect("it is JSON");
    assert_eq!(document.as_array().map(Vec::len), Some(2));
    assert_eq!(document[0]["format_version"], "1.0");
    assert_eq!(document[0]["chains"][0]["cause"]["type"], "file-changed");
    assert_eq!(document[0]["chains"][0]["steps"][1]["link"], "needs");
    assert_eq!(document[0]["chains"][0]["steps"][1]["line"], 1);
    assert_eq!(document[1]["subject"]["kind"], "compat");
    assert_eq!(document[1]["built"], false);
}

#[test]
fn a_saved_plan_is_explained_without_its_tree() {
    let tree = Tree::sample();
    let file = tree.home().join("plan.json");
    let file = file.to_str().expect("a path of letters");
    tree.run(&["plan", "--out", file]).code(0);
    let from_git = tree.run(&["explain", "nist-basic:2.0"]).code(0).stdout;
    tree.remove("science");
    tree.remove("compat");
    let elsewhere = Tree::new();
    let run = elsewhere.run(&["explain", "--plan", file, "nist-basic:2.0"]).code(0);
    assert_eq!(run.stdout, from_git);
    let run = elsewhere.run(&["explain", "--plan", file, "other"]).code(2);
    assert!(run.stderr.contains("the plan neither builds \"other\""), "{}", run.stderr);
    let run = elsewhere.run(&["explain", "--plan", file, "--all", "other"]).code(2);
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
    elsewhere.write("no-plan.json", "{}");
    elsewhere.run(&["explain", "--plan", "no-plan.json", "x"]).code(2);
    elsewhere.run(&["explain", "--plan", "absent.json", "x"]).code(5);
}
