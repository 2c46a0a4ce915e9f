//! Reads the attributes that the tree itself sets: those of its `.gitattributes` files only.
//! libgit2 also reads those of the machine and the clone (`info/attributes`,
//! `core.attributesFile`), which are not part of any commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix_attributes::Search;
use gix_attributes::StateRef;
use gix_attributes::glob::pattern::Case;
use gix_attributes::search::{MetadataCollection, Outcome};

use crate::git::conversion::{Attribute, Conversion, NAMES};

/// The name of the files that hold attributes.
pub(in crate::git) const ATTRIBUTES: &str = ".gitattributes";

/// The attributes of one repository's tree. Fast if paths are queried in sorted order.
pub(in crate::git) struct TreeAttributes {
    /// The texts of all files, by their directory with a trailing `/`; the top directory is empty.
    texts: BTreeMap<String, Vec<u8>>,
    search: Search,
    collection: MetadataCollection,
    /// The directories whose files are in `search`, outer directories first.
    taken: Vec<String>,
    outcome: Outcome,
}

impl TreeAttributes {
    /// Takes the contents of `.gitattributes` files by their paths in the repository.
    pub(in crate::git) fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let texts = files.into_iter().filter_map(|(path, text)| {
            let directory = path.strip_suffix(ATTRIBUTES)?;
            Some((directory.to_owned(), text))
        });
        let mut collection = MetadataCollection::default();
        // No file is read, so this cannot fail; git's built-in macros are always included.
        let none: [PathBuf; 0] = [];
        let search = Search::new_globals(none, &mut Vec::new(), &mut collection).unwrap_or_default();
        Self { texts: texts.collect(), search, collection, taken: Vec::new(), outcome: Outcome::default() }
    }

    /// Whether there are no attributes.
    pub(in crate::git) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Returns the conversion that the tree requests for a path of the repository.
    pub(in crate::git) fn at(&mut self, path: &str) -> Conversion {
        if self.is_empty() {
            return Conversion::default();
        }
        self.take(path);
        self.outcome.initialize_with_selection(&self.collection, NAMES);
        let sensitive = Case::Sensitive;
        self.search.pattern_matching_relative_path(path.into(), sensitive, Some(false), &mut self.outcome);
        let mut values: [Attribute; NAMES.len()] = Default::default();
        for found in self.outcome.iter_selected() {
            let Some(at) = NAMES.iter().position(|name| *name == found.assignment.name.as_str()) else {
                continue;
            };
            values[at] = match found.assignment.state {
                StateRef::Set => Attribute::Set,
                StateRef::Unset => Attribute::Unset,
                StateRef::Unspecified => Attribute::Unspecified,
                StateRef::Value(value) => Attribute::Value(value.as_bstr().to_string()),
            };
        }
        Conversion::of(values, false)
    }

    /// Loads exactly the files of the directories above a path into `search`.
    fn take(&mut self, path: &str) {
        while self.taken.last().is_some_and(|last| !path.starts_with(last.as_str())) {
            self.taken.pop();
            self.search.pop_pattern_list();
        }
        let known = self.taken.last().map_or(0, |last| last.len() + 1);
        let ends = std::iter::once(0).chain(path.match_indices('/').map(|(at, _)| at + 1));
        for directory in ends.map(|end| &path[..end]).filter(|directory| directory.len() >= known) {
            if let Some(text) = self.texts.get(directory) {
                let source = Path::new(directory).join(ATTRIBUTES);
                let is_top = directory.is_empty();
                let root = Some(Path::new(""));
                // The file is read from memory, so this cannot fail.
                let _ = self.search.add_patterns_buffer(text, source, root, &mut self.collection, is_top);
                self.taken.push(directory.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(attributes: &mut TreeAttributes, path: &str) -> Option<String> {
        attributes.at(path).filter
    }

    #[test]
    fn the_nearest_file_and_the_last_line_decide() {
        let mut attributes = TreeAttributes::new(
            [
                (
                    ".gitattributes",
                    "[attr]notebook filter=macro\n*.dat filter=a\n*.ipynb notebook\n*.bin filter=x binary\n",
                ),
                (
                    "science/.gitattributes",
                    "*.dat filter=b\n/top.dat filter=c\nsky/** filter=d\nsky/free.dat -filter\n",
                ),
                (
                    "science/sky/.gitattributes",
                    "deep/*.dat filter=e\n# *.dat filter=f\n\"with space.dat\" filter=g\n",
                ),
                ("science/sky-b/.gitattributes", "*.dat !filter\n"),
            ]
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())),
        );
        let table = [
            ("compat/x.dat", Some("a")),
            ("compat/x.ipynb", Some("macro")),
            ("compat/x.txt", None),
            ("science/sky-b/x.dat", None),
            ("science/sky/deep/x.dat", Some("e")),
            ("science/sky/free.dat", None),
            ("science/sky/with space.dat", Some("g")),
            ("science/sky/x.txt", Some("d")),
            ("science/sub/top.dat", Some("b")),
            ("science/top.dat", Some("c")),
        ];
        for (path, expect) in table.iter().chain(table.iter().rev()) {
            assert_eq!(filter(&mut attributes, path).as_deref(), *expect, "{path}");
        }
        assert!(attributes.at("science/sky/x.txt").is_opaque());
        assert!(!TreeAttributes::new([]).at("x").is_opaque());
    }
}
