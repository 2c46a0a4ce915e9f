//! Checks properties of a readable picture on random trees: nothing overlaps and no text is cut.
//! Its appearance was checked by eye.

use planner::layer_graph::{CompatNode, Edge, EdgeRole, Node, Product, ScienceNode};

use super::chart::Tie;
use super::*;

/// A random tree with this many layers and images: chains, copies across products, pinned builds,
/// products on two stacks.
fn tree(seed: u64, layers: usize, images: usize) -> LayerGraph {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut graph = LayerGraph {
        compat: [("common", vec![]), ("jupyter", vec!["common"]), ("rstudio", vec!["jupyter", "common"])]
            .into_iter()
            .map(|(name, includes)| CompatNode {
                path: format!("compat/{name}"),
                name: name.to_owned(),
                includes: includes.into_iter().map(str::to_owned).collect(),
            })
            .collect(),
        ..LayerGraph::default()
    };
    let path = |layer: usize| format!("science/layer-{layer}{}", "-x".repeat(layer % 7));
    let layer = |layer: usize| Node::Layer { path: path(layer) };
    let mut last: Vec<Option<usize>> = vec![None; images];
    for number in 0..layers {
        let image = if number < images { number } else { random.usize(..images) };
        let base = match last[image] {
            // Occasionally a layer of another product lies in between.
            Some(below) if random.f64() < 0.9 => layer(below),
            _ if number > 0 && random.f64() < 0.8 => layer(random.usize(..number)),
            _ => Node::External { reference: format!("docker.io/library/base-{}:1", random.usize(..4)) },
        };
        graph.edges.push(Edge { from: path(number), to: base, role: EdgeRole::Base });
        if number > 0 && random.f64() < 0.15 {
            let to = layer(random.usize(..number));
            graph.edges.push(Edge { from: path(number), to, role: EdgeRole::Copy });
        }
        if random.f64() < 0.1 {
            let reference = format!("registry.example.org/images/sci/layer:{}-1-abcdef0", random.usize(..3));
            let to = Node::Pinned { reference, layer: Some(path(random.usize(..layers))) };
            graph.edges.push(Edge { from: path(number), to, role: EdgeRole::Stage });
        }
        last[image] = Some(number);
        graph.science.push(ScienceNode {
            path: path(number),
            image: format!("image-{image}"),
            version: "1.0".to_owned(),
            target: format!("layer-{number}"),
            is_final: false,
            compat: None,
        });
    }
    for (image, last) in last.iter().enumerate() {
        let Some(last) = last else { continue };
        graph.science[*last].is_final = true;
        if image % 4 < 3 {
            graph.products.push(Product {
                id: format!("rel/image-{image}:1.0"),
                image: format!("image-{image}"),
                version: "1.0".to_owned(),
                final_layer: path(*last),
                stack: ["common", "jupyter", "rstudio"][..=image % 3]
                    .iter()
                    .map(|s| (*s).to_owned())
                    .collect(),
            });
        }
    }
    let copies = Edge { from: "compat/rstudio".to_owned(), to: layer(0), role: EdgeRole::Copy };
    graph.edges.push(copies);
    for (from, to) in [("jupyter", "common"), ("rstudio", "jupyter"), ("rstudio", "common")] {
        graph.edges.push(Edge {
            from: format!("compat/{from}"),
            to: Node::Layer { path: format!("compat/{to}") },
            role: EdgeRole::Include,
        });
    }
    graph.edges.sort();
    graph.edges.dedup();
    graph
}

fn overlap(a: Area, b: Area) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

/// A straight piece of a line: from, to, and the number of the line.
type Segment = ((f64, f64), (f64, f64), usize);

/// Appends the straight pieces of a path; corners are left out.
fn segments(path: &str, line: usize, out: &mut Vec<Segment>) {
    let mut at = (0.0, 0.0);
    let spaced: String = path
        .chars()
        .flat_map(|c| if c.is_ascii_alphabetic() { vec![' ', c, ' '] } else { vec![c] })
        .collect();
    let mut words = spaced.split_whitespace();
    while let Some(command) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<f64>().ok()).expect("a number");
        let to = match command {
            "M" => {
                at = (number(), number());
                continue;
            }
            "Q" => {
                let (_, _) = (number(), number());
                at = (number(), number());
                continue;
            }
            "V" => (at.0, number()),
            "H" => (number(), at.1),
            other => panic!("no such command: {other} in {path}"),
        };
        out.push((at, to, line));
        at = to;
    }
}

