//! conda's record of one installed package, `conda-meta/*.json`.

use std::io::{self, BufRead};

use serde::Deserialize;

use super::{Named, one};

/// The rest of such a file is long, a list of all that was installed, and is passed over as it comes.
#[derive(Deserialize)]
struct Meta {
    name: Option<String>,
    version: Option<String>,
    build: Option<String>,
}

pub(super) fn read(reader: impl BufRead) -> io::Result<Result<Vec<Named>, String>> {
    match serde_json::from_reader::<_, Meta>(reader) {
        Ok(Meta { name, version, build }) => {
            // The same version is built again against other libraries: that is another package.
            let version = version.map(|version| match build {
                Some(build) => format!("{version} {build}"),
                None => version,
            });
            Ok(one(name.as_ref(), version.as_ref()))
        }
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) => Ok(Err(format!("it is no JSON as conda writes it, line {}", error.line()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::show;

    #[test]
    fn one_package_a_file() {
        for (text, expect) in [
            (
                r#"{"build": "py311_0", "files": ["a", "b"], "name": "numpy", "version": "1.26.4"}"#,
                "numpy 1.26.4 py311_0",
            ),
            (r#"{"name": "numpy", "version": "1.26.4", "build": null}"#, "numpy 1.26.4"),
            (r#"{"name": "numpy"}"#, "error: it tells no version"),
            ("{\n\"name\": 7}", "error: it is no JSON as conda writes it, line 2"),
            ("", "error: it is no JSON as conda writes it, line 1"),
        ] {
            assert_eq!(show(read(text.as_bytes())), expect, "{text}");
        }
    }
}
