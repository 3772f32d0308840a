"""Regenerates the vectors in this folder from gguf-py: `pip install gguf numpy && python make.py`.

NAME.blocks      random blocks, some with hostile scales (infinities, NaNs, subnormals)
NAME.values      what gguf-py makes of them, f32
quantize.values  f32 blocks of 32 to quantise; NAME.quantized is what gguf-py makes of them
scalars.values   single f32 for the plain formats; NAME.scalars is what gguf-py makes of them

All little-endian.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, quants

HERE = Path(__file__).parent
rng = np.random.default_rng(20260101)
np.seterr(all="ignore")

# Offsets of the f16 scales in a block.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}
# Zeros, smallest and largest subnormal, one, largest, infinities, NaNs.
HOSTILE = [0x0000, 0x8000, 0x0001, 0x83FF, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFD01]


def blocks(name):
    length, size = GGML_QUANT_SIZES[T[name]]
    count = 8 + len(HOSTILE) if length == 256 else 40
    out = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for i in range(count):
        for at in SCALES[name]:
            sane = np.float16(rng.normal() * 0.05).view(np.uint16)
            scale = HOSTILE[i - 8] if 8 <= i < 8 + len(HOSTILE) else sane
            out[i, at : at + 2] = np.array([scale], dtype="<u2").view(np.uint8)
    if name == "MXFP4":
        out[:12, 0] = [0, 1, 2, 3, 126, 127, 128, 129, 200, 253, 254, 255]
    return out


def save(name, array):
    (HERE / name).write_bytes(np.ascontiguousarray(array).tobytes())


def values():
    exponents = np.concatenate([np.linspace(-122, 126, 32), np.full(16, -4)]).reshape(-1, 1)
    normal = rng.normal(size=(48, 32)) * np.exp2(exponents)
    normal = np.clip(normal, -3.4e38, 3.4e38)
    # Exact powers of two and the f32 next below, where the MXFP4 exponent turns.
    edges = np.float32(rng.uniform(-0.4, 0.4, (16, 32)))
    edges[:8, 7] = [1, -1, 2, 4, 0.5, 1024, -2048, 6]
    edges[8:, 9] = np.nextafter(np.float32([1, -1, 2, 4, 0.5, 1024, -2048, 2.0**100]), np.float32(0))
    special = np.zeros((10, 32))
    special[1] = 1.25
    special[2] = -3
    special[3] = np.arange(-16, 16) / 2
    special[4, 5], special[4, 6] = -7, 7
    special[5, 5], special[5, 6] = 7, -7
    special[6] = np.arange(32) * 3e-39
    special[7, 31] = 1e-37
    special[8, 0], special[8, 1] = 3e38, -3e38
    special[9] = np.tile([5, 2.5, 0.25, 1.75], 8)
    return np.concatenate([normal, edges, special]).astype("<f4")


for name in SCALES:
    raw = blocks(name)
    save(f"{name}.blocks", raw)
    save(f"{name}.values", quants.dequantize(raw, T[name]).astype("<f4"))

bits = np.concatenate([np.array(HOSTILE + [0x7F80, 0xFF80, 0x7FC0, 0x0080]), rng.integers(0, 65536, 240)]).astype("<u2")
for name in ["F16", "BF16"]:
    save(f"{name}.blocks", bits)
    save(f"{name}.values", quants.dequantize(bits.view(np.uint8), T[name]).astype("<f4"))

to_quantize = values()
save("quantize.values", to_quantize)
for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]:
    save(f"{name}.quantized", quants.quantize(to_quantize, T[name]))

scalars = np.concatenate([
    np.array([0, -0.0, 1, 65504, 65519.99, 65520, 6e-8, 2.9e-8, 3e-8, 1e-45, 3.4e38, np.inf, -np.inf, np.nan]),
    [1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8],
    rng.normal(size=100) * np.exp2(rng.uniform(-30, 20, 100)),
]).astype("<f4")
save("scalars.values", scalars)
for name in ["F32", "F16", "BF16"]:
    save(f"{name}.scalars", quants.quantize(scalars, T[name]))
