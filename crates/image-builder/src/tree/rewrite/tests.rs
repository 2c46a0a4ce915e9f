//! Files are rewritten completely or not at all, and all other bytes are preserved.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use planner::fixture;

use super::*;

fn edit(text: &str, old: &str, new: &str) -> Edit {
    let start = text.find(old).expect("it is there");
    Edit { span: Span { start, end: start + old.len() }, text: new.to_owned() }
}

#[test]
fn a_diff_shows_what_changes_and_nothing_that_a_terminal_obeys() {
    let text = "\u{feff}one\r\ntwo \x1b[31m\r\nthree\r\nfour\r\nfive\r\nsix\r\n";
    let edits = [edit(text, "three", "THREE"), edit(text, "three", "THREE")];
    let change = change("science/a/Dockerfile", text, edits);
    assert_eq!(change.edits.len(), 1, "what is said twice is done once");
    insta::assert_snapshot!(diff(&[change], Paint::Plain), @r"
    --- a/science/a/Dockerfile
    +++ b/science/a/Dockerfile
    @@ -1,5 +1,5 @@
     \u{feff}one
     two \x1b[31m
    -three
    +THREE
     four
     five
    ");
}

/// Returns the entries of a directory except `.image-builder`. Asserts that no staged file is left.
#[track_caller]
fn left(dir: &Path) -> Vec<String> {
    assert_eq!(fs::read_dir(dir.join(".image-builder/staging")).unwrap().count(), 0);
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != ".image-builder").collect();
    names.sort();
    names
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".image-builder/staging")).unwrap();
    fs::write(dir.path().join(".image-builder/staging/.image-builder-abcdefgh"), "half").unwrap();
    fs::write(dir.path().join("a"), "FROM x").unwrap();
    let change = change("a", "FROM x", [edit("FROM x", "x", "y")]);
    write(dir.path(), dir.path(), &[change]).unwrap();
    assert_eq!(left(dir.path()), ["a"]);
    assert_eq!(fs::read_to_string(dir.path().join(".image-builder/.gitignore")).unwrap(), "*\n");
}

#[test]
fn a_dockerfile_that_is_a_link_is_changed_where_it_leads_to() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(dir.path().join("Dockerfile.centos"), "FROM x").unwrap();
    std::os::unix::fs::symlink("Dockerfile.centos", dir.path().join("Dockerfile")).unwrap();
    let changed = || change("Dockerfile", "FROM x", [edit("FROM x", "x", "y")]);
    write(dir.path(), dir.path(), &[changed()]).unwrap();
    assert!(dir.path().join("Dockerfile").is_symlink());
    assert_eq!(fs::read_to_string(dir.path().join("Dockerfile.centos")).unwrap(), "FROM y");
    fs::write(other.path().join("victim"), "FROM x").unwrap();
    fs::remove_file(dir.path().join("Dockerfile")).unwrap();
    std::os::unix::fs::symlink(other.path().join("victim"), dir.path().join("Dockerfile")).unwrap();
    let error = write(dir.path(), dir.path(), &[changed()]).unwrap_err();
    assert!(error.to_string().contains("leads out of the source tree"), "{error:#}");
    assert_eq!(fs::read_to_string(other.path().join("victim")).unwrap(), "FROM x");
}

#[test]
fn files_change_whole_and_keep_their_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Dockerfile");
    let text = "\u{feff}FROM a # é\r\nRUN a";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let change = change("Dockerfile", text, [edit(text, "a", "docker.io/library/a")]);
    write(dir.path(), dir.path(), &[change]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "\u{feff}FROM docker.io/library/a # é\r\nRUN a");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o604);
    assert_eq!(left(dir.path()), ["Dockerfile"]);
}

#[test]
fn when_one_file_cannot_be_written_none_is() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(dir.path().join(name), "FROM x").unwrap();
    }
    let changes = ["a", "b"].map(|name| change(name, "FROM x", [edit("FROM x", "x", "docker.io/library/x")]));
    fs::write(dir.path().join("b"), "FROM y").unwrap();
    let error = write(dir.path(), dir.path(), &changes).unwrap_err();
    assert!(format!("{error:#}").contains("changed while it was being checked"), "{error:#}");
    assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "FROM x");
    assert_eq!(left(dir.path()), ["a", "b"]);
}

#[test]
fn edits_are_made_to_what_lies_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("science/a")).unwrap();
    fs::write(dir.path().join("science/a/Dockerfile"), "FROM x\r\n").unwrap();
    let mut tree = fixture::tree(
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\"}\n//- /science/a/Dockerfile\nFROM x\n",
    );
    let nothing = BTreeSet::new();
    assert!(!take_from_disk(&mut tree, dir.path(), &nothing).unwrap());
    let files = BTreeSet::from(["science/a/Dockerfile".to_owned()]);
    assert!(take_from_disk(&mut tree, dir.path(), &files).unwrap());
    assert_eq!(tree.layers[0].dockerfile.as_ref().unwrap().text, "FROM x\r\n");
}
