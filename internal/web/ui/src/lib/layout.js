// Where everything stands, in CSS pixels: a fixed grid, the same for the same
// cluster and screen. Users come in at the top left, go through the edge and the
// routers to the zones, and down into the nodes; the control plane is lowest.

const sizes = {
  wide: { minW: 62, maxW: 112, minH: 34, maxH: 58, head: 25, gap: 5, row: 13, machine: 24 },
  tall: { minW: 76, maxW: 112, minH: 44, maxH: 50, head: 32, gap: 6, row: 14, machine: 34 },
};

export const isTall = (width) => width < 700;

export function layout(plan, width, height) {
  return isTall(width) ? tall(plan, width) : wide(plan, width, height);
}

function wide(plan, w, h) {
  const s = sizes.wide;
  const stacks = Math.max(plan.edges.length, plan.routers.length, 1);
  const mh = machineHeight(s, [...plan.edges, ...plan.routers]);
  const bandH = stacks * mh + (stacks - 1) * 10;
  const col = (from, to) => ({ x: Math.round(from * w), w: Math.round((to - from) * w) });
  const at = { users: col(0, 0.13), edges: col(0.19, 0.43), routers: col(0.49, 0.7), pending: col(0.74, 1) };
  const middle = bandH / 2;
  const users = { ...at.users, y: middle - 30, h: 60 };
  const machines = new Map();
  for (const [list, place] of [[plan.edges, at.edges], [plan.routers, at.routers]]) {
    const top = middle - (list.length * (mh + 10) - 10) / 2;
    list.forEach((m, i) => machines.set(m.name, machineBox(s, m, place.x, top + i * (mh + 10), place.w, mh)));
  }
  const pending = { ...at.pending, y: 0, h: bandH, tiles: grid(s, plan.pending, at.pending.x, 18, at.pending.w, bandH - 18) };
  const busY = bandH + 16;
  const zoneTop = busY + 14;
  const gap = 12;
  const zw = (w - gap * (plan.zones.length - 1)) / Math.max(1, plan.zones.length);
  const rows = plan.zones.map((z) => rowsOf(z.nodes));
  const deepest = Math.max(0, ...rows.map((r) => r.length));
  // Rows have the same height in every zone, so that equals stand side by side.
  const inner = zw - 26;
  const natural = Array.from({ length: deepest }, (_, i) => Math.max(...rows.map((r) => (r[i] ? rowHeight(s, r[i], inner) : 0))));
  const need = natural.reduce((a, b) => a + b, 0) + deepest * s.row + s.head + 8;
  const spare = Math.max(0, h - zoneTop - need);
  const heights = natural.map((n) => n + Math.min(spare / deepest, 100));
  const zones = plan.zones.map((z, i) => zoneBox(s, z, rows[i], i * (zw + gap), zoneTop, zw, heights, 18));
  const bottom = Math.max(...zones.map((z) => z.y + z.h), zoneTop);
  const xm = (at.edges.x + at.users.x + at.users.w) / 2;
  const xn = (at.routers.x + at.edges.x + at.edges.w) / 2;
  const xr = at.routers.x + at.routers.w + 16;
  return finish(plan, { w, h: Math.max(bottom, Math.min(h, bottom + 40)), users, machines, pending, zones, tall: false }, {
    toEdge: (m) => [[users.x + users.w, mid(users)], [xm, mid(users)], [xm, low(m)], [m.x, low(m)]],
    toRouter: (e, r) => [[e.x + e.w, low(e)], [xn, low(e)], [xn, low(r)], [r.x, low(r)]],
    toBus: (r) => [[r.x + r.w, low(r)], [xr, low(r)], [xr, busY]],
    toSwitch: (z) => [[xr, busY], [z.switch.x, busY], [z.switch.x, z.switch.y]],
  });
}

