//! The writer of contexts (row 25): for any list of entries, an independent reader of the archive
//! reads exactly the list, or the list is rejected. The archive never contains `..`, an absolute
//! name, a device or a fifo.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use arbitrary::Unstructured;
use plan::{Context, Entry, EntryKind, Expect};
use sha1::{Digest, Sha1};

const DOCKERFILE: &str = "FROM scratch\n";

/// The files that entries refer to: created once per thread, then only read, and removed with the
/// thread.
struct Sources {
    _directory: tempfile::TempDir,
    /// Files with their contents.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Entries that must never be sent as a file: missing, directory, fifo, link, device.
    others: Vec<PathBuf>,
    link: PathBuf,
}

fn sources() -> Rc<Sources> {
    thread_local! {
        // Not a static for all threads: nothing would ever remove the directory.
        static SOURCES: Rc<Sources> = Rc::new(Sources::make());
    }
    SOURCES.with(Rc::clone)
}

impl Sources {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let write = |name: &str, contents: Vec<u8>| {
            std::fs::write(at(name), &contents).expect("a file");
            (at(name), contents)
        };
        let files = vec![
            write("empty", Vec::new()),
            write("small", b"small\0\n".to_vec()),
            write("block", vec![7; 512]),
            write("large", vec![9; 70_001]),
        ];
        symlink("small", at("link")).expect("a link");
        let fifo = CString::new(at("fifo").as_os_str().as_bytes()).expect("no NUL in it");
        make_fifo(&fifo);
        let others = vec![
            at("missing"),
            directory.path().to_owned(),
            at("fifo"),
            at("link"),
            PathBuf::from("/dev/null"),
        ];
        Self { link: at("link"), files, others, _directory: directory }
    }
}

#[expect(unsafe_code, reason = "the standard library makes no fifo")]
fn make_fifo(path: &CString) {
    // SAFETY: the path ends in a NUL and lives as long as the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "a fifo");
}

/// The bytes encode a list of entries.
pub(crate) fn body(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(context) = entries(&mut bytes, &sources()) else { return };
    let mut archive = Vec::new();
    let written = executor::fuzzing::write_tar(&mut archive, &context, DOCKERFILE);
    assert_eq!(written.is_ok(), is_good(&context), "{written:?} for {context:?}");
    if written.is_ok() {
        assert_eq!(read(&archive), expected(&context), "{context:?}");
    }
}

fn entries(bytes: &mut Unstructured<'_>, sources: &Sources) -> arbitrary::Result<Context> {
    let mut entries = Vec::new();
    for _ in 0..bytes.int_in_range(0..=12)? {
        let path = path(bytes)?;
        let (source, kind) = match bytes.int_in_range(0..=9)? {
            0..=5 => {
                let (source, contents) = bytes.choose(&sources.files)?;
                (source.clone(), file(contents, bytes.arbitrary()?, bytes.ratio(1, 16)?))
            }
            6 => (sources.link.clone(), EntryKind::Symlink { target: target(bytes)? }),
            // Where links are checked out as files, only the planner knows where they lead.
            7..=8 => (
                sources.files[1].0.clone(),
                EntryKind::Symlink { target: bytes.arbitrary::<&str>()?.to_owned() },
            ),
            _ => (bytes.choose(&sources.others)?.clone(), file(b"small\0\n", false, false)),
        };
        entries.push(Entry { path, source, kind });
    }
    if bytes.ratio(7, 8)? {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
    }
    Ok(Context { entries })
}

fn file(contents: &[u8], executable: bool, changed: bool) -> EntryKind {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", contents.len()));
    hash.update(contents);
    hash.update(if changed { &b"x"[..] } else { b"" });
    let id = hex::encode(hash.finalize());
    EntryKind::File { executable, expect: Expect::GitBlob(id) }
}

fn path(bytes: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    const PARTS: [&str; 16] = [
        "a",
        "b",
        "c",
        "a-",
        "a.b",
        "é",
        " ",
        "\n",
        "\\",
        ".hidden",
        ".dockerignore",
        ".image-builder.Dockerfile",
        "..",
        ".",
        "",
        "a\0b",
    ];
    let long = "l".repeat(60);
    let mut parts = Vec::new();
    for _ in 0..bytes.int_in_range(1..=4)? {
        // The last parts are invalid and therefore rare.
        let most = if bytes.ratio(1, 16)? { PARTS.len() } else { 12 };
        parts.push(match bytes.int_in_range(0..=most)? {
            0 => long.clone(),
            1 if bytes.ratio(1, 4)? => bytes.arbitrary::<&str>()?.to_owned(),
            part => PARTS[part - 1].to_owned(),
        });
    }
    Ok(parts.join("/"))
}

