//! HTTP reads against a server that misbehaves.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "tests")]

mod server;

use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use pollster::block_on;
use server::{Seen, Server, Turn};
use store::{Cause, Error, Http, Retry, Source, read_vec};

/// Large enough to come in several pieces, and of bytes that tell their place.
fn file(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn fast() -> Retry {
    Retry { attempts: 3, pause: Duration::from_millis(2), longest_pause: Duration::from_millis(1500), stall: Duration::from_millis(250) }
}

/// Reads `range` of a file of `n` bytes while the server follows `turns`.
fn read(n: usize, turns: Vec<Turn>, range: Range<u64>) -> (Result<Vec<u8>, Error>, Vec<Seen>) {
    let server = Server::start(file(n), turns);
    let got = block_on(read_vec(&Http::with_retry(&server.url, fast()), range));
    (got, server.seen())
}

fn check(n: usize, turns: Vec<Turn>, range: Range<u64>) -> Vec<Seen> {
    let (got, seen) = read(n, turns, range.clone());
    let expected = &file(n)[range.start as usize..range.end as usize];
    assert!(got.unwrap() == expected, "other bytes came than were asked for");
    seen
}

fn cause(result: Result<Vec<u8>, Error>) -> (u32, Cause) {
    match result {
        Err(Error::Network { attempts, cause, .. }) => (attempts, cause),
        other => panic!("expected a network error, got {other:?}"),
    }
}

fn status(status: u16) -> Turn {
    Turn { status: Some(status), ..Turn::default() }
}

#[test]
fn a_range_is_one_request() {
    let seen = check(1_000_000, vec![], 10..900_000);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].range, Some((10, 899_999)));
}

#[test]
fn an_empty_range_asks_nothing() {
    assert!(check(100, vec![], 50..50).is_empty());
}

#[test]
fn pieces_fit_the_window_and_come_in_order() {
    let server = Server::start(file(1_500_000), vec![]);
    let http = Http::new(&server.url);
    let (mut bytes, mut largest) = (Vec::new(), 0);
    block_on(http.read(0..1_500_000, &mut |piece| {
        bytes.extend_from_slice(piece);
        largest = largest.max(piece.len());
        ControlFlow::Continue(())
    }))
    .unwrap();
    assert!(bytes == file(1_500_000));
    assert!(largest <= 256 * 1024, "{largest}");
}

#[test]
fn a_redirect_keeps_the_range() {
    let cdn = Server::start(file(5000), vec![]);
    let turn = Turn { redirect: Some(cdn.url.clone()), ..status(302) };
    let front = Server::start(vec![], vec![turn]);
    let got = block_on(read_vec(&Http::with_retry(&front.url, fast()), 100..200)).unwrap();
    assert_eq!(got, file(5000)[100..200]);
    assert_eq!(cdn.seen()[0].range, Some((100, 199)));
}

#[test]
fn a_redirect_is_followed_once_and_anew_when_it_has_expired() {
    let expired = [Turn::default(), Turn::default(), status(403), Turn::default()];
    let cdn = Server::start(file(5000), expired.to_vec());
    let turn = Turn { redirect: Some(cdn.url.clone()), ..status(302) };
    let front = Server::start(vec![], vec![turn; 9]);
    let http = Http::with_retry(&front.url, fast());
    for start in [0, 100, 200, 300] {
        assert_eq!(block_on(read_vec(&http, start..start + 50)).unwrap(), file(5000)[start as usize..start as usize + 50]);
    }
    assert_eq!((front.seen().len(), cdn.seen().len()), (2, 5));
}

