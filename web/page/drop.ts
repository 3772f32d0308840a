/** Files that are dropped anywhere on the page. */

import { element } from "./dom.ts";

export function receive(take: (files: File[]) => void): void {
  const ground = element("drop");
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    ground.hidden = false;
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) ground.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    ground.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...(event.dataTransfer?.files ?? [])]);
  });
}
