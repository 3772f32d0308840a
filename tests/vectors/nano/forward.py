"""gpt-oss as a float64 forward pass: a plain reading of the architecture in execution order, the oracle
behind the golden logits. Whatever a test may want to take out is a field of `Config` or a tensor, so there is
one path and no flag in it.

T tokens, H hidden, F expert FFN, E experts, V vocabulary, D head_dim. Weights are row-major (out, in)."""

from dataclasses import dataclass
from math import log, pi

import numpy as np


@dataclass(frozen=True)
class Config:
    """Hyperparameters; where there is a default, it is gpt-oss-20b's own."""

    n_layers: int
    hidden: int  # H
    ffn: int  # F
    n_experts: int  # E
    n_heads: int  # query heads
    n_kv_heads: int
    head_dim: int  # D
    n_experts_used: int = 4
    eps: float = 1e-5
    window: int = 128  # keys a sliding layer sees, itself included
    sliding_parity: int = 0  # layers with l % 2 == sliding_parity slide
    theta: float = 150_000.0
    yarn_factor: float = 32.0
    yarn_original_context: int = 4096
    yarn_rounded: bool = False  # as llama.cpp rounds the correction range; the trained model does not
    gate_max: float = 7.0
    up_max: float = 7.0
    swiglu_alpha: float = 1.702
    kv_dtype: type = np.float64  # what K and V are stored as between tokens


@dataclass(frozen=True)
class Pass:
    logits: np.ndarray  # (T, V)
    residual: np.ndarray  # (L, T, H): x after each layer
    router: np.ndarray  # (L, T, E): router logits


def forward(c, W, ids):
    """Every position of one sequence. `W` maps GGUF tensor names to float64 arrays."""
    x = W["token_embd.weight"][ids]
    cos_sin = rope_table(c, len(ids))
    residual, router = [], []
    for l in range(c.n_layers):
        w = lambda name: W[f"blk.{l}.{name}"]
        x = x + attention(c, w, rms(c, x, w("attn_norm.weight")), cos_sin, slides=l % 2 == c.sliding_parity)
        h = rms(c, x, w("post_attention_norm.weight"))
        r = linear(w, "ffn_gate_inp", h)
        x = x + moe(c, w, h, r)
        residual.append(x)
        router.append(r)
    logits = rms(c, x, W["output_norm.weight"]) @ W["output.weight"].T
    return Pass(logits, np.array(residual), np.array(router))


def rms(c, x, g):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + c.eps) * g


def linear(w, name, x):
    return x @ w(f"{name}.weight").T + w(f"{name}.bias")


def attention(c, w, h, cos_sin, slides):
    T, D, group = len(h), c.head_dim, c.n_heads // c.n_kv_heads
    heads = lambda name: linear(w, name, h).reshape(T, -1, D).transpose(1, 0, 2)  # (heads, T, D)
    q = rope(heads("attn_q"), *cos_sin)
    k = rope(heads("attn_k"), *cos_sin).astype(c.kv_dtype).repeat(group, 0)
    v = heads("attn_v").astype(c.kv_dtype).repeat(group, 0)

    t, p = np.arange(T)[:, None], np.arange(T)[None, :]
    visible = (p <= t) & ((t - p < c.window) | (not slides))
    s = np.where(visible, q @ k.transpose(0, 2, 1) / np.sqrt(D), -np.inf)  # (heads, T, T)

    sink = w("attn_sinks.weight")[:, None, None]  # takes a share of the softmax and gives no value
    m = np.maximum(sink, s.max(-1, keepdims=True))
    e = np.exp(s - m)
    o = e / (np.exp(sink - m) + e.sum(-1, keepdims=True)) @ v
    return linear(w, "attn_output", o.transpose(1, 0, 2).reshape(T, -1))


def moe(c, w, h, r):
    """The chosen experts' outputs, weighted by a softmax over the chosen logits alone. Ties: lower index."""
    chosen = np.argsort(-r, axis=-1, kind="stable")[:, : c.n_experts_used]
    e = np.exp(np.take_along_axis(r, chosen, -1) - r.max(-1, keepdims=True))
    share = e / e.sum(-1, keepdims=True)
    out = np.zeros_like(h)
    for expert in range(c.n_experts):
        t, rank = np.nonzero(chosen == expert)
        we = lambda name: w(name)[expert]
        g = np.minimum(linear(we, "ffn_gate_exps", h[t]), c.gate_max)  # clamped above only
        u = np.clip(linear(we, "ffn_up_exps", h[t]), -c.up_max, c.up_max)
        a = g / (1 + np.exp(-c.swiglu_alpha * g)) * (u + 1)
        out[t] += share[t, rank, None] * linear(we, "ffn_down_exps", a)
    return out


def rope(x, cos, sin):
    """NeoX halves: element i turns with element i + D/2."""
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def rope_table(c, T):
    """cos and sin, (T, D/2) each, with YaRN's stretched frequencies and its concentration."""
    i = np.arange(c.head_dim // 2)
    corr = lambda turns: c.head_dim * log(c.yarn_original_context / (2 * pi * turns)) / (2 * log(c.theta))
    low, high = corr(32), corr(1)
    if c.yarn_rounded:
        low, high = np.floor(low), np.ceil(high)
    ramp = np.clip((i - low) / (high - low), 0, 1)
    f = c.theta ** (-2 * i / c.head_dim)
    angle = np.arange(T)[:, None] * (f * (1 - ramp) + f / c.yarn_factor * ramp)
    concentration = 0.1 * log(c.yarn_factor) + 1
    return concentration * np.cos(angle), concentration * np.sin(angle)
