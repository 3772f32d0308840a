//! Models by URL, and what is kept of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so and stop")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::cdn::{Cdn, Files, Spec};
use tests::vector;

mod kept;
mod manifest;

use kept::{GENERATE, Kept, nano, serve_nano};

#[test]
fn the_second_run_fetches_no_byte_and_needs_no_network() {
    let kept = Kept::new("second");
    let (cdn, url) = serve_nano();
    let near = kept.generate(&nano(), &[]);
    let first = kept.generate(&url, &[]);
    assert_eq!(first["ids"], near["ids"]);
    let size = std::fs::metadata(nano()).unwrap().len();
    let fetched = first["stats"]["bytes_fetched"].as_u64().unwrap();
    assert!(fetched > 0 && fetched <= size, "{fetched} of {size}");
    // The size is asked with the first byte.
    assert!(cdn.counts().bytes <= fetched + 1);
    drop(cdn);
    let second = kept.generate(&url, &[]);
    assert_eq!((&second["ids"], second["stats"]["bytes_fetched"].as_u64()), (&first["ids"], Some(0)));
    assert!(kept.stdout(&["inspect", &url]).contains("gpt-oss"));
}

#[test]
fn another_version_on_the_server_is_fetched_and_a_server_that_says_nothing_is_not_waited_for() {
    let kept = Kept::new("version");
    let (cdn, url) = serve_nano();
    let fetched = || kept.generate(&url, &[])["stats"]["bytes_fetched"].as_u64().unwrap();
    let whole = fetched();
    assert!(whole > 0 && fetched() == 0);
    cdn.set(Spec { tag: Some("another".into()), ..Spec::default() });
    assert_eq!((fetched(), fetched()), (whole, 0));
    assert_eq!(kept.json(&["cache", "list", "--json"]).as_array().unwrap().len(), 1);
    cdn.set(Spec { latency: Duration::from_secs(30), ..Spec::default() });
    let began = Instant::now();
    assert_eq!(fetched(), 0);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn without_a_cache_nothing_is_kept_or_used_and_a_directory_may_be_named() {
    let kept = Kept::new("none");
    let elsewhere = Kept::new("elsewhere");
    let (cdn, url) = serve_nano();
    for _ in 0..2 {
        let got = kept.generate(&url, &["--no-cache"]);
        assert!(got["stats"]["bytes_fetched"].as_u64().unwrap() > 0);
    }
    assert!(!kept.0.exists());
    let dir = elsewhere.0.to_str().unwrap();
    kept.generate(&url, &["--cache", dir]);
    assert!(!kept.0.exists());
    cdn.reset_counts();
    kept.generate(&url, &["--cache", dir]);
    assert!(cdn.counts().bytes <= 1);
    assert_eq!(kept.quire(&["inspect", &url, "--no-cache", "--cache", dir]).status.code(), Some(2));
}

#[test]
fn two_runs_at_once_share_what_they_fetch() {
    let kept = Kept::new("two");
    let bytes = std::fs::read(nano()).unwrap();
    let size = bytes.len() as u64;
    // Slow enough that the second begins while the first fetches.
    let cdn = Cdn::start(Files::one("nano.gguf", bytes), Spec { bytes_per_second: Some(400_000), ..Spec::default() }, 0).unwrap();
    let url = cdn.url("nano.gguf");
    let start =
        || kept.command(&[&["generate", &url, "--max-tokens", "4"], &GENERATE[..]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    let (first, second) = (start(), start());
    let ids = [first, second].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["ids"].clone()
    });
    assert_eq!(ids[0], ids[1]);
    // Each asks for the size with the first byte.
    assert!(cdn.counts().bytes <= size + 2, "{} of {size}", cdn.counts().bytes);
}

#[test]
fn a_url_is_read_by_range_and_inspect_reads_its_header_alone() {
    let kept = Kept::new("inspect");
    // More data than the first prefix that is asked for.
    let mut bytes = std::fs::read(nano()).unwrap();
    bytes.resize(bytes.len() + (8 << 20), 0);
    let cdn = Cdn::start(Files::one("nano.gguf", bytes), Spec::default(), 0).unwrap();
    let url = cdn.url("nano.gguf");
    let report = kept.json(&["inspect", &url, "--json"]);
    assert_eq!(report["files"][0]["location"], url.as_str());
    assert!(cdn.counts().bytes < 2 << 20);
}

#[test]
fn a_token_goes_to_the_hub_alone_and_is_never_shown() {
    let kept = Kept::new("token");
    // The hub redirects to another host, and from there the bytes come.
    let (cdn, _) = serve_nano();
    let hub = Cdn::start(Files::Below(vector("nano")), Spec { moved: Some(cdn.url("")), ..Spec::default() }, 0).unwrap();
    let url = hub.url("nano.gguf");
    let run = |url: &str, endpoint: &str| {
        let args = ["-vv", "inspect", url, "--no-cache"];
        kept.command(&args).env("HF_TOKEN", "hf_secret").env("HF_ENDPOINT", endpoint).output().unwrap()
    };
    let output = run(&url, &hub.url(""));
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success() && !output.stderr.is_empty());
    assert!(!String::from_utf8_lossy(&said).contains("hf_secret"));
    let sent = hub.counts().authorizations;
    assert!(!sent.is_empty() && sent.iter().all(|(path, value)| path == "/nano.gguf" && value == "Bearer hf_secret"), "{sent:?}");
    assert!(cdn.counts().requests > 0 && cdn.counts().authorizations.is_empty());
    // Of another host it is none of its business.
    cdn.reset_counts();
    assert!(run(&cdn.url("nano.gguf"), &hub.url("")).status.success());
    assert!(cdn.counts().authorizations.is_empty());
    // Nor does an error show it.
    let output = run(&hub.url("missing.gguf"), &hub.url(""));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("missing.gguf") && !said.contains("hf_secret"), "{said}");
}

