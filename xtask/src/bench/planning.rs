//! Compares planning with git itself, which is the lower limit for any tool, and with a git process
//! for each layer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::bench::measure::{Side, in_turns, peak_mib, timed};
use crate::bench::page::{Bound, Row, Section};
use crate::bench::trees::{Change, Shape, SourceTree};
use crate::bench::{Bench, Scale};

const TWO_ROOTS: [&str; 3] = ["--", "science", "compat"];
/// Rounds and runs for the slow comparison, a git process for each layer: few rounds, with several
/// of our runs in each.
const FEW: usize = 3;
const EACH: u32 = 5;
/// Factor for the number of rounds: these runs take milliseconds, the others seconds.
const MORE: usize = 3;

/// Measures plans after a change of one layer.
pub(crate) fn plans(bench: &Bench) -> Result<Section> {
    let size = match bench.scale {
        Scale::Full => 1000,
        Scale::Quick => 100,
    };
    let mut rows = Vec::new();
    for (shape, name) in
        [(Shape::Mix, "mix"), (Shape::Chains, "chains of 10"), (Shape::Wide, "one base, all others on it")]
    {
        let tree = SourceTree::new(shape, size, 100, Change::OneLayer)?;
        rows.push(against_git(bench, &tree, &format!("{size} layers, {name}"), Against::WorkingTree)?);
        if shape == Shape::Mix {
            rows.push(against_git(
                bench,
                &tree,
                &format!("{size} layers, {name}, two commits"),
                Against::Commits,
            )?);
            rows.push(a_process_per_layer(bench, &tree, size)?);
        }
    }
    let long = SourceTree::new(Shape::Mix, size, bench.scale.pick(5000, 500), Change::OneLayer)?;
    let case = format!("{size} layers, mix, {} commits", bench.scale.pick(5000, 500));
    rows.push(against_git(bench, &long, &case, Against::WorkingTree)?);
    rows.push(with_a_count(bench, &long, &case)?);
    drop(long);
    let quiet = SourceTree::new(Shape::Mix, size, 100, Change::Outside)?;
    let nothing =
        against_git(bench, &quiet, &format!("{size} layers, mix, nothing to do"), Against::WorkingTree)?;
    rows.push(nothing.bound(Bound::Milliseconds(50.0)));
    Ok(Section {
        title: "Planning".to_owned(),
        about: "One layer of a source tree changed in the last commit: `image-builder --dryrun` against `git diff --name-only HEAD^` of the \
                same comparison, which only names the files, and against a `git diff` process for each layer. Six files a layer, \
                100 commits unless told otherwise, files and objects in the machine's cache, nothing left to be written to disk. Beside a process for each layer, \
                which are a thousand in a row, ours is the mean of five in a row."
            .to_owned(),
        rows,
        notes: vec![
            "git compares two trees and is done. A plan reads every descriptor and Dockerfile besides, since it has to know who stands on what \
             changed, and it counts the commits, since build tags hold their number."
                .to_owned(),
            "Between two commits git opens the few directories that differ, and nothing else; a plan reads the descriptors and Dockerfiles of all layers all the same, from \
             git's objects, so it cannot be near that. The working tree is not looked at."
                .to_owned(),
            "Where the time went on 2026-11-28 (1,000 layers, one changed, two processors; timers in the command, medians of 100 plans of 25 ms): 37 % is looking at 5,000 paths and reading 2,000 texts, nearly \
             all of it in the kernel; 14 % git's index, half of that its checksum; 11 % understanding Dockerfiles and descriptors; 10 % the process before its first line, and the arguments; 9 % putting files together to layers, and \
             the ids of their directories; 6 % the two sides as a whole (names, graph, finals, stacks); 4 % git's trees; 4 % what changed and what follows; 5 % the end of the process. Looking, understanding and the sides are done on all processors, \
             the commits are counted beside all else."
                .to_owned(),
            "git names its files without counting commits. With 5,000 of them, the fairer floor is that and `git rev-list --count HEAD`, which whoever makes a build tag \
             has to ask: its second row."
                .to_owned(),
        ],
    })
}

