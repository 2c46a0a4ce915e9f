//! Suggests the name that was probably meant.

use std::cell::Cell;

/// The longest word that is compared, in bytes: the search takes time and memory for each pair of
/// letters.
const LONGEST: usize = 300;

/// Returns the known word that is closest to an unknown one, if one is close.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .filter(|known| known.len() <= LONGEST)
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance * 3 <= known.chars().count().max(lower.chars().count()))
        .min()
        .map(|(_, known)| known)
}

/// Suggestions for texts with many unknown words: only the first hundred are compared.
#[derive(Debug)]
pub(crate) struct Suggestions {
    left: Cell<u8>,
}

impl Default for Suggestions {
    fn default() -> Self {
        Self { left: Cell::new(100) }
    }
}

impl Suggestions {
    /// As [`closest`]. Calls `known` only if the limit is not reached.
    pub(crate) fn closest<'a>(&self, word: &str, known: impl FnOnce() -> Vec<&'a str>) -> Option<&'a str> {
        self.left.set(self.left.get().checked_sub(1)?);
        closest(word, known().into_iter())
    }
}