#[test]
fn what_is_kept_is_listed_counted_and_removed() {
    let kept = Kept::new("list");
    let (_cdn, url) = serve_nano();
    let size = std::fs::metadata(nano()).unwrap().len();
    assert_eq!(kept.json(&["cache", "list", "--json"]), serde_json::json!([]));
    assert!(kept.failure(&["cache", "has", &url]).contains("nothing is kept"));
    kept.stdout(&["cache", "import", &url, &nano()]);
    let listed = serde_json::json!([{ "url": url, "size": size, "kept": size, "tag": "\"one\"" }]);
    assert_eq!(kept.json(&["cache", "--json", "list"]), listed);
    assert!(kept.stdout(&["cache", "list"]).contains(&url));
    for args in [&["cache", "size", "--json"][..], &["cache", "size", &url, "--json"]] {
        assert_eq!(kept.json(args)["bytes"], size);
    }
    assert_eq!(kept.json(&["cache", "size", "https://example.com/other.gguf", "--json"])["bytes"], 0);
    kept.stdout(&["cache", "has", &url]);
    assert!(kept.failure(&["cache", "has", &nano()]).contains("is a file"));
    assert_eq!(kept.json(&["cache", "remove", &url, "--json"])["bytes"], size);
    assert_eq!(kept.json(&["cache", "has", &url, "--json"])["has"], false);
    kept.stdout(&["cache", "import", &url, &nano()]);
    // As an import that was killed leaves it.
    let note = [0, size].map(u64::to_le_bytes).concat();
    std::fs::write(kept.data().with_file_name("notes").join("import"), note).unwrap();
    assert!(kept.failure(&["cache", "has", &url]).contains("nothing is kept"));
    kept.stdout(&["cache", "import", &url, &nano()]);
    kept.stdout(&["cache", "remove", "--all"]);
    assert_eq!(std::fs::read_dir(&kept.0).unwrap().count(), 0);
    assert_eq!(kept.quire(&["cache", "remove"]).status.code(), Some(2));
}

