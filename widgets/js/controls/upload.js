// A file chosen or dropped goes to the server in pieces, each waited for; a file above the limit is never read.

import { h } from "../shared/elements.js";

let ids = 0;

function megabytes(bytes) {
  return bytes >= 1e6 ? `${Math.round(bytes / 1e5) / 10} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

export function render({ model }) {
  const input = h("input", { type: "file", id: `file-${++ids}`, accept: model.accept });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Upload" });
  const message = h("span", { className: "note", role: "alert", hidden: true });
  const box = h("div", { className: "drop" }, h("label", { htmlFor: input.id }, model.label), input, bar, message);
  let current = null;

  function say(text) {
    message.textContent = text;
    message.hidden = !text;
    message.className = text ? "wrong" : "note";
  }

  async function sendPiece() {
    const { file, id } = current;
    const from = model.received.id === id ? model.received.bytes : 0;
    if (from >= file.size && model.received.id === id) return finish();
    bar.value = file.size ? from / file.size : 1;
    let data;
    try {
      data = await file.slice(from, from + model.piece).arrayBuffer();
    } catch (unreadable) {
      say(`${file.name} cannot be read: ${unreadable.message}`);
      return finish();
    }
    model.send_msg({ id, name: file.name, size: file.size, from, data });
  }

  function finish() {
    current = null;
    bar.hidden = true;
    input.disabled = false;
    input.value = "";
  }

  function take(file) {
    say("");
    if (!file || current) return;
    if (file.size > model.most_bytes) {
      say(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(model.most_bytes)} can be uploaded. ` +
        "Cut it, or give the path of the file on the server: uspnb serve --source FILE.");
      input.value = "";
      return;
    }
    current = { file, id: crypto.getRandomValues(new Uint32Array(2)).join("-") };
    input.disabled = true;
    bar.hidden = false;
    sendPiece();
  }

  model.on("received", () => {
    if (!current || model.received.id !== current.id) return;
    if (model.received.stop) finish();
    else sendPiece();
  });
  input.addEventListener("change", () => take(input.files[0]));
  box.addEventListener("dragover", (e) => { e.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (e) => { e.preventDefault(); box.classList.remove("over"); take(e.dataTransfer.files[0]); });
  return box;
}
