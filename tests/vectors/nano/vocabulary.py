"""A working byte-level vocabulary of gpt-oss's form, 300 rows: single bytes, a few merges, the special tokens, and
unused rows. Types: 1 normal, 3 control, 5 unused."""

from dataclasses import dataclass

# Byte <-> character: printable bytes stand for themselves, the others in ascending order for U+0100 and up.
PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
CHARACTER = {b: chr(b) for b in PRINTABLE} | {
    b: chr(256 + n) for n, b in enumerate(b for b in range(256) if b not in PRINTABLE)
}

# In rank order; each is two earlier tokens joined.
WORDS = [" t", "he", " the", "in", "er", " a", "on", "re", "an", " s", "or", "nd", "and", " and", "ing",
         "12", "  ", "é", "\n\n"]

SPECIAL = ["<|startoftext|>", "<|endoftext|>", "<|reserved_200000|>", "<|reserved_200001|>", "<|return|>",
           "<|constrain|>", "<|reserved_200004|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>",
           *(f"<|reserved_{n}|>" for n in (200009, 200010, 200011)), "<|call|>",
           *(f"<|reserved_{n}|>" for n in range(200013, 200018)), "<|endofprompt|>"]

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


@dataclass(frozen=True)
class Vocabulary:
    tokens: list[str]
    types: list[int]
    merges: list[str]


def vocabulary(n_padding):
    normal = list(CHARACTER.values()) + ["".join(CHARACTER[b] for b in w.encode()) for w in WORDS]
    padding = [f"[PAD{n}]" for n in range(n_padding)]
    # As gpt-oss lists them: every split of every longer token into two tokens, in order of the three ids.
    rank = {t: i for i, t in enumerate(normal)}
    cuts = [(t, t[:n], t[n:]) for t in normal for n in range(1, len(t))]
    splits = sorted((rank[t], rank[a], rank[b]) for t, a, b in cuts if a in rank and b in rank)
    return Vocabulary(
        tokens=normal + SPECIAL + padding,
        types=[1] * len(normal) + [3] * len(SPECIAL) + [5] * n_padding,
        merges=[f"{normal[a]} {normal[b]}" for _, a, b in splits],
    )
