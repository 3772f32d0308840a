//! The plainest ways to the same bytes: ceilings to hold the engine's against.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::Files;
use engine::Run;

/// A model's files, read one run after the other.
#[derive(Debug)]
pub(super) struct Disk {
    /// By shard.
    files: Vec<File>,
    buffer: Vec<u8>,
}

impl Disk {
    /// Files that have the bytes of a model's at their own places, by shard.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self> {
        let open = |path: &PathBuf| File::open(path).with_context(|| path.display().to_string());
        Ok(Self { files: paths.iter().map(open).collect::<Result<_>>()?, buffer: Vec::new() })
    }

    /// How long it takes to read `runs`, from the disk itself if [`Disk::can_forget`]; so does who reads them next.
    pub(super) fn read(&mut self, runs: &[Run]) -> Result<Duration> {
        let longest = runs.iter().map(|run| run.range.end - run.range.start).max().unwrap_or(0);
        self.buffer.resize(usize::try_from(longest)?, 0);
        self.forget(runs)?;
        let began = Instant::now();
        for Run { shard, range } in runs {
            let mut file = &self.files[*shard];
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut self.buffer[..(range.end - range.start) as usize])?;
        }
        let took = began.elapsed();
        self.forget(runs)?;
        Ok(took)
    }

    /// Whether the system can be asked to drop what it keeps of a file in memory.
    pub(super) fn can_forget() -> bool {
        cfg!(target_os = "linux")
    }

    /// Asks it to.
    #[cfg(target_os = "linux")]
    fn forget(&self, runs: &[Run]) -> Result<()> {
        use rustix::fs::{Advice, fadvise};
        for Run { shard, .. } in runs {
            fadvise(&self.files[*shard], 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn forget(&self, _: &[Run]) -> Result<()> {
        Ok(())
    }
}

/// A model's URLs, asked for one run after the other over one connection.
#[derive(Debug)]
pub(super) struct Http {
    agent: ureq::Agent,
    /// By shard.
    urls: Vec<String>,
    buffer: Vec<u8>,
}

impl Http {
    pub(super) fn new(files: &Files) -> Self {
        let urls = files.library.shards().iter().map(|shard| shard.location().to_owned()).collect();
        Self { agent: ureq::Agent::new_with_defaults(), urls, buffer: vec![0; 1 << 20] }
    }

    /// How long it takes to fetch `runs`.
    pub(super) fn read(&mut self, runs: &[Run]) -> Result<Duration> {
        let began = Instant::now();
        for Run { shard, range } in runs {
            let url = &self.urls[*shard];
            let request = self.agent.get(url).header("Range", format!("bytes={}-{}", range.start, range.end - 1));
            let mut body = request.call().with_context(|| url.clone())?.into_body().into_reader();
            while body.read(&mut self.buffer).with_context(|| url.clone())? > 0 {}
        }
        Ok(began.elapsed())
    }
}
