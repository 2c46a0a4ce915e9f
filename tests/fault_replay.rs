//! Replays the model's stories with real parts: the command, the engine and a registry behind a
//! proxy that injects faults.
//!
//! A story is generated as in `executor/src/model`, cut to a size that builds in seconds. Its build
//! failures happen in a real `RUN`, its request failures at the proxy, and its kills hit the
//! process at a request. The checks of the model are applied to the proxy's trace, `result.json`
//! and the registry. A story is identified by its seed; seeds that failed once are in [`KEPT`].

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use executor::{BuildResult, Outcome, Relation, RunResult};
use plan::{Build, BuildTag, ImageName, Plan};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use testbed::command::{Program, Signal};
use testbed::process::{unique, wait_until};
use testbed::proxy::{self, From, Hits, Mode, Proxy, Rule, Seen};
use testbed::registry::View;
use testbed::time_scale::{quick_or_long, record, seed};
use testbed::tree::{BASE, Tree};

#[path = "../crates/executor/src/model/checks.rs"]
#[expect(dead_code, reason = "nobody but the model has other people change tags")]
mod checks;
#[path = "../crates/executor/src/model/story.rs"]
#[expect(dead_code, reason = "a story says more than is carried out here")]
mod story;

use checks::{Act, By, Step};
use story::{Cut, How, RunSeed, Story, What};

/// Seeds of stories that failed once.
const KEPT: &[u64] = &[];
/// Maximum number of layers of a story; each has at most one compat image.
const LAYERS: usize = 3;
/// Maximum number of disturbed runs before the undisturbed one.
const RUNS: usize = 2;
/// Time-out of one run.
const BOUND: Duration = Duration::from_secs(240);

/// The environment of a story.
struct Stage {
    tree: Tree,
    plan: Plan,
    proxy: Proxy,
    repo: String,
    registry: View,
}

/// The observed result of one run.
struct Ended {
    /// `None` if the run was killed.
    code: Option<i32>,
    /// `None` if the run ended before it wrote one.
    result: Option<RunResult>,
    said: String,
}

#[test]
fn stories_of_the_model_hold_on_real_parts() {
    let long = quick_or_long(false, true);
    let start = seed();
    let fresh = quick_or_long(0..12, 0..60).map(|number| if long { start.value ^ number } else { number });
    let open: Mutex<Vec<u64>> = Mutex::new(KEPT.iter().copied().chain(fresh).collect());
    let figures = Mutex::new(BTreeMap::<&str, usize>::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = open.lock().pop();
                    let Some(seed) = next else { break };
                    let told = replay(seed).unwrap_or_else(|found| panic!("story {seed}: {found}"));
                    let mut figures = figures.lock();
                    for (what, number) in told {
                        *figures.entry(what).or_default() += number;
                    }
                }
            });
        }
    });
    let figures = figures.into_inner();
    record("model-replay", &serde_json::json!(figures));
    assert!(figures["faults"] > 0, "no story met a fault: {figures:?}");
}

/// Plays one story and checks it. Returns its figures.
fn replay(seed: u64) -> Result<BTreeMap<&'static str, usize>, String> {
    let story = draw(seed);
    let stage = Stage::new(&story, seed);
    let (mut steps, mut faults, mut cut) = (Vec::new(), 0, 0);
    let runs = &story.runs[..story.runs.len().min(RUNS)];
    for (number, seed) in runs.iter().enumerate() {
        let rules = stage.disturb(seed);
        let ended = stage.run(seed, number, &mut steps);
        faults += rules.iter().filter(|rule| stage.proxy.taken(**rule) > 0).count();
        stage.proxy.clear_all();
        cut += usize::from(!matches!(ended.code, Some(0..=6)));
        stage.judge(number, &ended, &steps)?;
        let first = number == 0 && seed.cut.is_none() && !seed.fail_fast;
        if let Some(result) = ended.result.filter(|result| first && result.error.is_none()) {
            let calm: Vec<BuildResult> = result.builds.iter().zip(&stage.plan.builds).map(calm).collect();
            checks::contained(&stage.plan, &result.builds, &calm)?;
        }
    }
    let clean = RunSeed { faults: Vec::new(), cut: None, fail_fast: false, ..story.runs[0].clone() };
    fs::remove_dir_all(stage.tree.home().join(".docker")).unwrap_or_default();
    let number = runs.len();
    let ended = stage.run(&clean, number, &mut steps);
    stage.judge(number, &ended, &steps)?;
    checks::converged(&stage.plan, &stage.left())?;
    if ended.code != Some(0) {
        return Err(format!("4: the clean run ended {:?}:\n{}", ended.code, ended.said));
    }
    for build in &stage.plan.builds {
        let tags: BTreeSet<String> = stage.registry.tags(&repository(build)).into_iter().collect();
        let planned = build.tags.iter().filter_map(|tag| Some(tag.rsplit_once(':')?.1.to_owned())).collect();
        if tags != planned {
            return Err(format!("4: {} has the tags {tags:?}, planned were {planned:?}", build.id));
        }
    }
    let from = steps.len();
    let again = stage.run(&clean, number + 1, &mut steps);
    if again.code != Some(0)
        || steps[from..].iter().any(|step| matches!(step.act, Act::Put { .. } | Act::Started(_)))
    {
        return Err(format!("4: a run after a good one did something:\n{}", again.said));
    }
    // Reversed, the same requests must fail the check.
    let backwards: Vec<Step> = steps.iter().rev().cloned().collect();
    if checks::push_order(&backwards, &vec![&stage.plan; number + 2]).is_ok() {
        return Err("8: the check takes a trace that runs backwards".to_owned());
    }
    let failed = steps.iter().filter(|step| matches!(step.act, Act::Failed(_))).count();
    let puts = steps.iter().filter(|step| matches!(step.act, Act::Put { .. })).count();
    Ok([
        ("stories", 1),
        ("runs", number + 2),
        ("faults", faults),
        ("builds failed", failed),
        ("runs cut off", cut),
        ("tags written", puts),
    ]
    .into())
}

