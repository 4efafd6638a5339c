// The cluster as it is: zones, nodes, and the pods that can be hit.
import { $, count, el, put, setAttr, show } from "./format.js";
import { post } from "./feed.js";

const ghostMS = 2500; // how long a deleted pod's place stays marked

export class Stage {
  constructor(visitor) {
    this.visitor = visitor;
    this.health = new Map(); // uid → state in the game
    this.pods = new Map(); // uid → its button
    this.nodes = new Map(); // name → its parts
    this.zones = new Map(); // name → its column
    this.synced = false;
    this.refusalTimer = 0;
    $("zones").addEventListener("keydown", (e) => this.arrows(e));
    $("pending").addEventListener("keydown", (e) => this.arrows(e));
  }

  cluster(s) {
    this.notice(s);
    this.leaders(s);
    if (!s.synced) return;
    const box = $("zones");
    const columns = s.zones.map((z) => this.zone(z, s.system));
    if (!same(box.children, columns)) box.replaceChildren(...columns);
    setAttr(box, "data-zones", s.zones.length);
    const seen = new Set([...s.zones.flatMap((z) => z.nodes.flatMap((n) => n.pods)), ...s.pending].map((p) => p.uid));
    for (const [uid, b] of this.pods) if (!seen.has(uid)) this.bury(uid, b);
    for (const z of s.zones) for (const n of z.nodes) this.place(this.nodes.get(n.name).pods, n.pods, n.name);
    const pending = $("pending");
    this.place(pending, s.pending, "");
    pending.hidden = pending.children.length === 0;
    this.refocus();
    this.synced = true;
  }

  notice(s) {
    let text = "";
    if (!s.synced) text = `Waiting for the cluster's API server${s.trouble ? ` (${s.trouble})` : ""}. The answers above are live.`;
    else if (s.stale) text = `The API server does not answer: this picture of the cluster is ${Math.round(s.ageMs / 1000)} s old. The answers above are live all the same.`;
    show($("stale"), text);
    $("zones").classList.toggle("old", s.stale);
  }

  leaders(s) {
    put($("leaders"), s.leaders.filter((l) => l.holder).map((l) => `${l.component.replace("kube-", "")} leads from ${l.holder}`).join(" · "));
  }

  zone(z, system) {
    let column = this.zones.get(z.name);
    if (!column) {
      column = el("section", { class: "zone", "aria-label": `Zone ${z.name || "without a name"}` }, el("h3", { text: z.name || "no zone" }), el("div", { class: "planes" }), el("div", { class: "workers" }));
      this.zones.set(z.name, column);
    }
    const [, planes, workers] = column.children;
    for (const [box, list] of [[planes, z.nodes.filter((n) => n.controlPlane)], [workers, z.nodes.filter((n) => !n.controlPlane)]]) {
      const cards = list.map((n) => this.node(n, system));
      if (!same(box.children, cards)) box.replaceChildren(...cards);
    }
    return column;
  }

  node(n, system) {
    let parts = this.nodes.get(n.name);
    if (!parts) {
      const head = el("div", { class: "node-head" }, el("b", { text: n.name }), el("span", { class: "node-state" }));
      const pods = el("div", { class: "pods" });
      const sys = el("p", { class: "system" });
      parts = { card: el("article", { class: "node", "data-node": n.name }, head, pods, sys), state: head.lastChild, pods, sys };
      this.nodes.set(n.name, parts);
    }
    let state = n.ready ? "✓ Ready" : `✕ not Ready${n.reason ? ` (${n.reason})` : ""}`;
    if (n.power === "off") state = "✕ powered off";
    else if (n.power === "frozen") state = "‖ frozen";
    else if (n.unschedulable) state += ", cordoned";
    put(parts.state, state);
    setAttr(parts.card, "data-ready", n.ready && n.power !== "off" && n.power !== "frozen" ? "yes" : "no");
    setAttr(parts.card, "data-plane", n.controlPlane ? "yes" : null);
    setAttr(parts.card, "title", `${n.name}, ${n.address}, ${n.version}`);
    const mine = system.filter((p) => p.node === n.name && p.phase !== "Succeeded");
    const names = (list) => list.map((p) => (p.app || p.name).replace(/^kube-/, "")).sort().join(", ");
    const good = mine.filter((p) => p.ready), bad = mine.filter((p) => !p.ready);
    put(parts.sys, `${good.length ? `✓ ${names(good)}` : ""}${good.length && bad.length ? " · " : ""}${bad.length ? `✕ ${bad.map((p) => `${p.app || p.name}${p.reason ? ` (${p.reason})` : ""}`).join(", ")}` : ""}`);
    return parts.card;
  }

