//! Mistakes between layers: cycles of every length and kind, duplicate names, and missing parents.

use super::Mistake;

fn layer(mistake: Mistake, name: &str, dockerfile: &str, descriptor: &str) -> Mistake {
    mistake
        .and(&format!("science/{name}/Dockerfile"), dockerfile)
        .and(&format!("science/{name}/sciserver-image.json"), descriptor)
}

fn of(image: &str) -> String {
    format!("{{\"image\":\"{image}\",\"compat\":null}}")
}

pub(super) fn all() -> impl Iterator<Item = Mistake> {
    cycles().chain(include_cycles()).chain(twins()).chain(missing())
}

/// Cycles of layers, by FROM, COPY or a mount.
fn cycles() -> impl Iterator<Item = Mistake> {
    (1..=100).flat_map(|length| {
        [
            "FROM @\n",
            "FROM scratch\nCOPY --from=@ / /\n",
            "FROM scratch\nRUN --mount=from=@ x\n",
            "FROM scratch AS x\nFROM @\n",
        ]
        .map(|form| {
            let start = Mistake { kind: "cycle", ..super::right() };
            (0..length).fold(start, |tree, number| {
                let next = format!("sci/r{}:1.0", (number + 1) % length);
                layer(tree, &format!("r{number}"), &form.replace('@', &next), &of(&format!("r{number}")))
            })
        })
    })
}

fn include_cycles() -> impl Iterator<Item = Mistake> {
    (1..=100).map(|length| {
        (0..length).fold(Mistake { kind: "include-cycle", ..super::right() }, |tree, number| {
            tree.and(&format!("compat/r{number}/Dockerfile"), "").and(
                &format!("compat/r{number}/sciserver-image.json"),
                format!("{{\"includes\":[\"r{}\"]}}", (number + 1) % length),
            )
        })
    })
}

/// Conflicts: two layers with one target, a product with two final layers, a lower version based on
/// a higher one, names that differ in case only, a file over a directory, and too long tags.
fn twins() -> impl Iterator<Item = Mistake> {
    let right = |kind| Mistake { kind, ..super::right() };
    let targets = (0..60).map(move |number| {
        let descriptor =
            format!("{{\"image\":\"other\",\"target\":\"sky\",\"version\":\"{number}\",\"compat\":null}}");
        layer(right("twin-target"), &format!("twin{number}"), "FROM scratch\n", &descriptor)
    });
    let finals = (0..60).map(move |number| {
        layer(
            right("twin-final"),
            &format!("final{number}"),
            "FROM scratch\n",
            "{\"image\":\"sky\",\"version\":\"1.0\",\"compat\":null}",
        )
    });
    let lower =
        ["0", "0.9", "0.10", "0.99.99", "1", "0.0", "00.5", "0.a"].into_iter().flat_map(move |version| {
            ["science/low", "science/deep/low", "science/a/b/low"].map(|path| {
                let descriptor = format!("{{\"image\":\"sky\",\"version\":\"{version}\",\"compat\":null}}");
                right("version-below")
                    .and(&format!("{path}/Dockerfile"), "FROM sci/stars:2.0\n")
                    .and(&format!("{path}/sciserver-image.json"), descriptor)
            })
        });
    let alike =
        ["Sky", "SKY", "sKy", "skY", "ＳＫＹ", "ｓky", "STARS", "Stars"].into_iter().map(move |name| {
            layer(
                right("alike"),
                name,
                "FROM scratch\n",
                "{\"image\":\"x\",\"target\":\"x\",\"compat\":null}",
            )
        });
    let versions = ["1.0a/1.0A", "1.b/1.B", "1.0rc/1.0RC", "2.0_X/2.0_x"].into_iter().map(move |pair| {
        let (one, other) = pair.split_once('/').unwrap_or_default();
        let of = |version: &str, target: &str| {
            format!("{{\"image\":\"v\",\"version\":\"{version}\",\"target\":\"{target}\",\"compat\":null}}")
        };
        let first = layer(right("alike"), "v1", "FROM scratch\n", &of(one, "v1"));
        layer(first, "v2", "FROM scratch\n", &of(other, "v2"))
    });
    let over = (0..40).map(move |number| {
        right("file-over-directory")
            .and(&format!("compat/common/f{number}"), "x")
            .and(&format!("compat/top/f{number}/x"), "x")
    });
    let long = (116..128).map(move |length| {
        let descriptor =
            format!("{{\"image\":\"v\",\"version\":\"1.{}\",\"compat\":null}}", "0".repeat(length));
        layer(right("too-long"), "v", "FROM scratch\n", &descriptor)
    });
    targets.chain(finals).chain(lower).chain(alike).chain(versions).chain(over).chain(long)
}

/// Missing parents: no Dockerfile, no such layer, product or compat.
fn missing() -> impl Iterator<Item = Mistake> {
    let right = |kind| Mistake { kind, ..super::right() };
    let bare = (0..40).map(move |number| {
        right("no-dockerfile").and(&format!("science/bare{number}/sciserver-image.json"), of("bare"))
    });
    let bare_compat = (0..40).map(move |number| {
        right("no-dockerfile").and(&format!("compat/bare{number}/sciserver-image.json"), "{}")
    });
    let products = (0..40).map(move |number| {
        layer(right("from-rel"), "on-rel", &format!("FROM rel/sky:{number}.0\n"), &of("on-rel"))
    });
    let copies = (0..40).map(move |number| {
        right("unknown-target")
            .and("compat/common/Dockerfile", format!("COPY --from=sci/gone{number}:1.0 / /\n"))
    });
    bare.chain(bare_compat).chain(products).chain(copies)
}
