"""Harmony vectors from OpenAI's reference implementation: `pip install openai-harmony==0.0.8`, then

    TIKTOKEN_ENCODINGS_BASE=<directory of o200k_base.tiktoken> python harmony.py

writes, by a fixed seed, harmony/conversations.jsonl (rendering) and harmony/completions.jsonl (parsing).

Where this project means to differ from the reference, a line names the difference. What is expected is then
made in another way: for rendering, the reference renders the conversation without the messages that should
go; for parsing, the completion was written from the messages that should be read. Whether the reference really
differs is checked here, line by line.
"""

import base64
import codecs
import json
import os
import random
from pathlib import Path

from openai_harmony import (
    Author, Conversation, DeveloperContent, HarmonyEncodingName, HarmonyError, Message, ReasoningEffort,
    RenderConversationConfig, Role, StreamableParser, StreamState, SystemContent, ToolDescription,
    load_harmony_encoding,
)

ENCODING = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
OUT = Path(__file__).parent / "harmony"
N_CONVERSATIONS, N_COMPLETIONS = 240, 260
N_FULL_IDS = 20  # lines with all ids; the others have their hash

WORDS = """the a weather in Tokyo list of files `path` naïve 東京 emoji 🙂 👩‍👩‍👧 "quoted" don't 3.14 x=1; \\n {json} <b> हिन्दी
// comment | null null any C++ <|end|> <|start|>assistant <|channel|> to=functions.f end.""".split()


def fnv(data: bytes, bits=64) -> str:
    offset, prime = {64: (0xCBF29CE484222325, 0x100000001B3), 32: (0x811C9DC5, 0x01000193)}[bits]
    for byte in data:
        offset = ((offset ^ byte) * prime) % 2**bits
    return f"{offset:0{bits // 4}x}"


def fnv_ids(ids) -> str:
    return fnv(b"".join(i.to_bytes(4, "little") for i in ids))


def words(rng, low=1, high=8):
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))
    return text + rng.choice(["", "", "", "\n", "  ", "\n\n" + rng.choice(WORDS)])


def line(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))


# Rendering -------------------------------------------------------------------------------------------------

def schema(rng, depth=0):
    kinds = ["string", "string", "enum", "number", "integer", "boolean", "array", "bare_array", "union", "any", "odd"]
    if depth < 3:
        kinds += ["object", "object", "one_of", "array"]
    kind = rng.choice(kinds)
    s = {
        "string": lambda: {"type": "string"},
        "enum": lambda: {"type": "string", "enum": [line(rng) for _ in range(rng.randint(0, 3))]},
        "number": lambda: {"type": "number", "minimum": 0},
        "integer": lambda: {"type": "integer"},
        "boolean": lambda: {"type": "boolean"},
        "array": lambda: {"type": "array", "items": schema(rng, depth + 1)},
        "bare_array": lambda: {"type": "array"},
        "union": lambda: {"type": rng.choice([["integer", "null"], ["number", "string"], [], ["string"]])},
        "any": lambda: {},
        "odd": lambda: rng.choice([{"anyOf": [{"type": "string"}]}, {"type": "null"}, {"$ref": "#/x"}]),
        "object": lambda: object_schema(rng, depth + 1),
        "one_of": lambda: {"oneOf": [schema(rng, depth + 1) for _ in range(rng.randint(0, 3))]},
    }[kind]()
    if rng.random() < 0.4:
        s["description"] = line(rng) if rng.random() < 0.8 else line(rng) + "\n" + line(rng)
    if rng.random() < 0.3:
        s["default"] = rng.choice([line(rng), 1, -2.5, 1e-7, True, None, [1, "a"], {"b": 1, "a": 2}])
    if rng.random() < 0.15:
        s["nullable"] = rng.random() < 0.8
    if rng.random() < 0.15:
        s["title"] = line(rng)
    if rng.random() < 0.15:
        s["examples"] = rng.choice([[], [line(rng)], [line(rng), 5], [7]])
    if "oneOf" in s and s["oneOf"] and rng.random() < 0.3 and "description" in s:
        s["oneOf"][0]["description"] = s["description"]
    return s


