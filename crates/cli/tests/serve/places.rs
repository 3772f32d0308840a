//! Who has a place, and what of others is kept.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::server::{Server, nano, until};

const SIZE: usize = 16 << 20;

/// A request of `SIZE` bytes, of which only so many are sent; the connection may go on with it.
fn begin(server: &Server, bytes: usize) -> TcpStream {
    let mut connection = TcpStream::connect(&server.address).unwrap();
    write!(connection, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n").unwrap();
    connection.write_all(&vec![b' '; bytes]).unwrap();
    connection
}

/// Sends the rest of what was begun, and hears the first line of the answer.
fn end(mut connection: TcpStream, bytes: usize) -> String {
    connection.write_all(&vec![b' '; SIZE - bytes]).unwrap();
    let mut status = String::new();
    BufReader::new(connection).read_line(&mut status).unwrap();
    status
}

fn in_hand(server: &Server, n: f64) {
    until("the places to be taken or free", || (server.metric("quire_requests_in_hand") == n).then_some(()));
}

#[test]
fn a_place_is_taken_before_a_request_is_read_and_free_when_it_does_not_come() {
    let server = Server::start(&[&nano(), "--queue", "1"]);
    let first = begin(&server, 1000);
    in_hand(&server, 1.0);
    assert_eq!(server.metric("quire_requests_waiting"), 0.0);
    let ask = || server.post("/v1/completions", &json!({"prompt": "x", "max_tokens": 1})).status;
    assert_eq!(ask(), 429);
    drop(first);
    in_hand(&server, 0.0);
    assert_eq!(ask(), 200);
    // What cannot be read gives its place back, too.
    assert!(end(begin(&server, 0), 0).contains(" 400 "));
    assert_eq!(ask(), 200);
}

#[test]
fn of_requests_that_find_no_place_nothing_is_kept_and_they_are_told_so_when_they_are_sent() {
    let server = Server::start(&[&nano(), "--queue", "2"]);
    let sent = SIZE - 1000;
    let before = server.memory();
    let first = [(); 2].map(|()| begin(&server, sent));
    in_hand(&server, 2.0);
    let others: Vec<TcpStream> = (0..10).map(|_| begin(&server, sent)).collect();
    if let Some((before, after)) = before.zip(server.memory()) {
        // Those two, and what a socket or an allocator may hold.
        assert!(after.saturating_sub(before) < 4 * SIZE as u64, "the server grew from {before} to {after} bytes");
    }
    for other in others {
        assert!(end(other, sent).contains(" 429 "));
    }
    drop(first);
    in_hand(&server, 0.0);
}
