//! Measures the start time and the size of the command.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::measure::{Side, in_turns};
use crate::bench::page::{Bound, Row, Section};
use crate::bench::trees::{Change, Shape, SourceTree};

/// Compares with a process that does nothing, which is the lower limit.
pub(crate) fn section(bench: &Bench) -> Result<Section> {
    let tree = SourceTree::new(Shape::Mix, 10, 10, Change::OneLayer)?;
    let rounds = bench.rounds.max(11);
    let version = in_turns(
        vec![
            Side::program("image-builder --version", || {
                let mut command = bench.command();
                command.arg("--version");
                command
            }),
            Side::program("git --version", || {
                let mut command = Command::new("git");
                command.arg("--version");
                command
            }),
        ],
        rounds,
    )?;
    let dryrun = in_turns(
        vec![
            Side::program("image-builder --dryrun", || {
                let mut command = bench.command();
                command.arg("--root").arg(tree.root()).arg("--dryrun");
                command
            }),
            Side::program("git diff --name-only HEAD^", || {
                let mut command = tree.git();
                command.args(["diff", "--name-only", "HEAD^"]);
                command
            }),
        ],
        rounds,
    )?;
    let size = fs::metadata(bench.binary())?.len() as f64 / 1024.0 / 1024.0;
    Ok(Section {
        title: "Start".to_owned(),
        about: "What the command takes before it does anything that depends on size.".to_owned(),
        rows: vec![
            Row::of("nothing", &version[0], Some(&version[1])),
            Row::of("10 layers", &dryrun[0], Some(&dryrun[1])).bound(Bound::Milliseconds(20.0)),
        ],
        notes: vec![format!("The binary has {size:.1} MiB.")],
    })
}
