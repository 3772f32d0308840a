//! What a first answer needs of a model that is far away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so and stop")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::cdn::{Cdn, Files, Spec};
use tests::made_model;

#[test]
fn to_the_first_token_generate_fetches_what_it_needs_and_says_so() {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-token");
    let _ = std::fs::remove_dir_all(&kept);
    let model = made_model("smollm2-moe");
    let cdn = Cdn::start(Files::Below(model.parent().unwrap().into()), Spec::default(), 0).unwrap();
    let url = cdn.url(&model.file_name().unwrap().to_string_lossy());
    let visit = || -> Value {
        let args = ["generate", "--json", "--tokens", "5,80", "--max-tokens", "1", &url];
        let output = Command::new(env!("CARGO_BIN_EXE_quire")).args(args).env("QUIRE_CACHE", &kept).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["stats"].clone()
    };
    let stats = visit();
    let [fetched, header, dense, touched, hits, misses, passes, readbacks] =
        ["bytes_fetched", "bytes_header", "bytes_dense", "experts_touched", "hits", "misses", "passes", "readbacks"]
            .map(|name| stats[name].as_u64().unwrap_or_else(|| panic!("{name}: {stats}")));
    let needed = header + dense + touched * stats["bytes_per_expert"].as_u64().unwrap();
    assert!(fetched as f64 <= 1.02 * needed as f64, "{fetched} of {needed}: {stats}");
    assert!(touched > 0 && hits + misses >= touched && passes >= 1 && readbacks >= 1, "{stats}");
    // One byte asks for the size.
    assert!(cdn.counts().bytes_again() <= 1, "{:?}", cdn.counts());
    assert_eq!(visit()["bytes_fetched"], 0);
    std::fs::remove_dir_all(&kept).unwrap();
}
