//! Lists a commit's files from its tree objects. Does not open subtrees that are equal on the other
//! side.

use std::rc::Rc;

use git2::{ErrorCode, ObjectType, Oid, Repository};

use crate::Problem;
use crate::tree::{Mode, OnDisk};

use crate::git::error::SourceError;
use crate::git::listing::{Entry, Listing, is_wanted};
use crate::git::repository::{Store, Stores};

/// The longest target of a link on Linux.
pub(in crate::git) const MAX_LINK: usize = 4096;

/// The file modes of git's tree objects and index.
pub(in crate::git) const MODE_LINK: i32 = 0o120_000;
pub(in crate::git) const MODE_SUBMODULE: i32 = 0o160_000;
pub(in crate::git) const MODE_EXECUTABLE: i32 = 0o100_755;

/// A part of a tree that has not been visited yet.
struct Todo {
    store: Rc<Store>,
    path: String,
    mode: i32,
    id: Oid,
}

/// Lists the files under the two roots, in the tree of a commit of the source tree's own
/// repository.
pub(in crate::git) fn read(
    stores: &mut Stores,
    tree: Oid,
    known: Option<&Listing>,
) -> Result<Listing, SourceError> {
    let mut listing = Listing::default();
    let own = stores.get(0);
    let Some(top) = source_tree(&own, tree)? else { return Ok(listing) };
    let mut open = Vec::new();
    expand(&own, top, "", &mut open, &mut listing)?;
    while let Some(todo) = open.pop() {
        if todo.mode == MODE_SUBMODULE {
            listing.gap(&todo.path);
            submodule(stores, &todo, known, &mut open, &mut listing)?;
        } else if ObjectType::Tree == kind(todo.mode) {
            subtree(todo, known, &mut open, &mut listing)?;
        } else {
            file(&todo, &mut listing)?;
        }
    }
    match known {
        Some(_) => listing.sort(),
        None => listing.complete(),
    }
    Ok(listing)
}

/// Returns the tree of the source tree's root, which may be a directory of the repository.
fn source_tree(store: &Store, tree: Oid) -> Result<Option<Oid>, SourceError> {
    let mut id = tree;
    for name in store.prefix.split_terminator('/') {
        match find_tree(&store.repository, id)?.get_name(name) {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => id = entry.id(),
            _ => return Ok(None),
        }
    }
    Ok(Some(id))
}

fn find_tree(repository: &Repository, id: Oid) -> Result<git2::Tree<'_>, SourceError> {
    repository.find_tree(id).map_err(|error| missing(error, id, "a commit's tree"))
}

fn missing(error: git2::Error, id: Oid, wanted: &str) -> SourceError {
    if error.code() == ErrorCode::NotFound {
        SourceError::MissingObject { id: id.to_string(), wanted: wanted.to_owned() }
    } else {
        SourceError::git(format!("cannot read git's object {id}"))(error)
    }
}

fn kind(mode: i32) -> ObjectType {
    match mode {
        0o040_000 => ObjectType::Tree,
        MODE_SUBMODULE => ObjectType::Commit,
        _ => ObjectType::Blob,
    }
}

/// Adds the members of a tree to `open`, in reverse order, so that the first member is taken next.
fn expand(
    store: &Rc<Store>,
    tree: Oid,
    path: &str,
    open: &mut Vec<Todo>,
    listing: &mut Listing,
) -> Result<(), SourceError> {
    let first = open.len();
    for entry in &find_tree(&store.repository, tree)? {
        let mut full = path.as_bytes().to_vec();
        if !path.is_empty() {
            full.push(b'/');
        }
        full.extend_from_slice(entry.name_bytes());
        if !is_wanted(&full) {
            continue;
        }
        if let Some(path) = listing.checked(full) {
            open.push(Todo { store: Rc::clone(store), path, mode: entry.filemode(), id: entry.id() });
        }
    }
    open[first..].reverse();
    Ok(())
}

/// Visits a directory. Takes it over from the other side if that has the same tree.
fn subtree(
    todo: Todo,
    known: Option<&Listing>,
    open: &mut Vec<Todo>,
    listing: &mut Listing,
) -> Result<(), SourceError> {
    let path = match known {
        None => todo.path,
        Some(known) => match listing.take_over(todo.path, todo.id, known) {
            Ok(()) => return Ok(()),
            Err(path) => path,
        },
    };
    expand(&todo.store, todo.id, &path, open, listing)
}

/// Visits a submodule: the tree of its recorded commit. If its repository is missing or lacks that
/// commit, one entry with the commit's id represents its files, so that another commit is a
/// difference.
fn submodule(
    stores: &mut Stores,
    todo: &Todo,
    known: Option<&Listing>,
    open: &mut Vec<Todo>,
    listing: &mut Listing,
) -> Result<(), SourceError> {
    if let Some(store) = stores.submodule(&todo.path)?
        && let Ok(commit) = store.repository.find_commit(todo.id)
    {
        let top =
            Todo { store: Rc::clone(&store), path: todo.path.clone(), mode: 0o040_000, id: commit.tree_id() };
        return subtree(top, known, open, listing);
    }
    listing.entries.push(Rc::new(Entry {
        path: todo.path.clone(),
        mode: Mode::File,
        id: todo.id,
        store: todo.store.number,
        on_disk: Some(OnDisk::Lacking(uninitialised(&todo.path).into())),
        text: None,
    }));
    Ok(())
}

/// Creates the problem of a submodule whose files are missing.
pub(in crate::git) fn uninitialised(path: &str) -> Problem {
    Problem::in_file("submodule", path, "the files of this submodule are not there")
        .help(format!("fetch them: git submodule update --init --recursive {path}"))
}

/// Adds a file or a link.
fn file(todo: &Todo, listing: &mut Listing) -> Result<(), SourceError> {
    let mode = match todo.mode {
        MODE_LINK => match link_target(todo)? {
            Some(target) => Mode::Symlink(target),
            None => {
                listing.gap(&todo.path);
                listing.problems.push(bad_link(&todo.path));
                return Ok(());
            }
        },
        MODE_EXECUTABLE => Mode::Executable,
        _ => Mode::File,
    };
    listing.entries.push(Rc::new(Entry {
        path: todo.path.clone(),
        mode,
        id: todo.id,
        store: todo.store.number,
        on_disk: None,
        text: None,
    }));
    Ok(())
}

/// Creates the problem of a link whose target is not text.
pub(in crate::git) fn bad_link(path: &str) -> Problem {
    Problem::in_file(
        "bad-link",
        path,
        "the target of this symbolic link is not UTF-8, or longer than 4096 bytes",
    )
    .help("rename its target, and create the link again; or put the file in its place")
}

fn link_target(todo: &Todo) -> Result<Option<String>, SourceError> {
    let bytes = blob(&todo.store.repository, todo.id, MAX_LINK)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|target| !target.contains('\0')))
}

/// Returns a blob's bytes; `None`, without reading the blob, if it is larger than `limit`.
pub(in crate::git) fn blob(
    repository: &Repository,
    id: Oid,
    limit: usize,
) -> Result<Option<Vec<u8>>, SourceError> {
    let fail = |error| missing(error, id, "the contents of a file");
    let odb = repository.odb().map_err(SourceError::git("cannot open git's objects"))?;
    if odb.read_header(id).map_err(fail)?.0 > limit {
        return Ok(None);
    }
    Ok(Some(odb.read(id).map_err(fail)?.data().to_vec()))
}
