//! The `DESCRIPTION` of an installed R package ("Writing R Extensions", "The DESCRIPTION file").

use std::io::{self, BufRead};
use std::ops::ControlFlow;

use super::fields::stanzas;
use super::{Keeper, Named, one};

pub(super) fn read(reader: impl BufRead, keeper: &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>> {
    let (mut name, mut version) = (None, None);
    stanzas(reader, &["Package", "Version"], |values| {
        (name, version) = (values[0].clone(), values[1].clone());
        Ok(ControlFlow::Break(()))
    })?;
    one(name, version, keeper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::show;

    #[test]
    fn a_description_is_read() {
        let text = "Package: ggplot2\nTitle: Create Elegant Data Visualisations Using the Grammar of\n    Graphics\nVersion: 3.5.1\n";
        assert_eq!(show(text.as_bytes(), read), "ggplot2 3.5.1");
        assert_eq!(show(b"Title: x\n", read), "error: it names no package");
    }
}
