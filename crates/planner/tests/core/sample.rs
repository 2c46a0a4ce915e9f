//! The sample of the previous tool's documentation: two science layers of different versions, one
//! based on the other.

use planner::{Request, fixture};

use crate::plan;

const TREE: &str = r#"
//- /compat/jupyter/Dockerfile
USER idies
COPY start.sh /opt/
CMD ["/opt/start.sh"]
//- /compat/jupyter/sciserver-image.json
{ "includes": [] }
//- /compat/jupyter/start.sh +x
exec jupyter
//- /science/nist-basic/Dockerfile
FROM docker.io/library/debian:12
RUN echo nist
//- /science/nist-basic/sciserver-image.json
{ "image": "nist-basic", "version": "1.0", "compat": "jupyter" }
//- /science/nist-basic-2/Dockerfile
FROM sci/nist-basic:1.0
COPY data.txt /
//- /science/nist-basic-2/data.txt
2
//- /science/nist-basic-2/sciserver-image.json
{ "image": "nist-basic", "version": "2.0", "compat": "jupyter", "description": "basics" }
"#;

#[test]
fn the_plan_is_that_of_the_documentation() {
    let base = TREE.replace("echo nist", "echo before");
    let planned = plan(&fixture::inputs(TREE, &base), &Request::default());
    let ids: Vec<&str> = planned.plan.builds.iter().map(|build| build.id.0.as_str()).collect();
    assert_eq!(
        ids,
        ["science/nist-basic", "rel/nist-basic:1.0", "science/nist-basic-2", "rel/nist-basic:2.0"]
    );
    let tags: Vec<&str> =
        planned.plan.builds.iter().flat_map(|build| build.tags.iter()).map(String::as_str).collect();
    insta::assert_snapshot!(tags.join("\n"));
    insta::assert_snapshot!(planned.plan.to_json());
}

#[test]
fn the_context_is_the_directory_without_descriptor() {
    let planned = plan(&fixture::first(TREE), &Request::default());
    let shown: Vec<String> = planned
        .contexts
        .iter()
        .flat_map(|(id, context)| context.entries.iter().map(move |entry| format!("{id} {entry:?}")))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}
