//! A commit gives the same bytes from every clone, regardless of the machine's settings and
//! filters.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use planner::git::{Comparison, OpenedTree, Options, contents_of_commit, open};
use planner::tree::OnDisk;
use planner::{Planned, Problem, Request, Selection};
use tempfile::TempDir;

/// Clones of one repository, made by git itself.
pub(crate) struct Clones {
    directory: TempDir,
}

/// A clone.
pub(crate) struct Clone {
    pub(crate) root: PathBuf,
}

impl Clones {
    /// A repository with one layer, `science/a`, whose image contains all files of its directory.
    pub(crate) fn new() -> (Self, Clone) {
        let clones = Self { directory: tempfile::tempdir().unwrap() };
        let first = Clone { root: clones.directory.path().canonicalize().unwrap().join("first") };
        fs::create_dir(&first.root).unwrap();
        first.git(&["init", "--quiet"]);
        first.write("science/a/sciserver-image.json", r#"{"image": "a", "version": "1.0", "compat": null}"#);
        first.write("science/a/Dockerfile", "FROM docker.io/library/debian:12\nCOPY . /\n");
        (clones, first)
    }

    /// Clones the first one with these settings.
    fn clone(&self, name: &str, settings: &[&str]) -> Clone {
        let top = self.directory.path().canonicalize().unwrap();
        let clone = Clone { root: top.join(name) };
        let mut arguments = vec!["clone", "--quiet"];
        for setting in settings {
            arguments.extend(["--config", setting]);
        }
        run(&top, &[&arguments[..], &["first", name]].concat());
        clone
    }
}

impl Clone {
    fn git(&self, arguments: &[&str]) -> String {
        run(&self.root, arguments)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=x"]);
        // Ensures that no file was written in the same clock tick as the index.
        self.settle();
    }

    /// Gives all files an old time, and refreshes git's index.
    fn settle(&self) {
        for file in self.git(&["ls-files", "-z"]).split('\0').filter(|file| !file.is_empty()) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
            let path = self.root.join(file);
            if !path.symlink_metadata().unwrap().is_symlink() {
                fs::File::open(path).unwrap().set_modified(time).unwrap();
            }
        }
        self.git(&["update-index", "-q", "--refresh"]);
    }

    /// Makes the state of a file in git's index outdated.
    fn touch(&self, path: &str) {
        let bytes = fs::read(self.root.join(path)).unwrap();
        fs::write(self.root.join(path), bytes).unwrap();
    }

    fn options(&self) -> Options {
        let comparison = Comparison::parse("HEAD").unwrap();
        Options { start: self.root.clone(), comparison, ..Options::default() }
    }

    fn open(&self) -> OpenedTree {
        open(&self.options()).unwrap()
    }

    fn plan(&self) -> Result<Planned, Vec<Problem>> {
        planner::plan(&self.open().inputs, &Request { selection: Selection::All, ..Request::default() })
    }

    /// Returns all bytes that `science/a` is sent, each compared with the plan's expectation.
    fn sent(&self) -> BTreeMap<String, String> {
        let opened = self.open();
        assert_eq!(opened.uncommitted, Vec::<String>::new());
        let planned = self.plan().unwrap();
        let context = planned.contexts.values().next().unwrap();
        let mut sent: BTreeMap<String, String> = context
            .entries
            .iter()
            .map(|entry| (entry.path.clone(), fs::read_to_string(&entry.source).unwrap_or_default()))
            .collect();
        contents_of_commit(&self.options(), &opened.inputs.now, &planned.contexts, &mut |_, at, bytes| {
            sent.insert(context.entries[at].path.clone(), String::from_utf8(bytes).unwrap());
            Ok(())
        })
        .unwrap();
        sent
    }

    fn inputs(&self) -> String {
        self.plan().unwrap().plan.builds[0].context.inputs.clone()
    }

    fn refusals(&self) -> Vec<(&'static str, String, String)> {
        let problems = self.plan().unwrap_err();
        problems.into_iter().map(|problem| (problem.code, problem.file.unwrap(), problem.message)).collect()
    }
}

