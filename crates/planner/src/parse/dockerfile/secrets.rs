//! Lists the secrets that a Dockerfile mounts: the ids of `RUN --mount=type=secret`.
//!
//! Follows BuildKit (Dockerfile reference, "RUN --mount=type=secret"): a mount without an id uses
//! the last part of its target. An id with a variable is left out, since its value is known only in
//! the build.

use std::collections::BTreeSet;

use crate::parse::dockerfile::head::Flag;
use crate::parse::dockerfile::lines::Lines;

/// Returns the ids, each once.
pub(super) fn mounted(lines: &Lines) -> BTreeSet<String> {
    let runs = lines.lines.iter().map(|line| &line.head).filter(|head| head.is("run"));
    let flags = runs.flat_map(|head| &head.flags);
    flags.filter(|flag| flag.name() == "mount").filter_map(id).collect()
}

fn id(mount: &Flag) -> Option<String> {
    let fields = mount.fields();
    let value = |keys: &[&str]| {
        let field = fields.iter().rev().find(|(key, _)| keys.contains(&key.trim_matches(['"', ' '])));
        let value =
            field.and_then(|(_, value)| value.as_ref()).map(|value| value.text.trim_matches(['"', ' ']));
        value.filter(|value| !value.is_empty())
    };
    if value(&["type"]) != Some("secret") {
        return None;
    }
    let target = || value(&["target", "dst", "destination"]).and_then(|path| path.rsplit('/').next());
    value(&["id"]).or_else(target).filter(|id| !id.is_empty() && !id.contains('$')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::dockerfile::lines;

    #[test]
    fn secrets_are_known_by_their_ids() {
        for (text, expect) in [
            ("RUN --mount=type=secret,id=pip cat /run/secrets/pip", vec!["pip"]),
            (
                "run --mount=id=pip,type=secret,required x\nRUN --mount=type=secret,id=pip,env=X y",
                vec!["pip"],
            ),
            ("RUN --mount=type=secret,target=/root/.netrc x", vec![".netrc"]),
            ("RUN --mount=type=secret,dst=/a/b,id=c --mount=type=secret,id=d \\\n  x", vec!["c", "d"]),
            ("RUN --mount=\"type=secret,id=quoted\" x", vec!["quoted"]),
            ("RUN --mount=type=secret,id=$NAME x", vec![]),
            ("RUN --mount=type=secret x", vec![]),
            ("RUN --mount=type=cache,id=pip,target=/x x", vec![]),
            ("RUN echo --mount=type=secret,id=no", vec![]),
            ("COPY --from=x --mount=type=secret,id=no a b", vec![]),
        ] {
            let found = mounted(&lines::read(&format!("FROM x\n{text}\n")));
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expect, "{text}");
        }
    }
}
