//! Descriptors: damaged JSON, invalid names and versions, unknown fields, values of another type.

use planner::descriptor::SCIENCE_FIELDS;

use super::{Mistake, SKY, STRANGE, inserted, quoted};

const SCIENCE: &str = "science/sky/sciserver-image.json";
const COMPAT: &str = "compat/common/sciserver-image.json";

/// Strings that break a descriptor anywhere.
const BREAKING: [&str; 16] =
    ["{", "}", "[", "]", ":", "\"", "\\", "\0", "\u{1b}", "@", "'", "\u{202e}", "é", "\"\"", "{}", "=="];

pub(super) fn all() -> impl Iterator<Item = Mistake> {
    damaged().chain(names()).chain(fields()).chain(types()).chain(forms())
}

fn damaged() -> impl Iterator<Item = Mistake> {
    let science = |text: String| Mistake::with("json", SCIENCE, text);
    let insertions = BREAKING.iter().flat_map(|what| inserted(SKY, what));
    let replaced = BREAKING
        .iter()
        .flat_map(|what| (0..SKY.len()).map(move |at| format!("{}{what}{}", &SKY[..at], &SKY[at + 1..])));
    let cut = (0..SKY.len()).map(|at| SKY[..at].to_owned());
    // Only structural characters: a value with a character removed is often still a valid name.
    let structure = SKY.char_indices().filter(|(_, c)| "{}:,\"".contains(*c)).map(|(at, _)| at);
    let deleted = structure.map(|at| format!("{}{}", &SKY[..at], &SKY[at + 1..]));
    insertions.chain(replaced).chain(cut).chain(deleted).map(science)
}

/// Names of every kind with a strange string at each position.
fn names() -> impl Iterator<Item = Mistake> {
    let wrong = |name: &'static str| {
        let fixed =
            ["", ".", "..", "...", "-x", "x-", "_x", "x_", "a..b", "a___b", "a._b", "a.-b", "A", "a/b", "/a"];
        let strange = STRANGE.iter().flat_map(move |what| inserted(name, what));
        fixed.into_iter().map(str::to_owned).chain(strange).chain([name.repeat(100), "a".repeat(129)])
    };
    let field = |field: &'static str, kind: &'static str| {
        move |text: String| {
            let value = if field == "version" { "1.0" } else { "sky" };
            let from = format!("\"{field}\":\"{value}\"");
            Mistake::with(kind, SCIENCE, SKY.replace(&from, &format!("\"{field}\":{}", quoted(&text))))
        }
    };
    let versions =
        ["v1", "1-0", "1.", ".1", "1..0", "-1", "1.0-42-f90dbd6", "latest", "1,0", "a", "1/0", "1:0"];
    let strange_versions = STRANGE.iter().flat_map(|what| inserted("1.0", what));
    let versions = versions
        .into_iter()
        .map(str::to_owned)
        .chain(strange_versions)
        .chain(["1".repeat(129), "1.0".repeat(99)]);
    let layer_names = || {
        let fixed = [
            "",
            "/",
            "..",
            ".",
            "../common",
            "/etc",
            "common/",
            "/common",
            "common//x",
            "common/../common",
            "a\\b",
            "c:",
            "./common",
            "commno",
            "Common",
            "science/sky",
            "compat/common",
        ];
        let strange = STRANGE.iter().flat_map(|what| inserted("common", what));
        fixed.into_iter().map(str::to_owned).chain(strange)
    };
    let compat =
        layer_names().map(|name| Mistake::with("compat", SCIENCE, SKY.replace("\"common\"", &quoted(&name))));
    let includes = layer_names().map(|name| {
        Mistake::with(
            "include",
            "compat/top/sciserver-image.json",
            format!("{{\"includes\":[{}]}}", quoted(&name)),
        )
    });
    let args = STRANGE.iter().flat_map(|what| inserted("ARG", what)).chain(
        ["", "1", "A-B", "A.B", "A=B", "BUILDKIT_SYNTAX", "buildkit_x", "BUILDKIT_", "$A", "A B"]
            .map(str::to_owned),
    );
    let args = args.map(|name| {
        Mistake::with(
            "args",
            SCIENCE,
            SKY.replace("{\"", &format!("{{\"args\":{{{}:\"x\"}},\"", quoted(&name))),
        )
    });
    wrong("sky")
        .map(field("image", "image"))
        .chain(wrong("sky").map(field("target", "target")))
        .chain(versions.map(field("version", "version")))
        .chain(compat)
        .chain(includes)
        .chain(args)
}

