// Everything that the page knows, as the lab told it.
import { get, listen, post } from "./feed.js";
import { answer, count, failed, subject, whole } from "./words.js";

const keepMS = 20_000; // of single answers
const keepEntries = 300;
const keepOutages = 60;
const keepFailures = 5;
const figuresEvery = 500; // ms between points of the plots
const keepFigures = 120; // points: one minute

class Lab {
  status = $state.raw(null);
  snapshot = $state.raw(null);
  arena = $state.raw(null);
  attacks = $state.raw([]);
  summary = $state.raw(null); // of the prober
  entries = $state.raw([]); // of the timeline, newest first
  ended = $state.raw([]); // outages that are over, newest first
  failures = $state.raw([]); // latest failed requests, newest first
  figures = $state.raw([]); // {at, p50, p95, p99, rate, failed} of the last minute
  lost = $state(0); // seconds without the lab
  me = $state.raw({ owner: false, name: "" });
  selected = $state(null); // ID of the target that the keyboard is on
  weapon = $state(null); // name of the one in hand
  message = $state({ text: "", bad: false, at: 0 }); // what came of the last act
  spoken = $state(""); // outages, for screen readers
  now = $state(Date.now()); // ticks each 250 ms, for countdowns
  offset = 0; // wall clock minus the prober's clock, ms
  slots = []; // single answers, by completion; drawn on canvases, so not reactive
  listeners = new Set(); // called with each batch of slots
  #lastHit = 0;
  #announced = null;
  #seq = -1;
  #lastSeq = 0;

  // subject of the level, and the open outage of it.
  round = $derived.by(() => {
    const a = this.arena;
    if (!a) return null;
    return { subject: a.level.subject, open: a.outages.find((o) => o.open) ?? null };
  });
  state = $derived.by(() => serviceState(this.summary, this.failures, this.offset));

  listen() {
    listen({
      status: (s) => (this.status = s),
      snapshot: (s) => (this.snapshot = s),
      arena: (a) => this.#takeArena(a),
      attacks: (a) => (this.attacks = a ?? []),
      timeline: (e) => this.#takeEntries(e),
      probe: (p) => this.#takeProbe(p),
    }, (s) => (this.lost = s));
    setInterval(() => (this.now = Date.now()), 250);
    get("session").then((me) => { if (me) this.me = me; });
  }