def object_schema(rng, depth):
    s = {"type": "object"}
    keys = rng.sample(["zeta", "alpha", "city", "名前", "snake_case", "x-y", "b", "a"], rng.randint(0, 4))
    if keys or rng.random() < 0.7:
        s["properties"] = {key: schema(rng, depth) for key in keys}
    if rng.random() < 0.7:
        s["required"] = [key for key in keys if rng.random() < 0.5]
    return s


def tools(rng):
    described = []
    for name in rng.sample(["get_weather", "now", "search", "run-code", "f"], rng.randint(1, 3)):
        parameters = rng.choice([None, object_schema(rng, 0), object_schema(rng, 0), object_schema(rng, 0)])
        if parameters is not None and rng.random() < 0.3:
            parameters["description"] = line(rng)
        description = rng.choice(["", line(rng), line(rng) + "\n" + line(rng), line(rng) + "\n\n" + line(rng) + "\n"])
        described.append({"name": name, "description": description, "parameters": parameters})
    return described


def message(role, content, **header):
    return {"role": role, **{k: v for k, v in header.items() if v is not None}, "content": content}


def turn(rng, functions, is_last):
    """A user's message and what the assistant makes of it; the last turn may still be open."""
    out = [message("user", words(rng), name=rng.choice([None, None, None, "ada"]))]
    for _ in range(rng.choice([0, 0, 1, 2])):
        if rng.random() < 0.7:
            out.append(message("assistant", words(rng), channel="analysis"))
        if rng.random() < 0.2:
            out.append(message("assistant", words(rng), channel="commentary"))
        tool = "functions." + rng.choice(functions) if functions and rng.random() < 0.7 else "browser.search"
        if tool == "browser.search":
            out.append(message("assistant", '{"query": "x"}', channel="analysis", recipient=tool, content_type="code"))
        else:
            kind = rng.choice(["<|constrain|>json", "json", None])
            out.append(message("assistant", '{"location": "東京"}', channel="commentary", recipient=tool, content_type=kind))
        if is_last and rng.random() < 0.1:
            return out
        out.append(message("tool", rng.choice(["", words(rng)]), name=tool, recipient="assistant", channel="commentary"))
        if is_last and rng.random() < 0.3:
            return out
    if is_last and rng.random() < 0.5:
        return out
    if rng.random() < 0.7:
        out.append(message("assistant", words(rng), channel="analysis"))
    if rng.random() < 0.9:
        out.append(message("assistant", words(rng), channel="final", recipient=rng.choice([None] * 9 + ["user"])))
    return out


def conversation(rng):
    messages, functions = [], []
    if rng.random() < 0.9:
        messages.append(message("system", {"system": {
            "identity": rng.choice([None, "default", "default", line(rng)]),
            "knowledge_cutoff": rng.choice([None, "default", "2025-01"]),
            "date": rng.choice([None, "2025-06-28"]),
            "reasoning_effort": rng.choice(["low", "medium", "high", None]),
            "tools": rng.choice([[], [], ["browser"], ["python"], ["python", "browser"]]),
            "valid_channels": rng.choice(["default", "default", [], ["analysis", "final"]]),
        }}))
    if rng.random() < 0.7:
        content = {"instructions": rng.choice([None, words(rng), words(rng)]), "functions": []}
        if rng.random() < 0.7:
            content["functions"] = tools(rng)
            functions = [tool["name"] for tool in content["functions"]]
        messages.append(message("developer", {"developer": content}))
    n_turns = rng.choice([1, 1, 2, 3])
    for n in range(n_turns):
        messages += turn(rng, functions, n == n_turns - 1)
    return messages


def reference_content(content):
    if isinstance(content, str):
        return content
    if "developer" in content:
        d, content = content["developer"], DeveloperContent.new()
        if d["instructions"] is not None:
            content = content.with_instructions(d["instructions"])
        if d["functions"]:
            content = content.with_function_tools([
                ToolDescription.new(t["name"], t["description"], parameters=t["parameters"]) for t in d["functions"]])
        return content
    s, content = content["system"], SystemContent.new()
    if s["identity"] != "default":
        content.model_identity = s["identity"]
    if s["knowledge_cutoff"] != "default":
        content.knowledge_cutoff = s["knowledge_cutoff"]
    content.conversation_start_date = s["date"]
    content.reasoning_effort = s["reasoning_effort"] and ReasoningEffort[s["reasoning_effort"].upper()]
    if s["valid_channels"] != "default":
        content = content.with_required_channels(s["valid_channels"])
    if "browser" in s["tools"]:
        content = content.with_browser_tool()
    if "python" in s["tools"]:
        content = content.with_python_tool()
    return content


