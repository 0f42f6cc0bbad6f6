// ---------------------------------------------------------------------------------------------------------------
// What hands do to a view: crosshair, looking back, speed, and which place on the canvas is which moment.
// ---------------------------------------------------------------------------------------------------------------

/** The part of a view that keys, pointer and buttons move; `View` draws it. */
class Handled {
  pointAt(px) {
    this.pointer = px;
  }

  /** The tick under the crosshair, null where there is none. */
  get crosshair() {
    if (this.pinned !== null) return this.pinned;
    if (this.pointer === null || !this.sample?.count) return null;
    const inside = this.pointer >= this.sample.left - 4 && this.sample.left + this.sample.width + 4 >= this.pointer;
    return inside ? this.store.nearest(this.xAtPixel(this.pointer)) : null;
  }

  /** The row whose readings stand in the heads: under the crosshair, else the newest. */
  get shownRow() {
    const { ring, archive } = this.link;
    const tick = this.crosshair ?? ring.high - 1;
    return this.store.row(tick) ?? ring.row(tick) ?? archive?.row(tick) ?? null;
  }

  togglePin(px) {
    const tick = this.sample?.count ? this.store.nearest(this.xAtPixel(px)) : -1;
    if (this.pinned !== null || 0 > tick) return this.unpin();
    this.pinned = tick;
    this.link.send("selected", { tick, id: ++this.link.ids });
  }

  unpin() {
    this.pinned = null;
  }

  /** Arrow keys: the crosshair moves; at the newest tick of a paused series, one on is a step. */
  move(by) {
    const { ring, status } = this.link;
    if (!ring.count) return;
    const newest = ring.high - 1;
    const now = this.crosshair ?? newest;
    const rests = status.phase === "paused" || status.phase === "new";
    if (by > 0 && now >= newest) {
      this.unpin();
      if (rests) this.link.command("step", by);
      return;
    }
    this.moveTo(now + by);
  }

  moveTo(tick) {
    const { ring } = this.link;
    if (!ring.count) return;
    this.pinned = Math.max(0, Math.min(tick, ring.high - 1));
    const x = this.store.row(this.pinned) ? this.store.xAt(this.pinned) : null;
    if (x === null) this.stretch.jump(this.pinned);
    else if (x < this.stretch.x0) this.stretch.pan(x - this.stretch.x0 - 0.1 * (this.stretch.x1 - this.stretch.x0));
    else if (x > this.stretch.x1) this.stretch.pan(x - this.stretch.x1 + 0.1 * (this.stretch.x1 - this.stretch.x0));
  }

  toNewest() {
    this.unpin();
    this.stretch.resume();
  }

  followIfAtEnd() {
    const { ring } = this.link;
    if (this.stretch.x1 > ring.xAt(ring.high - 1) + 0.5 * ring.interval()) this.stretch.resume();
  }

  followChanged() {
    this.toolbar.show(this.link.status, this.meta, this.stretch.follow);
  }

  changeSpeed(up) {
    if (this.meta.live) return;
    this.link.command("speed", nextSpeed(this.link.status.speed, up));
  }

  get scaleX() {
    return this.sample?.scale || 1;
  }

  xAtPixel(px) {
    return this.stretch.x0 + (px - (this.sample?.left ?? 0)) / this.scaleX;
  }

  inOverview(py) {
    return this.overview && py >= this.overview.top - 4 && this.overview.bottom + 5 >= py;
  }

  scrubTo(px) {
    const { left, right } = this.overview;
    const share = Math.max(0, Math.min(1, (px - left) / (right - left)));
    const { ring } = this.link;
    if (share >= 0.995) this.toNewest();
    else this.stretch.jump(Math.round(share * (ring.high - 1)));
  }

  brush(from, to) {
    this.brushed = [Math.min(from, to), Math.max(from, to)];
  }

  endBrush() {
    const [from, to] = this.brushed ?? [0, 0];
    this.brushed = null;
    if (to - from > 6) this.stretch.between(this.xAtPixel(from), this.xAtPixel(to));
  }
}
