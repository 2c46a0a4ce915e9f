//! Files that are meant to exhaust memory (row 14). A separate program: the system's figure for a
//! process's peak includes that of its parent, so this program must stay small.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Run, Tree};
use testbed::registry::{Auth, PrivateRegistry};

#[path = "../command/support.rs"]
mod support;

/// Time-out of a run of the binary; a hang is a defect too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Row 14: measures the peak memory of each run, in KiB, as the system reports it.
#[test]
fn descriptors_that_would_take_all_memory() {
    let mut tree = Tree::sample();
    let path = "science/nist-basic/sciserver-image.json";
    let deep = |open: &str, close: &str| {
        format!(
            "{{\"image\": \"nist-basic\", \"tests\": {}1{}}}",
            open.repeat(200_000),
            close.repeat(200_000)
        )
    };
    for (what, text) in [
        ("lists", deep("[", "]")),
        ("objects", deep("{\"a\":", "}")),
        ("open lists", "[".repeat(200_000)),
        ("keys twice", format!("{{{}}}", "\"image\": \"a\",".repeat(60_000))),
        ("trailing data", format!("{{\"image\": \"nist-basic\"}}{}", "{}".repeat(200_000))),
        ("a long key", format!("{{\"image\": \"nist-basic\", \"{}\": 1}}", "k".repeat(1_000_000))),
        ("strings", format!("{{\"image\": [{}]}}", "\"a\",".repeat(200_000))),
    ] {
        tree.write(path, &text);
        tree.commit();
        let (run, Used { peak, .. }) = measured(&tree, &["plan"]);
        assert!(run.code == Some(2) && run.stderr.contains("error: "), "{what}: {:.2000}", run.stderr);
        assert!(peak < 64 * 1024, "{what}: {peak} KiB");
    }
    // One GiB that takes no space on the disk; a commit of the file would.
    let tree = Tree::sample();
    File::create(tree.root().join(path)).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    let (run, Used { peak, .. }) = measured(&tree, &["plan"]);
    assert!(run.code == Some(2) && run.stderr.contains("error: "), "one GiB: {:.2000}", run.stderr);
    assert!(peak < 64 * 1024, "one GiB: {peak} KiB");
}

/// Reads the registry of a large source tree, without and with a cache: first as one run built the
/// images, where products record the ids of their science images, then with a renewed interface,
/// where products record digests.
#[test]
fn what_is_published_of_many_products_takes_few_questions() {
    let products = testbed::time_scale::quick_or_long(50_u32, 1000);
    let mut tree = Tree::new();
    tree.write_all(
        "//- /compat/batch/Dockerfile\nCMD [\"/bin/sh\"]\n//- /compat/batch/sciserver-image.json\n{}\n",
    );
    for number in 0..products {
        tree.write_all(&format!(
            "//- /science/p{number}/Dockerfile\nFROM docker.io/library/debian:12\nCOPY data /\n\
             //- /science/p{number}/data\n{number}\n//- /science/p{number}/sciserver-image.json\n\
             {{\"image\": \"p{number}\", \"version\": \"1.0\", \"compat\": \"batch\"}}\n"
        ));
    }
    tree.commit();
    let mut figures = serde_json::json!({"products": products});
    let shelf = testbed::registry::Shelf::start();
    let real =
        testbed::time_scale::quick_or_long(None, Some(())).map(|()| PrivateRegistry::start(Auth::None));
    let repo = format!("{}/x", shelf.address());
    for state in ["built_at_once", "interface_renewed"] {
        if state == "interface_renewed" {
            tree.write("compat/batch/Dockerfile", "CMD [\"/bin/bash\"]\n");
            tree.commit();
        }
        let plan = tree.run(&["plan", "--since-published", "--format", "json", "--repo", &repo]).code(0);
        assert!(shelf.publish(&plan.stdout, &[]).is_empty());
        forget(&tree);
        drop(shelf.asked());
        // For each product: one manifest for each of two images, whose tags move independently; a
        // HEAD for the product's build tag, which confirms its labels; and its configuration,
        // unless cached.
        for (cache, most) in [("cold", 4 * products as usize), ("warm", 3 * products as usize)] {
            let before = shelf.connections();
            figures[state][cache] = since_published(&tree, &repo);
            assert_eq!(shelf.asked().len(), most, "{state}, {cache}");
            assert!(shelf.connections() - before <= 32, "{cache}: {}", shelf.connections() - before);
        }
        if let Some(registry) = &real {
            figures[format!("docker_registry_{state}")] = on_a_real_one(registry, &shelf, products, &tree);
        }
    }
    println!("{figures}");
    testbed::time_scale::record("since-published", &figures);
}

/// Empties the cache.
fn forget(tree: &Tree) {
    let cache = tree.home().join(".cache");
    assert!(!cache.exists() || fs::remove_dir_all(&cache).is_ok());
}

