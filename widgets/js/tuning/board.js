// What stands beside the history: which parameters matter, the best against the default, failures, the code.

import { copy, node, put, saveAs } from "../shared/elements.js";
import { DASH, brief, signedPercent, spaced } from "../shared/format.js";

const share = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %` : DASH);

/** A part with a heading. */
export function part(name, title, children) {
  return node("section", `part ${name}`, { "aria-label": title }, [node("h3", "", {}, [title]), ...children]);
}

export class ImportanceBars {
  constructor() {
    this.note = node("p", "note");
    this.list = node("ul", "bars");
    this.element = part("importance", "Importance", [this.note, this.list]);
  }

  show({ evaluator, note, bars = [] }) {
    put(this.note, bars.length ? `How much each parameter matters for a low value (${evaluator}).` : `Not yet: ${note || "no trial is complete"}.`);
    const most = Math.max(...bars.map((bar) => bar.share), 1e-12);
    this.list.replaceChildren(...bars.map(({ name, share: part, meaning }) => {
      const fill = node("i");
      fill.style.width = `${Math.max(0, (100 * part) / most).toFixed(1)}%`;
      const label = node("span", "bar-name", { title: meaning || spaced(name) }, [spaced(name)]);
      return node("li", "", {}, [label, node("span", "bar", { "aria-hidden": "true" }, [fill]), node("span", "bar-share", {}, [share(part)])]);
    }));
  }
}

export class BestTable {
  constructor() {
    this.note = node("p", "note");
    this.verdict = node("p", "note", { role: "status" });
    this.body = node("tbody");
    this.heads = node("tr");
    this.table = node("table", "", {}, [
      node("caption", "unseen", {}, ["The best configuration against the default"]), node("thead", "", {}, [this.heads]), this.body,
    ]);
    this.box = node("div", "scroll", { role: "region", tabindex: "0", "aria-label": "Best against default" }, [this.table]);
    this.element = part("best", "Best so far against default", [this.note, this.verdict, this.box]);
  }

  /** The table; with a column of what is recommended, where that is something else than the best trial. */
  show({ rows = [], sentence }, { recommendation = "", recommended = {} }) {
    put(this.note, sentence || "No trial is complete yet.");
    put(this.verdict, recommendation ? `Recommendation: ${recommendation}.` : "");
    const apart = Object.keys(recommended).length > 0;
    const heads = ["Parameter", "Default", "Best", "Change", ...(apart ? ["Recommended"] : [])];
    this.heads.replaceChildren(...heads.map((text) => node("th", "", { scope: "col" }, [text])));
    this.box.hidden = !rows.length;
    this.body.replaceChildren(...rows.map((row) => {
      const unit = row.unit ? ` ${row.unit}` : "";
      const change = typeof row.change === "number" ? signedPercent(row.change) : row.change || "same";
      const name = node("th", "", { scope: "row", title: row.meaning || "" }, [spaced(row.name)]);
      const cells = [`${brief(row.default)}${unit}`, `${brief(row.best)}${unit}`, change];
      if (apart) cells.push(`${brief(recommended[row.name])}${unit}`);
      return node("tr", change === "same" ? "same" : "", {}, [name, ...cells.map((text) => node("td", "", {}, [text]))]);
    }));
  }
}

export class Failures {
  constructor() {
    this.summary = node("summary");
    this.list = node("ul", "reasons", { tabindex: "0", "aria-label": "Failed trials" });
    this.element = node("details", "failures", {}, [this.summary, this.list]);
    this.element.hidden = true;
  }

  show({ total = 0, rows = [] }) {
    this.element.hidden = !total;
    const left = total > rows.length ? `, the newest ${rows.length} of them` : "";
    put(this.summary, `${total} failed ${total === 1 ? "trial" : "trials"} with reasons${left}`);
    this.list.replaceChildren(...rows.map(({ number, reason }) => node("li", "", {}, [`Trial ${number}: ${reason}`])));
  }
}

export class CampaignCode {
  constructor() {
    this.code = node("pre", "code", { tabindex: "0", "aria-label": "The campaign as Python code" });
    this.outcome = node("span", "note", { role: "status" });
    this.press = node("button", "press", { type: "button", title: "Copy the campaign as Python code" }, ["Copy as code"]);
    this.press.addEventListener("click", async () => put(this.outcome, (await copy(this.code, this.code.textContent)) ? "copied" : "selected: press Ctrl+C"));
    const summary = node("summary", "", {}, ["The campaign as code"]);
    this.element = node("div", "coding", {}, [
      node("div", "line", {}, [this.press, this.outcome]), node("details", "", {}, [summary, this.code]),
    ]);
  }

  show(code) {
    put(this.code, code || "");
    this.press.disabled = !code;
    put(this.outcome, "");
  }
}

/** Writing the best into the configuration, or handing it over, and taking it back. */
export class Applying {
  constructor(command) {
    this.command = command;
    this.path = node("input", "field", { type: "text", spellcheck: false, autocomplete: "off", value: "config.toml" });
    this.where = node("label", "labelled", {}, [node("span", "", {}, ["Configuration file"]), this.path]);
    const choices = [["recommended", "what is recommended"], ["best", "the best trial"]];
    this.which = node("select", "field", {}, choices.map(([value, text]) => node("option", "", { value }, [text])));
    this.what = node("label", "labelled", {}, [node("span", "", {}, ["Settings"]), this.which]);
    this.beyond = node("input", "", { type: "checkbox" });
    this.limit = node("label", "only", {}, [this.beyond, "allow changes beyond the limit this once"]);
    this.apply = node("button", "press", { type: "button" }, ["Apply"]);
    this.undo = node("button", "press", { type: "button", title: "Put the file back as it was before" }, ["Undo"]);
    this.outcome = node("p", "said", { role: "status", hidden: true });
    this.about = node("p", "note");
    this.element = part("applying", "Apply", [
      this.about, this.what, this.where, this.limit, node("div", "line", {}, [this.apply, this.undo]), this.outcome,
    ]);
    this.apply.addEventListener("click", () => command(this.writes === "download" ? "toml" : "apply", { path: this.path.value, which: this.which.value, beyond: this.beyond.checked }));
    this.undo.addEventListener("click", () => command("undo", { path: this.path.value }));
  }

  begin({ writes = "file", path = "config.toml" }) {
    this.writes = writes;
    if (writes === "file") this.path.value = path;
    this.where.hidden = writes !== "file";
    this.limit.hidden = this.undo.hidden = writes === "download";
    put(this.apply, writes === "file" ? "Apply" : writes === "fixed" ? `Apply to ${path}` : "Download as TOML");
    put(this.about, writes === "download"
      ? "A whole configuration as a file; the server was started without --config, so nothing is written there."
      : "Writes the values into the file, keeps a backup, and logs the change.");
  }

  show({ ready, undoable, busy }) {
    this.apply.disabled = !ready || busy;
    this.undo.disabled = !undoable || busy;
    this.apply.title = ready ? "" : "nothing to apply: no trial is better than the default yet";
  }

  reply({ kind, text = "" }) {
    put(this.outcome, text);
    this.outcome.hidden = !text;
    this.outcome.className = kind === "refused" ? "said refused" : "said";
    this.outcome.setAttribute("role", kind === "refused" ? "alert" : "status");
  }
}

/** Have the browser save a text as a file. */
export function saveText(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
  saveAs(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
