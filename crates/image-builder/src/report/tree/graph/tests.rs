//! Graphs in all forms. Where graphviz is not installed, DOT is checked against its grammar.

use planner::layer_graph::{CompatNode, Edge, EdgeRole, LayerGraph, Node, Product, ScienceNode};

use super::grouping::TouchedIds;
use super::*;
use crate::report::text::format::Paint;

fn layer(path: &str, image: &str, version: &str, is_final: bool) -> ScienceNode {
    ScienceNode {
        path: path.to_owned(),
        image: image.to_owned(),
        version: version.to_owned(),
        target: path.trim_start_matches("science/").to_owned(),
        is_final,
        compat: is_final.then(|| "jupyter".to_owned()),
    }
}

fn edge(from: &str, to: Node, role: EdgeRole) -> Edge {
    Edge { from: from.to_owned(), to, role }
}

fn on(from: &str, path: &str) -> Edge {
    edge(from, Node::Layer { path: path.to_owned() }, EdgeRole::Base)
}

fn sample() -> LayerGraph {
    let debian = "docker.io/library/debian:12".to_owned();
    LayerGraph {
        // By path the upper layer comes first; the list shows the lower one first.
        science: vec![
            layer("science/a-top", "nist", "1.0", true),
            layer("science/b-base", "nist", "1.0", false),
        ],
        compat: vec![
            CompatNode { path: "compat/common".to_owned(), name: "common".to_owned(), includes: Vec::new() },
            CompatNode {
                path: "compat/jupyter".to_owned(),
                name: "jupyter".to_owned(),
                includes: vec!["common".to_owned()],
            },
        ],
        edges: vec![
            edge("compat/jupyter", Node::Layer { path: "compat/common".to_owned() }, EdgeRole::Include),
            on("science/a-top", "science/b-base"),
            edge(
                "science/a-top",
                Node::Pinned {
                    reference: "r.example.org/x/sci/b-base:1.0-2-abcdef0".to_owned(),
                    layer: Some("science/b-base".to_owned()),
                },
                EdgeRole::Copy,
            ),
            edge("science/b-base", Node::External { reference: debian.clone() }, EdgeRole::Base),
        ],
        externals: vec![debian],
        products: vec![Product {
            id: "rel/nist:1.0".to_owned(),
            image: "nist".to_owned(),
            version: "1.0".to_owned(),
            final_layer: "science/a-top".to_owned(),
            stack: vec!["common".to_owned(), "jupyter".to_owned()],
        }],
    }
}

