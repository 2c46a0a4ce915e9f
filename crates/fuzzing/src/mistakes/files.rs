//! The other files and the flags: `.dockerignore`, `image-builder.toml`, `--repo` and similar
//! flags.

use planner::config::KEYS;

use super::{Mistake, STRANGE, inserted};

const CONFIG: &str = "image-builder.toml";

pub(super) fn all() -> impl Iterator<Item = Mistake> {
    ignore_files().chain(config_keys()).chain(config_values()).chain(toml()).chain(flags())
}

fn ignore_files() -> impl Iterator<Item = Mistake> {
    let wrong = [
        "!", "! ", "[", "a[", "[]", "[^]", "[a", "[a-", "[z-a]", "[a-]", "[-a]", "[]a]", "[*]", "[?]",
        "[[:a:]]", "\\", "a\\", "a/\\", "\\é", "\\b", "\\z", "\\1", "[\\d]", "[\\é]", "[a\\", "[^z-a]",
        "**/[", "!\\", "*[", "dir/[a-b",
    ];
    wrong
        .into_iter()
        .flat_map(|pattern| {
            let around = ["", "a\n", "# c\n", "!a\n", "**\n", "\u{feff}", "\r\n"];
            around.into_iter().flat_map(move |before| {
                ["", "\n", "\nb\n"].map(|behind| format!("{before}{pattern}{behind}"))
            })
        })
        .chain([format!("{}\n", "a".repeat(5_000)), "a\n".repeat(2_001), "\n".repeat((1 << 20) + 1)])
        .map(|text| Mistake::with("ignore", "science/sky/.dockerignore", text))
}

fn config_keys() -> impl Iterator<Item = Mistake> {
    let misspelt = KEYS.iter().flat_map(|key| {
        let lost = (0..key.len()).map(move |at| format!("{}{}", &key[..at], &key[at + 1..]));
        let doubled = (0..key.len()).map(move |at| format!("{}{}", &key[..=at], &key[at..]));
        let capital = (0..key.len())
            .map(move |at| format!("{}{}{}", &key[..at], key[at..=at].to_uppercase(), &key[at + 1..]));
        lost.chain(doubled).chain(capital)
    });
    let misspelt = misspelt
        .filter(|key| !KEYS.contains(&key.as_str()) && !key.contains('_'))
        .chain(["base-repo".to_owned()]);
    let keys = misspelt.map(|key| format!("\"{key}\" = \"x\"\n"));
    let types = KEYS.iter().flat_map(|key| {
        ["1", "true", "1.5", "[1]", "[[]]", "{}", "{ a = 1 }", "1979-05-27", "[\"a\", 1]"]
            .iter()
            .filter(move |value| *key != "check" || **value != "{}")
            .map(move |value| format!("{key} = {value}\n"))
    });
    let levels =
        ["ok", "", "Warn", "DENY", "warn ", "0"].map(|level| format!("[check]\nno-compat = \"{level}\"\n"));
    let codes = ["no_compat", "nocompat", "", "x", "No-Compat"]
        .map(|code| format!("[check]\n\"{code}\" = \"warn\"\n"));
    keys.chain(types).chain(levels).chain(codes).map(|text| Mistake::with("config", CONFIG, text))
}

