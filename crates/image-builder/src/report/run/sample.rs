//! A sample run for tests: a successful build, a failed one, a skipped one, and hostile texts.

use std::collections::BTreeMap;

use executor::{BuildResult, Comparison, FailedAt, Failure, Outcome, RunResult, TestResult, Within};
use plan::{Build, BuildContext, BuildId, ComparedWith, FORMAT_VERSION, Kind, Plan, Revision};

/// A planned build that needs other builds.
pub(crate) fn planned(id: &str, needs: &[&str]) -> Build {
    let name = id.replace("science/", "sci/");
    let (name, _) = plan::split_tag(&name);
    Build {
        id: BuildId(id.to_owned()),
        kind: if id.starts_with("rel/") { Kind::Compat } else { Kind::Science },
        layer: id.to_owned(),
        image: "x".to_owned(),
        version: "1.0".to_owned(),
        target: "x".to_owned(),
        is_final: true,
        references: Vec::new(),
        needs: needs.iter().map(|id| BuildId((*id).to_owned())).collect(),
        reasons: Vec::new(),
        tags: plan::Tags {
            build: format!("registry.example.org/x/{name}:1.0-2-abcdef0"),
            moving: format!("registry.example.org/x/{name}:1.0"),
        },
        labels: BTreeMap::new(),
        args: BTreeMap::new(),
        context: BuildContext { inputs: "v1:sha256:00".to_owned(), sources: Vec::new() },
        compat_stack: Vec::new(),
        shadowed: Vec::new(),
        tests: Vec::new(),
        secrets: Vec::new(),
        origins: Vec::new(),
        dockerfile: String::new(),
    }
}

/// A plan of these builds.
pub(crate) fn plan(builds: Vec<Build>) -> Plan {
    Plan {
        format_version: FORMAT_VERSION.to_owned(),
        revision: Revision {
            commit: format!("abcdef0{}", "0".repeat(33)),
            count: Some(2),
            short: "abcdef0".to_owned(),
            dirty: None,
            shallow: false,
        },
        compared_with: ComparedWith::Empty,
        repo: "registry.example.org/x".to_owned(),
        platform: "linux/amd64".to_owned(),
        label_prefix: "org.sciserver".to_owned(),
        builds,
        unbuilt: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The result of a planned build.
pub(crate) fn ended(build: &Build, outcome: Outcome) -> BuildResult {
    let there = matches!(outcome, Outcome::Built | Outcome::Reused);
    let tags: Vec<String> = if there { build.tags.iter().cloned().collect() } else { Vec::new() };
    BuildResult {
        tags: tags.clone(),
        image_id: there.then(|| "sha256:1d".to_owned()),
        size: there.then_some(333_000_000),
        digest: there.then(|| "sha256:0123".to_owned()),
        pushed: tags,
        ..BuildResult::new(build.id.clone(), build.kind, outcome)
    }
}

/// The result of these builds.
pub(crate) fn result(success: bool, builds: Vec<BuildResult>) -> RunResult {
    RunResult {
        format_version: executor::run::result::FORMAT_VERSION.to_owned(),
        run: "20261120-120000-0a1b2c".to_owned(),
        commit: format!("abcdef0{}", "0".repeat(33)),
        repo: "registry.example.org/x".to_owned(),
        push: true,
        success,
        started: 1_795_176_000.0,
        seconds: 80.0,
        error: None,
        builds,
    }
}

/// A comparison with the published image.
pub(crate) fn compared(earlier: Option<u64>, size: u64, layers: usize, shared: usize) -> Option<Comparison> {
    let name = earlier.map(|_| "sha256:0122".to_owned());
    Some(Comparison { within: Within::Registry, earlier: name, earlier_size: earlier, size, layers, shared })
}

/// A run of four builds, one of them failed at a line of a fragment.
pub(crate) fn run() -> (Plan, RunResult) {
    let builds = [
        planned("science/base", &[]),
        planned("science/sky", &["science/base"]),
        planned("rel/sky:1.0", &["science/sky"]),
        planned("rel/sea:1.0", &["science/base"]),
    ];
    let mut results = builds.each_ref().map(|build| ended(build, Outcome::Built));
    results[0].outcome = Outcome::Reused;
    results[1].seconds = 34.0;
    results[1].compared = compared(Some(120_000_000), 132_300_000, 14, 9);
    let test = |test: &str, error: Option<&str>| TestResult {
        test: test.to_owned(),
        layer: "science/sky".to_owned(),
        passed: error.is_none(),
        error: error.map(str::to_owned),
        seconds: 0.5,
    };
    results[1].tests = vec![test("python3 -c 'import astropy'", None)];
    results[2] = BuildResult {
        error: Some("executor failed running [/bin/sh -c make | tee `log` <x>]: exit code: 2".to_owned()),
        failure: Some(Failure::Build),
        seconds: 3.0,
        log: Some(".image-builder/runs/20261120-120000-0a1b2c/003-rel-sky-1.0.log".to_owned()),
        failed_at: Some(FailedAt {
            file: Some("compat/jupyter/Dockerfile".to_owned()),
            line: 9,
            instruction: "RUN make \\\n    | tee `log` <x>".to_owned(),
        }),
        log_tail: vec!["cc x.c".to_owned(), "```\u{1b}[31m ]]> error\u{202e}".to_owned()],
        ..ended(&builds[2], Outcome::Failed)
    };
    results[3] =
        BuildResult { error: Some("rel/sky:1.0 failed".to_owned()), ..ended(&builds[3], Outcome::Skipped) };
    (plan(builds.into()), result(false, results.into()))
}