def reference(messages, drop):
    built = []
    for m in messages:
        author = Author(role=Role(m["role"]), name=m.get("name"))
        b = Message.from_author_and_content(author, reference_content(m["content"]))
        b.channel, b.recipient, b.content_type = m.get("channel"), m.get("recipient"), m.get("content_type")
        built.append(b)
    return ENCODING.render_conversation_for_completion(
        Conversation.from_messages(built), Role.ASSISTANT, RenderConversationConfig(auto_drop_analysis=drop))


def without_finished_analysis(messages):
    kept, turn_of = [], []
    for m in messages + [message("user", "")]:
        if m["role"] == "user":
            finals = [i for i, t in enumerate(turn_of) if t["role"] == "assistant" and t.get("channel") == "final"]
            last = finals[-1] if finals else -1
            kept += [t for i, t in enumerate(turn_of) if i >= last or t.get("channel") != "analysis"]
            turn_of = []
        turn_of.append(m)
    return kept


def conversations():
    for seed in range(N_CONVERSATIONS):
        rng = random.Random(f"conversation {seed}")
        messages = conversation(rng)
        theirs, ours = reference(messages, True), reference(without_finished_analysis(messages), False)
        case = {"messages": messages, "text": ENCODING.decode_utf8(ours), "n_ids": len(ours), "ids_fnv": fnv_ids(ours),
                "reference_fnv": fnv_ids(theirs)}
        if theirs != ours:
            case["difference"] = "analysis of finished turns"
        if seed < N_FULL_IDS:
            case["ids"] = ours
        yield case


# Parsing ---------------------------------------------------------------------------------------------------

def special(name):
    return ENCODING.encode(f"<|{name}|>", allowed_special="all")


def text_ids(text):
    return ENCODING.encode(text, disallowed_special=())


VOCABULARY = Path(os.environ["TIKTOKEN_ENCODINGS_BASE"]) / "o200k_base.tiktoken"
TOKEN_BYTES = {int(i): base64.b64decode(token) for token, i in (l.split() for l in VOCABULARY.open())}
BYTE_TOKENS = {token[0]: i for i, token in TOKEN_BYTES.items() if len(token) == 1}

# How the header of a message with channel C, recipient R and content type T is spelled, and, where the
# reference reads something else than what is meant, the name of the difference.
SPELLINGS = {
    "plain": ([("channel",), "C"], None),
    "role repeated": (["assistant", ("channel",), "C"], None),
    "call": ([("channel",), "C to=R ", ("constrain",), "T"], None),
    "call without space": ([("channel",), "C to=R", ("constrain",), "T"], None),
    "call to the role": ([" to=R", ("channel",), "C T"], None),
    "call to the role, constrained": ([" to=R", ("channel",), "C ", ("constrain",), "T"], None),
    "call with a plain type": ([("channel",), "C to=R T"], None),
    "call without a type": ([("channel",), "C to=R"], None),
    "call without to=": ([("channel",), "C R ", ("constrain",), "T"], None),
    "constrained answer": ([("channel",), "C ", ("constrain",), "T"], "content type taken for a recipient"),
    "typed answer": ([("channel",), "C T"], "content type taken for a recipient"),
    "space after the mark": ([("channel",), "C to=R ", ("constrain",), " T"], "header refused"),
    "stray channel": ([("channel",), "commentary", ("channel",), "C"], "stray channel"),
    "stray channel and recipient": ([("channel",), "commentary to=assistant", ("channel",), "C"], "stray channel"),
    "space before the channel": ([("channel",), " C"], "header refused"),
    "question marks": ([("channel",), "C?C?"], "odd channel"),
    "number": ([("channel",), "C 2?"], "content type taken for a recipient"),
    "dashes": ([("channel",), "––C"], "odd channel"),
}


