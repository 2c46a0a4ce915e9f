//! Python's core metadata: `METADATA` and `PKG-INFO` (packaging.python.org, "Core metadata
//! specifications").

use std::io::{self, BufRead};
use std::ops::ControlFlow;

use super::fields::stanzas;
use super::{Keeper, Named, one};

pub(super) fn read(reader: impl BufRead, keeper: &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>> {
    let (mut name, mut version) = (None, None);
    // The project's description follows the first empty line.
    stanzas(reader, &["Name", "Version"], |values| {
        (name, version) = (values[0].as_deref().map(normal), values[1].clone());
        Ok(ControlFlow::Break(()))
    })?;
    one(name, version, keeper)
}

/// Normalizes a name for comparison (PEP 503).
fn normal(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::show;

    #[test]
    fn the_head_of_metadata_is_read() {
        for (text, expect) in [
            ("Metadata-Version: 2.1\nName: NumPy\nVersion: 1.26.4\n\nName: no\n", "numpy 1.26.4"),
            ("Name: ruamel.yaml__clib\nVersion: 0.2.8\n", "ruamel-yaml-clib 0.2.8"),
            ("Name: x\n\nVersion: in the description\n", "error: it tells no version"),
            ("Version: 1\n", "error: it names no package"),
            ("", "error: it names no package"),
        ] {
            assert_eq!(show(text.as_bytes(), read), expect, "{text:?}");
        }
    }
}
