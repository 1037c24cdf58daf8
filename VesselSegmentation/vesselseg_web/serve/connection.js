// Says that the page cannot be used any more, which would look alive and answer to nothing: the server is gone, or the
// page was opened in another tab. All tabs of a visitor share the pictures of the views, in the size that one of them
// has: in the others clicks would land elsewhere than where they are made.
(() => {
  // Styles of its own: trame takes those of the page away when the connection closes.
  const COVER =
    "position: fixed; inset: 0; z-index: 9999; display: flex; flex-direction: column; align-items: center; gap: 16px;" +
    "justify-content: center; background: #121212; color: #fff; font: 18px Roboto, sans-serif; text-align: center;";
  const BUTTON =
    "padding: 8px 20px; border: 0; border-radius: 4px; background: #2196f3; color: #000; font: inherit; cursor: pointer";
  const show = (text, action) => {
    if (document.querySelector(".vs-lost")) return;
    const cover = document.createElement("div");
    cover.className = "vs-lost";
    cover.setAttribute("role", "alert");
    cover.style.cssText = COVER;
    const reload = document.createElement("button");
    reload.textContent = action;
    reload.style.cssText = BUTTON;
    reload.onclick = () => window.location.reload();
    cover.append(text, reload);
    document.body.append(cover);
    reload.focus();
  };
  // Back at the page as it was left, with the connection that was closed then.
  window.addEventListener("pageshow", ({ persisted }) => persisted && window.location.reload());
  const watch = async () => {
    const { client, state } = window.trame ?? {};
    if (!client?.isConnected?.()) return setTimeout(watch, 300);
    let leaving = false;
    window.addEventListener("pagehide", () => (leaving = true));
    const lost = () => leaving || show("The connection to the server is lost.", "Reload the page");
    client.onConnectionClose(lost);
    client.onConnectionError(lost);
    const number = await window.trame.trigger("vesselseg_tab");
    const look = () => {
      if (leaving || !(state.get("PageState__tabs") > number)) return;
      leaving = true;
      show("This page is open in another tab or window.", "Use it here");
      client.disconnect(0); // in how many seconds the server shall end: it goes on
    };
    state.addListener(look);
    look();
  };
  watch();
})();
