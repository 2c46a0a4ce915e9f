//! Checks build secrets: whether the builder supports them, and which mounted secrets were not
//! given.

use std::collections::BTreeMap;

use plan::Plan;

use crate::engine::{Builder, Engine, Flavour};
use crate::preflight::Resolved;
use crate::run::error::RunError;
use crate::run::options::BuildSecret;

/// Rejects secrets if the builder would not pass them to builds.
pub(crate) fn refuse_uncarried(secrets: &[BuildSecret], engine: &Engine) -> Result<(), RunError> {
    if secrets.is_empty() || engine.builder == Builder::BuildKit {
        return Ok(());
    }
    let name = &engine.name;
    let (why, help) = match engine.flavour {
        Flavour::Podman => (
            format!("secrets cannot be given to a build on {name}: its service has no BuildKit session"),
            "leave --secret out, or build on a Docker engine",
        ),
        Flavour::Docker => (
            format!(
                "secrets cannot be given to a build by the classic builder of {name}: only BuildKit mounts them"
            ),
            "leave --secret out, or build with --builder buildkit",
        ),
    };
    Err(RunError::refused(why).with_help(help))
}

/// Warns about each secret that a build mounts and that was not given. BuildKit silently continues
/// without it, unless the Dockerfile declares it as required.
pub(crate) fn missing(plan: &Plan, secrets: &[BuildSecret], prepared: &Resolved) -> Vec<String> {
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let builds = plan.builds.iter().enumerate();
    for (_, build) in builds.filter(|(position, _)| !prepared.reused.contains_key(position)) {
        let given = |id: &String| secrets.iter().any(|secret| secret.id == *id);
        for id in build.secrets.iter().filter(|id| !given(id)) {
            wanted.entry(id).or_default().push(&build.id.0);
        }
    }
    let word = |(id, builds): (&str, Vec<&str>)| {
        let builds = builds.join(", ");
        format!("the secret {id} was not given, which {builds} may mount: --secret id={id},src=FILE gives it")
    };
    wanted.into_iter().map(word).collect()
}
