//! Rows in CSV files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Row;

/// Why a file of measurements cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {why}", path.display())]
    Io { path: PathBuf, why: io::Error },
    #[error("{}: {why}", path.display())]
    Csv { path: PathBuf, why: csv::Error },
    #[error("{}: its columns are {got}; measurements have {expected}", path.display())]
    Columns { path: PathBuf, got: String, expected: String },
}

/// A file of rows that grows, or stdout.
pub struct Sheet {
    path: PathBuf,
    out: csv::Writer<Box<dyn Write>>,
}

impl Sheet {
    /// Goes on after the rows of a file, which is made if it is not there.
    ///
    /// # Errors
    /// A file that cannot be written, or has other columns.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |why| Error::Io { path: path.to_owned(), why };
        let is_new = std::fs::metadata(path).is_ok_and(|file| file.len() == 0) || !path.exists();
        if !is_new {
            check_columns(path)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        Ok(Self::new(path.to_owned(), Box::new(file), is_new))
    }

    pub fn stdout() -> Self {
        Self::new("stdout".into(), Box::new(io::stdout()), true)
    }

    fn new(path: PathBuf, out: Box<dyn Write>, is_new: bool) -> Self {
        Self { path, out: csv::WriterBuilder::new().has_headers(is_new).from_writer(out) }
    }

    /// Writes a row at once: what comes after it may fail.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, row: &Row) -> Result<(), Error> {
        self.out.serialize(row).map_err(|why| Error::Csv { path: self.path.clone(), why })?;
        self.out.flush().map_err(|why| Error::Io { path: self.path.clone(), why })
    }
}

impl std::fmt::Debug for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sheet").field("path", &self.path).finish_non_exhaustive()
    }
}

/// All rows of a file.
///
/// # Errors
/// A file that cannot be read, has other columns, or something in them that does not belong there.
pub fn read(path: &Path) -> Result<Vec<Row>, Error> {
    check_columns(path)?;
    let rows = reader(path)?.into_deserialize().collect::<Result<_, _>>();
    rows.map_err(|why| Error::Csv { path: path.to_owned(), why })
}

fn reader(path: &Path) -> Result<csv::Reader<File>, Error> {
    File::open(path).map(csv::Reader::from_reader).map_err(|why| Error::Io { path: path.to_owned(), why })
}

fn check_columns(path: &Path) -> Result<(), Error> {
    let csv = |why| Error::Csv { path: path.to_owned(), why };
    let mut blank = csv::Writer::from_writer(Vec::new());
    blank.serialize(Row::default()).map_err(csv)?;
    let blank = blank.into_inner().unwrap_or_default();
    let expected = csv::Reader::from_reader(&*blank).headers().map_err(csv)?.clone();
    let got = reader(path)?.headers().map_err(csv)?.clone();
    let words = |record: &csv::StringRecord| record.iter().collect::<Vec<_>>().join(",");
    if got == expected { Ok(()) } else { Err(Error::Columns { path: path.to_owned(), got: words(&got), expected: words(&expected) }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A path of the test's own, with nothing there.
    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("quire-measures-{}-{name}", std::process::id()));
        std::fs::remove_file(&path).ok();
        path
    }

    #[test]
    fn rows_are_read_as_they_were_added_however_often_the_file_was_opened() {
        let path = scratch("twice.csv");
        let whole = Row { measure: "bytes, fetched".into(), value: 7_233_193_488.0, slots: Some(6), ..Row::default() };
        let share = Row { measure: "share".into(), value: 0.25, conditions: "a \"quoted\"\nword".into(), ..Row::default() };
        Sheet::open(&path).unwrap().add(&whole).unwrap();
        Sheet::open(&path).unwrap().add(&share).unwrap();
        assert_eq!(read(&path).unwrap(), [whole, share]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn values_keep_five_digits() {
        let path = scratch("digits.csv");
        for (value, kept) in [(1.0 / 3.0, 0.33333), (123.456_789, 123.46), (1e-9 / 7.0, 1.4286e-10), (98_765_432.0, 98_765_432.0)] {
            Sheet::open(&path).unwrap().add(&Row { value, ..Row::default() }).unwrap();
            assert_eq!(read(&path).unwrap().last().unwrap().value, kept);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn all_that_is_kept_has_these_columns_and_says_where_it_ran() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<Vec<Row>> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "csv")).map(|path| read(&path).unwrap()).collect();
        assert!(files.iter().flatten().count() > 0, "nothing is kept");
        assert!(files.iter().flatten().all(|row| !row.adapter.is_empty() && !row.platform.is_empty()));
    }

    #[test]
    fn a_file_with_other_columns_is_neither_read_nor_added_to() {
        let path = scratch("columns.csv");
        std::fs::write(&path, "measure,value\ndecode,3\n").unwrap();
        for refused in [read(&path).err(), Sheet::open(&path).err()] {
            let words = refused.unwrap().to_string();
            assert!(words.contains("its columns are measure,value; measurements have date,platform,"), "{words}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "measure,value\ndecode,3\n");
        std::fs::remove_file(path).unwrap();
    }
}
