//! Shared by the tests of `diff`: a private repo whose images are removed with it, and the command.

use std::time::Duration;

use serde_json::Value;
use testbed::command::{Outcome, Program};
use testbed::proxy::Upstream;
use testbed::tree::{BASE, Tree};

pub(crate) const BOUND: Duration = Duration::from_secs(300);

/// A private repo. Its images are removed from the engine on drop.
pub(crate) struct Repo {
    pub(crate) name: String,
    images: Vec<String>,
}

impl Repo {
    pub(crate) fn new(name: &str) -> Self {
        let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
        Self { name: format!("{registry}/{name}-{}", testbed::process::unique()), images: Vec::new() }
    }

    /// Builds and pushes the current tree. Returns the build tag of `sci/a`.
    pub(crate) fn build(&mut self, tree: &Tree, flags: &[&str]) -> String {
        let planned = program(tree, &["plan", "--all", "--format", "json", "--repo", &self.name]);
        let plan: Value = serde_json::from_str(&planned.expect_code(0).stdout).expect("a plan is JSON");
        let tags = &plan["builds"][0]["tags"];
        self.images
            .extend(tags.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        program(tree, &[&["--all", "--repo", &self.name][..], flags].concat()).expect_code(0);
        tags[0].as_str().expect("a build has tags").to_owned()
    }
}

impl Drop for Repo {
    fn drop(&mut self) {
        let Ok(host) = std::env::var("IMAGE_BUILDER_TEST_HOST") else { return };
        for image in &self.images {
            let target = format!("/images/{image}?force=1");
            let _ = testbed::http::ask(&Upstream::parse(&host), "DELETE", &target, &[], b"");
        }
    }
}

pub(crate) fn program(tree: &Tree, arguments: &[&str]) -> Outcome {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(arguments).run(BOUND)
}

/// Returns the files of one layer `a` with these instructions after its FROM.
pub(crate) fn layer(dockerfile: &str) -> String {
    format!(
        "//- /science/a/Dockerfile\nFROM {BASE}\n{dockerfile}\n\
         //- /science/a/sciserver-image.json\n{{\"image\": \"a\", \"version\": \"1.0\"}}\n"
    )
}
