"""Keeps what llama.cpp makes of the tokenizer corpus with SmolLM2's vocabulary. Run from the repository's root:

    pip install gguf numpy
    python3 tests/vectors/text/tokenizer_smollm.py target/models/smollm2.gguf

(any SmolLM2 will do; for llama.cpp see ../llama_cpp.py). Writes beside itself:

- tokenizer_smollm_tokens.txt: the vocabulary's first tokens, control and single bytes, one a line as in the GGUF.
- tokenizer_smollm_merges.bin: the pair of ids (u16, little-endian) that makes each of the others, in order.
- tokenizer_smollm_hashes.bin: FNV-1a (u32, little-endian) of the ids (u32, little-endian) of each text of the corpus.
- tokenizer_smollm_cases.txt: chosen texts as `special parsing (0 or 1) TAB text as JSON TAB ids`.
"""

import json
import pathlib
import subprocess
import sys

import gguf

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))
from llama_cpp import LlamaCpp

CASES = [
    (0, "Hello world"),
    (0, "I'M he'S don't WE'LL it's"),
    (0, "12345678 3.14  2024"),
    (0, "path/to/file//x\n"),
    (0, "  two  spaces   before  7 and trailing   "),
    (0, "हिन्दी में नमस्ते"),
    (0, "ภาษาไทย สวัสดี 日本語 한국어"),
    (0, "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ✨"),
    (0, "fn main() {\n\tprintln!(\"{}\", 0x1F);\r\n}\n\n\n"),
    (0, "bytes without a token: a\U00040000b \x04 c"),
    (0, "<|im_start|>user\nHi<|im_end|>"),
    (1, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
    (1, "a<|endoftext|><|endoftext|>  b<repo_name>c <file_sep>"),
    (1, "<|im_start|<|im_start|>|>"),
]


def corpus():
    command = ["cargo", "run", "-q", "-p", "text", "--example", "print_corpus"]
    data = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    texts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        texts.append(data[4:end].decode())
        data = data[end:]
    return texts


def fnv1a(ids):
    value = 0x811C9DC5
    for byte in b"".join(id.to_bytes(4, "little") for id in ids):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def main(model):
    fields = gguf.GGUFReader(model).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    first = len(tokens) - len(merges)
    assert tokens[first:] == [left + right for left, right in merges]
    ids = {token: id for id, token in enumerate(tokens)}
    pairs = b"".join(ids[part].to_bytes(2, "little") for merge in merges for part in merge)
    (HERE / "tokenizer_smollm_tokens.txt").write_text("\n".join(tokens[:first]) + "\n")
    (HERE / "tokenizer_smollm_merges.bin").write_bytes(pairs)

    with LlamaCpp(model) as llama:
        hashes = [fnv1a(llama.tokenize(text)) for text in corpus()]
        (HERE / "tokenizer_smollm_hashes.bin").write_bytes(b"".join(h.to_bytes(4, "little") for h in hashes))
        with open(HERE / "tokenizer_smollm_cases.txt", "w") as file:
            for special, text in CASES:
                ids = " ".join(map(str, llama.tokenize(text, bool(special))))
                print(special, json.dumps(text), ids, sep="\t", file=file)


if __name__ == "__main__":
    main(*sys.argv[1:])
