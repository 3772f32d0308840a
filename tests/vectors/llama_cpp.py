"""llama.cpp as an oracle, through ctypes: the prebuilt CPU library of the npm package @node-llama-cpp/linux-x64
(3.22, llama.cpp v0.5.0). LLAMA_CPP names the folder that holds libllama*.so; left unset, ./node_modules is searched.

    npm i --ignore-scripts @node-llama-cpp/linux-x64

It rounds activations to 8 bits wherever weights are quantised; `write_as_f32` makes a file on which it computes in f32."""

import ctypes
import os
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int32, c_uint32, c_void_p
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import dequantize

GGML_TYPE_F32 = 0
FLASH_ATTENTION_OFF = 0


class ModelParams(Structure):  # taken as the library gives it
    _fields_ = [("opaque", c_void_p * 10)]


class ContextParams(Structure):
    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("sequences", c_uint32 * 4),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("kinds", c_int32 * 4),
        ("flash_attention", c_int32),
        ("rope", c_float * 6),
        ("yarn_original_context", c_uint32),
        ("defrag", c_float),
        ("on_eval", c_void_p * 2),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("tail", c_void_p * 6),
    ]


class Batch(Structure):
    _fields_ = [("n_tokens", c_int32), ("tokens", POINTER(c_int32)), ("rest", c_void_p * 5)]


class LlamaCpp:
    """One model and one sequence: K and V in f32, no flash attention."""

    def __init__(self, path, n_ctx=1024):
        lib = self.lib = load()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        p = lib.llama_context_default_params()
        p.n_ctx, p.n_threads, p.n_threads_batch = n_ctx, 1, 1  # more threads spin and stall on a busy machine
        p.flash_attention, p.type_k, p.type_v = FLASH_ATTENTION_OFF, GGML_TYPE_F32, GGML_TYPE_F32
        self.context = lib.llama_init_from_model(self.model, p)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def feed(self, token):
        """Appends one token; returns the logits (V,) after it."""
        batch = self.lib.llama_batch_get_one((c_int32 * 1)(int(token)), 1)
        if self.lib.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        return np.ctypeslib.as_array(self.lib.llama_get_logits_ith(self.context, -1), (self.n_vocab,)).copy()

    def logits(self, ids):
        """Logits (T, V) of every position."""
        return np.array([self.feed(token) for token in ids])

    def greedy(self, ids, n):
        """The `n` most likely tokens one after the other, and by how much each one's logit led the next."""
        last, chosen, leads = self.logits(ids)[-1], [], []
        for _ in range(n):
            second, first = np.sort(last)[-2:]
            chosen.append(int(last.argmax()))
            leads.append(round(float(first - second), 3))
            last = self.feed(chosen[-1])
        return chosen, leads

    def tokenize(self, text, special=False):
        """Token ids; with `special`, the texts of control tokens become those tokens."""
        b = text.encode()
        ids = (c_int32 * (len(b) + 8))()
        return ids[: self.lib.llama_tokenize(self.vocab, b, len(b), ids, len(ids), False, special)]

    def text(self, ids):
        """The ids' text, control tokens included."""
        b = ctypes.create_string_buffer(256)
        length = lambda token: self.lib.llama_token_to_piece(self.vocab, token, b, len(b), 0, True)
        return b"".join(b[: length(token)] for token in ids).decode(errors="replace")


def write_as_f32(model, path):
    """The same metadata and the same numbers, every tensor as F32."""
    r = gguf.GGUFReader(model)
    g = gguf.GGUFWriter(path, r.fields["general.architecture"].contents())
    for f in r.fields.values():
        if not f.name.startswith("GGUF.") and f.name != "general.architecture":
            g.add_key_value(f.name, f.contents(), f.types[0], f.types[-1] if len(f.types) > 1 else None)
    for t in r.tensors:
        shape = [int(n) for n in reversed(t.shape)]
        g.add_tensor_info(t.name, shape, np.dtype(np.float32), 4 * int(t.n_elements))
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_ti_data_to_file()
    for t in r.tensors:
        g.write_tensor_data(dequantize(t.data, t.tensor_type).astype(np.float32))
    g.close()


QUIET = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)(lambda *_: None)


def load():
    home = os.environ.get("LLAMA_CPP", "node_modules/@node-llama-cpp/linux-x64")
    found = sorted(Path(home).rglob("libllama.v*.so")) or [None]
    if found[0] is None:
        raise SystemExit(f"no libllama.v*.so under {home}: set LLAMA_CPP (see the head of llama_cpp.py)")
    folder = found[0].parent.resolve()
    ctypes.CDLL(str(folder / "libggml-base.so"), ctypes.RTLD_GLOBAL)
    ggml = ctypes.CDLL(str(next(folder.glob("libggml.v*.so"))), ctypes.RTLD_GLOBAL)
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    lib = ctypes.CDLL(str(folder / found[0].name))
    for name, result, *arguments in [
        ("llama_log_set", None, c_void_p, c_void_p),
        ("llama_model_default_params", ModelParams),
        ("llama_context_default_params", ContextParams),
        ("llama_model_load_from_file", c_void_p, c_char_p, ModelParams),
        ("llama_init_from_model", c_void_p, c_void_p, ContextParams),
        ("llama_model_get_vocab", c_void_p, c_void_p),
        ("llama_vocab_n_tokens", c_int32, c_void_p),
        ("llama_batch_get_one", Batch, POINTER(c_int32), c_int32),
        ("llama_decode", c_int32, c_void_p, Batch),
        ("llama_get_logits_ith", POINTER(c_float), c_void_p, c_int32),
        ("llama_tokenize", c_int32, c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool),
        ("llama_token_to_piece", c_int32, c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool),
        ("llama_free", None, c_void_p),
        ("llama_model_free", None, c_void_p),
    ]:
        f = getattr(lib, name)
        f.restype, f.argtypes = result, arguments
    lib.llama_log_set(QUIET, None)
    lib.llama_backend_init()
    return lib
