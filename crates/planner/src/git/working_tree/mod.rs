//! Reads the working tree: tracked files, and files that flags add, as they are on disk.

pub(in crate::git) mod committed_bytes;
pub(in crate::git) mod contents;
pub(in crate::git) mod disk;
pub(in crate::git) mod not_in_git;
pub(in crate::git) mod stat_files;
pub(in crate::git) mod tracked;
pub(in crate::git) mod uncommitted;
pub(in crate::git) mod untracked;

use std::rc::Rc;
use std::sync::Arc;

use git2::Oid;

use crate::tree::{Mode, OnDisk, SourceFile};

use crate::git::conversion::rules::Rules;
use crate::git::error::SourceError;
use crate::git::history::commit::{MAX_LINK, MODE_EXECUTABLE, MODE_LINK, bad_link, blob};
use crate::git::layers::{TEXT_LIMIT, is_text, linked};
use crate::git::listing::{Entry, Listing};
use crate::git::repository::Stores;
use crate::git::working_tree::stat_files::{Found, PathQuery};
use crate::git::working_tree::tracked::{Known, Tracked, tracked};
use crate::git::working_tree::untracked::Additions;

/// Reads the working tree.
pub(in crate::git) fn read(stores: &mut Stores, additions: &Additions) -> Result<Listing, SourceError> {
    let mut listing = Listing::default();
    let mut tracked = tracked(stores, &mut listing)?;
    let more = untracked::find(stores, additions, &tracked.paths, &mut listing)?;
    if !more.is_empty() {
        tracked.paths.extend(more);
        tracked.paths.sort_by(|a, b| a.path.cmp(&b.path));
    }
    let mut rules = Rules::new(stores, &tracked)?;
    let paths = tracked.paths;
    let questions: Vec<_> = paths
        .iter()
        .map(|tracked| PathQuery {
            path: &tracked.path,
            remembered: tracked.known.as_ref().map(|known| known.remembered),
            known: tracked.known.as_ref().map(|known| known.id),
            text_limit: is_text(&tracked.path).then_some(TEXT_LIMIT as u64),
        })
        .collect();
    let found = stat_files::stat_paths(stores.root(), &questions)?;
    listing.entries.reserve_exact(paths.len());
    for (tracked, found) in paths.into_iter().zip(found) {
        if let Some(entry) = settle(stores, &mut rules, tracked, found, &mut listing)? {
            listing.entries.push(Rc::new(entry));
        }
    }
    listing.complete();
    Ok(listing)
}

/// Determines the entry of a path of the working tree.
fn settle(
    stores: &Stores,
    rules: &mut Rules<'_>,
    tracked: Tracked,
    found: Found,
    listing: &mut Listing,
) -> Result<Option<Entry>, SourceError> {
    match found {
        Found::BehindLink(link) => {
            listing
                .problems
                .push(linked(&link, "this directory is a symbolic link on disk, and a directory in git"));
            Ok(None)
        }
        Found::Nothing => Ok(match &tracked.known {
            // A sparse checkout left the file out on purpose: it is as in git, and cannot be sent.
            Some(known) if known.is_sparse => {
                let id = known.id;
                match known.mode {
                    MODE_EXECUTABLE => Some(entry(tracked, Mode::Executable, id, Some(OnDisk::Blob))),
                    MODE_LINK => link_in_git(&tracked, known)?
                        .map(|target| entry(tracked, Mode::Symlink(target), id, None)),
                    _ => Some(entry(tracked, Mode::File, id, Some(OnDisk::Blob))),
                }
            }
            _ => None,
        }),
        Found::Link(target) => Ok(link(tracked, target, listing)),
        Found::File(file) => {
            let rules = rules.of(&tracked)?;
            if !rules.has_links && tracked.known.as_ref().is_some_and(|known| known.mode == MODE_LINK) {
                let target = contents::read(stores, &tracked)?;
                return Ok(link(tracked, target, listing));
            }
            let executable = match &tracked.known {
                Some(known) if !rules.has_modes => known.mode == MODE_EXECUTABLE,
                Some(_) => file.executable,
                None => rules.has_modes && file.executable,
            };
            let mode = if executable { Mode::Executable } else { Mode::File };
            let contents = contents::of(stores, rules, &tracked, file)?;
            listing.notices.extend(contents.notice);
            // A file that is not UTF-8 is read again by the code that expects text, for its error.
            let text = contents.text.and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.map(|text| Arc::new(SourceFile { path: tracked.path.clone(), text }));
            Ok(Some(Entry { text, ..entry(tracked, mode, contents.id, Some(contents.on_disk)) }))
        }
    }
}

fn entry(tracked: Tracked, mode: Mode, id: Oid, on_disk: Option<OnDisk>) -> Entry {
    Entry { path: tracked.path, mode, id, store: tracked.store.number, on_disk, text: None }
}

/// Creates the entry of a link.
fn link(tracked: Tracked, target: Vec<u8>, listing: &mut Listing) -> Option<Entry> {
    let id = disk::blob_id(&target);
    match String::from_utf8(target) {
        Ok(target) if target.len() <= MAX_LINK => Some(entry(tracked, Mode::Symlink(target), id, None)),
        _ => {
            listing.gap(&tracked.path);
            listing.problems.push(bad_link(&tracked.path));
            None
        }
    }
}

/// Returns the target of a link that is not on disk.
fn link_in_git(tracked: &Tracked, known: &Known) -> Result<Option<String>, SourceError> {
    let bytes = blob(&tracked.store.repository, known.id, MAX_LINK)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}
