//! Parses the engine's messages during a build into steps and lines.
//!
//! Pure. BuildKit sends the state of its vertices and their output
//! (`moby.buildkit.v1.Control.Status`); the classic builder and podman write lines.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{BuildInfo, BuildInfoAux};
use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;

use crate::engine::with_algorithm;

/// Lines are cut at this many bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Maximum number of steps remembered. Beyond that, some steps are reported twice.
const MOST_STEPS: usize = 10_000;

/// A parsed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProgressEvent {
    /// A step begins, or turns out to come from the cache.
    Step { name: String, cached: bool },
    /// A line of output.
    Line(String),
}

/// Parser state.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    started: BTreeSet<String>,
    cached: BTreeSet<String>,
    /// Output without a line end so far, by vertex; the key "" is for the classic builder.
    open_lines: BTreeMap<String, Vec<u8>>,
    /// Vertices that started and have not ended, with their names.
    open_steps: BTreeMap<String, String>,
    failed_step: Option<String>,
    last_step: String,
    image_id: Option<String>,
}

impl Progress {
    /// Parses one message.
    pub(crate) fn parse(&mut self, info: BuildInfo) -> Vec<ProgressEvent> {
        let mut heard = Vec::new();
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => self.hear_vertices(status, &mut heard),
            Some(BuildInfoAux::Default(image)) => self.image_id = image.id.map(with_algorithm),
            None => {}
        }
        if let Some(text) = info.stream {
            for line in self.complete_lines("", text.as_bytes()) {
                heard.extend(self.classic_line(line));
            }
        }
        heard
    }

    /// Returns the remaining events at the end of the messages.
    pub(crate) fn rest(&mut self) -> Vec<ProgressEvent> {
        std::mem::take(&mut self.open_lines)
            .into_values()
            .filter(|line| !line.is_empty())
            .map(|line| ProgressEvent::Line(String::from_utf8_lossy(&line).into_owned()))
            .collect()
    }

    /// The step at which the build failed: the one that the engine reports as failed, else the only
    /// open one, else the last one that started.
    pub(crate) fn failing(&self) -> Option<&str> {
        let mut open = self.open_steps.values();
        let only = open.next().filter(|_| open.next().is_none());
        let last = Some(&self.last_step).filter(|step| !step.is_empty());
        self.failed_step.as_ref().or(only).or(last).map(String::as_str)
    }

    /// The id of the image, once the engine sent it.
    pub(crate) fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }

    fn hear_vertices(&mut self, status: StatusResponse, heard: &mut Vec<ProgressEvent>) {
        if self.started.len() > MOST_STEPS {
            self.started.clear();
            self.cached.clear();
            self.open_steps.clear();
        }
        if self.open_lines.len() > MOST_STEPS {
            heard.extend(self.rest());
        }
        for vertex in status.vertexes {
            // When one vertex fails, the others are cancelled.
            if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
                self.failed_step.get_or_insert_with(|| vertex.name.clone());
            }
            if vertex.completed.is_some() {
                self.open_steps.remove(&vertex.digest);
            } else if vertex.started.is_some() {
                self.open_steps.insert(vertex.digest.clone(), vertex.name.clone());
            }
            if vertex.cached && self.cached.insert(vertex.digest.clone()) {
                self.started.insert(vertex.digest.clone());
                heard.push(ProgressEvent::Step { name: vertex.name, cached: true });
            } else if vertex.started.is_some() && self.started.insert(vertex.digest.clone()) {
                heard.push(ProgressEvent::Step { name: vertex.name, cached: false });
            }
            if vertex.completed.is_some() {
                let open = self.open_lines.remove(&vertex.digest).filter(|line| !line.is_empty());
                heard.extend(
                    open.map(|line| ProgressEvent::Line(String::from_utf8_lossy(&line).into_owned())),
                );
            }
        }
        for log in status.logs {
            heard.extend(self.complete_lines(&log.vertex, &log.msg).into_iter().map(ProgressEvent::Line));
        }
    }

    fn classic_line(&mut self, line: String) -> Option<ProgressEvent> {
        // Docker: `Step 2/5 : RUN x`, ` ---> Using cache`. podman: `STEP 2/5: RUN x`,
        // `--> Using cache 0a1b…`, and with several stages `[1/2] STEP 2/5: RUN x`.
        let stage = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
            .filter(|(_, rest)| rest.starts_with("STEP "));
        let (stage, rest) =
            stage.map_or((String::new(), line.as_str()), |(stage, rest)| (format!("{stage} "), rest));
        let step = rest.strip_prefix("Step ").or_else(|| rest.strip_prefix("STEP "));
        if let Some((number, instruction)) = step.and_then(|rest| rest.split_once(':')) {
            self.last_step = format!("[{stage}{}] {}", number.trim(), instruction.trim());
            return Some(ProgressEvent::Step { name: self.last_step.clone(), cached: false });
        }
        if line.trim_start_matches([' ', '-', '>']).starts_with("Using cache") {
            return Some(ProgressEvent::Step { name: self.last_step.clone(), cached: true });
        }
        (!line.is_empty()).then_some(ProgressEvent::Line(line))
    }

    fn complete_lines(&mut self, vertex: &str, text: &[u8]) -> Vec<String> {
        let open = self.open_lines.entry(vertex.to_owned()).or_default();
        let mut lines = Vec::new();
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            open.extend_from_slice(piece);
            if open.ends_with(b"\n") || open.len() > LONGEST_LINE {
                let line = String::from_utf8_lossy(open);
                lines.push(line.trim_end_matches(['\n', '\r']).to_owned());
                open.clear();
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ImageId;
    use bollard_buildkit_proto::moby::buildkit::v1::{Vertex, VertexLog};

    use super::*;

    fn step(name: &str, cached: bool) -> ProgressEvent {
        ProgressEvent::Step { name: name.into(), cached }
    }

    fn line(text: &str) -> ProgressEvent {
        ProgressEvent::Line(text.into())
    }

    fn classic(text: &str) -> BuildInfo {
        BuildInfo { stream: Some(text.into()), ..BuildInfo::default() }
    }

    #[test]
    fn the_classic_builders_lines_are_understood() {
        let mut progress = Progress::default();
        let mut heard = Vec::new();
        for text in [
            "Step 1/2 : FROM x",
            "\n",
            " ---> 0a1b2c3\n",
            "Step 2/2 : RUN echo a: b\n",
            " ---> Using cache\n",
            "hel",
            "lo\r\nSTEP 2/3: COPY a b\n",
            "--> Using cache 0a1b\nopen",
        ] {
            heard.extend(progress.parse(classic(text)));
        }
        heard.extend(progress.rest());
        assert_eq!(
            heard,
            [
                step("[1/2] FROM x", false),
                line(" ---> 0a1b2c3"),
                step("[2/2] RUN echo a: b", false),
                step("[2/2] RUN echo a: b", true),
                line("hello"),
                step("[2/3] COPY a b", false),
                step("[2/3] COPY a b", true),
                line("open"),
            ]
        );
        assert_eq!(progress.failing(), Some("[2/3] COPY a b"));
        let heard = progress.parse(classic("[1/2] STEP 2/5: RUN x\n[1/2] no step\n"));
        assert_eq!(heard, [step("[1/2 2/5] RUN x", false), line("[1/2] no step")]);
        assert_eq!(progress.failing(), Some("[1/2 2/5] RUN x"));
    }

    #[test]
    fn vertices_become_steps_once() {
        let vertex = |started: bool, cached: bool, done: bool| Vertex {
            digest: "sha256:1".into(),
            name: "[1/2] RUN x".into(),
            started: started.then(Default::default),
            completed: done.then(Default::default),
            cached,
            ..Vertex::default()
        };
        let log = |text: &str| VertexLog {
            vertex: "sha256:1".into(),
            msg: text.as_bytes().to_vec(),
            ..VertexLog::default()
        };
        let mut progress = Progress::default();
        let mut heard = Vec::new();
        for (vertexes, logs) in [
            (vec![vertex(false, false, false)], vec![]),
            (vec![vertex(true, false, false)], vec![log("a\nb")]),
            (vec![vertex(true, false, false)], vec![log("c\n"), log("d")]),
            (vec![vertex(true, false, true)], vec![]),
            (vec![vertex(true, true, true)], vec![]),
            (vec![vertex(true, true, true)], vec![]),
        ] {
            let aux = BuildInfoAux::BuildKit(StatusResponse { vertexes, logs, ..StatusResponse::default() });
            heard.extend(progress.parse(BuildInfo { aux: Some(aux), ..BuildInfo::default() }));
        }
        assert_eq!(
            heard,
            [step("[1/2] RUN x", false), line("a"), line("bc"), line("d"), step("[1/2] RUN x", true),]
        );
        assert_eq!(progress.rest(), []);
    }

    #[test]
    fn the_step_that_failed_is_the_one_that_was_not_ended_for_it() {
        let vertex = |digest: &str, error: Option<&str>| Vertex {
            digest: digest.into(),
            name: format!("[{digest}/2] RUN x"),
            started: Some(Default::default()),
            completed: error.map(|_| Default::default()),
            error: error.unwrap_or_default().into(),
            ..Vertex::default()
        };
        let mut progress = Progress::default();
        let mut parse = |vertexes| {
            let aux = BuildInfoAux::BuildKit(StatusResponse { vertexes, ..StatusResponse::default() });
            progress.parse(BuildInfo { aux: Some(aux), ..BuildInfo::default() });
            progress.failing().map(str::to_owned)
        };
        assert_eq!(parse(vec![]), None);
        assert_eq!(parse(vec![vertex("1", None)]).as_deref(), Some("[1/2] RUN x"), "it is the only one");
        assert_eq!(parse(vec![vertex("2", None)]), None);
        let ended = vertex("1", Some("context canceled"));
        assert_eq!(parse(vec![ended, vertex("2", Some("exit code: 1"))]).as_deref(), Some("[2/2] RUN x"));
    }

    #[test]
    fn the_image_is_what_the_engine_says() {
        let mut progress = Progress::default();
        assert_eq!(progress.image_id(), None);
        let aux = BuildInfoAux::Default(ImageId { id: Some("a".repeat(64)) });
        progress.parse(BuildInfo { aux: Some(aux), ..BuildInfo::default() });
        assert_eq!(progress.image_id(), Some(format!("sha256:{}", "a".repeat(64)).as_str()));
    }

    #[test]
    fn steps_without_end_are_not_all_kept() {
        let mut progress = Progress::default();
        for number in 0..3 * MOST_STEPS {
            let digest = format!("sha256:{number}");
            let log = VertexLog { vertex: digest.clone(), msg: b"open".to_vec(), ..VertexLog::default() };
            let vertex =
                Vertex { digest, started: Some(Default::default()), cached: true, ..Vertex::default() };
            let status =
                StatusResponse { vertexes: vec![vertex], logs: vec![log], ..StatusResponse::default() };
            let aux = Some(BuildInfoAux::BuildKit(status));
            progress.parse(BuildInfo { aux, ..BuildInfo::default() });
            let kept = [progress.started.len(), progress.cached.len(), progress.open_lines.len()];
            assert!(kept.into_iter().all(|kept| kept <= MOST_STEPS + 1), "{kept:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut progress = Progress::default();
        for _ in 0..40 {
            assert!(progress.parse(classic(&"x".repeat(1000))).len() <= 1);
        }
        assert!(progress.open_lines[""].len() <= LONGEST_LINE);
    }
}
