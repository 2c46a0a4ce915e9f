//! Parses `--secret`, and reads its value from a file or a variable as docker's client does.
//!
//! See docker's "docker buildx build", `--secret`. Values are passed only to the executor, and no
//! message contains one. Only `build` reads them; a dry run reads no secret.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use executor::BuildSecret;

use crate::cli::env;
use crate::cli::exit::CliError;

/// The largest secret that BuildKit accepts, in bytes.
const MOST: u64 = 500 * 1024;

/// One `--secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    id: String,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(String),
    /// The variable with the id as its name, else the file with that name.
    Named,
}

impl std::str::FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut id, mut src, mut env, mut kind) = (None, None, None, None);
        for field in text.split(',') {
            let (key, value) = field.split_once('=').ok_or_else(|| format!("{field:?} is not key=value"))?;
            let place = match key.trim().to_ascii_lowercase().as_str() {
                "id" => &mut id,
                "src" | "source" => &mut src,
                "env" => &mut env,
                "type" => &mut kind,
                _ => return Err(format!("{key:?} is not one of id, src, env and type")),
            };
            if place.replace(value).is_some() {
                return Err(format!("{key} is given twice"));
            }
        }
        let filled = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let id = filled(id).ok_or("it has no id: write id=NAME")?;
        let source = match (filled(src), filled(env), kind) {
            (Some(_), Some(_), _) => return Err("src and env exclude each other".to_owned()),
            // Docker reads `type=env,src=NAME` in this way too.
            (Some(name), None, Some("env")) | (None, Some(name), None | Some("env")) => {
                Source::Variable(name)
            }
            (Some(path), None, None | Some("file")) => Source::File(path.into()),
            (None, None, None) => Source::Named,
            (None, None, Some("env")) => Source::Variable(id.clone()),
            (None, None, Some("file")) => Source::File(id.clone().into()),
            (None, Some(_), Some("file")) => return Err("type=file has no env".to_owned()),
            (_, _, Some(_)) => return Err("type is file or env".to_owned()),
        };
        Ok(Self { id, source })
    }
}

/// Reads all secrets.
///
/// # Errors
/// If a value does not exist, cannot be read or is too large, or an id is given twice.
pub(crate) fn read(wanted: &[Secret]) -> Result<Vec<BuildSecret>, CliError> {
    let mut read: Vec<BuildSecret> = Vec::new();
    for secret in wanted {
        if read.iter().any(|other| other.id == secret.id) {
            return Err(CliError::usage(format!("--secret id={} is given twice", secret.id)));
        }
        read.push(BuildSecret { id: secret.id.clone(), value: value(secret)? });
    }
    Ok(read)
}

fn value(secret: &Secret) -> Result<Vec<u8>, CliError> {
    let Secret { id, source } = secret;
    let value = match source {
        Source::Variable(name) => variable(name).ok_or_else(|| {
            CliError::usage(format!("--secret id={id}: the environment variable {name} is not set"))
        })?,
        Source::File(path) => file(id, path)?,
        Source::Named => match variable(id) {
            Some(value) => value,
            None => file(id, &PathBuf::from(id)).map_err(|stop| {
                stop.help("without src or env, the variable or else the file of its name is read: id=NAME,src=FILE names one")
            })?,
        },
    };
    if value.len() as u64 > MOST {
        return Err(too_large(id));
    }
    Ok(value)
}

fn variable(name: &str) -> Option<Vec<u8>> {
    // The standard library panics on such names.
    let possible = !name.is_empty() && !name.contains(['=', '\0']);
    possible.then(|| std::env::var_os(name).map(OsString::into_encoded_bytes)).flatten()
}

fn file(id: &str, path: &std::path::Path) -> Result<Vec<u8>, CliError> {
    env::read_file(path, MOST).map_err(|error| {
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
        if causes.any(|cause| cause.kind() == io::ErrorKind::FileTooLarge) {
            return too_large(id);
        }
        CliError::usage(format!("--secret id={id}: {} cannot be read", path.display())).caused_by(error)
    })
}

fn too_large(id: &str) -> CliError {
    let most = MOST / 1024;
    CliError::usage(format!("--secret id={id} has more than {most} KiB, which is BuildKit's limit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Secret, String> {
        text.parse()
    }

    #[test]
    fn secrets_are_written_as_for_docker() {
        let file = |path: &str| Source::File(path.into());
        let variable = |name: &str| Source::Variable(name.to_owned());
        for (text, id, source) in [
            ("id=pip", "pip", Source::Named),
            ("id=pip,src=/a/b=c", "pip", file("/a/b=c")),
            ("source=x,ID=pip", "pip", file("x")),
            ("type=file,id=pip,src=x", "pip", file("x")),
            ("type=file,id=pip", "pip", file("pip")),
            ("id=pip,env=TOKEN", "pip", variable("TOKEN")),
            ("id=pip,type=env", "pip", variable("pip")),
            ("id=pip,type=env,src=TOKEN", "pip", variable("TOKEN")),
        ] {
            assert_eq!(parse(text), Ok(Secret { id: id.to_owned(), source }), "{text}");
        }
        for bad in [
            "",
            "pip",
            "src=x",
            "id=",
            "id=a,id=b",
            "id=a,src=x,env=Y",
            "id=a,mode=1",
            "id=a,type=ssh",
            "id=a,type=file,env=X",
            "id=a,src",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_given_is_named_and_shows_no_value() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("good"), "hunter2\n").unwrap();
        std::fs::write(path("large"), vec![b'x'; MOST as usize + 1]).unwrap();
        std::fs::write(path("most"), vec![b'x'; MOST as usize]).unwrap();
        let read = |texts: &[String]| {
            let wanted: Vec<Secret> = texts.iter().map(|text| parse(text).unwrap()).collect();
            read(&wanted)
        };
        let of = |id: &str, name: &str| format!("id={id},src={}", path(name).display());
        let good = read(&[of("a", "good"), of("b", "most")]).unwrap();
        assert_eq!(good[0].value, b"hunter2\n");
        assert!(!format!("{good:?}").contains("hunter2"));
        for (texts, expect) in [
            (vec![of("a", "none")], "none cannot be read"),
            (vec![of("a", "large")], "more than 500 KiB"),
            (vec![of("a", "good"), of("a", "most")], "id=a is given twice"),
            (vec!["id=a,env=NO_SUCH_VARIABLE_7".to_owned()], "NO_SUCH_VARIABLE_7 is not set"),
            (vec!["id=no-such-name-7".to_owned()], "no-such-name-7 cannot be read"),
            (vec![format!("id=a,src={}", directory.path().display())], "cannot be read"),
        ] {
            let error = read(&texts).unwrap_err().to_string();
            assert!(error.contains(expect) && !error.contains("hunter2"), "{error}");
        }
    }
}
