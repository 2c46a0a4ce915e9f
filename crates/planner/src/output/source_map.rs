//! Maps the instructions of a build's Dockerfile to the files and lines that they come from.
//!
//! Counts the lines before a text that is inserted into another one; does not interpret
//! instructions.

use plan::{Origin, Written};

use crate::parse::dockerfile::Instruction;
use crate::tree::layers::DOCKERFILE;

/// Returns the origins of the instructions of a layer's Dockerfile or fragment that follows `lines`
/// lines of another text.
pub(crate) fn of_layer(path: &str, instructions: &[Instruction], lines: u32) -> Vec<Origin> {
    let origin = |instruction: &Instruction| Origin {
        instruction: instruction.keyword.clone(),
        first: instruction.line + lines,
        last: instruction.end + lines,
        written: Some(Written { file: format!("{path}/{DOCKERFILE}"), line: instruction.line }),
    };
    instructions.iter().map(origin).collect()
}

/// Returns the origin of a generated instruction, on one line.
pub(crate) fn generated(instruction: &str, line: u32) -> Origin {
    Origin { instruction: instruction.to_owned(), first: line, last: line, written: None }
}

/// Counts the lines of a text that ends with a line end.
pub(crate) fn lines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_in_both_texts() {
        let run = Instruction { keyword: "RUN".into(), arguments: "x".into(), line: 2, end: 4 };
        let [origin] = &of_layer("compat/web", &[run], lines("FROM a\n# compat/web\n"))[..] else {
            panic!("one")
        };
        assert_eq!((origin.first, origin.last), (4, 6));
        assert_eq!(origin.written, Some(Written { file: "compat/web/Dockerfile".into(), line: 2 }));
    }
}
