//! Reading through networks that fail in every way that the simulator knows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::single_range_in_vec_init, reason = "tests")]

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use pollster::block_on;
use store::{Directory, Error, Home, Http, Library, MemoryHome, Priority, Retry, Run, Source};
use tests::cdn::{Cdn, Fault, Files, Spec};

const SIZE: usize = 6_000_000;

fn file() -> Vec<u8> {
    (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn retry() -> Retry {
    Retry { attempts: 6, pause: Duration::from_millis(1), longest_pause: Duration::from_millis(20), stall: Duration::from_millis(150) }
}

fn serve(spec: Spec) -> Cdn {
    Cdn::start(Files::one("m.gguf", file()), Spec { stall: Duration::from_secs(2), ..spec }, 0).unwrap()
}

fn http(cdn: &Cdn) -> Rc<dyn Source> {
    Rc::new(Http::with_retry(cdn.url("m.gguf"), retry()))
}

async fn read(library: &Library, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>, Error> {
    let runs: Vec<_> = ranges.iter().map(|range| Run { shard: 0, range: range.clone() }).collect();
    let mut got = vec![Vec::new(); runs.len()];
    let mut sink = |i: usize, piece: &[u8]| {
        got[i].extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    library.read_runs(&runs, Priority::Demand, &mut sink).await?;
    Ok(got)
}

/// Reads a header and then slices of many sizes, some of them twice, and holds all against the file.
fn read_model(library: &Library) -> u64 {
    let all = file();
    let header = 0..400_000;
    let slices: Vec<_> = (0..50).map(|i| 500_000 + i * 110_000..500_000 + i * 110_000 + 30_000 + i * 1500).collect();
    let needed = 400_000 + slices.iter().map(|range| range.end - range.start).sum::<u64>();
    for ranges in [vec![header], slices[..20].to_vec(), slices[10..].to_vec(), slices] {
        let got = block_on(read(library, &ranges)).unwrap();
        for (range, got) in ranges.iter().zip(&got) {
            assert!(*got == all[range.start as usize..range.end as usize], "{range:?}");
        }
    }
    needed
}

#[test]
fn a_tenth_of_requests_failing_in_every_way_changes_no_byte_and_shows_no_error() {
    let (mut needed, mut sent, mut fetched, mut requests) = (0, 0, 0, 0);
    let mut seen: std::collections::BTreeMap<Fault, u64> = Default::default();
    let folder = std::env::temp_dir().join(format!("quire-faults-{}", std::process::id()));
    // Of every four, two are kept in a directory.
    let home = |seed: u64, folder: &Path| -> Rc<dyn Home> {
        if seed % 4 < 2 { Rc::new(MemoryHome::new(u64::MAX)) } else { Rc::new(Directory::new(folder.join(seed.to_string()))) }
    };
    for seed in 0..20 {
        // Every other server redirects to addresses that expire.
        let cdn = serve(Spec { redirect: (seed % 2 == 1).then_some(15), ..Spec::chaos(seed) });
        let library = block_on(Library::with_home(vec![http(&cdn)], home(seed, &folder))).unwrap();
        needed += read_model(&library);
        block_on(library.flush());
        let counts = cdn.counts();
        sent += counts.bytes;
        requests += counts.requests;
        fetched += library.traffic().bytes;
        for (fault, n) in counts.faults {
            *seen.entry(fault).or_default() += n;
        }
        if seed % 4 >= 2 {
            // The next visit finds all of it, and needs no server.
            drop(library);
            cdn.set(Spec { rate: 1.0, kinds: vec![Fault::Refuse], ..Spec::default() });
            let again = block_on(Library::with_home(vec![http(&cdn)], home(seed, &folder))).unwrap();
            read_model(&again);
            assert_eq!(again.traffic().bytes, 0, "seed {seed}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(Fault::ALL.iter().all(|fault| seen.contains_key(fault)), "{seen:?}");
    let overhead = fetched as f64 / needed as f64;
    println!("20 seeds: {needed} bytes needed, {fetched} arrived (x {overhead:.4}), {sent} sent, {requests} requests, faults {seen:?}");
    // A server that seems to ignore ranges for a while sends the file whole, which is more than what is needed of it.
    assert!(overhead < 1.4, "{overhead}");
}

#[test]
fn the_same_seed_meets_the_same_faults() {
    let faults = |seed| {
        // Addresses expire for whoever comes last, and a server that ignores ranges changes how others are asked.
        let kinds = Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::Expire | Fault::IgnoreRange)).collect();
        let cdn = serve(Spec { kinds, rate: 0.2, seed, ..Spec::default() });
        read_model(&block_on(Library::with_home(vec![http(&cdn)], Rc::new(MemoryHome::new(u64::MAX)))).unwrap());
        cdn.counts().faults
    };
    assert_eq!(faults(3), faults(3));
    assert_ne!(faults(3), faults(4));
}

#[test]
fn without_faults_each_byte_is_sent_once_and_little_beside() {
    let cdn = serve(Spec::default());
    let library = block_on(Library::with_home(vec![http(&cdn)], Rc::new(MemoryHome::new(u64::MAX)))).unwrap();
    let needed = read_model(&library);
    let counts = cdn.counts();
    // The first byte is also what the size was asked with.
    assert!(counts.bytes_again() <= 1, "{}", counts.bytes_again());
    assert!(counts.bytes as f64 <= 1.02 * needed as f64, "{} of {needed}", counts.bytes);
}

#[test]
fn each_fault_by_itself_is_survived() {
    for fault in Fault::ALL {
        // A total that is said twice in a row is believed to be another file's; a redirect makes two requests of each.
        let step = if matches!(fault, Fault::LieTotal | Fault::Expire) { 4 } else { 2 };
        let schedule = (2..=12).step_by(step).map(|number| (number, fault)).collect();
        let redirect = (fault == Fault::Expire).then_some(100);
        let cdn = serve(Spec { schedule, redirect, ..Spec::default() });
        let library = Library::new(vec![http(&cdn)]);
        let got = block_on(read(&library, &[1000..500_000, 2_000_000..2_400_000])).unwrap_or_else(|e| panic!("{}: {e}", fault.name()));
        assert!(got[1] == file()[2_000_000..2_400_000], "{}", fault.name());
        assert!(cdn.counts().faults.get(&fault).is_some_and(|&times| times > 0), "{} never happened", fault.name());
    }
}

#[test]
fn a_fault_that_never_ends_is_an_error_that_names_url_range_cause_and_tries() {
    for fault in Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::LieTotal | Fault::IgnoreRange | Fault::Truncate)) {
        let cdn = serve(Spec::default());
        let source = http(&cdn);
        block_on(source.size()).unwrap();
        cdn.set(Spec { rate: 1.0, kinds: vec![fault], redirect: (fault == Fault::Expire).then_some(1), ..Spec::default() });
        // The end of the file: there a lie about the start is one, whatever the length.
        let range = SIZE as u64 - 1..SIZE as u64;
        let got = block_on(read(&Library::new(vec![source]), std::slice::from_ref(&range))).unwrap_err();
        let Error::Network { url, start, attempts, .. } = &got else { panic!("{}: {got:?}", fault.name()) };
        assert_eq!((url.as_str(), *start), (cdn.url("m.gguf").as_str(), range.start), "{got}");
        assert!(*attempts >= 1, "{got}");
        assert_eq!(fault == Fault::Expire, got.to_string().contains("redirects to answered 403"), "{got}");
    }
}

#[test]
fn addresses_that_expire_while_others_share_them_are_no_failure() {
    // Each answers one request alone; a dozen at once share what the first was given.
    let cdn = serve(Spec { redirect: Some(1), latency: Duration::from_millis(2), ..Spec::default() });
    let source = Rc::new(Http::with_retry(cdn.url("m.gguf"), Retry { attempts: 2, ..retry() }));
    let slices: Vec<_> = (0..40).map(|i| i * 150_000..i * 150_000 + 50_000).collect();
    let got = block_on(read(&Library::new(vec![source.clone()]), &slices)).unwrap();
    assert!(slices.iter().zip(&got).all(|(range, got)| *got == file()[range.start as usize..range.end as usize]));
    let expired = source.traffic().retries;
    println!("{expired} addresses had expired for 40 slices, {} requests", cdn.counts().requests);
    assert!(expired >= 10, "{expired}");
}

#[test]
fn a_file_that_changes_is_an_error_and_what_was_kept_is_given_up() {
    let cdn = serve(Spec { change: Some(2), ..Spec::default() });
    let home = Rc::new(MemoryHome::new(u64::MAX));
    let library = block_on(Library::with_home(vec![http(&cdn)], home.clone())).unwrap();
    block_on(read(&library, &[0..100_000])).unwrap();
    let got = block_on(read(&library, &[200_000..300_000]));
    assert!(matches!(got, Err(Error::Changed { .. })), "{got:?}");
    // Opened anew, it is the new file and nothing of the old.
    let library = block_on(Library::with_home(vec![http(&cdn)], home)).unwrap();
    let got = block_on(read(&library, &[0..300_000])).unwrap();
    assert!(got[0].iter().zip(file()).all(|(got, old)| *got == old ^ 1));
}

#[test]
fn a_server_that_ignores_ranges_sends_its_file_once_into_the_cache() {
    let cdn = serve(Spec { rate: 1.0, kinds: vec![Fault::IgnoreRange], ..Spec::default() });
    let library = block_on(Library::with_home(vec![http(&cdn)], Rc::new(MemoryHome::new(u64::MAX)))).unwrap();
    read_model(&library);
    assert!(library.traffic().bytes <= SIZE as u64 + 1, "{:?}", library.traffic());
    // To ask for the size, and to read.
    assert_eq!(cdn.counts().requests, 2);
}

#[test]
fn the_simulator_is_as_slow_as_it_is_told() {
    let cdn = serve(Spec { latency: Duration::from_millis(5), bytes_per_second: Some(20_000_000), ..Spec::default() });
    let began = std::time::Instant::now();
    block_on(read(&Library::new(vec![http(&cdn)]), &[0..2_000_000])).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(95), "two megabytes at 20 MB/s in {:?}", began.elapsed());
}
