/** JSON that every parser takes: half a letter, as text that was cut in it has, is replaced. */
export const toJson = (body: unknown): string =>
  JSON.stringify(body, (_, value: unknown) => (typeof value === "string" ? value.replace(/\p{Surrogate}/gu, "\ufffd") : value));
