//! Writes build specs into labels and onto disk, and reads them back.

use std::os::unix::fs::MetadataExt as _;

use plan::spec::SpecFile;
use planner::{Selection, fixture};

use super::*;

const TREE: &str = r#"
//- /science/nist/sciserver-image.json
{"image": "nist", "version": "1.0", "compat": "jupyter"}
//- /science/nist/Dockerfile
FROM docker.io/library/debian:12
COPY run.sh /opt/
//- /science/nist/run.sh +x
#!/bin/sh
//- /compat/jupyter/sciserver-image.json
{}
//- /compat/jupyter/Dockerfile
CMD ["true"]
"#;

fn blob(bytes: &[u8]) -> String {
    BlobId::of(bytes).to_string()
}

fn planned() -> (planner::tree::Inputs, Plan, Request) {
    let inputs = fixture::first(TREE);
    let request = Request { selection: Selection::All, ..Request::default() };
    let plan = planner::plan(&inputs, &request).unwrap().plan;
    (inputs, plan, request)
}

fn spec() -> Spec {
    let (inputs, plan, request) = planned();
    let mut spec = SpecDrafts::new(&inputs.now, &request).of(&plan, &plan.builds[0]).spec;
    put(&mut spec, "science/nist/run.sh", b"#!/bin/sh\n".to_vec());
    spec
}

#[test]
fn a_label_holds_what_fits_and_is_always_there() {
    let (inputs, plan, request) = planned();
    let key = label::spec(&plan.label_prefix);
    for (travels, expect) in
        [(SpecScope::Full, true), (SpecScope::Definition, true), (SpecScope::None, false)]
    {
        let mut plan = plan.clone();
        travel_label(&mut plan, &inputs.now, &request, travels);
        for build in &plan.builds {
            let text = &build.labels[&key];
            assert_eq!(!text.is_empty(), expect, "{travels:?} {}", build.id);
            if expect {
                let spec = decode(text).unwrap();
                assert_eq!((&spec.id, &spec.inputs), (&build.id, &build.context.inputs));
                let all: usize = build.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
                assert!(all < 4096, "{all} bytes of labels");
            }
        }
    }
    // The same inputs result in the same bytes.
    let (mut one, mut two) = (plan.clone(), plan.clone());
    travel_label(&mut one, &inputs.now, &request, SpecScope::Full);
    travel_label(&mut two, &inputs.now, &request, SpecScope::Full);
    assert_eq!(one, two);
    // A Dockerfile that does not compress leaves its build's label empty, and the other labels
    // unchanged.
    let mut large = plan.clone();
    let digits: String = (0..40_000_u64).map(|n| char::from(33 + (n * n * 7919 % 90) as u8)).collect();
    large.builds[0].dockerfile = (0..8).map(|n: u64| blob(&[n as u8]) + &digits).collect();
    large.builds[0].labels.insert("x".into(), "y".repeat(15_500));
    travel_label(&mut large, &inputs.now, &request, SpecScope::Full);
    assert_eq!(large.builds[0].labels[&key], "");
    assert_ne!(large.builds[1].labels[&key], "");
}

fn travel_label(plan: &mut Plan, tree: &Tree, request: &Request, travels: SpecScope) {
    super::label(plan, tree, request, travels);
}

/// Digests do not compress; all other parts of these specs are as similar as possible.
#[test]
fn what_is_said_to_be_too_long_unpacked_is_so() {
    let mut spec = spec();
    for count in [0, 1, 10, 1_000] {
        for number in 0..count {
            let id = blob(&usize::to_be_bytes(number));
            let file = SpecFile { mode: "100644".into(), id, contents: None };
            spec.files.insert(format!("{number:04}"), file);
        }
        let (least, length) = (least(&spec), encode(&spec).len());
        assert!(least <= length && least + 26 >= count * 26, "{least} {length}");
    }
}

#[test]
fn contents_are_taken_only_if_they_are_what_git_knows() {
    let mut spec = spec();
    assert!(spec.is_whole());
    spec.files.get_mut("science/nist/run.sh").unwrap().contents = None;
    put(&mut spec, "science/nist/run.sh", b"#!/bin/bash\n".to_vec());
    assert!(!spec.is_whole());
}

#[test]
fn a_spec_is_written_with_its_modes_into_an_empty_directory_only() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("new");
    write(&spec(), &to, None).unwrap();
    let script = fs::metadata(to.join("science/nist/run.sh")).unwrap();
    assert_eq!((script.mode() & 0o777, script.len()), (0o755, 10));
    assert!(to.join("spec.json").is_file());
    assert!(format!("{:?}", write(&spec(), &to, None).unwrap_err()).contains("is not empty"));
    let mut partial = spec();
    partial.files.get_mut("science/nist/run.sh").unwrap().contents = None;
    let error = write(&partial, &directory.path().join("other"), None).unwrap_err();
    assert!(
        error.to_string().contains("1 file did not travel with the image, science/nist/run.sh"),
        "{error}"
    );
}

#[test]
fn a_strangers_spec_does_not_leave_its_directory() {
    let file = |mode: &str, text: &str| SpecFile {
        mode: mode.to_owned(),
        id: String::new(),
        contents: Some(Contents::Text(text.to_owned())),
    };
    for path in
        ["../x", "/etc/x", "science/../../x", "science/./x", "science//x", "x", "spec.json", ".git/config"]
    {
        let mut spec = spec();
        spec.files.insert(path.to_owned(), file("100644", "x"));
        let directory = tempfile::tempdir().unwrap();
        assert!(write(&spec, &directory.path().join("d"), None).is_err(), "{path}");
        assert!(!directory.path().join("d").exists(), "{path}");
    }
    let mut linked = spec();
    linked.files.insert("science/nist/etc".to_owned(), file("120000", "/etc"));
    linked.files.insert("science/nist/etc/passwd".to_owned(), file("100644", "x"));
    let directory = tempfile::tempdir().unwrap();
    assert!(write(&linked, &directory.path().join("d"), None).is_err());
}

#[test]
fn a_link_target_that_is_not_utf_8_is_refused() {
    let mut spec = spec();
    let contents = Some(Contents::Base64(STANDARD.encode(b"a\xff")));
    let link = SpecFile { mode: "120000".to_owned(), id: blob(b"a\xff"), contents };
    spec.files.insert("science/nist/link".to_owned(), link);
    let directory = tempfile::tempdir().unwrap();
    let error = write(&spec, &directory.path().join("d"), None).unwrap_err();
    assert!(format!("{error:#}").contains("its link target is not UTF-8"), "{error:#}");
    assert!(directory.path().join("d/science/nist/link").symlink_metadata().is_err());
}

#[test]
fn a_spec_is_not_written_through_a_link_of_the_tree_around() {
    let (tree, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(victim.path(), tree.path().join("out")).unwrap();
    for directory in ["out", "out/new", "out/a/b"] {
        let error = write(&spec(), &tree.path().join(directory), Some(tree.path())).unwrap_err();
        assert!(format!("{error:#}").contains("is a link of the source tree"), "{error:#}");
    }
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    write(&spec(), &tree.path().join("a/b"), Some(tree.path())).unwrap();
    assert!(tree.path().join("a/b/spec.json").is_file());
}

#[test]
fn what_is_no_spec_is_refused() {
    for text in ["", "%", "aGVsbG8=", &encode(&spec())[..40]] {
        assert!(decode(text).is_err(), "{text}");
    }
}
