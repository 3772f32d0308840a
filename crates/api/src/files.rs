//! A model's files and what their headers say.

use std::rc::Rc;

use engine::Feed;
use gguf::{Directory, Parsed};
use store::{Library, OpenOptions, Source};

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

/// Where all shards of a set are, given any of them; of a single file, where it is. A URL may have a query.
pub fn shard_locations(location: &str) -> Vec<String> {
    let (path, query) = location.find('?').map_or((location, ""), |at| location.split_at(at));
    let names = gguf::shard_names(path).unwrap_or_else(|| vec![path.to_owned()]);
    names.into_iter().map(|name| name + query).collect()
}

impl Files {
    /// Opens a path or URL; the name of any shard of a set opens all of them.
    ///
    /// # Errors
    /// What the medium reports, or a header that is none.
    pub async fn open(location: &str) -> Result<Self, Error> {
        Self::open_with(location, &OpenOptions::default()).await
    }

    /// The same, with a place where what comes over the network is kept, and other wishes.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub async fn open_with(location: &str, options: &OpenOptions) -> Result<Self, Error> {
        Self::from_library(Library::open(&shard_locations(location), options).await?).await
    }

    /// The same over sources that are open already, shard after shard.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub async fn from_sources(sources: Vec<Rc<dyn Source>>) -> Result<Self, Error> {
        Self::from_library(Library::new(sources)).await
    }

    /// The same over a library.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub async fn from_library(library: Library) -> Result<Self, Error> {
        let sources = library.shards();
        let mut headers = Vec::new();
        let mut header_bytes = 0;
        for source in sources {
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
        Ok(Self { directory, library: Rc::new(library), header_bytes })
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