#[test]
fn the_list_goes_from_the_bottom_up() {
    insta::assert_snapshot!(text(&sample(), None, Paint::Plain), @"
    nist:1.0
      science/b-base  sci/b-base:1.0
          on docker.io/library/debian:12
      science/a-top  sci/a-top:1.0  final
          on science/b-base
          copies from r.example.org/x/sci/b-base:1.0-2-abcdef0 (pinned, of science/b-base)
      rel/nist:1.0  compat common and jupyter

    compat layers
      compat/common
      compat/jupyter  includes common

    external images
      docker.io/library/debian:12
    ");
}

#[test]
fn what_the_plan_builds_is_marked() {
    let touched = TouchedIds::from(["science/a-top".to_owned(), "rel/nist:1.0".to_owned()]);
    let report = text(&sample(), Some(&touched), Paint::Plain);
    let marked: Vec<&str> = report.lines().filter(|line| line.starts_with('*')).collect();
    assert_eq!(
        marked,
        [
            "* science/a-top  sci/a-top:1.0  final",
            "* rel/nist:1.0  compat common and jupyter",
            "* is built by the plan"
        ]
    );
}

#[test]
fn dot_has_clusters_and_dashes() {
    insta::assert_snapshot!(dot(&sample(), Some(&TouchedIds::from(["science/a-top".to_owned()]))), @r#"
    digraph layers {
      rankdir=TB;
      node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];
      edge [fontname="sans-serif", fontsize=10];
      subgraph "cluster nist:1.0" {
        label="nist:1.0";
        "science/b-base" [label="science/b-base\nsci/b-base:1.0"];
        "science/a-top" [label="science/a-top\nsci/a-top:1.0", penwidth=2, fillcolor=gold];
        "rel/nist:1.0" [label="rel/nist:1.0", shape=component];
      }
      "compat/common" [label="compat/common", shape=note];
      "compat/jupyter" [label="compat/jupyter", shape=note];
      {
        rank=sink;
        "docker.io/library/debian:12" [label="docker.io/library/debian:12", shape=ellipse, color=gray50];
        "r.example.org/x/sci/b-base:1.0-2-abcdef0" [label="r.example.org/x/sci/b-base:1.0-2-abcdef0", shape=ellipse, color=gray50];
      }
      "compat/jupyter" -> "compat/common" [label="includes"];
      "science/a-top" -> "science/b-base";
      "science/a-top" -> "r.example.org/x/sci/b-base:1.0-2-abcdef0" [style=dashed, label="copy"];
      "science/b-base" -> "docker.io/library/debian:12";
      "rel/nist:1.0" -> "science/a-top";
      "rel/nist:1.0" -> "compat/jupyter" [label="compat"];
    }
    "#);
}

#[test]
fn hostile_names_stay_inside_their_quotes() {
    let mut graph = sample();
    graph.science[0].path = "science/\"];x -> y;\\\n\x1b[0m".to_owned();
    let drawn = dot(&graph, None);
    assert!(drawn.contains(r#""science/\"];x -> y;\\\\n\\x1b[0m" [label="#), "{drawn}");
    assert!(!drawn.contains('\x1b'));
    for line in drawn.lines() {
        let unescaped = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(unescaped.matches('"').count() % 2, 0, "{line}");
    }
}

#[test]
fn mermaid_has_subgraphs_and_dashes() {
    let touched = TouchedIds::from(["science/a-top".to_owned(), "compat/common".to_owned()]);
    insta::assert_snapshot!(mermaid(&sample(), Some(&touched)), @r#"
    flowchart TB
      subgraph g0["nist:1.0"]
        n0["science/b-base<br/>sci/b-base:1.0"]
        class n0 science
        n1["science/a-top<br/>sci/a-top:1.0"]
        class n1 final
        class n1 touched
        n2[["rel/nist:1.0<br/>compat/jupyter<br/>compat/common"]]
        class n2 product
      end
        n3[/"compat/common"/]
        class n3 compat
        class n3 touched
        n4[/"compat/jupyter"/]
        class n4 compat
        n5(["r.example.org/x/sci/b-base:1.0-2-abcdef0"])
        class n5 outside
        n6(["docker.io/library/debian:12"])
        class n6 outside
      n4 -->|includes| n3
      n1 --> n0
      n1 -.->|copy| n5
      n0 --> n6
      n2 --> n1
      classDef science fill:#dbeafe,stroke:#1d4ed8,color:#0f172a
      classDef final fill:#dbeafe,stroke:#1d4ed8,stroke-width:3px,color:#0f172a
      classDef product fill:#dcfce7,stroke:#15803d,color:#0f172a
      classDef compat fill:#fef9c3,stroke:#a16207,color:#0f172a
      classDef outside fill:#f1f5f9,stroke:#64748b,color:#0f172a
      classDef touched fill:#fde047
    "#);
}

#[test]
fn mermaid_reads_no_name_as_more_than_text() {
    let mut graph = sample();
    graph.science[0].path =
        "science/\"]; click n0 \"javascript:x\" %%{init: {}}%% <b>`#\x1b[0m\nend".to_owned();
    graph.edges[1].from.clone_from(&graph.science[0].path);
    let drawn = mermaid(&graph, None);
    let line = drawn.lines().find(|line| line.contains("click")).expect("the node is there").trim();
    let (label, rest) = line.strip_prefix("n1[\"").and_then(|rest| rest.split_once('"')).expect("a label");
    assert_eq!(rest, "]");
    // The tool writes `<br/>`; every other character with a meaning must be an entity.
    let label = label.replace("<br/>", "");
    assert!(!label.contains(['<', '>', '"', '%', '`', '&', '\x1b']), "{label}");
    assert!(label.contains("#34;#93;") || label.contains("#34;]"), "{label}");
}

#[test]
fn the_document_says_its_version_and_what_is_touched() {
    let json = |touched: Option<&TouchedIds>| -> serde_json::Value {
        serde_json::from_str(&json(&sample(), touched).expect("a graph is JSON")).expect("it is JSON")
    };
    let document = json(None);
    assert_eq!(document["format_version"], "1.0");
    assert!(document["touched"].is_null());
    assert_eq!(document["science"][0]["final"], true);
    assert_eq!(document["edges"][1]["to"]["kind"], "layer");
    assert_eq!(document["edges"][2]["to"]["kind"], "pinned");
    assert_eq!(document["products"][0]["stack"][1], "jupyter");
    let document = json(Some(&TouchedIds::from(["science/a-top".to_owned()])));
    assert_eq!(document["touched"], serde_json::json!(["science/a-top"]));
    let keys: Vec<&String> = document.as_object().expect("an object").keys().collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
}

#[test]
fn a_long_chain_needs_no_deep_stack() {
    let path = |n: usize| format!("science/{:05}", 99_999 - n);
    let graph = LayerGraph {
        science: (0..20_000).map(|n| layer(&path(n), "x", "1.0", n == 19_999)).collect(),
        edges: (1..20_000).map(|n| on(&path(n), &path(n - 1))).collect(),
        ..LayerGraph::default()
    };
    let report = text(&graph, None, Paint::Plain);
    let layers: Vec<&str> = report.lines().filter(|line| line.contains("  sci/")).collect();
    assert!(layers[0].contains(&path(0)) && layers[19_999].contains(&path(19_999)));
}
