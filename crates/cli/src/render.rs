//! `quire render`: an OpenAI chat request as the prompt that the model is given.

use anyhow::{Context, Result};
use api::{Dialect, Request};
use serde_json::json;

use crate::{args, load, output};

/// Turn the OpenAI chat request on stdin into the prompt that the model is given
///
/// Prints {"ids": [...], "text": "..."}. Beside messages, tools and reasoning_effort the request may have `date`
/// (2025-06-28) and `identity`, which fix what the system message says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let files = load::open(&args.model).await?;
    let named = || args.model.location.clone();
    let tokenizer = api::tokenizer(&files.directory).with_context(named)?;
    let dialect = Dialect::new(&files.directory, &tokenizer).with_context(named)?;
    let request = Request::from_json(&output::stdin()?)?;
    let prompt = dialect.render(&request.chat)?;
    output::json(&json!({"ids": prompt.encode(&tokenizer), "text": prompt.to_string()}))
}
