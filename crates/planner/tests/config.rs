//! `image-builder.toml`: valid files, and the errors for invalid ones.

use planner::config::{self, Config, Level};
use planner::tree::SourceFile;

fn read(text: &str) -> (Config, String) {
    let file = SourceFile { path: "image-builder.toml".to_owned(), text: text.to_owned() };
    let (config, problems) = config::parse(Some(&file));
    let told: Vec<String> = problems
        .iter()
        .map(|problem| problem.to_string().replace("\n  help: ", " | ").replace("image-builder.toml:", ""))
        .collect();
    (config, told.join("\n"))
}

#[test]
fn without_a_file_the_defaults_hold() {
    let (config, problems) = config::parse(None);
    assert_eq!(problems, []);
    assert_eq!(config, Config::default());
    assert_eq!(config.repo, "containers.repo.sciserver.org/compute-images");
    assert_eq!((config.platform.as_str(), config.label_prefix.as_str()), ("linux/amd64", "org.sciserver"));
    assert_eq!((config.level("from-rel"), config.level("from-unpinned")), (Level::Deny, Level::Warn));
    assert_eq!(read(""), (Config::default(), String::new()));
}

#[test]
fn every_key_is_read() {
    let (config, told) = read(
        "\u{feff}# ours\r\nrepo = \"localhost:5000/a/b\"\r\naliases = [\"x.org\", 'y.org/z', ]\nbase_repo = \"z.org/a\"\n\
         platform = \"linux/arm64/v8\"\nlabel_prefix = \"org.my-place\"\nimage_variable = \"MY_IMAGE\"\npublished = [\"old\"]\n\
         retired = [\"a:1.0\"]\nhold = [\"b:2\"]\nsource = \"https://example.org/r\"\n[check]\nfrom-rel = \"warn\"\nno-compat = \"allow\"\n",
    );
    assert_eq!(told, "");
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        config,
        Config {
            repo: "localhost:5000/a/b".to_owned(),
            aliases: strings(&["x.org", "y.org/z"]),
            base_repo: Some("z.org/a".to_owned()),
            platform: "linux/arm64/v8".to_owned(),
            label_prefix: "org.my-place".to_owned(),
            image_variable: "MY_IMAGE".to_owned(),
            published: strings(&["old"]),
            retired: strings(&["a:1.0"]),
            hold: strings(&["b:2"]),
            source: Some("https://example.org/r".to_owned()),
            check: [("from-rel".to_owned(), Level::Warn), ("no-compat".to_owned(), Level::Allow)].into(),
        }
    );
    assert_eq!((config.level("from-rel"), config.level("no-compat")), (Level::Warn, Level::Allow));
}

