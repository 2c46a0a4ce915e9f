//! `graph`: the list and the drawing.

use crate::support::Tree;

#[test]
fn the_list_shows_what_stands_on_what() {
    insta::assert_snapshot!(Tree::sample().run(&["graph"]).code(0).stdout, @"
    nist-basic:1.0
      science/nist-basic  sci/nist-basic:1.0  final
          on docker.io/library/debian:12.5
      rel/nist-basic:1.0  compat common and jupyter

    nist-basic:2.0
      science/nist-basic-2  sci/nist-basic-2:2.0  final
          on science/nist-basic
      rel/nist-basic:2.0  compat common and jupyter

    compat layers
      compat/common
      compat/jupyter  includes common

    external images
      docker.io/library/debian:12.5
    ");
}

#[test]
fn what_a_plan_builds_is_marked_when_asked_for() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/x", "x");
    tree.commit();
    assert!(!tree.run(&["graph"]).code(0).stdout.contains('*'));
    for arguments in [&["graph", "--planned"][..], &["graph", "--ref", "HEAD^"]] {
        let list = tree.run(arguments).code(0).stdout;
        let marked: Vec<&str> =
            list.lines().filter_map(|line| line.strip_prefix("* ")?.split(' ').next()).collect();
        assert_eq!(marked, ["science/nist-basic-2", "rel/nist-basic:2.0", "is"], "{list}");
    }
}

#[test]
fn the_drawing_is_dot() {
    insta::assert_snapshot!(Tree::sample().run(&["graph", "--format", "dot"]).code(0).stdout, @r#"
    digraph layers {
      rankdir=TB;
      node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];
      edge [fontname="sans-serif", fontsize=10];
      subgraph "cluster nist-basic:1.0" {
        label="nist-basic:1.0";
        "science/nist-basic" [label="science/nist-basic\nsci/nist-basic:1.0", penwidth=2];
        "rel/nist-basic:1.0" [label="rel/nist-basic:1.0", shape=component];
      }
      subgraph "cluster nist-basic:2.0" {
        label="nist-basic:2.0";
        "science/nist-basic-2" [label="science/nist-basic-2\nsci/nist-basic-2:2.0", penwidth=2];
        "rel/nist-basic:2.0" [label="rel/nist-basic:2.0", shape=component];
      }
      "compat/common" [label="compat/common", shape=note];
      "compat/jupyter" [label="compat/jupyter", shape=note];
      "docker.io/library/debian:12.5" [label="docker.io/library/debian:12.5", shape=ellipse, color=gray50];
      "compat/jupyter" -> "compat/common" [label="includes"];
      "science/nist-basic" -> "docker.io/library/debian:12.5";
      "science/nist-basic-2" -> "science/nist-basic";
      "rel/nist-basic:1.0" -> "science/nist-basic";
      "rel/nist-basic:1.0" -> "compat/jupyter" [label="compat"];
      "rel/nist-basic:2.0" -> "science/nist-basic-2";
      "rel/nist-basic:2.0" -> "compat/jupyter" [label="compat"];
    }
    "#);
}
