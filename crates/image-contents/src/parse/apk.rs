//! apk's `installed` database: one stanza a package, `P:` its name, `V:` its version.

use std::io::{self, BufRead};
use std::ops::ControlFlow;

use super::fields::stanzas;
use super::{Keeper, Named};

pub(super) fn read(reader: impl BufRead, keeper: &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>> {
    let mut found = Vec::new();
    stanzas(reader, &["P", "V"], |values| {
        if let [Some(name), Some(version)] = values {
            keeper.package(&[name, version])?;
            found.push(Named { name: name.clone(), version: version.clone() });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Ok(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::show;

    #[test]
    fn an_installed_database_is_read() {
        let text = "C:Q1p78\nP:musl\nV:1.2.5-r0\nA:x86_64\np:so:libc.musl-x86_64.so.1=1\nF:lib\nR:libc.so\n\n\
                    C:Q1q\nP:busybox\nV:1.36.1-r29\nA:x86_64\n";
        insta::assert_snapshot!(show(text.as_bytes(), read), @"
        musl 1.2.5-r0
        busybox 1.36.1-r29
        ");
    }
}
