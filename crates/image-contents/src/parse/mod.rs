//! Parses the records of package managers into packages.
//!
//! Records are parsed as they stream by, line by line, and only names and versions are kept. rpm's
//! database needs random access: it is copied to a temporary file and parsed when its layer is
//! complete.

mod apk;
mod architecture;
mod conda;
mod dpkg;
mod fields;
mod python;
mod r;
pub(crate) mod rpm;

use std::io::{self, BufRead};

use crate::limits::{Beyond, Budget, Limit};
use crate::record::Record;

/// Approximate memory of a package besides its texts.
const PACKAGE: u64 = 100;

/// A package in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: String,
    pub version: String,
}

/// Counts the packages of a record against its limits, before they are stored.
pub(crate) struct Keeper<'a> {
    budget: &'a Budget,
    packages: u64,
    /// Bytes taken from the budget.
    pub kept: u64,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(budget: &'a Budget) -> Self {
        Self { budget, packages: 0, kept: 0 }
    }

    /// Counts one more package with these texts.
    fn package(&mut self, texts: &[&String]) -> Result<(), Beyond> {
        self.packages += 1;
        Limit::RecordPackages.check(self.packages)?;
        let mut bytes = PACKAGE;
        for text in texts {
            Limit::Text.check(text.len() as u64)?;
            bytes += text.len() as u64;
        }
        self.budget.keep(bytes)?;
        self.kept += bytes;
        Ok(())
    }
}

/// Parses a record; the inner error describes an invalid record. A database is only copied.
pub(crate) fn record(
    record: Record,
    path: &str,
    reader: impl BufRead,
    keeper: &mut Keeper<'_>,
    databases: &mut rpm::Databases,
) -> io::Result<Result<Vec<Named>, String>> {
    match record {
        Record::Dpkg => dpkg::read(reader, keeper),
        Record::Apk => apk::read(reader, keeper),
        Record::Rpm | Record::RpmLog => Ok(databases.copy(path, reader)?.map(|()| Vec::new())),
        Record::RpmJournal => rpm::read_journal(reader),
        Record::RpmOther(form) => Ok(Err(format!("rpm's older form of a database, {form}, is not read"))),
        Record::Python => python::read(reader, keeper),
        Record::Conda => conda::read(reader, keeper),
        Record::R => r::read(reader, keeper),
    }
}

/// Returns the package of a record that describes only one.
fn one(
    name: Option<String>,
    version: Option<String>,
    keeper: &mut Keeper<'_>,
) -> io::Result<Result<Vec<Named>, String>> {
    Ok(match (name, version) {
        (Some(name), Some(version)) => {
            keeper.package(&[&name, &version])?;
            Ok(vec![Named { name, version }])
        }
        (None, _) => Err("it names no package".to_owned()),
        (Some(_), None) => Err("it tells no version".to_owned()),
    })
}

/// The result of a record's parser as text.
#[cfg(test)]
fn show<'t>(
    text: &'t [u8],
    read: impl FnOnce(&'t [u8], &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>>,
) -> String {
    match read(text, &mut Keeper::new(&Budget::default())) {
        Ok(Ok(all)) => {
            all.iter().map(|named| format!("{} {}", named.name, named.version)).collect::<Vec<_>>().join("\n")
        }
        Ok(Err(why)) => format!("error: {why}"),
        Err(error) => format!("beyond: {}", Beyond::of(&error).expect("a text in memory can be read")),
    }
}
