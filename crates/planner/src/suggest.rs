//! What somebody may have meant.

/// The known word that is closest to one that is not known, if one is close.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance * 3 <= known.chars().count().max(lower.chars().count()))
        .min()
        .map(|(_, known)| known)
}
