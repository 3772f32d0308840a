import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI, { APIError } from "openai";
import { QuireError, type ErrorCode } from "../src/index.ts";
import { asHttpError, httpError } from "../src/http.ts";

test("errors of the engine become the classes of OpenAI's client, with words and code", () => {
  const classes: [ErrorCode, unknown, string][] = [
    ["invalid_request", OpenAI.BadRequestError, "invalid_request"],
    ["context_length", OpenAI.BadRequestError, "context_length_exceeded"],
    ["busy", OpenAI.RateLimitError, "rate_limit_exceeded"],
    ["device_lost", OpenAI.InternalServerError, "device_lost"],
    ["network", OpenAI.InternalServerError, "network"],
  ];
  for (const [code, type, word] of classes) {
    const { status, body } = asHttpError(new QuireError(code, "in words"));
    const error = APIError.generate(status, body, undefined, new Headers());
    assert.equal(error.constructor, type, code);
    assert.equal(error.code, word);
    assert.match(error.message, /in words/);
  }
});

test("what is no error of ours is told as internal", () => {
  const { status, body } = asHttpError(new TypeError("x is undefined"));
  assert.deepEqual([status, body.error.code, body.error.message], [500, "internal", "x is undefined"]);
  assert.equal(httpError(404, "model_not_found", "").body.error.type, "invalid_request_error");
});