#[test]
fn a_flipped_byte_is_noticed_fetched_again_and_never_used() {
    let kept = Kept::new("flip");
    let (cdn, url) = serve_nano();
    let ids = kept.generate(&url, &[])["ids"].clone();
    let flip = |at: usize| {
        let mut bytes = std::fs::read(kept.data()).unwrap();
        bytes[at] ^= 1;
        std::fs::write(kept.data(), bytes).unwrap();
    };
    flip(100_000);
    let again = kept.generate(&url, &[]);
    assert_eq!(again["ids"], ids);
    let fetched = again["stats"]["bytes_fetched"].as_u64().unwrap();
    assert!((1..=256 << 10).contains(&fetched), "{fetched}");
    // And by who only looks for it.
    flip(200_000);
    assert_eq!(kept.json(&["cache", "verify", &url, "--json"])[0]["bad_chunks"], 1);
    assert!(kept.stdout(&["cache", "verify"]).contains("good"));
    assert_eq!(kept.json(&["cache", "verify", "--json"])[0]["bad_chunks"], 0);
    cdn.reset_counts();
    assert_eq!(kept.generate(&url, &[])["ids"], ids);
    assert!(cdn.counts().bytes > 0);
}

#[test]
fn what_cannot_be_read_any_more_is_removed_with_all_the_rest() {
    let kept = Kept::new("damaged");
    let (_cdn, url) = serve_nano();
    kept.stdout(&["cache", "import", &url, &nano()]);
    std::fs::write(kept.data().with_file_name("file.json"), "{ torn").unwrap();
    let theirs = kept.0.join("somebody-else");
    std::fs::create_dir(&theirs).unwrap();
    assert_eq!(kept.json(&["cache", "list", "--json"]), serde_json::json!([]));
    assert_eq!(kept.json(&["cache", "remove", "--all", "--json"])["bytes"], std::fs::metadata(nano()).unwrap().len());
    let left: Vec<_> = std::fs::read_dir(&kept.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [theirs]);
}

#[test]
#[cfg(unix)]
fn a_full_disk_stops_no_answer_loses_nothing_and_is_used_again_after_room_is_made() {
    let kept = Kept::new("full");
    let (cdn, _) = serve_nano();
    let (url, path) = (cdn.url("nano-f32.gguf"), vector("nano/nano-f32.gguf"));
    let ids = kept.generate(path.to_str().unwrap(), &[])["ids"].clone();
    let args = [&["generate", &url, "--max-tokens", "4"], &GENERATE[..]].concat();
    // The system lets no file grow past 1.25 MiB, which is more than the header's part and less than the model.
    let limited = |args: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 2560; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_quire")]).args(args);
        shell.env("QUIRE_CACHE", &kept.0).output().unwrap()
    };
    let output = limited(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("not kept") && said.contains("is full"), "{said}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["ids"], ids);
    assert_eq!(kept.json(&["cache", "verify", &url, "--json"])[0]["bad_chunks"], 0);
    let size_kept = || kept.json(&["cache", "size", "--json"])["bytes"].as_u64().unwrap();
    let (size, before) = (std::fs::metadata(&path).unwrap().len(), size_kept());
    assert!((1 << 20..=1280 << 10).contains(&before), "{before}");
    let output = limited(&["cache", "import", &url, path.to_str().unwrap()]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("is full"));
    let before = size_kept().max(before);
    assert_eq!((size_kept(), before < size), (before, true));
    // With room the rest is kept too, and what was kept is of use.
    let got = kept.generate(&url, &[]);
    let fetched = got["stats"]["bytes_fetched"].as_u64().unwrap();
    assert!(got["ids"] == ids && fetched <= size - before, "{fetched} of {size}, {before} were kept");
    cdn.reset_counts();
    assert_eq!((&kept.generate(&url, &[])["ids"], cdn.counts().bytes), (&ids, 0));
}