function tall(plan, w) {
  const s = sizes.tall;
  const mh = machineHeight(s, [...plan.edges, ...plan.routers]);
  const left = 20;
  const users = { x: left, y: 0, w: w - left, h: 48 };
  const machines = new Map();
  let y = users.h + 22;
  for (const list of [plan.edges, plan.routers]) {
    if (list.length === 0) continue;
    const mw = (w - left - 10 * (list.length - 1)) / list.length;
    list.forEach((m, i) => machines.set(m.name, machineBox(s, m, left + i * (mw + 10), y, mw, mh)));
    y += mh + 24;
  }
  const pending = { x: left, y, w: w - left, h: 0, tiles: [] };
  if (plan.pending.length) {
    const box = { ...pending, tiles: grid(s, plan.pending, left, y + 18, w - left, 0) };
    pending.tiles = box.tiles;
    pending.h = 18 + Math.max(...box.tiles.map((t) => t.y + t.h)) - y - 12;
    y += pending.h + 14;
  }
  const busX = 8;
  const busY = y - 12;
  const zones = plan.zones.map((z) => {
    const rows = rowsOf(z.nodes);
    const heights = rows.map((r) => rowHeight(s, r, w - left - 8));
    const box = zoneBox(s, z, rows, 0, y, w, heights, left);
    y += box.h + 12;
    return box;
  });
  return finish(plan, { w, h: y, users, machines, pending, zones, tall: true }, {
    toEdge: (m) => [[users.x + users.w / 2, users.y + users.h], [users.x + users.w / 2, users.h + 11], [m.x + m.w / 2, users.h + 11], [m.x + m.w / 2, m.y]],
    toRouter: (e, r) => [[e.x + e.w / 2, e.y + e.h], [e.x + e.w / 2, r.y - 12], [r.x + r.w / 2, r.y - 12], [r.x + r.w / 2, r.y]],
    toBus: (r) => [[r.x + r.w / 2, r.y + r.h], [r.x + r.w / 2, busY], [busX, busY]],
    toSwitch: (z) => [[busX, busY], [busX, z.switch.y]],
  });
}

const mid = (b) => b.y + b.h / 2;
const low = (b) => b.y + b.h - 8; // below the words

// rowsOf a zone: workers, then databases and the control plane, at most two abreast.
function rowsOf(nodes) {
  const workers = nodes.filter((n) => !n.plane && !n.db);
  const rest = [...nodes.filter((n) => n.db && !n.plane), ...nodes.filter((n) => n.plane)];
  const two = (list) => Array.from({ length: Math.ceil(list.length / 2) }, (_, i) => list.slice(2 * i, 2 * i + 2));
  return [...two(workers), ...two(rest)];
}

function nodeWidth(row, inner) {
  return (inner - 10 * (row.length - 1)) / row.length;
}

function rowHeight(s, row, inner) {
  const w = nodeWidth(row, inner) - 12;
  return Math.max(...row.map((n) => {
    const cols = Math.max(1, Math.floor((w + s.gap) / (s.minW + s.gap)));
    const rows = Math.max(1, Math.ceil(n.tiles.length / cols));
    return s.head + rows * (s.minH + s.gap) + (n.ticks.length ? 17 : 4);
  }));
}

function zoneBox(s, zone, rows, x, y, w, heights, left) {
  const spine = x + 8;
  const inner = w - left - 8;
  const nodes = [];
  let top = y + s.head + 2;
  rows.forEach((row, i) => {
    top += i === 0 ? 8 : s.row;
    const nw = nodeWidth(row, inner);
    row.forEach((n, k) => nodes.push(nodeBox(s, n, x + left + k * (nw + 10), top, nw, heights[i], spine, top - 6)));
    top += heights[i];
  });
  return { zone, x, y, w, h: top + 8 - y, switch: { x: spine, y: y + s.head / 2 }, head: { x: x + left, y, w: w - left - 6, h: s.head }, nodes };
}

function nodeBox(s, node, x, y, w, h, spine, above) {
  const foot = node.ticks.length ? 17 : 4;
  const tiles = grid(s, node.tiles, x + 6, y + s.head, w - 12, h - s.head - foot);
  return { node, x, y, w, h, head: { x, y, w, h: s.head }, ticks: { x: x + 8, y: y + h - 10 }, tiles, port: [[spine, above], [x + w / 2, above], [x + w / 2, y]] };
}

function machineHeight(s, machines) {
  return s.machine + 22 + (machines.some((m) => m.parts.length) ? s.minH + 6 : 0);
}

function machineBox(s, machine, x, y, w, h) {
  const tiles = machine.parts.length ? grid(s, machine.parts, x + 6, y + s.machine + 20, w - 12, s.minH + s.gap) : [];
  return { machine, x, y, w, h, head: { x, y, w, h: machine.parts.length ? s.machine + 18 : h }, tiles };
}

// grid lays tiles out in equal columns: as few as fit into the height, so that
// they are as wide as can be.
function grid(s, list, x, y, w, h) {
  const n = list.length;
  if (n === 0) return [];
  const most = Math.max(1, Math.floor((w + s.gap) / (s.minW + s.gap)));
  const rowsIn = Math.max(1, Math.floor((h + s.gap) / (s.minH + s.gap)));
  let cols = Math.min(most, Math.max(1, Math.ceil(n / rowsIn)));
  while (cols < Math.min(most, n) && (w + s.gap) / (cols + 1) - s.gap >= s.maxW) cols++;
  const rows = Math.ceil(n / cols);
  const tw = (w + s.gap) / cols - s.gap;
  const th = Math.max(s.minH, Math.min(s.maxH, (h + s.gap) / rows - s.gap));
  return list.map((tile, i) => ({ tile, x: x + (i % cols) * (tw + s.gap), y: y + Math.floor(i / cols) * (th + s.gap), w: tw, h: th }));
}