#[test]
fn what_is_wrong_is_told() {
    let cases: &[(&str, &str)] = &[
        (
            "repo =",
            "1:7: not TOML: string values must be quoted, expected literal string [config-syntax] | see https://toml.io for the form of the file",
        ),
        (
            "repo = \"x\"\nrepo = \"y.org/a\"",
            "2:1: not TOML: duplicate key [config-syntax] | see https://toml.io for the form of the file",
        ),
        ("rep = \"x\"", "1:1: unknown key \"rep\" [config-key] | did you mean \"repo\"?"),
        ("repo = 1", "1:8: repo: not a string [config-value] | put it into quotes"),
        (
            "repo = \"x\"",
            "1:8: repo: \"x\" is not valid [config-value] | a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        ),
        (
            "repo = \"X.org\"",
            "1:8: repo: \"X.org\" is not valid [config-value] | a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        ),
        (
            "repo = \"x.org/A\"",
            "1:8: repo: \"x.org/A\" is not valid [config-value] | a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        ),
        (
            "repo = \"x.org/a:1\"",
            "1:8: repo: \"x.org/a:1\" is not valid [config-value] | a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        ),
        ("aliases = \"x\"", "1:11: aliases is not a list of strings [config-value] | use […]"),
        (
            "aliases = [\"x.org\", 1, \"x\"]",
            "1:21: aliases: not a string [config-value] | put it into quotes\n1:24: aliases: \"x\" is not valid [config-value] | a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        ),
        (
            "base_repo = \"\"",
            "1:13: base_repo: \"\" is not valid [config-value] | a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        ),
        (
            "platform = \"linux\"",
            "1:12: platform: \"linux\" is not valid [config-value] | os/arch or os/arch/variant, as in linux/amd64",
        ),
        (
            "platform = \"linux/AMD64\"",
            "1:12: platform: \"linux/AMD64\" is not valid [config-value] | os/arch or os/arch/variant, as in linux/amd64",
        ),
        (
            "label_prefix = \"Org.x\"",
            "1:16: label_prefix: \"Org.x\" is not valid [config-value] | a domain in reverse, as in org.example",
        ),
        (
            "image_variable = \"1X\"",
            "1:18: image_variable: \"1X\" is not valid [config-value] | letters, digits and '_', no digit first",
        ),
        (
            "published = [\"A\"]",
            "1:14: published: \"A\" is not valid [config-value] | lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters",
        ),
        (
            "retired = [\"a\"]\nhold = [\"a:v1\"]",
            "1:12: retired: \"a\" is not valid [config-value] | a product, as in nist-basic:2.0\n2:9: hold: \"a:v1\" is not valid [config-value] | a product, as in nist-basic:2.0",
        ),
        (
            "source = \"git@example.org:x\"",
            "1:10: source: the address is not valid [config-value] | a public address, https://…, without user name, password or token",
        ),
        (
            "source = \"https://user:secret@example.org/x\"",
            "1:10: source: the address is not valid [config-value] | a public address, https://…, without user name, password or token",
        ),
        ("check = 1", "1:9: check is not a table [config-value] | write `[check]`"),
        (
            "[check]\nfrom-real = \"warn\"\nfrom-rel = \"off\"",
            "2:1: unknown guideline \"from-real\" [config-key] | did you mean \"from-rel\"?\n3:12: check: from-rel has an unknown level [config-value] | use \"allow\", \"warn\" or \"deny\"",
        ),
        ("[checks]\nx = 1", "1:2: unknown key \"checks\" [config-key] | did you mean \"check\"?"),
        (
            "a = \nb = [\nrepo = 1\n",
            "1:5: not TOML: string values must be quoted, expected literal string [config-syntax] | see https://toml.io for the form of the file\n3:1: not TOML: string values must be quoted, expected literal string [config-syntax] | see https://toml.io for the form of the file\n3:6: not TOML: unexpected `=` in array, expected value, `]` [config-syntax] | see https://toml.io for the form of the file\n3:8: not TOML: missing comma between array elements, expected `,` [config-syntax] | see https://toml.io for the form of the file\n3:9: not TOML: unclosed array, expected `]` [config-syntax] | see https://toml.io for the form of the file",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).1, *expected, "{text}");
    }
}

#[test]
fn case_bare_host_repo() {
    for repo in
        ["compute.repo.sciserver.org", "localhost", "localhost:5000", "127.0.0.1:5000", "r.example.org/a/b"]
    {
        let text = format!("repo = {repo:?}\nbase_repo = {repo:?}\naliases = [{repo:?}]\n");
        let (config, told) = read(&text);
        assert_eq!(told, "", "{repo}");
        assert_eq!((config.repo.as_str(), config.base_repo.as_deref()), (repo, Some(repo)));
        assert_eq!(config.aliases, [repo]);
        assert!(config::check_repo(repo).is_ok());
    }
    for bad in [
        "images",
        "images/x",
        "UPPER/x",
        "R.example.org",
        "r.example.org/X",
        "r.example.org:x",
        "r.org/a:1",
        "r.org/",
        "",
    ] {
        assert!(config::check_repo(bad).is_err(), "{bad}");
    }
}

/// An invalid value is left at its default, so that the rest of the tree can be checked.
#[test]
fn a_wrong_value_leaves_the_default() {
    let (config, told) = read("repo = 'x'\nplatform = \"linux/arm64\"\n");
    assert_eq!(told.lines().count(), 1);
    assert_eq!((config.repo, config.platform.as_str()), (Config::default().repo, "linux/arm64"));
}

#[test]
fn hostile_files_are_refused_without_harm() {
    assert!(read(&format!("a = {}", "[".repeat(100_000))).1.contains("not TOML"));
    assert!(read(&format!("# {}", "x".repeat(1 << 20))).1.contains("larger than 128 KiB"));
}
