//! Explanations why something is in a plan, or is not.

use std::fmt::Write as _;

use planner::explain::{Explanation, Knowledge, Link, Obstacle, explain, graph_of};
use planner::{Planned, Request, Selection, fixture, name_lookup};

use crate::{plan, reason_text};

/// `numerics` ← `sky` (two layers of one product, the upper copies from `tools`) ← `moon`, which
/// has no compat layer.
const TREE: &str = r#"
//- /compat/common/Dockerfile
USER 1000
//- /compat/common/sciserver-image.json
{}
//- /compat/middle/Dockerfile
COPY --from=sci/tools:1.0 /a /b
//- /compat/middle/sciserver-image.json
{ "includes": ["common"] }
//- /compat/jupyter/Dockerfile
CMD ["jupyter"]
//- /compat/jupyter/sciserver-image.json
{ "includes": ["middle"] }
//- /compat/unused/Dockerfile
//- /compat/unused/sciserver-image.json
{ "includes": ["common"] }
//- /science/tools/Dockerfile
FROM docker.io/library/debian:12
RUN tools
//- /science/tools/sciserver-image.json
{ "image": "tools", "version": "1.0", "compat": null }
//- /science/numerics/Dockerfile
FROM docker.io/library/debian:12
RUN numerics
//- /science/numerics/README.md
read me
//- /science/numerics/.dockerignore
README.md
//- /science/numerics/sciserver-image.json
{ "image": "numerics", "version": "1.0", "compat": "common" }
//- /science/sky/Dockerfile
# what it is for
FROM sci/numerics:1.0
//- /science/sky/sciserver-image.json
{ "image": "sky", "version": "1.0", "compat": "common" }
//- /science/sky-archives/Dockerfile
FROM sci/sky:1.0
COPY --from=sci/tools:1.0 /a /b
//- /science/sky-archives/sciserver-image.json
{ "image": "sky", "version": "1.0", "compat": "jupyter" }
//- /science/pinned/Dockerfile
FROM sci/numerics:1.0-40-abcdef0
//- /science/pinned/sciserver-image.json
{ "image": "pinned", "version": "1.0", "compat": null }
"#;

/// An explanation as short text: a line for each chain, and for each obstacle.
fn short(explanation: &Explanation) -> String {
    let built = if explanation.built { "built" } else { "not built" };
    let mut text = format!("{} {built}\n", explanation.subject.name());
    for chain in &explanation.chains {
        write!(text, "  {}", reason_text(&chain.cause)).expect("a string takes all");
        for step in &chain.steps {
            let link = match &step.link {
                Link::Cause => String::new(),
                Link::Needs { role, file, line } => {
                    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                    format!(" [{role:?} {}{line}]", file.as_deref().unwrap_or("-"))
                }
                link => format!(" [{link:?}]"),
            };
            write!(text, " → {}{link}", step.id).expect("a string takes all");
        }
        text.push('\n');
    }
    for obstacle in &explanation.obstacles {
        writeln!(text, "  {obstacle:?}").expect("a string takes all");
    }
    for product in &explanation.products {
        let built = if product.built { "built" } else { "not built" };
        writeln!(text, "  of {} ({built})", product.id).expect("a string takes all");
    }
    text
}

fn explained(planned: &Planned, name: &str) -> Explanation {
    let subject = name_lookup::find(name, &planned.graph(), Some(&planned.plan)).expect("it is there");
    explain(&planned.plan, &planned.graph(), Knowledge::Tree, &subject)
}

fn told(planned: &Planned, names: &[&str]) -> String {
    names.iter().map(|name| short(&explained(planned, name))).collect()
}

fn compared(from: &str, to: &str) -> Planned {
    plan(&fixture::inputs(TREE, &TREE.replace(to, from)), &Request::default())
}

