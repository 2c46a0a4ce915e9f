//! Every fault, at every kind of registry request, at the first, second and third occurrence.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use testbed::proxy::{From, Hits, Kind, Mode, Reply, Rule};
use testbed::time_scale;

use crate::scene::{BOUND, Scene};

/// All requests of a push: the engine's, and our own.
const REQUESTS: [(Kind, From); 8] = [
    (Kind::BlobHead, From::Engine),
    (Kind::UploadStart, From::Engine),
    (Kind::UploadData, From::Engine),
    (Kind::UploadEnd, From::Engine),
    (Kind::ManifestPut, From::Engine),
    (Kind::ManifestGet, From::Us),
    (Kind::ManifestHead, From::Us),
    (Kind::ManifestPut, From::Us),
];

fn faults() -> [Mode; 8] {
    [
        Mode::Status(Reply::new(429).header("Retry-After", "1")),
        Mode::status(500),
        Mode::status(503),
        Mode::Reset,
        Mode::ResetAfter,
        Mode::Eof,
        Mode::Truncate(10),
        Mode::Silence,
    ]
}

/// How a fault was survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// The same run published everything.
    Survived,
    /// The run ended with exit code 4 and nothing half done, and the next run completed it.
    NextRun,
}

/// Tests one fault in one run. Returns a description of what went wrong.
///
/// An engine that waits for a registry's response about a layer keeps waiting after its client
/// disconnected, and a new push of that layer joins the wait (Docker Engine 20.10). So silence
/// towards the engine may end with exit code 4.
fn cell(kind: Kind, from: From, fault: &Mode, hit: u64) -> Result<Through, String> {
    let silence = matches!(fault, Mode::Silence) && from == From::Engine;
    let at_most = if silence { "25s" } else { "90s" };
    let scene = Scene::new("matrix");
    let rule = scene.proxy.rule(Rule::on(kind, Hits::Nth(hit), fault.clone()).from(from));
    let outcome = scene.program(&["--idle-timeout", "10s", "--push-timeout", at_most]).run(BOUND);
    let wrong = |what: &str| Err(format!("{what}\n{}\n{}", outcome.said(), scene.proxy.show()));
    if scene.proxy.taken(rule) != 1 {
        return wrong("the request did not come");
    }
    let through = match outcome.code {
        Some(0) => Through::Survived,
        Some(4) if silence && outcome.said().contains("nothing was heard") => Through::NextRun,
        _ => return wrong("it failed"),
    };
    if through == Through::NextRun {
        scene.proxy.clear_all();
        let again = scene.program(&[]).run(BOUND);
        if again.code != Some(0) {
            return wrong(&format!("the next run failed too: {}", again.said()));
        }
    }
    scene.expect_all(1);
    scene.expect_order();
    Ok(through)
}

#[test]
fn row_35_every_fault_at_every_kind_of_request_is_survived() {
    // Fills the engine's cache, so that each cell is quick and its builds are not silent for long.
    Scene::new("matrix").program(&[]).run(BOUND).expect_code(0);
    let mut cells = Vec::new();
    for (row, (kind, from)) in REQUESTS.into_iter().enumerate() {
        for (column, fault) in faults().into_iter().enumerate() {
            for hit in 1..=3 {
                // The quick variant tests each request and each fault in several pairs, at varying
                // occurrences.
                let sample = (row + column) % 2 == 0 && hit == 1 + (row / 2 + column) as u64 % 3;
                if time_scale::quick_or_long(sample, true) {
                    cells.push((kind, from, fault.clone(), hit));
                }
            }
        }
    }
    let next_run = AtomicUsize::new(0);
    let (next, wrong, began) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Instant::now());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some((kind, from, fault, hit)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let came = cell(*kind, *from, fault, *hit);
                    next_run.fetch_add(usize::from(came == Ok(Through::NextRun)), Ordering::Relaxed);
                    if let Err(what) = came {
                        let what = format!("{fault:?} at {kind:?} {hit} by {from:?}: {what}");
                        wrong.lock().push(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    let kinds: BTreeSet<_> = cells.iter().map(|(kind, from, ..)| format!("{kind:?} by {from:?}")).collect();
    let figures = serde_json::json!({
        "faults": faults().len(), "requests": kinds, "cells": cells.len(), "right": cells.len() - wrong.len(),
        "of these finished by the next run": next_run.into_inner(), "seconds": began.elapsed().as_secs(),
    });
    time_scale::record("push-matrix", &figures);
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), cells.len(), wrong.join("\n\n"));
}
