//! `quire parse`: token ids, as a model answered, as messages.

use anyhow::{Context, Result, bail};
use api::Dialect;
use serde_json::{Value, json};
use text::Tokenizer;
use text::harmony::{Parser, Special, Specials};

use crate::{args, load, output};

/// Turn the token ids on stdin, a model's answer, into messages
///
/// Prints a JSON array. Ids that begin with <|start|> are whole messages, others follow a prompt that ended with
/// <|start|>assistant. What cannot be read is a failure, after the messages before it.
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
    let ids = args::ids(&output::stdin()?).map_err(anyhow::Error::msg).context("stdin")?.0;
    let n_vocab = tokenizer.vocab_len();
    if let Some(id) = ids.iter().find(|id| **id as usize >= n_vocab) {
        bail!("token id {id} is not below the vocabulary's {n_vocab}");
    }
    match dialect {
        Dialect::Harmony(specials) => harmony(&ids, specials, &tokenizer),
        Dialect::Template(_) => output::json(&plain(&ids, &tokenizer)),
    }
}

fn harmony(ids: &[u32], specials: Specials, tokenizer: &Tokenizer) -> Result<()> {
    let whole = ids.first() == Some(&specials.id(Special::Start));
    let mut parser = if whole { Parser::new(specials) } else { Parser::for_completion(specials) };
    let mut done = Ok(());
    for &id in ids {
        done = parser.push(id, tokenizer.token_bytes(id).unwrap_or_default()).map(drop);
        if done.is_err() {
            break;
        }
    }
    if done.is_ok() {
        done = parser.finish().map(drop);
    }
    output::json(&parser.messages())?;
    Ok(done?)
}

/// A model with a template says one message, up to the first control token.
fn plain(ids: &[u32], tokenizer: &Tokenizer) -> Value {
    let said = ids.iter().position(|&id| tokenizer.is_control(id)).map_or(ids, |end| &ids[..end]);
    json!([{"role": "assistant", "content": tokenizer.decode(said)}])
}
