//! `quire cache`: what is kept of models by URL.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use store::{Directory, Error, Home, Http, Identity, Kept, LocalFile, Retry, Source};

use crate::locate::locate;
use crate::output::{self, size};
use crate::{args, hub};

mod sums;

/// List, check, remove, export and import what is kept of models by URL
///
/// A MODEL here is a URL or a name that stands for one; the URL of any shard of a set means all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Directory for what comes over the network [default: $QUIRE_CACHE, or quire where this system keeps caches]
    #[arg(long, value_name = "DIR", global = true)]
    cache: Option<PathBuf>,
    /// Print JSON; sizes are bytes
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show all files, also those of which only parts are kept
    List,
    /// Tell how many bytes are kept, of a model or of all
    Size {
        #[arg(value_name = "MODEL")]
        model: Option<String>,
    },
    /// Tell whether all of a model is kept, so that it opens without a network; if not, the exit status is 1
    Has {
        #[arg(value_name = "MODEL")]
        model: String,
    },
    /// Remove what is kept of a model, or of all
    Remove {
        #[arg(value_name = "MODEL", required_unless_present = "all")]
        model: Option<String>,
        /// Everything
        #[arg(long, conflicts_with = "model")]
        all: bool,
    },
    /// Read all that is kept, of a model or of all, and hold it against its checksums
    ///
    /// What is damaged is forgotten, and fetched again when it is needed. Tells the SHA-256 of what is kept whole; a file of which a
    /// manifest or the server has said another one is forgotten too, and a failure.
    Verify {
        #[arg(value_name = "MODEL")]
        model: Option<String>,
        /// Hold whole files against these sums too, lines as sha256sum writes them; any difference is a failure
        #[arg(long, value_name = "FILE")]
        sums: Option<PathBuf>,
    },
    /// Write a model that is kept whole to a file, or into a directory
    Export {
        #[arg(value_name = "MODEL")]
        model: String,
        #[arg(value_name = "OUT")]
        out: PathBuf,
    },
    /// Keep a file that is here as what the URL would give, so that it is not fetched; any shard means all of its set
    ///
    /// What has come of it is discarded if it does not come to its end. Where other bytes of it are kept already it is refused: remove them first.
    Import {
        #[arg(value_name = "MODEL")]
        model: String,
        #[arg(value_name = "FILE")]
        file: String,
    },
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let home = args::home(args.cache).context("this system has no place for caches: name one with --cache DIR")?;
    let cache = Cache { home, json: args.json };
    match args.command {
        Command::List => cache.list().await,
        Command::Size { model } => cache.size(model.as_deref()).await,
        Command::Has { model } => cache.has(&model).await,
        Command::Remove { model, .. } => cache.remove(model.as_deref()).await,
        Command::Verify { model, sums } => cache.verify(model.as_deref(), sums.as_deref()).await,
        Command::Export { model, out } => cache.export(&model, &out).await,
        Command::Import { model, file } => cache.import(&model, &file).await,
    }
}

#[derive(Serialize)]
struct Listed {
    url: String,
    size: u64,
    kept: u64,
    /// An ETag or a date.
    tag: Option<String>,
}

#[derive(Serialize)]
struct Checked {
    url: String,
    chunks: u64,
    /// Kept and good.
    bytes: u64,
    bad_chunks: u64,
    /// Of the whole file; `null` if not all of it is kept and good.
    sha256: Option<String>,
    /// Whether a manifest or the server has said the same.
    announced: bool,
}

struct Cache {
    home: Directory,
    json: bool,
}

impl Cache {
    /// All files of a model, or of all, the newest version of each last.
    async fn kept(&self, model: Option<&str>) -> Result<Vec<Kept>> {
        let mut kept = store::list(&self.home).await?;
        if let Some(model) = model {
            let urls = urls(model)?;
            kept.retain(|kept| urls.contains(&kept.identity.location));
        }
        Ok(kept)
    }

    /// The newest version of a file.
    async fn newest(&self, url: &str) -> Result<Option<Kept>> {
        Ok(store::list(&self.home).await?.into_iter().rfind(|kept| kept.identity.location == url))
    }