fn config_values() -> impl Iterator<Item = Mistake> {
    let text = |value: &str| {
        let escaped: String = value.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect();
        format!("\"{escaped}\"")
    };
    let one = ["repo", "base_repo", "platform"].into_iter().flat_map(move |key| {
        let right = if key == "platform" { "linux/amd64" } else { "example.org/x" };
        let fixed = [
            "",
            " ",
            "x",
            "/",
            "//",
            "X/Y/Z/",
            "linux",
            "a/b/c/d",
            "example.org/x:1",
            "https://example.org/x",
            "example.org/x@y",
        ];
        let strange = STRANGE.iter().flat_map(move |what| inserted(right, what));
        fixed
            .into_iter()
            .map(str::to_owned)
            .chain(strange)
            .map(move |value| format!("{key} = {}\n", text(&value)))
    });
    let lists = ["retired", "hold"].into_iter().flat_map(move |key| {
        let fixed = [
            "",
            ":",
            "sky",
            "sky:",
            ":1.0",
            "sky:v1",
            "Sky:1.0",
            "sky:1.0-1-0000000",
            "sky@1.0",
            "rel/sky:1.0",
            "sky:1.0:2",
        ];
        let strange = STRANGE.iter().flat_map(|what| inserted("sky:1.0", what));
        fixed
            .into_iter()
            .map(str::to_owned)
            .chain(strange)
            .map(move |value| format!("{key} = [{}]\n", text(&value)))
    });
    one.chain(lists).map(|text| Mistake::with("setting", CONFIG, text))
}

fn toml() -> impl Iterator<Item = Mistake> {
    const RIGHT: &str = "repo = \"example.org/x\"\nretired = [\"sky:1.0\"]\n[check]\nno-compat = \"warn\"\n";
    let cut = [4, 5, 6, 7, 8, 12, 21, 24, 30, 33, 34, 38, 43, 46, 50, 51, 60, 66, 70]
        .map(|at| RIGHT[..at].to_owned());
    let broken = ["\0", "\u{1b}", "=", "[[", "]]", "\"\"\"", "'''", "= =", "{"].into_iter();
    let broken = broken
        .flat_map(|what| [0, 5, 24, 34, 45, 53].map(|at| format!("{}{what}{}", &RIGHT[..at], &RIGHT[at..])));
    let twice = KEYS.iter().map(|key| format!("{key} = \"x\"\n{key} = \"x\"\n"));
    let deep = [100, 1_000, 50_000].into_iter().flat_map(|depth| {
        [
            format!("published = {}{}", "[".repeat(depth), "]".repeat(depth)),
            "[".repeat(depth),
            format!("a = {}", "{ b = ".repeat(depth / 6 + 90)),
        ]
    });
    let large = std::iter::once(format!("#{}", "x".repeat(1 << 20)));
    cut.into_iter()
        .chain(broken)
        .chain(twice)
        .chain(deep)
        .chain(large)
        .map(|text| Mistake::with("toml", CONFIG, text))
}

fn flags() -> impl Iterator<Item = Mistake> {
    // An argument cannot contain NUL.
    let strange = || STRANGE.iter().filter(|what| !what.contains('\0'));
    let repos = [
        "",
        "x",
        "/",
        "https://example.org/x",
        "example.org/x:1",
        "example",
        "example.org/",
        "EXAMPLE/X Y",
        "-x",
        "example.org/x@y",
    ];
    let repos = repos
        .into_iter()
        .map(str::to_owned)
        .chain(strange().flat_map(|what| inserted("example.org/x", what)));
    let products = ["", "sky", "sky:", ":1", "rel/sky:1.0", "sky:v1", "SKY:1.0", "sky:1.0-1-0000000"];
    let products =
        products.into_iter().map(str::to_owned).chain(strange().flat_map(|what| inserted("sky:1.0", what)));
    let layers = [
        "science",
        "science/sk",
        "sky",
        "/",
        "..",
        "../x",
        "compat",
        "science/sky/Dockerfile",
        "science/Sky",
        "science/sky/..",
    ];
    let layers: Vec<String> = layers
        .into_iter()
        .map(str::to_owned)
        .chain(strange().flat_map(|what| inserted("science/sky", what)))
        .collect();
    let ignored = layers.clone();
    repos
        .map(|value| Mistake::flag("--repo", &value))
        .chain(products.map(|value| Mistake::flag("--allow-orphan", &value)))
        .chain(layers.into_iter().map(|value| Mistake::flag("--include", &value)))
        .chain(ignored.into_iter().map(|value| Mistake::flag("--ignore", &value)))
}
