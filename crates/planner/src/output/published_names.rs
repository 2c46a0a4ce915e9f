//! Lists the names that a tree publishes, each with its inputs digest and source directories.
//!
//! Used to compare an image with a tree, including trees that a plan would reject: invalid parts
//! are left out and do not affect the rest.

use std::collections::BTreeMap;

use crate::configuration;
use crate::diagnostics::finding::Findings;
use crate::output::inputs_digest;
use crate::request::Request;
use crate::tree::Tree;
use crate::tree::compat_stack::Overlay;
use crate::tree::layers::{CompatLayer, Reader};
use crate::tree::model::TreeModel;

/// The inputs and sources of a published name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedNames {
    /// The inputs digest.
    pub inputs: String,
    /// The source directories: the science layer, or the layers of the compat stack.
    pub layers: Vec<String>,
}

/// Returns every name of a tree below `{repo}`: `sci/nist-basic:1.0`, `rel/nist-basic:2.0`.
#[must_use]
pub fn identities(tree: &Tree, request: &Request) -> BTreeMap<String, PublishedNames> {
    let mut findings = Findings::lenient();
    let (config, repo) = configuration(tree, request, &mut findings);
    let side = Reader::new(&config, &request.allow_frontend).side(tree, &mut findings);
    let model = TreeModel::new(side, &config, &repo, &mut findings);
    let mut identities = BTreeMap::new();
    for (index, layer) in
        model.side.science.iter().enumerate().filter(|(_, layer)| layer.dockerfile.is_some())
    {
        identities.insert(
            layer.descriptor.reference(),
            PublishedNames {
                inputs: inputs_digest::science(&model, index, &config.platform),
                layers: vec![layer.path().to_owned()],
            },
        );
    }
    for (product, science, top) in model.products() {
        let stack = model.stack(top);
        let layers: Vec<&CompatLayer> = stack.iter().map(|layer| &*model.side.compat[*layer]).collect();
        if layers.iter().any(|layer| layer.fragment.is_none()) {
            continue;
        }
        let overlay = Overlay::new(&layers);
        let below = &model.side.science[science];
        identities.insert(
            product.reference(),
            PublishedNames {
                inputs: inputs_digest::compat(&model, below, &stack, &overlay, &config.platform),
                layers: layers.iter().map(|layer| layer.path().to_owned()).collect(),
            },
        );
    }
    identities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const TREE: &str = r#"
//- /science/nist/sciserver-image.json
{"image": "nist", "version": "1.0", "compat": "jupyter"}
//- /science/nist/Dockerfile
FROM docker.io/library/debian:12
//- /science/broken/sciserver-image.json
{"image": "broken", "version": "1.0", "compat": "none-such"}
//- /science/broken/Dockerfile
RUN x
//- /compat/jupyter/sciserver-image.json
{}
//- /compat/jupyter/Dockerfile
CMD ["true"]
"#;

    #[test]
    fn names_have_the_inputs_of_a_plan_and_a_broken_layer_hides_no_other() {
        let found = identities(&fixture::tree(TREE), &Request::default());
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["rel/nist:1.0", "sci/nist:1.0"]);
        let whole = TREE.split("//- /science/broken").next().unwrap().to_owned()
            + &TREE[TREE.find("//- /compat").unwrap()..];
        let request = Request { selection: crate::Selection::All, ..Request::default() };
        let plan = crate::plan(&fixture::first(&whole), &request).unwrap().plan;
        for build in &plan.builds {
            let name = plan::Family::from(build.kind).repository(&build.image).tagged(&build.version);
            let identity = &found[&name];
            assert_eq!(identity.inputs, build.context.inputs, "{}", build.id);
            assert_eq!(identity.layers, build.context.sources, "{}", build.id);
        }
        assert_eq!(plan.builds.len(), 2);
    }
}