fn draw(seed: u64) -> Story {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    story::story(1..4).new_tree(&mut runner).expect("every story is taken").current()
}

/// Returns the result that a build would have if nothing had failed.
fn calm((result, build): (&BuildResult, &Build)) -> BuildResult {
    BuildResult { outcome: Outcome::Built, pushed: build.tags.iter().cloned().collect(), ..result.clone() }
}

impl Stage {
    fn new(story: &Story, seed: u64) -> Self {
        let shared = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
        let (tree, proxy) = (Tree::of(&files(story, seed)), Proxy::tcp(&shared));
        let repo = format!("{}/replay-{}", proxy.address(), unique());
        let planned = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree)
            .args(["plan", "--all", "--format", "json", "--repo", &repo])
            .run(BOUND)
            .expect_code(0);
        let plan = Plan::from_json(&planned.stdout).expect("a plan of our own");
        Self { tree, plan, proxy, repo, registry: View::new(&shared) }
    }

    /// Sets up the faults of a run: rules of the proxy, and the builds whose `RUN` instructions
    /// fail.
    fn disturb(&self, seed: &RunSeed) -> Vec<proxy::RuleId> {
        let (mut rules, mut failing) = (Vec::new(), String::new());
        for fault in &seed.faults {
            let build = &self.plan.builds[fault.build.index(self.plan.builds.len())];
            match fault.what {
                What::Build => write!(failing, "fail-{}.", build.target).expect("a string takes text"),
                What::Request { kind, moving, nth, how } => {
                    let put = kind == story::Kind::Put;
                    let method = if put { "PUT" } else { "GET" };
                    let tag = plan::tag_of(if moving { build.moving_tag() } else { build.build_tag() })
                        .expect("a tag");
                    let path = format!("/v2/{}/manifests/{tag}", repository(build));
                    let mode = match how {
                        How::Before => Mode::status(503),
                        How::Refused => Mode::status(403),
                        How::After => Mode::ResetAfter,
                        How::NotHeld if put => Mode::status(201),
                        How::NotHeld => Mode::Eof,
                    };
                    let rule = Rule::new(method, &path, Hits::Nth(u64::from(nth) + 1), mode);
                    rules.push(self.proxy.rule(rule));
                }
            }
        }
        // Docker passes proxy settings to builds, and they are not part of the inputs: the same
        // commit can fail or succeed.
        let config = serde_json::json!({"proxies": {"default": {"noProxy": failing}}});
        self.tree.write_docker_config(&config.to_string());
        rules
    }

    /// Runs the command until it ends or is cut off, and appends its acts to the steps.
    fn run(&self, seed: &RunSeed, number: usize, steps: &mut Vec<Step>) -> Ended {
        self.proxy.forget();
        let runs = self.tree.root().join(".image-builder/runs");
        fs::remove_dir_all(&runs).unwrap_or_default();
        let running = Arc::new(OnceLock::<Box<dyn Fn(Signal) + Send + Sync>>::new());
        if let Some((cut, at)) = seed.cut {
            let signal = if cut == Cut::Killed { Signal::KILL } else { Signal::TERM };
            let running = Arc::clone(&running);
            let hook = Mode::hook(move |_| running.wait()(signal));
            self.proxy.rule(Rule::new("*", "/v2/*", Hits::Nth(at as u64 % 25 + 1), hook));
        }
        let jobs = seed.jobs.to_string();
        let mut arguments =
            vec!["--all", "--push", "--repo", &self.repo, "--jobs", &jobs, "--push-timeout", "20s"];
        arguments.extend(seed.resume.then_some("--resume"));
        arguments.extend(seed.fail_fast.then_some("--fail-fast"));
        let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree).args(arguments).spawn();
        let _ = running.set(Box::new(program.signaller()));
        let outcome = program.wait(BOUND);
        // An engine ends abandoned requests after a while; until then they belong to this run.
        let mut before = usize::MAX;
        wait_until(Duration::from_secs(10), || {
            let trace = self.proxy.trace();
            let quiet = trace.len() == before && trace.iter().all(|seen| seen.finished.is_some());
            before = trace.len();
            std::thread::sleep(Duration::from_millis(if outcome.code.is_none() { 500 } else { 20 }));
            quiet
        });
        let result = fs::read_dir(&runs).into_iter().flatten().flatten().find_map(|run| {
            let text = fs::read_to_string(run.path().join("result.json")).ok()?;
            Some(serde_json::from_str::<RunResult>(&text).expect("a result is whole"))
        });
        let by = By::Run(number);
        let builds = result.iter().flat_map(|result| &result.builds);
        for build in builds.filter(|build| build.log.is_some()) {
            steps.push(Step { by, act: Act::Started(build.id.clone()) });
            if build.outcome == Outcome::Failed {
                steps.push(Step { by, act: Act::Failed(build.id.clone()) });
            }
        }
        steps.extend(self.proxy.trace().iter().filter_map(|seen| self.act(seen)).map(|act| Step { by, act }));
        Ended { code: outcome.code, said: format!("{}{}", outcome.said(), self.proxy.show()), result }
    }

    /// Converts a request to an act, as far as the checks need it.
    fn act(&self, seen: &Seen) -> Option<Act> {
        let (repository, tag) = seen.path.strip_prefix("/v2/")?.split_once("/manifests/")?;
        let tag =
            (!tag.starts_with("sha256:")).then(|| format!("{}/{repository}:{tag}", self.proxy.address()))?;
        let digest = || seen.answered("docker-content-digest").map(str::to_owned);
        if seen.written_tag().is_some() {
            return Some(Act::Put { tag, digest: digest()? });
        }
        match (seen.from, seen.method.as_str(), seen.status) {
            (From::Us, "GET" | "HEAD", Some(200)) => Some(Act::Looked { tag, shown: Some(digest()?) }),
            (From::Us, "GET" | "HEAD", Some(404)) => Some(Act::Looked { tag, shown: None }),
            _ => None,
        }
    }

    /// Checks the result of a run against the invariants.
    fn judge(&self, number: usize, ended: &Ended, steps: &[Step]) -> Result<(), String> {
        let with_trace = |found: String| format!("{found}\n{}", ended.said);
        checks::push_order(steps, &vec![&self.plan; number + 1]).map_err(with_trace)?;
        let is_build_tag =
            |tag: &str| tag.rsplit_once(':').is_some_and(|(_, tag)| BuildTag::parse(tag).is_some());
        let same = |_: &str, _: &str| Relation::Same;
        let breaks = checks::breaks(steps, &BTreeMap::new(), is_build_tag, same, &BTreeSet::new());
        if let Some(found) = breaks.first() {
            return Err(with_trace(found.what.clone()));
        }
        checks::nothing_starts_after(steps, number, &self.plan).map_err(with_trace)?;
        if let (Some(code), Some(result)) = (ended.code, &ended.result) {
            if (code == 0) != result.success {
                return Err(with_trace(format!("10: exit {code}, and success is {}", result.success)));
            }
            let left = self.left();
            checks::truthful(steps, number, &self.plan, result.success, &result.builds, Some(&left))
                .map_err(with_trace)?;
        }
        Ok(())
    }

    /// Returns the current digests of the plan's tags.
    fn left(&self) -> BTreeMap<String, String> {
        let tags = self.plan.builds.iter().flat_map(|build| build.tags.iter().map(move |tag| (build, tag)));
        tags.filter_map(|(build, tag)| {
            let (_, name) = tag.rsplit_once(':')?;
            Some((tag.clone(), self.registry.digest(&repository(build), name)?))
        })
        .collect()
    }
}