#[test]
fn a_token_is_sent_to_its_own_host_and_to_no_other() {
    let cdn = Server::start(file(5000), vec![]);
    let turn = Turn { redirect: Some(cdn.url.clone()), ..status(302) };
    let front = Server::start(vec![], vec![turn, status(401)]);
    let http = Http::with_retry(&front.url, fast()).with_token("hf_secret");
    block_on(read_vec(&http, 0..50)).unwrap();
    block_on(read_vec(&http, 50..60)).unwrap();
    assert_eq!(front.seen()[0].authorization.as_deref(), Some("Bearer hf_secret"));
    assert!(cdn.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", cdn.seen());
    let gated = Server::start(vec![], vec![status(401)]);
    let error = block_on(read_vec(&Http::new(&gated.url).with_token("hf_secret"), 0..1)).unwrap_err();
    assert!(error.to_string().contains("401") && !format!("{error:?} {error}").contains("secret"), "{error}");
}

#[test]
fn a_server_that_ignores_ranges_is_skipped_to_the_start_and_cut() {
    let turn = Turn { ignores_range: true, ..Turn::default() };
    check(700_000, vec![turn], 300_000..600_001);
}

#[test]
fn a_server_that_always_ignores_ranges_sends_its_file_once() {
    let turn = Turn { ignores_range: true, ..Turn::default() };
    let server = Server::start(file(8_000_000), vec![turn; 99]);
    let http = Http::with_retry(&server.url, fast());
    let all = file(8_000_000);
    for range in [0..1000, 1000..3_000_000, 5_000_000..7_000_000, 7_500_000..8_000_000_u64] {
        let got = block_on(read_vec(&http, range.clone())).unwrap();
        assert!(got == all[range.start as usize..range.end as usize], "{range:?}");
    }
    assert_eq!(server.seen().len(), 1);
    // A small way back is gone by another download.
    assert_eq!(block_on(read_vec(&http, 0..5)).unwrap(), all[..5]);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_range_that_was_ignored_once_is_asked_for_again() {
    let turn = Turn { ignores_range: true, ..Turn::default() };
    let server = Server::start(file(4_000_000), vec![Turn::default(), turn]);
    let http = Http::with_retry(&server.url, fast());
    block_on(read_vec(&http, 0..10)).unwrap();
    let got = block_on(read_vec(&http, 3_000_000..3_000_010)).unwrap();
    assert_eq!(got, file(4_000_000)[3_000_000..3_000_010]);
    assert_eq!(server.seen().len(), 3);
    assert!(http.traffic().bytes < 1 << 20, "{:?}", http.traffic());
}

#[test]
fn a_server_that_serves_ranges_after_all_is_taken_at_its_word() {
    let turn = Turn { ignores_range: true, ..Turn::default() };
    let server = Server::start(file(2_000_000), vec![turn]);
    let http = Http::with_retry(&server.url, fast());
    // The way back asks anew, and this time gets what it asked for.
    for range in [0..1000, 500..700, 1_900_000..1_900_010_u64] {
        let got = block_on(read_vec(&http, range.clone())).unwrap();
        assert_eq!(got, file(2_000_000)[range.start as usize..range.end as usize]);
    }
    assert_eq!((server.seen().len(), http.traffic().retries), (3, 0));
    assert!(http.traffic().bytes < 1 << 20, "{:?}", http.traffic());
}

#[test]
fn a_truncated_body_is_resumed_at_the_byte() {
    let cut = |n| Turn { cut_after: Some(n), ..Turn::default() };
    // More breaks than attempts: each one made progress.
    let seen = check(10_000, vec![cut(1000), cut(1), cut(500), cut(7), cut(9)], 100..9000);
    let starts: Vec<_> = seen.iter().map(|s| s.range.unwrap().0).collect();
    assert_eq!(starts, [100, 1100, 1101, 1601, 1608, 1617]);
}

#[test]
fn a_body_that_ends_without_a_length_is_resumed_too() {
    let turn = Turn { hides_length: true, hides_range: true, cut_after: Some(77), ..Turn::default() };
    let seen = check(10_000, vec![turn], 0..5000);
    assert_eq!(seen[1].range, Some((77, 4999)));
}

#[test]
fn a_partial_answer_shorter_than_asked_is_continued() {
    let turn = Turn { at_most: Some(64), ..Turn::default() };
    let seen = check(10_000, vec![turn], 5..1000);
    assert_eq!(seen[1].range, Some((69, 999)));
}

#[test]
fn a_stall_is_noticed_and_resumed() {
    let turn = Turn { cut_after: Some(300), stall: Duration::from_secs(20), ..Turn::default() };
    let began = Instant::now();
    let seen = check(10_000, vec![turn], 0..1000);
    assert_eq!(seen[1].range, Some((300, 999)));
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_server_that_only_stalls_is_given_up_with_its_reason() {
    let turn = Turn { cut_after: Some(0), stall: Duration::from_secs(20), ..Turn::default() };
    let (got, seen) = read(100, vec![turn; 3], 0..50);
    assert_eq!(cause(got), (3, Cause::Stalled { millis: 250 }));
    assert_eq!(seen.len(), 3);
}

#[test]
fn busy_and_broken_servers_are_asked_again() {
    check(1000, vec![status(503), status(429)], 0..1000);
    check(1000, vec![status(500), status(502)], 0..1000);
}

#[test]
fn retry_after_is_waited_for() {
    let turn = Turn { retry_after: Some("1"), ..status(429) };
    let began = Instant::now();
    check(1000, vec![turn], 0..1000);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_server_that_stays_broken_is_given_up() {
    let (got, seen) = read(1000, vec![status(503); 9], 0..10);
    let broken = Cause::Status { status: 503, retry_after_s: None };
    assert_eq!(cause(got), (3, broken));
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_refusal_is_final() {
    for code in [401, 403, 404, 410] {
        let (got, seen) = read(1000, vec![status(code); 3], 0..10);
        let (attempts, cause) = cause(got);
        assert!(matches!(cause, Cause::Status { status, .. } if status == code));
        assert_eq!((attempts, seen.len()), (1, 1));
    }
}

#[test]
fn an_answer_that_begins_elsewhere_is_asked_for_again() {
    let turn = Turn { shift: 3, ..Turn::default() };
    check(1000, vec![turn.clone()], 10..100);
    let (got, _) = read(1000, vec![turn; 3], 10..100);
    let wrong = Cause::WrongRange { expected: 10, got: 13 };
    assert_eq!(cause(got), (3, wrong));
}

#[test]
fn a_range_past_the_end_names_the_size() {
    let ignores = Turn { ignores_range: true, ..Turn::default() };
    for (turn, range) in [(Turn::default(), 90..110), (Turn::default(), 200..210), (ignores, 90..110)] {
        let (got, _) = read(100, vec![turn], range);
        assert!(matches!(got, Err(Error::OutOfRange { size: 100, .. })), "{got:?}");
    }
}

#[test]
fn a_range_past_an_end_that_is_hidden_is_found_out() {
    let turn = Turn { hides_range: true, ..Turn::default() };
    let (got, _) = read(100, vec![turn], 90..110);
    assert!(matches!(got, Err(Error::OutOfRange { size: 100, .. })), "{got:?}");
}

fn size(n: usize, turns: Vec<Turn>) -> (Result<u64, Error>, Vec<Seen>) {
    let server = Server::start(file(n), turns);
    let http = Http::with_retry(&server.url, fast());
    let size = block_on(http.size());
    (size, server.seen())
}

#[test]
fn the_size_comes_with_the_first_answer() {
    assert_eq!(size(1234, vec![]).0.unwrap(), 1234);
    let server = Server::start(file(1234), vec![]);
    let http = Http::new(&server.url);
    block_on(read_vec(&http, 0..10)).unwrap();
    assert_eq!(block_on(http.size()).unwrap(), 1234);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_size_that_cors_hides_is_asked_by_head() {
    let turn = Turn { hides_range: true, ..Turn::default() };
    let (size, seen) = size(1234, vec![turn]);
    assert_eq!(size.unwrap(), 1234);
    assert_eq!(seen[1].method, "HEAD");
}

#[test]
fn the_size_of_an_empty_file_is_zero() {
    assert_eq!(size(0, vec![]).0.unwrap(), 0);
}

#[test]
fn the_size_survives_a_busy_server() {
    assert_eq!(size(77, vec![status(503), status(503)]).0.unwrap(), 77);
}

#[test]
fn a_size_that_is_nowhere_is_an_error() {
    let turn = Turn { hides_range: true, hides_length: true, ..Turn::default() };
    let (size, _) = size(10, vec![turn.clone(), turn]);
    assert!(matches!(size, Err(Error::UnknownSize { .. })), "{size:?}");
}

#[test]
fn where_the_size_is_hidden_and_head_refused_the_error_says_what_to_show() {
    let hidden = || Turn { hides_range: true, ..Turn::default() };
    for refusal in [403, 405, 501] {
        let server = Server::start(file(10), vec![hidden(), status(refusal), status(refusal), hidden()]);
        let http = Http::with_retry(&server.url, fast());
        let words = block_on(http.size()).unwrap_err().to_string();
        assert!(words.contains("Access-Control-Expose-Headers: Content-Range"), "{words}");
        // The other way round nobody goes in circles either.
        assert!(matches!(block_on(Source::identify(&http)), Err(Error::UnknownSize { .. })));
        let methods: Vec<_> = server.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, ["GET", "HEAD", "HEAD", "GET"]);
    }
}

#[test]
fn a_size_that_no_file_has_is_refused_in_words() {
    for total in [u64::MAX, (1 << 44) + 1] {
        let server = Server::start(file(10), vec![Turn { total: Some(total), ..Turn::default() }; 4]);
        let http = Http::with_retry(&server.url, fast());
        let past_the_end = || block_on(read_vec(&http, 20..30));
        let refused = [block_on(http.size()).err(), block_on(Source::identify(&http)).err(), past_the_end().err()];
        for error in refused.map(Option::unwrap) {
            let words = error.to_string();
            assert!(words.contains(&server.url) && words.contains(&format!("has {total} bytes")), "{words}");
            assert!(matches!(error, Error::Network { cause: Cause::TooLarge { .. }, .. }), "{error:?}");
        }
        assert_eq!(server.seen().len(), 3);
    }
    let largest = Turn { total: Some(1 << 44), ..Turn::default() };
    assert_eq!(size(10, vec![largest]).0.unwrap(), 1 << 44);
}

#[test]
fn a_file_that_changes_on_the_server_is_not_mixed() {
    let etag = |tag, cut| Turn { etag: Some(tag), cut_after: cut, ..Turn::default() };
    let (got, seen) = read(1000, vec![etag("\"a\"", Some(10)), etag("\"b\"", None), etag("\"b\"", None)], 0..100);
    assert!(matches!(got, Err(Error::Changed { what: "the tag", .. })), "{got:?}");
    assert_eq!(seen.len(), 3);
    // Once may be a mistake.
    check(1000, vec![etag("\"a\"", Some(10)), etag("\"b\"", None), etag("\"a\"", None)], 0..100);
}

#[test]
fn a_sink_that_breaks_cancels_the_read() {
    let server = Server::start(file(1_000_000), vec![]);
    let http = Http::new(&server.url);
    let mut given = 0;
    let got = block_on(http.read(0..1_000_000, &mut |piece| {
        given += piece.len();
        if given > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    assert!(matches!(got, Err(Error::Cancelled { .. })), "{got:?}");
    assert!(given < 1_000_000);
}

#[test]
fn a_sink_can_cancel_while_the_server_only_fails() {
    let server = Server::start(file(100), vec![status(503); 9]);
    let http = Http::with_retry(&server.url, fast());
    let mut asked = 0;
    let got = block_on(http.read(0..100, &mut |_| {
        asked += 1;
        if asked == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    assert!(matches!(got, Err(Error::Cancelled { .. })), "{got:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_host_that_has_no_address_is_named() {
    let url = "http://no-such-host.invalid/x";
    let error = block_on(read_vec(&Http::with_retry(url, fast()), 0..1)).unwrap_err();
    assert!(error.to_string().contains(url), "{error}");
    assert!(matches!(cause(Err(error)), (3, Cause::HostNotFound)));
}

#[test]
fn a_host_where_nobody_listens_is_named() {
    // A port that was free a moment ago.
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/x", listener.local_addr().unwrap())
    };
    let error = block_on(read_vec(&Http::with_retry(&url, fast()), 0..1)).unwrap_err();
    assert!(error.to_string().contains(&url), "{error}");
    assert!(matches!(cause(Err(error)), (3, Cause::Connection(_))));
}
