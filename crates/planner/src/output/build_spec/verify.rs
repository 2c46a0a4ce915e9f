//! Verifies a build spec against the labels of its image.
//!
//! Any client with push access to a repository can attach a spec to an image there. The labels of
//! the image cannot be forged, since its digest covers them, and they contain the inputs digest. So
//! contents are compared with the ids that the spec declares for them, ids with the inputs digest,
//! and the other fields of the spec with the result of planning its files.

use std::path::Path;

use plan::spec::{Contents, Spec, SpecFile};
use plan::{Build, spec::CONFIG};

use crate::output::build_spec::replan;
use crate::request::Request;
use crate::tree::BlobId;

/// The build as recorded in an image's own labels.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The inputs digest, `v1:sha256:…`.
    pub inputs: &'a str,
    /// `sci/nist` or `rel/nist-basic`.
    pub repository: &'a str,
    /// `1.0-42-f90dbd6`.
    pub build_tag: &'a str,
    /// `org.opencontainers.image.revision` with all hex digits, if the image has it.
    pub commit: Option<&'a str>,
}

/// Verifies a spec, complete or not, against the labels of its image. The returned build is made
/// from verified files only.
///
/// # Errors
/// Returns a description of the first mismatch.
pub fn verify(spec: &Spec, recorded: &Recorded<'_>, request: &Request) -> Result<Build, String> {
    for (path, file) in &spec.files {
        contents_have_their_id(path, file)?;
    }
    let holds = |what: &str, found: &str, recorded: &str| match found == recorded {
        true => Ok(()),
        false => Err(format!("the spec has the {what} {found:?}, and the image {recorded:?}")),
    };
    holds("inputs digest", &spec.inputs, recorded.inputs)?;
    if let Some(commit) = recorded.commit {
        holds("commit", &spec.revision.commit, commit)?;
    }
    if !spec.revision.commit.starts_with(&spec.revision.short) {
        return Err(format!("{:?} does not begin the commit of the spec", spec.revision.short));
    }
    let (mut plan, _) = replan(spec, Path::new("/"), request)?;
    let build = plan.builds.remove(0);
    holds("files of the inputs digest", &build.context.inputs, recorded.inputs)?;
    let name = build.build_tag();
    let (repository, build_tag) = plan::split_tag(name);
    let repository = repository.strip_prefix(&format!("{}/", spec.repo)).unwrap_or(repository);
    holds("name", repository, recorded.repository)?;
    holds("build tag", build_tag.unwrap_or_default(), recorded.build_tag)?;
    if build.dockerfile != spec.dockerfile || build.args != spec.args {
        return Err("the spec has another Dockerfile or other arguments than its files give".to_owned());
    }
    Ok(build)
}

