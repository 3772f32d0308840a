/** What all dialogs have in common: a button that closes them, and the ground around them, which does so too. */

export function wireDialogs(): void {
  for (const dialog of document.querySelectorAll("dialog")) {
    // What is inside the dialog lies over it. Text that is marked from there outwards ends on the ground, but does not begin there.
    let isOutside = false;
    dialog.addEventListener("pointerdown", ({ target }) => (isOutside = target === dialog));
    dialog.addEventListener("click", ({ target }) => {
      if ((target === dialog && isOutside) || (target as Element).closest("[data-close]")) dialog.close();
    });
  }
}
