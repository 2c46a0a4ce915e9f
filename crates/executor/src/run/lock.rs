//! Locks: one run at a time in a source tree, and one run at a time into a repo from this machine.
//!
//! Both are `flock` locks, which the system releases when a run is killed: `.image-builder/lock` in
//! the source tree, and a file named after the repo in the machine's lock directory (`/run/lock`,
//! `/var/lock`, or else the directory for temporary files). The contents of the files are
//! informational. Runs on other machines are not excluded: immutable build tags and the rules for
//! moving tags resolve their conflicts.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use files::{Access, Dir};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::run::run_dir;
use crate::{Event, RunError};

/// Interval between attempts to take a lock that another process holds.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Directories for locks that all users of a machine may take.
const MACHINE: [&str; 2] = ["/run/lock", "/var/lock"];

/// Maximum size in bytes of a holder's description.
const HOLDER_LIMIT: u64 = 4096;

/// The holder of a lock, written into the lock file for other processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// The id of its process.
    process: u32,
    /// The source tree that it builds.
    tree: String,
    /// The repo that it builds into.
    repo: String,
    /// When it took the lock, Unix time in seconds.
    since: u64,
}

impl Holder {
    fn of(tree: &Path, repo: &str) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            process: std::process::id(),
            tree: tree.display().to_string(),
            repo: repo.to_owned(),
            since: since.as_secs(),
        }
    }
}

/// A held lock. Dropping it releases the lock and removes the file.
#[derive(Debug)]
struct HeldLock {
    // The lock is held while this file is open.
    _file: File,
    place: Arc<LockFile>,
}

/// The location of a lock's file.
#[derive(Debug)]
struct LockFile {
    directory: Dir,
    name: String,
}

impl LockFile {
    fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Removed while still locked: a waiting process then sees that the file was replaced, and
        // opens the new one.
        let _ = self.place.directory.remove(&self.place.name);
    }
}

/// The locks of a run, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Locks {
    _held: Vec<HeldLock>,
}

