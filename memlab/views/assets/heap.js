// A dominator tree that opens level by level, and its treemap (treemap.js): the same module in a report and in a
// notebook's widget. Both draw from columns (see views/tree_data.py); rows and cells are made when looked at.
// It stands behind units.js and treemap.js in one script. Text is only ever set as textContent, places as single
// style properties: no markup is made from data.

const AT_ONCE = 50; // rows put in the page by one opening; the rest on demand
const MOST_INDENT = 24;

/** Read the columns of a heap tree: each row's children, and what is said of a row. */
export function readHeap(data) {
  const heap = { ...data, kids: data.parent.map(() => []) };
  data.parent.forEach((parent, row) => {
    if (parent >= 0) heap.kids[parent].push(row);
  });
  heap.text = (column, row) => data.texts[data[column][row]];
  heap.name = (row) => heap.text("label", row);
  heap.title = (row) => `${heap.text("via", row)} ${heap.name(row)}`.trim();
  heap.size = data.retained;
  heap.paint = (row) => `hue-${data.hue[row]}`;
  heap.amount = (row) => formatBytes(data.retained[row]);
  heap.others = (smaller) => (smaller ? `own size and ${formatCount(smaller)} smaller` : "own size and not listed");
  heap.whole = data.parent.length ? data.retained[0] : 0;
  heap.hidden = (row) => data.children[row] - heap.kids[row].reduce((sum, kid) => sum + data.objects[kid], 0);
  heap.say = (row) => {
    const parts = [heap.title(row)];
    if (row === 0) return `${parts[0]}, ${formatBytes(data.retained[row])}`;
    const kind = heap.text("type", row);
    if (kind) parts.push(kind);
    parts.push(`${formatBytes(data.retained[row])} retained (${formatShare(data.retained[row], heap.whole)})`);
    parts.push(`${formatBytes(data.shallow[row])} its own`);
    parts.push(`dominates ${formatCount(data.children[row])} directly`);
    return parts.join(", ");
  };
  return heap;
}

// -- the tree

function treeRow(heap, row, level, place, of) {
  const line = node("tr", heap.node[row] < 0 && row > 0 ? "group" : "");
  line.setAttribute("role", "row");
  line.setAttribute("aria-level", level);
  line.setAttribute("aria-posinset", place);
  line.setAttribute("aria-setsize", of);
  const opens = heap.kids[row].length > 0 || heap.hidden(row) > 0;
  if (opens) line.setAttribute("aria-expanded", "false");
  line.tabIndex = -1;
  line.dataset.row = row;
  const what = node("td", "what mono");
  what.style.setProperty("--level", Math.min(level, MOST_INDENT));
  const mark = node("span", "toggle", opens ? "▸" : "");
  mark.setAttribute("aria-hidden", "true");
  what.append(mark);
  const via = heap.text("via", row);
  const kind = heap.text("type", row);
  if (via) what.append(node("span", "via", via), " ");
  what.append(node("span", "label", heap.name(row)));
  if (kind) what.append(" ", node("span", "type", kind));
  const retained = node("td", "number", formatBytes(heap.retained[row]));
  const meter = node("span", "meter");
  const part = node("span");
  part.style.width = `${Math.min(100, heap.whole > 0 ? (heap.retained[row] / heap.whole) * 100 : 0)}%`;
  meter.append(part);
  retained.append(meter);
  line.append(
    what,
    retained,
    node("td", "number side", formatShare(heap.retained[row], heap.whole)),
    node("td", "number side", formatBytes(heap.shallow[row])),
    node("td", "number side", formatCount(heap.children[row])),
  );
  for (const cell of line.cells) cell.setAttribute("role", "gridcell");
  return line;
}

function noteRow(cls, level, text) {
  const line = node("tr", cls);
  line.setAttribute("role", "row");
  line.setAttribute("aria-level", level);
  line.tabIndex = -1;
  const cell = node("td", "what", text);
  cell.setAttribute("role", "gridcell");
  cell.colSpan = 2; // a narrow window has no more
  cell.style.setProperty("--level", Math.min(level + 1, MOST_INDENT));
  const others = node("td", "side");
  others.colSpan = 3;
  others.setAttribute("aria-hidden", "true");
  line.append(cell, others);
  return line;
}

