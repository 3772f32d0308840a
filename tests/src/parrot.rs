//! A model that speaks by a script, for tests of what lies around a model: without chance, whatever the temperature, and in Harmony.
//!
//! Asked anything it thinks [`THOUGHT`] and says [`SAID`]; with tools it calls [`CALLED`], and says [`SAID`] once it has a result. Where it is
//! bound to headers that are spelled otherwise than its script, it follows them; to JSON it says the arguments of [`CALLED`], if those are
//! of the form that is asked for; and whatever tool it must call, it calls with them.
//!
//! It is a real file that the engine runs like any other: the residual stream is the one-hot last
//! token; attention, whose scores are all alike, says of some tokens whether they came before; the FFN joins both, and the head says
//! which token follows.

use gguf::{DType, Metadata, Strings, Writer};

/// Function that it calls, and what with.
pub const CALLED: (&str, &str) = ("get_weather", r#"{"city":"Paris"}"#);
pub const THOUGHT: &str = "They greet me.";
pub const SAID: &str = "Hello, world! How are you?";

const SPECIALS: [&str; 8] =
    ["<|start|>", "<|message|>", "<|end|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>"];

/// Tokens of its own, in the order in which they are said. Those that are looked out for are no whole words: texts have none of them.
const THINK: [&str; 4] = ["analysis", "They greet", " me", "."];
const SAY: [&str; 10] = ["fin", "al", "Hello", ",", " world", "!", " How", " are", " you", "?"];
const CALL: [&str; 6] = ["commentary to=functions.get_weather ", "js", "on", r#"{"city":"#, r#""Paris""#, "}"];
const ANEW: [&str; 1] = ["assistant"];

/// Width of the residual stream: a dimension a token, then one for each token that is looked out for, then one a rule.
const N_EMBD: usize = 384;
const N_HEAD: usize = 32;
const N_FFN: usize = 32;

/// After `last`, if `seen` came before, `next` follows, unless a rule below it says otherwise; or `spelled`, where `next` may not come.
struct Rule {
    last: usize,
    seen: usize,
    next: usize,
    spelled: Option<usize>,
}

/// The vocabulary: bytes, control tokens, the script's own.
struct Script {
    tokens: Vec<String>,
    /// `[last, next]`
    follows: Vec<(usize, usize)>,
    rules: Vec<Rule>,
}

impl Script {
    fn new() -> Self {
        let mut others = '\u{100}'..;
        let byte = |byte: u8| match byte {
            33..=126 | 161..=172 | 174..=255 => char::from(byte).to_string(),
            _ => others.next().unwrap().to_string(),
        };
        let mut tokens: Vec<String> = (0..=255).map(byte).collect();
        tokens.extend(SPECIALS.map(str::to_owned));
        let mut own = |part: &[&str]| -> Vec<usize> {
            let first = tokens.len();
            tokens.extend(part.iter().map(|text| text.replace(' ', "\u{120}")));
            (first..tokens.len()).collect()
        };
        let (think, say, call, anew) = (own(&THINK), own(&SAY), own(&CALL), own(&ANEW));
        let special = |name: &str| 256 + SPECIALS.iter().position(|special| *special == name).unwrap();
        let (channel, message) = (special("<|channel|>"), special("<|message|>"));
        let mut follows = Vec::new();
        let mut chain = |tokens: &[usize]| follows.extend(tokens.windows(2).map(|two| (two[0], two[1])));
        // The last byte of "assistant", as the prompt ends.
        chain(&[usize::from(b't'), channel, think[0], message, think[1]]);
        chain(&[&think[1..], &[special("<|end|>"), special("<|start|>"), anew[0], channel]].concat());
        chain(&[say[0], say[1], message]);
        chain(&[&say[2..], &[special("<|return|>")]].concat());
        chain(&[call[0], special("<|constrain|>"), call[1], call[2], message]);
        chain(&[&call[3..], &[special("<|call|>")]].concat());
        // "commentary" is spelled so, and then a recipient comes.
        chain(&[b'y', b' '].map(usize::from));
        let rule = |last, seen, next| Rule { last, seen, next, spelled: None };
        let or = |rule, spelled: u8| Rule { spelled: Some(spelled.into()), ..rule };
        let (has_called, has_tools) = (special("<|call|>"), usize::from(b'{'));
        let rules = vec![
            // Whoever has thought speaks; whoever has tools calls; whoever has called speaks.
            or(rule(channel, think[1], say[0]), b'f'),
            or(rule(channel, has_tools, call[0]), b'c'),
            or(rule(channel, has_called, say[0]), b'f'),
            // JSON is announced as such.
            rule(message, special("<|constrain|>"), call[3]),
            rule(message, think[1], say[2]),
            rule(message, has_called, say[2]),
        ];
        Self { tokens, follows, rules }
    }

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        metadata.set("general.architecture", "llama");
        metadata.set("general.name", "Parrot");
        let counts = [
            ("block_count", 1),
            ("context_length", 4096),
            ("embedding_length", N_EMBD),
            ("feed_forward_length", N_FFN),
            ("attention.head_count", 1),
            ("attention.key_length", N_HEAD),
            ("attention.value_length", N_HEAD),
        ];
        for (key, count) in counts {
            metadata.set(format!("llama.{key}"), count as u32);
        }
        metadata.set("llama.attention.layer_norm_rms_epsilon", 1e-6f32);
        let types: Vec<i32> = (0..self.tokens.len()).map(|id| if (256..256 + SPECIALS.len()).contains(&id) { 3 } else { 1 }).collect();
        let tokens: Strings = self.tokens.iter().map(String::as_str).collect();
        metadata.set("tokenizer.ggml.model", "gpt2");
        metadata.set("tokenizer.ggml.pre", "gpt-4o");
        metadata.set("tokenizer.ggml.tokens", tokens);
        metadata.set("tokenizer.ggml.token_type", types);
        metadata.set("tokenizer.ggml.merges", Strings::default());
        metadata
    }
}

/// A matrix of F32, zero but where it is set.
struct Matrix {
    name: &'static str,
    n_cols: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn new(name: &'static str, n_rows: usize, n_cols: usize) -> Self {
        Self { name, n_cols, values: vec![0.0; n_rows * n_cols] }
    }

    fn set(&mut self, row: usize, col: usize, value: f32) {
        self.values[row * self.n_cols + col] = value;
    }
}

/// The model's file.
pub fn parrot() -> Vec<u8> {
    let script = Script::new();
    let n_vocab = script.tokens.len();
    let n_rules = script.rules.len();
    assert!(n_vocab + 2 * n_rules <= N_EMBD && n_rules <= N_HEAD.min(N_FFN));
    let mut embd = Matrix::new("token_embd.weight", n_vocab, N_EMBD);
    (0..n_vocab).for_each(|id| embd.set(id, id, 1.0));
    let (mut v, mut attn) = (Matrix::new("blk.0.attn_v.weight", N_HEAD, N_EMBD), Matrix::new("blk.0.attn_output.weight", N_EMBD, N_HEAD));
    let (mut gate, mut up) = (Matrix::new("blk.0.ffn_gate.weight", N_FFN, N_EMBD), Matrix::new("blk.0.ffn_up.weight", N_FFN, N_EMBD));
    let mut down = Matrix::new("blk.0.ffn_down.weight", N_EMBD, N_FFN);
    let mut head = Matrix::new("output.weight", n_vocab, N_EMBD);
    // Activations are some 20 after a norm: a token that follows is nearly certain.
    script.follows.iter().for_each(|&(last, next)| head.set(next, last, 2.0));
    for (i, rule) in script.rules.iter().enumerate() {
        let (seen, both) = (n_vocab + i, n_vocab + n_rules + i);
        v.set(i, rule.seen, 1.0);
        attn.set(seen, i, 0.1);
        gate.set(i, rule.last, 1.0);
        up.set(i, seen, 1.0);
        down.set(both, i, 0.1);
        // One of a thousand tokens is heard, and of the three rules for a token a later one is louder by far.
        let loud = 1e4 * 1e3f32.powi(i as i32 % 3);
        head.set(rule.next, both, loud);
        rule.spelled.into_iter().for_each(|spelled| head.set(spelled, both, loud / 2.0));
    }
    let ones = |name| Matrix { name, n_cols: N_EMBD, values: vec![1.0; N_EMBD] };
    let zeros = |name| Matrix::new(name, N_HEAD, N_EMBD);
    let norms = ["output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"].map(ones);
    let scores = ["blk.0.attn_q.weight", "blk.0.attn_k.weight"].map(zeros);
    let matrices: Vec<Matrix> = norms.into_iter().chain(scores).chain([embd, v, attn, gate, up, down, head]).collect();

    let mut writer = Writer::new(script.metadata()).unwrap();
    for Matrix { name, n_cols, values } in &matrices {
        let shape = if name.contains("norm") { vec![*n_cols as u64] } else { vec![*n_cols as u64, (values.len() / n_cols) as u64] };
        writer.add(name, &shape, DType::F32).unwrap();
    }
    let mut file = Vec::new();
    let mut data = writer.start(&mut file).unwrap();
    for Matrix { name, values, .. } in &matrices {
        data.tensor(name, bytemuck::cast_slice(values)).unwrap();
    }
    data.finish().unwrap();
    file
}
