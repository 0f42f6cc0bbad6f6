// Copying a text that stands in an element.

async function copy(code, text) {
  try {
    await navigator.clipboard.writeText(text);
    return "copied";
  } catch {
    // No clipboard without a secure page or permission: the code is selected instead, ready for Ctrl+C.
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy") ? "copied" : "selected: press Ctrl+C";
  }
}
