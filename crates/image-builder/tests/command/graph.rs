//! `graph`: the list and the drawing.

use std::fs;
use std::path::{Path, PathBuf};

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
      {
        rank=sink;
        "docker.io/library/debian:12.5" [label="docker.io/library/debian:12.5", shape=ellipse, color=gray50];
      }
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

#[test]
fn a_part_is_what_a_layer_stands_on_or_what_stands_on_it() {
    let tree = Tree::sample();
    let run = tree.run(&["graph", "--layer", "nist-basic:1.0", "--up"]).code(0);
    assert!(
        run.stdout.contains("rel/nist-basic:1.0") && !run.stdout.contains("nist-basic-2"),
        "{}",
        run.stdout
    );
    let run = tree.run(&["graph", "--layer", "science/nist-basic-2", "--down"]).code(0);
    assert!(run.stdout.contains("rel/nist-basic:2.0") && !run.stdout.contains("debian"), "{}", run.stdout);
    let run = tree.run(&["graph", "--layer", "nist-basik"]).code(2);
    assert!(run.stderr.contains("did you mean nist-basic?"), "{}", run.stderr);
    tree.run(&["graph", "--up"]).code(2);
}

#[test]
fn every_format_can_be_written_to_a_file() {
    let tree = Tree::sample();
    for (format, begin) in [
        ("text", "nist-basic:1.0\n"),
        ("dot", "digraph layers {"),
        ("mermaid", "flowchart TB\n"),
        ("svg", "<svg "),
        ("json", "{\n  \"format_version\": \"1.0\""),
    ] {
        let file = tree.home().join("drawn");
        let run = tree
            .run(&["graph", "--format", format, "--out", file.to_str().expect("a path of letters")])
            .code(0);
        assert_eq!(run.stdout, "");
        let drawn = fs::read_to_string(&file).expect("it was written");
        assert!(drawn.starts_with(begin), "{format}: {drawn}");
        assert_eq!(tree.run(&["graph", "--format", format]).code(0).stdout, drawn);
    }
}

/// `UPDATE_EXAMPLES=1` writes the new picture.
#[test]
fn the_picture_in_the_readme_is_what_the_tool_draws_of_this_repository() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tree = Tree::new();
    let mut open = vec![PathBuf::from("science"), PathBuf::from("compat")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(workspace.join(&directory)).expect("the repository has layers") {
            let entry = entry.expect("readable");
            let path = directory.join(entry.file_name());
            if entry.file_type().expect("it has a type").is_dir() {
                open.push(path);
            } else {
                let text = fs::read_to_string(entry.path()).expect("layers are texts");
                tree.write(path.to_str().expect("a path of letters"), &text);
            }
        }
    }
    tree.commit();
    let drawn = tree.run(&["graph", "--format", "svg"]).code(0).stdout;
    let file = workspace.join("docs/layers.svg");
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(&file, &drawn).expect("the picture can be written");
    }
    let kept = fs::read_to_string(&file).expect("the picture is there");
    assert!(kept == drawn, "docs/layers.svg is not of today: UPDATE_EXAMPLES=1 writes it anew");
}