#[test]
fn a_changed_file_is_followed_through_parents_to_the_product() {
    let planned = compared("RUN before", "RUN numerics");
    insta::assert_snapshot!(told(&planned, &["numerics", "science/sky", "rel/sky:1.0"]), @"
    science/numerics built
      files science/numerics/Dockerfile → science/numerics
      of rel/numerics:1.0 (built)
    science/sky built
      files science/numerics/Dockerfile → science/numerics → science/sky [Some(Base) science/sky/Dockerfile:2]
    rel/sky:1.0 built
      files science/numerics/Dockerfile → science/numerics → science/sky [Some(Base) science/sky/Dockerfile:2] → science/sky-archives [Some(Base) science/sky-archives/Dockerfile:1] → rel/sky:1.0 [Final]
    ");
}

#[test]
fn each_cause_has_its_shortest_chain_and_the_shortest_comes_first() {
    let base = TREE.replace("RUN numerics", "RUN before").replace("RUN tools", "RUN before");
    let base = base.replace("USER 1000", "USER 1001");
    let planned = plan(&fixture::inputs(TREE, &base), &Request::default());
    insta::assert_snapshot!(told(&planned, &["sky:1.0"]), @"
    rel/sky:1.0 built
      files science/tools/Dockerfile → science/tools → rel/sky:1.0 [Some(Copy) compat/middle/Dockerfile]
      compat common: compat/common/Dockerfile → compat/common → compat/middle [Includes] → compat/jupyter [Includes] → rel/sky:1.0 [InStack]
      files science/numerics/Dockerfile → science/numerics → science/sky [Some(Base) science/sky/Dockerfile:2] → science/sky-archives [Some(Base) science/sky-archives/Dockerfile:1] → rel/sky:1.0 [Final]
    ");
}

#[test]
fn a_compat_layer_tells_which_products_it_builds_and_through_which_includes() {
    let planned = compared("USER 1001", "USER 1000");
    insta::assert_snapshot!(told(&planned, &["common", "compat/middle", "unused", "sky:1.0", "science/sky"]), @r#"
    compat/common built
      compat common: compat/common/Dockerfile → compat/common → rel/numerics:1.0 [InStack]
      compat common: compat/common/Dockerfile → compat/common → compat/middle [Includes] → compat/jupyter [Includes] → rel/sky:1.0 [InStack]
      of rel/numerics:1.0 (built)
      of rel/sky:1.0 (built)
    compat/middle built
      compat common: compat/common/Dockerfile → compat/common → compat/middle [Includes] → compat/jupyter [Includes] → rel/sky:1.0 [InStack]
      of rel/sky:1.0 (built)
    compat/unused not built
      Unchanged
      InNoStack { included_by: [] }
    rel/sky:1.0 built
      compat common: compat/common/Dockerfile → compat/common → compat/middle [Includes] → compat/jupyter [Includes] → rel/sky:1.0 [InStack]
    science/sky not built
      Unchanged
      NoParentBuilt { needs: ["science/numerics"] }
      NotFinal { product: "rel/sky:1.0", final_layer: "science/sky-archives" }
    "#);
}

#[test]
fn what_is_not_built_tells_all_that_keeps_it_out() {
    let planned = compared("RUN before", "RUN numerics");
    insta::assert_snapshot!(told(&planned, &["tools", "pinned", "tools:1.0", "jupyter"]), @r#"
    science/tools not built
      Unchanged
      NoParentBuilt { needs: [] }
    science/pinned not built
      Unchanged
      NoParentBuilt { needs: [] }
      Pinned { by: "science/pinned", reference: "containers.repo.sciserver.org/compute-images/sci/numerics:1.0-40-abcdef0", layer: Some("science/numerics"), built: true }
    rel/tools:1.0 not built
      NoCompat { final_layer: "science/tools" }
    compat/jupyter not built
      Unchanged
      of rel/sky:1.0 (built)
    "#);
    let planned = compared("read it", "read me");
    insta::assert_snapshot!(told(&planned, &["numerics", "sky-archives", "sky", "sky:1.0"]), @r#"
    science/numerics not built
      Quiet { changed: ["science/numerics/README.md"], why: "these files are not sent to the build" }
      NoParentBuilt { needs: [] }
      of rel/numerics:1.0 (not built)
    science/sky-archives not built
      Unchanged
      NoParentBuilt { needs: ["science/numerics", "science/sky", "science/tools"] }
      of rel/sky:1.0 (not built)
    science/sky not built
      Unchanged
      NoParentBuilt { needs: ["science/numerics"] }
      NotFinal { product: "rel/sky:1.0", final_layer: "science/sky-archives" }
    rel/sky:1.0 not built
      FinalNotBuilt { final_layer: "science/sky-archives", because: [Unchanged, NoParentBuilt { needs: ["science/numerics", "science/sky", "science/tools"] }] }
      StackUnchanged { stack: ["compat/common", "compat/middle", "compat/jupyter"] }
    "#);
}

#[test]
fn flags_and_configuration_are_told() {
    let base = TREE.replace("RUN numerics", "RUN before");
    let request = Request { ignore: vec!["science/numerics".to_owned()], ..Request::default() };
    let planned = plan(&fixture::inputs(TREE, &base), &request);
    insta::assert_snapshot!(told(&planned, &["numerics"]), @r#"
    science/numerics not built
      Quiet { changed: ["science/numerics/Dockerfile"], why: "--ignore science/numerics treats it as unchanged" }
      NoParentBuilt { needs: [] }
      of rel/numerics:1.0 (not built)
    "#);

    let held = format!("{TREE}//- /image-builder.toml\nhold = [\"numerics:1.0\"]\n");
    let planned = plan(&fixture::inputs(&held, &base), &Request::default());
    insta::assert_snapshot!(told(&planned, &["numerics:1.0"]), @r#"
    rel/numerics:1.0 not built
      Quiet { changed: ["rel/numerics:1.0"], why: "numerics:1.0 is under `hold` in image-builder.toml" }
    "#);

    let selection = Selection::Include(vec!["compat/common".to_owned()]);
    let planned = plan(&fixture::inputs(TREE, &base), &Request { selection, ..Request::default() });
    insta::assert_snapshot!(told(&planned, &["common", "middle", "numerics"]), @r#"
    compat/common built
      forced --include compat/common → compat/common → rel/numerics:1.0 [InStack]
      forced --include compat/common → compat/common → compat/middle [Includes] → compat/jupyter [Includes] → rel/sky:1.0 [InStack]
      of rel/numerics:1.0 (built)
      of rel/sky:1.0 (built)
    compat/middle built
      forced --include compat/common → compat/common → compat/middle [Includes] → compat/jupyter [Includes] → rel/sky:1.0 [InStack]
      of rel/sky:1.0 (built)
    science/numerics not built
      Quiet { changed: ["science/numerics/Dockerfile"], why: "--include names other layers only" }
      NoParentBuilt { needs: [] }
      of rel/numerics:1.0 (built)
    "#);
}

#[test]
fn a_layer_that_is_gone_can_be_asked_for() {
    let added = format!(
        "{TREE}//- /science/old/Dockerfile\nFROM scratch\n//- /science/old/sciserver-image.json\n\
         {{ \"image\": \"old\", \"compat\": null }}\n"
    );
    let planned = plan(&fixture::inputs(TREE, &added), &Request::default());
    insta::assert_snapshot!(told(&planned, &["science/old"]), @r#"
    science/old not built
      Quiet { changed: ["science/old/sciserver-image.json"], why: "the layer is gone: its images stay in the registry" }
    "#);
}

#[test]
fn a_plan_alone_tells_chains_and_no_more_than_it_knows() {
    let planned = compared("RUN before", "RUN numerics");
    let graph = graph_of(&planned.plan);
    let alone = |name: &str| {
        let subject = name_lookup::find(name, &graph, Some(&planned.plan)).expect("it is in the plan");
        explain(&planned.plan, &graph, Knowledge::PlanOnly, &subject)
    };
    for name in ["science/sky-archives", "sky:1.0", "numerics"] {
        assert_eq!(alone(name).chains, explained(&planned, name).chains, "{name}");
    }
    assert_eq!(alone("compat/middle").obstacles, [Obstacle::NotInFile]);
    assert!(name_lookup::find("tools", &graph, Some(&planned.plan)).is_err());
}