def spell(parts, m):
    ids = []
    for part in parts:
        if isinstance(part, tuple):
            ids += special(part[0])
        else:
            for key, value in (("R", m["recipient"]), ("T", m["type"]), ("C", m["channel"])):
                part = part.replace(key, value)
            ids += text_ids(part)
    return ids


def content_ids(rng):
    ids = []
    for _ in range(rng.randint(0, 3)):
        ids += text_ids(words(rng))
        kind = rng.random()
        if kind < 0.15:  # bytes of characters, a token each
            ids += [BYTE_TOKENS[b] for b in "é漢🙂".encode()]
        elif kind < 0.25:  # no characters at all
            ids += [BYTE_TOKENS[rng.choice([0x80, 0xC3, 0xE4, 0xF0, 0xFF])] for _ in range(rng.randint(1, 3))]
    return ids


def completion(rng):
    """Ids, the state that is meant after each, the messages that are meant, and differences to the reference."""
    ids, states, finished, differences = [], [], [], set()

    def put(new, state):
        for i in new:
            ids.append(i)
            states.append(f"{len(finished)}|{state}")

    n = rng.randint(1, 3)
    for at in range(n):
        is_last = at == n - 1
        name = rng.choice(list(SPELLINGS)) if rng.random() < 0.6 else "plain"
        parts, difference = SPELLINGS[name]
        spelled = "".join(p for p in parts if isinstance(p, str))
        is_call = "R" in spelled
        m = {"channel": "commentary" if is_call else rng.choice(["analysis", "final", "commentary"]),
             "recipient": rng.choice(["functions.f", "functions.get_weather", "browser.search", "python"]),
             "type": rng.choice(["json", "json", "code"])}
        if difference:
            differences.add(difference)
        constrained = ("constrain",) in parts
        header = [m["channel"], m["recipient"] if is_call else "",
                  ("<|constrain|>" if constrained else "") + m["type"] if "T" in spelled else ""]
        if at:
            put(special("start") + (text_ids("assistant") if "assistant" not in parts else []), "-")
        put(spell(parts, m), "-")
        decoder, content = codecs.getincrementaldecoder("utf-8")("replace"), ""
        put(special("message"), "|".join(["assistant", *header, content]))
        for i in content_ids(rng):
            content += decoder.decode(TOKEN_BYTES[i])
            put([i], "|".join(["assistant", *header, content]))
        content += decoder.decode(b"", True)
        finished.append(["assistant", *header, content])
        if not (is_last and rng.random() < 0.1):
            stop = "end" if not is_last else rng.choice(["call"] if is_call else ["return", "return", "end"])
            put(special(stop), "-")
    return ids, states, finished, differences


def read_by_reference(ids):
    """States and messages, or None where it refuses the ids."""
    parser, states = StreamableParser(ENCODING, role=Role.ASSISTANT), []
    try:
        for i in ids:
            parser.process(i)
            state = "-"
            if parser.state == StreamState.CONTENT:
                fields = [parser.current_role.value, parser.current_channel, parser.current_recipient,
                          parser.current_content_type, parser.current_content]
                state = "|".join(field or "" for field in fields)
            states.append(f"{len(parser.messages)}|{state}")
        parser.process_eos()
    except HarmonyError:
        return None
    messages = [[m.author.role.value, m.channel or "", m.recipient or "", m.content_type or "", m.content[0].text]
                for m in parser.messages]
    return states, messages


def completions():
    for seed in range(N_COMPLETIONS):
        rng = random.Random(f"completion {seed}")
        ids, states, messages, differences = completion(rng)
        theirs = read_by_reference(ids)
        agree = theirs == (states, messages)
        if not agree and not differences:
            # Two broken characters within what one token completes: the reference takes one at a time.
            assert theirs and theirs[1] == messages, (seed, theirs, states, messages)
            differences = {"broken characters one at a time"}
        assert agree == (not differences), (seed, differences, theirs, states)
        yield {"ids": ids, "states": "".join(fnv(s.encode(), 32) for s in states), "messages": messages,
               "differences": sorted(differences)}


def write(name, cases):
    with open(OUT / name, "w") as file:
        for case in cases:
            file.write(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    write("conversations.jsonl", conversations())
    write("completions.jsonl", completions())
