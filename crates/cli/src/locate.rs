//! What a person means by MODEL: a URL, a name, or a path.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What the page offers too.
#[derive(Debug, Deserialize)]
struct Catalogue {
    models: Vec<Entry>,
}

/// One model, in exactly one place.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    url: Option<String>,
    /// From the root of the repository.
    path: Option<String>,
    /// Among the models that were made; of a sharded one, the first.
    file: Option<String>,
}

fn catalogue() -> Result<Vec<Entry>> {
    let text = include_str!("../../../web/page/catalogue.json");
    let catalogue: Catalogue = serde_json::from_str(text).context("the catalogue is broken")?;
    Ok(catalogue.models)
}

/// The path or URL of `model`.
///
/// # Errors
/// If it is a name that nobody knows, or of a model that was not made yet.
pub(crate) fn locate(model: &str) -> Result<String> {
    locate_among(model, &roots())
}

/// Where the repository may be: around the working directory, around the program, where it was built.
fn roots() -> Vec<PathBuf> {
    let places = [std::env::current_dir().ok(), std::env::current_exe().ok(), Some(env!("CARGO_MANIFEST_DIR").into())];
    let up = |place: &PathBuf| place.ancestors().map(Path::to_owned).collect::<Vec<_>>();
    places.iter().flatten().flat_map(up).collect()
}

fn locate_among(model: &str, roots: &[PathBuf]) -> Result<String> {
    if model.starts_with("http://") || model.starts_with("https://") {
        return Ok(model.to_owned());
    }
    let found = |path: &str| {
        let path = roots.iter().map(|root| root.join(path)).find(|path| path.is_file());
        path.map(|path| path.display().to_string())
    };
    let entries = catalogue()?;
    if let Some(entry) = entries.iter().find(|entry| entry.name == model) {
        return match (&entry.url, &entry.path, &entry.file) {
            // A copy that was put among the made models saves the way.
            (Some(url), ..) => Ok(found(&made(&format!("{model}.gguf"))).unwrap_or_else(|| url.clone())),
            (_, Some(path), _) => found(path).with_context(|| format!("{model} is {path} of the repository, which is not here")),
            (.., file) => {
                let file = file.clone().unwrap_or_else(|| format!("{model}.gguf"));
                found(&made(&file)).with_context(|| format!("{model} is not made yet: cargo xtask models {model}"))
            }
        };
    }
    if Path::new(model).exists() || looks_like_path(model) {
        return Ok(model.to_owned());
    }
    if let Some(path) = found(&made(&format!("{model}.gguf"))) {
        return Ok(path);
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    bail!("{model} is no file, no URL and no known name; known are {}", names.join(", "))
}

fn made(file: &str) -> String {
    format!("target/models/{file}")
}

fn looks_like_path(model: &str) -> bool {
    model.contains(['/', '\\']) || Path::new(model).extension().is_some_and(|extension| extension == "gguf")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_name_of_the_catalogue_has_a_place_or_a_word_on_how_to_get_it() {
        for entry in catalogue().unwrap() {
            match locate_among(&entry.name, &[]) {
                Ok(url) => assert_eq!(Some(url), entry.url),
                Err(error) => assert!(error.to_string().contains(&entry.name), "{error}"),
            }
        }
    }

    #[test]
    fn nano_is_found_from_anywhere() {
        assert!(locate("nano").unwrap().ends_with("nano.gguf"));
    }

    #[test]
    fn urls_and_paths_stay_as_they_are() {
        for model in ["https://example.com/a.gguf?b=c", "missing.gguf", "./missing", "src"] {
            assert_eq!(locate(model).unwrap(), model);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = locate("no-such-model").unwrap_err().to_string();
        assert!(error.contains("no-such-model") && error.contains("smollm2-moe, ") && error.contains("gpt-oss-20b"), "{error}");
    }
}
