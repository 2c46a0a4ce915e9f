//! Compares sending contexts to an engine with the docker client: one large file, and many small
//! ones.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::docker::Docker;
use crate::bench::measure::{Side, in_turns, peak_mib, timed};
use crate::bench::page::{Bound, Row, Section};
use crate::bench::trees::SourceTree;
use crate::process;

/// Few rounds, because both sides need the disk space of the context several times over.
const ROUNDS: usize = 3;
const LAYER: &str = "science/large";
const DESCRIPTOR: &str = "{\"image\": \"large\", \"version\": \"1.0\", \"compat\": null}\n";
/// The whole context is sent every time; after the first time the engine has the result of the COPY
/// in its cache.
const DOCKERFILE: &str = "FROM scratch\nCOPY data /data/\n";

/// Measures one file of a gigabyte, then 20,000 small files.
pub(crate) fn section(bench: &Bench, docker: &Docker) -> Result<Section> {
    let (mib, files) = (bench.scale.pick(1024, 64), bench.scale.pick(20_000, 2_000));
    let [large, large_again, large_changed] =
        compare(bench, docker, &format!("one file of {mib} MiB"), |data| one_file(data, mib))?;
    let [small, small_again, small_changed] =
        compare(bench, docker, &format!("{files} small files"), |data| many_files(data, files))?;
    Ok(Section {
        title: "Contexts".to_owned(),
        about: format!(
            "The whole run for one layer whose context is large, against `docker build` of the same files. {}.",
            docker.describe()?
        ),
        rows: vec![
            large.bound(Bound::Mib(64.0)),
            large_again,
            large_changed,
            small,
            small_again,
            small_changed,
        ],
        notes: vec![
            "Both sides give files to BuildKit as it asks for them. At first all of them: ours in a context that the engine never saw, the docker \
             client from a directory that it never saw. Ours reads git's index for the plan, then every byte once, checked against \
             the digest of the plan as it is sent. Again, with nothing changed, neither sends or reads a file. The copy into the image comes from the \
             engine's cache on both sides."
                .to_owned(),
            "With a file added, the docker client sends that one: BuildKit compares times and sizes with what it kept of the directory. Ours sends all \
             of the context, since what an engine keeps of one lies under the digest of all its paths and contents, and nothing is taken for the same by its time. Both copy all of it into the image anew."
                .to_owned(),
        ],
    })
}

fn compare(
    bench: &Bench,
    docker: &Docker,
    case: &str,
    fill: impl Fn(&Path) -> Result<()>,
) -> Result<[Row; 3]> {
    let files = [("Dockerfile", DOCKERFILE), ("sciserver-image.json", DESCRIPTOR)];
    let files = files.map(|(name, text)| (format!("{LAYER}/{name}"), text.to_owned()));
    let tree = SourceTree::of_files(&files)?;
    let data = tree.root().join(LAYER).join("data");
    fs::create_dir_all(&data)?;
    fill(&data)?;
    age(&data)?;
    // Random contents are not worth compressing.
    process::read(tree.git().args(["-c", "core.compression=0", "add", "--all"]))?;
    process::read(tree.git().args(["-c", "commit.gpgSign=false", "commit", "--quiet", "--message=data"]))?;
    let place = tempfile::Builder::new().prefix("image-builder-bench-").tempdir()?;
    let copy = RefCell::new(place.path().join("first"));
    fs::create_dir(&*copy.borrow())?;
    process::read(Command::new("cp").args(["-r", "--reflink=auto"]).arg(&data).arg(&*copy.borrow()))?;
    process::write(&copy.borrow().join("Dockerfile"), DOCKERFILE)?;
    let ours = || {
        let mut command = bench.command();
        docker.surround(&mut command);
        command.arg("--root").arg(tree.root()).args(["--all", "--repo", &docker.repo()]);
        command
    };
    let docker_build = || timed(&mut docker.build(&copy.borrow(), "large"));
    // Changes the context, so that the engine has no such context yet, and keeps the data whose
    // COPY is cached.
    let other = || tree.change(&format!("{LAYER}/round"), &now()?);
    // The docker client lets the engine cache a context by the name of its directory, so the
    // directory gets a new name.
    let renamed = || {
        let fresh = place.path().join(now()?.trim_end());
        fs::rename(&*copy.borrow(), &fresh)?;
        copy.replace(fresh);
        anyhow::Ok(())
    };
    let sides = vec![
        Side::new("image-builder --all", || {
            other()?;
            timed(&mut ours())
        }),
        Side::new("docker build", || {
            renamed()?;
            docker_build()
        }),
    ];
    let measured = in_turns(sides, bench.rounds.min(ROUNDS))?;
    other()?;
    let peak = peak_mib(&mut ours())?;
    let first = Row::of(case, &measured[0], Some(&measured[1])).peak(peak);
    let sides = vec![Side::program("image-builder --all", ours), Side::new("docker build", docker_build)];
    let measured = in_turns(sides, bench.rounds.min(ROUNDS))?;
    let again = Row::of(format!("{case}, again"), &measured[0], Some(&measured[1]));
    let sides = vec![
        Side::new("image-builder --all", || {
            tree.change(&format!("{LAYER}/data/added"), &now()?)?;
            timed(&mut ours())
        }),
        Side::new("docker build", || {
            process::write(&copy.borrow().join("data/added"), &now()?)?;
            docker_build()
        }),
    ];
    let measured = in_turns(sides, bench.rounds.min(ROUNDS))?;
    let changed = Row::of(format!("{case}, a small one added"), &measured[0], Some(&measured[1]));
    Ok([first.bound(Bound::Ratio(1.0)), again, changed])
}

/// Returns a text that differs in each call.
fn now() -> Result<String> {
    Ok(format!("{}\n", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos()))
}

/// Sets all modification times one hour back: git reads files again that are as recent as its
/// index.
fn age(directory: &Path) -> Result<()> {
    touch(directory, SystemTime::now() - std::time::Duration::from_secs(3600))
}

fn touch(directory: &Path, time: SystemTime) -> Result<()> {
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry?;
        if entry.file_type().is_file() {
            File::options().write(true).open(entry.path())?.set_modified(time)?;
        }
    }
    Ok(())
}

/// Writes a file in which no two blocks are equal.
fn one_file(directory: &Path, mib: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(directory.join("large.bin"))?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..mib * 1024 * 1024 / 8 {
        // Xorshift generator (Marsaglia).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush()?;
    Ok(())
}

fn many_files(directory: &Path, count: usize) -> Result<()> {
    for number in 0..count {
        let path = directory.join(format!("{:03}/{number:05}.txt", number / 100));
        process::write(&path, &format!("file {number}\n").repeat(1 + number % 40))?;
    }
    Ok(())
}