// finish adds wires, and the ways by which requests go.
function finish(plan, geo, ways) {
  const edges = plan.edges.map((m) => geo.machines.get(m.name));
  const routers = plan.routers.map((m) => geo.machines.get(m.name));
  const fine = (b) => b.machine.state === "ready";
  const holds = (b, what) => b.machine.holds.includes(what);
  const edge = edges.find((b) => holds(b, "users")) ?? edges.find(fine) ?? null;
  const router = routers.find((b) => holds(b, "gateways")) ?? routers.find(fine) ?? null;
  const live = (b, active) => (!fine(b) ? "dead" : b === active ? "live" : "standby");
  const wires = [];
  for (const e of edges) wires.push({ id: `users-${e.machine.name}`, d: path(ways.toEdge(e)), state: live(e, edge) });
  for (const e of edges) {
    for (const r of routers) {
      const state = !fine(e) || !fine(r) ? "dead" : e === edge && r === router ? "live" : "standby";
      wires.push({ id: `${e.machine.name}-${r.machine.name}`, d: path(ways.toRouter(e, r)), state });
    }
  }
  const gate = router ?? routers[0] ?? edges[0];
  for (const r of routers) wires.push({ id: `${r.machine.name}-bus`, d: path(ways.toBus(r)), state: live(r, router) });
  const places = new Map();
  for (const z of geo.zones) {
    if (gate) wires.push({ id: `bus-${z.zone.name}`, d: path(ways.toSwitch(z)), state: z.zone.state === "ready" ? "live" : "dead" });
    for (const n of z.nodes) {
      const dead = z.zone.state === "cut" || ["off", "cut"].includes(n.node.state);
      wires.push({ id: `wire-${n.node.name}`, d: path([[z.switch.x, z.switch.y], ...n.port]), state: dead ? "dead" : n.node.plane ? "plane" : "live" });
      const way = gate ? [...ways.toSwitch(z), ...n.port] : n.port;
      for (const t of n.tiles) places.set(t.tile.id, { ...t, way });
    }
  }
  // Standby wires are drawn first, so that live ones lie on top.
  const rank = { dead: 0, standby: 1, plane: 2, live: 3 };
  wires.sort((a, b) => rank[a.state] - rank[b.state]);
  let entry = [[geo.users.x + geo.users.w / 2, mid(geo.users)]];
  if (edge) entry = [...ways.toEdge(edge)];
  const through = edge ? [...entry, ...(router ? ways.toRouter(edge, router) : []), ...(router ? ways.toBus(router) : [])] : entry;
  return { ...geo, wires, places, edge, router, entry, through };
}

// route is the way of a request: in, to an ingress, to the pod that answered.
// Without a pod it ends at the ingress, without an ingress at the edge.
export function route(geo, ingress, pod) {
  const a = ingress && geo.places.get(ingress);
  const b = pod && geo.places.get(pod);
  const first = a ?? b;
  if (!first) return geo.entry;
  const out = [...geo.through, ...first.way, centre(first)];
  if (!a || !b || a === b) return clean(out);
  let k = 0;
  while (k < a.way.length && k < b.way.length && same(a.way[k], b.way[k])) k++;
  return clean([...out, ...a.way.slice(k).reverse(), ...b.way.slice(k), centre(b)]);
}

const centre = (t) => [t.x + t.w / 2, t.y + t.h / 2];
const same = (p, q) => p[0] === q[0] && p[1] === q[1];
const clean = (points) => points.filter((p, i) => i === 0 || !same(p, points[i - 1]));

// path draws a line with rounded corners.
function path(points, radius = 6) {
  const p = clean(points);
  let d = `M${r(p[0][0])} ${r(p[0][1])}`;
  for (let i = 1; i < p.length; i++) {
    const [x, y] = p[i];
    const next = p[i + 1];
    if (!next) { d += `L${r(x)} ${r(y)}`; break; }
    const [px, py] = p[i - 1];
    const into = Math.hypot(x - px, y - py);
    const out = Math.hypot(next[0] - x, next[1] - y);
    const k = Math.min(radius, into / 2, out / 2);
    d += `L${r(x - ((x - px) / into) * k)} ${r(y - ((y - py) / into) * k)}Q${r(x)} ${r(y)} ${r(x + ((next[0] - x) / out) * k)} ${r(y + ((next[1] - y) / out) * k)}`;
  }
  return d;
}

const r = (n) => Math.round(n * 10) / 10;
