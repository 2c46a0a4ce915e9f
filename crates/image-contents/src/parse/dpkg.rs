//! dpkg's status file (dpkg(1), deb-control(5)).

use std::io::{self, BufRead};
use std::ops::ControlFlow;

use super::architecture::by_name;
use super::fields::stanzas;
use super::{Keeper, Named};

const FIELDS: [&str; 4] = ["Package", "Version", "Architecture", "Status"];

pub(super) fn read(reader: impl BufRead, keeper: &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>> {
    let mut found = Vec::new();
    stanzas(reader, &FIELDS, |values| {
        if let [Some(name), Some(version), architecture, status] = values
            && is_installed(status.as_deref())
        {
            let architecture = architecture.clone().unwrap_or_default();
            keeper.package(&[name, version, &architecture])?;
            found.push((Named { name: name.clone(), version: version.clone() }, architecture));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Ok(by_name(found)))
}

/// `want flag state`: a package of which only the configuration remains is not installed.
/// Distroless images omit the field.
fn is_installed(status: Option<&str>) -> bool {
    let state = status.map(|status| status.rsplit(' ').next().unwrap_or_default());
    !matches!(state, Some("not-installed" | "config-files"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::show;

    #[test]
    fn a_status_file_tells_what_is_installed() {
        let text = "\
Package: libc6
Status: install ok installed
Priority: optional
Architecture: amd64
Multi-Arch: same
Version: 2.36-9+deb12u10
Description: GNU C Library
 Package: none of this
Conffiles:
 /etc/ld.so.conf.d/x 0123

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-9+deb12u10

Package: old
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: half
Status: install ok half-configured
Architecture: amd64
Version: 1:2~rc1-3

Package: tzdata
Status: hold ok installed
Architecture: all
Version: 2025b-0+deb12u1
";
        insta::assert_snapshot!(show(text.as_bytes(), read), @"
        libc6 2.36-9+deb12u10
        libc6:i386 2.36-9+deb12u10
        half 1:2~rc1-3
        tzdata 2025b-0+deb12u1
        ");
        let distroless = "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n";
        assert_eq!(show(distroless.as_bytes(), read), "base-files 12.4");
        assert_eq!(show(b"", read), "");
    }
}
