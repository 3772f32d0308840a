//! A directory as a home: a folder for each version of a file, which several processes may use at once.
//!
//! ```text
//! ROOT/model.gguf-0123456789abcdef/
//!   file.json   format version and identity
//!   data        the file's bytes at their own places, with holes
//!   journal     which of them are there, see journal.rs
//!   claims/     locks on parts that are being fetched, and one for imports
//!   notes/      small data by name
//! ```

mod claims;
mod journal;
mod shelf;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::index::Index;
use crate::cache::{Home, Identity, Kept, Shelf, checksum, import};
use crate::{Error, KnownSum, LocalFuture};
use journal::Journal;
use shelf::DirectoryShelf;

/// Of all that is in a folder. A change that older programs would misread takes the next number, and a step in [`read_identity`]
/// that turns the older form into the newer.
const FORMAT: u32 = 1;

/// What belongs to a file beside its bytes.
const NOTES: &str = "notes";
const CLAIMS: &str = "claims";

/// Ends the names of small files that are being written.
const PART: &str = "part";
/// No small file takes so long to write.
const OLD: Duration = Duration::from_secs(3600);

/// Begins the names of folders that are on their way out; no file's name does.
const REMOVED: &str = "~removed-";

/// Keeps files below one directory.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Nothing is made before something is kept.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `quire` where the system keeps caches: `$XDG_CACHE_HOME`, `~/.cache`, `~/Library/Caches`, `%LOCALAPPDATA%`. `None` if
    /// there is no such place.
    pub fn default_root() -> Option<PathBuf> {
        dirs::cache_dir().map(|caches| caches.join("quire"))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, identity: &Identity) -> PathBuf {
        let Identity { location, size, tag } = identity;
        let hash = checksum(format!("{location}\n{size}\n{}", tag.as_deref().unwrap_or_default()).as_bytes());
        let path = location.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        // What every file system takes; the hash tells files apart, the name is for people.
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name: String = name.chars().filter(is_plain).take(80).collect();
        self.root.join(format!("{name}-{hash:016x}"))
    }

    /// Of each location the oldest version first.
    fn kept(&self) -> Result<Vec<Kept>, Error> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(cannot_read(&self.root, &e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let folder = entry.map_err(|e| cannot_read(&self.root, &e))?.path();
            let identity = match read_identity(&folder) {
                Ok(Some((identity, made))) => (identity, made),
                Ok(None) => continue,
                Err(error) => {
                    log::warn!("{error}");
                    continue;
                }
            };
            // One that cannot be read is listed all the same, so that it can be removed.
            let bytes = kept_bytes(&folder).unwrap_or_else(|error| {
                log::warn!("{error}");
                0
            });
            let sum = fs::read(folder.join(NOTES).join(KnownSum::NOTE)).ok().and_then(|note| KnownSum::from_note(&note));
            let is_importing = fs::metadata(folder.join(NOTES).join(import::NOTE)).is_ok_and(|note| note.len() > 0);
            found.push((identity.1, Kept { identity: identity.0, bytes, sum, is_importing }));
        }
        found.sort_by(|(a, of_a), (b, of_b)| (&of_a.identity.location, a).cmp(&(&of_b.identity.location, b)));
        Ok(found.into_iter().map(|(_, kept)| kept).collect())
    }

    /// Removes all files, also those that cannot be read any more; returns the bytes that were kept of them.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn clear(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let folder = entry.path();
            // Of what somebody else has put here nothing is taken.
            if is_ours(&folder) {
                bytes += kept_bytes(&folder).unwrap_or(0);
                self.put_away(&folder)?;
            }
        }
        self.sweep()?;
        Ok(bytes)
    }

    /// Takes a file's folder away, at once or not at all; the bytes follow with [`Self::sweep`].
    fn put_away(&self, folder: &Path) -> Result<(), Error> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        match fs::rename(folder, self.root.join(format!("{REMOVED}{}-{name}", std::process::id()))) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(cannot_write(folder, &e, 0)),
            _ => Ok(()),
        }
    }

    /// Deletes what was removed, now or by a program that was killed meanwhile.
    fn sweep(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(REMOVED) {
                match fs::remove_dir_all(entry.path()) {
                    // Another program may be at it too.
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(cannot_write(&entry.path(), &e, 0)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn make(&self, identity: &Identity) -> Result<PathBuf, Error> {
        let folder = self.folder(identity);
        match read_identity(&folder)? {
            Some((there, _)) if there == *identity => return Ok(folder),
            Some((there, _)) => {
                return Err(Error::Write { location: folder.display().to_string(), cause: format!("{} is there already", there.location) });
            }
            None => {}
        }
        for part in [CLAIMS, NOTES] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(|e| cannot_write(&part, &e, 0))?;
        }
        let Identity { location, size, tag } = identity.clone();
        let text = serde_json::to_vec_pretty(&Form { version: FORMAT, location, size, tag })
            .map_err(|e| Error::Write { location: folder.display().to_string(), cause: e.to_string() })?;
        write_whole(&folder.join("file.json"), &text)?;
        Ok(folder)
    }
}

/// Whether a folder has the name and the parts of a file's.
fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let hash = name.rsplit_once('-').map_or("", |(_, hash)| hash);
    hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && folder.join(CLAIMS).is_dir()
}

fn kept_bytes(folder: &Path) -> Result<u64, Error> {
    let path = folder.join("journal");
    let mut index = Index::default();
    if path.is_file() {
        Journal::open(&path)?.refresh()?.iter().for_each(|change| index.apply(change));
    }
    Ok(index.bytes())
}

/// `file.json`
#[derive(Debug, Serialize, Deserialize)]
struct Form {
    version: u32,
    location: String,
    size: u64,
    tag: Option<String>,
}

/// Whose folder this is, and when it was made; `None` if it is no such folder, or not whole yet.
fn read_identity(folder: &Path) -> Result<Option<(Identity, std::time::SystemTime)>, Error> {
    let path = folder.join("file.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(cannot_read(&path, &e)),
    };
    let foreign = |got: String| Error::Format { location: folder.display().to_string(), known: FORMAT, got };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| foreign(format!("unknown ({e})")))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(FORMAT) => {}
        Some(version) => return Err(foreign(version.to_string())),
        None => return Err(foreign("none".to_owned())),
    }
    let Form { location, size, tag, .. } = serde_json::from_value(value).map_err(|e| foreign(format!("unknown ({e})")))?;
    let made = fs::metadata(&path).and_then(|meta| meta.modified()).unwrap_or(std::time::UNIX_EPOCH);
    Ok(Some((Identity { location, size, tag }, made)))
}

