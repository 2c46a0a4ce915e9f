//! The layer graph, independent of a plan.

use planner::{Request, fixture};

#[test]
fn layers_edges_and_products() {
    let tree = fixture::tree(
        r#"
//- /image-builder.toml
published = ["gone"]
//- /compat/common/Dockerfile
//- /compat/common/sciserver-image.json
{}
//- /compat/top/Dockerfile
COPY --from=sci/sky:1.0 / /
//- /compat/top/sciserver-image.json
{ "includes": ["common"] }
//- /science/more/Dockerfile
FROM sci/sky:1.0-7-0a1b2c3
COPY --from=sci/gone:2 / /
//- /science/more/sciserver-image.json
{ "image": "sky", "version": "1.0", "compat": "top" }
//- /science/sky/Dockerfile
FROM docker.io/library/debian:12 AS build
FROM scratch
COPY --from=build / /
//- /science/sky/sciserver-image.json
{ "image": "sky", "version": "1.0", "compat": "top" }
"#,
    );
    let graph = planner::graph(&tree, &Request::default()).expect("the tree is right");
    insta::assert_json_snapshot!(graph);
}
