// A campaign as a whole: its state, the buttons that drive it, the history and what stands round it.

import { node, put } from "../shared/elements.js";
import { brief, duration, grouped, spaced } from "../shared/format.js";
import { Link, widgetOf } from "../shared/link.js";
import { dress } from "../shared/theme.js";
import { Applying, BestTable, CampaignCode, Failures, ImportanceBars, part, saveText } from "./board.js";
import { TrialChart } from "./chart.js";
import { TRIAL_STATES, TrialRows } from "./trials.js";

const STATE_WORDS = {
  idle: ["ready", "wait"], running: ["running", "good"], paused: ["paused", "wait"], stopped: ["stopped", "wait"],
  finished: ["finished", "good"], failed: ["failed", "bad"],
};
const CLOCK_MS = 1000;
const MOST_TRIALS = 1_000_000;

class TuningLink extends Link {
  constructor(model) {
    super(model);
    this.trials = new TrialRows();
    this.hear("board", (board) => this.newBoard(board || {}));
    this.hear("reply", (reply) => this.tell("newReply", reply || {}));
    this.hear("download", (file) => this.download(file || {}));
    this.saved = model.get("download")?.id ?? 0;
    this.newBoard(model.get("board") || {});
    this.listen();
  }

  renew() {
    this.trials.clear();
    return true;
  }

  take(data) {
    return this.trials.take(data);
  }

  newBoard(board) {
    this.board = board;
    this.trials.parameters = board.parameters || [];
    this.tell("newBoard");
  }

  download({ id = 0, name, text }) {
    if (id <= this.saved) return;
    this.saved = id;
    if (this.views.size) saveText(name, text);
  }
}

class TuningView {
  constructor(link, el) {
    Object.assign(this, { link, model: link.model, trials: link.trials, status: {}, board: {}, typed: false });
    this.build(el);
    this.clock = setInterval(() => this.tick(), CLOCK_MS);
    this.restyle();
    this.newMeta();
  }

