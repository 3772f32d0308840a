//! A directory as a home.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::ops::ControlFlow;
use std::path::PathBuf;

use pollster::block_on;
use store::{Change, Chunk, Directory, Error, Home, Identity, Memory, Shelf, checksum, export, import, verify};

fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quire-directory-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    /// The only folder of a file in it.
    fn file(&self, part: &str) -> PathBuf {
        std::fs::read_dir(&self.0).unwrap().next().unwrap().unwrap().path().join(part)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn identity(size: usize, tag: &str) -> Identity {
    Identity { location: "https://example.com/a/model.gguf?x=/y".to_owned(), size: size as u64, tag: Some(tag.to_owned()) }
}

fn fill(home: &Directory, identity: &Identity) -> Result<(), Error> {
    let source = Memory::new("file", bytes(identity.size as usize));
    block_on(import(home, identity, &source, &mut |_| ControlFlow::Continue(())))
}

fn take_out(home: &Directory, identity: &Identity) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut take = |piece: &[u8]| {
        out.extend_from_slice(piece);
        ControlFlow::Continue(())
    };
    block_on(export(home, identity, &mut take))?;
    Ok(out)
}

#[test]
fn what_another_program_lost_before_does_not_take_what_came_after_it() {
    let folder = Folder::new("late");
    let (home, other) = (Directory::new(&folder.0), Directory::new(&folder.0));
    let identity = identity(1000, "one");
    block_on(async {
        let (own, theirs) = (home.open(&identity).await.unwrap(), other.open(&identity).await.unwrap());
        let chunk = Chunk { start: 0, len: 1000, sum: checksum(&bytes(1000)) };
        let keep = async |shelf: &dyn Shelf| {
            let mut extent = shelf.extent(0);
            extent.push(&bytes(1000));
            extent.keep(vec![chunk], None).await.unwrap();
        };
        keep(&*theirs).await;
        theirs.forget(0..1000).await.unwrap();
        keep(&*own).await;
        assert_eq!(own.news().await.unwrap().last(), Some(&Change::Kept(chunk)));
        assert_eq!(theirs.news().await.unwrap().last(), Some(&Change::Kept(chunk)));
        own.forget(0..1000).await.unwrap();
        assert_eq!(own.news().await.unwrap(), [Change::Lost(0..1000)]);
    });
}

#[test]
fn what_is_kept_is_there_for_another_program_until_it_is_removed() {
    let folder = Folder::new("kept");
    let (old, new) = (identity(300_000, "old"), identity(9_000_001, "new"));
    let home = Directory::new(&folder.0);
    assert_eq!(block_on(home.list()).unwrap(), []);
    fill(&home, &old).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fill(&home, &new).unwrap();
    let home = Directory::new(&folder.0);
    let kept: Vec<_> = block_on(home.list()).unwrap().into_iter().map(|kept| (kept.identity, kept.bytes)).collect();
    assert_eq!(kept, [(old.clone(), 300_000), (new.clone(), 9_000_001)]);
    assert!(take_out(&home, &new).unwrap() == bytes(9_000_001));
    block_on(home.remove(&old)).unwrap();
    block_on(home.remove(&old)).unwrap();
    assert_eq!(block_on(home.list()).unwrap().len(), 1);
}

#[test]
fn a_byte_that_changes_on_disk_is_noticed_and_its_chunk_forgotten() {
    let folder = Folder::new("flip");
    let (home, identity) = (Directory::new(&folder.0), identity(1_000_000, "1"));
    fill(&home, &identity).unwrap();
    let mut data = std::fs::read(folder.file("data")).unwrap();
    data[600_000] ^= 4;
    std::fs::write(folder.file("data"), data).unwrap();
    let go_on = &mut |_| ControlFlow::Continue(());
    let found = block_on(verify(&home, &identity, go_on)).unwrap();
    assert_eq!((found.bad_chunks, found.sha256), (1, None));
    assert!(matches!(take_out(&home, &identity), Err(Error::Incomplete { .. })));
    fill(&home, &identity).unwrap();
    assert!(take_out(&home, &identity).unwrap() == bytes(1_000_000));
}

#[test]
fn what_killed_writers_left_half_written_is_removed_once_it_is_old() {
    let folder = Folder::new("parts");
    let (home, identity) = (Directory::new(&folder.0), identity(1000, "1"));
    fill(&home, &identity).unwrap();
    let part = |name: &str, hours: u64| {
        let path = folder.file(name);
        let made = std::time::SystemTime::now() - std::time::Duration::from_secs(3600 * hours);
        std::fs::File::create(&path).unwrap().set_modified(made).unwrap();
        path
    };
    let old = [part("file.77.part", 2), part("notes/heat.77.part", 2)];
    let kept = [part("file.78.part", 0), part("notes/heat", 2)];
    assert!(take_out(&home, &identity).unwrap() == bytes(1000));
    assert_eq!((old.map(|path| path.exists()), kept.map(|path| path.exists())), ([false; 2], [true; 2]));
}

