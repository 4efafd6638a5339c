// What is on record: outages, wins, the timeline.
import { $, classes, clock, count, el, ms, put, whole } from "./format.js";

const maxOutages = 40;
const maxEntries = 200;

export class Record {
  constructor() {
    this.closed = new Map(); // outages that ended, by ID
    this.openRow = null;
    this.lastSeq = 0;
    this.won = null;
    this.nowMs = 0;
  }

  outages(p) {
    if (p.summary.nowMs < this.nowMs - 1000) { this.closed.clear(); $("outages").replaceChildren(); this.openRow = null; }
    this.nowMs = p.summary.nowMs;
    const ol = $("outages");
    for (const o of p.outages) {
      if (this.closed.has(o.id)) continue;
      this.closed.set(o.id, o);
      if (o.failed < 2) { this.single(o); continue; }
      ol.prepend(this.row(o));
      put($("spoken"), `The outage is over. It lasted between ${whole(o.lowerMs)} and ${whole(o.upperMs)} milliseconds.`);
    }
    const open = p.summary.outage;
    if (this.openRow) { this.openRow.remove(); this.openRow = null; }
    if (open && open.failed > 1) {
      this.openRow = el("li", { class: "open" },
        el("b", { text: `now: ${whole(p.summary.outageMs)} ms and counting` }),
        el("span", { text: `since ${clock(open.began)}, ${count(open.failed, "request", "requests")} failed: ${classes(open.byClass)}` }));
      ol.prepend(this.openRow);
    }
    while (ol.children.length > maxOutages) ol.lastChild.remove();
    if (ol.children.length === 0) ol.append(el("li", { class: "none", text: "None so far." }));
    else if (ol.children.length > 1) ol.querySelector(".none")?.remove();
  }

  row(o) {
    let length = `${whole(o.lowerMs)} to ${whole(o.upperMs)} ms`;
    if (o.unbounded) length = `at least ${whole(o.lowerMs)} ms`;
    else if (o.lowerMs < 0.5) length = `at most ${whole(o.upperMs)} ms`;
    const notes = [o.missed ? `${o.missed} not measured` : "", o.late ? `${o.late} sent late` : ""].filter(Boolean).join(", ");
    return el("li", { "data-id": o.id },
      el("b", { text: length }),
      el("span", { text: `${clock(o.began)} to ${clock(o.ended)}, ${count(o.failed, "request", "requests")} failed: ${classes(o.byClass)}${notes ? ` (${notes})` : ""}` }));
  }

  // single sums up outages of one request, of which a half-broken service makes many.
  single(o) {
    const ol = $("outages");
    const top = ol.firstElementChild;
    let row = top?.classList.contains("singles") ? top : top?.nextElementSibling?.classList?.contains("singles") ? top.nextElementSibling : null;
    if (!row) {
      row = el("li", { class: "singles" }, el("b"), el("span"));
      row.n = 0;
      row.by = {};
      ol.prepend(row);
    }
    row.n += o.failed;
    for (const [k, n] of Object.entries(o.byClass)) row.by[k] = (row.by[k] ?? 0) + n;
    put(row.firstChild, `${count(row.n, "single request", "single requests")} failed`);
    put(row.lastChild, `until ${clock(o.ended)}, each between two that succeeded: ${classes(row.by)}`);
  }

  arena(a) {
    const w = a.wins[a.wins.length - 1];
    if (!w) { $("win").hidden = true; return; }
    const key = `${w.outage.id}/${w.outage.began}`;
    if (key === this.won) return;
    this.won = key;
    const names = w.visitors.map((v) => `${v.name} (${count(v.hits, "hit", "hits")}${v.kills ? `, ${count(v.kills, "kill", "kills")}` : ""})`).join(", ");
    put($("win-line"), `${whole(w.outage.lowerMs)} to ${whole(w.outage.upperMs)} ms of downtime with ${count(w.hits, "hit", "hits")} and ` +
      `${count(w.kills.length, "kill", "kills")}, by ${names || "somebody"}. Score: ${w.score} ms a hit.` +
      (a.best && a.best.outage.lowerMs > w.outage.lowerMs ? ` Longest so far: ${ms(a.best.outage.lowerMs)}.` : ""));
    $("win-story").replaceChildren(...w.story.map((line) => el("li", { text: line })));
    $("win").hidden = false;
  }

  timeline(entries) {
    const ol = $("timeline");
    const rows = [];
    for (const e of entries) {
      if (e.seq <= this.lastSeq) continue;
      this.lastSeq = e.seq;
      if (e.detail) continue; // for zdl timeline
      rows.unshift(el("li", { "data-kind": e.kind }, el("time", { text: clock(e.wall), datetime: e.wall }), el("span", { text: e.text })));
      if (e.kind === "kill" || e.kind === "win" || e.kind === "kill-failed") put($("murmur"), e.text);
    }
    ol.prepend(...rows);
    while (ol.children.length > maxEntries) ol.lastChild.remove();
  }
}
