// Says that the server is gone: without it the page would look alive, and answer to nothing.
(() => {
  // Styles of its own: trame takes those of the page away when the connection closes.
  const COVER =
    "position: fixed; inset: 0; z-index: 9999; display: flex; flex-direction: column; align-items: center; gap: 16px;" +
    "justify-content: center; background: #121212; color: #fff; font: 18px Roboto, sans-serif; text-align: center;";
  const BUTTON =
    "padding: 8px 20px; border: 0; border-radius: 4px; background: #2196f3; color: #fff; font: inherit; cursor: pointer";
  const show = () => {
    if (document.querySelector(".vs-lost")) return;
    const cover = document.createElement("div");
    cover.className = "vs-lost";
    cover.setAttribute("role", "alert");
    cover.style.cssText = COVER;
    const reload = document.createElement("button");
    reload.textContent = "Reload the page";
    reload.style.cssText = BUTTON;
    reload.onclick = () => window.location.reload();
    cover.append("The connection to the server is lost.", reload);
    document.body.append(cover);
  };
  const watch = () => {
    const client = window.trame?.client;
    if (!client?.isConnected?.()) return setTimeout(watch, 300);
    let leaving = false;
    window.addEventListener("pagehide", () => (leaving = true));
    const lost = () => leaving || show();
    client.onConnectionClose(lost);
    client.onConnectionError(lost);
  };
  watch();
})();
