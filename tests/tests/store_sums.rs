//! The SHA-256 of whole files: from a manifest or a hub, checked once, and what happens if it is another one.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use pollster::block_on;
use sha2::{Digest, Sha256};
use store::{Directory, Error, Home, Library, Manifest, MemoryHome, OpenOptions, Priority, Retry, Run, Sum, verify};
use tests::cdn::{Cdn, Files, Spec};

const SIZE: usize = 3_000_000;

fn file() -> Vec<u8> {
    (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sum() -> Sum {
    Sum(Sha256::digest(file()).into())
}

fn manifest(size: usize, sum: Sum) -> Option<Manifest> {
    let json = serde_json::json!({ "files": [{ "url": "m.gguf", "size": size, "sha256": sum.to_string() }] });
    Some(Manifest::from_json(json.to_string().as_bytes()).unwrap())
}

fn serve(spec: Spec) -> Cdn {
    Cdn::start(Files::one("m.gguf", file()), spec, 0).unwrap()
}

fn open(cdn: &Cdn, home: &Rc<dyn Home>, manifest: Option<Manifest>) -> Result<Library, Error> {
    let retry = Retry { attempts: 3, pause: Duration::from_millis(1), ..Retry::default() };
    let options = OpenOptions { home: Some(home.clone()), retry, manifest, ..OpenOptions::default() };
    block_on(Library::open(&[cdn.url("m.gguf")], &options))
}

fn memory() -> Rc<dyn Home> {
    Rc::new(MemoryHome::new(u64::MAX))
}

/// Reads all of it and keeps it.
fn read(library: &Library) -> Result<Vec<u8>, Error> {
    let mut got = Vec::new();
    let mut sink = |_: usize, piece: &[u8]| {
        got.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    let runs = [Run { shard: 0, range: 0..SIZE as u64 }];
    block_on(library.read_runs(&runs, Priority::Demand, &mut sink))?;
    block_on(library.flush());
    Ok(got)
}

/// Checks until there is nothing to check; returns how many steps that took.
fn check(library: &Library) -> Result<usize, Error> {
    let mut steps = 0;
    while block_on(library.check_some())? {
        steps += 1;
    }
    Ok(steps)
}

#[test]
fn a_file_is_checked_a_piece_at_a_time_once_it_is_whole_and_not_again_at_the_next_visit() {
    let folder = std::env::temp_dir().join(format!("quire-sums-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let homes: [Rc<dyn Home>; 2] = [memory(), Rc::new(Directory::new(&folder))];
    for home in homes {
        let cdn = serve(Spec::default());
        let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
        assert_eq!((check(&library).unwrap(), library.is_checked()), (0, false));
        assert!(read(&library).unwrap() == file());
        assert_eq!((check(&library).unwrap(), library.is_checked()), (SIZE.div_ceil(1 << 20), true));
        drop(library);
        for manifest in [manifest(SIZE, sum()), None] {
            let library = open(&cdn, &home, manifest).unwrap();
            assert_eq!((check(&library).unwrap(), library.is_checked()), (0, true));
        }
        let identity = block_on(home.list()).unwrap()[0].identity.clone();
        let found = block_on(verify(&*home, &identity, &mut |_| ControlFlow::Continue(()))).unwrap();
        assert_eq!((found.sha256, found.is_announced), (Some(sum()), true));
    }
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn without_a_sum_there_is_nothing_to_check() {
    let (cdn, home) = (serve(Spec::default()), memory());
    let library = open(&cdn, &home, None).unwrap();
    read(&library).unwrap();
    assert_eq!((check(&library).unwrap(), library.is_checked()), (0, false));
}

#[test]
fn the_same_sum_is_the_same_file_at_another_address_and_under_another_tag() {
    let (first, home) = (serve(Spec::default()), memory());
    read(&open(&first, &home, manifest(SIZE, sum())).unwrap()).unwrap();
    let moved = serve(Spec { tag: Some("renewed".to_owned()), ..Spec::default() });
    let library = open(&moved, &home, manifest(SIZE, sum())).unwrap();
    block_on(library.revalidate()).unwrap();
    assert!(read(&library).unwrap() == file());
    assert_eq!(moved.counts().bytes, 0);
    assert_eq!(block_on(home.list()).unwrap().len(), 1);
    // Nobody else says that it is.
    let library = open(&moved, &home, None).unwrap();
    assert!(read(&library).unwrap() == file());
    assert!(moved.counts().bytes >= SIZE as u64);
}

#[test]
fn what_was_kept_before_anybody_said_its_sum_is_taken_for_it_and_checked() {
    let (cdn, home) = (serve(Spec::default()), memory());
    read(&open(&cdn, &home, None).unwrap()).unwrap();
    cdn.set(Spec { tag: Some("renewed".to_owned()), ..Spec::default() });
    cdn.reset_counts();
    let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
    block_on(library.revalidate()).unwrap();
    assert!(check(&library).unwrap() > 0 && library.is_checked());
    assert_eq!(cdn.counts().bytes, 0);
}

#[test]
fn a_tag_that_is_renewed_in_the_middle_stops_nobody_who_has_a_manifest() {
    let (cdn, home) = (serve(Spec::default()), memory());
    let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
    let half = [Run { shard: 0, range: 0..SIZE as u64 / 2 }];
    block_on(library.read_runs(&half, Priority::Demand, &mut |_, _| ControlFlow::Continue(()))).unwrap();
    cdn.set(Spec { tag: Some("renewed".to_owned()), ..Spec::default() });
    assert!(read(&library).unwrap() == file());
    check(&library).unwrap();
    assert_eq!((library.is_checked(), library.traffic().bytes), (true, SIZE as u64));
}

#[test]
fn a_wrong_file_is_forgotten_comes_anew_once_and_then_is_refused() {
    // Another file of the same size, whatever is asked.
    let (cdn, home) = (serve(Spec { change: Some(0), ..Spec::default() }), memory());
    let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
    for _ in 0..2 {
        cdn.reset_counts();
        read(&library).unwrap();
        assert!(cdn.counts().bytes >= SIZE as u64);
        let error = check(&library).unwrap_err();
        assert!(matches!(error, Error::Unlike { .. }) && error.to_string().contains(&sum().to_string()), "{error}");
        assert_eq!((block_on(home.list()).unwrap()[0].bytes, library.is_checked()), (0, false));
    }
    cdn.reset_counts();
    assert!(matches!(read(&library), Err(Error::Unlike { .. })));
    assert_eq!((check(&library).unwrap(), cdn.counts().requests), (0, 0));
    // At the next visit the server has what it should.
    cdn.set(Spec::default());
    let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
    assert!(read(&library).unwrap() == file());
    assert!(check(&library).unwrap() > 0 && library.is_checked());
}

#[test]
fn what_comes_anew_may_be_right() {
    let (cdn, home) = (serve(Spec { change: Some(0), ..Spec::default() }), memory());
    let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
    read(&library).unwrap();
    assert!(matches!(check(&library), Err(Error::Unlike { .. })));
    cdn.set(Spec::default());
    assert!(read(&library).unwrap() == file());
    assert!(check(&library).unwrap() > 0 && library.is_checked());
}

#[test]
fn whoever_verifies_holds_it_against_the_sum_too() {
    let (cdn, home) = (serve(Spec { change: Some(0), ..Spec::default() }), memory());
    read(&open(&cdn, &home, manifest(SIZE, sum())).unwrap()).unwrap();
    let identity = block_on(home.list()).unwrap()[0].identity.clone();
    let found = block_on(verify(&*home, &identity, &mut |_| ControlFlow::Continue(())));
    assert!(matches!(found, Err(Error::Unlike { .. })), "{found:?}");
    assert_eq!(block_on(home.list()).unwrap()[0].bytes, 0);
}

#[test]
fn a_file_of_another_size_or_of_which_the_manifest_says_nothing_is_refused_at_once() {
    let (cdn, home) = (serve(Spec::default()), memory());
    let error = open(&cdn, &home, manifest(SIZE + 1, sum())).unwrap_err();
    assert!(matches!(error, Error::Unlike { what: "its size", .. }), "{error}");
    let json = br#"{"files":[]}"#;
    let error = open(&cdn, &home, Some(Manifest::from_json(json).unwrap())).unwrap_err();
    assert!(error.to_string().contains("m.gguf"), "{error}");
    assert!(block_on(home.list()).unwrap().is_empty());
}

#[test]
fn another_sum_is_another_version_which_takes_the_place_of_the_old_one() {
    let (cdn, home) = (serve(Spec { change: Some(0), ..Spec::default() }), memory());
    let old = Sum(Sha256::digest(file().iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).into());
    let library = open(&cdn, &home, manifest(SIZE, old)).unwrap();
    read(&library).unwrap();
    assert!(check(&library).unwrap() > 0 && library.is_checked());
    cdn.set(Spec::default());
    let library = open(&cdn, &home, manifest(SIZE, sum())).unwrap();
    assert!(read(&library).unwrap() == file());
    check(&library).unwrap();
    let kept = block_on(home.list()).unwrap();
    assert_eq!((kept.len(), kept[0].bytes, library.is_checked()), (1, SIZE as u64, true));
}

#[test]
fn a_hub_that_redirects_says_the_sum_whatever_its_addresses_tags_are() {
    let hub = |tag: &str| Spec { is_hub: true, redirect: Some(1000), tag: Some(tag.to_owned()), ..Spec::default() };
    let (cdn, home) = (serve(hub("a")), memory());
    let library = open(&cdn, &home, None).unwrap();
    read(&library).unwrap();
    assert!(check(&library).unwrap() > 0 && library.is_checked());
    cdn.set(hub("b"));
    block_on(open(&cdn, &home, None).unwrap().revalidate()).unwrap();
    assert_eq!(block_on(home.list()).unwrap()[0].bytes, SIZE as u64);
    // Another file is one, whatever its tag.
    let other = Cdn::start(Files::one("m.gguf", vec![7; SIZE]), Spec::default(), 0).unwrap();
    cdn.set(Spec { is_hub: false, redirect: None, moved: Some(other.url("")), ..hub("b") });
    assert!(matches!(block_on(open(&cdn, &home, None).unwrap().revalidate()), Err(Error::Changed { .. })));
    assert!(block_on(home.list()).unwrap().is_empty());
}

#[test]
fn without_a_cache_and_of_a_path_the_size_alone_is_checked_which_is_said() {
    let cdn = serve(Spec::default());
    let path = std::env::temp_dir().join(format!("quire-sums-local-{}", std::process::id())).join("m.gguf");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, file()).unwrap();
    let open =
        |location: &str, manifest| block_on(Library::open(&[location.to_owned()], &OpenOptions { manifest, ..OpenOptions::default() }));
    for location in [cdn.url("m.gguf"), path.display().to_string()] {
        let error = open(&location, manifest(SIZE + 1, sum())).unwrap_err();
        let words = format!("{location} is not the file that it should be: its size is {SIZE}, {} was expected", SIZE + 1);
        assert_eq!(error.to_string(), words);
        let silent = Manifest::from_json(br#"{"files":[]}"#).unwrap();
        assert!(open(&location, Some(silent)).unwrap_err().to_string().contains("does not speak of m.gguf"));
        assert!(open(&location, manifest(SIZE, sum())).unwrap().has_unchecked_sums());
        assert!(!open(&location, None).unwrap().has_unchecked_sums());
    }
    assert!(!self::open(&cdn, &memory(), manifest(SIZE, sum())).unwrap().has_unchecked_sums());
    // A home that cannot be had is the same as none.
    let nowhere: Rc<dyn Home> = Rc::new(Directory::new(&path));
    assert!(matches!(self::open(&cdn, &nowhere, manifest(SIZE + 1, sum())), Err(Error::Unlike { .. })));
    assert!(self::open(&cdn, &nowhere, manifest(SIZE, sum())).unwrap().has_unchecked_sums());
    let _ = std::fs::remove_dir_all(path.parent().unwrap());
}

#[test]
fn each_shard_of_a_set_is_held_against_its_own_entry() {
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    let shards = [file()[..2_000_000].to_vec(), file()[2_000_000..].to_vec()];
    let files = names.iter().zip(&shards).map(|(name, bytes)| ((*name).to_owned(), bytes.clone().into())).collect();
    let cdn = Cdn::start(Files::These(files), Spec::default(), 0).unwrap();
    let urls = names.map(|name| cdn.url(name));
    let sums = shards.clone().map(|shard| Sum(Sha256::digest(shard).into()));
    let open = |home: &Rc<dyn Home>, entries: &[(&str, usize, Sum)]| {
        let entry = |(name, size, sum): &(&str, usize, Sum)| serde_json::json!({ "url": name, "size": size, "sha256": sum.to_string() });
        let json = serde_json::json!({ "files": entries.iter().map(entry).collect::<Vec<_>>() });
        let manifest = Some(Manifest::from_json(json.to_string().as_bytes()).unwrap());
        block_on(Library::open(&urls, &OpenOptions { home: Some(home.clone()), manifest, ..OpenOptions::default() }))
    };
    let read = |library: &Library| {
        let runs: Vec<_> = shards.iter().enumerate().map(|(shard, bytes)| Run { shard, range: 0..bytes.len() as u64 }).collect();
        let mut got = [Vec::new(), Vec::new()];
        let mut sink = |i: usize, piece: &[u8]| {
            got[i].extend_from_slice(piece);
            ControlFlow::Continue(())
        };
        block_on(library.read_runs(&runs, Priority::Demand, &mut sink)).unwrap();
        block_on(library.flush());
        got
    };
    let [first, second] = [(names[0], shards[0].len(), sums[0]), (names[1], shards[1].len(), sums[1])];
    let home = memory();
    let library = open(&home, &[second, first]).unwrap();
    assert_eq!(read(&library), shards);
    assert!(check(&library).unwrap() > 0 && library.is_checked());
    // The other one's sum or size, or none.
    let home = memory();
    let library = open(&home, &[first, (second.0, second.1, sums[0])]).unwrap();
    read(&library);
    let error = check(&library).unwrap_err().to_string();
    assert!(error.contains(names[1]) && error.contains(&sums[1].to_string()) && !library.is_checked(), "{error}");
    let kept: Vec<_> = block_on(home.list()).unwrap().iter().map(|kept| kept.bytes).collect();
    assert_eq!(kept, [first.1 as u64, 0]);
    let error = open(&memory(), &[first, (second.0, first.1, sums[1])]).unwrap_err();
    assert!(matches!(&error, Error::Unlike { location, what: "its size", .. } if *location == urls[1]), "{error}");
    assert!(open(&memory(), &[first]).unwrap_err().to_string().contains(names[1]));
}
