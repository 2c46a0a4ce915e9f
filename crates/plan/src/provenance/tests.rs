//! Provenance of images that were made by this tool, by the previous tool and by others.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// Number of visited labels.
    static WORK: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn work() {
    WORK.set(WORK.get() + 1);
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The steps, one a line, indented by depth.
fn shown(trail: &Provenance) -> String {
    let mut out = String::new();
    for step in &trail.steps {
        let what = match &step.what {
            StepKind::Build { crumb, known } => {
                let crumb = &trail.crumbs[*crumb];
                format!("{} {} {known:?}", crumb.repository(), crumb.version.as_deref().unwrap_or("?"))
            }
            StepKind::Copied { layer, build_tag } => format!("copied {layer} {build_tag:?}"),
            StepKind::Image { reference, digest } => format!("image {reference} {digest:?}"),
        };
        out.push_str(&format!("{}{what}\n", "  ".repeat(step.depth)));
    }
    for crumb in &trail.foreign {
        out.push_str(&format!("foreign {}\n", trail.crumbs[*crumb].repository()));
    }
    out
}

fn product() -> BTreeMap<String, String> {
    labels(&[
        ("org.sciserver.science.nist.version", "1.0-41-0a1b2c3"),
        ("org.sciserver.science.nist.buildtime", "1700000000"),
        ("org.sciserver.science.nist.inputs", "v1:sha256:1"),
        (
            "org.sciserver.science.nist.from",
            r#"{"layers":{},"images":{"docker.io/library/debian:12":"sha256:d"}}"#,
        ),
        ("org.sciserver.science.sky.version", "2.0-42-f90dbd6"),
        ("org.sciserver.science.sky.buildtime", "1700000010.5"),
        (
            "org.sciserver.science.sky.from",
            r#"{"layers":{"nist:1.0":"1.0-41-0a1b2c3","tools:1.0":"1.0-3-aaaaaaa"},"images":{},"future":1}"#,
        ),
        ("org.sciserver.compat.version", "sky:2.0-42-f90dbd6"),
        ("org.sciserver.compat.buildtime", "1700000020"),
        (
            "org.sciserver.compat.from",
            r#"{"layers":{"sky:2.0":"2.0-42-f90dbd6"},"stack":["common","jupyter"]}"#,
        ),
        (oci::REF_NAME, "registry.example.org/images/rel/sky:2.0"),
        (oci::TITLE, "sky 2.0"),
        ("maintainer", "somebody"),
    ])
}

#[test]
fn a_product_tells_its_whole_make_up() {
    let trail = Provenance::read(&product(), None).unwrap();
    assert_eq!(
        (trail.prefix.as_str(), trail.repo.as_deref()),
        ("org.sciserver", Some("registry.example.org/images"))
    );
    insta::assert_snapshot!(shown(&trail), @r#"
    rel/sky 2.0-42-f90dbd6 Top
      sci/sky 2.0-42-f90dbd6 Recorded
        sci/nist 1.0-41-0a1b2c3 Recorded
          image docker.io/library/debian:12 Some("sha256:d")
        copied tools:1.0 Some("1.0-3-aaaaaaa")
    "#);
    assert_eq!(trail.top().from.as_ref().unwrap().stack, ["common", "jupyter"]);
    let place = |kind, name: &str| {
        trail.crumbs.iter().position(|crumb| crumb.kind == kind && crumb.name == name).unwrap()
    };
    assert_eq!(trail.writer("org.sciserver.science.nist.from"), Writer::Build(place(Kind::Science, "nist")));
    assert_eq!(trail.writer(oci::TITLE), Writer::Build(place(Kind::Compat, "sky")));
    assert_eq!(trail.writer("org.sciserver.spec"), Writer::Build(place(Kind::Compat, "sky")));
    assert_eq!(trail.writer("maintainer"), Writer::Dockerfile);
}

#[test]
fn an_image_of_the_predecessor_is_put_in_order_by_its_times() {
    let labels = labels(&[
        ("org.sciserver.science.a.version", "1.0-9-0a1b2c3"),
        ("org.sciserver.science.a.buildtime", "1600000000.25"),
        ("org.sciserver.science.z.version", "1.0-7-0a1b2c3"),
        ("org.sciserver.science.z.buildtime", "1500000000"),
        ("org.sciserver.compat.version", "a:1.0-10-1a1b2c3"),
        ("org.sciserver.compat.buildtime", "1600000001"),
    ]);
    let trail = Provenance::read(&labels, None).unwrap();
    insta::assert_snapshot!(shown(&trail), @r"
    rel/a 1.0-10-1a1b2c3 Top
      sci/a 1.0-9-0a1b2c3 ByTime
        sci/z 1.0-7-0a1b2c3 ByTime
    ");
    assert_eq!(trail.repo, None);
    assert_eq!(trail.writer(oci::TITLE), Writer::Dockerfile, "the predecessor wrote no such label");
}

#[test]
fn what_a_foreign_base_brought_along_is_known() {
    let mut labels = product();
    labels.retain(|key, _| !key.contains(".compat."));
    labels.insert(
        "org.sciserver.science.nist.from".into(),
        r#"{"images":{"elsewhere.example/x/sci/alien:1.0":"sha256:e"}}"#.into(),
    );
    labels.insert("org.sciserver.science.alien.version".into(), "1.0-4-bbbbbbb".into());
    labels.insert("org.sciserver.science.alien.from".into(), "{}".into());
    labels.insert("org.sciserver.compat.version".into(), "alien:1.0-4-bbbbbbb".into());
    labels.insert(oci::REF_NAME.into(), "registry.example.org/images/sci/sky:2.0".into());
    let trail = Provenance::read(&labels, Some("org.sciserver")).unwrap();
    insta::assert_snapshot!(shown(&trail), @r#"
    sci/sky 2.0-42-f90dbd6 Top
      sci/nist 1.0-41-0a1b2c3 Recorded
        image elsewhere.example/x/sci/alien:1.0 Some("sha256:e")
      copied tools:1.0 Some("1.0-3-aaaaaaa")
    foreign rel/alien
    foreign sci/alien
    "#);
    assert!(matches!(trail.writer("org.sciserver.compat.version"), Writer::Foreign(_)));
}

#[test]
fn a_pinned_layer_is_a_step_and_not_an_image() {
    let mut labels = product();
    labels.insert(
        "org.sciserver.science.sky.from".into(),
        r#"{"images":{"registry.example.org/images/sci/nist:1.0-41-0a1b2c3":"sha256:e"}}"#.into(),
    );
    let trail = Provenance::read(&labels, None).unwrap();
    insta::assert_snapshot!(shown(&trail), @r#"
    rel/sky 2.0-42-f90dbd6 Top
      sci/sky 2.0-42-f90dbd6 Recorded
        sci/nist 1.0-41-0a1b2c3 Recorded
          image docker.io/library/debian:12 Some("sha256:d")
    "#);
}

#[test]
fn what_is_no_trail_is_none_and_what_is_broken_does_not_hide_the_rest() {
    assert_eq!(Provenance::read(&labels(&[]), None), None);
    for key in
        ["maintainer", "org.sciserver.science..version", ".science.x.version", "org.sciserver.science.x.size"]
    {
        assert_eq!(Provenance::read(&labels(&[(key, "1.0-4-bbbbbbb")]), None), None, "{key}");
    }
    let broken = labels(&[
        ("p.science.x.version", "\u{1b}nonsense"),
        ("p.science.x.buildtime", "NaN"),
        ("p.science.x.from", "{"),
        (oci::REF_NAME, "::"),
    ]);
    let trail = Provenance::read(&broken, Some("org.sciserver")).unwrap();
    assert_eq!((trail.prefix.as_str(), trail.top().build_time, trail.top().build_tag()), ("p", None, None));
    // Two builds that record each other as base are each listed once.
    let round = labels(&[
        ("p.science.x.version", "1-1-aaaaaaa"),
        ("p.science.x.from", r#"{"layers":{"y:1":"1-1-aaaaaaa"}}"#),
        ("p.science.y.version", "1-1-aaaaaaa"),
        ("p.science.y.from", r#"{"layers":{"x:1":"1-1-aaaaaaa"}}"#),
        (oci::REF_NAME, "r.example/i/sci/x:1"),
    ]);
    insta::assert_snapshot!(shown(&Provenance::read(&round, None).unwrap()), @r#"
    sci/x 1-1-aaaaaaa Top
      sci/y 1-1-aaaaaaa Recorded
        copied x:1 Some("1-1-aaaaaaa")
    "#);
}

#[test]
fn an_id_is_an_id_or_absent() {
    let id = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let wrong =
        [id("A"), id("a")[1..].to_owned(), id("a") + "a", id("a").replace("256", "512"), String::new()];
    for value in wrong.iter().map(|id| serde_json::json!(id)).chain([
        serde_json::json!(null),
        serde_json::json!(7),
        serde_json::json!([id("a")]),
    ]) {
        let text = serde_json::json!({"layers": {"m:1.0": "1.0-4-aaaaaaa"}, "ids": {"m:1.0": value, "n:1.0": id("b")}});
        let from: BuiltFrom = serde_json::from_value(text).unwrap();
        assert_eq!(from.ids, labels(&[("n:1.0", id("b").as_str())]), "{value}");
        assert_eq!(from.layers.len(), 1, "{value} hides nothing else");
    }
    for ids in [serde_json::json!("x"), serde_json::json!(null), serde_json::json!([[]])] {
        let from: BuiltFrom =
            serde_json::from_value(serde_json::json!({"stack": ["a"], "ids": ids})).unwrap();
        assert_eq!((from.ids.len(), from.stack), (0, vec!["a".to_owned()]));
    }
    let mut from = BuiltFrom::default();
    wrong.into_iter().for_each(|wrong| from.note_id("m:1.0".into(), wrong));
    assert_eq!(serde_json::to_string(&from).unwrap(), r#"{"layers":{},"images":{}}"#);
    from.note_id("m:1.0".into(), id("a"));
    let text = serde_json::to_string(&from).unwrap();
    assert_eq!(text, format!(r#"{{"layers":{{}},"images":{{}},"ids":{{"m:1.0":"{}"}}}}"#, id("a")));
    assert_eq!(serde_json::from_str::<BuiltFrom>(&text).unwrap(), from);
}

/// A reader from before the field `ids`.
#[test]
fn whoever_does_not_know_ids_reads_the_rest() {
    #[derive(Deserialize)]
    struct Before {
        layers: BTreeMap<String, Option<String>>,
    }
    let mut from = BuiltFrom::default();
    from.layers.insert("m:1.0".into(), Some("1.0-4-aaaaaaa".into()));
    from.note_id("m:1.0".into(), format!("sha256:{}", "a".repeat(64)));
    let before: Before = serde_json::from_str(&serde_json::to_string(&from).unwrap()).unwrap();
    assert_eq!(before.layers, from.layers);
}

/// Labels of an image of `count` builds: each is based on the next by its time; `deep` of them
/// record all others as ancestors.
fn builds(count: usize, deep: usize) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let all: BTreeMap<String, Option<String>> = (0..count).map(|n| (format!("l{n}:1.0"), None)).collect();
    let all = serde_json::to_string(&BuiltFrom { layers: all, ..BuiltFrom::default() }).unwrap();
    if deep > 0 {
        labels.insert(oci::REF_NAME.to_owned(), "r.example/i/sci/l0:1.0".to_owned());
    }
    for number in 0..count {
        let key = |field: &str| format!("p.science.l{number}.{field}");
        labels.insert(key("version"), "1.0-4-aaaaaaa".to_owned());
        labels.insert(key("buildtime"), (number * 7 % count).to_string());
        if number < deep {
            labels.insert(key("from"), all.clone());
        }
    }
    labels
}

/// The work is O(n log n) in the number of labels.
#[test]
fn case_quadratic_cpu_of_trails() {
    let cost = |count: usize, deep: usize| {
        let labels = builds(count, deep);
        WORK.set(0);
        let trail = Provenance::read(&labels, Some("p")).unwrap();
        assert_eq!(trail.builds().count(), count);
        assert!(trail.foreign.is_empty());
        for key in labels.keys() {
            assert!(matches!(trail.writer(key), Writer::Build(_)));
        }
        WORK.get()
    };
    for deep in [0, 4] {
        let (one, two) = (cost(500, deep), cost(1000, deep));
        assert!(two * 10 < one * 23, "{one} for half of what costs {two}");
        assert!(one < 500 * (deep + 4) * 12, "{one}");
    }
}

#[test]
fn case_quadratic_cpu_of_more_builds_than_an_image_has() {
    assert!(Provenance::read(&builds(1024, 0), None).is_some());
    assert_eq!(Provenance::read(&builds(1025, 0), None), None);
    assert!(Provenance::read(&builds(1024, 16), None).is_some());
    assert_eq!(Provenance::read(&builds(1024, 17), None), None);
    // Labels of another prefix do not hide these.
    let mut labels = builds(2000, 0);
    labels.extend(product());
    assert_eq!(Provenance::read(&labels, Some("org.sciserver")), Provenance::read(&product(), None));
}

/// The same walk by brute force: it visits all labels at every step.
fn by_looking_at_all(trail: &Provenance) -> (Vec<ProvenanceStep>, Vec<usize>) {
    let crumbs = &trail.crumbs;
    let named = |target: &str, tag: Option<&str>| {
        crumbs.iter().position(|crumb| {
            crumb.kind == Kind::Science
                && crumb.name == target
                && (tag.is_none() || crumb.version.as_deref() == tag)
        })
    };
    let time = |crumb: usize| crumbs[crumb].build_time.unwrap_or(f64::NEG_INFINITY);
    let (mut met, mut steps) = (BTreeSet::from([trail.top]), Vec::new());
    let mut open =
        vec![ProvenanceStep { depth: 0, what: StepKind::Build { crumb: trail.top, known: KnownBy::Top } }];
    while let Some(step) = open.pop() {
        let mut below = Vec::new();
        if let StepKind::Build { crumb: than, .. } = step.what {
            if let Some(from) = &crumbs[than].from {
                for (layer, tag) in &from.layers {
                    below.push(match named(layer.split(':').next().unwrap(), tag.as_deref()) {
                        Some(crumb) if met.insert(crumb) => {
                            StepKind::Build { crumb, known: KnownBy::Recorded }
                        }
                        _ => StepKind::Copied { layer: layer.clone(), build_tag: tag.clone() },
                    });
                }
            } else {
                let older = (0..crumbs.len())
                    .filter(|at| !met.contains(at))
                    .filter(|at| crumbs[*at].from.is_none() && crumbs[*at].kind == Kind::Science)
                    .filter(|at| crumbs[than].build_time.is_none() || time(*at) <= time(than))
                    .max_by(|a, b| time(*a).partial_cmp(&time(*b)).unwrap().then(b.cmp(a)));
                if let Some(crumb) = older {
                    met.insert(crumb);
                    below.push(StepKind::Build { crumb, known: KnownBy::ByTime });
                }
            }
        }
        open.extend(below.into_iter().rev().map(|what| ProvenanceStep { depth: step.depth + 1, what }));
        steps.push(step);
    }
    let foreign = (0..crumbs.len()).filter(|at| !met.contains(at)).collect();
    (steps, foreign)
}

proptest! {
    #[test]
    fn a_trail_is_that_of_a_walk_that_looks_at_all(
        builds in prop::collection::vec((
            0..8_usize,
            prop::option::of(prop::sample::select(vec!["-1.5", "-0", "0", "0.0", "1", "1.0", "2e3"])),
            prop::option::of(prop::collection::vec((0..9_usize, any::<bool>(), 0..2_u8), 0..4)),
        ), 1..9),
        compat in any::<bool>(),
    ) {
        let mut labels = BTreeMap::new();
        for (name, time, from) in builds {
            let key = |field: &str| format!("p.science.l{name}.{field}");
            labels.insert(key("version"), "1.0-0-aaaaaaa".to_owned());
            labels.extend(time.map(|time| (key("buildtime"), time.to_owned())));
            let from = from.map(|layers| {
                let layer = |(name, told, tag): (usize, bool, u8)| {
                    (format!("l{name}:1.0"), told.then(|| format!("1.0-{tag}-aaaaaaa")))
                };
                BuiltFrom { layers: layers.into_iter().map(layer).collect(), ..BuiltFrom::default() }
            });
            labels.extend(from.map(|from| (key("from"), serde_json::to_string(&from).unwrap())));
        }
        if compat {
            labels.insert("p.compat.version".to_owned(), "l1:1.0-0-aaaaaaa".to_owned());
        }
        let trail = Provenance::read(&labels, None).unwrap();
        let (steps, foreign) = by_looking_at_all(&trail);
        prop_assert_eq!(&trail.steps, &steps);
        prop_assert_eq!(&trail.foreign, &foreign);
        for (at, crumb) in trail.crumbs.iter().enumerate() {
            let key = match crumb.kind {
                Kind::Science => format!("p.science.{}.inputs", crumb.name),
                Kind::Compat => "p.compat.inputs".to_owned(),
            };
            let expect = if foreign.contains(&at) { Writer::Foreign(at) } else { Writer::Build(at) };
            prop_assert_eq!(trail.writer(&key), expect);
        }
    }

    /// Every label is accepted, and its valid parts survive a round trip.
    #[test]
    fn what_was_read_is_written_and_read_the_same(
        ids in "(\\{(\"[a-z:]{0,3}\":(null|[1-9][0-9]{0,2}|\"sha256:[a-f0-9]{64}\"|\"[a-f0-9:]{0,9}\")){0,1}\\}|null|\"x\"|\\[1\\])",
        tag in proptest::option::of("[a-z0-9-]{0,9}"),
    ) {
        let text = format!("{{\"layers\":{{\"m:1\":{}}},\"ids\":{ids}}}", serde_json::json!(tag));
        let from: BuiltFrom = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&from.layers["m:1"], &tag);
        prop_assert!(from.ids.values().all(|id| is_sha256(id)));
        prop_assert_eq!(from.ids.len(), usize::from(ids.contains("sha256:")));
        let again: BuiltFrom = serde_json::from_str(&serde_json::to_string(&from).unwrap()).unwrap();
        prop_assert_eq!(again, from);
    }
}
