// Asks before a tab is closed in which there are corrections that were not saved; browsers have words of their own for it.
(() => {
  let agreed = false; // the form that ends the visit is sent: the page has asked already
  document.addEventListener("submit", () => (agreed = true));
  window.addEventListener(
    "beforeunload",
    (event) => {
      // Where the server is gone there is nothing left to save.
      if (agreed || document.querySelector(".vs-lost")) return;
      if (!window.trame?.state.get("CorrectState__unsaved")) return;
      event.preventDefault();
      // trame would close the connection, and whoever stays would be left with a page that answers to nothing.
      event.stopImmediatePropagation();
    },
    true,
  );
})();
