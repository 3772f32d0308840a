//! Sets of shards: the same model in one file and in several.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sample;

use gguf::{Directory, Error, Header, Writer, shard_names};
use sample::header;

fn directory(files: &[Vec<u8>]) -> Result<Directory, Error> {
    Directory::new(files.iter().map(|file| (header(file), file.len() as u64)).collect())
}

fn shards(split: impl FnOnce(Writer) -> Result<Vec<Writer>, Error>) -> Vec<Vec<u8>> {
    split(sample::writer(sample::metadata())).unwrap().into_iter().map(sample::write).collect()
}

fn check_same_model(files: &[Vec<u8>]) {
    let whole = directory(&[sample::file()]).unwrap();
    let set = directory(files).unwrap();
    assert_eq!(set.metadata, whole.metadata);
    assert_eq!(set.tensors.len(), whole.tensors.len());
    for (tensor, alone) in set.tensors.iter().zip(whole.tensors.iter()) {
        let place = |t: &gguf::Tensor| (t.name.clone(), t.shape.clone(), t.dtype, t.bytes);
        assert_eq!(place(tensor), place(alone));
        let start = tensor.start as usize;
        let data = &files[tensor.shard][start..start + tensor.bytes as usize];
        assert_eq!(data, sample::data(&tensor.name, tensor.bytes), "{}", tensor.name);
        assert_eq!(set.get(&tensor.name), Some(tensor));
    }
    assert_eq!(set.get("blk.1.attn_norm.weight"), None);
}

#[test]
fn one_file_is_a_set_of_one() {
    check_same_model(&[sample::file()]);
    check_same_model(&shards(|writer| writer.split(1)));
}

#[test]
fn shards_give_the_directory_of_the_single_file() {
    for n in 2..=6 {
        let files = shards(|writer| writer.split(n));
        assert_eq!(files.len(), n);
        check_same_model(&files);
    }
}

#[test]
fn the_first_shard_may_hold_no_tensors() {
    let files = shards(|writer| writer.split_at(&[0, 2]));
    assert!(header(&files[0]).tensors.is_empty());
    assert_eq!(header(&files[1]).metadata.len(), 3);
    check_same_model(&files);
}

#[test]
fn cuts_outside_the_tensors_are_refused() {
    for cuts in [[3, 2], [0, 7]] {
        let refused = sample::writer(sample::metadata()).split_at(&cuts).unwrap_err();
        assert_eq!(refused, Error::Cuts { cuts: cuts.to_vec(), tensors: 6 });
    }
    assert_eq!(sample::writer(sample::metadata()).split(0).unwrap_err(), Error::NoShards);
}

#[test]
fn incomplete_and_mixed_sets_are_refused() {
    let files = shards(|writer| writer.split(3));
    assert_eq!(Directory::new(vec![]), Err(Error::NoShards));
    assert_eq!(directory(&files[..2]), Err(Error::ShardCount { expected: 3, got: 2 }));
    let swapped = [files[0].clone(), files[2].clone(), files[1].clone()];
    assert_eq!(directory(&swapped), Err(Error::ShardNumber { expected: 1, got: 2 }));
    let strange = [files[0].clone(), files[1].clone(), sample::file()];
    assert_eq!(directory(&strange), Err(Error::ShardCount { expected: 1, got: 3 }));

    let headers = || -> Vec<(Header, u64)> { files.iter().map(|f| (header(f), f.len() as u64)).collect() };
    let mut short = headers();
    short[1].0.tensors.pop();
    assert!(matches!(Directory::new(short), Err(Error::ShardTensors { expected: 6, got: 5 })));
    let mut twice = headers();
    twice[2].0.tensors[0].name = "token_embd.weight".to_owned();
    assert_eq!(Directory::new(twice), Err(Error::DuplicateTensor { tensor: "token_embd.weight".to_owned() }));
    let mut cut = headers();
    cut[2].1 -= 32;
    assert!(matches!(Directory::new(cut), Err(Error::PastEnd { .. })));
}

#[test]
fn the_names_of_a_set_follow_from_any_of_them() {
    let names = shard_names("https://host/dir/model-Q4-00001-of-00003.gguf").unwrap();
    assert_eq!(
        names,
        [
            "https://host/dir/model-Q4-00001-of-00003.gguf",
            "https://host/dir/model-Q4-00002-of-00003.gguf",
            "https://host/dir/model-Q4-00003-of-00003.gguf"
        ]
    );
    assert_eq!(shard_names("https://host/dir/model-Q4-00003-of-00003.gguf"), Some(names));
    for name in [
        "model.gguf",
        "m-00000-of-00002.gguf",
        "m-00003-of-00002.gguf",
        "m-1-of-2.gguf",
        "m-+0001-of-00002.gguf",
        "m-00001-of-00002.bin",
        "00001-of-00002.gguf",
        "",
    ] {
        assert_eq!(shard_names(name), None, "{name}");
    }
}
