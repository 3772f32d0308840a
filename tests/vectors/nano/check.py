"""Sets the float64 forward pass beside llama.cpp on the files that make.py wrote, with YaRN rounded as llama.cpp does:
each file as it is, where llama.cpp rounds the activations of quantised matrices, and written out as F32.

    LLAMA_CPP=FOLDER python3 check.py"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import gguf
import numpy as np
from gguf.quants import dequantize

from forward import forward
from make import MOE16, MOE16_TOKENS, NANO, NANO_TOKENS, RUNS, VECTORS, relative_rms, tokens

sys.path.append(str(VECTORS))
from llama_cpp import LlamaCpp, write_as_f32


def main():
    for path, c, seed in [
        ("nano/nano-f32", NANO, NANO_TOKENS),
        ("nano/nano", NANO, NANO_TOKENS),
        ("nano-moe16/nano-moe16", MOE16, MOE16_TOKENS),
    ]:
        as_is = VECTORS / f"{path}.gguf"
        W = read(as_is)
        with TemporaryDirectory() as folder:
            as_f32 = Path(folder) / "f32.gguf"
            write_as_f32(as_is, as_f32)
            for n in RUNS:
                ids = tokens(n, seed)
                ours = forward(replace(c, yarn_rounded=True), W, ids).logits
                print(f"{path:22} {n:4} tokens, relative RMS:", *(
                    f"{kind} {relative_rms(llama_logits(file, ids), ours):.1e}"
                    for kind, file in [("as it is", as_is), ("as F32", as_f32)]
                ))


def llama_logits(file, ids):
    with LlamaCpp(file) as llama:
        return llama.logits(ids)


def read(file):
    """The file's tensors as the float64 numbers that they stand for."""
    tensors = gguf.GGUFReader(file).tensors
    return {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in tensors}


if __name__ == "__main__":
    main()