/// Returns the repository of a build in its registry.
fn repository(build: &Build) -> String {
    ImageName::parse(build.build_tag()).expect("a plan's tags are references").repository
}

/// Returns a story's source tree. The files that a layer copies are unique, so that no engine has
/// them in its cache from another story.
fn files(story: &Story, seed: u64) -> String {
    let mut files =
        "//- /compat/batch/Dockerfile\nCMD [\"/bin/sh\"]\n//- /compat/batch/sciserver-image.json\n{}\n"
            .to_owned();
    for (number, layer) in story.layers.iter().take(LAYERS).enumerate() {
        let parents: BTreeSet<usize> = match number {
            0 => BTreeSet::new(),
            _ => layer.parents.iter().map(|parent| parent.index(number)).collect(),
        };
        let mut parents = parents.into_iter();
        let base = parents.next().map_or(BASE.to_owned(), |parent| format!("sci/l{parent}:1.0"));
        let copies: String = parents
            .map(|parent| format!("COPY --from=sci/l{parent}:1.0 /data/l{parent} /copied/\n"))
            .collect();
        let compat = if layer.is_final { ", \"compat\": \"batch\"" } else { "" };
        write!(
            files,
            "//- /science/l{number}/Dockerfile\nFROM {base}\n{copies}COPY data /data/l{number}\n\
             RUN case \"$no_proxy\" in *fail-l{number}.*) exit 1;; esac\n\
             //- /science/l{number}/data\n{seed} {}\n//- /science/l{number}/sciserver-image.json\n\
             {{\"image\": \"l{number}\", \"version\": \"1.0\"{compat}}}\n",
            unique(),
        )
        .expect("a string takes text");
    }
    files
}
