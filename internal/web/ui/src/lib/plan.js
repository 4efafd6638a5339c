// What stands on the stage: the cluster's snapshot, the game's targets and the
// faults in force, joined into one plan. It knows nothing about places in pixels.

const components = {
  etcd: ["etcd", "etcd"],
  "kube-apiserver": ["api", "API"],
  "kube-scheduler": ["sched", "scheduler"],
  "kube-controller-manager": ["ctrl", "controllers"],
};
const databases = /postgres|pgsql|mysql|mariadb|mongo|ferret|redis|valkey|rabbit|database/;

// roleOf a pod: what it does for users.
export function roleOf(pod, served) {
  if (served) return "web";
  const app = pod.app || pod.name;
  if (components[app]) return components[app][0];
  if (/skipper|ingress/.test(app)) return "ingress";
  if (/coredns|kube-dns/.test(app)) return "dns";
  if (databases.test(app) || databases.test(pod.namespace)) return "db";
  return "system";
}

const tail = (name) => name.slice(name.lastIndexOf("-") + 1);

// short leaves of a pod's name what one needs to tell it from others: "web-766b79dc69-88hdx".
const short = (name) => name.replace(/^(.+?)(-[0-9a-f]{6,10})?-([a-z0-9]{5})$/, "$1 $3");

function label(pod, role) {
  switch (role) {
    case "web": return `${pod.app || "web"} ${tail(pod.name)}`;
    case "ingress": return `ingress ${tail(pod.name)}`;
    case "dns": return `dns ${tail(pod.name)}`;
    case "db": return pod.name;
    case "system": return (pod.app || pod.name).replace(/^kube-/, "");
    default: return components[pod.app]?.[1] ?? pod.app;
  }
}

// Tiles of the same kind stay together.
const order = ["web", "db", "ingress", "dns", "etcd", "api", "sched", "ctrl", "component", "system"];

// effect of a fault on what it targets, by the kind's name.
function effect(attack) {
  const k = attack.kind;
  if (/freeze|hang|gray/.test(k)) return ["frozen", "frozen"];
  if (/partition|isolate|link|switch|deny|network-loss/.test(k)) return ["cut", "cut off"];
  if (/power|reboot/.test(k)) return ["off", "no power"];
  if (/kill|failure|stop|down|loss/.test(k)) return ["hurt", k.replace(/^(pod|node|container)-/, "").replaceAll("-", " ")];
  return ["hurt", k.replace(/^(pod|node|network)-/, "").replaceAll("-", " ")];
}

// held maps what faults target to the fault: "pod web/web-1", "node worker-1".
function held(attacks) {
  const out = new Map();
  for (const a of attacks) {
    if (a.instant || !["intended", "injected", "active", "undoing"].includes(a.state)) continue;
    for (const t of a.targets ?? []) {
      const type = t.type === "container" || t.type === "process" ? "pod" : t.type;
      out.set(`${type} ${t.name}`, a);
    }
  }
  return out;
}

// slots remembers the places of tiles on a node, so that a pod's replacement
// comes where a dead one was and nothing else moves.
export class Places {
  #nodes = new Map(); // node → [{id, app, gone}]
  keepMS = 4000; // how long a dead pod's place stays marked

  // settle gives the living their places and returns all of them in order, with
  // ghosts where somebody died lately.
  settle(node, living, now) {
    const row = this.#nodes.get(node) ?? [];
    const alive = new Map(living.map((t) => [t.id, t]));
    for (const s of row) if (!alive.has(s.id) && !s.gone) s.gone = now;
    const placed = new Set(row.filter((s) => !s.gone).map((s) => s.id));
    for (const t of living) {
      if (placed.has(t.id)) continue;
      const at = row.findIndex((s) => s.gone && s.tile.role === t.role);
      const slot = { id: t.id, tile: t, gone: 0 };
      if (at >= 0) row[at] = slot;
      else row.push(slot);
    }
    const kept = row.filter((s) => !s.gone || now - s.gone < this.keepMS);
    for (const s of kept) if (!s.gone) s.tile = alive.get(s.id);
    kept.sort((a, b) => order.indexOf(a.tile.role) - order.indexOf(b.tile.role)); // stable
    this.#nodes.set(node, kept);
    return kept.map((s) => (s.gone ? { ...s.tile, ghost: true, target: null, state: "gone", word: "deleted", leader: "" } : s.tile));
  }
}

