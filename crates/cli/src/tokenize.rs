//! `quire tokenize`: text to ids, and ids to exactly the bytes they stand for.

use anyhow::{Context, Result, bail};
use text::Tokenizer;

use crate::{args, load, output};

/// Turn the text on stdin into token ids, or ids into text
///
/// Prints ids with spaces between them. No token is added at the beginning or the end.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    /// Trust the text: control tokens spelled in it, such as <|start|>, become control tokens
    #[arg(long, conflicts_with = "decode")]
    special: bool,
    /// The other way round: read ids, write text
    #[arg(long)]
    decode: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let tokenizer = tokenizer(&args.model).await?;
    let input = output::stdin()?;
    if args.decode {
        let ids = args::ids(&input).map_err(anyhow::Error::msg).context("stdin")?;
        return output::bytes(&decode(&tokenizer, &ids.0)?);
    }
    let ids = if args.special { tokenizer.encode_special(&input) } else { tokenizer.encode(&input) };
    let words: Vec<String> = ids.iter().map(u32::to_string).collect();
    output::bytes(format!("{}\n", words.join(" ")).as_bytes())
}

pub(crate) async fn tokenizer(model: &args::Model) -> Result<Tokenizer> {
    let files = load::open(model).await?;
    api::tokenizer(&files.directory).with_context(|| model.location.clone())
}

fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for id in ids {
        match tokenizer.token_bytes(*id) {
            Some(token) => bytes.extend_from_slice(token),
            None => bail!("token id {id} is not below the vocabulary's {}", tokenizer.vocab_len()),
        }
    }
    Ok(bytes)
}
