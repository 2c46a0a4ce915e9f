//! The text of a record → the packages that it tells of.
//!
//! Records are read as they come, line by line, and of each only what names a package is kept. One has to be read in any
//! order, rpm's, and is laid by for that long.

mod apk;
mod architecture;
mod conda;
mod dpkg;
mod fields;
mod python;
mod r;
mod rpm;
mod sqlite;

use std::io::{self, BufRead};

use crate::record::Record;

/// A package in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: String,
    pub version: String,
}

/// Reads a record; the inner error is what is wrong with its text.
pub(crate) fn record(record: Record, reader: impl BufRead) -> io::Result<Result<Vec<Named>, String>> {
    match record {
        Record::Dpkg => dpkg::read(reader),
        Record::Apk => apk::read(reader),
        Record::Rpm => rpm::read(reader),
        Record::RpmLog => rpm::read_log(reader),
        Record::RpmOther(form) => Ok(Err(format!("rpm's older form of a database, {form}, is not read"))),
        Record::Python => python::read(reader),
        Record::Conda => conda::read(reader),
        Record::R => r::read(reader),
    }
}

/// The one package of a record that is about one.
fn one(name: Option<&String>, version: Option<&String>) -> Result<Vec<Named>, String> {
    match (name, version) {
        (Some(name), Some(version)) => Ok(vec![Named { name: name.clone(), version: version.clone() }]),
        (None, _) => Err("it names no package".to_owned()),
        (Some(_), None) => Err("it tells no version".to_owned()),
    }
}

#[cfg(test)]
fn show(found: io::Result<Result<Vec<Named>, String>>) -> String {
    match found.expect("a text in memory can be read") {
        Ok(all) => {
            all.iter().map(|named| format!("{} {}", named.name, named.version)).collect::<Vec<_>>().join("\n")
        }
        Err(why) => format!("error: {why}"),
    }
}