fn inside(segment: &Segment, area: Area) -> bool {
    let ((ax, ay), (bx, by), _) = *segment;
    let (left, right) = (ax.min(bx), ax.max(bx));
    let (top, bottom) = (ay.min(by), ay.max(by));
    // A line may end at a border.
    right > area.x + 1.0
        && left < area.x + area.width - 1.0
        && bottom > area.y + 1.0
        && top < area.y + area.height - 1.0
}

/// Whether two pieces of different nets overlap for more than a few pixels.
fn on_each_other(a: &Segment, b: &Segment) -> bool {
    let along = |a: (f64, f64), b: (f64, f64)| a.1.min(b.1) - a.0.max(b.0);
    let span = |a: f64, b: f64| (a.min(b), a.max(b));
    let upright = |s: &Segment| (s.0.0 - s.1.0).abs() < 0.1;
    if upright(a) && upright(b) {
        (a.0.0 - b.0.0).abs() < 1.5 && along(span(a.0.1, a.1.1), span(b.0.1, b.1.1)) > 4.0
    } else if !upright(a) && !upright(b) {
        (a.0.1 - b.0.1).abs() < 1.5 && along(span(a.0.0, a.1.0), span(b.0.0, b.1.0)) > 4.0
    } else {
        false
    }
}

fn check(graph: &LayerGraph) -> usize {
    let chart = Chart::of_layers(graph, None);
    let picture = picture(&chart);
    for (at, a) in picture.boxes.iter().enumerate() {
        for b in &picture.boxes[..at] {
            assert!(
                !overlap(a.area, b.area),
                "{} and {}",
                chart.cards[a.card].title,
                chart.cards[b.card].title
            );
        }
        let own = chart.cards[a.card].width();
        assert!(own <= a.area.width + 0.5, "{} is cut", chart.cards[a.card].title);
    }
    assert_eq!(picture.boxes.len(), chart.cards.len());
    for (at, a) in picture.frames.iter().enumerate() {
        for b in &picture.frames[..at] {
            assert!(!overlap(a.area, b.area), "{} and {}", a.title, b.title);
        }
    }
    let mut pieces = Vec::new();
    for (at, line) in picture.lines.iter().enumerate() {
        segments(&line.path, at, &mut pieces);
    }
    for piece in &pieces {
        for shape in &picture.boxes {
            assert!(!inside(piece, shape.area), "{piece:?} runs through {}", chart.cards[shape.card].title);
        }
    }
    let net = |piece: &Segment| (picture.lines[piece.2].colour, picture.lines[piece.2].style);
    let mut bad = 0;
    for (at, a) in pieces.iter().enumerate() {
        for b in pieces[..at].iter().filter(|b| net(a) != net(b) && on_each_other(a, b)) {
            eprintln!("net {:?} at {:?}-{:?} lies on {:?} at {:?}-{:?}", net(a), a.0, a.1, net(b), b.0, b.1);
            bad += 1;
        }
    }
    bad
}

#[test]
fn nothing_lies_on_anything_else() {
    let mut bad = 0;
    for seed in 0..40 {
        bad += check(&tree(seed, 50, 12));
        bad += check(&tree(seed, 9, 4));
    }
    assert_eq!(bad, 0, "lines that lie on each other");
}

