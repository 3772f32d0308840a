//! What the map in `crates/ARCHITECTURE.md` promises, as far as a machine can see it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files under `folder` whose names end with `ending`.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules", "vectors", "dist"].contains(&name.as_str()) {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn sources(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), ending, &mut found);
    assert!(!found.is_empty(), "no {ending} files");
    found
}

#[test]
fn dependencies_run_down_only() {
    // What each room may use of the others.
    let rooms: [(&str, &[&str]); 11] = [
        ("gguf", &[]),
        ("grammar", &[]),
        ("text", &["grammar"]),
        ("store", &[]),
        ("measures", &[]),
        ("kernels", &["gguf"]),
        ("model", &["gguf", "kernels"]),
        ("engine", &["gguf", "kernels", "model"]),
        ("api", &["engine", "gguf", "kernels", "model", "store", "text"]),
        ("cli", &["api", "engine", "gguf", "kernels", "measures", "model", "store", "text"]),
        ("web", &["api", "engine", "gguf", "kernels", "model", "store", "text"]),
    ];
    for (room, allowed) in rooms {
        let manifest = read_to_string(root().join(format!("crates/{room}/Cargo.toml"))).unwrap();
        for (other, _) in rooms {
            let uses =
                manifest.lines().any(|line| line.starts_with(&format!("{other}.workspace")) || line.starts_with(&format!("{other} =")));
            assert!(!uses || allowed.contains(&other), "{room} must not use {other}");
        }
        let knows_wgpu = manifest.lines().any(|line| line.starts_with("wgpu"));
        assert!(!knows_wgpu || room == "engine", "{room} must not know wgpu");
    }
}

#[test]
fn the_target_is_asked_for_only_where_a_module_is_picked() {
    for path in sources(".rs").iter().filter(|p| p.starts_with(root().join("crates"))) {
        let name = path.file_name().unwrap();
        let text = read_to_string(path).unwrap();
        assert!(name == "lib.rs" || !text.contains("cfg(target_arch"), "{} asks for the target", path.display());
    }
}

#[test]
fn files_are_small_enough_to_read() {
    for (ending, most) in [(".rs", 500), (".ts", 500), (".mjs", 500), (".wgsl", 300)] {
        for path in sources(ending) {
            let lines = read_to_string(&path).unwrap().lines().count();
            assert!(lines <= most, "{} has {lines} lines", path.display());
        }
    }
}

/// WGSL sets a variable to zero each time its declaration is reached; browsers do so only the first time in a loop.
#[test]
fn variables_of_shaders_say_what_they_begin_with() {
    for path in sources(".wgsl") {
        for (at, line) in read_to_string(&path).unwrap().lines().enumerate() {
            let is_bare = line.starts_with(' ') && line.trim_start().starts_with("var ") && line.ends_with(';') && !line.contains('=');
            assert!(!is_bare, "{}:{}: a variable without a first value", path.display(), at + 1);
        }
    }
}
