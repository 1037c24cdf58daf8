// Keys of the page. Python says which there are; what is typed into a field stays there.
(() => {
  const UNTYPED = "[type=checkbox], [type=radio], [type=range], .v-select *";
  const TYPED = `input:not(${UNTYPED}), textarea, select, [contenteditable]`;
  // A list keeps the focus after a choice, and would take any letter for the first one of another choice.
  const LIST = ".v-select, .v-select__content";
  // What is in front has keys of its own: an open list, and the cover of a page that cannot be used any more.
  const IN_FRONT = ".v-menu.v-overlay--active, .vs-lost";
  // What Tab has reached is pressed by Return; once a mouse is used, Return is the page's.
  const PRESSED = `button, a[href], summary, tr[tabindex], ${LIST}`;
  let mouse = false;
  window.addEventListener("pointerdown", () => (mouse = true), true);
  const named = ({ key, ctrlKey, metaKey, shiftKey }) => {
    if (!(ctrlKey || metaKey)) return key.toLowerCase();
    return `ctrl+${shiftKey ? "shift+" : ""}${key.toLowerCase()}`;
  };
  // Before the views see it: VTK has keys of its own.
  window.addEventListener(
    "keydown",
    (event) => {
      const { target, key, altKey, isComposing } = event;
      if (key === "Tab") mouse = false;
      if (!window.trame || document.querySelector(IN_FRONT)) return;
      if (key.length === 1 && key !== " " && target.closest?.(LIST)) event.stopImmediatePropagation();
      if (altKey || isComposing || target.closest?.(TYPED)) return;
      const keys = window.trame.state.get("ShortcutState__keys") || [];
      const found = keys.find((each) => each.key === named(event));
      if (!found) return;
      // A question has to be answered first, where Esc keeps what there is; the sheet itself is closed by its key.
      const dialog = document.querySelector(".v-dialog.v-overlay--active");
      const keep = found.action === "cancel" && dialog?.querySelector(".vs-keep");
      if (keep) keep.click();
      if (dialog && !(found.action === "help" && dialog.querySelector(".vs-help"))) return;
      if (key === "Enter" && !mouse && target.closest?.(PRESSED)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.repeat && !found.repeats) return;
      window.trame.trigger("vesselseg_shortcut", [found.action]);
    },
    true,
  );
})();
