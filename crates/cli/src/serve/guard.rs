//! Who may ask: whoever has the key, if there is one; and no web page that was not allowed to. A browser lets any page send requests to
//! this machine, and a name that its owner points at 127.0.0.1 makes them look like the page's own.

use std::net::IpAddr;

use api::ErrorReply;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use subtle::ConstantTimeEq;

use super::page;

#[derive(Debug)]
pub(super) struct Guard {
    pub(super) key: Option<String>,
    /// Of web pages that may ask; `*` is all of them.
    pub(super) origins: Vec<String>,
    /// Whether nobody but this machine is listened to.
    pub(super) is_local: bool,
}

impl Guard {
    /// # Errors
    /// 403 for a page that may not ask, 401 without the key.
    pub(super) fn check(&self, request: &Parts) -> Result<(), ErrorReply> {
        let host = text(&request.headers, header::HOST);
        if self.is_local && host.is_some_and(|host| !is_this_machine(host)) {
            let host = host.unwrap_or_default();
            return Err(ErrorReply::forbidden(format!("this server is for this machine alone, which is localhost, not {host:?}")));
        }
        if let Some(origin) = text(&request.headers, header::ORIGIN) {
            // By a name that anybody can point here a page is its owner's, unless it knows the key.
            let is_own = origin.split_once("://").is_some_and(|(_, of)| Some(of) == host && (self.key.is_some() || is_address(of)));
            if !is_own && !self.origins.iter().any(|known| known == "*" || known == origin) {
                return Err(ErrorReply::forbidden(format!("pages of {origin:?} are not let in; --cors lets them")));
            }
        }
        match &self.key {
            Some(key) if !is_open(request.uri.path()) && !has_key(&request.headers, key) => Err(ErrorReply::wrong_key()),
            _ => Ok(()),
        }
    }
}

/// Whether no key is needed: the page itself asks for one.
fn is_open(path: &str) -> bool {
    path == "/health" || page::has(path)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

/// Whether a host is named by its address, or as this machine, which nobody else can be by changing a name.
fn is_address(host: &str) -> bool {
    is_this_machine(host) || name_of(host).parse::<IpAddr>().is_ok()
}

/// `host` may have a port.
fn is_this_machine(host: &str) -> bool {
    let name = name_of(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// How long it takes tells nothing of the key but its length.
fn has_key(headers: &HeaderMap, key: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(b"bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
    });
    given.is_some_and(|given| given.ct_eq(key.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use axum::http::Request;

    fn status(guard: &Guard, path: &str, headers: &[(&str, &str)]) -> u16 {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        guard.check(&request.body(()).unwrap().into_parts().0).err().map_or(200, |error| error.status)
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        for host in ["localhost", "localhost:8000", "LocalHost:1", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "quire.localhost"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8000", "192.168.0.7", "[::2]:8000", "", "127.0.0.1.evil.example"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_rebound_name_is_turned_away_where_only_this_machine_is_listened_to() {
        let guard = |is_local| Guard { key: None, origins: Vec::new(), is_local };
        let host = [("host", "evil.example:8000")];
        assert_eq!([status(&guard(true), "/v1/models", &host), status(&guard(false), "/v1/models", &host)], [403, 200]);
        let rebound = [("host", "evil.example:8000"), ("origin", "http://evil.example:8000")];
        assert_eq!(status(&guard(false), "/", &rebound), 403);
        let own = [("host", "192.168.0.7:8000"), ("origin", "http://192.168.0.7:8000")];
        assert_eq!(status(&guard(false), "/", &own), 200);
    }

    #[test]
    fn pages_ask_only_where_they_are_let_in() {
        let guard = |origins: &[&str]| Guard { key: None, origins: origins.iter().map(|s| (*s).to_owned()).collect(), is_local: true };
        let from = |origin| [("host", "localhost:8000"), ("origin", origin)];
        let statuses =
            |guard: &Guard| ["http://localhost:8000", "https://a.example", "null"].map(|origin| status(guard, "/", &from(origin)));
        assert_eq!(statuses(&guard(&[])), [200, 403, 403]);
        assert_eq!(statuses(&guard(&["https://a.example"])), [200, 200, 403]);
        assert_eq!(statuses(&guard(&["*"])), [200, 200, 200]);
    }

    #[test]
    fn the_key_opens_all_and_nothing_else_does() {
        let guard = Guard { key: Some("s3cret".into()), origins: Vec::new(), is_local: true };
        let with = |value| status(&guard, "/v1/models", &[("authorization", value)]);
        assert_eq!([with("Bearer s3cret"), with("bearer s3cret")], [200, 200]);
        assert_eq!(["Bearer s3cres", "Bearer s3cret0", "Bearer ", "s3cret", "Basic s3cret"].map(with), [401; 5]);
        assert_eq!(
            [status(&guard, "/v1/models", &[]), status(&guard, "/metrics", &[]), status(&guard, "/health", &[]), status(&guard, "/", &[])],
            [401, 401, 200, 200]
        );
    }
}
