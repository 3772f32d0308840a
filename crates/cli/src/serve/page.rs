//! The chat page, which is part of the program if it was there when the program was built. Here it talks to this server's API.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What the page asks for first: that the server answers, and no engine of its own.
const CONFIG: &str = r#"{"server":true}"#;

const ABSENT: &str = "OpenAI's API is at /v1. The chat page would be here, but this quire was built without it: \
                      `cargo xtask package` makes the page, and whatever is built after that has it.\n";

/// Beside what the page's own policy forbids: it asks this server alone, and is shown in no other page.
const POLICY: &str = "connect-src 'self'; frame-ancestors 'none'";

/// Whether `path` is the page's, and so nobody's secret.
pub(super) fn has(path: &str) -> bool {
    path == "/" || path == "/config.json" || file(path).is_some()
}

/// What is at `path`, if it is the page's.
pub(super) fn get(path: &str) -> Option<Response> {
    let path = if path == "/" { "/index.html" } else { path };
    let headers = |mime: &'static str| -> [(HeaderName, &str); 4] {
        [
            (header::CONTENT_TYPE, mime),
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ]
    };
    if path == "/config.json" {
        return Some((headers("application/json"), CONFIG).into_response());
    }
    match file(path) {
        Some(bytes) => Some((headers(mime(path)), bytes).into_response()),
        None if path == "/index.html" => Some((StatusCode::NOT_FOUND, headers("text/plain; charset=utf-8"), ABSENT).into_response()),
        None => None,
    }
}

fn file(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, bytes)| *bytes)
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
