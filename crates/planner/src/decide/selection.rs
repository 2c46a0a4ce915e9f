//! Applies `--ignore`, `--include` and `--all` to a layer. Does not depend on the differences.

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::request::{Request, Selection};
use crate::tree::Tree;
use crate::views::suggest;

/// Whether, and by which flag, a layer counts as changed.
pub(crate) enum Judged {
    /// No flag names the layer: its differences decide.
    Compared,
    /// A flag treats the layer as changed.
    Forced(String),
    /// A flag treats the layer as unchanged.
    Unchanged(String),
}

/// The flags that name directories. All of them must be layers.
pub(crate) struct Flags<'a> {
    selection: &'a Selection,
    included: Vec<&'a str>,
    ignored: Vec<&'a str>,
}

impl<'a> Flags<'a> {
    /// Parses the flags. Reports directories that are not layers.
    pub(crate) fn new(request: &'a Request, tree: &Tree, findings: &mut Findings) -> Self {
        let included = match &request.selection {
            Selection::Include(directories) => layers(directories, "--include", tree, findings),
            Selection::Changed | Selection::All => Vec::new(),
        };
        let ignored = layers(&request.ignore, "--ignore", tree, findings);
        Self { selection: &request.selection, included, ignored }
    }

    /// Returns the decision of the flags for the layer at a path.
    pub(crate) fn judge(&self, path: &str) -> Judged {
        if self.ignored.binary_search(&path).is_ok() {
            return Judged::Unchanged(format!("--ignore {path} treats it as unchanged"));
        }
        match self.selection {
            Selection::Changed => Judged::Compared,
            Selection::All => Judged::Forced("--all".to_owned()),
            Selection::Include(_) if self.included.binary_search(&path).is_ok() => {
                Judged::Forced(format!("--include {path}"))
            }
            Selection::Include(_) => Judged::Unchanged("--include names other layers only".to_owned()),
        }
    }
}

/// Converts directories as typed to paths of layers, sorted.
fn layers<'a>(directories: &'a [String], flag: &str, tree: &Tree, findings: &mut Findings) -> Vec<&'a str> {
    let mut known: Vec<&str> = tree.layers.iter().map(|files| files.path.as_str()).collect();
    known.sort_unstable();
    let mut layers = Vec::new();
    for directory in directories {
        let path = directory.trim_start_matches("./").trim_end_matches('/');
        if known.binary_search(&path).is_ok() {
            layers.push(path);
            continue;
        }
        let problem = Problem::in_flags(
            "no-such-layer",
            format!("{flag} {directory} is not a layer of this source tree"),
        );
        findings.refuse(problem.help(match suggest::closest(path, known.iter().copied()) {
            Some(closest) => format!("did you mean {closest}?"),
            None => "name a directory that holds a sciserver-image.json, such as science/nist".to_owned(),
        }));
    }
    layers.sort_unstable();
    layers
}
