// Keys of the page. Python says which there are; what is typed into a field stays there.
(() => {
  const TYPED = "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]";
  // What Tab has reached is pressed by Return; where a mouse has pressed it, Return is the page's. Asked as the focus
  // comes: with the first key after a click, Chromium calls it visible, too.
  const PRESSED = ":is(button, a[href], summary, tr[tabindex]):focus-visible";
  let reached = null;
  window.addEventListener("pointerdown", () => (reached = null), true);
  window.addEventListener("focusin", ({ target }) => (reached = target.matches(PRESSED) ? target : null), true);
  const named = ({ key, ctrlKey, metaKey, shiftKey }) => {
    if (!(ctrlKey || metaKey)) return key.toLowerCase();
    return `ctrl+${shiftKey ? "shift+" : ""}${key.toLowerCase()}`;
  };
  // Before the views see it: VTK has keys of its own.
  window.addEventListener(
    "keydown",
    (event) => {
      const { target, altKey, isComposing } = event;
      if (altKey || isComposing || !window.trame || target.closest?.(TYPED)) return;
      const keys = window.trame.state.get("ShortcutState__keys") || [];
      const found = keys.find(({ key }) => key === named(event));
      if (!found) return;
      // An open list has keys of its own.
      if (document.querySelector(".v-menu.v-overlay--active")) return;
      // A question has to be answered first, where Esc keeps what there is; the sheet itself is closed by its key.
      const dialog = document.querySelector(".v-dialog.v-overlay--active");
      const keep = found.action === "cancel" && dialog?.querySelector(".vs-keep");
      if (keep) keep.click();
      if (dialog && !(found.action === "help" && dialog.querySelector(".vs-help"))) return;
      if (event.key === "Enter" && target === reached) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.repeat && !found.repeats) return;
      window.trame.trigger("vesselseg_shortcut", [found.action]);
    },
    true,
  );
})();
