//! Shows a build spec, and the result of a rebuild.

use plan::Plan;
use plan::spec::Contents;

use crate::cli::escape::{escape, escape_output};
use crate::image::build_spec::attached::AttachedSpec;
use crate::image::locate::ImageInfo;
use crate::report::text::format::{Paint, count};

/// A build that is about to run.
pub(crate) struct Rebuild {
    /// The existing image.
    pub(crate) seen: ImageInfo,
    /// `rel/nist-basic 2.0-42-f90dbd6`
    pub(crate) name: String,
    /// Where the files come from, for people.
    pub(crate) origin: String,
    /// The plan, which has one build.
    pub(crate) plan: Plan,
    /// Base images and images that the build copies from: the name in the plan, and the exact
    /// reference.
    pub(crate) exact: Vec<(String, String)>,
}

/// The text of `inspect --spec`.
pub(crate) fn text(carried: &AttachedSpec, paint: Paint) -> String {
    let spec = &carried.spec;
    let mut out = format!("{} {}\n", paint.bold(&escape(&spec.id.0)), escape(&spec.platform));
    out.push_str(&format!("  commit {}, from the {}\n", escape(&spec.revision.commit), carried.by));
    out.push_str(&format!("  inputs {}\n", escape(&spec.inputs)));
    for (name, value) in &spec.args {
        out.push_str(&format!("  argument {}={}\n", escape(name), escape(value)));
    }
    for (name, exact) in &spec.resolved {
        out.push_str(&format!("  {} was {}\n", escape(name), escape(exact)));
    }
    push_file(&mut out, "the Dockerfile as it was built, but for exact images", &spec.dockerfile, paint);
    for (path, file) in &spec.files {
        let path = match file.mode.as_str() {
            "100644" => escape(path).into_owned(),
            "100755" => format!("{} (executable)", escape(path)),
            "120000" => format!("{} (a link)", escape(path)),
            other => format!("{} ({})", escape(path), escape(other)),
        };
        match &file.contents {
            Some(Contents::Text(text)) => push_file(&mut out, &path, text, paint),
            Some(Contents::Base64(text)) => {
                let bytes = text.len() / 4 * 3;
                out.push_str(&format!(
                    "\n{}\n",
                    paint.bold(&format!("==> {path}: about {bytes} bytes, no text"))
                ));
            }
            None => out.push_str(&format!("\n{}\n", paint.bold(&format!("==> {path}: did not travel")))),
        }
    }
    out
}

fn push_file(out: &mut String, name: &str, text: &str, paint: Paint) {
    out.push_str(&format!("\n{}\n", paint.bold(&format!("==> {name}"))));
    for line in text.lines() {
        out.push_str(&format!("{}\n", escape_output(line)));
    }
}

/// Lists what a rebuild is about to run.
pub(crate) fn about_to_run(rebuild: &Rebuild, paint: Paint) -> String {
    let build = &rebuild.plan.builds[0];
    let mut out =
        format!("{} as {}\n", paint.bold(&escape(&rebuild.name)), escape(&rebuild.seen.name.to_string()));
    out.push_str(&format!("  from {}\n", escape(&rebuild.origin)));
    out.push_str(&format!("  inputs {}, as recorded\n", escape(&build.context.inputs)));
    for (name, exact) in &rebuild.exact {
        let digest = if exact.contains('@') { "" } else { ", which has no digest" };
        out.push_str(&format!("  {} is {}{digest}\n", escape(name), escape(exact)));
    }
    for (name, value) in &build.args {
        out.push_str(&format!("  argument {}={}\n", escape(name), escape(value)));
    }
    out.push_str(&format!("  to be built as {}, and not pushed\n", escape(build.build_tag())));
    push_file(&mut out, "Dockerfile", &build.dockerfile, paint);
    out.push('\n');
    out
}

/// Describes the differences in the layers of a rebuilt image; `None` without differences.
pub(crate) fn difference(was: &ImageInfo, is: &ImageInfo) -> Option<String> {
    let (was, is) = (&was.layers, &is.layers);
    let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    if was == is {
        None
    } else if was.len() == is.len() {
        Some(format!("the upper {} of {} are others", was.len() - same, was.len()))
    } else {
        Some(format!("{} now, {} then, and the lowest {same} are the same", is.len(), was.len()))
    }
}

/// Reports how the rebuilt image compares with the existing one.
pub(crate) fn compared(rebuild: &Rebuild, made: &ImageInfo, paint: Paint) -> String {
    let difference = difference(&rebuild.seen, made);
    let layers = match &difference {
        None => format!("{} the same, {}", paint.green("layers:"), count(made.layers.len(), "layer")),
        Some(difference) => format!("{} {difference}", paint.yellow("layers:")),
    };
    let tag = rebuild.plan.builds[0].build_tag();
    let inputs = paint.green("inputs:");
    let mut out = format!("{inputs} the same\n{layers}\nbuilt as {}\n", escape(tag));
    if difference.is_some() {
        out.push_str(
            "  times of files differ in what RUN writes; packages are as new as their sources were today\n",
        );
    }
    out
}
