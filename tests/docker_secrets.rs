//! Secrets, through the command, on a real engine and real registries: builds can read them where
//! they are mounted, and they are neither stored nor shown. Every test searches everything that
//! remains: the output, all files of the run, every pushed blob.

mod secrets_support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use secrets_support::{Canary, blobs, files};
use testbed::command::{Outcome, Program};
use testbed::process::{unique, wait_until};
use testbed::proxy::{Hits, Kind, Listen, Mode, Proxy, Reply, Rule, Upstream};
use testbed::registry::{Auth, PASSWORD, PrivateRegistry, USER, View, docker_config};
use testbed::tree::{BASE, Tree};

const BOUND: Duration = Duration::from_secs(180);

/// Characters that each encoding changes in a different way.
const KEY: &str = "k3y~>>>??\"/+&ü'end";
const PROXY_PASSWORD: &str = "pr0xy+pass/word";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by `cargo xtask test`"))
}

fn fresh_repo(registry: &str) -> String {
    format!("{registry}/secrets-{}", unique())
}

/// Prints the secret `key` in every form that busybox can produce, whole and wrapped over lines.
/// The last line goes to stderr and may come before others; its leading space prevents that it is
/// treated as base64 next to a secret.
const PRINT: &str = "\
cat /run/secrets/key; echo; fold -w 5 /run/secrets/key; echo; \
base64 /run/secrets/key; base64 /run/secrets/key | tr '+/' '-_'; \
(printf x; cat /run/secrets/key; printf yz) | base64; (printf xy; cat /run/secrets/key) | base64; \
echo \"{\\\"auth\\\":\\\"$(printf 'user:%s' \"$(cat /run/secrets/key)\" | base64)\\\"}\"; \
od -An -v -tx1 /run/secrets/key | tr -d ' \\n'; echo; echo \" TOKEN=$(cat /run/secrets/key);\" >&2";

/// Returns a tree of one layer with these instructions.
fn tree(instructions: &str) -> Tree {
    Tree::of(&format!(
        "//- /science/keeper/Dockerfile\nFROM {BASE}\nARG NONCE\n{instructions}\n\
         //- /science/keeper/sciserver-image.json\n\
         {{\"image\": \"keeper\", \"version\": \"1.0\", \"compat\": null, \"args\": {{\"NONCE\": \"{}\"}}}}\n",
        unique()
    ))
}

fn program(tree: &Tree, arguments: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(["--all"]).args(arguments)
}

/// Asserts that neither the output nor any file of the runs contains one of these secrets.
#[track_caller]
fn silent(canaries: &[&Canary], tree: &Tree, outcome: &Outcome) {
    let runs = files(&tree.root().join(".image-builder"));
    assert!(outcome.code == Some(2) || !runs.is_empty(), "a run leaves files");
    for canary in canaries {
        canary.assert_not_in("stdout", outcome.stdout.as_bytes());
        canary.assert_not_in("stderr", outcome.stderr.as_bytes());
        for (path, bytes) in &runs {
            canary.assert_not_in(path, bytes);
        }
    }
}

#[test]
fn a_build_reads_a_secret_that_no_image_and_no_text_holds() {
    let shared = variable("IMAGE_BUILDER_TEST_REGISTRY");
    let long =
        format!("-----BEGIN KEY-----\n{}\n{}\n-----END KEY-----\n", "Ab1/+x".repeat(10), "Yz9+/w".repeat(12));
    for (secret, mode) in [
        (KEY, &["-vv"][..]),
        (KEY, &["--progress", "json"]),
        (long.as_str(), &["-vv"]),
        (KEY, &["--progress", "quiet"]),
    ] {
        let tree = tree(&format!(
            "RUN --mount=type=secret,id=key,required=true {PRINT}; sha256sum < /run/secrets/key > /sum\n\
             RUN test ! -e /run/secrets/key"
        ));
        fs::write(tree.home().join("key"), secret).expect("a file");
        let given = format!("id=key,src={}", tree.home().join("key").display());
        let repo = fresh_repo(&shared);
        let arguments = [&["--push", "--repo", &repo, "--secret", &given], mode].concat();
        let outcome = program(&tree, &arguments).run(BOUND).expect_code(0);

        let canary = Canary::new(secret);
        silent(&[&canary], &tree, &outcome);
        let shown = files(&tree.root().join(".image-builder"));
        let log = shown.iter().find(|(path, _)| path.ends_with(".log")).expect("the build has a log");
        assert!(String::from_utf8_lossy(&log.1).contains("TOKEN=***"), "{}", String::from_utf8_lossy(&log.1));
        let path = repo.split_once('/').expect("host and path").1;
        let pushed = blobs(&View::new(&shared), path);
        assert!(pushed.len() >= 4, "manifest, configuration and layers: {}", pushed.len());
        for (name, bytes) in &pushed {
            canary.assert_not_in(name, bytes);
        }
        let sum = secrets_support::sha256(secret.as_bytes());
        let read = pushed.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(&sum));
        assert!(read, "the build saw the secret's very bytes");
    }
}

