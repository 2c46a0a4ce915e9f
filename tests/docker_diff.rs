//! `diff` of large images on a real engine and a real registry uses little memory.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::command::Program;
use testbed::time_scale::{quick_or_long, record};
use testbed::tree::Tree;

use crate::diff_support::{BOUND, Repo, layer};

mod diff_support;

/// Returns the peak resident memory of a running process in bytes, or zero if it has ended.
fn peak(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

#[test]
fn two_large_images_are_compared_in_little_memory() {
    // About 45 MB are used for images of any size: keeping one layer of either in memory would
    // exceed the limit.
    let (megabytes, limit) = quick_or_long((40, 64 << 20), (500, 100 << 20));
    let dockerfile = |version: u32| {
        format!(
            "RUN mkdir -p /var/lib/dpkg && dd if=/dev/urandom of=/big bs=1M count={megabytes} \\
 && printf 'Package: big\\nVersion: {version}\\n' > /var/lib/dpkg/status"
        )
    };
    let mut repo = Repo::new("large");
    let mut tree = Tree::of(&layer(&dockerfile(1)));
    let a = repo.build(&tree, &["--push"]);
    tree.write_all(&layer(&dockerfile(2)));
    tree.commit();
    let b = repo.build(&tree, &["--push"]);
    let mut figures = json!({"megabytes_each": megabytes});
    for (from, field) in [("engine", "engine_bytes"), ("registry", "registry_bytes")] {
        let mut running = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree)
            .args(["diff", &a, &b, "--from", from, "--format", "json"])
            .spawn();
        let mut most = 0;
        while running.lives() {
            most = most.max(peak(running.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
        let outcome = running.wait(BOUND).expect_code(0);
        let document: Value = serde_json::from_str(&outcome.stdout).expect("a document");
        assert_eq!(
            document["packages"],
            json!([{"ecosystem": "dpkg", "name": "big", "from": ["1"], "to": ["2"]}]),
            "{from}"
        );
        let read = document["read"][field].as_u64().expect("a number");
        assert!(read >= (2 * megabytes) << 20, "{from} gave only {read} bytes");
        assert!(most > 0 && most < limit, "{from}: {most} bytes of memory");
        figures[from] =
            json!({"bytes_read": read, "peak_bytes": most, "seconds": outcome.took.as_secs_f64()});
    }
    eprintln!("{figures:#}");
    record("diff", &figures);
}
