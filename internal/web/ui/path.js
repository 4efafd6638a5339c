// The way of a request, hop by hop, with what carries it now.
import { $, el, put, setAttr } from "./format.js";

export function drawPath(s, probe) {
  const url = probe ? new URL(probe.url) : null;
  const vip = url ? url.hostname : "";
  const edge = s.machines.filter((m) => m.kind === "edge");
  const holder = edge.find((m) => (m.holds ?? []).some((h) => h === "users" || h === vip));
  const ingress = s.system.filter((p) => /skipper|ingress/.test(`${p.app} ${p.name}`));
  const ready = ingress.filter((p) => p.ready);
  const serving = s.endpoints.filter((e) => e.ready);
  const hops = [["outside", "a client beyond the cluster", true]];
  if (edge.length) {
    hops.push(["virtual IP", `${vip}${holder ? ` on ${holder.name}` : ""}`, true]);
    hops.push(["HAProxy", edge.map((m) => `${m.name}${m.power === "off" ? " (off)" : ""}`).join(", "), edge.some((m) => m.power !== "off")]);
  } else if (vip) {
    hops.push(["entry", url.host, true]);
  }
  if (ingress.length) hops.push(["ingress", `${ready.length} of ${ingress.length} ready`, ready.length > 0]);
  hops.push([`Service ${s.target.service}`, `${serving.length} of ${Math.max(s.target.desired, s.endpoints.length)} endpoints`, serving.length > 0]);
  const by = Object.keys(probe?.byServer ?? {}).length;
  hops.push(["pod", by ? `${by} answered in the last 10 s` : "", serving.length > 0]);

  const ol = $("path");
  hops.forEach(([name, detail, good], i) => {
    const li = ol.children[i] ?? ol.appendChild(el("li", {}, el("b"), el("span")));
    put(li.firstChild, good ? name : `✕ ${name}`);
    put(li.lastChild, detail);
    setAttr(li, "data-good", good ? "yes" : "no");
  });
  while (ol.children.length > hops.length) ol.lastChild.remove();
}
