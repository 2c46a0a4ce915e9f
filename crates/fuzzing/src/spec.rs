//! Build specs, which any client with push access can write: a verified one gives the build that
//! the image recorded, with unchanged files.

use std::path::Path;

use plan::spec::{CONFIG, Contents, Spec};
use planner::Request;
use planner::build_spec::{Recorded, replan, verify};

/// The input is the document.
pub(crate) fn body(data: &[u8]) {
    let Ok(spec) = Spec::from_json(data) else { return };
    let text = spec.to_json();
    assert_eq!(Spec::from_json(text.as_bytes()).expect("our own documents are read"), spec);
    let request = Request::default();
    let Ok((plan, contexts)) = replan(&spec, Path::new("/"), &request) else { return };
    assert_eq!((plan.builds.len(), contexts.len()), (1, 1));
    let name = plan.builds[0].build_tag();
    let (repository, build_tag) = name.rsplit_once(':').expect("a build tag has a tag");
    let repository = repository.strip_prefix(&format!("{}/", spec.repo)).unwrap_or(repository);
    let recorded = Recorded { inputs: &spec.inputs, repository, build_tag, commit: None };
    let Ok(build) = verify(&spec, &recorded, &request) else { return };
    assert_eq!((build.context.inputs.as_str(), build.build_tag()), (spec.inputs.as_str(), name));
    let other = Recorded { inputs: "v1:sha256:00", ..recorded };
    assert!(verify(&spec, &other, &request).is_err(), "another image's");
    for path in spec.files.keys().filter(|path| *path != CONFIG) {
        let mut forged = spec.clone();
        let file = forged.files.get_mut(path).expect("it is there");
        let Some(Contents::Text(text)) = &mut file.contents else { continue };
        text.push('\n');
        assert!(verify(&forged, &recorded, &request).is_err(), "{path} is another one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Genuine seeds are accepted, so that mutations of them are forgeries of a valid spec.
    #[test]
    fn genuine_seeds_are_verified_and_forged_ones_are_not() {
        for (seed, genuine) in [
            ("science-base", true),
            ("science-sky", true),
            ("science-sky-definition", true),
            ("rel-sky-1.0", true),
            ("forged-text", false),
            ("forged-dockerfile", false),
            ("outside", false),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/spec").join(seed);
            let spec = Spec::from_json(&std::fs::read(path).expect("a seed")).expect("a spec");
            let (repository, build_tag) = match seed {
                "rel-sky-1.0" => ("rel/sky", spec.revision.clone()),
                "science-base" => ("sci/base", spec.revision.clone()),
                _ => ("sci/sky", spec.revision.clone()),
            };
            let build_tag = format!("1.0-{}-{}", build_tag.count.expect("a count"), build_tag.short);
            let recorded = Recorded { inputs: &spec.inputs, repository, build_tag: &build_tag, commit: None };
            let verified = verify(&spec, &recorded, &Request::default());
            assert_eq!(verified.is_ok(), genuine, "{seed}: {:?}", verified.err());
        }
    }
}
