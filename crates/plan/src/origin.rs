//! Maps the lines of a build's Dockerfile to the files that they were written in, so that an
//! engine's error can be reported for a file that a person can fix.
//!
//! The Dockerfile of a compat build is generated from fragments; that of a science layer is sent
//! unchanged.

use serde::{Deserialize, Serialize};

use crate::Build;

/// One instruction of a build's Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its keyword in capitals, `RUN`.
    pub instruction: String,
    /// Its first line in the build's `dockerfile`, counted from 1.
    pub first: u32,
    /// Its last line there, that of a continuation or the end of a heredoc.
    pub last: u32,
    /// The source file below the source tree's root, and the instruction's position in it. Absent
    /// for generated instructions.
    #[serde(flatten)]
    pub written: Option<Written>,
}

/// A place in a file of the source tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Below the root, `compat/jupyter/Dockerfile`.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

impl Build {
    /// Returns the instruction that a line of `dockerfile` belongs to; `None` between instructions.
    #[must_use]
    pub fn origin_at(&self, line: u32) -> Option<&Origin> {
        self.origins.iter().find(|origin| (origin.first..=origin.last).contains(&line))
    }

    /// Returns the text of an instruction, with all of its lines in `dockerfile`.
    #[must_use]
    pub fn instruction(&self, origin: &Origin) -> String {
        let (skip, last) = (origin.first.saturating_sub(1) as usize, origin.last as usize);
        let lines: Vec<&str> = self
            .dockerfile
            .split('\n')
            .take(last)
            .skip(skip)
            .map(|line| line.trim_end_matches('\r'))
            .collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_holds_it_flat() {
        let written = Some(Written { file: "compat/common/Dockerfile".into(), line: 2 });
        for (written, json) in [
            (
                written,
                serde_json::json!({
                    "instruction": "RUN", "first": 3, "last": 5, "file": "compat/common/Dockerfile", "line": 2
                }),
            ),
            (None, serde_json::json!({"instruction": "RUN", "first": 3, "last": 5})),
        ] {
            let origin = Origin { instruction: "RUN".into(), first: 3, last: 5, written };
            assert_eq!(serde_json::to_value(&origin).expect("JSON"), json);
            assert_eq!(serde_json::from_value::<Origin>(json).expect("an origin"), origin);
        }
    }
}
