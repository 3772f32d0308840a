/** Text of plain files, however they are encoded. */

/** What text was encoded in before UTF-8, by language; where several are, the first that fits. */
const older: [RegExp, string[]][] = [
  [/^zh-(?:TW|HK|MO|Hant)\b/i, ["big5", "gb18030"]],
  [/^zh\b/i, ["gb18030"]],
  [/^ja\b/i, ["shift_jis", "euc-jp"]],
  [/^ko\b/i, ["euc-kr"]],
];

/** Nothing if the file is no text. `languages` are the reader's, the most likely first. */
export function decode(bytes: Uint8Array, languages: readonly string[]): string | undefined {
  const [first, second] = bytes;
  const marked = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : undefined;
  if (marked) return new TextDecoder(marked).decode(bytes);
  if (bytes.includes(0)) return undefined;
  const likely = languages.flatMap((tag) => older.find(([language]) => language.test(tag))?.[1] ?? []);
  for (const encoding of ["utf-8", ...likely]) {
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch {
      // It is encoded otherwise.
    }
  }
  return new TextDecoder("windows-1252").decode(bytes);
}
