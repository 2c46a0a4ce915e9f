//! Compares a plan of published images with `skopeo inspect` of each product.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::docker::Docker;
use crate::bench::measure::{Side, in_turns, timed};
use crate::bench::page::{Row, Section};
use crate::bench::trees::SourceTree;

/// Measures on a registry with products on one base image, all up to date.
pub(crate) fn section(bench: &Bench, docker: &Docker) -> Result<Section> {
    let products = bench.scale.pick(30, 4);
    let tree = tree(products)?;
    let repo = docker.repo();
    let ours = |arguments: &[&str]| {
        let mut command = bench.command();
        docker.surround(&mut command);
        command.arg("--root").arg(tree.root()).args(["--repo", &repo]).args(arguments);
        command
    };
    timed(&mut ours(&["--all", "--push", "--jobs", "4"]))?;
    let since = ["--since-published", "--dryrun"];
    let sides = vec![
        Side::new("image-builder --since-published --dryrun, nothing kept", || {
            let home = tempfile::Builder::new().prefix("image-builder-bench-home-").tempdir()?;
            timed(ours(&since).env("XDG_CACHE_HOME", home.path()))
        }),
        Side::program("image-builder --since-published --dryrun, again", || ours(&since)),
        Side::new("skopeo inspect, a process per product", || {
            let mut all = Duration::ZERO;
            for product in 1..=products {
                let image = format!("docker://{repo}/rel/product-{product}:1.0");
                let mut skopeo = Command::new("skopeo");
                all += timed(skopeo.args(["inspect", "--tls-verify=false", "--no-tags"]).arg(image))?;
            }
            Ok(all)
        }),
    ];
    let measured = in_turns(sides, bench.rounds.min(5))?;
    let case = format!("{products} products, {} images", 2 * products + 1);
    Ok(Section {
        title: "What is published".to_owned(),
        about: "Everything is up to date; the plan looks at every science and compat image, `skopeo inspect` at the products alone.".to_owned(),
        rows: vec![
            Row::of(case.clone(), &measured[0], Some(&measured[2])),
            Row::of(case, &measured[1], Some(&measured[2])),
        ],
        notes: Vec::new(),
    })
}

fn tree(products: usize) -> Result<SourceTree> {
    let mut files = vec![
        ("compat/web/Dockerfile".to_owned(), "ENV WEB=1\n".to_owned()),
        ("compat/web/sciserver-image.json".to_owned(), "{}\n".to_owned()),
    ];
    for number in 0..=products {
        let (name, from, compat) = match number {
            0 => ("base".to_owned(), "docker.io/library/busybox:1.35", "null"),
            _ => (format!("product-{number}"), "sci/base:1.0", "\"web\""),
        };
        let descriptor = format!("{{\"image\": \"{name}\", \"version\": \"1.0\", \"compat\": {compat}}}\n");
        files.push((format!("science/{name}/Dockerfile"), format!("FROM {from}\nENV NUMBER={number}\n")));
        files.push((format!("science/{name}/sciserver-image.json"), descriptor));
    }
    SourceTree::of_files(&files)
}
