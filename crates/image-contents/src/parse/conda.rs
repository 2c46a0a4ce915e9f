//! conda's record of one installed package, `conda-meta/*.json`.

use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;

use super::{Keeper, Named, one};
use crate::limits::{Beyond, Limit};

/// The fields that are used. The rest of the file, mostly a long list of installed files, is
/// skipped as it streams by.
#[derive(Deserialize)]
struct Meta {
    name: Option<String>,
    version: Option<String>,
    build: Option<String>,
}

pub(super) fn read(reader: impl BufRead, keeper: &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>> {
    match serde_json::from_reader::<_, Meta>(BufReader::new(Bounded::new(reader))) {
        Ok(Meta { name, version, build }) => {
            // The same version built against other libraries is another package.
            let version = version.map(|version| match build {
                Some(build) => format!("{version} {build}"),
                None => version,
            });
            one(name, version, keeper)
        }
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) => Ok(Err(format!("it is not JSON as conda writes it, line {}", error.line()))),
    }
}

/// Passes JSON text on until a string is too long or values are nested too deeply, since the parser
/// keeps a string in memory until it ends, and a byte for each open list or object.
struct Bounded<R> {
    reader: R,
    /// Bytes of the current string so far.
    string: Option<u64>,
    escaped: bool,
    depth: u64,
    beyond: Option<Beyond>,
}

impl<R> Bounded<R> {
    fn new(reader: R) -> Self {
        Self { reader, string: None, escaped: false, depth: 0, beyond: None }
    }

    fn see(&mut self, byte: u8) -> Result<(), Beyond> {
        match (&mut self.string, byte) {
            (Some(_), b'"') if !self.escaped => self.string = None,
            (Some(length), _) => {
                *length += 1;
                self.escaped = byte == b'\\' && !self.escaped;
                Limit::JsonString.check(*length)?;
            }
            (None, b'"') => (self.string, self.escaped) = (Some(0), false),
            (None, b'[' | b'{') => {
                self.depth += 1;
                Limit::JsonDepth.check(self.depth)?;
            }
            (None, b']' | b'}') => self.depth = self.depth.saturating_sub(1),
            (None, _) => {}
        }
        Ok(())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(beyond) = self.beyond {
            return Err(beyond.into());
        }
        let read = self.reader.read(buffer)?;
        for (at, byte) in buffer[..read].iter().enumerate() {
            if let Err(beyond) = self.see(*byte) {
                // The bytes before it are passed on, so that the parser can report an earlier
                // error, independent of the size of reads.
                self.beyond = Some(beyond);
                return if at == 0 { Err(beyond.into()) } else { Ok(at) };
            }
        }
        Ok(read)
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
            ("{\n\"name\": 7}", "error: it is not JSON as conda writes it, line 2"),
            ("", "error: it is not JSON as conda writes it, line 1"),
        ] {
            assert_eq!(show(text.as_bytes(), read), expect, "{text}");
        }
    }

    #[test]
    fn strings_and_depth_are_bounded_wherever_they_are() {
        let most = Limit::JsonString.length();
        let rest = r#""name": "a", "version": "1"}"#;
        let nested = |depth: usize| format!("{{\"x\": {}{}, {rest}", "[".repeat(depth), "]".repeat(depth));
        for (text, expect) in [
            (format!("{{\"x\": \"{}\\\"\", {rest}", "x".repeat(most - 2)), "a 1"),
            (
                format!("{{\"x\": \"{}\\\"\", {rest}", "x".repeat(most - 1)),
                "beyond: a string in a record of conda of more than 64 KiB",
            ),
            (
                format!("{{\"{}\": 1, {rest}", "x".repeat(most + 1)),
                "beyond: a string in a record of conda of more than 64 KiB",
            ),
            (nested(127), "a 1"),
            (nested(128), "beyond: a record of conda of more than 128 levels"),
            (format!("{{\"x\": \"{}\", {rest}", "[".repeat(1000)), "a 1"),
            (
                format!("{{\"name\": \"{}\", \"version\": \"1\"}}", "x".repeat(2000)),
                "beyond: a name or version of a package of more than 1 KiB",
            ),
        ] {
            assert_eq!(show(text.as_bytes(), read), expect, "{text:.60}");
        }
    }
}