/// Measures the same queries and `coverage` on a real registry, and compares them with skopeo.
fn on_a_real_one(
    registry: &PrivateRegistry,
    shelf: &testbed::registry::Shelf,
    products: u32,
    tree: &Tree,
) -> serde_json::Value {
    for repository in (0..products).flat_map(|number| ["sci", "rel"].map(|of| format!("x/{of}/p{number}"))) {
        let labels = shelf.labels(&repository, "1.0").expect("it is published");
        let config =
            serde_json::json!({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}});
        let (family, name) = repository.rsplit_once('/').expect("a family and a name");
        let version = match family {
            "x/rel" => "org.sciserver.compat.version".to_owned(),
            _ => format!("org.sciserver.science.{name}.version"),
        };
        let build_tag = labels[&version].rsplit(':').next().expect("a build tag");
        for tag in ["1.0", build_tag] {
            let digest = registry.view().put_image(&repository, tag, &config.to_string());
            assert_eq!(Some(digest), shelf.digest(&repository, "1.0"), "{repository}");
        }
    }
    let repo = format!("{}/x", registry.address());
    let mut figures = serde_json::json!({});
    for round in ["first", "second", "third"] {
        forget(tree);
        figures["cold"][round] = since_published(tree, &repo);
        figures["warm"][round] = since_published(tree, &repo);
        forget(tree);
        figures["coverage"][round] = measured_json(tree, &["coverage", "--repo", &repo], "products carry");
    }
    let skopeo = skopeo(&repo).as_secs_f64() * f64::from(products);
    figures["skopeo_of_products_seconds"] = skopeo.into();
    figures["skopeo_over_cold"] =
        (skopeo / figures["cold"]["second"]["seconds"].as_f64().expect("a number")).into();
    figures
}

/// Measures a plan without builds.
fn since_published(tree: &Tree, repo: &str) -> serde_json::Value {
    measured_json(tree, &["plan", "--since-published", "--repo", repo], "nothing to build")
}

/// Measures a command, and asserts that its output contains `says`.
fn measured_json(tree: &Tree, arguments: &[&str], says: &str) -> serde_json::Value {
    let began = Instant::now();
    let (run, Used { peak, processor }) = measured(tree, arguments);
    let took = began.elapsed();
    assert!(run.stdout.contains(says), "{}{}", run.stdout, run.stderr);
    assert!(peak < 100 * 1024, "{peak} KiB");
    serde_json::json!({"seconds": took.as_secs_f64(), "processor_seconds": processor, "peak_kib": peak})
}

/// Measures `skopeo inspect` for one product: its process, one manifest, one configuration.
fn skopeo(repo: &str) -> Duration {
    let (began, of) = (Instant::now(), 20);
    for number in 0..of {
        let image = format!("docker://{repo}/rel/p{number}:1.0");
        let said = Command::new("skopeo")
            .args(["inspect", "--no-tags", "--tls-verify=false", &image])
            .output()
            .expect("skopeo cannot be run: apt-get install skopeo");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    began.elapsed() / of
}

/// The resources that a run of the binary used.
struct Used {
    /// The peak memory, in KiB.
    peak: i64,
    /// Processor time of all processors together, in seconds, which other programs on the machine
    /// affect little.
    processor: f64,
}

/// Runs the binary and reads its resource usage from the system.
#[expect(clippy::zombie_processes, reason = "`wait` waits for it in its own way")]
fn measured(tree: &Tree, arguments: &[&str]) -> (Run, Used) {
    let home = tree.home();
    let create = |name: &str| File::create(home.join(name)).expect("a file for a stream");
    let child = tree
        .command(arguments)
        .stdout(Stdio::from(create("stdout")))
        .stderr(Stdio::from(create("stderr")))
        .spawn()
        .expect("the binary runs");
    let (status, used) = wait(&child);
    let read = |name: &str| fs::read(home.join(name)).expect("what was written");
    let output = std::process::Output { status, stdout: read("stdout"), stderr: read("stderr") };
    (tree.outcome(&output), used)
}

/// Waits for a process with `wait4`, which also returns its resource usage.
#[expect(unsafe_code, reason = "the standard library waits without asking for the usage")]
fn wait(child: &Child) -> (std::process::ExitStatus, Used) {
    let id = libc::pid_t::try_from(child.id()).expect("a process id");
    let start = Instant::now();
    let mut ended = false;
    loop {
        let mut status = 0;
        // SAFETY: `rusage` consists of integers, for which zero is valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid for the whole call, and the child is ours and not yet
        // waited for.
        let waited = unsafe { libc::wait4(id, &raw mut status, libc::WNOHANG, &raw mut usage) };
        if waited == id {
            assert!(!ended, "it had to be ended after {PATIENCE:?}");
            let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
            let processor = seconds(usage.ru_utime) + seconds(usage.ru_stime);
            return (std::process::ExitStatus::from_raw(status), Used { peak: usage.ru_maxrss, processor });
        }
        assert_eq!(waited, 0, "waiting failed");
        if start.elapsed() > PATIENCE && !ended {
            // SAFETY: the id is that of a child process that was not waited for yet.
            unsafe { libc::kill(id, libc::SIGKILL) };
            ended = true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
