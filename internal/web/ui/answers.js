// The state of the service and the strip of its answers: every request that was
// made is one bar.
import { $, answer, clock, el, failed, ms, put, setAttr, whole } from "./format.js";

const keepMS = 15000;
const leastMS = 3000; // what even the narrowest strip shows
const perSlot = 2.4; // pixels that 10 ms take, one request at 100 a second, where there is room

export class Answers {
  constructor() {
    this.slots = [];
    this.seen = -1; // highest seq that was taken
    this.late = new Set();
    this.summary = null;
    this.down = null; // ID of the outage that was announced
    this.recent = []; // latest failures, newest first
    this.offset = 0; // wall clock minus the prober's clock
    this.canvas = $("strip");
  }

  take(p) {
    const restarted = this.summary && p.summary.nowMs < this.summary.nowMs - 1000;
    if (restarted) { this.slots = []; this.late.clear(); this.down = null; }
    this.summary = p.summary;
    this.offset = Date.now() - p.summary.nowMs;
    for (const s of p.slots) {
      if (this.late.has(s.seq)) continue;
      this.late.add(s.seq);
      this.slots.push(s);
      if (failed(s)) this.recent.unshift(s);
    }
    const from = p.summary.nowMs - keepMS;
    while (this.slots.length && this.slots[0].end < from) this.late.delete(this.slots.shift().seq);
    this.recent.length = Math.min(this.recent.length, 4);
    this.state();
    this.figures();
    this.draw();
    this.failures();
  }

  state() {
    const s = this.summary;
    const lately = this.slots.filter((x) => x.end > s.nowMs - 1000 && x.class !== "missed");
    const bad = lately.filter(failed).length;
    const settled = !lately.some((x) => failed(x) && x.end > s.nowMs - 500);
    let state, mark, word, detail;
    if (!s.known) {
      [state, mark, word, detail] = ["unknown", "…", "No answer yet", "the prober has just started"];
    } else if (s.outage && s.outage.failed > 1) {
      [state, mark, word, detail] = ["down", "✕", "DOWN", `for ${whole(s.outageMs)} ms${s.last && failed(s.last) ? ` · ${answer(s.last)}` : ""}`];
      if (this.down !== s.outage.id) {
        this.down = s.outage.id;
        put($("spoken"), "The service is down.");
      }
    } else if (bad > 0 && !settled) {
      [state, mark, word, detail] = ["shaky", "!", "UNSTEADY", `${bad} of the last ${lately.length} requests failed`];
    } else {
      const last = s.last;
      [state, mark, word, detail] = ["up", "✓", "UP", last ? `${answer(last)}${last.by ? ` from ${last.by}` : ""}` : ""];
    }
    if (state !== "down" && this.down !== null && !s.outage) {
      this.down = null;
      put($("spoken"), "The service answers again.");
    }
    setAttr($("state"), "data-state", state);
    put($("state-mark"), mark);
    put($("state-word"), word);
    put($("state-detail"), detail);
    document.title = state === "down" ? "✕ DOWN – Zero Downtime Lab" : "Zero Downtime Lab";
  }

  figures() {
    const s = this.summary;
    const rows = [
      ["requests", `${s.measured.toFixed(0)}/s`],
      ["p50", ms(s.p50Ms)], ["p95", ms(s.p95Ms)], ["p99", ms(s.p99Ms)],
      ["succeeded, 10 s", s.known ? `${(Math.floor(s.okShare * 10000) / 100).toFixed(2)} %` : "–"],
      ["failed ever", whole(s.failed)],
      ["prober late, p99", ms(s.lagMs)],
    ];
    const missed = this.slots.filter((x) => x.class === "missed").length;
    if (missed) rows.push(["not measured", whole(missed)]);
    const dl = $("figures");
    rows.forEach(([k, v], i) => {
      const row = dl.children[i] ?? dl.appendChild(el("div", {}, el("dt"), el("dd")));
      put(row.firstChild, k);
      put(row.lastChild, v);
    });
    while (dl.children.length > rows.length) dl.lastChild.remove();
  }

  failures() {
    const text = this.recent.length === 0 ? "No request has failed while you watched." :
      `Latest failures: ${this.recent.map((s) => `${clock(this.offset + s.start)} ${answer(s)}`).join(" · ")}`;
    put($("failures"), text);
  }

  palette() {
    const css = getComputedStyle(document.documentElement); // light or dark, as it is now
    const get = (n) => css.getPropertyValue(n).trim();
    return { ok: get("--ok"), slow: get("--slow"), bad: get("--bad"), gap: get("--gap"), line: get("--line") };
  }

  // draw paints the last seconds: x is when a request began, the height of a
  // success its latency, a failure is full height, so that none can be missed.
  draw() {
    const c = this.canvas, dpr = devicePixelRatio || 1, s = this.summary;
    const w = c.clientWidth, h = c.clientHeight;
    if (w === 0) return;
    if (c.width !== Math.round(w * dpr) || c.height !== Math.round(h * dpr)) {
      c.width = Math.round(w * dpr);
      c.height = Math.round(h * dpr);
    }
    const g = c.getContext("2d");
    const colour = this.palette();
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    g.clearRect(0, 0, w, h);
    const rate = s.rate || 100;
    const step = 1000 / rate; // ms a slot
    const px = Math.min(perSlot / 10, w / leastMS); // pixels a ms
    const right = s.nowMs;
    const left = right - w / px;
    g.fillStyle = colour.line;
    for (let t = Math.ceil(left / 1000) * 1000; t < right; t += 1000) g.fillRect((t - left) * px, 0, 1, h);
    const width = Math.max(1, px * step - 0.8);
    const height = (took) => Math.min(h - 2, 8 + 8 * Math.log2(1 + took)); // 1 ms → 16, 10 → 36, 100 → 61
    const paint = (slot) => {
      const x = ((slot.class === "missed" ? slot.due : slot.start) - left) * px;
      if (x < -width) return;
      if (slot.class === "missed") {
        g.fillStyle = colour.gap;
        g.fillRect(x, h - 6, width, 6);
      } else if (failed(slot)) {
        g.fillStyle = colour.bad;
        g.fillRect(x, 0, Math.max(width, 1.6), h);
      } else {
        const y = height(slot.end - slot.start);
        g.fillStyle = slot.class === "slow" ? colour.slow : colour.ok;
        g.fillRect(x, h - y, width, y);
      }
    };
    for (const slot of this.slots) if (!failed(slot)) paint(slot);
    for (const slot of this.slots) if (failed(slot)) paint(slot);
    put($("span"), `last ${(Math.min(w / px, keepMS) / 1000).toFixed(0)} s`);
    const shown = this.slots.filter((x) => x.start >= left);
    setAttr(c, "aria-label", `The answers of the last seconds, newest at the right: ${shown.length} requests, ${shown.filter(failed).length} failed`);
  }
}