  #takeArena(a) {
    for (const key of ["levels", "targets", "weapons", "players", "strikes", "outages", "defences", "fame"]) a[key] ??= [];
    if (this.arena && this.arena.level.name !== a.level.name) this.selected = null;
    this.arena = a;
    if (!a.weapons.some((w) => w.name === this.weapon)) this.weapon = a.weapons[0]?.name ?? null;
  }

  #takeEntries(entries) {
    const fresh = [];
    for (const e of entries) {
      if (e.seq <= this.#lastSeq) continue;
      this.#lastSeq = e.seq;
      if (!e.detail) fresh.unshift(e);
    }
    if (fresh.length) this.entries = [...fresh, ...this.entries].slice(0, keepEntries);
  }

  #takeProbe(p) {
    const s = p.summary;
    if (this.summary && s.nowMs < this.summary.nowMs - 1000) { // another prober
      this.slots.length = 0;
      this.#seq = -1;
      this.#announced = null;
      this.ended = this.failures = this.figures = [];
    }
    this.offset = Date.now() - s.nowMs;
    const fresh = [];
    const bad = [];
    const known = new Set(this.slots.slice(-1500).map((x) => x.seq));
    for (const slot of p.slots) {
      if (slot.seq <= this.#seq && known.has(slot.seq)) continue;
      this.#seq = Math.max(this.#seq, slot.seq);
      this.slots.push(slot);
      fresh.push(slot);
      if (failed(slot)) bad.unshift({ ...slot, wall: this.offset + slot.start });
    }
    let old = 0;
    while (old < this.slots.length && this.slots[old].end < s.nowMs - keepMS) old++;
    if (old > 0) this.slots.splice(0, old);
    if (bad.length) this.failures = [...bad.slice(0, keepFailures), ...this.failures].slice(0, keepFailures);
    const over = p.outages.filter((o) => !this.ended.some((x) => x.id === o.id));
    if (over.length) this.ended = [...over.reverse(), ...this.ended].slice(0, keepOutages);
    const last = this.figures.at(-1);
    if (!last || s.nowMs - last.at >= figuresEvery) {
      this.figures = [...this.figures, { at: s.nowMs, p50: s.p50Ms, p95: s.p95Ms, p99: s.p99Ms, rate: s.measured, down: !!s.outage && s.outage.failed > 1 }].slice(-keepFigures);
    }
    this.summary = s;
    this.#announce(s, over);
    for (const f of this.listeners) f(fresh, s);
  }

  // announce says outages aloud, once each.
  #announce(s, over) {
    if (s.outage && s.outage.failed > 1 && this.#announced !== s.outage.id) {
      this.#announced = s.outage.id;
      this.spoken = "The service is down.";
    }
    const told = over.find((o) => o.id === this.#announced);
    if (told && !s.outage) {
      this.#announced = null;
      this.spoken = `The service answers again. It was down for ${whole(told.lowerMs)} to ${whole(told.upperMs)} milliseconds.`;
    }
  }

  say(text, bad = false) {
    this.message = { text, bad, at: Date.now() };
  }

  // hit strikes a target with the weapon in hand, or with the target's own if
  // that one is of no use on it.
  async hit(id) {
    const t = this.arena?.targets.find((x) => x.id === id);
    if (!t) return;
    if (t.dying) return this.say(`${t.title} is going already.`, true);
    if (t.refused) return this.say(t.refused, true);
    if (Date.now() - this.#lastHit < 60) return; // a key that bounces
    this.#lastHit = Date.now();
    const weapon = t.weapons?.includes(this.weapon) ? this.weapon : undefined;
    if (!weapon && this.arena.weapons.length > 1 && this.weapon) {
      const other = this.arena.weapons.find((w) => w.name === t.weapons?.[0]);
      if (other) this.say(`${other.title}: the other one is of no use on ${t.title}.`);
    }
    const r = await post("hit", weapon ? { target: id, weapon } : { target: id });
    if (!r.ok) return this.say(r.error, true);
    const { health, struck, strike } = r.data;
    this.arena = { ...this.arena, targets: this.arena.targets.map((x) => (x.id === id
      ? { ...x, health: Math.min(x.health, Math.round(health)), healing: false, dying: x.dying || struck } : x)) };
    if (struck && strike) this.say(struckText(strike, t));
  }

  async heal(id) {
    const t = this.arena?.targets.find((x) => x.id === id);
    const free = this.arena?.level.number === 10;
    if (!this.me.director && !free) return this.say("Only in free play visitors heal. Here a target that is left alone heals by itself, and after an outage the lab puts everything right.", true);
    if (!t?.attack) return this.say(t ? `Nothing holds ${t.title} down.` : "Choose a target first, with the arrow keys.", true);
    const r = await post("arena/heal", { target: id });
    this.say(r.ok ? `${t.title} is being healed.` : r.error, !r.ok);
  }

  async act(path, body, done) {
    const r = await post(path, body);
    if (!r.ok) this.say(r.error, true);
    else if (done) this.say(done);
    return r;
  }
}

function struckText(s, t) {
  if (s.state === "failed") return `${t.title}: the fault could not be made. ${s.trouble ?? ""}`;
  const proof = s.evidence?.[0] ? ` ${s.evidence[0]}` : "";
  return s.state === "proven" || s.verifyMs ? `${s.title}: ${s.fault} happened for real, proven ${whole(s.verifyMs)} ms after the last hit.${proof}` : `${s.title}: ${s.fault} is on its way.`;
}

// serviceState says how users fare: what word, which mark, and the fact behind it.
function serviceState(s, failures, offset) {
  if (!s || !s.known) return { state: "unknown", word: "Connecting", detail: s ? "the prober has just started" : "waiting for the lab" };
  const last = s.last;
  if (s.outage && s.outage.failed > 1) {
    return { state: "down", word: "Down", ms: s.outageMs, detail: `${count(s.outage.failed, "request")} failed${last && failed(last) ? ` · ${answer(last)}` : ""}` };
  }
  const lately = failures.filter((f) => f.wall > offset + s.nowMs - 1000).length;
  if (lately > 0) return { state: "shaky", word: "Unsteady", detail: `${count(lately, "request")} failed within the last second` };
  if (s.degradation?.open) return { state: "degraded", word: "Degraded", ms: s.nowMs - s.degradation.first, detail: `served, but ${Object.keys(s.degradation.byClass ?? {}).join(" and ") || "slow"}` };
  return { state: "up", word: "Up", detail: last ? `${answer(last)}${last.by ? ` from ${last.by}` : ""}` : "" };
}

export const lab = new Lab();
export { subject };
