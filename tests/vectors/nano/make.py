"""Makes the nano models and their golden logits, by seed, in the folders beside this one.

    pip install numpy gguf && python3 make.py

Prints what each part of the architecture is worth (the relative change of the logits without it), so that a test
against these files is known to fail when that part is missing or wrong."""

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

from forward import Config, forward
from vocabulary import TEMPLATE, vocabulary

F32, Q8_0, MXFP4 = (gguf.GGMLQuantizationType[t] for t in ("F32", "Q8_0", "MXFP4"))
VECTORS = Path(__file__).parent.parent
N_PADDING = 4  # unused rows at the vocabulary's end, as gpt-oss has
RUNS = (1, 40, 900)  # tokens

NANO = Config(n_layers=3, hidden=96, ffn=32, n_experts=8, n_heads=4, n_kv_heads=2, head_dim=64)
MOE16 = Config(n_layers=4, hidden=64, ffn=64, n_experts=16, n_heads=4, n_kv_heads=2, head_dim=32)
# Token seeds under which no router's 4th and 5th choice come closer than 1e-4, so that rounding does not swap experts.
NANO_TOKENS, MOE16_TOKENS = 47, 46


def main():
    W = weights(NANO, seed=1)
    exact = write("nano/nano-f32", NANO, W, all_f32)
    golden("nano/nano-f32", NANO, exact, NANO_TOKENS, residual=True)
    golden("nano/nano-f32-rounded", replace(NANO, yarn_rounded=True), exact, NANO_TOKENS)
    golden("nano/nano", NANO, write("nano/nano", NANO, W, mxfp4_q8_0), NANO_TOKENS)

    W = weights(MOE16, seed=2)
    golden("nano-moe16/nano-moe16", MOE16, write("nano-moe16/nano-moe16", MOE16, W, mxfp4_q8_0), MOE16_TOKENS)

    report(NANO, exact, NANO_TOKENS)


def weights(c, seed):
    """Random tensors, loud enough that clamps, sinks and biases all matter, and not so loud that rounding does."""
    rng = np.random.default_rng(seed)
    V, H, F, E = len(vocabulary(N_PADDING).tokens), c.hidden, c.ffn, c.n_experts
    q, kv = c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim
    normal = lambda std, *shape: (std * rng.standard_normal(shape)).astype(np.float32)
    gain = lambda: 1 + normal(0.2, H)

    W = {"token_embd.weight": normal(1, V, H)}
    for l in range(c.n_layers):
        linear = lambda name, std, bias, *shape: W.update({
            f"blk.{l}.{name}.weight": normal(std / np.sqrt(shape[-1]), *shape),  # std: of the output, for unit input
            f"blk.{l}.{name}.bias": normal(bias, *shape[:-1]),
        })
        W[f"blk.{l}.attn_norm.weight"] = gain()
        linear("attn_q", 1.0, 0.4, q, H)
        linear("attn_k", 1.0, 0.4, kv, H)
        linear("attn_v", 1.5, 0.5, kv, H)
        W[f"blk.{l}.attn_sinks.weight"] = rng.uniform(0, 8, c.n_heads).astype(np.float32)
        linear("attn_output", 2.0, 0.3, H, q)
        W[f"blk.{l}.post_attention_norm.weight"] = gain()
        linear("ffn_gate_inp", 2.0, 1.0, E, H)
        linear("ffn_gate_exps", 3.5, 1.5, E, F, H)
        linear("ffn_up_exps", 4.0, 1.5, E, F, H)
        linear("ffn_down_exps", 0.1, 0.5, E, H, F)
    W["output_norm.weight"] = gain()
    W["output.weight"] = normal(3 / np.sqrt(H), V, H)
    return W


def all_f32(name):
    return F32


def mxfp4_q8_0(name):
    """The types of the ggml-org file: MXFP4 experts, Q8_0 for every other matrix but the router."""
    if not name.endswith(".weight") or "norm" in name or "sinks" in name or "ffn_gate_inp" in name:
        return F32
    return MXFP4 if "_exps" in name else Q8_0


def write(path, c, W, type_of):
    """Writes the GGUF; returns the weights that its bytes stand for."""
    (VECTORS / path).parent.mkdir(exist_ok=True)
    g = gguf.GGUFWriter(VECTORS / f"{path}.gguf", "gpt-oss")
    metadata(g, c, Path(path).name, 0 if type_of is all_f32 else 38)
    stored = {}
    for name, w in W.items():
        data = quantize(w, type_of(name))
        g.add_tensor(name, data, raw_dtype=type_of(name))
        stored[name] = dequantize(data, type_of(name)).astype(np.float64)
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()
    return stored


