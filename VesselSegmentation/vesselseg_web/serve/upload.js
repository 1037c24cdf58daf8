// Sends files as the body of one request: a browser says how far that is, and the server can stop reading.
window.vesselseg = Object.assign(window.vesselseg ?? {}, {
  async upload(event, kind, names, limits) {
    const files = [...event.target.files];
    event.target.value = ""; // the same file may be chosen again
    if (!files.length) return;
    const { state } = window.trame;
    const show = (name, value) => state.set(names[name], value);
    // The server would refuse it, but only once it has come.
    if (state.get(names.percent) >= 0 || state.get(names.whyNot)) {
      show("error", limits.wait);
      return;
    }
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > limits.bytes || files.length > limits.files) {
      show(
        "error",
        `At most ${limits.files} files of ${limits.bytes >> 20} MiB together are taken here. ` +
          "Choose one series, or use the command line.",
      );
      return;
    }
    show("error", "");
    show("percent", 0);
    const form = new FormData();
    form.append("name", files[0].webkitRelativePath.split("/")[0] || files[0].name);
    files.forEach((file) => form.append("file", file, "file"));
    await new Promise((resolve) => {
      const request = new XMLHttpRequest();
      request.upload.onprogress = ({ loaded, total }) => show("percent", (100 * loaded) / total);
      request.upload.onload = () => show("percent", -1); // the server has it, and says what it does with it
      request.onload = () => {
        // The server itself says on the page what it takes and what it refuses; others do not.
        if (![204, 422].includes(request.status)) show("error", `The server refused the upload (${request.status}).`);
      };
      request.onloadend = resolve;
      request.onerror = () => show("error", "The upload broke off. Is the server still there? Try again.");
      request.open("POST", `upload/${kind}`);
      request.send(form);
    });
    show("percent", -1);
  },
});