#[test]
fn the_canary_finds_what_it_looks_for() {
    let canary = Canary::new(KEY);
    for form in canary.forms() {
        let hidden = [b"before ".as_slice(), form, b" after"].concat();
        assert!(std::panic::catch_unwind(|| canary.assert_not_in("a text", &hidden)).is_err());
    }
    canary.assert_not_in("a text", b"nothing of it");
}

#[test]
fn variables_and_names_give_secrets_and_several_are_kept_apart() {
    let tree = tree(
        "RUN --mount=type=secret,id=NAMED --mount=type=secret,id=b,target=/elsewhere --mount=type=secret,id=c \\\n\
         \x20 test \"$(cat /run/secrets/NAMED)\" = one-secret && test \"$(cat /elsewhere)\" = two-secret && test ! -e /run/secrets/c",
    );
    let repo = fresh_repo("localhost:1");
    let outcome =
        program(&tree, &["--repo", &repo, "--secret", "id=NAMED", "--secret", "type=env,id=b,env=OTHER"])
            .env("NAMED", "one-secret")
            .env("OTHER", "two-secret")
            .run(BOUND)
            .expect_code(0);
    // BuildKit does not report the third, so we do.
    assert!(outcome.stderr.contains("the secret c was not given"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--secret id=c,src=FILE"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("the secret b "), "{}", outcome.stderr);
}

#[test]
fn a_required_secret_that_is_missing_fails_its_build() {
    let tree = tree("RUN --mount=type=secret,id=key,required=true true");
    let outcome = program(&tree, &["--repo", &fresh_repo("localhost:1")]).run(BOUND).expect_code(3);
    assert!(outcome.stderr.contains("the secret key was not given"), "{}", outcome.stderr);
}

#[test]
fn where_secrets_cannot_be_carried_or_read_nothing_is_built() {
    let tree = tree("RUN true");
    let key = tree.home().join("key");
    fs::write(&key, KEY).expect("a file");
    let given = format!("id=key,src={}", key.display());
    let repo = fresh_repo("localhost:1");
    for (arguments, said) in [
        (vec!["--builder", "classic", "--secret", &given], "only BuildKit mounts them"),
        (vec!["--secret", "id=key,src=/no/such/file"], "/no/such/file cannot be read"),
        (vec!["--secret", "id=key,env=NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE is not set"),
        (vec!["--secret", &given, "--secret", &given], "id=key is given twice"),
        (vec!["--secret", "src=x"], "it has no id"),
    ] {
        let outcome = program(&tree, &[&["--repo", &repo], arguments.as_slice()].concat()).run(BOUND);
        let outcome = outcome.expect_code(2);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("build started"), "{}", outcome.stderr);
        silent(&[&Canary::new(KEY)], &tree, &outcome);
    }
    // A dry run opens no secret, so a missing file is no error.
    let dry = ["--repo", &repo, "--dryrun", "--secret", "id=key,src=/no/such/file"];
    program(&tree, &dry).run(BOUND).expect_code(0);
}

/// Writes a docker configuration with every kind of credential, and a credential helper that is
/// found on `PATH`.
fn configure(tree: &Tree, registry: &str, password: &str) -> String {
    let auths: serde_json::Value =
        serde_json::from_str(&docker_config("elsewhere.example", "other", "elsewhere/pass+word"))
            .expect("JSON");
    let proxy = format!("http://me:{}@127.0.0.1:9", PROXY_PASSWORD.replace('+', "%2B").replace('/', "%2F"));
    let config = serde_json::json!({
        "auths": auths["auths"], "credHelpers": {registry: "canary"},
        "proxies": {"default": {"httpProxy": proxy}},
    });
    tree.write_docker_config(&config.to_string());
    helper(tree, &format!("echo '{{\"ServerURL\":\"x\",\"Username\":\"{USER}\",\"Secret\":\"{password}\"}}'"))
}

/// Writes `docker-credential-canary` and returns a `PATH` that contains it.
fn helper(tree: &Tree, script: &str) -> String {
    let file = tree.home().join("docker-credential-canary");
    // Another process writes the file: a child of a parallel test could inherit our open file
    // descriptor for a moment, and the kernel does not execute a file that is open for writing.
    let written = Command::new("sh")
        .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(&file)
        .arg(script)
        .status();
    assert!(written.expect("sh runs").success());
    format!("{}:{}", tree.home().display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn no_run_shows_a_credential_whatever_comes_of_it() {
    let registry = PrivateRegistry::start(Auth::Basic);
    let wrong = "wr0ng/p>>>~~~?pass";
    let print_proxy = "echo \"proxy $http_proxy\"; env | base64; echo \"$HTTP_PROXY\" | fold -w 4";
    let modes: [&[&str]; 3] = [&["-vv"], &["--progress", "json"], &[]];
    let proxy = Proxy::tcp(registry.address());
    // A hostile response that repeats the credentials.
    let spite = Reply::new(403).body(format!(
        "{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"{PASSWORD} {} go away\"}}]}}",
        base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"))
    ));
    for (ends, password, code) in
        [("true", PASSWORD, 0), ("false", PASSWORD, 3), ("true", wrong, 5), ("true", PASSWORD, 4)]
    {
        proxy.clear_all();
        if code == 4 {
            proxy.rule(Rule::on(Kind::UploadStart, Hits::Every, Mode::Status(spite.clone())));
        }
        for mode in modes {
            let tree = tree(&format!(
                "RUN --mount=type=secret,id=key,required=true {PRINT}; {print_proxy}; echo 'login {USER}:{PASSWORD}'; \
                 printf '{wrong}' | base64; {ends}"
            ));
            let path = configure(&tree, proxy.address(), password);
            fs::write(tree.home().join("key"), KEY).expect("a file");
            let given = format!("id=key,src={}", tree.home().join("key").display());
            let repo = fresh_repo(proxy.address());
            let arguments =
                [&["--push", "--repo", &repo, "--secret", &given, "--push-timeout", "1s"], mode].concat();
            let outcome = program(&tree, &arguments).env("PATH", path).run(BOUND).expect_code(code);
            assert!(code != 4 || outcome.said().contains("go away"), "{}", outcome.said());
            // The values in the tree are in git: only the values passed to this run are secret.
            let encoded = PROXY_PASSWORD.replace('+', "%2B").replace('/', "%2F");
            let mut canaries = vec![
                Canary::new(KEY),
                Canary::new(PROXY_PASSWORD),
                Canary::new(&encoded),
                Canary::new("elsewhere/pass+word"),
            ];
            canaries.extend([Canary::new(password), Canary::base64_of(&format!("{USER}:{password}"))]);
            silent(&canaries.iter().collect::<Vec<_>>(), &tree, &outcome);
            let name = repo.split_once('/').expect("host and path").1;
            for (blob, bytes) in blobs(registry.view(), name) {
                Canary::new(KEY).assert_not_in(&blob, &bytes);
                canaries[1].assert_not_in(&blob, &bytes);
                canaries[2].assert_not_in(&blob, &bytes);
            }
        }
    }
}

#[test]
fn a_helper_that_fails_ends_the_run_before_its_first_build() {
    let children = r#"sleep 600 & echo $! >> "$HOME/pids"; echo $$ >> "$HOME/pids""#;
    let cases = [
        ("hangs", format!("{children}; exec sleep 600"), "gave no answer"),
        ("is deaf", format!("trap '' TERM INT HUP; {children}; while :; do sleep 1; done"), "gave no answer"),
        ("fails", format!("{children}; echo 'no vault here'; exit 1"), "no vault here"),
        ("babbles", format!("{children}; echo 'hunter2-is-the-password'"), "not a login"),
        (
            "floods",
            format!("trap '' PIPE; {children}; while :; do echo {}; done", "x".repeat(80)),
            "more than 65536 bytes",
        ),
    ];
    let host = variable("IMAGE_BUILDER_TEST_REGISTRY");
    // Concurrently, because two of the cases take as long as the time-out of a helper.
    std::thread::scope(|scope| {
        for (what, script, said) in &cases {
            let host = &host;
            scope.spawn(move || {
                let tree = tree("RUN true");
                let path = helper(&tree, script);
                tree.write_docker_config(&serde_json::json!({"credsStore": "canary"}).to_string());
                let repo = fresh_repo(host);
                let began = Instant::now();
                let outcome =
                    program(&tree, &["--push", "--repo", &repo]).env("PATH", path).run(BOUND).expect_code(5);
                assert!(outcome.stderr.contains(said), "{what}: {}", outcome.stderr);
                assert!(outcome.stderr.contains("docker-credential-canary"), "{what}: {}", outcome.stderr);
                assert!(!outcome.said().contains("build started"), "{what}: {}", outcome.said());
                assert!(!outcome.said().contains("hunter2"), "{what}: {}", outcome.said());
                assert!(began.elapsed() < BOUND, "{what}");
                let pids = fs::read_to_string(tree.home().join("pids")).expect("the helper ran");
                assert!(pids.lines().count() >= 2, "{what}: {pids}");
                for pid in pids.lines() {
                    assert!(wait_until(Duration::from_secs(10), || gone(pid)), "{what}: {pid} is left");
                }
            });
        }
    });
}

/// Whether a process ended; a zombie counts as ended.
fn gone(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat"));
    status.map_or(true, |text| text.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X'])))
}

#[test]
fn what_builds_print_steers_no_terminal_and_no_ci_system() {
    let print = "printf 'a\\033[31mred\\007 \\302\\23331m \\342\\200\\256bidi\\342\\201\\246 50%%\\r100%%\\n::set-output name=a::b\\n  ::add-mask::x\\n##vso[task.x]y\\n\\033]0;title\\007\\n'";
    for (ends, code) in [("true", 0), ("false", 3)] {
        for mode in [&["-vv"][..], &["--progress", "json"]] {
            let tree = tree(&format!("RUN {print}; {print} >&2; {ends}"));
            let repo = fresh_repo("localhost:1");
            let arguments = [&["--repo", &repo], mode].concat();
            let outcome = program(&tree, &arguments).run(BOUND).expect_code(code);
            let shown = files(&tree.root().join(".image-builder"));
            let texts = [
                ("stdout".to_owned(), outcome.stdout.into_bytes()),
                ("stderr".to_owned(), outcome.stderr.into_bytes()),
            ];
            let mut seen = 0;
            for (name, bytes) in texts.iter().chain(&shown) {
                let text = String::from_utf8(bytes.clone()).expect("UTF-8");
                seen += usize::from(text.contains("[31mred"));
                let bad =
                    |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{2066}".contains(c);
                assert_eq!(text.chars().find(|c| bad(*c)), None, "{name}: {text:?}");
                if !name.contains(".image-builder") {
                    assert!(!text.contains("##vso["), "{name}: {text}");
                    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{name}: {text}");
                }
            }
            assert!(seen >= 2, "it was shown and logged");
        }
    }
}

#[test]
fn secrets_go_by_tcp_and_by_ssh_too() {
    let host = variable("IMAGE_BUILDER_TEST_HOST");
    let proxy = Proxy::start(Listen::Tcp, Upstream::parse(&host));
    let tcp = format!("tcp://{}", proxy.address().rsplit('/').next().expect("an address"));
    for engine in [tcp.as_str(), "ssh://somebody@lab"] {
        let tree = tree("RUN --mount=type=secret,id=key,required=true grep -q k3y /run/secrets/key");
        let ssh = tree.home().join("ssh");
        let script = format!("#!/bin/sh\nexec docker --host {host} system dial-stdio\n");
        let written = Command::new("sh")
            .args(["-c", "printf '%s' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(&ssh)
            .arg(&script)
            .status();
        assert!(written.expect("sh runs").success());
        let path = format!("{}:{}", tree.home().display(), std::env::var("PATH").unwrap_or_default());
        let arguments = ["--repo", &fresh_repo("localhost:1"), "--secret", "id=key"];
        let program = program(&tree, &arguments).env("key", KEY).env("PATH", path).host(engine);
        let outcome = program.run(BOUND).expect_code(0);
        silent(&[&Canary::new(KEY)], &tree, &outcome);
    }
}
