//! Puts the chat page into the program, if `cargo xtask package` has left it in `page/` by then.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=page");
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("cargo sets no {name}")));
    let folder = variable("CARGO_MANIFEST_DIR")?.join("page");
    let mut files = Vec::new();
    find(&folder, &mut files)?;
    files.sort();
    let mut table = String::from("/// Paths of URLs and what is there.\nstatic FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let path = file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        table += &format!("    ({:?}, include_bytes!({:?})),\n", format!("/{path}"), file.display().to_string());
    }
    fs::write(variable("OUT_DIR")?.join("page.rs"), table + "];\n")
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.file_name().is_some_and(|name| name != ".gitignore") {
            files.push(path);
        }
    }
    Ok(())
}
