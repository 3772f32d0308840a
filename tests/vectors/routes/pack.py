"""Packs routing traces, CSV as `quire trace` writes it, into one byte an expert: pack.py FILE.csv FILE.u8"""

import csv
import sys


def pack(rows, about):
    layers = {}
    for row in rows:
        tokens = layers.setdefault(int(row["layer"]), {})
        tokens.setdefault((int(row["phase"]), int(row["step"])), []).append(int(row["expert"]))
    packed = bytearray(int(about[key]) for key in ("n_layer", "n_expert", "n_expert_used"))
    for layer in range(int(about["n_layer"])):
        phases = [phase for phase, _ in layers[layer]]
        assert phases == sorted(phases)
        packed += bytes([phases.count(0), phases.count(1)])
        for chosen in layers[layer].values():
            assert len(chosen) == int(about["n_expert_used"])
            packed += bytes(chosen)
    return packed


with open(sys.argv[1], newline="") as file:
    lines = file.read().splitlines()
comments = " ".join(line for line in lines if line.startswith("#"))
about = dict(word.split("=", 1) for word in comments.split() if "=" in word)
with open(sys.argv[2], "wb") as file:
    file.write(pack(csv.DictReader(line for line in lines if not line.startswith("#")), about))
