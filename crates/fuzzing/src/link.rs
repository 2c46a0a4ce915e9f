//! `Link` headers of registries: a next page is one that stands there, it can be put into an address, and it does not matter
//! over how many lines a list is spread.

use registry::{Next, next};

/// Each line of the input is one of the header.
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
            assert!(text.to_ascii_lowercase().contains("next"), "{query:?} without a relation");
        }
        Next::None => {}
        Next::Unreadable => assert!(!text.trim().is_empty(), "nothing cannot be unreadable"),
    }
    // Several lines are one list, where each can be read by itself.
    if lines.iter().all(|line| next([*line]) != Next::Unreadable) {
        assert_eq!(next([lines.join(",").as_str()]), found, "one line of {lines:?}");
    }
}
