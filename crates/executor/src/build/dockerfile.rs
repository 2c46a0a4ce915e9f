//! Replaces the references in a Dockerfile's text by exact images.
//!
//! Does not parse the Dockerfile: the plan has the position of each name.

use plan::Span;

/// Replaces spans of a text.
///
/// # Errors
/// Names the span that is outside of the text, splits a character, or overlaps another span.
pub(crate) fn replace(text: &str, replacements: &[(Span, String)]) -> Result<String, String> {
    let mut sorted: Vec<&(Span, String)> = replacements.iter().collect();
    sorted.sort_by_key(|(span, _)| *span);
    let mut replaced = String::with_capacity(text.len() + replacements.len() * 64);
    let mut done = 0;
    for (span, with) in sorted {
        let known = (span.start >= done && span.end >= span.start)
            .then(|| text.get(done..span.start).zip(text.get(span.start..span.end)))
            .flatten();
        let Some((before, _)) = known else {
            return Err(format!("bytes {}..{} name no image of the dockerfile", span.start, span.end));
        };
        replaced.push_str(before);
        replaced.push_str(with);
        done = span.end;
    }
    replaced.push_str(&text[done..]);
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_replaced_wherever_they_stand() {
        let text = "FROM aé AS x\nCOPY --from=b /a /b\n";
        let at = |word: &str| {
            let start = text.find(word).unwrap();
            Span { start, end: start + word.len() }
        };
        let both = [(at("b /a"), "long:1@sha256:0 /a".to_owned()), (at("aé"), "z".to_owned())];
        assert_eq!(replace(text, &both).unwrap(), "FROM z AS x\nCOPY --from=long:1@sha256:0 /a /b\n");
        assert_eq!(replace(text, &[]).unwrap(), text);
        for (start, end) in [(5, 7), (0, 1000), (3, 2), (99, 100)] {
            assert!(replace(text, &[(Span { start, end }, String::new())]).is_err(), "{start}..{end}");
        }
        let span = Span { start: 0, end: 4 };
        assert!(replace(text, &[(span, String::new()), (Span { start: 3, end: 5 }, String::new())]).is_err());
    }
}
