//! Stats many paths of the working tree at once, without following links. Reads a file only if
//! git's index does not identify its contents, or if its text is needed. Of git it knows only index
//! entries.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use git2::Oid;
use hashbrown::HashMap;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::git::error::SourceError;
use crate::git::working_tree::disk::{all_of, below, blob_id, changed, digests, metadata, vanished};
use crate::parallel;

/// The number of paths per task: fewer take less time than starting a thread.
const SHARE: usize = 64;

/// The file state that git's index recorded when the contents were known.
#[derive(Debug, Clone, Copy)]
pub(in crate::git) struct Remembered {
    pub(in crate::git) size: u32,
    pub(in crate::git) inode: u32,
    pub(in crate::git) changed: (i32, u32),
    pub(in crate::git) modified: (i32, u32),
    /// Whether the file may have been written after the index, within one tick of the clock.
    pub(in crate::git) racy: bool,
}

/// A path to read.
pub(in crate::git) struct PathQuery<'list> {
    /// The path below the root.
    pub(in crate::git) path: &'list str,
    /// The state recorded in the index; if `None`, the file is read.
    pub(in crate::git) remembered: Option<Remembered>,
    /// The blob in the index.
    pub(in crate::git) known: Option<Oid>,
    /// Size limit up to which the file's bytes are returned; `None` if they are not needed.
    pub(in crate::git) text_limit: Option<u64>,
}

/// The state of a path.
#[derive(Debug)]
pub(in crate::git) enum Found {
    /// Nothing, or neither a file nor a link.
    Nothing,
    /// Nothing that git would report: this parent directory is a link.
    BehindLink(String),
    /// A link with its target, which is never followed.
    Link(Vec<u8>),
    /// A file.
    File(FoundFile),
}

/// A file.
#[derive(Debug)]
pub(in crate::git) struct FoundFile {
    pub(in crate::git) executable: bool,
    pub(in crate::git) size: u64,
    /// Whether the file is in the state that the index recorded.
    pub(in crate::git) is_remembered: bool,
    /// The blob id of the file's bytes; `None` if the file was not read because the index
    /// identifies it.
    pub(in crate::git) id: Option<Oid>,
    /// The file's bytes, if requested and within the limit.
    pub(in crate::git) bytes: Option<Vec<u8>>,
}