/// Writes a small file so that it is there whole or as it was before.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension(format!("{}.{PART}", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| {
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| _ = fs::remove_file(&beside));
    let settled = renamed.and_then(|()| path.parent().map_or(Ok(()), sync_folder));
    settled.map_err(|e| cannot_write(path, &e, bytes.len() as u64))
}

/// Makes sure of the names in a folder: that what is in a file has reached the disk does not say so of its name. Some systems have no
/// such call, and some file systems do not know it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match fs::File::open(folder)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Removes what programs that were killed have left half written in a folder.
fn sweep_parts(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_part = entry.path().extension().is_some_and(|extension| extension == PART);
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_part && age.is_some_and(|age| age > OLD) {
            // Another program may be at it too.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn cannot_read(path: &Path, e: &io::Error) -> Error {
    Error::Open { location: path.display().to_string(), cause: e.to_string() }
}

/// What a failed write of `needed` bytes means.
fn cannot_write(path: &Path, e: &io::Error, needed: u64) -> Error {
    let location = path.display().to_string();
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::Full { location, needed, free: path.parent().and_then(|folder| fs4::available_space(folder).ok()) }
        }
        _ => Error::Write { location, cause: e.to_string() },
    }
}

impl Home for Directory {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self) -> LocalFuture<'_, Result<Vec<Kept>, Error>> {
        Box::pin(async { self.kept() })
    }

    fn open<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<Rc<dyn Shelf>, Error>> {
        Box::pin(async move {
            let folder = self.make(identity)?;
            [folder.clone(), folder.join(NOTES)].iter().for_each(|folder| sweep_parts(folder));
            let shelf = DirectoryShelf::open(&folder, identity)?;
            for folder in [&folder, &self.root] {
                sync_folder(folder).map_err(|e| cannot_write(folder, &e, 0))?;
            }
            Ok(Rc::new(shelf) as Rc<dyn Shelf>)
        })
    }

    fn free_bytes(&self) -> LocalFuture<'_, Option<u64>> {
        Box::pin(async { fs4::available_space(&self.root).ok() })
    }

    fn remove<'a>(&'a self, identity: &'a Identity) -> LocalFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.put_away(&self.folder(identity))?;
            self.sweep()
        })
    }
}