    /// JSON for programs, or else words.
    fn tell(&self, value: &impl Serialize, words: impl FnOnce() -> String) -> Result<()> {
        if self.json { output::json(value) } else { output::bytes(words().as_bytes()) }
    }

    async fn list(&self) -> Result<()> {
        let listed = |Kept { identity: Identity { location, size, tag }, bytes, .. }| Listed { url: location, size, kept: bytes, tag };
        let all: Vec<Listed> = self.kept(None).await?.into_iter().map(listed).collect();
        self.tell(&all, || {
            let line = |file: &Listed| format!("{:>8} of {:>8}  {}\n", size(file.kept), size(file.size), file.url);
            let total = all.iter().map(|file| file.kept).sum();
            all.iter().map(line).chain([format!("{:>8} in {}\n", size(total), self.home.name())]).collect()
        })
    }

    async fn size(&self, model: Option<&str>) -> Result<()> {
        let bytes: u64 = self.kept(model).await?.iter().map(|kept| kept.bytes).sum();
        self.tell(&serde_json::json!({ "bytes": bytes }), || format!("{}, {bytes} B\n", size(bytes)))
    }

    async fn has(&self, model: &str) -> Result<()> {
        let mut lack = None;
        for url in urls(model)? {
            match self.newest(&url).await? {
                Some(kept) if kept.bytes == kept.identity.size => {}
                Some(Kept { identity: Identity { location, size, .. }, bytes, .. }) => {
                    lack = Some(Error::Incomplete { location, kept: bytes, size }.into())
                }
                None => lack = Some(anyhow::anyhow!("nothing is kept of {url}")),
            }
        }
        match lack {
            Some(error) if !self.json => Err(error),
            lack => self.tell(&serde_json::json!({ "has": lack.is_none() }), || "all of it is kept\n".to_owned()),
        }
    }

    async fn remove(&self, model: Option<&str>) -> Result<()> {
        let bytes = match model {
            None => self.home.clear()?,
            Some(_) => {
                let mut bytes = 0;
                for kept in self.kept(model).await? {
                    self.home.remove(&kept.identity).await?;
                    bytes += kept.bytes;
                }
                bytes
            }
        };
        self.tell(&serde_json::json!({ "bytes": bytes }), || format!("{} are free again\n", size(bytes)))
    }

    async fn verify(&self, model: Option<&str>, sums: Option<&Path>) -> Result<()> {
        let sums = sums.map(sums::read).transpose()?;
        let kept = self.kept(model).await?;
        let bar = output::progress("verifying".to_owned(), kept.iter().map(|kept| kept.bytes).sum());
        let (mut all, mut before, mut wrong) = (Vec::new(), 0, Vec::new());
        for Kept { identity, bytes, .. } in kept {
            let mut on_progress = |done| {
                bar.set_position(before + done);
                ControlFlow::Continue(())
            };
            let found = store::verify(&self.home, &identity, &mut on_progress).await;
            before += bytes;
            let found = match found {
                Err(error @ Error::Unlike { .. }) => {
                    wrong.push(format!("{error}; it is forgotten"));
                    continue;
                }
                found => found?,
            };
            let sha256 = found.sha256.map(|sum| sum.to_string());
            let url = identity.location;
            if let (Some(sums), Some(got)) = (&sums, &sha256) {
                match sums.get(file_name(&url)) {
                    Some(expected) if expected == got => {}
                    Some(expected) => wrong.push(format!("{url} has SHA-256 {got}, {expected} was expected")),
                    None => wrong.push(format!("there is no sum for {}", file_name(&url))),
                }
            }
            all.push(Checked {
                url,
                chunks: found.chunks,
                bytes: found.bytes,
                bad_chunks: found.bad_chunks,
                sha256,
                announced: found.is_announced,
            });
        }
        bar.finish_and_clear();
        self.tell(&all, || {
            let line = |file: &Checked| {
                let sum = file
                    .sha256
                    .as_ref()
                    .map_or("in part".to_owned(), |sum| format!("SHA-256 {sum}{}", if file.announced { " as announced" } else { "" }));
                let bad = if file.bad_chunks > 0 { format!(", {} damaged chunks are forgotten", file.bad_chunks) } else { String::new() };
                format!("{:>8} good{bad}, {sum}  {}\n", size(file.bytes), file.url)
            };
            all.iter().map(line).collect()
        })?;
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }

