/** The way from the engine's module to the one that follows grammars, which is fetched when an answer is first to be of a form. */

import init from "./quire_grammar.js";

export { Grammars, Matcher } from "./quire_grammar.js";

let loading: Promise<void> | undefined;

/** Rejects if the module cannot be had; the next call tries again. */
export function loadGrammar(): Promise<void> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(): Promise<void> {
  const response = await fetch(new URL("./quire_grammar_bg.wasm", import.meta.url));
  if (!response.ok) throw new Error(`${response.url} answers ${response.status}`);
  await init({ module_or_path: response });
}