/** Put the tree into a box: arrows walk and open it, as in every tree grid. */
export function mountTree(host, heap, { say = () => {}, name = "Dominator tree" } = {}) {
  const table = node("table", "tree");
  table.setAttribute("role", "treegrid");
  table.setAttribute("aria-label", name);
  const head = table.createTHead().insertRow();
  head.setAttribute("role", "row");
  for (const [title, cls] of [
    ["Object", ""], ["Retained", "number"], ["Share", "number side"], ["Own size", "number side"],
    ["Dominates", "number side"],
  ]) {
    const cell = node("th", cls, title);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    head.append(cell);
  }
  const body = table.createTBody();
  body.setAttribute("role", "rowgroup");
  const level = (line) => Number(line.getAttribute("aria-level"));

  const fill = (row, depth, from) => {
    const kids = heap.kids[row];
    const lines = document.createDocumentFragment();
    const to = Math.min(kids.length, from + AT_ONCE);
    for (let i = from; i < to; i += 1) lines.append(treeRow(heap, kids[i], depth, i + 1, kids.length));
    if (to < kids.length) {
      const more = noteRow("more", depth, `Show ${formatCount(Math.min(AT_ONCE, kids.length - to))} more of ${formatCount(kids.length - to)}`);
      more.dataset.of = row;
      more.dataset.from = to;
      lines.append(more);
    } else if (heap.hidden(row) > 0) {
      const many = heap.hidden(row);
      const words = `${formatCount(many)} ${kids.length ? "smaller " : ""}${many === 1 ? "object is" : "objects are"} not listed`;
      lines.append(noteRow("rest", depth, words));
    }
    return lines;
  };
  const focus = (line) => {
    if (!line) return;
    for (const old of body.querySelectorAll('tr[tabindex="0"]')) old.tabIndex = -1;
    line.tabIndex = 0;
    line.focus();
  };
  const close = (line) => {
    while (line.nextSibling && level(line.nextSibling) > level(line)) line.nextSibling.remove();
    line.setAttribute("aria-expanded", "false");
    line.querySelector(".toggle").textContent = "▸";
    if (!body.querySelector('tr[tabindex="0"]')) line.tabIndex = 0;
  };
  const open = (line) => {
    const row = Number(line.dataset.row);
    line.after(fill(row, level(line) + 1, 0));
    line.setAttribute("aria-expanded", "true");
    line.querySelector(".toggle").textContent = "▾";
    const count = heap.kids[row].length;
    say(`${formatCount(count)} ${count === 1 ? "row" : "rows"} under ${heap.title(row)}`);
  };
  const act = (line) => {
    if (line.classList.contains("more")) {
      const lines = fill(Number(line.dataset.of), level(line), Number(line.dataset.from));
      const first = lines.firstChild;
      line.replaceWith(lines);
      focus(first);
    } else if (line.getAttribute("aria-expanded") === "true") close(line);
    else if (line.getAttribute("aria-expanded") === "false") open(line);
  };
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    // A selection of text is no click on the row.
    if (!line || String(window.getSelection())) return;
    focus(line);
    act(line);
  });
  body.addEventListener("keydown", (event) => {
    const line = event.target.closest("tr");
    if (!line || event.altKey || event.ctrlKey || event.metaKey) return;
    const shown = line.getAttribute("aria-expanded");
    const go = {
      ArrowDown: () => focus(line.nextSibling),
      ArrowUp: () => focus(line.previousSibling),
      Home: () => focus(body.firstChild),
      End: () => focus(body.lastChild),
      Enter: () => act(line),
      " ": () => act(line),
      ArrowRight: () => {
        if (shown === "false") open(line);
        else if (shown === "true") focus(line.nextSibling);
      },
      ArrowLeft: () => {
        if (shown === "true") close(line);
        else {
          let above = line.previousSibling;
          while (above && level(above) >= level(line)) above = above.previousSibling;
          focus(above);
        }
      },
    }[event.key];
    if (!go) return;
    event.preventDefault();
    go();
  });
  if (heap.parent.length) body.append(fill(0, 1, 0));
  if (body.firstChild) body.firstChild.tabIndex = 0;
  host.replaceChildren(table);
  return table;
}

/** Bring the tree and the treemap of a report to life. */
export function startHeap(root) {
  const status = root.querySelector("#status");
  const say = (text) => { status.textContent = text; };
  for (const [part, data] of scopes(root)) {
    if (!data.heap) continue;
    const heap = readHeap(data.heap);
    for (const host of part.querySelectorAll("[data-heap=tree]")) {
      host.removeAttribute("tabindex");
      mountTree(host, heap, { say, name: host.getAttribute("aria-label") });
    }
    for (const host of part.querySelectorAll("[data-heap=treemap]")) mountTreemap(host, heap, { say });
    root.dataset.heap = "ready";
  }
}

if (document.documentElement.dataset.memlab === "page") startHeap(document.documentElement);

/** Draw a notebook's widget from its synced state alone. */
export function renderHeap({ model, el }) {
  const status = node("p", "unseen");
  const map = node("div", "treemap");
  const tree = node("div", "scroll");
  const hues = node("ul", "hues");
  const say = (text) => { status.textContent = text; };
  const draw = () => {
    const heap = readHeap(model.get("heap"));
    hues.replaceChildren(...heap.legend.map((kind, i) => node("li", `hue-${(i + 1) % heap.legend.length}`, kind)));
    mountTreemap(map, heap, { say });
    mountTree(tree, heap, { say });
  };
  status.setAttribute("role", "status");
  el.classList.add("memlab-heap");
  el.replaceChildren(node("p", "heading", model.get("heading")), map, hues, tree, status);
  draw();
  model.on("change:heap", draw);
  return () => model.off("change:heap", draw);
}