#[test]
fn every_tie_is_drawn_and_leads_down() {
    for seed in 0..20 {
        let graph = tree(seed, 50, 12);
        let chart = Chart::of_layers(&graph, None);
        let picture = picture(&chart);
        let y = |card: usize| picture.boxes.iter().find(|shape| shape.card == card).map(|shape| shape.area.y);
        let tips = picture.lines.iter().filter(|line| line.tip.is_some()).count();
        let mut ends: Vec<(usize, Style)> = chart.ties.iter().map(|tie| (tie.to, tie.style)).collect();
        ends.sort();
        ends.dedup();
        assert!(tips >= ends.len(), "seed {seed}: {tips} arrows for {} ends", ends.len());
        for Tie { from, to, .. } in &chart.ties {
            assert!(
                y(*from) < y(*to),
                "seed {seed}: {} → {}",
                chart.cards[*from].title,
                chart.cards[*to].title
            );
        }
    }
}

#[test]
fn images_from_elsewhere_are_at_the_bottom() {
    let graph = tree(3, 50, 12);
    let chart = Chart::of_layers(&graph, None);
    let picture = picture(&chart);
    let of = |outside: bool| {
        let is_outside = |card: usize| {
            matches!(chart.cards[card].kind, CardKind::External | CardKind::Pinned | CardKind::Published)
        };
        picture.boxes.iter().filter(move |shape| is_outside(shape.card) == outside).map(|shape| shape.area.y)
    };
    assert!(of(false).fold(f64::MIN, f64::max) < of(true).fold(f64::MAX, f64::min));
}

#[test]
fn it_is_xml_with_titles_and_a_background_whatever_the_names() {
    let mut graph = tree(1, 12, 3);
    let hostile = "science/<script>alert('1')</script>&amp;\"\u{1b}[0m\u{202e}\u{ffff}]]>--";
    let before = std::mem::replace(&mut graph.science[0].path, hostile.to_owned());
    for edge in &mut graph.edges {
        if edge.from == before {
            edge.from = hostile.to_owned();
        }
    }
    let touched = TouchedIds::from([hostile.to_owned()]);
    let text = svg(&graph, Some(&touched));
    let document = roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(document.descendants().all(|node| node.tag_name().name() != "script"));
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{ffff}']));
    let titles: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect();
    assert!(
        titles.iter().any(|title| title.starts_with("science/<script>") && title.contains("touched")),
        "{titles:?}"
    );
    assert!(titles.len() > graph.science.len() + graph.products.len(), "{titles:?}");
    let background = document.descendants().find(|node| node.has_tag_name("rect")).expect("a rectangle");
    assert_eq!(background.attribute("fill"), Some("#ffffff"));
    assert_eq!(background.attribute("width"), Some("100%"));
}

#[test]
fn what_the_plan_touches_is_marked_by_more_than_a_colour() {
    let graph = tree(1, 12, 3);
    let marks = |touched: Option<&TouchedIds>| svg(&graph, touched).matches("<circle class=\"mark\"").count();
    assert_eq!(marks(None), 0);
    let touched = TouchedIds::from([graph.science[2].path.clone(), graph.products[0].id.clone()]);
    // Two nodes and the legend.
    assert_eq!(marks(Some(&touched)), 3);
}

#[test]
fn an_empty_tree_is_a_picture_too() {
    let text = svg(&LayerGraph::default(), None);
    assert!(roxmltree::Document::parse(&text).is_ok(), "{text}");
}

#[test]
fn layers_that_need_each_others_products_are_taken_apart() {
    let node = |path: &str, image: &str, is_final| ScienceNode {
        path: path.to_owned(),
        image: image.to_owned(),
        version: "1".to_owned(),
        target: path.to_owned(),
        is_final,
        compat: None,
    };
    let on = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: Node::Layer { path: to.to_owned() },
        role: EdgeRole::Base,
    };
    let graph = LayerGraph {
        science: vec![node("a", "x", false), node("b", "y", true), node("c", "x", true)],
        edges: vec![on("b", "a"), on("c", "b")],
        ..LayerGraph::default()
    };
    assert_eq!(check(&graph), 0);
    let titles: Vec<String> =
        picture(&Chart::of_layers(&graph, None)).frames.into_iter().map(|frame| frame.title).collect();
    assert_eq!(titles, ["x:1", "y:1", "x:1"]);
}

#[test]
fn a_thousand_layers_are_drawn() {
    let text = svg(&tree(5, 1000, 250), None);
    assert_eq!(text.matches("class=\"card science").count(), 1000 + 2);
}
