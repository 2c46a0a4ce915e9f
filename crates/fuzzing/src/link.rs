//! `Link` headers of registries: a next page is always named by the header and valid in a URL, and
//! the number of lines that a list is split into does not matter.

use registry::{Next, next};

/// Whether a link that is appended to a line is read.
fn is_whole(line: &str) -> bool {
    let probed = next([format!("{line}, <?probe>; rel=\"next\"").as_str()]);
    match next([line]) {
        Next::None => probed == Next::Query("probe".to_owned()),
        // A header with two different next pages is unreadable.
        Next::Query(_) => probed == Next::Unreadable,
        Next::Unreadable => false,
    }
}

/// Each line of the input is a line of the header.
pub(crate) fn body(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.lines().collect();
    let found = next(lines.iter().copied());
    assert_eq!(found, next(lines.iter().copied()));
    match &found {
        Next::Query(query) => {
            assert!(!query.is_empty() && query.bytes().all(|byte| byte.is_ascii_graphic()), "{query:?}");
            assert!(!query.contains(['#', '<', '>', '"']), "{query:?}");
            assert!(lines.iter().any(|line| line.contains(&format!("?{query}"))), "{query:?} out of nothing");
            // A relation may be written with escapes (RFC 9110, section 5.6.4).
            let plain = text.to_ascii_lowercase().replace('\\', "");
            assert!(plain.contains("next"), "{query:?} without a relation");
        }
        Next::None => {}
        Next::Unreadable => {
            assert!(!text.trim_matches([' ', '\t', ',', '\n']).is_empty(), "nothing cannot be unreadable");
        }
    }
    // Several lines are one list if each is complete.
    if lines.iter().all(|line| is_whole(line)) {
        assert_eq!(next([lines.join(",").as_str()]), found, "one line of {lines:?}");
    }
}
