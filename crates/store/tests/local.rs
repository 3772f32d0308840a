//! Files, memory and the cache before them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::Range;
use std::rc::Rc;

use pollster::block_on;
use store::{Error, Memory, Source, open, read_vec};

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}

/// A file that is removed when it goes out of scope.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn with(bytes: &[u8], name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quire-store-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_is_read_by_range() {
    let file = Temporary::with(&bytes(700_000), "range");
    let source = open(file.0.to_str().unwrap()).unwrap();
    assert_eq!(block_on(source.size()).unwrap(), 700_000);
    assert!(block_on(read_vec(&*source, 5..699_999)).unwrap() == bytes(700_000)[5..699_999]);
    assert!(block_on(read_vec(&*source, 700_000..700_000)).unwrap().is_empty());
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    for path in ["/no/such/file.gguf", "/"] {
        let error = open(path).err().unwrap();
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_range_outside_is_refused_before_anything_is_read() {
    let file = Temporary::with(&bytes(10), "outside");
    let sources: [Rc<dyn Source>; 2] = [open(file.0.to_str().unwrap()).unwrap(), Rc::new(Memory::new("m", bytes(10)))];
    for source in sources {
        for range in [5..11, 11..12, Range { start: 3, end: 2 }, 0..u64::MAX] {
            let got = block_on(read_vec(&*source, range));
            assert!(matches!(got, Err(Error::OutOfRange { size: 10, .. })), "{got:?}");
        }
    }
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    let file = Temporary::with(&bytes(1000), "shrinks");
    let source = open(file.0.to_str().unwrap()).unwrap();
    std::fs::write(&file.0, bytes(500)).unwrap();
    let got = block_on(read_vec(&*source, 0..1000));
    assert!(matches!(got, Err(Error::Read { .. })), "{got:?}");
}
