// Sends a file as the body of one request: a browser says how far that is, and the server can stop reading.
window.vesselseg = {
  async upload(event, kind, percentName, errorName) {
    const [file] = event.target.files;
    event.target.value = ""; // the same file may be chosen again
    if (!file) return;
    const show = (name, value) => window.trame.state.set(name, value);
    show(errorName, "");
    show(percentName, 0);
    await new Promise((resolve) => {
      const request = new XMLHttpRequest();
      request.upload.onprogress = ({ loaded, total }) => show(percentName, (100 * loaded) / total);
      request.onloadend = resolve;
      request.onerror = () => show(errorName, "The upload broke off. Is the server still there, and the file not too large?");
      request.open("POST", `upload/${kind}`);
      request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
      request.send(file);
    });
    show(percentName, -1);
  },
};
