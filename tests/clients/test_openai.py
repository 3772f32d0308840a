"""The official client from PyPI, unmodified, against `quire serve` with the model that speaks by a script (tests/src/parrot.rs).
QUIRE_URL says where it is, QUIRE_API_KEY what opens it; it has two places."""

import asyncio
import json
import os
import time
import typing
import unittest

import openai
import pydantic

SAID = "Hello, world! How are you?"
THOUGHT = "They greet me."
MESSAGES = [{"role": "user", "content": "Hello!"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "Tells the weather", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": function} for function in (TOOL, {**TOOL, "name": "get_time"})]
# Text without an end, and not twice the same.
ENDLESS = {"model": "parrot", "prompt": "x", "max_tokens": 4000, "logit_bias": {"261": -100, "262": -100, "263": -100}}

OPTIONS = {"base_url": os.environ["QUIRE_URL"] + "/v1", "api_key": os.environ["QUIRE_API_KEY"], "max_retries": 0}
client = openai.OpenAI(**OPTIONS)


def chat(**body):
    return client.chat.completions.create(**{"model": "parrot", "messages": MESSAGES, **body})


def valid(answer):
    """The same, after all its fields are held against the types that the client has for them, which it does not do by itself."""
    type(answer).model_validate_json(answer.model_dump_json(by_alias=True, exclude_unset=True), strict=True)
    return answer


class Place(pydantic.BaseModel):
    city: typing.Literal["Paris", "Rome"]


class Chat(unittest.TestCase):
    def test_create_gives_an_answer_with_its_thoughts_and_its_cost(self):
        completion = chat()
        message = completion.choices[0].message
        self.assertEqual((message.content, message.reasoning), (SAID, THOUGHT))
        usage = completion.usage
        self.assertEqual(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)

    def test_a_streams_deltas_are_the_answer_and_its_usage_comes_last(self):
        chunks = list(chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), SAID)
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_tools_are_called_and_their_results_taken(self):
        tools = [{"type": "function", "function": TOOL}]
        with client.chat.completions.stream(model="parrot", messages=MESSAGES, tools=tools) as stream:
            called = stream.get_final_completion().choices[0]
        self.assertEqual(called.finish_reason, "tool_calls")
        call = called.message.tool_calls[0]
        self.assertEqual((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "Paris"}))
        turns = [*MESSAGES, called.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        self.assertEqual(chat(messages=turns, tools=tools).choices[0].message.content, SAID)

    def test_tool_choice_says_whether_tools_are_called_and_which(self):
        def ask(choice):
            message = chat(tools=TOOLS, tool_choice=choice).choices[0].message
            calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
            return message.content, calls

        self.assertEqual(ask("none"), (SAID, []))
        content, [(name, arguments)] = ask("required")
        self.assertEqual((content, arguments), (None, {"city": "Paris"}))
        self.assertIn(name, ["get_weather", "get_time"])
        named = {"type": "function", "function": {"name": "get_time"}}
        self.assertEqual(ask(named), (None, [("get_time", {"city": "Paris"})]))

    def test_an_answer_is_of_its_model_plain_and_by_the_stream_helper(self):
        asked = {"model": "parrot", "messages": MESSAGES, "response_format": Place}
        message = client.chat.completions.parse(**asked).choices[0].message
        self.assertEqual((message.parsed, message.reasoning), (Place(city="Paris"), THOUGHT))
        with client.chat.completions.stream(**asked) as stream:
            self.assertEqual(stream.get_final_completion().choices[0].message.parsed, Place(city="Paris"))

    def test_a_schema_that_cannot_be_met_is_refused_in_words(self):
        schema = {"name": "none", "schema": {"type": "integer", "minimum": 5, "maximum": 3}}
        with self.assertRaisesRegex(openai.BadRequestError, "cannot be of the form"):
            chat(response_format={"type": "json_schema", "json_schema": schema})

    def test_logprobs_are_those_of_the_answers_tokens(self):
        content = chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content
        self.assertEqual("".join(token.token for token in content), SAID)
        self.assertTrue(all(len(token.top_logprobs) == 2 for token in content))

    def test_an_answer_ends_before_a_stop_string_and_at_its_length(self):
        stopped = chat(stop="world").choices[0]
        self.assertEqual((stopped.message.content, stopped.finish_reason), ("Hello, ", "stop"))
        self.assertEqual(chat(max_completion_tokens=3).choices[0].finish_reason, "length")


class Completions(unittest.TestCase):
    def test_n_answers_differ_and_a_seed_repeats_them(self):
        def ask():
            return [c.text for c in client.completions.create(**{**ENDLESS, "max_tokens": 8, "n": 3, "seed": 5}).choices]

        once = ask()
        self.assertEqual((len(set(once)), ask()), (3, once))

    def test_whoever_leaves_frees_the_model(self):
        with client.completions.create(**ENDLESS, stream=True) as stream:
            next(iter(stream))
        begin = time.monotonic()
        self.assertEqual(chat().choices[0].message.content, SAID)
        self.assertLess(time.monotonic() - begin, 20)

    def test_a_task_that_is_cancelled_frees_the_model(self):
        async def ask():
            async with openai.AsyncOpenAI(**OPTIONS) as client:
                task = asyncio.create_task(client.completions.create(**ENDLESS))
                await asyncio.sleep(0.3)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                answer = await client.chat.completions.create(model="parrot", messages=MESSAGES, timeout=20)
                return answer.choices[0].message.content

        self.assertEqual(asyncio.run(ask()), SAID)


class Responses(unittest.TestCase):
    def test_a_response_is_its_text_in_events_too(self):
        request = {"model": "parrot", "instructions": "Be kind.", "input": "Hello!"}
        self.assertEqual(client.responses.create(**request).output_text, SAID)
        with client.responses.stream(**request) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            self.assertEqual((text, stream.get_final_response().output_text), (SAID, SAID))

    def test_a_response_goes_on_after_a_call(self):
        tools = [{"type": "function", "strict": False, **TOOL}]
        turns = [{"role": "user", "content": "Hello!"}]
        called = client.responses.create(model="parrot", input=turns, tools=tools)
        call = next(item for item in called.output if item.type == "function_call")
        self.assertEqual(json.loads(call.arguments), {"city": "Paris"})
        turns += called.output
        turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
        self.assertEqual(client.responses.create(model="parrot", input=turns, tools=tools).output_text, SAID)


class Types(unittest.TestCase):
    def test_every_answer_has_all_fields_that_the_client_expects_and_of_their_types(self):
        usage, tools = {"include_usage": True}, [{"type": "function", "function": TOOL}]
        for more in ({"logprobs": True, "top_logprobs": 2}, {"tools": tools}, {"n": 2}):
            valid(chat(**more))
            for chunk in chat(stream=True, stream_options=usage, **more):
                valid(chunk)
        text = {"model": "parrot", "prompt": "x", "max_tokens": 3, "logprobs": 1}
        parts = (client.completions.create(**text), *client.completions.create(**text, stream=True, stream_options=usage))
        # Its type has no null for the reason of what has not ended, which OpenAI's own servers say.
        for part in (part for part in parts if all(choice.finish_reason for choice in part.choices)):
            valid(part)
        for more in ({}, {"tools": [{"type": "function", "strict": False, **TOOL}]}):
            request = {"model": "parrot", "input": "Hello!", **more}
            for part in (client.responses.create(**request), *client.responses.create(**request, stream=True)):
                valid(part)
        for model in client.models.list():
            valid(model)
            valid(client.models.retrieve(model.id))


class Errors(unittest.TestCase):
    def test_each_error_has_its_class(self):
        with self.assertRaises(openai.BadRequestError):
            chat(n=99)
        with self.assertRaises(openai.BadRequestError) as raised:
            chat(messages=[{"role": "user", "content": "x" * 5000}])
        self.assertEqual(raised.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError) as raised:
            chat(model="gpt-5")
        self.assertEqual((raised.exception.code, raised.exception.param), ("model_not_found", "model"))
        with self.assertRaises(openai.AuthenticationError):
            client.with_options(api_key="another").models.list()

    def test_who_finds_no_place_is_told_when_to_come_again(self):
        async def ask():
            async with openai.AsyncOpenAI(**OPTIONS) as client:
                # One more than there are places: whichever comes last is refused while the others go on.
                tasks = [asyncio.create_task(client.completions.create(**ENDLESS)) for _ in range(3)]
                done, held = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in held:
                    task.cancel()
                await asyncio.gather(*held, return_exceptions=True)
                return done.pop().exception()

        refused = asyncio.run(ask())
        self.assertIsInstance(refused, openai.RateLimitError)
        self.assertEqual(refused.code, "rate_limit_exceeded")
        self.assertGreaterEqual(int(refused.response.headers["retry-after"]), 1)


if __name__ == "__main__":
    unittest.main()