  place(box, pods, node) {
    for (const p of pods) {
      let b = this.pods.get(p.uid);
      if (!b) {
        b = this.button(p);
        this.pods.set(p.uid, b);
        if (this.synced) b.classList.add("new");
      }
      if (b.parentElement !== box) box.insertBefore(b, box.querySelector(".ghost"));
      b.pod = p;
      b.node = node;
      this.paint(b);
    }
  }

  button(p) {
    const bar = el("span", { class: "bar" }, el("span", { class: "fill" }));
    const b = el("button", { class: "pod", type: "button", "data-uid": p.uid, "data-pod": p.name },
      el("span", { class: "pod-name", text: p.name }), el("span", { class: "pod-state" }), bar, el("span", { class: "pod-health" }));
    b.addEventListener("click", () => this.hit(b));
    return b;
  }

  arena(a) {
    this.health = new Map(a.pods.map((p) => [p.uid, p]));
    for (const b of this.pods.values()) this.paint(b);
    const r = a.rules;
    put($("rules"), `Each hit takes ${r.damage} of ${r.health} points. A pod that was not hit for ${r.healAfterNs / 1e9} s heals ${r.healPerSecond} points a second; ` +
      `a replacement starts with ${r.freshHealth}. At most ${r.hitsPerSecond} hits a second count for each visitor. Health is a rule of this game; what happens at zero is real: ` +
      `the pod is deleted ${r.graceNs === 0 ? "at once, as by kubectl delete pod --grace-period=0 --force" : `with ${r.graceNs / 1e9} s to stop`}, ` +
      `and Kubernetes replaces it. “Down” is only what real requests from outside have measured.` +
      `${a.visitors > 1 ? ` ${count(a.visitors, "visitor", "visitors")} are hitting now.` : ""}`);
  }

  paint(b) {
    const p = b.pod, g = this.health.get(p.uid);
    const leaving = p.deleting !== undefined || g?.dying;
    let state = p.ready ? "✓ ready" : `◌ ${p.reason === "ContainerCreating" || !p.reason ? "starting" : p.reason}`;
    if (!p.node) state = "◌ waiting for a node";
    if (leaving) state = "✕ being deleted";
    const health = g ? g.health : null;
    put(b.children[1], `${state}${p.restarts ? `, ${count(p.restarts, "restart", "restarts")}` : ""}`);
    b.children[2].firstChild.style.width = `${health === null ? 100 : (100 * health) / g.max}%`;
    put(b.children[3], health === null ? "" : `${health} / ${g.max}${g.healing ? " ↑ healing" : ""}`);
    setAttr(b, "data-state", leaving ? "leaving" : p.ready ? "ready" : "starting");
    setAttr(b, "data-weak", health !== null && health <= 0.3 * g.max ? "yes" : null);
    setAttr(b, "aria-disabled", leaving ? "true" : null);
    setAttr(b, "aria-label", `Hit pod ${p.name}${b.node ? ` on ${b.node}` : ""}: ${state.slice(2)}${health === null ? "" : `, health ${health} of ${g.max}`}`);
  }

  async hit(b) {
    if (b.getAttribute("aria-disabled")) return;
    b.classList.remove("struck");
    void b.offsetWidth; // starts the animation anew
    b.classList.add("struck");
    let r;
    try {
      r = await post("api/v1/hit", { pod: b.pod.uid, visitor: this.visitor() });
    } catch {
      this.refuse("The hit did not reach the lab.");
      return;
    }
    if (!r.ok) { this.refuse(`${r.data.error} ${r.data.hint}`); return; }
    const g = this.health.get(b.pod.uid);
    if (g) {
      g.health = Math.min(g.health, Math.round(r.data.health));
      g.dying = g.dying || r.data.killed;
      g.healing = false;
      this.paint(b);
    }
  }

  refuse(text) {
    show($("refusal"), text);
    clearTimeout(this.refusalTimer);
    this.refusalTimer = setTimeout(() => show($("refusal"), ""), 2500);
  }

  // bury marks the place of a pod that is gone, and then clears it.
  bury(uid, b) {
    this.pods.delete(uid);
    if (document.activeElement === b) this.orphaned = true;
    const ghost = el("div", { class: "ghost" }, el("span", { text: "✕ deleted " }), el("s", { text: b.pod.name }));
    b.parentElement.append(ghost);
    b.remove();
    setTimeout(() => { ghost.remove(); const box = $("pending"); box.hidden = box.children.length === 0; }, ghostMS);
  }

  // refocus gives the focus to another pod when the one that had it is gone.
  refocus() {
    if (this.orphaned) this.buttons()[0]?.focus();
    this.orphaned = false;
  }

  buttons() { return [...document.querySelectorAll("button.pod")]; }

  arrows(e) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (!step || !e.target.classList.contains("pod")) return;
    const all = this.buttons();
    all[(all.indexOf(e.target) + step + all.length) % all.length].focus();
    e.preventDefault();
  }
}

function same(children, list) {
  return children.length === list.length && list.every((e, i) => children[i] === e);
}
