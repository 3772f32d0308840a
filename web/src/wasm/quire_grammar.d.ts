/** The surface of the wasm module that follows grammars, as the engine's module uses it. What methods throw are strings, in words. */

/** A vocabulary, in the module's own memory. */
export class Grammars {
  /**
   * The bytes of token i are `bytes[ends[i - 1]..ends[i]]`, none of a token that no text may have. `spell` gives the ids of
   * bytes, none if they cannot be spelled.
   */
  constructor(bytes: Uint8Array, ends: Uint32Array, spell: (bytes: Uint8Array) => Uint32Array);
  /** Begins JSON of a schema. */
  json(schema: string): Matcher;
  /** Begins a text of a grammar in Lark. */
  lark(grammar: string): Matcher;
  free(): void;
}

/** Follows one text, token by token. */
export class Matcher {
  private constructor();
  push(id: number): void;
  /** The tokens that may come next, bit `id % 32` of word `id / 32`; empty if the text cannot go on. */
  allowed(): Uint32Array;
  /** Whether the text may end here. */
  isWhole(): boolean;
  /** Another one at the same place of the text. */
  fork(): Matcher;
  free(): void;
}

/** Compiles and starts the module; once per worker. */
export default function init(options: { module_or_path: Response }): Promise<unknown>;
