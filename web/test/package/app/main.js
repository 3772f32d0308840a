// Says what follows three tokens by the model that the address names, and what it answers where it must be one of two words, which takes a
// module of its own; without a model, what the engine's worker knows of files.
import { cache, createEngine } from "quire";

async function say(model) {
  if (!model) return JSON.stringify(await cache.list());
  const engine = await createEngine({ model, cache: "none" });
  const body = { prompt: [1, 2, 3], max_tokens: 4, temperature: 0, logprobs: 0 };
  const { choices } = await engine.completions.create(body);
  const form = { prompt: [1, 2, 3], max_tokens: 20, temperature: 0, grammar: 'start: "yes" | "no"' };
  const { choices: formed } = await engine.completions.create(form);
  await engine.unload();
  return [...choices[0].logprobs.ids, formed[0].text].join(" ");
}

window.said = await say(new URL(location.href).searchParams.get("model")).catch(String);
