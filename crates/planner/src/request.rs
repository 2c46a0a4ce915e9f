//! The flags that determine the contents of a plan.

/// Flags of the command line, as values. The default is a plain comparison.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The layers that count as changed.
    pub selection: Selection,
    /// `--ignore DIR…`: directories whose changes do not count.
    pub ignore: Vec<String>,
    /// `--repo`, which overrides the configuration file.
    pub repo: Option<String>,
    /// `--allow-orphan image:version`.
    pub allow_orphan: Vec<String>,
    /// `--allow-frontend`: `# syntax=` frontends that are allowed in addition to
    /// `docker/dockerfile:1…`.
    pub allow_frontend: Vec<String>,
    /// `--rebuild N`: appended to build tags as `-rN`.
    pub rebuild: Option<u64>,
    /// `--adopt`: published images without recorded inputs count as unchanged.
    pub adopt: bool,
}

/// The layers that count as changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// Layers that differ from the base of the comparison.
    #[default]
    Changed,
    /// `--all`.
    All,
    /// `--include DIR…`: exactly these directories.
    Include(Vec<String>),
}