  destroy() {
    clearInterval(this.clock);
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build(el) {
    const push = (text, title, act) => node("button", "press", { type: "button", title, onclick: act }, [text]);
    this.name = node("h2", "name");
    this.badge = node("span", "badge");
    this.facts = node("span", "facts");
    this.start = push("Start", "Run trials until there are as many as the box says", () => this.link.command("start", Number(this.target.value)));
    this.start.classList.add("primary");
    this.pause = push("Pause", "Hold after the running batch", () => this.link.command("pause"));
    this.resume = push("Resume", "Go on after a pause", () => this.link.command("resume"));
    this.stop = push("Stop", "End after the running batch; the trials are kept", () => this.link.command("stop"));
    this.target = node("input", "field", { type: "number", min: "1", max: String(MOST_TRIALS), step: "1", value: "50" });
    this.target.addEventListener("input", () => {
      this.typed = true;
      this.showButtons();
    });
    this.bar = node("progress", "bar-done", { max: "1", value: "0", "aria-label": "Trials done" });
    this.progress = node("p", "standing");
    this.message = node("p", "said", { role: "status" });
    this.chart = new TrialChart((place) => (this.root.dataset.trial = place < 0 ? "" : String(this.trials.of(place, "number"))));
    this.legend = node("ul", "legend");
    this.importance = new ImportanceBars();
    this.best = new BestTable();
    this.applying = new Applying((name, value) => this.link.command(name, value));
    this.failures = new Failures();
    this.code = new CampaignCode();
    const tools = node("div", "tools", { role: "toolbar", "aria-label": "Controls of the campaign" }, [
      this.start, this.pause, this.resume, this.stop, node("label", "trials", {}, ["Trials in all", this.target]),
    ]);
    this.root = node("section", "uspnb-tuning", { "aria-label": "Tuning campaign", "data-lm-suppress-shortcuts": "true" }, [
      node("header", "head", {}, [this.name, this.badge, this.facts]), tools,
      node("div", "line", {}, [this.bar, this.progress]), this.message,
      node("div", "grid", {}, [
        node("div", "stack", {}, [part("history", "History", [this.chart.element, this.legend]), this.best.element]),
        node("div", "stack", {}, [this.importance.element, this.applying.element, this.code.element, this.failures.element]),
      ]),
    ]);
    // a notebook would take letters and arrows for its own commands
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    el.append(this.root);
  }

  // -- look -------------------------------------------------------------------------------------------------------

  restyle() {
    this.look = dress(this.root, this.model);
    this.resized();
  }

  resized() {
    const width = this.root.clientWidth;
    this.root.dataset.size = width < 560 ? "narrow" : width < 960 ? "medium" : "wide";
    this.redraw();
  }

  redraw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = undefined;
      const ended = ["finished", "stopped", "failed"].includes(this.status.state);
      this.chart.draw(this.trials, this.look, {
        usual: this.status.default_value ?? NaN,
        last: ended ? 0 : (this.status.target || 1) - 1,
        reasons: this.reasons ?? {},
        empty: this.trials.count ? "" : this.emptyWords(),
      });
      Object.assign(this.root.dataset, { trials: this.trials.count, frames: this.link.frames });
      this.link.drawn();
    });
  }

  emptyWords() {
    const { state } = this.status;
    if (state === "running") return "The first batch is being compiled and run; it takes some seconds.";
    if (state === "failed") return "The campaign failed before its first trial.";
    if (!state) return "Waiting for the campaign.";
    return "No trial yet. Start runs the configuration as it stands first, as trial 0, and then looks for a better one.";
  }

  // -- data -------------------------------------------------------------------------------------------------------

  newMeta() {
    this.applying.begin(this.link.meta);
    this.typed = false;
    this.newBoard();
    this.newStatus(this.link.status);
    this.showLegend();
  }

  newTicks() {
    this.showLegend();
    this.redraw();
  }

  newBoard() {
    this.board = this.link.board;
    this.reasons = Object.fromEntries((this.board.failures?.rows || []).map((row) => [row.number, row.reason]));
    this.importance.show(this.board.importance || {});
    this.best.show(this.board.best || {}, this.board.verdict || {});
    this.failures.show(this.board.failures || {});
    if (this.shownCode !== this.board.code) this.code.show((this.shownCode = this.board.code));
    this.showApplying();
    this.redraw();
  }

  newStatus(status) {
    const before = this.status.state;
    this.status = status;
    this.statusAt = performance.now();
    const [word, kind] = STATE_WORDS[status.state] ?? ["waiting", "wait"];
    put(this.name, status.name || "Tuning campaign");
    put(this.badge, word);
    this.badge.dataset.kind = kind;
    put(this.facts, [status.tier && `${status.tier} tier`, status.metric && `metric ${spaced(status.metric)}`].filter(Boolean).join(" \u00b7 "));
    if (!this.typed && status.target) this.target.value = String(status.target);
    put(this.message, status.message || "");
    this.message.hidden = !status.message;
    this.message.className = status.state === "failed" || status.refused ? "said refused" : "said";
    this.root.dataset.state = status.state ?? "";
    this.showButtons();
    this.tick();
    this.showApplying();
    if (before !== status.state || this.usual !== status.default_value) this.redraw();
    this.usual = status.default_value;
  }

  showButtons() {
    const { state, trials = 0, target = 0 } = this.status;
    const rests = ["idle", "stopped", "finished", "failed"].includes(state);
    const wanted = Number(this.target.value);
    const sound = Number.isInteger(wanted) && wanted >= 1 && wanted <= MOST_TRIALS;
    put(this.start, trials ? "Go on" : "Start");
    this.start.disabled = !rests || !sound || wanted <= trials;
    this.start.title = rests && sound && wanted <= trials
      ? `${trials} trials are done; raise the number to go on` : "Run trials until there are as many as the box says";
    this.pause.disabled = state !== "running";
    this.resume.disabled = state !== "paused";
    this.stop.disabled = state !== "running" && state !== "paused";
    this.target.disabled = !rests;
    this.bar.max = Math.max(1, target);
    this.bar.value = Math.min(trials, Math.max(1, target));
  }

  /** The line that moves while a campaign runs, by the browser's own clock. */
  tick() {
    const { state, trials = 0, target = 0, elapsed_s: elapsed, best_value: best, default_value: usual, improvement } = this.status;
    if (!state) return;
    const since = state === "running" ? (performance.now() - this.statusAt) / 1000 : 0;
    const parts = [`${grouped(trials)} ${target ? `of ${grouped(target)} ` : ""}${trials === 1 && !target ? "trial" : "trials"}`];
    if (Number.isFinite(elapsed) && (elapsed > 0 || since > 0)) parts.push(duration(elapsed + since));
    if (Number.isFinite(best)) parts.push(`best ${brief(best)}`);
    if (Number.isFinite(usual)) parts.push(`default ${brief(usual)}`);
    if (Number.isFinite(improvement)) parts.push(improvement > 0 ? `${(100 * improvement).toFixed(improvement > 0.01 ? 1 : 3)} % better than the default` : "nothing better than the default yet");
    put(this.progress, parts.join(" \u00b7 "));
  }

  showLegend() {
    const counts = Object.fromEntries(TRIAL_STATES.map((state) => [state, 0]));
    for (let k = 0; k < this.trials.count; k++) counts[this.trials.state(k)]++;
    const states = Object.entries(counts).filter(([, count]) => count).map(([state, count]) => [state, `${grouped(count)} ${state}`]);
    const lines = this.trials.count ? [["best", "best so far"], ["usual", "default"]] : [];
    const items = [...states, ...lines].map(([kind, text]) => node("li", "", { "data-mark": kind }, [text]));
    this.legend.replaceChildren(...items);
  }

  showApplying() {
    this.applying.show({ ready: Boolean(this.board.best?.better), undoable: Boolean(this.status.undoable), busy: Boolean(this.status.busy) });
  }

  newReply(reply) {
    this.applying.reply(reply);
  }
}

export default widgetOf(TuningLink, TuningView);