/// Unknown fields (each known one with a letter lost, doubled or in capitals, or with a strange
/// string appended), and duplicate fields.
fn fields() -> impl Iterator<Item = Mistake> {
    let misspelt = SCIENCE_FIELDS.iter().flat_map(|field| {
        let lost = (0..field.len()).map(move |at| format!("{}{}", &field[..at], &field[at + 1..]));
        let doubled = (0..field.len()).map(move |at| format!("{}{}", &field[..=at], &field[at..]));
        let capital = (0..field.len())
            .map(move |at| format!("{}{}{}", &field[..at], field[at..=at].to_uppercase(), &field[at + 1..]));
        let strange = STRANGE.iter().map(move |what| format!("{field}{what}"));
        lost.chain(doubled).chain(capital).chain(strange)
    });
    let misspelt = misspelt.filter(|name| !SCIENCE_FIELDS.contains(&name.as_str()));
    let both = misspelt.flat_map(|name| {
        let more = format!("{{{}:null,", quoted(&name));
        let compat = format!("{{{}:null}}", quoted(&name));
        [Mistake::with("field", SCIENCE, SKY.replacen('{', &more, 1)), Mistake::with("field", COMPAT, compat)]
    });
    let twice = ["image", "version", "target", "compat"].into_iter().flat_map(|field| {
        ["\"sky\"", "\"1.0\"", "null", "1"].map(|value| {
            Mistake::with("twice", SCIENCE, SKY.replacen('{', &format!("{{\"{field}\":{value},"), 1))
        })
    });
    both.chain(twice)
}

fn types() -> impl Iterator<Item = Mistake> {
    const VALUES: [&str; 12] =
        ["null", "true", "1", "1.50", "-1", "1e3", "[]", "{}", "[1]", "{\"a\":1}", "\"\"", "\"\\u0000\""];
    SCIENCE_FIELDS.iter().flat_map(|field| {
        VALUES.iter().filter(move |value| is_wrong(field, value)).flat_map(move |value| {
            let rest: Vec<String> = SKY
                .trim_matches(['{', '}'])
                .split(',')
                .filter(|pair| !pair.starts_with(&format!("\"{field}\"")))
                .map(str::to_owned)
                .collect();
            let science = format!("{{\"{field}\":{value},{}}}", rest.join(","));
            let compat = ["args", "description", "tests"].contains(field);
            let compat = compat.then(|| Mistake::with("type", COMPAT, format!("{{\"{field}\":{value}}}")));
            std::iter::once(Mistake::with("type", SCIENCE, science)).chain(compat)
        })
    })
}

/// Whether a value is invalid for a field, by the table of the documentation.
fn is_wrong(field: &str, value: &str) -> bool {
    match field {
        "image" | "target" => true,
        // The number 1 keeps its digits: a guideline reports it, but it is not an error.
        "version" => value != "1",
        "compat" => value != "null",
        "args" => value != "{}",
        "keywords" => !matches!(value, "[]"),
        "tests" => !matches!(value, "[]") && !value.starts_with('['),
        _ => value != "\"\"",
    }
}

/// Forms of a whole file: too deep, too large, more than one value, none.
fn forms() -> impl Iterator<Item = Mistake> {
    let depths = (65..165).chain([200, 1_000, 10_000, 200_000]).flat_map(|depth| {
        let lists = format!("{{\"image\":\"sky\",\"tests\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"x-a\":".repeat(depth), "}".repeat(depth));
        [lists, objects, "[".repeat(depth), "{\"a\":".repeat(depth)]
    });
    let behind = ["{}", "x", "]", "}", "null", "1", "\"x\"", ",", ":", "\0", "{", "/*", "/"];
    let behind = behind.into_iter().flat_map(|more| {
        ["", " ", "\n", "\r\n", "\n# x\n", "/* x */"].map(|between| format!("{SKY}{between}{more}"))
    });
    let values =
        ["", " ", "\n", "null", "true", "1", "\"x\"", "[]", "[{}]", "#", "//", "/*", "{", "{}", "\u{feff}"];
    let large = [(1 << 20) + 1, 2 << 20].map(|size| format!("{SKY}{}", " ".repeat(size)));
    let deep_keys =
        (0..40).map(|shift| format!("{}\"image\":\"sky\",\"image\":\"{shift}\"}}", " ".repeat(shift) + "{"));
    depths
        .chain(behind)
        .chain(values.map(str::to_owned))
        .chain(large)
        .chain(deep_keys)
        .map(|text| Mistake::with("form", SCIENCE, text))
}
