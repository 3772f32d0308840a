import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI, { APIError } from "openai";
import { httpError } from "../src/http.ts";

test("errors become the classes of OpenAI's client, with words and code", () => {
  const classes = [
    [404, "model_not_found", OpenAI.NotFoundError],
    [503, "no_model", OpenAI.InternalServerError],
  ] as const;
  for (const [status, code, type] of classes) {
    const error = APIError.generate(status, JSON.parse(httpError(status, code, "in words").body), undefined, new Headers());
    assert.equal(error.constructor, type, code);
    assert.equal(error.code, code);
    assert.match(error.message, /in words/);
  }
});
