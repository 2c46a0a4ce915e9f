//! Links of a source tree do not redirect writes out of the tree.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use files::{Access, Dir};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A source tree, and beside it another user's directory with a file.
struct Scene {
    _directory: tempfile::TempDir,
    tree: PathBuf,
    victim: PathBuf,
}

fn scene() -> Scene {
    let directory = tempfile::tempdir().expect("a directory");
    let (tree, victim) = (directory.path().join("tree"), directory.path().join("victim"));
    fs::create_dir_all(tree.join("ci")).expect("a directory");
    fs::create_dir(&victim).expect("a directory");
    fs::write(victim.join("file"), "theirs").expect("a file");
    Scene { _directory: directory, tree, victim }
}

impl Scene {
    fn save(&self, path: &str) -> io::Result<()> {
        files::save(&self.tree.join(path), Some(&self.tree), b"ours")
    }

    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(self.victim.join("file")).expect("it is there"), "theirs");
        assert_eq!(names(&self.victim), ["file"]);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_last_component_is_replaced_and_never_followed() {
    let scene = scene();
    for target in [scene.victim.join("file"), scene.victim.join("new"), PathBuf::from("plan.json")] {
        symlink(&target, scene.tree.join("plan.json")).unwrap();
        scene.save("plan.json").unwrap();
        assert!(scene.tree.join("plan.json").symlink_metadata().unwrap().is_file(), "{target:?}");
        assert_eq!(fs::read_to_string(scene.tree.join("plan.json")).unwrap(), "ours");
        scene.assert_untouched();
        fs::remove_file(scene.tree.join("plan.json")).unwrap();
    }
    assert_eq!(names(&scene.tree), ["ci"], "nothing else is left");
}

#[test]
fn no_directory_of_the_tree_is_reached_through_a_link() {
    let scene = scene();
    symlink(&scene.victim, scene.tree.join("absolute")).unwrap();
    symlink("../victim", scene.tree.join("relative")).unwrap();
    symlink("ci", scene.tree.join("inner")).unwrap();
    symlink("inner", scene.tree.join("chain")).unwrap();
    symlink("..", scene.tree.join("ci/up")).unwrap();
    let through =
        ["absolute/file", "relative/file", "relative/new", "inner/x", "chain/x", "ci/up/x", "ci/../inner/x"];
    for path in through {
        let error = scene.save(path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}: {error}");
    }
    scene.assert_untouched();
    assert_eq!(names(&scene.tree.join("ci")), ["up"]);
    scene.save("ci/../ci/plan.json").unwrap();
    assert_eq!(names(&scene.tree.join("ci")), ["plan.json", "up"]);
}

#[test]
fn links_of_the_user_outside_of_the_tree_are_followed_until_they_lead_into_it() {
    let scene = scene();
    let home = scene.victim.parent().unwrap().join("home");
    symlink(&scene.victim, &home).unwrap();
    files::save(&home.join("mine"), Some(&scene.tree), b"ours").unwrap();
    assert_eq!(fs::read_to_string(scene.victim.join("mine")).unwrap(), "ours");
    // A path into the tree through a link outside of it: links of the tree are still not followed.
    let door = scene.victim.parent().unwrap().join("door");
    symlink(scene.tree.join("ci"), &door).unwrap();
    symlink(&scene.victim, scene.tree.join("ci/out")).unwrap();
    let error = files::save(&door.join("out/file"), Some(&scene.tree), b"ours").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(fs::read_to_string(scene.victim.join("file")).unwrap(), "theirs");
    let ring = scene.victim.parent().unwrap().join("ring");
    symlink(&ring, &ring).unwrap();
    assert!(files::save(&ring.join("x"), Some(&scene.tree), b"ours").is_err());
}

#[test]
fn special_files_of_the_tree_are_refused_and_not_waited_for() {
    let scene = scene();
    mknodat(CWD, scene.tree.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for path in ["pipe", "ci"] {
        assert_eq!(scene.save(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
    }
    let dir = Dir::open(&scene.tree, Some(&scene.tree)).unwrap();
    assert!(dir.read("pipe", 10).is_err());
    assert!(dir.open_or_create("pipe", Access::Private).is_err());
    assert!(files::read(&scene.tree.join("pipe"), 10).is_err());
    assert_eq!(names(&scene.tree), ["ci", "pipe"]);
}

#[test]
fn what_is_no_file_outside_of_the_tree_is_written_to_as_it_is() {
    let scene = scene();
    files::save(Path::new("/dev/null"), Some(&scene.tree), b"ours").unwrap();
    assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file());
    let stdout = fs::File::create(scene.victim.join("out")).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stdout));
    files::save(Path::new(&path), Some(&scene.tree), b"ours").unwrap();
    assert_eq!(fs::read_to_string(scene.victim.join("out")).unwrap(), "ours");
}