def metadata(g, c, name, file_type):
    """The keys of the ggml-org gpt-oss-20b file, in its order."""
    g.add_type("model")
    g.add_name(name)
    g.add_basename("nano")
    g.add_size_label(f"{c.n_experts}x{c.hidden}")
    g.add_license("mit")
    g.add_tags(["gpt-oss", "random"])
    g.add_block_count(c.n_layers)
    g.add_context_length(131_072)
    g.add_embedding_length(c.hidden)
    g.add_feed_forward_length(c.ffn)
    g.add_head_count(c.n_heads)
    g.add_head_count_kv(c.n_kv_heads)
    g.add_rope_freq_base(c.theta)
    g.add_layer_norm_rms_eps(c.eps)
    g.add_expert_count(c.n_experts)
    g.add_expert_used_count(c.n_experts_used)
    g.add_key_length(c.head_dim)
    g.add_value_length(c.head_dim)
    g.add_sliding_window(c.window)
    g.add_expert_feed_forward_length(c.ffn)
    g.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    g.add_rope_scaling_factor(c.yarn_factor)
    g.add_rope_scaling_orig_ctx_len(c.yarn_original_context)
    v = vocabulary(N_PADDING)
    g.add_tokenizer_model("gpt2")
    g.add_tokenizer_pre("gpt-4o")
    g.add_token_list(v.tokens)
    g.add_token_types(v.types)
    g.add_token_merges(v.merges)
    g.add_bos_token_id(v.tokens.index("<|startoftext|>"))
    g.add_eos_token_id(v.tokens.index("<|return|>"))
    g.add_pad_token_id(v.tokens.index("<|endoftext|>"))
    g.add_chat_template(TEMPLATE)
    g.add_quantization_version(2)
    g.add_file_type(file_type)


def tokens(n, seed):
    return np.random.default_rng((seed, n)).integers(0, len(vocabulary(N_PADDING).tokens) - N_PADDING, n)


def positions(n):
    """All of a short run; of a long one every 9th and the last 20."""
    return np.arange(n) if n < 100 else np.union1d(np.arange(0, n, 9), np.arange(n - 20, n))


def golden(path, c, W, seed, residual=False):
    """The runs' tokens, the stored positions, the logits there and, where asked, the residual stream."""
    folder, name = VECTORS / Path(path).parent, Path(path).name
    for n in RUNS:
        ids, at = tokens(n, seed), positions(n)
        out = forward(c, W, ids)
        (folder / f"tokens-{n}.txt").write_text(",".join(map(str, ids)) + "\n")
        (folder / f"positions-{n}.txt").write_text(",".join(map(str, at)) + "\n")
        out.logits[at].astype("<f4").tofile(folder / f"{name}.logits-{n}.f32")
        if residual and n <= 40:
            out.residual.astype("<f4").tofile(folder / f"{name}.residual-{n}.f32")
        r = np.sort(out.router, -1)
        margin = (r[..., -c.n_experts_used] - r[..., -c.n_experts_used - 1]).min()
        print(f"{name:17} {n:4} tokens: logits std {out.logits.std():.2f}, closest router call {margin:.1e}")


def without(c, W):
    """The model with one part taken out or done wrong, by name."""
    zero = lambda part: {name: 0 * w if part in name else w for name, w in W.items()}
    no_sinks = {name: w - np.inf if "sinks" in name else w for name, w in W.items()}
    return {
        "sinks": (c, no_sinks),
        "window": (replace(c, window=10**9), W),
        "window, 127 keys": (replace(c, window=127), W),
        "window, 129 keys": (replace(c, window=129), W),
        "window on odd layers": (replace(c, sliding_parity=1), W),
        "clamp of gate": (replace(c, gate_max=np.inf), W),
        "clamp of up": (replace(c, up_max=np.inf), W),
        "swiglu alpha": (replace(c, swiglu_alpha=1), W),
        "YaRN": (replace(c, yarn_factor=1), W),
        "YaRN, range rounded": (replace(c, yarn_rounded=True), W),
        "bias of q": (c, zero("attn_q.bias")),
        "bias of k": (c, zero("attn_k.bias")),
        "bias of v": (c, zero("attn_v.bias")),
        "bias of attn_output": (c, zero("attn_output.bias")),
        "bias of router": (c, zero("ffn_gate_inp.bias")),
        "bias of gate": (c, zero("ffn_gate_exps.bias")),
        "bias of up": (c, zero("ffn_up_exps.bias")),
        "bias of down": (c, zero("ffn_down_exps.bias")),
        "f16 KV": (replace(c, kv_dtype=np.float16), W),
    }


def report(c, W, seed):
    runs = [tokens(n, seed) for n in RUNS]
    whole = [forward(c, W, ids).logits for ids in runs]
    print(f"\nrelative RMS change of the logits    {'':3}" + "".join(f"{n:>9}" for n in RUNS))
    for name, (c2, W2) in without(c, W).items():
        change = [relative_rms(forward(c2, W2, ids).logits, b) for ids, b in zip(runs, whole)]
        print(f"without {name:32}" + "".join(f"{100 * x:8.2f}%" for x in change))


def relative_rms(a, b):
    return np.sqrt(((a - b) ** 2).mean() / (b**2).mean())


if __name__ == "__main__":
    main()
