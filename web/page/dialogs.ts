/** What all dialogs have in common: a button that closes them, and the ground around them, which does so too. */

export function wireDialogs(): void {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", ({ target }) => {
      // What is inside the dialog lies over it.
      if (target === dialog || (target as Element).closest("[data-close]")) dialog.close();
    });
  }
}