/// Stats many paths, on as many threads as the machine has processors. The answers are in the order
/// of the questions, which should be sorted. Of texts that have the same blob in the index and are
/// in their recorded state, only the first is read.
pub(in crate::git) fn stat_paths(
    root: &Path,
    questions: &[PathQuery<'_>],
) -> Result<Vec<Found>, SourceError> {
    let opened =
        directory(root).map_err(|source| SourceError::Io { path: root.to_owned(), cause: source })?;
    let firsts = firsts(questions);
    let each: Vec<_> = questions.iter().zip(&firsts).collect();
    let start = || Directories { root, opened: opened.as_fd(), real: HashMap::new() };
    let answers = parallel::each(&each, SHARE, start, |directories, share| {
        let answers = share.iter().map(|&(question, first)| look_at(directories, question, first.is_some()));
        answers.collect::<Result<Vec<_>, _>>()
    });
    let mut found = Vec::with_capacity(questions.len());
    for answer in answers {
        found.extend(answer?);
    }
    for (at, first) in firsts.iter().enumerate() {
        let Some(first) = first else { continue };
        // Only if the bytes are those of the blob: the blob can have other bytes than the file on
        // disk.
        let bytes = match &found[*first] {
            Found::File(first) if first.id.is_some() && first.id == questions[at].known => {
                first.bytes.clone()
            }
            _ => None,
        };
        if let Found::File(file) = &mut found[at]
            && file.is_remembered
        {
            file.bytes = bytes;
        }
    }
    Ok(found)
}

/// Returns for each text the first one with the same blob in the index, if there is an earlier one.
fn firsts(questions: &[PathQuery<'_>]) -> Vec<Option<usize>> {
    let mut first_of = HashMap::new();
    let first = |(at, question): (usize, &PathQuery<'_>)| {
        let known =
            question.known.filter(|_| question.text_limit.is_some() && question.remembered.is_some())?;
        let first = *first_of.entry(known).or_insert(at);
        (first != at).then_some(first)
    };
    questions.iter().enumerate().map(first).collect()
}

/// Records which directories below the root are real directories.
struct Directories<'run> {
    root: &'run Path,
    /// The opened root, so that each lookup resolves a short path.
    opened: BorrowedFd<'run>,
    real: HashMap<&'run str, DirectoryPath<'run>>,
}

/// The state of a directory's path.
#[derive(Clone, Copy)]
enum DirectoryPath<'run> {
    Open,
    Link(&'run str),
    Missing,
}

impl<'run> Directories<'run> {
    fn way(&mut self, directory: &'run str) -> Result<DirectoryPath<'run>, SourceError> {
        if let Some(known) = self.real.get(directory) {
            return Ok(*known);
        }
        let above = match directory.rsplit_once('/') {
            Some((above, _)) => self.way(above)?,
            None => DirectoryPath::Open,
        };
        let way = match above {
            DirectoryPath::Open => match self.state(directory)?.map(|found| found.kind) {
                Some(FileType::Symlink) => DirectoryPath::Link(directory),
                Some(FileType::Directory) => DirectoryPath::Open,
                _ => DirectoryPath::Missing,
            },
            blocked => blocked,
        };
        self.real.insert(directory, way);
        Ok(way)
    }

    /// As [`metadata`], for a path below the root.
    fn state(&self, path: &str) -> Result<Option<State>, SourceError> {
        match rustix::fs::statat(self.opened, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(State::from(found))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(SourceError::Io { path: below(self.root, path), cause: error.into() }),
        }
    }

    /// Opens a path below the root without following a link, and without waiting for a special
    /// file.
    fn open(&self, path: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        rustix::fs::openat(self.opened, path, flags, Mode::empty()).ok().map(File::from)
    }
}

/// Opens a directory to resolve paths below it.
fn directory(path: &Path) -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// File metadata.
struct State {
    kind: FileType,
    mode: u32,
    length: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for State {
    fn from(found: &Metadata) -> Self {
        Self {
            kind: FileType::from_raw_mode(found.mode()),
            mode: found.mode(),
            length: found.len(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl From<Stat> for State {
    fn from(found: Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(found.st_mode),
            mode: found.st_mode,
            length: found.st_size.unsigned_abs(),
            inode: found.st_ino,
            modified: (found.st_mtime, found.st_mtime_nsec as i64),
            changed: (found.st_ctime, found.st_ctime_nsec as i64),
        }
    }
}

fn look_at<'run>(
    directories: &mut Directories<'run>,
    question: &PathQuery<'run>,
    is_repeated: bool,
) -> Result<Found, SourceError> {
    if let Some((directory, _)) = question.path.rsplit_once('/') {
        match directories.way(directory)? {
            DirectoryPath::Open => {}
            DirectoryPath::Link(link) => return Ok(Found::BehindLink(link.to_owned())),
            DirectoryPath::Missing => return Ok(Found::Nothing),
        }
    }
    let path = || below(directories.root, question.path);
    if let Some(limit) = question.text_limit.filter(|_| !is_repeated)
        && let Some(file) = directories.open(question.path)
        && let Some(text) = text(file, path, limit, question.remembered)?
    {
        return Ok(Found::File(text));
    }
    let Some(found) = directories.state(question.path)? else { return Ok(Found::Nothing) };
    match found.kind {
        FileType::RegularFile => {}
        FileType::Symlink => {
            let path = path();
            let target = std::fs::read_link(&path).map_err(|error| vanished(&path, error))?;
            return Ok(Found::Link(target.into_os_string().into_vec()));
        }
        _ => return Ok(Found::Nothing),
    }
    let is_remembered = question.remembered.is_some_and(|remembered| remembered.holds_for(&found));
    let id = if is_remembered { None } else { Some(blob_on_disk(&path(), &found)?) };
    Ok(Found::File(FoundFile {
        executable: is_executable(&found),
        size: found.length,
        is_remembered,
        id,
        bytes: None,
    }))
}

/// Returns the blob id of a file's bytes, if the file is still the one whose metadata was read.
fn blob_on_disk(path: &Path, stat: &State) -> Result<Oid, SourceError> {
    let found = metadata(path)?.filter(|found| (found.ino(), found.len()) == (stat.inode, stat.length));
    Ok(digests(path, &found.ok_or_else(|| changed(path))?)?.blob)
}

fn is_executable(found: &State) -> bool {
    found.mode & 0o100 != 0
}

/// Reads a text; `None` if it is not a file, or longer than `limit`.
fn text(
    mut file: File,
    path: impl Fn() -> PathBuf,
    limit: u64,
    remembered: Option<Remembered>,
) -> Result<Option<FoundFile>, SourceError> {
    let found = State::from(rustix::fs::fstat(&file).map_err(|error| vanished(&path(), error.into()))?);
    if found.kind != FileType::RegularFile || found.length > limit {
        return Ok(None);
    }
    let bytes = all_of(&mut file, path, found.length)?;
    Ok(Some(FoundFile {
        executable: is_executable(&found),
        size: found.length,
        is_remembered: remembered.is_some_and(|remembered| remembered.holds_for(&found)),
        id: Some(blob_id(&bytes)),
        bytes: Some(bytes),
    }))
}

impl Remembered {
    /// Whether a file is still the one in the index, by its metadata.
    fn holds_for(&self, found: &State) -> bool {
        let same = |remembered: (i32, u32), found: (i64, i64)| {
            i64::from(remembered.0) == found.0 && (remembered.1 == 0 || i64::from(remembered.1) == found.1)
        };
        !self.racy
            && u64::from(self.size) == found.length & u64::from(u32::MAX)
            && same(self.modified, found.modified)
            && same(self.changed, found.changed)
            && (self.inode == 0 || u64::from(self.inode) == found.inode & u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_texts_that_the_index_has_as_one_blob_only_the_first_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let same = Some(blob_id(b"same"));
        let question = |name: &'static str, contents: &str, known, is_remembered: bool| {
            let path = directory.path().join(name);
            std::fs::write(&path, contents).unwrap();
            let found = metadata(&path).unwrap().unwrap();
            let remembered = Remembered {
                size: u32::try_from(found.len()).unwrap(),
                inode: 0,
                changed: (i32::try_from(found.ctime()).unwrap(), 0),
                modified: (i32::try_from(found.mtime()).unwrap(), 0),
                racy: !is_remembered,
            };
            PathQuery { path: name, remembered: Some(remembered), known, text_limit: Some(100) }
        };
        let questions = [
            question("a", "same", same, true),
            question("b", "same", same, true),
            question("c", "other", same, false),
            // The index has the same blob, but the bytes on disk differ, as with converted line
            // ends.
            question("d", "converted", Some(blob_id(b"d")), true),
            question("e", "converted", Some(blob_id(b"d")), true),
        ];
        let found = stat_paths(directory.path(), &questions).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|found| match found {
                Found::File(file) => (file.id, file.bytes.as_deref()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                (same, Some(&b"same"[..])),
                (None, Some(&b"same"[..])),
                (Some(blob_id(b"other")), None),
                (Some(blob_id(b"converted")), Some(&b"converted"[..])),
                (None, None),
            ]
        );
    }
}