/// Takes both locks, waiting up to `wait` for another run; zero does not wait.
///
/// # Errors
/// A conflict if another run holds a lock, an environment error if a lock cannot be taken at all.
pub(crate) async fn take(
    tree: &Path,
    repo: &str,
    wait: Duration,
    emit: &(dyn Fn(Event) + Send + Sync),
) -> Result<Locks, RunError> {
    let holder = Holder::of(tree, repo);
    let home = run_dir::home(tree).map_err(|error| run_dir::unwritable(tree, &error))?;
    let of_tree = LockFile { directory: home, name: "lock".to_owned() };
    let machine = machine_directory();
    let directory = Dir::open(&machine, None).map_err(|error| {
        RunError::environment(format!("locks cannot be kept in {}: {error}", machine.display()))
            .with_help("it must be a directory that you may write to; TMPDIR names another where /run/lock is not usable")
    })?;
    let of_repo = LockFile { directory, name: repo_file(repo) };
    let until = Instant::now().checked_add(wait);
    let mut held = Vec::new();
    // Always in this order, so that two runs cannot hold one each and wait for the other.
    for (place, what) in
        [(of_tree, format!("the source tree {}", tree.display())), (of_repo, format!("the repo {repo}"))]
    {
        let (place, mut reported) = (Arc::new(place), false);
        loop {
            let found = match try_take(&place, &holder) {
                Ok(LockState::Taken(lock)) => {
                    held.push(lock);
                    break;
                }
                Ok(LockState::Held(by)) => by,
                Err(error) => return Err(untakeable(&place.path(), &error)),
            };
            let by = found.map_or_else(String::new, |by| format!(": {}", words(&by)));
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(RunError::conflict(format!("another run holds {what}{by}"))
                    .with_help("--wait waits for it; --wait=10m no longer than that"));
            }
            if !reported {
                emit(Event::Notice { message: format!("waiting for {what}{by}") });
                reported = true;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(Locks { _held: held })
}

/// The error for a lock file that belongs to another user or is not a regular file.
fn untakeable(path: &Path, error: &io::Error) -> RunError {
    let shown = path.display();
    let help = match path.symlink_metadata() {
        Ok(there) if there.is_file() => format!(
            "it belongs to user {} (mode {:03o}): have it removed while no run is at work, or use another --repo",
            there.uid(),
            there.mode() & 0o777
        ),
        Ok(_) => format!("{shown} is not a regular file: remove it"),
        Err(_) => "its directory must be writable, with room for a file".to_owned(),
    };
    RunError::environment(format!("the lock {shown} cannot be taken: {error}")).with_help(help)
}

fn words(by: &Holder) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let since = humantime::format_duration(Duration::from_secs(now.saturating_sub(by.since)));
    format!("process {} builds {} into {}, for {since}", by.process, by.tree, by.repo)
}

#[derive(Debug)]
enum LockState {
    Taken(HeldLock),
    /// The holder, if it can be read.
    Held(Option<Holder>),
}

fn try_take(place: &Arc<LockFile>, holder: &Holder) -> io::Result<LockState> {
    loop {
        let mut file = open(place)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(LockState::Held(read(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The previous holder may have removed the file after we opened it; then we locked an
        // unlinked file.
        let (ours, there) = (file.metadata()?, place.path().symlink_metadata());
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            continue;
        }
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(serde_json::to_string(holder)?.as_bytes())?;
        return Ok(LockState::Taken(HeldLock { _file: file, place: Arc::clone(place) }));
    }
}

/// Opens or creates a lock's file; a link or pipe in its place is an error.
fn open(place: &LockFile) -> io::Result<File> {
    let file = place.directory.open_or_create(&place.name, Access::Shared)?;
    if file.metadata()?.mode() & 0o777 != 0o666 {
        // Other users of this machine take the same lock, regardless of our umask.
        let _ = file.set_permissions(std::fs::Permissions::from_mode(0o666));
    }
    Ok(file)
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(HOLDER_LIMIT).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The directory of a repo's lock, the same for all users of this machine.
fn machine_directory() -> PathBuf {
    let usable =
        |path: &&Path| path.metadata().is_ok_and(|there| there.is_dir() && there.mode() & 0o1002 == 0o1002);
    MACHINE.iter().map(Path::new).find(usable).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

fn repo_file(repo: &str) -> String {
    let hash = Sha256::digest(repo.to_ascii_lowercase());
    format!("image-builder-{}.lock", hex::encode(&hash[..8]))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    fn heard(notices: &Mutex<Vec<String>>) -> impl Fn(Event) + Send + Sync + '_ {
        move |event| {
            if let Event::Notice { message } = event {
                notices.lock().push(message);
            }
        }
    }

    fn place(directory: &Path) -> Arc<LockFile> {
        Arc::new(LockFile { directory: Dir::open(directory, None).unwrap(), name: "lock".to_owned() })
    }

    /// A repo that no other test or process uses.
    fn repo(name: &str) -> String {
        format!("r.example/{name}-{}", std::process::id())
    }

    #[tokio::test]
    async fn a_second_run_is_told_who_holds_the_lock() {
        let (tree, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mine, yours) = (repo("second"), repo("second-too"));
        let silent = |_| {};
        let first = take(tree.path(), &mine, Duration::ZERO, &silent).await.unwrap();
        for (root, repo, what) in
            [(tree.path(), &yours, "the source tree"), (other.path(), &mine, "the repo")]
        {
            let error = take(root, repo, Duration::ZERO, &silent).await.unwrap_err();
            assert_eq!(error.kind(), crate::RunErrorKind::Conflict);
            let text = error.to_string();
            assert!(text.starts_with(&format!("another run holds {what} ")), "{text}");
            assert!(text.contains(&format!("process {} builds ", std::process::id())), "{text}");
        }
        drop(first);
        let second = take(other.path(), &mine, Duration::ZERO, &silent).await.unwrap();
        drop(second);
        assert!(!tree.path().join(".image-builder/lock").exists());
        assert!(!machine_directory().join(repo_file(&mine)).exists());
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_the_lock_is_free() {
        let tree = tempfile::tempdir().unwrap();
        let (repo, notices) = (repo("waits"), Mutex::new(Vec::new()));
        let first = take(tree.path(), &repo, Duration::ZERO, &|_| {}).await.unwrap();
        let emit = heard(&notices);
        let second = take(tree.path(), &repo, Duration::from_secs(60), &emit);
        let freed = async {
            while notices.lock().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(first);
        };
        let (second, ()) = tokio::join!(second, freed);
        second.unwrap();
        assert!(notices.lock()[0].starts_with("waiting for the source tree"));
    }

    #[test]
    fn of_many_that_try_at_once_one_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        let holder = Holder::of(directory.path(), "r");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut taken = 0;
                    while taken < 50 {
                        if let LockState::Taken(held) = try_take(&place, &holder).unwrap() {
                            assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                            std::thread::yield_now();
                            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            drop(held);
                            taken += 1;
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_link_in_the_place_of_a_lock_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let canary = directory.path().join("canary");
        std::fs::write(&canary, "alive").unwrap();
        std::os::unix::fs::symlink(&canary, directory.path().join("lock")).unwrap();
        let holder = Holder::of(directory.path(), "r");
        assert!(try_take(&place(directory.path()), &holder).is_err());
        assert_eq!(std::fs::read_to_string(canary).unwrap(), "alive");
    }

    /// Anything else in place of the lock file is neither waited for nor written to, and the error
    /// contains help.
    #[tokio::test]
    async fn what_is_no_lock_is_refused_with_a_way_out() {
        for kind in ["fifo", "link", "directory"] {
            let tree = tempfile::tempdir().unwrap();
            let lock = run_dir::home(tree.path()).unwrap().path().join("lock");
            match kind {
                "fifo" => {
                    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
                }
                "link" => std::os::unix::fs::symlink("/dev/null", &lock).unwrap(),
                _ => std::fs::create_dir(&lock).unwrap(),
            }
            let error = take(tree.path(), &repo(kind), Duration::ZERO, &|_| {}).await.unwrap_err();
            assert_eq!(error.kind(), crate::RunErrorKind::Environment);
            assert!(error.to_string().contains("/.image-builder/lock cannot be taken: "), "{error}");
            assert!(
                error.help().unwrap().ends_with("/lock is not a regular file: remove it"),
                "{:?}",
                error.help()
            );
        }
    }
}
