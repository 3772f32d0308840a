"""Sets the float64 forward pass beside llama.cpp on the files that make.py wrote, with YaRN rounded as llama.cpp does.

    LLAMA_CPP=FOLDER python3 check.py

llama.cpp computes quantised matrices with 8-bit activations, so only the F32 model can agree closely."""

import sys
from dataclasses import replace

import gguf
import numpy as np
from gguf.quants import dequantize

from forward import forward
from make import MOE16, MOE16_TOKENS, NANO, NANO_TOKENS, RUNS, VECTORS, relative_rms, tokens

sys.path.append(str(VECTORS))
from llama_cpp import LlamaCpp


def main():
    for path, c, seed in [
        ("nano/nano-f32", NANO, NANO_TOKENS),
        ("nano/nano", NANO, NANO_TOKENS),
        ("nano-moe16/nano-moe16", MOE16, MOE16_TOKENS),
    ]:
        file = VECTORS / f"{path}.gguf"
        W = read(file)
        for n in RUNS:
            ids = tokens(n, seed)
            ours = forward(replace(c, yarn_rounded=True), W, ids).logits
            with LlamaCpp(file) as llama:
                theirs = llama.logits(ids)
            agree = (ours.argmax(-1) == theirs.argmax(-1)).mean()
            print(f"{path:22} {n:4} tokens: relative RMS {relative_rms(theirs, ours):.1e}, same top token {agree:.1%}")


def read(file):
    """The file's tensors as the float64 numbers that they stand for."""
    tensors = gguf.GGUFReader(file).tensors
    return {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in tensors}


if __name__ == "__main__":
    main()
