//! What the files of a model must be, whoever serves them.

use serde::Deserialize;

use crate::{Error, Sum};

/// Sizes and sums of files:
///
/// ```json
/// { "files": [{ "url": "model-00001-of-00002.gguf", "size": 123, "sha256": "64 hexadecimal digits" }] }
/// ```
///
/// A file is meant by its name, the last part of the path in `url`: it may move to another address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Form")]
pub struct Manifest {
    files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    name: String,
    /// Bytes
    pub(crate) size: u64,
    pub(crate) sum: Sum,
}

impl Entry {
    /// # Errors
    /// [`Error::Unlike`] if what is at `location` has another size.
    pub(crate) fn check_size(&self, location: &str, size: u64) -> Result<(), Error> {
        if size == self.size {
            return Ok(());
        }
        let (expected, got) = (self.size.to_string(), size.to_string());
        Err(Error::Unlike { location: location.to_owned(), what: "its size", expected, got })
    }
}

#[derive(Deserialize)]
struct Form {
    files: Vec<FormEntry>,
}

#[derive(Deserialize)]
struct FormEntry {
    url: String,
    size: u64,
    sha256: String,
}

impl TryFrom<Form> for Manifest {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let mut files: Vec<Entry> = Vec::new();
        for FormEntry { url, size, sha256 } in form.files {
            let name = file_name(&url).to_owned();
            if name.is_empty() || files.iter().any(|other| other.name == name) {
                return Err(format!("{url:?} names no file, or one that another entry names"));
            }
            let sum = Sum::parse(&sha256).ok_or_else(|| format!("the sha256 of {url:?} is not 64 hexadecimal digits: {sha256:?}"))?;
            files.push(Entry { name, size, sum });
        }
        Ok(Self { files })
    }
}

impl Manifest {
    /// # Errors
    /// [`Error::Manifest`] if `json` is none.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json).map_err(|e| Error::Manifest { cause: e.to_string() })
    }

    /// What it says of the file at `location`.
    pub(crate) fn entry(&self, location: &str) -> Result<&Entry, Error> {
        let name = file_name(location);
        let absent = || Error::Manifest { cause: format!("it does not speak of {name}") };
        self.files.iter().find(|entry| entry.name == name).ok_or_else(absent)
    }
}

/// The last part of the path of a URL, or of a path of this system.
fn file_name(location: &str) -> &str {
    let path = location.split(['?', '#']).next().unwrap_or_default();
    path.rsplit(std::path::is_separator).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_is_meant_by_its_name_wherever_it_is() {
        let sum = "ab".repeat(32);
        let json = format!(r#"{{"files":[{{"url":"https://a.b/c/m.gguf?d=/e","size":5,"sha256":"{sum}"}}],"more":1}}"#);
        let manifest = Manifest::from_json(json.as_bytes()).unwrap();
        let entry = manifest.entry("https://elsewhere/m.gguf#x").unwrap();
        assert_eq!((entry.size, entry.sum.to_string()), (5, sum));
        assert!(manifest.entry("https://a.b/c/n.gguf").unwrap_err().to_string().contains("n.gguf"));
    }

    #[test]
    fn what_is_no_manifest_is_refused_in_words() {
        let sum = "ab".repeat(32);
        let entry = |url: &str, sum: &str| format!(r#"{{"url":"{url}","size":5,"sha256":"{sum}"}}"#);
        let of = |entries: &[String]| format!(r#"{{"files":[{}]}}"#, entries.join(","));
        for (json, word) in [
            (String::new(), "EOF"),
            ("[]".to_owned(), "invalid"),
            ("{}".to_owned(), "files"),
            (of(&[entry("m", "abc")]), "64"),
            (of(&[entry("a/", &sum)]), "no file"),
            (of(&[entry("a/m", &sum), entry("b/m", &sum)]), "another entry"),
            (of(&[entry("m", &sum).replace('5', "-5")]), "-5"),
        ] {
            let error = Manifest::from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(word), "{json}: {error}");
        }
    }
}