#[test]
fn a_home_says_how_much_there_is_room_for() {
    let folder = Folder::new("room");
    let home = Directory::new(&folder.0);
    fill(&home, &identity(1000, "1")).unwrap();
    assert!(block_on(home.free_bytes()).is_some_and(|free| free > 0));
}

#[test]
fn data_that_was_cut_off_is_noticed() {
    let folder = Folder::new("cut");
    let (home, identity) = (Directory::new(&folder.0), identity(1_000_000, "1"));
    fill(&home, &identity).unwrap();
    std::fs::File::options().write(true).open(folder.file("data")).unwrap().set_len(300_000).unwrap();
    let found = block_on(verify(&home, &identity, &mut |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!(found.bytes, 256 << 10);
}

#[test]
fn a_folder_of_a_newer_program_is_left_alone() {
    let folder = Folder::new("newer");
    let (home, identity) = (Directory::new(&folder.0), identity(1000, "1"));
    fill(&home, &identity).unwrap();
    let path = folder.file("file.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 99");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(block_on(home.list()).unwrap(), []);
    match block_on(home.open(&identity)).map(|_| ()) {
        Err(Error::Format { got, .. }) => assert_eq!(got, "99"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn two_users_of_a_folder_see_each_others_chunks_and_wait_for_each_others_claims() {
    let folder = Folder::new("two");
    let (first, second) = (Directory::new(&folder.0), Directory::new(&folder.0));
    let identity = identity(1_000_000, "1");
    let (a, b) = (block_on(first.open(&identity)).unwrap(), block_on(second.open(&identity)).unwrap());
    assert_eq!(block_on(b.news()).unwrap(), []);
    let chunk = store::Chunk { start: 500, len: 3, sum: store::checksum(b"abc") };
    let mut extent = a.extent(500);
    extent.push(b"abc");
    block_on(extent.keep(vec![chunk], None)).unwrap();
    assert_eq!(block_on(b.news()).unwrap(), [Change::Kept(chunk)]);
    block_on(b.forget(501..502)).unwrap();
    assert!(block_on(a.news()).unwrap().contains(&Change::Lost(501..502)));

    let claim = block_on(a.claim(0..10)).unwrap();
    // The same user may claim it again, and anybody a part far away.
    block_on(a.claim(5..9)).unwrap();
    block_on(b.claim(100 << 20..101 << 20)).unwrap();
    let waits = std::cell::Cell::new(true);
    let other = async {
        b.claim(4..6).await.unwrap();
        assert!(!waits.get(), "it did not wait");
    };
    let own = async {
        let mut n = 0;
        std::future::poll_fn(|cx| {
            n += 1;
            cx.waker().wake_by_ref();
            if n < 50 { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
        waits.set(false);
        drop(claim);
    };
    block_on(futures_util::future::join(other, own));
}

#[test]
fn a_note_is_written_whole() {
    let folder = Folder::new("note");
    let (home, identity) = (Directory::new(&folder.0), identity(10, "1"));
    let shelf = block_on(home.open(&identity)).unwrap();
    assert_eq!(block_on(shelf.note("heat")).unwrap(), None);
    block_on(shelf.set_note("heat", &[1; 1000])).unwrap();
    block_on(shelf.set_note("heat", &[2; 10])).unwrap();
    assert_eq!(block_on(shelf.note("heat")).unwrap(), Some(vec![2; 10]));
    assert_eq!(std::fs::read_dir(folder.file("notes")).unwrap().count(), 1);
}

#[test]
fn a_claim_ends_with_the_write_though_nobody_asks_after_it() {
    let folder = Folder::new("ends");
    let (first, second) = (Directory::new(&folder.0), Directory::new(&folder.0));
    let identity = identity(1_000_000, "1");
    let (a, b) = (block_on(first.open(&identity)).unwrap(), block_on(second.open(&identity)).unwrap());
    let claim = block_on(a.claim(0..10)).unwrap();
    let mut extent = a.extent(0);
    extent.push(b"abc");
    // Never polled.
    let _done = extent.keep(vec![store::Chunk { start: 0, len: 3, sum: store::checksum(b"abc") }], claim);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut other = b.claim(0..10);
    block_on(std::future::poll_fn(|cx| {
        assert!(std::time::Instant::now() < deadline, "it waits for somebody to look");
        cx.waker().wake_by_ref();
        other.as_mut().poll(cx)
    }))
    .unwrap();
}
