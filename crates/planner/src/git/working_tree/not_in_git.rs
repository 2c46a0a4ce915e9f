//! Reports configuration, layers and Dockerfiles that are on disk but not in git, since they are
//! not planned.
//!
//! Lists directories, but does not open files. Does not enter layers that git tracks.

use std::fs;
use std::path::Path;

use git2::Repository;

use crate::Problem;

use crate::git::layers::DOCKERFILE;
use crate::git::listing::{Listing, parent};
use crate::git::repository::{CONFIG, DESCRIPTOR, ROOTS, Stores};

/// At most this many directories are listed; few directories are not layers.
const MOST_DIRECTORIES: usize = 1000;

/// Returns warnings about files that are missing in `listing`, the listing of the right-hand side.
pub(in crate::git) fn notices(stores: &Stores, listing: &Listing) -> Vec<Problem> {
    let own = stores.get(0);
    let mut search = Search {
        root: stores.root(),
        repository: &own.repository,
        listing,
        notices: listing.notices.clone(),
    };
    search.configuration();
    search.dockerfiles();
    let mut open: Vec<String> = ROOTS.iter().map(|root| (*root).to_owned()).collect();
    for _ in 0..MOST_DIRECTORIES {
        let Some(directory) = open.pop() else { break };
        search.below(&directory, &mut open);
    }
    search.notices
}

struct Search<'run> {
    root: &'run Path,
    repository: &'run Repository,
    listing: &'run Listing,
    notices: Vec<Problem>,
}

impl Search<'_> {
    fn configuration(&mut self) {
        if !self.is_known(CONFIG) && self.is_file(CONFIG) {
            let message = "git does not have this file, so it is not read";
            self.notices.push(not_in_git(CONFIG, message));
        }
    }

    /// Checks tracked Dockerfiles in directories that are not layers.
    fn dockerfiles(&mut self) {
        for entry in &self.listing.entries {
            let Some(directory) = entry.path.strip_suffix(DOCKERFILE).and_then(|dir| dir.strip_suffix('/'))
            else {
                continue;
            };
            if ROOTS.contains(&directory) || self.is_in_layer(directory) {
                continue;
            }
            let descriptor = descriptor(directory);
            if self.is_file(&descriptor) {
                continue;
            }
            let message = format!("this Dockerfile has no {DESCRIPTOR} beside it, so it is not a layer");
            let help = format!(
                "write {descriptor}, and: git add {descriptor} (`image-builder schema` prints its schema)"
            );
            self.notices.push(Problem::in_file("no-descriptor", &entry.path, message).help(help));
        }
    }

    /// Checks the members of a directory that is not a layer.
    fn below(&mut self, directory: &str, open: &mut Vec<String>) {
        // A directory that cannot be listed is skipped.
        let members = fs::read_dir(self.root.join(directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> = members
            .filter(|member| member.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|member| member.file_name().into_string().ok())
            .filter(|name| name != ".git" && !name.chars().any(char::is_control))
            .collect();
        names.sort_unstable();
        for name in names {
            let path = [directory, "/", &name].concat();
            let descriptor = descriptor(&path);
            if self.is_known(&descriptor)
                || self.repository.is_path_ignored(self.root.join(&path)).unwrap_or(false)
            {
                continue;
            }
            let has_descriptor = self.is_file(&descriptor);
            if self.listing.below(&path).is_empty() {
                if has_descriptor || self.is_file(&format!("{path}/{DOCKERFILE}")) {
                    let message = "git has no file of this directory, so it is not planned";
                    self.notices.push(not_in_git(&path, message));
                } else {
                    open.push(path);
                }
            } else if has_descriptor {
                let message = "git does not have this descriptor, so its directory is not planned";
                self.notices.push(not_in_git(&descriptor, message));
            } else {
                open.push(path);
            }
        }
    }

    fn is_known(&self, path: &str) -> bool {
        self.listing.entries.binary_search_by(|entry| entry.path.as_bytes().cmp(path.as_bytes())).is_ok()
    }

    fn is_in_layer(&self, directory: &str) -> bool {
        std::iter::successors(Some(directory), |path| parent(path))
            .any(|directory| self.is_known(&descriptor(directory)))
    }

    fn is_file(&self, path: &str) -> bool {
        self.root.join(path).symlink_metadata().is_ok_and(|found| found.is_file())
    }
}

/// Returns the path of a layer's descriptor: `science/nist/sciserver-image.json`.
fn descriptor(directory: &str) -> String {
    [directory, "/", DESCRIPTOR].concat()
}

fn not_in_git(path: &str, message: &str) -> Problem {
    let help = format!("git add {path}, then commit it (or --untracked, to try it before)");
    Problem::in_file("not-in-git", path, message).help(help)
}