/// Compares the git id of a file's contents with the declared id.
fn contents_have_their_id(path: &str, file: &SpecFile) -> Result<(), String> {
    // The configuration is not covered by a label, and specs of the first versions have no id for
    // it.
    if path == CONFIG && file.id.is_empty() {
        return Ok(());
    }
    let declared: BlobId =
        file.id.parse().map_err(|error| format!("{path} has the id {:?}: {error}", file.id))?;
    let id = match &file.contents {
        None => return Ok(()),
        Some(Contents::Text(text)) => BlobId::of(text.as_bytes()),
        Some(base64 @ Contents::Base64(_)) => {
            BlobId::of(&base64.bytes().map_err(|error| format!("{path} is not base64: {error}"))?)
        }
    };
    match id == declared {
        true => Ok(()),
        false => Err(format!("{path} does not match its id: {declared} is declared, it is {id}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::output::build_spec::SpecDrafts;
    use crate::{Selection, fixture};

    const TREE: &str = r#"
//- /image-builder.toml
repo = "r.example/x"
//- /science/base/sciserver-image.json
{"image": "base", "version": "1.0"}
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
//- /science/sky/sciserver-image.json
{"image": "sky", "version": "1.0", "compat": "jupyter", "args": {"A": "b"}}
//- /science/sky/Dockerfile
FROM sci/base:1.0
COPY data link /opt/
//- /science/sky/data
1
//- /science/sky/link -> data
//- /compat/jupyter/sciserver-image.json
{}
//- /compat/jupyter/Dockerfile
COPY start.sh /
//- /compat/jupyter/start.sh
hello
"#;

    /// Returns the specs of all builds with the contents that a registry would have, and the builds
    /// that their images record.
    fn specs() -> Vec<(Spec, Build)> {
        let inputs = fixture::first(TREE);
        let request = Request { selection: Selection::All, ..Request::default() };
        let planned = crate::plan(&inputs, &request).unwrap();
        let outlines = SpecDrafts::new(&inputs.now, &request);
        let texts = BTreeMap::from([("science/sky/data", "1\n"), ("compat/jupyter/start.sh", "hello\n")]);
        let spec = |build: &Build| {
            let mut spec = outlines.of(&planned.plan, build).spec;
            for (path, file) in &mut spec.files {
                let known = texts.get(path.as_str()).map(|text| Contents::Text((*text).to_owned()));
                file.contents = file.contents.take().or(known);
            }
            assert!(spec.is_whole());
            spec
        };
        planned.plan.builds.iter().map(|build| (spec(build), build.clone())).collect()
    }

    fn recorded(build: &Build) -> Recorded<'_> {
        let (repository, build_tag) = plan::split_tag(build.build_tag());
        let build_tag = build_tag.unwrap();
        Recorded {
            inputs: &build.context.inputs,
            repository: repository.strip_prefix("r.example/x/").unwrap(),
            build_tag,
            commit: build.labels.get(plan::label::oci::REVISION).map(String::as_str),
        }
    }

    #[test]
    fn genuine_specs_verify_whole_and_as_a_definition() {
        for (spec, build) in specs() {
            for spec in [spec.clone(), spec.definition()] {
                let verified = verify(&spec, &recorded(&build), &Request::default()).unwrap();
                assert_eq!(
                    (verified.dockerfile, verified.args),
                    (build.dockerfile.clone(), build.args.clone())
                );
            }
        }
    }

    #[test]
    fn case_rebuild_tampered_dockerfile_another_text_under_the_old_id() {
        for (spec, build) in specs() {
            for path in spec.files.keys() {
                let mut tampered = spec.clone();
                tampered.files.get_mut(path).unwrap().contents = Some(Contents::Text("RUN evil\n".into()));
                let error = verify(&tampered, &recorded(&build), &Request::default()).unwrap_err();
                assert!(error.starts_with(&format!("{path} does not match its id")), "{error}");
            }
        }
    }

    #[test]
    fn case_rebuild_tampered_dockerfile_another_text_under_its_own_id() {
        for (spec, build) in specs() {
            let own = spec.files.keys().filter(|path| path.starts_with(&build.layer));
            for path in own.filter(|path| !path.ends_with("sciserver-image.json")) {
                let mut tampered = spec.clone();
                let file = tampered.files.get_mut(path).unwrap();
                (file.id, file.contents) =
                    (BlobId::of(b"RUN evil\n").to_string(), Some(Contents::Text("RUN evil\n".into())));
                let error = verify(&tampered, &recorded(&build), &Request::default()).unwrap_err();
                assert!(error.contains("inputs digest"), "{path}: {error}");
            }
        }
    }

    #[test]
    fn case_spec_poisoning_lie_what_the_image_does_not_tell_is_not_believed() {
        type Lie = fn(&mut Spec);
        let lies: [(&str, Lie); 9] = [
            ("commit", |spec| spec.revision.commit = "d".repeat(40)),
            ("short", |spec| spec.revision.short = "ddddddd".into()),
            ("count", |spec| spec.revision.count = Some(7)),
            ("rebuild", |spec| spec.rebuild = Some(7)),
            ("dockerfile", |spec| spec.dockerfile = "FROM scratch\n".into()),
            ("args", |spec| drop(spec.args.insert("X".into(), "y".into()))),
            ("inputs", |spec| spec.inputs = format!("v1:sha256:{}", "0".repeat(64))),
            ("platform", |spec| spec.platform = "linux/arm64".into()),
            ("no id", |spec| {
                for (path, file) in &mut spec.files {
                    if path != CONFIG {
                        file.id.clear();
                    }
                }
            }),
        ];
        for (spec, build) in specs() {
            for (what, lie) in lies {
                let mut lying = spec.clone();
                lie(&mut lying);
                assert!(
                    verify(&lying, &recorded(&build), &Request::default()).is_err(),
                    "{}: {what}",
                    build.id
                );
            }
            let mut other = specs().into_iter().map(|(spec, _)| spec).filter(|other| other.id != spec.id);
            assert!(other.all(|other| verify(&other, &recorded(&build), &Request::default()).is_err()));
        }
    }
}
