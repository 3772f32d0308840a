//! The models there are by name: what the page and the terminal offer, and those that are made here.

mod mixture;
mod smollm2;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::shell::{root, say, target};

/// What the page loads where nothing else is named.
pub(crate) const DEFAULT: &str = "smollm2-moe";

/// Where made models lie.
pub(crate) fn folder() -> PathBuf {
    target().join("models")
}

#[derive(Debug, Deserialize)]
struct Catalogue {
    models: Vec<Entry>,
}

/// One model: on the web, in the repository, or made in [`folder`].
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    title: String,
    about: String,
    url: Option<String>,
    /// From the root of the repository.
    path: Option<String>,
    /// In [`folder`]; of a sharded model, the first.
    file: Option<String>,
}

impl Entry {
    fn place(&self) -> Location {
        match (&self.url, &self.path, &self.file) {
            (Some(url), ..) => Location::Url(url.clone()),
            (_, Some(path), _) => Location::File(root().join(path)),
            (_, _, file) => Location::File(folder().join(file.as_deref().unwrap_or(&self.name))),
        }
    }
}

fn catalogue() -> Result<Vec<Entry>> {
    let text = include_str!("../../../../web/page/catalogue.json");
    let catalogue: Catalogue = serde_json::from_str(text).context("the catalogue is broken")?;
    Ok(catalogue.models)
}

/// Where a model's first byte is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    File(PathBuf),
    Url(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Lists the catalogue, or makes the models that are named.
///
/// # Errors
/// If a name is unknown or a model cannot be made.
pub(crate) fn run(names: &[String]) -> Result<()> {
    for name in names {
        println!("{name}\t{}", make(name)?);
    }
    if names.is_empty() {
        for entry in catalogue()? {
            let state = match entry.place() {
                Location::Url(url) => url,
                Location::File(path) if path.is_file() => path.display().to_string(),
                Location::File(_) => format!("not made yet: cargo xtask models {}", entry.name),
            };
            println!("{:20} {}\n{:20} {state}", entry.name, entry.about, "");
        }
    }
    Ok(())
}

/// Title, description and file name of every model that [`folder`] holds now.
pub(crate) fn held() -> Result<Vec<(String, String, String)>> {
    let held = catalogue()?.into_iter().filter_map(|entry| {
        let file = entry.file.filter(|file| folder().join(file).is_file())?;
        Some((entry.title, entry.about, file))
    });
    Ok(held.collect())
}

/// What a person means by `model`: a URL, a name of the catalogue (made if need be), or a path.
///
/// # Errors
/// If it is none of these, or cannot be made.
pub(crate) fn locate(model: &str) -> Result<Location> {
    if model.starts_with("http://") || model.starts_with("https://") {
        return Ok(Location::Url(model.to_owned()));
    }
    if catalogue()?.iter().any(|entry| entry.name == model) {
        return make(model);
    }
    let path = Path::new(model);
    if !path.is_file() {
        bail!("{model} is no URL, no file, and no name that `cargo xtask models` lists");
    }
    Ok(Location::File(path.canonicalize()?))
}

/// Makes one model of the catalogue, unless it is there.
fn make(name: &str) -> Result<Location> {
    let entries = catalogue()?;
    let entry =
        entries.iter().find(|entry| entry.name == name).with_context(|| format!("{name} is no name that `cargo xtask models` lists"))?;
    let place = entry.place();
    let Location::File(path) = &place else { return Ok(place) };
    if path.is_file() {
        return Ok(place);
    }
    fs::create_dir_all(folder())?;
    say(&format!("making {name}"));
    match name {
        "smollm2" => smollm2::fetch(path)?,
        "smollm2-moe" => mixture::make(&made("smollm2")?, path, mixture::MXFP4_OF_8)?,
        "smollm2-moe-q8" => mixture::make(&made("smollm2")?, path, mixture::Q8_0_OF_2)?,
        "smollm2-moe-shards" => mixture::split(&made("smollm2-moe")?, path)?,
        _ => bail!("{} is missing, and nothing here makes it", path.display()),
    }
    Ok(place)
}

/// The file of a model that another is made from.
fn made(name: &str) -> Result<PathBuf> {
    match make(name)? {
        Location::File(path) => Ok(path),
        Location::Url(url) => bail!("{name} is at {url}, not on this machine"),
    }
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let part = path.with_extension("part");
    write(&part)?;
    fs::rename(&part, path).with_context(|| format!("cannot put {} in place", path.display()))
}

fn progress(steps: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps).with_message(what.to_owned());
    // A broken template would leave the default style.
    if let Ok(style) = ProgressStyle::with_template("  {msg} [{wide_bar}] {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_model_of_the_catalogue_has_one_place_and_its_own_name() {
        let entries = catalogue().unwrap();
        let mut names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), entries.len());
        for entry in &entries {
            let places = [&entry.url, &entry.path, &entry.file];
            assert_eq!(places.iter().filter(|place| place.is_some()).count(), 1, "{entry:?}");
        }
        assert!(entries.iter().any(|entry| entry.name == DEFAULT));
    }

    #[test]
    fn a_model_is_a_url_a_name_or_a_file() {
        let url = "https://example.com/model.gguf";
        assert_eq!(locate(url).unwrap(), Location::Url(url.to_owned()));
        assert!(matches!(locate("gpt-oss-20b").unwrap(), Location::Url(_)));
        assert!(matches!(locate(file!()).or(locate("Cargo.toml")).unwrap(), Location::File(_)));
        assert!(locate("no-such-model").unwrap_err().to_string().contains("no-such-model"));
    }
}