/// Measures how the planning time grows with the number of layers.
pub(crate) fn growth(bench: &Bench) -> Result<Section> {
    let sizes: &[usize] = match bench.scale {
        Scale::Full => &[10, 100, 1000, 10_000],
        Scale::Quick => &[10, 100],
    };
    let mut rows = Vec::new();
    for size in sizes {
        let tree = SourceTree::new(Shape::Mix, *size, 100, Change::OneLayer)?;
        let row = against_git(bench, &tree, &format!("{size} layers"), Against::WorkingTree)?;
        let row = row.peak(peak_mib(&mut plan(bench, tree.root(), Against::WorkingTree))?);
        rows.push(if *size == 10_000 {
            row.bound(Bound::Milliseconds(1000.0)).bound(Bound::Mib(256.0))
        } else {
            row
        });
    }
    let each = rows.last().zip(rows.first()).map(|(last, first)| {
        let layers = (sizes[sizes.len() - 1] - sizes[0]) as f64;
        (last.ours.median_ms - first.ours.median_ms) / layers * 1000.0
    });
    let notes = each.map(|each| format!("Each further layer costs {each:.0} µs.")).into_iter().collect();
    Ok(Section {
        title: "Growth".to_owned(),
        about: "The same with more and more layers.".to_owned(),
        rows,
        notes,
    })
}

#[derive(Clone, Copy)]
enum Against {
    WorkingTree,
    Commits,
}

fn against_git(bench: &Bench, tree: &SourceTree, case: &str, against: Against) -> Result<Row> {
    let (ours, git) = match against {
        Against::WorkingTree => ("image-builder --dryrun", "git diff --name-only HEAD^"),
        Against::Commits => ("image-builder --dryrun --ref HEAD^..HEAD", "git diff --name-only HEAD^ HEAD"),
    };
    let sides = vec![
        Side::program(ours, || plan(bench, tree.root(), against)),
        Side::program(git, || {
            let mut command = tree.git();
            command.args(["diff", "--name-only", "HEAD^"]);
            if let Against::Commits = against {
                command.arg("HEAD");
            }
            command.args(TWO_ROOTS);
            command
        }),
    ];
    let measured = in_turns(sides, bench.rounds * MORE)?;
    Ok(Row::of(case, &measured[0], Some(&measured[1])).bound(Bound::Ratio(3.0)))
}

/// Like [`against_git`], and git also counts the commits, as a build tag needs it.
fn with_a_count(bench: &Bench, tree: &SourceTree, case: &str) -> Result<Row> {
    let sides = vec![
        Side::program("image-builder --dryrun", || plan(bench, tree.root(), Against::WorkingTree)),
        Side::new("git diff, then git rev-list --count", || {
            let named = timed(tree.git().args(["diff", "--name-only", "HEAD^"]).args(TWO_ROOTS))?;
            Ok(named + timed(tree.git().args(["rev-list", "--count", "HEAD"]))?)
        }),
    ];
    let measured = in_turns(sides, bench.rounds)?;
    Ok(Row::of(case, &measured[0], Some(&measured[1])).bound(Bound::Ratio(3.0)))
}

fn a_process_per_layer(bench: &Bench, tree: &SourceTree, size: usize) -> Result<Row> {
    let sides = vec![
        Side::new("image-builder --dryrun", || {
            let mut all = Duration::ZERO;
            for _ in 0..EACH {
                all += timed(&mut plan(bench, tree.root(), Against::WorkingTree))?;
            }
            Ok(all / EACH)
        }),
        Side::new("git diff, a process per layer", || {
            let mut all = Duration::ZERO;
            for layer in tree.layers() {
                all += timed(tree.git().args(["diff", "--name-only", "HEAD^", "--"]).arg(&layer))?;
            }
            Ok(all)
        }),
    ];
    let measured = in_turns(sides, bench.rounds.min(FEW))?;
    Ok(Row::of(format!("{size} layers, mix"), &measured[0], Some(&measured[1])).bound(Bound::Faster(100.0)))
}

fn plan(bench: &Bench, root: &Path, against: Against) -> Command {
    let mut command = bench.command();
    command.arg("--root").arg(root).arg("--dryrun");
    if let Against::Commits = against {
        command.args(["--ref", "HEAD^..HEAD"]);
    }
    command
}
