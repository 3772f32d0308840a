//! Processes that are killed while they download, and processes that download together.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pollster::block_on;
use store::{Directory, Home, Identity, Library, Memory, OpenOptions, Priority, Retry, Run};
use tests::cdn::{Cdn, Files, Spec};

const SIZE: usize = 280_000_000;
const SLICE: usize = 400_009;
const AT_ONCE: usize = 8;
/// What may be lost with a process: slices that grow, and what waits to be written.
const IN_FLIGHT: u64 = (AT_ONCE * SLICE) as u64 + (8 << 20);

/// Of bytes that tell their place.
fn file() -> Vec<u8> {
    (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn slices() -> Vec<Range<u64>> {
    (0..SIZE as u64).step_by(SLICE).map(|start| start..(start + SLICE as u64).min(SIZE as u64)).collect()
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("quire-kill-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// With the patience that a child is given.
fn open(url: &str, folder: &Path) -> Library {
    let home: Rc<dyn Home> = Rc::new(Directory::new(folder));
    let patience = std::env::var("STORE_CHILD_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    let mut retry = Retry::default();
    retry.stall = patience.map_or(retry.stall, Duration::from_secs);
    block_on(Library::open(&[url.to_owned()], &OpenOptions { home: Some(home), retry, ..OpenOptions::default() })).unwrap()
}

/// Reads the whole file through the cache and holds it against what it should be.
fn download(url: &str, folder: &Path) -> Library {
    let library = open(url, folder);
    let runs: Vec<_> = slices().into_iter().map(|range| Run { shard: 0, range }).collect();
    let file = file();
    for runs in runs.chunks(AT_ONCE) {
        let mut got = vec![Vec::new(); runs.len()];
        let mut sink = |i: usize, piece: &[u8]| {
            got[i].extend_from_slice(piece);
            ControlFlow::Continue(())
        };
        block_on(library.read_runs(runs, Priority::Background, &mut sink)).unwrap();
        for (run, got) in runs.iter().zip(got) {
            assert!(got == file[run.range.start as usize..run.range.end as usize], "other bytes came than are served");
        }
    }
    block_on(library.flush());
    assert!(library.take_problem().is_none());
    library
}

/// What a child does; by itself, nothing.
#[test]
fn child() {
    let (Ok(url), Ok(folder)) = (std::env::var("STORE_CHILD_URL"), std::env::var("STORE_CHILD_FOLDER")) else {
        return;
    };
    if std::env::var_os("STORE_CHILD_IMPORTS").is_some() {
        import_half(&url, Path::new(&folder));
    } else {
        download(&url, Path::new(&folder));
    }
}

/// Imports another file than the server's, as large, but never ends.
fn import_half(url: &str, folder: &Path) {
    let source = Memory::new("another", file().iter().map(|byte| byte ^ 1).collect::<Vec<_>>());
    let identity = Identity { location: url.to_owned(), size: SIZE as u64, tag: None };
    let mut on_progress = |at| {
        if at > SIZE as u64 / 2 {
            loop {
                std::thread::park();
            }
        }
        ControlFlow::Continue(())
    };
    block_on(store::import(&Directory::new(folder), &identity, &source, &mut on_progress)).unwrap();
}

fn child_of(url: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]).env("STORE_CHILD_URL", url).env("STORE_CHILD_FOLDER", folder).stdout(Stdio::null());
    command
}

fn start_child(url: &str, folder: &Path) -> Child {
    child_of(url, folder).spawn().unwrap()
}

#[test]
fn a_process_killed_at_any_byte_loses_at_most_what_was_in_flight() {
    let cdn = Cdn::start(Files::one("m.gguf", file()), Spec::default(), 0).unwrap();
    let (url, folder) = (cdn.url("m.gguf"), folder("killed"));
    let home = Directory::new(&folder);
    let (mut kept_before, mut most_lost, mut all_lost) = (0, 0, 0);
    for round in 0..20_u64 {
        cdn.reset_counts();
        // Half of the rounds get more than may be lost, so that some of it must be kept.
        let at = 100_003 + round * 9_919_003 % (2 * IN_FLIGHT);
        cdn.set(Spec { hold: Some(at), ..Spec::default() });
        let mut child = start_child(&url, &folder);
        assert!(cdn.wait_until_held(Duration::from_secs(30)), "round {round}: it ended before byte {at}");
        child.kill().unwrap();
        child.wait().unwrap();
        let sent = cdn.counts().bytes_once();
        let kept = kept_bytes(&home);
        assert!(kept >= kept_before, "round {round}: {kept_before} bytes were kept, now {kept}");
        let lost = sent.saturating_sub(kept - kept_before);
        assert!(lost <= IN_FLIGHT, "round {round}: {sent} bytes were sent, {} more are kept", kept - kept_before);
        (kept_before, most_lost, all_lost) = (kept, most_lost.max(lost), all_lost + lost);
        if round % 5 == 4 {
            for kept in block_on(home.list()).unwrap() {
                let found = block_on(store::verify(&home, &kept.identity, &mut |_| ControlFlow::Continue(()))).unwrap();
                assert_eq!((found.bytes, found.bad_chunks), (kept.bytes, 0));
            }
        }
        // Those whose reader has gone end.
        cdn.set(Spec::default());
        wait_until_quiet(&cdn);
    }
    cdn.reset_counts();
    download(&url, &folder);
    let again = cdn.counts().bytes;
    println!(
        "killed 20 times: {kept_before} of {SIZE} bytes were kept by then; {most_lost} bytes lost at most, {} on average",
        all_lost / 20
    );
    assert!(kept_before >= SIZE as u64 / 3, "{kept_before}");
    assert!(again <= SIZE as u64 - kept_before + 1, "{again} bytes were sent, {kept_before} were kept");
    let _ = std::fs::remove_dir_all(&folder);
}

/// Until nothing is sent any more.
fn wait_until_quiet(cdn: &Cdn) {
    let mut before = None;
    while before != Some(cdn.counts().bytes) {
        before = Some(cdn.counts().bytes);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kept_bytes(home: &Directory) -> u64 {
    block_on(home.list()).unwrap().iter().map(|kept| kept.bytes).sum()
}

#[test]
fn two_processes_fetch_no_byte_twice() {
    let cdn = Cdn::start(Files::one("m.gguf", file()), Spec { bytes_per_second: Some(80_000_000), ..Spec::default() }, 0).unwrap();
    let (url, folder) = (cdn.url("m.gguf"), folder("two"));
    let mut children = [start_child(&url, &folder), start_child(&url, &folder)];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let counts = cdn.counts();
    // Each asks for the size with the first byte.
    assert!(counts.bytes <= SIZE as u64 + 2, "{} bytes were sent, {} of them again", counts.bytes, counts.bytes_again());
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn what_a_killed_import_has_left_is_discarded() {
    let cdn = Cdn::start(Files::one("m.gguf", file()), Spec::default(), 0).unwrap();
    let (url, folder) = (cdn.url("m.gguf"), folder("import"));
    let home = Directory::new(&folder);
    let mut child = child_of(&url, &folder).env("STORE_CHILD_IMPORTS", "1").spawn().unwrap();
    while kept_bytes(&home) < SIZE as u64 / 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(block_on(store::list(&home)).unwrap()[0].bytes > 0, "it is under way");
    child.kill().unwrap();
    child.wait().unwrap();
    download(&url, &folder);
    assert_eq!(block_on(store::list(&home)).unwrap().len(), 1);
    let _ = std::fs::remove_dir_all(&folder);
}

/// Sends a signal.
#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_process_that_is_stopped_is_not_waited_for_without_end_and_may_go_on_later() {
    let cdn = Cdn::start(Files::one("m.gguf", file()), Spec { hold: Some(20_000_000), ..Spec::default() }, 0).unwrap();
    let (url, folder) = (cdn.url("m.gguf"), folder("stopped"));
    let mut stopped = start_child(&url, &folder);
    assert!(cdn.wait_until_held(Duration::from_secs(30)));
    signal(&stopped, "-STOP");
    cdn.set(Spec::default());
    let mut other = child_of(&url, &folder).env("STORE_CHILD_PATIENCE", "1").spawn().unwrap();
    let began = Instant::now();
    let done = loop {
        if let Some(done) = other.try_wait().unwrap() {
            break done;
        }
        if began.elapsed() > Duration::from_secs(60) {
            [&mut other, &mut stopped].into_iter().for_each(|child| child.kill().unwrap());
            panic!("it waits for a process that does nothing");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    println!("went on without a process that was stopped; all of it took {:?}", began.elapsed());
    assert!(done.success() && began.elapsed() >= Duration::from_secs(1));
    // Both have read the same bytes, and what both have written is good.
    signal(&stopped, "-CONT");
    assert!(stopped.wait().unwrap().success());
    let kept = block_on(Directory::new(&folder).list()).unwrap().remove(0);
    let found = block_on(store::verify(&Directory::new(&folder), &kept.identity, &mut |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!((found.bytes, found.bad_chunks), (SIZE as u64, 0));
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn what_is_cached_opens_and_reads_without_a_network() {
    let folder = folder("offline");
    let url = {
        let cdn = Cdn::start(Files::one("m.gguf", file()), Spec::default(), 0).unwrap();
        let url = cdn.url("m.gguf");
        download(&url, &folder);
        url
    };
    // The server has gone.
    let library = download(&url, &folder);
    assert_eq!(library.traffic().requests, 0);
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_byte_that_changes_on_disk_is_fetched_again_and_never_used() {
    let folder = folder("flipped");
    let cdn = Cdn::start(Files::one("m.gguf", file()), Spec::default(), 0).unwrap();
    let url = cdn.url("m.gguf");
    download(&url, &folder);
    let data = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path().join("data");
    let mut bytes = std::fs::read(&data).unwrap();
    for at in [0, 12_345_678, SIZE - 1] {
        bytes[at] ^= 0x10;
    }
    std::fs::write(&data, bytes).unwrap();
    cdn.reset_counts();
    let library = download(&url, &folder);
    assert!(library.traffic().bytes <= 3 * store::CHUNK_BYTES as u64, "{:?}", library.traffic());
    drop(library);
    cdn.reset_counts();
    download(&url, &folder);
    assert_eq!(cdn.counts().requests, 0);
    let _ = std::fs::remove_dir_all(&folder);
}
