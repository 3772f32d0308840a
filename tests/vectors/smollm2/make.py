"""Golden distributions of a real model over forced English text, and its greedy answers, from llama.cpp.

    pip install numpy gguf
    LLAMA_CPP=FOLDER python3 make.py smollm2 PATH/TO/smollm2.gguf
    LLAMA_CPP=FOLDER python3 make.py smollm2-moe PATH/TO/smollm2-moe.gguf

llama.cpp rounds activations to 8 bits wherever weights are quantised; that alone moves the top token in 3 % of the
positions. The golden values are therefore its results on the same weights written out as F32, where it computes in f32;
how far the file as it is lies from them is printed.

Of every position the TOP most likely tokens are kept; what is left of the probability is one more bucket, so that a
test can compute agreement of the top token and a KL divergence over TOP + 1 buckets."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from llama_cpp import LlamaCpp, write_as_f32

TOP = 64
N_ANSWER = 24  # tokens
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # as the model's own template says
PROMPTS = [
    "What is the capital of France?",
    "What is 2 + 2?",
    "Name three colours.",
    "Write one sentence about a river.",
    "Who wrote Romeo and Juliet?",
]


def main(name, model):
    text = (HERE / "text.txt").read_text()
    with TemporaryDirectory() as folder:
        f32 = Path(folder) / "f32.gguf"
        write_as_f32(model, f32)
        ids, log_p = distributions(f32, text)
        answers = [answer(f32, prompt) for prompt in PROMPTS]
    top_ids, top, rest = buckets(log_p)
    (HERE / "text.ids.txt").write_text(",".join(map(str, ids)) + "\n")
    top_ids.astype("<u4").tofile(HERE / f"{name}.top.ids.u32")
    top.astype("<f4").tofile(HERE / f"{name}.top.logprobs.f32")
    rest.astype("<f4").tofile(HERE / f"{name}.rest.f32")
    lines = ",\n".join(json.dumps(a, ensure_ascii=False) for a in answers)
    (HERE / f"{name}.greedy.json").write_text(f"[\n{lines}\n]\n")

    _, as_is = distributions(model, text)
    q = np.take_along_axis(as_is, top_ids, -1)
    kl = (np.exp(top) * (top - q)).sum(-1) + rest * np.log(rest / (1 - np.exp(q).sum(-1)))
    same = (as_is.argmax(-1) == top_ids[:, 0]).mean()
    print(f"{name}: {len(ids)} tokens, next one guessed {np.mean(top_ids[:-1, 0] == ids[1:]):.1%}, "
          f"mass outside the top {TOP} {rest.mean():.3f}")
    print(f"8-bit activations: same top token {same:.2%}, mean KL divergence {kl.mean():.1e}")
    for a in answers:
        print(f"{a['prompt']} {a['text']!r} (smallest lead {min(a['leads'])})")


def distributions(model, text):
    """The text's ids and the log-probabilities (T, V) after each of them."""
    with LlamaCpp(model) as llama:
        ids = llama.tokenize(text)
        return ids, log_softmax(llama.logits(ids))


def log_softmax(logits):
    z = logits.astype(np.float64)
    z -= z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def buckets(log_p):
    """The TOP ids and log-probabilities, likeliest first, (T, TOP) each, and the remaining mass, (T,)."""
    ids = np.argsort(-log_p, axis=-1, kind="stable")[:, :TOP]
    top = np.take_along_axis(log_p, ids, -1)
    return ids, top, 1 - np.exp(top).sum(-1)


def answer(model, prompt):
    """The prompt in the model's chat template, and the greedy continuation with its lead over the runner-up."""
    turns = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    with LlamaCpp(model) as llama:
        prompt_ids = llama.tokenize(turns, special=True)
        ids, leads = llama.greedy(prompt_ids, N_ANSWER)
        text = llama.text(ids)
    return {"prompt": prompt, "prompt_ids": prompt_ids, "ids": ids, "leads": leads, "text": text}


if __name__ == "__main__":
    main(*sys.argv[1:3])