pub(crate) fn run(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(at)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const SCRIPT: &str = "#!/bin/sh\necho hello\n";

#[test]
fn case_autocrlf_of_a_clone_decides_nothing() {
    let (clones, first) = Clones::new();
    first.write("science/a/start.sh", SCRIPT);
    first.commit();
    let expect = (first.sent(), first.inputs());
    assert_eq!(expect.0["start.sh"], SCRIPT);
    for (name, settings) in [
        ("crlf", &["core.autocrlf=true"][..]),
        ("eol", &["core.autocrlf=false", "core.eol=crlf"]),
        ("input", &["core.autocrlf=input"]),
    ] {
        let clone = clones.clone(name, settings);
        let on_disk = fs::read_to_string(clone.root.join("science/a/start.sh")).unwrap();
        assert_eq!(on_disk.contains('\r'), name == "crlf", "{name}");
        assert_eq!((clone.sent(), clone.inputs()), expect, "{name}");
        clone.touch("science/a/start.sh");
        assert_eq!((clone.sent(), clone.inputs()), expect, "{name}, touched");
    }
    // An uncommitted file is sent as git would store it, so that a commit does not change the
    // image.
    let clone = clones.clone("edited", &["core.autocrlf=true"]);
    clone.write("science/a/start.sh", "#!/bin/sh\r\necho bye\r\n");
    assert_eq!(clone.open().uncommitted, ["science/a/start.sh"]);
    let planned = clone.plan().unwrap();
    let mut sent = Vec::new();
    let opened = clone.open();
    let context = planned.contexts.values().next().unwrap();
    contents_of_commit(&clone.options(), &opened.inputs.now, &planned.contexts, &mut |_, at, bytes| {
        sent.push((context.entries[at].path.clone(), String::from_utf8(bytes).unwrap()));
        Ok(())
    })
    .unwrap();
    assert!(sent.contains(&("start.sh".to_owned(), "#!/bin/sh\necho bye\n".to_owned())), "{sent:?}");
}

#[test]
fn case_autocrlf_attributes_of_the_tree_do_decide() {
    let (clones, first) = Clones::new();
    first.write("science/a/run.bat", "echo hello\n");
    first.write("science/a/version", "$Id$\n");
    first.write("science/.gitattributes", "*.bat text eol=crlf\nversion ident\n* text=auto\n");
    first.commit();
    let second = clones.clone("second", &[]);
    let expect = (second.sent(), second.inputs());
    assert_eq!(expect.0["run.bat"], "echo hello\r\n");
    assert!(expect.0["version"].starts_with("$Id: "), "{:?}", expect.0["version"]);
    // The first one was never checked out, so the bytes on its disk differ.
    assert_eq!(fs::read_to_string(first.root.join("science/a/run.bat")).unwrap(), "echo hello\n");
    for (name, clone) in [("first", &first), ("crlf", &clones.clone("crlf", &["core.autocrlf=true"]))] {
        assert_eq!((clone.sent(), clone.inputs()), expect, "{name}");
        clone.touch("science/a/run.bat");
        assert_eq!((clone.sent(), clone.inputs()), expect, "{name}, touched");
    }
}

/// As nbstripout: the output of a notebook is not committed.
const STRIP: [&str; 2] = ["filter.strip.clean=sed /output/d", "filter.strip.smudge=cat"];
const NOTEBOOK: &str = "code\noutput: secret\n";

#[test]
fn case_clean_filter_publishes_uncommitted_bytes_of_a_filter_are_refused() {
    let (clones, first) = Clones::new();
    for setting in STRIP {
        let (name, value) = setting.split_once('=').unwrap();
        first.git(&["config", name, value]);
    }
    first.write(".gitattributes", "*.ipynb filter=strip\n");
    first.write("science/a/n.ipynb", NOTEBOOK);
    first.commit();
    assert_eq!(first.git(&["status", "--porcelain"]), "", "git takes it for unmodified");
    assert_eq!(first.open().uncommitted, Vec::<String>::new());
    let [(code, file, message)] = first.refusals().try_into().unwrap();
    assert_eq!((code, file.as_str()), ("filtered-file", "science/a/n.ipynb"));
    assert!(message.contains("\"strip\""), "{message}");
    // A clone has the committed bytes on disk, with or without the filter.
    let plain = clones.clone("plain", &[]);
    let filtered = clones.clone("filtered", &STRIP);
    assert_eq!(plain.sent()["n.ipynb"], "code\n");
    assert_eq!((filtered.sent(), filtered.inputs()), (plain.sent(), plain.inputs()));
    // As the help suggests.
    fs::remove_file(first.root.join("science/a/n.ipynb")).unwrap();
    first.git(&["-c", "filter.strip.smudge=", "checkout", "--", "science/a/n.ipynb"]);
    first.settle();
    assert_eq!((first.sent(), first.inputs()), (plain.sent(), plain.inputs()));
    // A file that is excluded from the context does not matter.
    first.write("science/a/n.ipynb", NOTEBOOK);
    first.write("science/a/.dockerignore", "*.ipynb\n");
    first.commit();
    assert!(!first.sent().contains_key("n.ipynb"));
}

#[test]
fn case_clean_filter_publishes_uncommitted_a_filter_of_the_clone_decides_nothing() {
    let (clones, first) = Clones::new();
    first.write("science/a/n.ipynb", "code\n");
    first.commit();
    let expect = (first.sent(), first.inputs());
    let clone = clones.clone("clone", &STRIP);
    // As `nbstripout --install` does.
    clone.write(".git/info/attributes", "*.ipynb filter=strip\n");
    clone.write("science/a/n.ipynb", NOTEBOOK);
    clone.git(&["add", "--all"]);
    clone.settle();
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    assert_eq!((clone.sent(), clone.inputs()), expect);
    clone.touch("science/a/n.ipynb");
    let opened = clone.open();
    assert_eq!(opened.uncommitted, ["science/a/n.ipynb"], "only git could tell, by running the filter");
    let [notice] = opened.inputs.now.notices.try_into().unwrap();
    assert!(notice.message.contains("\"strip\""), "{}", notice.message);
    assert!(notice.help.unwrap().contains("`git status`"));
    clone.git(&["status"]);
    assert_eq!(clone.open().uncommitted, Vec::<String>::new(), "as the help says");
}

#[test]
fn case_size_preserving_filter_is_refused_by_its_name() {
    let (clones, first) = Clones::new();
    let mask = ["filter.mask.clean=tr 0-9 X", "filter.mask.smudge=tr X 7"];
    first.write(".gitattributes", "*.cfg filter=mask\n");
    first.write("science/a/k.cfg", "password=XXXX\n");
    first.commit();
    let clone = clones.clone("clone", &mask);
    assert_eq!(fs::read_to_string(clone.root.join("science/a/k.cfg")).unwrap(), "password=7777\n");
    clone.settle();
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    let [(code, file, message)] = clone.refusals().try_into().unwrap();
    assert_eq!((code, file.as_str()), ("filtered-file", "science/a/k.cfg"));
    assert!(message.contains("\"mask\""), "{message}");
    assert_eq!(clones.clone("plain", &[]).sent()["k.cfg"], "password=XXXX\n");
}

#[test]
fn case_clean_to_git_not_here_links_as_files() {
    let (clones, first) = Clones::new();
    first.write("science/a/data", "1\n");
    std::os::unix::fs::symlink("data", first.root.join("science/a/link")).unwrap();
    first.commit();
    let clone = clones.clone("clone", &["core.symlinks=false"]);
    assert!(clone.root.join("science/a/link").symlink_metadata().unwrap().is_file());
    for round in ["as the index knows it", "touched"] {
        assert_eq!(clone.open().uncommitted, Vec::<String>::new(), "{round}");
        assert_eq!(clone.inputs(), first.inputs(), "{round}");
        clone.touch("science/a/link");
    }
    clone.write("science/a/link", "other");
    assert_eq!(clone.open().uncommitted, ["science/a/link"]);
}

#[test]
fn case_still_needed_though_ignored_only_what_is_sent_has_to_be_there() {
    let (_clones, first) = Clones::new();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n", "0".repeat(64));
    first.write(".gitattributes", "*.big filter=lfs -text\n");
    first.write("science/a/x.big", &pointer);
    first.commit();
    assert_eq!(first.refusals()[0].0, "lfs-pointer");
    let on_disk = |opened: &OpenedTree| {
        let files = &opened.inputs.now.layers[0].files;
        files.iter().find(|file| file.path == "x.big").unwrap().on_disk.clone()
    };
    assert!(matches!(on_disk(&first.open()), Some(OnDisk::Lacking(_))));
    first.write("science/a/.dockerignore", "*.big\n");
    first.commit();
    assert!(!first.sent().contains_key("x.big"));
    // Nor does a file of a layer that is not built.
    first.write("science/a/.dockerignore", "\n");
    first.write("science/b/sciserver-image.json", r#"{"image": "b", "version": "1.0", "compat": null}"#);
    first.write("science/b/Dockerfile", "FROM docker.io/library/debian:12\n");
    first.commit();
    let only_b =
        Request { selection: Selection::Include(vec!["science/b".to_owned()]), ..Request::default() };
    assert_eq!(planner::plan(&first.open().inputs, &only_b).unwrap().plan.builds.len(), 1);
    assert_eq!(first.refusals()[0].0, "lfs-pointer");
}

#[test]
fn what_git_does_not_know_is_told() {
    let (_clones, first) = Clones::new();
    first.commit();
    let notices = |clone: &Clone| -> Vec<(&'static str, String)> {
        let planned = clone.open().inputs.now;
        planned.notices.into_iter().map(|notice| (notice.code, notice.file.unwrap())).collect()
    };
    assert_eq!(notices(&first), []);
    first.write("image-builder.toml", "repo = \"r.example/x\"\n");
    first.write("science/new/sciserver-image.json", r#"{"image": "new", "version": "1.0", "compat": null}"#);
    first.write("science/group/deep/Dockerfile", "FROM scratch\n");
    first.write("compat/c/Dockerfile", "USER 1\n");
    first.write("science/tracked/Dockerfile", "FROM scratch\n");
    first.write("science/late/Dockerfile", "FROM scratch\n");
    first.write("science/ignored/Dockerfile", "FROM scratch\n");
    first.write("science/a/sub/Dockerfile", "FROM scratch\n");
    first.write(".gitignore", "science/ignored/\n");
    first.git(&["add", "science/tracked", "science/late", "science/a/sub"]);
    first.write("science/late/sciserver-image.json", "{}");
    let mut found = notices(&first);
    found.sort();
    let expect = [
        ("no-descriptor", "science/tracked/Dockerfile"),
        ("not-in-git", "compat/c"),
        ("not-in-git", "image-builder.toml"),
        ("not-in-git", "science/group/deep"),
        ("not-in-git", "science/late/sciserver-image.json"),
        ("not-in-git", "science/new"),
    ];
    assert_eq!(found, expect.map(|(code, file)| (code, file.to_owned())));
    let warnings = first.plan().unwrap().plan.warnings;
    assert_eq!(warnings.iter().filter(|warning| warning.code == "not-in-git").count(), 5);
}
