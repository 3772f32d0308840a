//! The metadata of gpt-oss-20b, with the o200k_harmony vocabulary whole.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use gguf::{Metadata, Strings};

use super::tensors::{HEAD_DIM, N_EMBD, N_EXPERTS, N_FFN, N_HEADS, N_KV_HEADS, N_VOCAB};

/// Tokens made of bytes; their ids are their ranks.
const N_TEXT: u32 = 199_998;
/// Control tokens end here; the rest are padding rows.
const N_TOKENS: u32 = 200_019;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Enough for programs that look for a template; the format itself is richer.
const TEMPLATE: &str = "{% for message in messages %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endfor %}\
    {% if add_generation_prompt %}<|start|>assistant{% endif %}";

/// All keys that a converted gpt-oss-20b has, in their order.
pub(super) fn metadata(layers: u32) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    let mut tags = Strings::default();
    tags.push("text-generation");
    metadata.set("general.architecture", "gpt-oss");
    metadata.set("general.type", "model");
    metadata.set("general.name", format!("Random weights like gpt-oss-20b, {layers} layers").as_str());
    metadata.set("general.basename", "synth");
    metadata.set("general.size_label", "20B");
    metadata.set("general.license", "apache-2.0");
    metadata.set("general.tags", tags);

    let counts = [
        ("block_count", u64::from(layers)),
        ("context_length", 131_072),
        ("embedding_length", N_EMBD),
        ("feed_forward_length", N_FFN),
        ("attention.head_count", N_HEADS),
        ("attention.head_count_kv", N_KV_HEADS),
        ("expert_count", N_EXPERTS),
        ("expert_used_count", 4),
        ("attention.key_length", HEAD_DIM),
        ("attention.value_length", HEAD_DIM),
        ("attention.sliding_window", 128),
        ("expert_feed_forward_length", N_FFN),
        ("rope.scaling.original_context_length", 4096),
    ];
    for (key, count) in counts {
        metadata.set(format!("gpt-oss.{key}"), u32::try_from(count).context("a width is too large")?);
    }
    metadata.set("gpt-oss.rope.freq_base", 150_000f32);
    metadata.set("gpt-oss.attention.layer_norm_rms_epsilon", 1e-5f32);
    metadata.set("gpt-oss.rope.scaling.type", "yarn");
    metadata.set("gpt-oss.rope.scaling.factor", 32f32);

    let tokens = text_tokens()?;
    let chars = characters();
    let mut names: Strings = tokens.iter().map(|token| spell(token, &chars)).collect();
    (N_TEXT..N_TOKENS).for_each(|id| names.push(&control(id)));
    (0..N_VOCAB as u32 - N_TOKENS).for_each(|n| names.push(&format!("[PAD{n}]")));
    let types: Vec<i32> = (0..N_VOCAB as u32)
        .map(|id| match id {
            0..N_TEXT => NORMAL,
            N_TEXT..N_TOKENS => CONTROL,
            _ => UNUSED,
        })
        .collect();
    let merges: Strings = merges(&tokens)
        .iter()
        .map(|(_, a, b)| {
            let half = |id: &u32| spell(&tokens[*id as usize], &chars);
            format!("{} {}", half(a), half(b))
        })
        .collect();

    metadata.set("tokenizer.ggml.model", "gpt2");
    metadata.set("tokenizer.ggml.pre", "gpt-4o");
    metadata.set("tokenizer.ggml.tokens", names);
    metadata.set("tokenizer.ggml.token_type", types);
    metadata.set("tokenizer.ggml.merges", merges);
    metadata.set("tokenizer.ggml.bos_token_id", 199_998u32);
    metadata.set("tokenizer.ggml.eos_token_id", 200_002u32);
    metadata.set("tokenizer.ggml.padding_token_id", 199_999u32);
    metadata.set("tokenizer.chat_template", TEMPLATE);
    metadata.set("general.quantization_version", 2u32);
    metadata.set("general.file_type", 38u32);
    Ok(metadata)
}

/// The bytes of every token but the control tokens, by id.
fn text_tokens() -> Result<Vec<Vec<u8>>> {
    let o200k = tiktoken_rs::o200k_harmony_singleton();
    let tokens: Result<Vec<_>, _> = (0..N_TEXT).map(|id| o200k.decode_bytes(&[id])).collect();
    let tokens = tokens.context("the o200k vocabulary has a gap")?;
    ensure!(tokens.iter().all(|token| !token.is_empty()), "the o200k vocabulary has an empty token");
    Ok(tokens)
}

fn control(id: u32) -> String {
    let name = match id {
        199_998 => "startoftext",
        199_999 => "endoftext",
        200_002 => "return",
        200_003 => "constrain",
        200_005 => "channel",
        200_006 => "start",
        200_007 => "end",
        200_008 => "message",
        200_012 => "call",
        200_018 => "endofprompt",
        _ => return format!("<|reserved_{id}|>"),
    };
    format!("<|{name}|>")
}

/// Every split of a token into two tokens, as (token, first, second), in this order.
fn merges(tokens: &[Vec<u8>]) -> Vec<(u32, u32, u32)> {
    let ids: HashMap<&[u8], u32> = tokens.iter().map(Vec::as_slice).zip(0..).collect();
    let mut merges = Vec::new();
    for (token, id) in tokens.iter().zip(0..) {
        let splits = (1..token.len()).map(|at| token.split_at(at));
        let start = merges.len();
        merges.extend(splits.filter_map(|(a, b)| Some((id, *ids.get(a)?, *ids.get(b)?))));
        merges[start..].sort_unstable();
    }
    merges
}

/// How byte-level BPE writes each byte: printable ones as themselves, the others from U+0100 on.
fn characters() -> [char; 256] {
    let mut others = '\u{100}'..;
    std::array::from_fn(|byte| match byte as u8 {
        byte @ (33..=126 | 161..=172 | 174..=255) => char::from(byte),
        byte => others.next().unwrap_or(char::from(byte)),
    })
}

fn spell(token: &[u8], characters: &[char; 256]) -> String {
    token.iter().map(|&byte| characters[usize::from(byte)]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_vocabulary_is_that_of_gpt_oss() {
        let metadata = metadata(24).unwrap();
        assert_eq!(metadata.len(), 35);
        let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap();
        assert_eq!(tokens.len(), 201_088);
        assert_eq!(tokens.get(200_006), Some("<|start|>"));
        assert_eq!(tokens.get(201_087), Some("[PAD1068]"));
        assert_eq!(metadata.strings("tokenizer.ggml.merges").unwrap().unwrap().len(), 446_189);
    }

    #[test]
    fn what_is_written_tokenizes_as_it_should() {
        let metadata = metadata(1).unwrap();
        let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap();
        let merges = metadata.strings("tokenizer.ggml.merges").unwrap().unwrap();
        let types = metadata.i32s("tokenizer.ggml.token_type").unwrap().unwrap();
        let bytes = |strings: &gguf::Strings| strings.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
        let (tokens, merges) = (bytes(tokens), bytes(merges));
        let tokenizer = text::Tokenizer::new(
            "gpt2",
            "gpt-4o",
            tokens.iter().map(Vec::as_slice),
            &types,
            merges.iter().map(Vec::as_slice),
            text::SpecialIds::default(),
        )
        .unwrap();
        assert_eq!(tokenizer.encode("हिन्दी में नमस्ते"), [1554, 71602, 840, 3342, 100_793, 14681, 628]);
        assert_eq!(tokenizer.encode_special("<|start|>assistant"), [200_006, 173_781]);
        assert_eq!(tokenizer.unusable().count(), 1069);
    }
}
