// The page: one event stream in, one drawing of each part out.
import { $, put } from "./format.js";
import { listen } from "./feed.js";
import { Answers } from "./answers.js";
import { Stage } from "./stage.js";
import { drawPath } from "./path.js";
import { Record } from "./record.js";

function visitor() {
  const input = $("visitor");
  let name = "";
  try { name = localStorage.getItem("zdl-visitor") ?? ""; } catch { /* storage is switched off */ }
  if (!name) name = `visitor-${Math.random().toString(36).slice(2, 5)}`;
  input.value = name;
  input.addEventListener("change", () => {
    input.value = input.value.trim() || name;
    try { localStorage.setItem("zdl-visitor", input.value); } catch { /* only for this visit then */ }
  });
  return () => input.value.trim() || name;
}

const name = visitor();
const answers = new Answers();
const stage = new Stage(name);
const record = new Record();
let snapshot = null;

listen({
  status(s) {
    put($("lab"), s.name ? `· lab ${s.name}` : "");
  },
  snapshot(s) {
    snapshot = s;
    stage.cluster(s);
    drawPath(s, answers.summary);
  },
  probe(p) {
    answers.take(p);
    record.outages(p, answers);
    if (snapshot) drawPath(snapshot, p.summary);
  },
  arena(a) {
    stage.arena(a);
    record.arena(a);
  },
  timeline: (entries) => record.timeline(entries),
});
