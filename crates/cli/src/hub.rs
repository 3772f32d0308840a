//! The token for gated models of the Hugging Face hub.

use std::env;

/// Where the hub is, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// `HF_TOKEN`, if `url` is the hub's own. To other hosts it is not sent, not even if the hub redirects there.
pub(crate) fn token(url: &str) -> Option<String> {
    let named = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let endpoint = named("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
    named("HF_TOKEN").filter(|_| is_below(url, &endpoint)).map(|token| token.trim().to_owned())
}

fn is_below(url: &str, endpoint: &str) -> bool {
    url.strip_prefix(endpoint.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_endpoint_is_the_hubs() {
        assert!(is_below("https://huggingface.co/a/b.gguf", ENDPOINT));
        assert!(is_below("http://localhost:1/a", "http://localhost:1/"));
        for url in
            ["https://huggingface.co.evil/a", "http://huggingface.co/a", "https://x.huggingface.co/a", "https://huggingface.co@evil/a"]
        {
            assert!(!is_below(url, ENDPOINT), "{url}");
        }
    }
}