#[test]
fn whole_files_are_held_against_sums() {
    let kept = Kept::new("sums");
    let (_cdn, url) = serve_nano();
    kept.stdout(&["cache", "import", &url, &nano()]);
    let sum = kept.json(&["cache", "verify", "--json"])[0]["sha256"].as_str().unwrap().to_owned();
    let sums = kept.0.with_extension("sums");
    let check = |text: String| {
        std::fs::write(&sums, text).unwrap();
        kept.quire(&["cache", "verify", "--sums", sums.to_str().unwrap()])
    };
    assert_eq!(check(format!("{sum}  some/nano.gguf\n")).status.code(), Some(0));
    let output = check(format!("{}  nano.gguf\n", "0".repeat(64)));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains(&sum) && said.contains("000 was expected"), "{said}");
    let output = check(format!("{sum}  other.gguf\n"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no sum for nano.gguf"));
    std::fs::remove_file(sums).unwrap();
}

#[test]
fn a_model_is_imported_and_exported_without_a_network() {
    let kept = Kept::new("import");
    // Nobody listens there.
    let url = "http://127.0.0.1:9/m/nano.gguf?download=true";
    kept.stdout(&["cache", "import", url, &nano()]);
    assert_eq!(kept.generate(url, &[])["ids"], kept.generate(&nano(), &[])["ids"]);
    let out = kept.0.with_extension("out");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&out).unwrap();
    kept.stdout(&["cache", "export", url, out.to_str().unwrap()]);
    kept.stdout(&["cache", "export", url, out.join("other.gguf").to_str().unwrap()]);
    for name in ["nano.gguf", "other.gguf"] {
        assert!(std::fs::read(out.join(name)).unwrap() == std::fs::read(nano()).unwrap());
    }

    // Of a set all files are meant, whichever is named.
    for (i, len) in [(1, 300_000), (2, 20)] {
        std::fs::write(out.join(format!("m-0000{i}-of-00002.gguf")), vec![i; len]).unwrap();
    }
    let set = "http://127.0.0.1:9/m-00002-of-00002.gguf";
    kept.stdout(&["cache", "import", set, out.join("m-00001-of-00002.gguf").to_str().unwrap()]);
    assert_eq!(kept.json(&["cache", "size", set, "--json"])["bytes"], 300_020);
    assert!(kept.failure(&["cache", "export", set, out.join("x").to_str().unwrap()]).contains("is to be a directory"));
    let exported = out.join("set");
    std::fs::create_dir(&exported).unwrap();
    assert_eq!(kept.json(&["cache", "export", set, exported.to_str().unwrap(), "--json"])["files"].as_array().unwrap().len(), 2);
    assert_eq!(std::fs::read(exported.join("m-00002-of-00002.gguf")).unwrap(), [2; 20]);
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn what_is_kept_in_part_is_not_exported_and_another_size_not_imported() {
    let kept = Kept::new("part");
    let (_cdn, url) = serve_nano();
    kept.stdout(&["cache", "import", &url, &nano()]);
    std::fs::File::options().write(true).open(kept.data()).unwrap().set_len(1000).unwrap();
    kept.stdout(&["cache", "verify"]);
    let out = kept.0.with_extension("part-out");
    let said = kept.failure(&["cache", "export", &url, out.to_str().unwrap()]);
    assert!(said.contains("of 458496 bytes are kept") && !out.exists(), "{said}");
    let said = kept.failure(&["cache", "import", &url, &vector("nano/nano-f32.gguf").display().to_string()]);
    assert!(said.contains("the size was 458496, is 2044608"), "{said}");
    assert!(kept.failure(&["cache", "has", &url]).contains("of 458496 bytes are kept"));
}

#[test]
fn host_memory_saves_reading_experts_again() {
    let kept = Kept::new("ram");
    let cdn = Cdn::start(Files::Below(vector("nano-moe16")), Spec::default(), 0).unwrap();
    let far = cdn.url("nano-moe16.gguf");
    let near = vector("nano-moe16/nano-moe16.gguf").display().to_string();
    for model in [&far, &near] {
        // Room for 5 of 16 experts a layer.
        let run = |ram: &[&str]| {
            let got = kept.json(&[&["generate", model, "--max-tokens", "16", "--slots", "5", "--no-cache"], &GENERATE[..], ram].concat());
            let stat = |name: &str| got["stats"][name].as_u64().unwrap();
            (got["ids"].clone(), stat("bytes_fetched"), stat("bytes_ram"), stat("bytes_gpu"))
        };
        let (ids, fetched, from_ram, _) = run(&[]);
        assert_eq!(from_ram, 0);
        let (ids_with, fetched_with, from_ram, to_gpu) = run(&["--ram", "16M"]);
        assert_eq!(ids_with, ids);
        assert!(from_ram > 0 && from_ram < to_gpu && fetched_with < fetched, "{from_ram} of {to_gpu}, {fetched_with} after {fetched}");
        let (ids_with, _, from_less, _) = run(&["--ram", "100K"]);
        assert_eq!(ids_with, ids);
        assert!(from_less < from_ram, "{from_less}, {from_ram}");
    }
}

/// A conversation through pipes.
struct Chat {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Chat {
    fn start(kept: &Kept, url: &str, more: &[&str]) -> Self {
        let args = [&["chat", url, "--max-tokens", "2", "--temperature", "0"], more].concat();
        let mut child = kept.command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    /// Says a line and waits for the end of the answer.
    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
    }

    fn leave(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// nano before bytes that no answer needs.
fn serve_large_nano() -> (Cdn, String, u64) {
    let bytes = [std::fs::read(nano()).unwrap(), vec![7; 24 << 20]].concat();
    let size = bytes.len() as u64;
    let cdn = Cdn::start(Files::one("nano.gguf", bytes), Spec::default(), 0).unwrap();
    let url = cdn.url("nano.gguf");
    (cdn, url, size)
}

fn wait_until_sent(cdn: &Cdn, bytes: u64) {
    let began = Instant::now();
    while cdn.counts().bytes < bytes {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {bytes}", cdn.counts().bytes);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_chat_fetches_the_rest_of_the_model_while_nobody_writes_and_what_was_on_its_way_when_somebody_did_not_twice() {
    let kept = Kept::new("fill");
    let (cdn, url, size) = serve_large_nano();
    let size_kept = || kept.json(&["cache", "size", "--json"])["bytes"].as_u64().unwrap();
    let mut chat = Chat::start(&kept, &url, &["--no-fill"]);
    chat.say("Hello");
    std::thread::sleep(Duration::from_millis(300));
    chat.leave();
    let before = size_kept();
    assert!(before < 2 << 20, "{before}");

    let mut chat = Chat::start(&kept, &url, &[]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(size_kept(), before, "nothing is fetched before the first answer");
    cdn.set(Spec { bytes_per_second: Some(8 << 20), ..Spec::default() });
    for n in 1..5 {
        chat.say("Hello");
        wait_until_sent(&cdn, n * size / 6);
    }
    let began = Instant::now();
    while size_kept() < size {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {size}", size_kept());
        std::thread::sleep(Duration::from_millis(50));
    }
    chat.say("Hello again");
    chat.leave();
    // With the first byte the size is asked for: at first, and whether it is the same still.
    assert!(cdn.counts().bytes_again() <= 2, "{}", cdn.counts().bytes_again());
}

#[test]
fn who_leaves_a_chat_in_the_middle_of_the_fill_leaves_at_once_and_what_came_is_good() {
    let kept = Kept::new("leave");
    let (cdn, url, _) = serve_large_nano();
    let mut chat = Chat::start(&kept, &url, &[]);
    // From here on it would take half a minute.
    wait_until_sent(&cdn, 1 << 20);
    cdn.set(Spec { bytes_per_second: Some(800_000), ..Spec::default() });
    chat.say("Hello");
    wait_until_sent(&cdn, 2 << 20);
    let began = Instant::now();
    chat.leave();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let found = &kept.json(&["cache", "verify", "--json"])[0];
    assert_eq!(found["bad_chunks"], 0);
    assert!(found["bytes"].as_u64().unwrap() > 1 << 20, "{found}");
}