    async fn export(&self, model: &str, out: &Path) -> Result<()> {
        let urls = urls(model)?;
        ensure!(urls.len() == 1 || out.is_dir(), "{model} has {} files: {} is to be a directory", urls.len(), out.display());
        let mut paths = Vec::new();
        for url in urls {
            let kept = self.newest(&url).await?.with_context(|| format!("nothing is kept of {url}"))?;
            let path = if out.is_dir() { out.join(file_name(&url)) } else { out.to_owned() };
            self.export_file(&kept.identity, &path).await?;
            paths.push(path.display().to_string());
        }
        self.tell(&serde_json::json!({ "files": paths }), || paths.iter().map(|path| format!("{path}\n")).collect())
    }

    /// Writes a file so that it is there whole or as it was before.
    async fn export_file(&self, identity: &Identity, path: &Path) -> Result<()> {
        let mut name = path.file_name().with_context(|| format!("{} is no file's name", path.display()))?.to_owned();
        name.push(".part");
        let beside = path.with_file_name(name);
        let cannot = || format!("cannot write {}", path.display());
        let mut file = File::create(&beside).with_context(cannot)?;
        let bar = output::progress(format!("exporting {}", file_name(&identity.location)), identity.size);
        let mut written = Ok(());
        let mut take = |piece: &[u8]| {
            bar.inc(piece.len() as u64);
            written = file.write_all(piece);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let done = store::export(&self.home, identity, &mut take).await;
        bar.finish_and_clear();
        let done = written.with_context(cannot).and(done.map_err(Into::into)).and_then(|()| fs::rename(&beside, path).with_context(cannot));
        if done.is_err() {
            let _ = fs::remove_file(&beside);
        }
        done
    }

    async fn import(&self, model: &str, file: &str) -> Result<()> {
        let (urls, paths) = (urls(model)?, api::shard_locations(file));
        ensure!(urls.len() == paths.len(), "{model} has {} files, {file} is of a set of {}", urls.len(), paths.len());
        let mut total = 0;
        for (url, path) in urls.iter().zip(&paths) {
            let source = LocalFile::open(path)?;
            let bytes = source.size().await?;
            let identity = self.identify(url, bytes).await?;
            let bar = output::progress(format!("importing {path}"), bytes);
            let mut on_progress = |done| {
                bar.set_position(done);
                ControlFlow::Continue(())
            };
            let done = store::import(&self.home, &identity, &source, &mut on_progress).await;
            bar.finish_and_clear();
            done.with_context(|| path.clone())?;
            for old in self.kept(Some(url)).await?.into_iter().filter(|kept| kept.identity.location == *url && kept.identity != identity) {
                self.home.remove(&old.identity).await?;
            }
            total += bytes;
        }
        self.tell(&serde_json::json!({ "bytes": total }), || format!("{} are kept\n", size(total)))
    }

    /// The version that a file of `bytes` bytes is taken for: what the server has, if it answers; or what is kept of it already.
    async fn identify(&self, url: &str, bytes: u64) -> Result<Identity> {
        let retry = Retry { attempts: 1, stall: Duration::from_secs(5), ..Retry::default() };
        let http = Http::with_retry(url, retry);
        let http = match hub::token(url) {
            Some(token) => http.with_token(token),
            None => http,
        };
        match http.identify().await {
            Ok((identity, _)) => return Ok(identity),
            Err(error) => log::info!("{error}; {url} is believed to be the file"),
        }
        let kept = self.newest(url).await?.filter(|kept| kept.identity.size == bytes);
        Ok(kept.map_or_else(|| Identity { location: url.to_owned(), size: bytes, tag: None }, |kept| kept.identity))
    }
}

/// The URLs of all files of a model.
fn urls(model: &str) -> Result<Vec<String>> {
    let location = locate(model)?;
    if !location.contains("://") {
        bail!("{location} is a file, of which nothing is kept");
    }
    Ok(api::shard_locations(&location))
}

fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}
