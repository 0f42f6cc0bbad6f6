// ---------------------------------------------------------------------------------------------------------------
// A campaign as a whole: its state, the buttons that drive it, the history and what stands round it; the link to
// Python with credits (a frame is acknowledged once it is drawn).
// ---------------------------------------------------------------------------------------------------------------

const STATE_WORDS = {
  idle: ["ready", "wait"], running: ["running", "good"], paused: ["paused", "wait"], stopped: ["stopped", "wait"],
  finished: ["finished", "good"], failed: ["failed", "bad"],
};
const CLOCK_MS = 1000;
const MOST_TRIALS = 1_000_000;

class TuningView {
  constructor(model, el) {
    Object.assign(this, { model, ids: 0, recent: [], frames: 0, seq: 0, unseen: false, status: {}, board: {}, typed: false });
    this.trials = new TrialRows();
    this.build(el);
    const heard = (name, act) => {
      model.on(`change:${name}`, act);
      this.ends.push(() => model.off?.(`change:${name}`, act));
    };
    this.ends = [watchTheme(() => this.restyle())];
    heard("frame", () => this.frame(model.get("frame")));
    heard("board", () => this.showBoard());
    heard("status", () => this.showStatus());
    heard("meta", () => this.begin());
    heard("reply", () => this.showReply());
    heard("download", () => this.download());
    heard("theme", () => this.restyle());
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.root);
    this.clock = setInterval(() => this.tick(), CLOCK_MS);
    this.fetched = model.get("download")?.id ?? 0;
    this.restyle();
    this.begin();
  }

  end() {
    this.observer.disconnect();
    clearInterval(this.clock);
    this.ends.forEach((act) => act());
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build(el) {
    const push = (text, title, act) => {
      const made = node("button", "press", { type: "button", title }, [text]);
      made.addEventListener("click", act);
      return made;
    };
    this.name = node("h2", "name");
    this.badge = node("span", "badge");
    this.facts = node("span", "facts");
    this.start = push("Start", "Run trials until there are as many as the box says", () => this.command("start", Number(this.target.value)));
    this.start.classList.add("primary");
    this.pause = push("Pause", "Hold after the running batch", () => this.command("pause"));
    this.resume = push("Resume", "Go on after a pause", () => this.command("resume"));
    this.stop = push("Stop", "End after the running batch; the trials are kept", () => this.command("stop"));
    this.target = node("input", "field", { type: "number", min: "1", max: String(MOST_TRIALS), step: "1", value: "50" });
    this.target.addEventListener("input", () => {
      this.typed = true;
      this.showButtons();
    });
    this.bar = node("progress", "bar-done", { max: "1", value: "0", "aria-label": "Trials done" });
    this.progress = node("p", "standing");
    this.said = node("p", "said", { role: "status" });
    this.chart = new TrialChart((place) => (this.root.dataset.trial = place < 0 ? "" : String(this.trials.of(place, "number"))));
    this.legend = node("ul", "legend");
    this.importance = new ImportanceBars();
    this.best = new BestTable();
    this.applying = new Applying((name, value) => this.command(name, value));
    this.failures = new Failures();
    this.code = new CampaignCode();
    const tools = node("div", "tools", { role: "toolbar", "aria-label": "Controls of the campaign" }, [
      this.start, this.pause, this.resume, this.stop, node("label", "trials", {}, ["Trials in all", this.target]),
    ]);
    this.root = node("section", "uspnb-tuning", { "aria-label": "Tuning campaign", "data-lm-suppress-shortcuts": "true" }, [
      node("header", "head", {}, [this.name, this.badge, this.facts]), tools,
      node("div", "line", {}, [this.bar, this.progress]), this.said,
      node("div", "grid", {}, [
        node("div", "stack", {}, [part("history", "History", [this.chart.element, this.legend]), this.best.element]),
        node("div", "stack", {}, [this.importance.element, this.applying.element, this.code.element, this.failures.element]),
      ]),
    ]);
    this.root.uspnb = this;
    // a notebook would take letters and arrows for its own commands
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    el.append(this.root);
  }

  // -- look -------------------------------------------------------------------------------------------------------

  restyle() {
    const theme = themeOf(this.model.get("theme"));
    this.look = THEMES[theme];
    for (const [name, colour] of Object.entries(this.look)) this.root.style.setProperty(`--f-${name}`, colour);
    this.root.dataset.theme = theme;
    this.resized();
  }

  resized() {
    const width = this.root.clientWidth;
    this.root.dataset.size = width < 560 ? "narrow" : width < 960 ? "medium" : "wide";
    this.redraw();
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const ended = ["finished", "stopped", "failed"].includes(this.status.state);
      this.chart.draw(this.trials, this.look, {
        usual: this.status.default_value ?? NaN,
        last: ended ? 0 : (this.status.target || 1) - 1,
        reasons: this.reasons ?? {},
        empty: this.trials.count ? "" : this.emptyWords(),
      });
      this.drawn();
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

  begin() {
    this.meta = this.model.get("meta") || {};
    this.applying.begin(this.meta);
    this.trials.clear();
    this.typed = false;
    this.showBoard();
    this.showStatus();
    this.hello();
  }

  /** Ask for everything; what was commanded before belongs to a talk that is over. */
  hello() {
    this.recent = [];
    this.send("hello", { client: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`, id: ++this.ids });
  }

  frame(bytes) {
    const taken = bytes && this.trials.take(bytes);
    if (!taken) return;
    if (taken === "gap") return this.hello();
    this.frames++;
    this.seq = taken.seq;
    this.unseen = true;
    this.showLegend();
    if (document.hidden) this.drawn();
    else this.redraw();
  }

  drawn() {
    if (!this.unseen) return;
    this.unseen = false;
    Object.assign(this.root.dataset, { trials: this.trials.count, frames: this.frames });
    this.send("acknowledged", this.seq);
  }

  showBoard() {
    this.board = this.model.get("board") || {};
    this.trials.parameters = this.board.parameters || [];
    this.reasons = Object.fromEntries((this.board.failures?.rows || []).map((row) => [row.number, row.reason]));
    this.importance.show(this.board.importance || {});
    this.best.show(this.board.best || {}, this.board.verdict || {});
    this.failures.show(this.board.failures || {});
    if (this.shownCode !== this.board.code) this.code.show((this.shownCode = this.board.code));
    this.showApplying();
    this.redraw();
  }

  showStatus() {
    const before = this.status.state;
    this.status = this.model.get("status") || {};
    this.toldAt = performance.now();
    const { status } = this;
    const [word, kind] = STATE_WORDS[status.state] ?? ["waiting", "wait"];
    put(this.name, status.name || "Tuning campaign");
    put(this.badge, word);
    this.badge.dataset.kind = kind;
    put(this.facts, [status.tier && `${status.tier} tier`, status.metric && `metric ${spaced(status.metric)}`].filter(Boolean).join(" \u00b7 "));
    if (!this.typed && status.target) this.target.value = String(status.target);
    put(this.said, status.message || "");
    this.said.hidden = !status.message;
    this.said.className = status.state === "failed" || status.refused ? "said refused" : "said";
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
    const since = state === "running" ? (performance.now() - this.toldAt) / 1000 : 0;
    const said = [`${trials.toLocaleString("en")} ${target ? `of ${target.toLocaleString("en")} ` : ""}${trials === 1 && !target ? "trial" : "trials"}`];
    if (Number.isFinite(elapsed) && (elapsed > 0 || since > 0)) said.push(duration(elapsed + since));
    if (Number.isFinite(best)) said.push(`best ${brief(best)}`);
    if (Number.isFinite(usual)) said.push(`default ${brief(usual)}`);
    if (Number.isFinite(improvement)) said.push(improvement > 0 ? `${(100 * improvement).toFixed(improvement > 0.01 ? 1 : 3)} % better than the default` : "nothing better than the default yet");
    put(this.progress, said.join(" \u00b7 "));
  }

  showLegend() {
    const counts = Object.fromEntries(TRIAL_STATES.map((state) => [state, 0]));
    for (let k = 0; k < this.trials.count; k++) counts[this.trials.state(k)]++;
    const told = Object.entries(counts).filter(([, count]) => count).map(([state, count]) => [state, `${count.toLocaleString("en")} ${state}`]);
    const lines = this.trials.count ? [["best", "best so far"], ["usual", "default"]] : [];
    const made = [...told, ...lines].map(([kind, text]) => node("li", "", { "data-mark": kind }, [text]));
    this.legend.replaceChildren(...made);
  }

  showApplying() {
    this.applying.show({ ready: Boolean(this.board.best?.better), undoable: Boolean(this.status.undoable), busy: Boolean(this.status.busy) });
  }

  showReply() {
    this.applying.reply(this.model.get("reply") || {});
  }

  download() {
    const { id = 0, name, text } = this.model.get("download") || {};
    if (id <= this.fetched) return;
    this.fetched = id;
    fetchText(name, text);
  }

  // -- link -------------------------------------------------------------------------------------------------------

  /** Commands travel with the ones before them, because a host may merge two that follow at once. */
  command(name, value = null) {
    const command = { name, value, id: ++this.ids };
    this.recent = [...this.recent.slice(-7), command];
    this.send("command", { ...command, recent: this.recent });
  }

  send(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }
}

/** On a page that also holds other components, Panel 1.9 hands over another kind of model; the right one is the view's. */
function render({ model, view, el }) {
  const made = new TuningView(typeof model.get === "function" ? model : view.adapter, el);
  return () => made.end();
}

export default { render };
