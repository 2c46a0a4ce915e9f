//! Stanzas of `Field: value` lines, as dpkg, apk, Python's metadata and R's descriptions have them.

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use crate::limits::Limit;

/// Bytes of a line that are kept; the fields that name a package are far shorter.
const LINE: u64 = 16 << 10;

/// Reads stanzas and passes the values of the `wanted` fields, in their order, to `take` until it
/// has enough. Only the first line of a value is read; a stanza without any wanted field is
/// skipped.
pub(super) fn stanzas(
    mut reader: impl BufRead,
    wanted: &[&str],
    mut take: impl FnMut(&[Option<String>]) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut values: Vec<Option<String>> = vec![None; wanted.len()];
    let mut line = Vec::new();
    loop {
        let more = next_line(&mut reader, &mut line)?;
        let text = line.trim_ascii_end();
        if !more || text.is_empty() {
            if values.iter().any(Option::is_some) && take(&values)?.is_break() || !more {
                return Ok(());
            }
            values.fill(None);
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else { continue };
        // A line that begins with a blank continues the previous field.
        if let Some(at) = wanted.iter().position(|field| field.as_bytes() == &text[..colon]) {
            let value = text[colon + 1..].trim_ascii();
            Limit::Text.check(value.len() as u64)?;
            values[at].get_or_insert_with(|| String::from_utf8_lossy(value).into_owned());
        }
    }
}

/// Reads the next line up to its limit; returns whether there is one.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = reader.by_ref().take(LINE).read_until(b'\n', line)?;
    if read > 0 && line.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_told_apart_and_long_lines_cut() {
        let long = format!("Long: {}\nB: after\n\n", "x".repeat(100_000));
        let text =
            format!("A: 1\r\nB:2\n B: no\n\n\n\nC: none wanted\n\nA:: x:y \nA: second\n\n{long}A: last");
        let mut seen = Vec::new();
        stanzas(text.as_bytes(), &["A", "B"], |values| {
            seen.push(
                values.iter().map(|value| value.clone().unwrap_or_default()).collect::<Vec<_>>().join("|"),
            );
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert_eq!(seen, ["1|2", ": x:y|", "|after", "last|"]);
    }

    #[test]
    fn enough_is_enough() {
        let mut seen = 0;
        stanzas(&b"A: 1\n\nA: 2\n"[..], &["A"], |_| {
            seen += 1;
            Ok(ControlFlow::Break(()))
        })
        .unwrap();
        assert_eq!(seen, 1);
    }
}
