//! What the files of a model must be, by a manifest.

use std::process::Output;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::cdn::{Cdn, Files, Spec};

use crate::kept::{GENERATE, Kept, nano, serve_nano};

#[test]
fn a_manifest_knows_a_file_wherever_it_is_and_a_wrong_one_is_a_failure_that_forgets_it() {
    let kept = Kept::new("manifest");
    let (cdn, url) = serve_nano();
    let (moved, elsewhere) = serve_nano();
    let bytes = std::fs::read(nano()).unwrap();
    let path = kept.0.with_extension("json");
    let write = |size: usize, sum: &str| {
        let json = serde_json::json!({ "files": [{ "url": "nano.gguf", "size": size, "sha256": sum }] });
        std::fs::write(&path, json.to_string()).unwrap();
    };
    let manifest = ["--manifest", path.to_str().unwrap()];
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    write(bytes.len(), &sum);
    kept.stdout(&["cache", "import", &url, &nano()]);
    moved.reset_counts();
    // The name alone says which file it is; the sum was not said before.
    let ids = kept.generate(&url, &manifest)["ids"].clone();
    assert_eq!(kept.generate(&elsewhere, &manifest)["ids"], ids);
    assert_eq!((cdn.counts().bytes, moved.counts().requests), (0, 0));
    let found = &kept.json(&["cache", "verify", &url, "--json"])[0];
    assert_eq!((&found["sha256"], &found["announced"]), (&Value::from(sum.as_str()), &Value::from(true)));

    write(bytes.len(), &"ab".repeat(32));
    kept.generate(&url, &manifest);
    assert!(kept.failure(&["cache", "verify"]).contains(&sum));
    assert_eq!(kept.json(&["cache", "size", &url, "--json"])["bytes"], 0);
    // What is not kept is not held against the sum, which is said, but against the size.
    let output = kept.quire(&["inspect", &url, "--no-cache", manifest[0], manifest[1]]);
    assert!(output.status.success() && String::from_utf8(output.stderr).unwrap().contains("sums that"));
    write(bytes.len() + 1, &sum);
    for location in [&url, &nano()] {
        assert!(kept.failure(&["inspect", location, manifest[0], manifest[1]]).contains("size"));
        assert!(kept.failure(&["inspect", location, "--no-cache", manifest[0], manifest[1]]).contains("size"));
    }
    std::fs::write(&path, "{}").unwrap();
    assert!(kept.failure(&["inspect", &url, manifest[0], manifest[1]]).contains("files"));
    let _ = std::fs::remove_file(&path);
}

#[test]
fn a_manifest_by_url_is_kept_too_with_the_token_of_its_host_and_asked_for_anew() {
    let kept = Kept::new("manifest-url");
    let bytes = std::fs::read(nano()).unwrap();
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = |size: usize| {
        let json = serde_json::json!({ "files": [{ "url": "nano.gguf", "size": size, "sha256": sum }] });
        Files::one("all.json", json.to_string().into_bytes())
    };
    let (cdn, url) = serve_nano();
    let host = Cdn::start(manifest(bytes.len()), Spec::default(), 0).unwrap();
    let (port, all, hub) = (host.port(), host.url("all.json"), host.url(""));
    let args = [&["generate", &url, "--max-tokens", "4", "--manifest", &all][..], &GENERATE].concat();
    let run = || kept.command(&args).env("HF_TOKEN", "hf_secret").env("HF_ENDPOINT", &hub).output().unwrap();
    let first = run();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let sent = host.counts().authorizations;
    assert!(!sent.is_empty() && sent.iter().all(|(_, value)| value == "Bearer hf_secret"), "{sent:?}");
    assert!(cdn.counts().authorizations.is_empty());
    drop(host);
    let ids = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap()["ids"].clone();
    assert_eq!(ids(&run()), ids(&first));

    let _host = Cdn::start(manifest(bytes.len() + 1), Spec { tag: Some("another".into()), ..Spec::default() }, port).unwrap();
    let said = String::from_utf8(run().stderr).unwrap();
    assert!(said.contains("size"), "{said}");
}
