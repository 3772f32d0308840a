//! A model's files and what their headers say.

use std::rc::Rc;

use engine::Feed;
use gguf::{Directory, Parsed};
use store::{Library, Source};

use crate::Error;
use crate::feed::LibraryFeed;

/// One file, or all shards of a set.
#[derive(Debug)]
pub struct Files {
    /// All of them, shard after shard.
    pub library: Rc<Library>,
    pub directory: Directory,
    /// Bytes read to get there.
    pub header_bytes: u64,
}

/// First bytes to ask a file for; most headers but for the vocabulary fit.
const FIRST_BYTES: u64 = 1 << 20;

impl Files {
    /// Opens a path or URL; the name of any shard of a set opens all of them.
    ///
    /// # Errors
    /// What the medium reports, or a header that is none.
    pub async fn open(location: &str) -> Result<Self, Error> {
        let (path, query) = location.find('?').map_or((location, ""), |at| location.split_at(at));
        let names = gguf::shard_names(path).unwrap_or_else(|| vec![path.to_owned()]);
        let sources = names.iter().map(|name| store::open(&format!("{name}{query}"))).collect::<Result<Vec<_>, _>>()?;
        Self::from_sources(sources).await
    }

    /// The same over sources that are open already, shard after shard.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub async fn from_sources(sources: Vec<Rc<dyn Source>>) -> Result<Self, Error> {
        let mut headers = Vec::new();
        let mut header_bytes = 0;
        for source in &sources {
            let fail = |error| Error::Header { location: source.location().to_owned(), error };
            let file_bytes = source.size().await?;
            let mut prefix = store::read_vec(&**source, 0..FIRST_BYTES.min(file_bytes)).await?;
            let header = loop {
                match gguf::parse(&prefix, file_bytes).map_err(fail)? {
                    Parsed::Header(header) => break header,
                    Parsed::NeedMore { at_least } => {
                        let more = store::read_vec(&**source, prefix.len() as u64..at_least.min(file_bytes)).await?;
                        prefix.extend(more);
                    }
                }
            };
            header_bytes += header.data_start;
            headers.push((header, file_bytes));
        }
        let location = || sources.first().map_or_else(String::new, |source| source.location().to_owned());
        let directory = Directory::new(headers).map_err(|error| Error::Header { location: location(), error })?;
        Ok(Self { directory, library: Rc::new(Library::new(sources)), header_bytes })
    }

    /// The first file's place, as a person would name it.
    pub fn location(&self) -> &str {
        self.library.shards().first().map_or("", |source| source.location())
    }

    /// Reads weights for an engine.
    pub fn feed(&self) -> Rc<dyn Feed> {
        Rc::new(LibraryFeed(self.library.clone()))
    }
}
