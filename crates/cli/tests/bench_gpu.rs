//! `quire bench gpu`, small: a person with a GPU may run it once.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

#[test]
fn it_holds_what_a_gpu_computes_to_the_twins_and_measures_the_rest_with_what_is_slow_at_the_end() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-gpu.csv");
    std::fs::remove_file(&path).ok();
    let small = "--layers 2 --vocabulary 1024 --contexts 0,300 --prompts 8 --decode 3 --rounds 1 --slots 25 --limit 300 --out";
    let output = Command::new(env!("CARGO_BIN_EXE_quire")).args(["bench", "gpu"]).args(small.split(' ')).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let rows = measures::read(&path).unwrap();
    let values = |measure: &str| rows.iter().filter(|row| row.measure == measure).map(|row| row.value).collect::<Vec<_>>();
    for what in ["residual stream beside the CPU twins, relative RMS", "logits beside the CPU twins, relative RMS"] {
        assert!(values(what).len() >= 3 && values(what).iter().all(|error| *error < 1e-3), "{what}: {rows:?}");
    }
    for (what, n) in [("load", 1), ("copy", 2), ("product", 2), ("dispatches", 1), ("misses", 1), ("passes", 1)] {
        assert_eq!(values(what).len(), n, "{what}: {rows:?}");
    }
    for share in ["decode, share of what a copy's bandwidth gives", "prefill, share of what a product's rate gives"] {
        assert!(values(share).len() == 2 && values(share).iter().all(|share| *share > 0.0), "{share}: {rows:?}");
    }
    let sizes = |measure: &str| {
        let rows = rows.iter().filter(|row| row.measure == measure);
        rows.map(|row| [row.slots, row.context, row.tokens].map(Option::unwrap_or_default)).collect::<Vec<_>>()
    };
    assert_eq!(sizes("decode"), [[32, 0, 3], [32, 300, 3], [8, 0, 3]]);
    assert_eq!(sizes("first token"), [[32, 0, 8], [32, 300, 8]]);
    let nth = |measure: &str| rows.iter().rposition(|row| row.measure == measure);
    assert!(nth("misses") < nth("first token"), "{rows:?}");

    let is_software = ["llvmpipe", "SwiftShader"].iter().any(|name| rows[0].adapter.contains(name));
    assert!(rows.iter().all(|row| row.adapter.ends_with("(software)") == is_software), "{}", rows[0].adapter);
    assert_eq!(String::from_utf8_lossy(&output.stderr).contains("is software: its times say"), is_software);
}
