// A small subset of Markdown as data: headings, paragraphs, lists, **bold**, *soft*,
// `code` and [links](docs/…). Nothing of it becomes HTML by itself.

export function blocks(text) {
  const out = [];
  let list = null;
  for (const part of (text ?? "").split(/\n\s*\n/)) {
    let paragraph = [];
    const flush = () => {
      if (paragraph.length) out.push({ kind: "p", spans: spans(paragraph.join(" ")) });
      paragraph = [];
    };
    list = null;
    for (const line of part.split("\n")) {
      const item = /^\s*(?:[-*]|\d+\.)\s+(.*)$/.exec(line);
      const head = /^#{1,4}\s+(.*)$/.exec(line);
      if (head) {
        flush();
        out.push({ kind: "h", spans: spans(head[1]) });
      } else if (item) {
        flush();
        if (!list) out.push((list = { kind: "ul", items: [] }));
        list.items.push(item[1]);
      } else if (list && /^\s+\S/.test(line)) {
        list.items[list.items.length - 1] += ` ${line.trim()}`;
      } else if (line.trim()) {
        list = null;
        paragraph.push(line.trim());
      }
    }
    flush();
  }
  for (const b of out) if (b.items) b.items = b.items.map(spans);
  return out;
}

export function spans(text) {
  const out = [];
  const pattern = /\*\*(.+?)\*\*|`([^`]+)`|\[([^\]]+)\]\(([^)\s]+)\)|\*([^*\s][^*]*)\*/g;
  let at = 0;
  for (const m of text.matchAll(pattern)) {
    if (m.index > at) out.push({ text: text.slice(at, m.index) });
    if (m[1] !== undefined) out.push({ bold: m[1] });
    else if (m[2] !== undefined) out.push({ code: m[2] });
    else if (m[3] !== undefined) out.push({ link: m[3], href: doc(m[4]) });
    else out.push({ soft: m[5] });
    at = m.index + m[0].length;
  }
  if (at < text.length) out.push({ text: text.slice(at) });
  return out;
}

// doc is where the server shows a page of the documentation; "" for anything
// else, since this page leads nowhere else.
export function doc(path) {
  const m = /^(?:\.\.\/)*(?:docs\/)?([a-z0-9-]+\.md)(#[\w-]*)?$/i.exec(path ?? "");
  return m ? `docs/${m[1]}${m[2] ?? ""}` : "";
}