#[test]
fn an_existing_file_keeps_its_mode_and_a_new_one_gets_what_is_asked() {
    let scene = scene();
    let mode = |name: &str| scene.tree.join(name).metadata().unwrap().permissions().mode() & 0o777;
    for wanted in [0o600, 0o640, 0o666, 0o444] {
        fs::write(scene.tree.join("plan.json"), "old").unwrap();
        fs::set_permissions(scene.tree.join("plan.json"), Permissions::from_mode(wanted)).unwrap();
        scene.save("plan.json").unwrap();
        assert_eq!(mode("plan.json"), wanted);
        fs::remove_file(scene.tree.join("plan.json")).unwrap();
    }
    let dir = Dir::open(&scene.tree, Some(&scene.tree)).unwrap();
    dir.replace("private", b"x", Access::Private).unwrap();
    assert_eq!(mode("private"), 0o600);
    dir.make("own", Access::Private).unwrap().replace("x", b"x", Access::Shared).unwrap();
    assert_eq!(mode("own"), 0o700);
}

#[test]
fn what_is_staged_and_not_committed_is_gone() {
    let scene = scene();
    let dir = Dir::open(&scene.tree, None).unwrap();
    let staged = dir.stage("a", b"x", Access::Shared).unwrap();
    assert_eq!(names(&scene.tree).len(), 2);
    drop(staged);
    assert_eq!(names(&scene.tree), ["ci"]);
    dir.stage("a", b"x", Access::Shared).unwrap().commit("b").unwrap();
    assert_eq!(names(&scene.tree), ["b", "ci"]);
    assert_eq!(dir.read("b", 1).unwrap(), b"x");
    assert_eq!(dir.read("b", 0).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn directories_of_ours_are_not_those_that_links_lead_to() {
    let scene = scene();
    let dir = Dir::open(&scene.tree, Some(&scene.tree)).unwrap();
    symlink(&scene.victim, scene.tree.join(".image-builder")).unwrap();
    assert_eq!(dir.make(".image-builder", Access::Shared).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    symlink(scene.victim.join("new"), scene.tree.join("ignore")).unwrap();
    let created = dir.create_new("ignore", Access::Shared);
    assert_eq!(created.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    scene.assert_untouched();
}

#[test]
fn what_is_staged_elsewhere_leaves_nothing_beside_its_place() {
    let scene = scene();
    let tree = Dir::open(&scene.tree, Some(&scene.tree)).unwrap();
    let (ci, staging) = (tree.enter("ci").unwrap(), tree.make("staging", Access::Private).unwrap());
    fs::write(scene.tree.join("ci/Dockerfile"), "old").unwrap();
    fs::set_permissions(scene.tree.join("ci/Dockerfile"), Permissions::from_mode(0o640)).unwrap();
    let staged = ci.stage_in(&staging, "Dockerfile", b"new", Access::Shared).unwrap();
    assert_eq!(names(&scene.tree.join("ci")), ["Dockerfile"]);
    assert_eq!(staging.names().unwrap().len(), 1);
    staged.commit("Dockerfile").unwrap();
    assert_eq!(staging.names().unwrap(), Vec::<std::ffi::OsString>::new());
    assert_eq!(fs::read_to_string(scene.tree.join("ci/Dockerfile")).unwrap(), "new");
    let mode = scene.tree.join("ci/Dockerfile").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    drop(ci.stage_in(&staging, "Dockerfile", b"newer", Access::Shared).unwrap());
    assert_eq!(staging.names().unwrap(), Vec::<std::ffi::OsString>::new());
}

/// `/dev/shm` is a separate file system on nearly all machines.
#[test]
fn what_is_staged_on_another_file_system_comes_to_its_place_all_the_same() {
    let scene = scene();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let (ci, staging) = (Dir::open(&scene.tree.join("ci"), None), Dir::open(other.path(), None));
    let (ci, staging) = (ci.unwrap(), staging.unwrap());
    ci.stage_in(&staging, "a", b"new", Access::Private).unwrap().commit("a").unwrap();
    assert_eq!(ci.read("a", 10).unwrap(), b"new");
    assert_eq!(names(&scene.tree.join("ci")), ["a"]);
    assert_eq!(staging.names().unwrap(), Vec::<std::ffi::OsString>::new());
}

#[test]
fn a_link_is_made_where_nothing_is() {
    let scene = scene();
    let dir = Dir::open(&scene.tree, Some(&scene.tree)).unwrap();
    dir.link("to", "../victim").unwrap();
    assert_eq!(fs::read_link(scene.tree.join("to")).unwrap(), Path::new("../victim"));
    assert_eq!(dir.link("ci", "x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
}
