//! What the README tells to type, typed.

use std::io::ErrorKind;
use std::process::Command;

use serde_json::Value;
use tests::parrot;

use crate::server::{Server, parrot};

/// Where the README's server listens.
const SHOWN: &str = "localhost:8000";

/// The commands of the README that begin with `curl`, each with the lines that it goes on in.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let mut lines = text.lines();
    let mut commands = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("curl ") {
            let mut command = line.to_owned();
            while let Some(begun) = command.strip_suffix('\\') {
                command = begun.to_owned() + lines.next().unwrap().trim_start();
            }
            commands.push(command);
        }
    }
    commands
}

/// A command's words, quoted or not, as a shell reads them.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars() {
        match quote {
            Some(mark) if mark == c => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// What `command` asks for, asked by the test's own client.
fn ask(server: &Server, command: &str) -> Value {
    let words = words(command);
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1);
    let (name, value) = after("-H").and_then(|header| header.split_once(": ")).unwrap();
    let (_, path) = words[1].split_once(SHOWN).unwrap();
    let answer = server.request("POST", path, &[(name, value)], after("-d").map(String::as_str));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// What `command` prints, typed into a shell with the server's own port; `None` where there is no shell or no curl.
fn run(server: &Server, command: &str) -> Option<Value> {
    let (_, port) = server.address.rsplit_once(':').unwrap();
    let command = command.replace(SHOWN, &format!("localhost:{port}"));
    let output = match Command::new("sh").args(["-c", &command]).env("NO_PROXY", "*").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    // What a shell says of programs that it does not find.
    if output.status.code() == Some(127) {
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn what_the_readme_tells_to_ask_is_answered() {
    let server = Server::start(&[&parrot(), "--alias", "gpt-oss-20b"]);
    let commands = commands();
    assert!(!commands.is_empty());
    for command in &commands {
        for answer in [Some(ask(&server, command)), run(&server, command)].into_iter().flatten() {
            assert_eq!(
                (&answer["model"], answer["choices"][0]["message"]["content"].as_str()),
                (&"gpt-oss-20b".into(), Some(parrot::SAID))
            );
        }
    }
}