// plan joins everything.
export function plan(snapshot, arena, attacks, places, now) {
  const targets = new Map((arena?.targets ?? []).map((t) => [t.id, t]));
  const drawn = new Set();
  const faults = held(attacks);
  const take = (...ids) => {
    for (const id of ids) {
      if (!targets.has(id)) continue;
      drawn.add(id);
      return targets.get(id);
    }
    return null;
  };
  const leaders = new Map(snapshot.leaders.filter((l) => l.holder).map((l) => [l.component, l.holder]));

  const tileOf = (pod, served, node) => {
    const role = roleOf(pod, served);
    const target = take(`pod/${pod.namespace}/${pod.uid}`, `component/${pod.app}@${pod.node}`, `component/${pod.name}@${pod.node}`);
    const leads = leaders.get(pod.app) === pod.node && components[pod.app] || role === "db" && [...leaders.values()].includes(pod.name);
    return {
      id: target?.id ?? `pod/${pod.namespace}/${pod.uid}`, kind: "pod", role, name: pod.name, label: label(pod, role), node: pod.node, restarts: pod.restarts,
      leader: leads ? (role === "db" ? "primary" : "leader") : "", target, ...podState(pod, node, target, faults.get(`pod ${pod.namespace}/${pod.name}`)),
    };
  };

  const zones = snapshot.zones.map((z) => {
    const switchTarget = take(`machine/switch-${z.name}`, `component/switch@${z.name}`, `switch/${z.name}`);
    const target = take(`zone/${z.name}`);
    const attack = faults.get(`zone ${z.name}`);
    const nodes = z.nodes.map((n) => {
      const nodeTarget = take(`node/${n.name}`);
      const own = faults.get(`node ${n.name}`) ?? faults.get(`machine ${n.name}`);
      const state = nodeState(n, own, attack, nodeTarget);
      const pods = [...n.pods.map((p) => tileOf(p, true, n)), ...snapshot.system.filter((p) => p.node === n.name && p.phase !== "Succeeded").map((p) => tileOf(p, false, n))];
      const extra = [...targets.values()].filter((t) => t.node === n.name && !drawn.has(t.id) && (t.kind === "component" || t.kind === "pod" || t.kind === "process")).map((t) => take(t.id) && componentTile(t, n, faults));
      const tiles = [...pods.filter((t) => t.role !== "system" || t.target), ...extra];
      return {
        name: n.name, plane: n.controlPlane, db: (n.taints ?? []).some((t) => t.includes("database")) || /^db-/.test(n.name), address: n.address, target: nodeTarget, ...state,
        tiles: places.settle(n.name, tiles, now), ticks: pods.filter((t) => t.role === "system" && !t.target),
      };
    });
    const off = nodes.length > 0 && nodes.every((n) => n.state === "off");
    const cut = attack && effect(attack)[0] === "cut";
    return { name: z.name || "no zone", target, switch: switchTarget, nodes, state: cut ? "cut" : off ? "off" : "ready", word: cut ? "cut off" : off ? "no power" : "" };
  });

  const machines = snapshot.machines.map((m) => {
    const target = take(`machine/${m.name}`);
    const own = faults.get(`machine ${m.name}`) ?? faults.get(`node ${m.name}`);
    const parts = [...targets.values()].filter((t) => !drawn.has(t.id) && t.kind === "component" && t.id.endsWith(`@${m.name}`)).map((t) => take(t.id) && componentTile(t, m, faults));
    let [state, word] = ["ready", ""];
    if (m.power === "off") [state, word] = ["off", "no power"];
    else if (m.power === "frozen") [state, word] = ["frozen", "frozen"];
    else if (own) [state, word] = effect(own);
    return { name: m.name, kind: m.kind, address: m.address, holds: m.holds ?? [], target, parts, state, word };
  });
  const pending = snapshot.pending.map((p) => tileOf(p, true, null));
  const strays = [...targets.values()].filter((t) => !drawn.has(t.id)).map((t) => componentTile(t, null, faults));
  return {
    zones, pending: places.settle("", [...pending, ...strays], now).filter((t) => !t.ghost),
    edges: machines.filter((m) => m.kind === "edge" || /^lb/.test(m.name)), routers: machines.filter((m) => m.kind === "router"),
  };
}

function componentTile(t, node, faults) {
  const fault = faults.get(`${t.kind} ${t.name}`);
  let [state, word] = ["ready", ""];
  if (node?.power === "off") [state, word] = ["off", "no power"];
  else if (node?.power === "frozen") [state, word] = ["frozen", "frozen"];
  else if (t.dying) [state, word] = ["dying", "going"];
  else if (t.down) [state, word] = fault ? effect(fault) : ["hurt", "down"];
  return { id: t.id, kind: t.kind, role: "component", name: t.name, label: t.kind === "pod" ? short(t.title || t.name) : (t.name || t.title).replace(/@.*$/, ""), node: t.node, leader: "", target: t, restarts: 0, state, word };
}

function podState(pod, node, target, attack) {
  if (node?.power === "off") return { state: "off", word: "no power" };
  if (node?.power === "frozen") return { state: "frozen", word: "frozen" };
  if (target?.dying || pod.deleting) return { state: "dying", word: "ending" };
  if (attack) {
    const [state, word] = effect(attack);
    return { state, word };
  }
  if (!pod.node) return { state: "starting", word: "waits for a node" };
  if (pod.ready) return target?.down ? { state: "hurt", word: "down" } : { state: "ready", word: "ready" };
  if (pod.reason && pod.reason !== "ContainerCreating") return { state: "hurt", word: reasonWord(pod.reason) };
  return { state: "starting", word: pod.phase === "Running" ? "not ready" : "starting" };
}

const reasonWord = (r) => ({ CrashLoopBackOff: "crash loop", ImagePullBackOff: "no image", ErrImagePull: "no image", OOMKilled: "out of memory", NodeLost: "node lost" })[r]
  ?? r.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

function nodeState(n, own, zoneAttack, target) {
  if (n.power === "off") return { state: "off", word: "no power" };
  if (n.power === "frozen") return { state: "frozen", word: "frozen" };
  if (own) {
    const [state, word] = effect(own);
    return { state, word };
  }
  if (zoneAttack && effect(zoneAttack)[0] === "cut") return { state: "cut", word: "cut off" };
  if (target?.dying) return { state: "dying", word: "going" };
  if (!n.ready) return { state: "hurt", word: "not Ready" };
  if (n.unschedulable) return { state: "closed", word: "cordoned" };
  return { state: "ready", word: "Ready" };
}