/// The link on disk has the target `small`; other targets simulate a link that was changed.
fn target(bytes: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    Ok(if bytes.ratio(15, 16)? { "small".to_owned() } else { bytes.arbitrary::<&str>()?.to_owned() })
}

/// Whether a context may be sent, by a slow independent check.
fn is_good(context: &Context) -> bool {
    let entries = &context.entries;
    let sources = sources();
    let known = |path: &Path| sources.files.iter().find(|(file, _)| file == path);
    let is_file = |path: &str| entries.iter().any(|entry| entry.path == path);
    let one = |entry: &Entry| {
        let parts: Vec<&str> = entry.path.split('/').collect();
        let stays = !entry.path.contains('\0') && parts.iter().all(|part| !matches!(*part, "" | "." | ".."));
        let mut above = (1..parts.len()).map(|count| parts[..count].join("/"));
        let contents = match &entry.kind {
            EntryKind::File { executable, .. } => known(&entry.source)
                .is_some_and(|(_, contents)| file(contents, *executable, false) == entry.kind),
            EntryKind::Symlink { target } if entry.source == sources.link => target == "small",
            EntryKind::Symlink { target } => !target.is_empty() && !target.contains('\0'),
        };
        stays && !above.any(|directory| is_file(&directory)) && contents
    };
    entries.iter().all(one) && entries.windows(2).all(|pair| pair[0].path < pair[1].path)
}

/// An archive's members by their names: kind, mode, link, contents.
type Members = BTreeMap<Vec<u8>, (u8, u32, Vec<u8>, Vec<u8>)>;

fn expected(context: &Context) -> Members {
    let sources = sources();
    let mut members = Members::new();
    let free = |name: &String| {
        context.entries.iter().all(|entry| entry.path.split('/').next() != Some(name.as_str()))
    };
    let numbered = (1..).map(|number| format!(".image-builder-{number}.Dockerfile"));
    let name = std::iter::once(".image-builder.Dockerfile".to_owned()).chain(numbered).find(free);
    let name = name.expect("there are few entries");
    if free(&".dockerignore".to_owned()) {
        let text = format!("{name}\n.dockerignore\n").into_bytes();
        members.insert(b".dockerignore".to_vec(), (b'0', 0o644, Vec::new(), text));
    }
    for entry in &context.entries {
        for (end, _) in entry.path.match_indices('/') {
            members.insert(entry.path.as_bytes()[..=end].to_vec(), (b'5', 0o755, Vec::new(), Vec::new()));
        }
        let member = match &entry.kind {
            EntryKind::Symlink { target } => (b'2', 0o777, target.clone().into_bytes(), Vec::new()),
            EntryKind::File { executable, .. } => {
                let behind =
                    if entry.path == ".dockerignore" { format!("\n{name}\n") } else { String::new() };
                let contents = sources.files.iter().find(|(path, _)| *path == entry.source);
                let mode = if *executable { 0o755 } else { 0o644 };
                let contents = contents.map(|(_, contents)| contents.clone()).unwrap_or_default();
                (b'0', mode, Vec::new(), [contents, behind.into_bytes()].concat())
            }
        };
        members.insert(entry.path.clone().into_bytes(), member);
    }
    members.insert(name.into_bytes(), (b'0', 0o644, Vec::new(), DOCKERFILE.into()));
    members
}

fn read(archive: &[u8]) -> Members {
    let mut members = Members::new();
    let mut archive = tar::Archive::new(archive);
    for member in archive.entries().expect("an archive") {
        let mut member = member.expect("a member");
        let mut contents = Vec::new();
        member.read_to_end(&mut contents).expect("its contents");
        let header = member.header();
        assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
        let (kind, mode) = (header.entry_type().as_byte(), header.mode().expect("a mode"));
        let link = member.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let path = member.path_bytes().into_owned();
        let plain = String::from_utf8(path.clone()).expect("names are UTF-8");
        let inside = plain.strip_suffix('/').unwrap_or(&plain);
        assert!(inside.split('/').all(|part| !matches!(part, "" | "." | "..")), "{plain:?} leads out");
        assert!(members.insert(path, (kind, mode, link, contents)).is_none(), "{plain:?} twice");
    }
    members
}
