/** The page's icons: strokes on a field of 24 by 24. */

const paths = {
  panel: "M4 5h16v14H4zM10 5v14",
  plus: "M12 5v14M5 12h14",
  pencil: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  again: "M20 12a8 8 0 1 1-2.3-5.7L20 8M20 4v4h-4",
  onward: "M5 5l8 7-8 7zM17 5v14",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  down: "M6 10l6 6 6-6",
  check: "M5 13l4 4L19 7",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M5.6 18.4l2.2-2.2M16.2 7.8l2.2-2.2",
  disk: "M4 7c0-2 16-2 16 0v10c0 2-16 2-16 0zM4 7c0 2 16 2 16 0M4 12c0 2 16 2 16 0",
  export: "M12 15V4M8 8l4-4 4 4M5 13v7h14v-7",
  import: "M12 4v11M8 11l4 4 4-4M5 13v7h14v-7",
  clip: "M8 12l6-6a3 3 0 0 1 4 4l-8 8a5 5 0 0 1-7-7l7-7",
  close: "M6 6l12 12M18 6L6 18",
} as const;

export type Icon = keyof typeof paths;

const SVG = "http://www.w3.org/2000/svg";

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", paths[name]);
  svg.append(path);
  return svg;
}

/** Draws the icons that index.html names with `data-icon`. */
export function drawIcons(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-icon]")) element.prepend(icon(element.dataset["icon"] as Icon));
}
