/** Text of PDF files, page by page. */

import { getDocument, GlobalWorkerOptions } from "pdfjs-dist";

/** What the codes of Chinese, Japanese and Korean fonts mean, a file for each encoding, fetched when a document names it. */
const cMapUrl = new URL("./cmaps/", import.meta.url).href;

GlobalWorkerOptions.workerSrc = new URL("./pdf.worker.min.js", import.meta.url).href;

export async function pagesOf(file: File): Promise<string[]> {
  const task = getDocument({ data: new Uint8Array(await file.arrayBuffer()), cMapUrl, disableFontFace: true, useSystemFonts: false });
  try {
    const pdf = await task.promise;
    const pages: string[] = [];
    for (let n = 1; n <= pdf.numPages; n += 1) {
      const { items } = await (await pdf.getPage(n)).getTextContent();
      pages.push(items.map((item) => ("str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")).join(""));
    }
    return pages;
  } finally {
    await task.destroy();
  }
}
