//! Under which names a model may be asked for.

/// The names of one model. They are compared as people write them: `openai/GPT-OSS_20B` is `gpt-oss-20b`.
#[derive(Clone, Debug)]
pub struct Names {
    id: String,
    known: Vec<String>,
}

impl Names {
    /// `location` is what was opened, a path, URL or name; `own` is what the file calls its model. The first of `aliases`, or
    /// what the location ends with, is the name that answers bear.
    pub fn new(location: &str, own: &str, aliases: &[String]) -> Self {
        let id = aliases.first().cloned().unwrap_or_else(|| stem(location).to_owned());
        let mut known: Vec<String> = aliases.iter().map(String::as_str).chain([location, own]).map(plain).collect();
        // Whoever asks for gpt-oss-20b does not mind in which format it is.
        let bare = known.iter().filter_map(|name| without_format(name).map(str::to_owned)).collect::<Vec<_>>();
        known.extend(bare);
        known.retain(|name| !name.is_empty());
        Self { id, known }
    }

    /// The name to show.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn has(&self, asked: &str) -> bool {
        asked == self.id || self.known.contains(&plain(asked))
    }
}

/// A file's name without folders, query, ending, and place in a set of shards.
fn stem(location: &str) -> &str {
    let path = location.split(['?', '#']).next().unwrap_or(location).trim_end_matches('/');
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let file = file.strip_suffix(".gguf").unwrap_or(file);
    let shard = file.rsplit_once("-of-").and_then(|(before, count)| {
        let (name, nth) = before.rsplit_once('-')?;
        [nth, count].iter().all(|n| n.len() == 5 && n.bytes().all(|b| b.is_ascii_digit())).then_some(name)
    });
    shard.unwrap_or(file)
}

fn plain(name: &str) -> String {
    stem(name).to_lowercase().replace([' ', '_'], "-")
}

/// `gpt-oss-20b` of `gpt-oss-20b-q4-k-m`.
fn without_format(name: &str) -> Option<&str> {
    let is_format = |word: &str| {
        let quantised = word.strip_prefix("iq").or_else(|| word.strip_prefix('q'));
        matches!(word, "f32" | "f16" | "bf16" | "mxfp4") || quantised.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let at = name.match_indices('-').map(|(at, _)| at).find(|at| name[at + 1..].split('-').next().is_some_and(is_format))?;
    Some(&name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_answers_to_what_was_typed_to_its_files_name_and_to_its_own() {
        let typed = Names::new("gpt-oss-20b", "Gpt Oss 20b", &[]);
        let path = Names::new("/models/gpt-oss-20b-mxfp4.gguf", "", &[]);
        let url = Names::new("https://example.com/gpt-oss-20b-Q4_K_M-00001-of-00002.gguf?download=true", "", &[]);
        for (names, id) in [(&typed, "gpt-oss-20b"), (&path, "gpt-oss-20b-mxfp4"), (&url, "gpt-oss-20b-Q4_K_M")] {
            assert_eq!(names.id(), id);
            for asked in ["gpt-oss-20b", "openai/gpt-oss-20b", "GPT-OSS-20B", id] {
                assert!(names.has(asked), "{asked} of {names:?}");
            }
            for asked in ["gpt-oss-120b", "gpt-oss", "gpt-4o", "", "20b"] {
                assert!(!names.has(asked), "{asked} of {names:?}");
            }
        }
        assert!(url.has("gpt-oss-20b-q4_k_m") && path.has("/models/gpt-oss-20b-mxfp4.gguf"));
    }

    #[test]
    fn an_alias_is_the_name_that_answers_bear() {
        let names = Names::new("nano.gguf", "nano", &["gpt-4o".into(), "house model".into()]);
        assert_eq!(names.id(), "gpt-4o");
        assert!(["gpt-4o", "house-model", "nano"].iter().all(|name| names.has(name)) && !names.has("gpt-4"));
    }
}
