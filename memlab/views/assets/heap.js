// A dominator tree that opens level by level, and its treemap: the same module in a report and in a notebook's
// widget. Both draw from columns (see views/tree_data.py); rows and cells are made when they are looked at.
// It stands behind units.js in one script. Text is only ever set as textContent, places as single style
// properties: no markup is made from data.

const AT_ONCE = 50; // rows put in the page by one opening; the rest on demand
const MOST_INDENT = 24;
const MOST_CELLS = 80;
const MOST_INNER = 30;

/** Write a part of the whole in per cent. */
export const formatShare = (part, whole) => {
  if (!(whole > 0)) return "";
  const percent = (part / whole) * 100;
  return percent > 0 && percent < 0.1 ? "<0.1 %" : `${percent.toFixed(1)} %`;
};

/** Lay out values, greatest first, as squarified rectangles (views/squarify.py tells how). */
export function squarify(values, room) {
  let { x, y, width, height } = room;
  const total = values.reduce((sum, value) => sum + Math.max(value, 0), 0);
  if (!(total > 0) || width <= 0 || height <= 0) return values.map(() => ({ x, y, width: 0, height: 0 }));
  const scale = (width * height) / total;
  const areas = values.map((value) => Math.max(value, 0) * scale);
  const worstOf = (greatest, least, sum, side) => {
    if (least <= 0 || side <= 0 || sum <= 0) return Infinity;
    const square = (side * side) / (sum * sum);
    return Math.max(square * greatest, 1 / (square * least));
  };
  const placed = [];
  let start = 0;
  while (start < areas.length) {
    const side = Math.min(width, height);
    let stop = start + 1;
    let taken = areas[start];
    let worst = worstOf(areas[start], areas[start], taken, side);
    while (stop < areas.length) {
      const next = worstOf(areas[start], areas[stop], taken + areas[stop], side);
      if (next > worst) break;
      worst = next;
      taken += areas[stop];
      stop += 1;
    }
    const across = width >= height;
    const long = across ? height : width;
    const deep = long > 0 ? taken / long : 0;
    let at = 0;
    for (; start < stop; start += 1) {
      const size = deep > 0 ? areas[start] / deep : 0;
      placed.push(across ? { x, y: y + at, width: deep, height: size } : { x: x + at, y, width: size, height: deep });
      at += size;
    }
    if (across) {
      x += deep;
      width = Math.max(0, width - deep);
    } else {
      y += deep;
      height = Math.max(0, height - deep);
    }
  }
  return placed;
}

/** Read the columns of a heap tree: each row's children, and what is said of a row. */
export function readHeap(data) {
  const heap = { ...data, kids: data.parent.map(() => []) };
  data.parent.forEach((parent, row) => {
    if (parent >= 0) heap.kids[parent].push(row);
  });
  heap.text = (column, row) => data.texts[data[column][row]];
  heap.name = (row) => heap.text("label", row);
  heap.title = (row) => `${heap.text("via", row)} ${heap.name(row)}`.trim();
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

// -- the treemap

/** Choose the cells of a row's map: its greatest children, then everything else in one. */
export function cellsOf(heap, row, most) {
  const kids = heap.kids[row].filter((kid) => heap.retained[kid] > 0);
  const shown = kids.slice(0, kids.length > most ? most - 1 : most);
  const sum = shown.reduce((all, kid) => all + heap.retained[kid], 0);
  return { shown, rest: Math.max(0, heap.retained[row] - sum), smaller: kids.length - shown.length };
}

const place = (made, box, room) => {
  made.style.left = `${(box.x / room.width) * 100}%`;
  made.style.top = `${(box.y / room.height) * 100}%`;
  made.style.width = `${(box.width / room.width) * 100}%`;
  made.style.height = `${(box.height / room.height) * 100}%`;
};

function innerCells(heap, row, box) {
  const room = { x: 0, y: 0, width: box.width - 8, height: box.height - 26 };
  const made = node("span", "inner");
  made.setAttribute("aria-hidden", "true");
  const { shown, rest } = cellsOf(heap, row, MOST_INNER);
  const boxes = squarify([...shown.map((kid) => heap.retained[kid]), rest], room);
  shown.forEach((kid, i) => {
    if (boxes[i].width < 3 || boxes[i].height < 3) return;
    const cell = node("span", `cell hue-${heap.hue[kid]}`);
    place(cell, boxes[i], room);
    if (boxes[i].width > 44 && boxes[i].height > 18) cell.append(node("span", "name", heap.title(kid)));
    made.append(cell);
  });
  return made;
}

/** Put the treemap into a box: a click or Enter goes down, Escape, Backspace or the path above go up. */
export function mountTreemap(host, heap, { say = () => {}, name = "Treemap of retained size" } = {}) {
  const crumbs = node("ol");
  const path = node("nav", "crumbs");
  const room = node("div", "map-room");
  const read = node("p", "readout");
  path.setAttribute("aria-label", "Path in the treemap");
  path.append(crumbs);
  room.setAttribute("role", "group");
  let at = 0;
  let width = 0;

  const readOut = (row) => { read.textContent = heap.say(row); };
  const draw = () => {
    const box = room.getBoundingClientRect();
    const size = { x: 0, y: 0, width: box.width || 800, height: box.height || 420 };
    width = box.width;
    const { shown, rest, smaller } = cellsOf(heap, at, MOST_CELLS);
    const boxes = squarify([...shown.map((kid) => heap.retained[kid]), rest], size);
    const made = shown.map((kid, i) => {
      const cell = node("button", `cell hue-${heap.hue[kid]}`);
      const leaf = !heap.kids[kid].length;
      cell.type = "button";
      cell.tabIndex = i ? -1 : 0;
      cell.dataset.row = kid;
      if (leaf) cell.classList.add("leaf");
      cell.setAttribute("aria-label", `${heap.say(kid)}${leaf ? "" : ": open"}`);
      place(cell, boxes[i], size);
      if (boxes[i].width > 36 && boxes[i].height > 18) {
        const title = node("span", "title");
        title.append(node("span", "name", heap.title(kid)));
        if (boxes[i].width > 120) title.append(node("span", "size", formatBytes(heap.retained[kid])));
        cell.append(title);
      }
      if (!leaf && boxes[i].width > 60 && boxes[i].height > 60) cell.append(innerCells(heap, kid, boxes[i]));
      return cell;
    });
    if (rest > 0) {
      const cell = node("div", "cell others");
      const last = boxes[shown.length];
      const words = smaller ? `own size and ${formatCount(smaller)} smaller` : "own size and not listed";
      place(cell, last, size);
      cell.title = `${words}: ${formatBytes(rest)}`;
      if (last.width > 60 && last.height > 18) cell.append(node("span", "name", words));
      made.push(cell);
    }
    room.replaceChildren(...made);
    room.setAttribute("aria-label", `${name}: ${heap.title(at)}`);
    readOut(at);
  };
  const show = (row, back) => {
    at = row;
    const rows = [];
    for (let up = row; up >= 0; up = heap.parent[up]) rows.unshift(up);
    crumbs.replaceChildren(...rows.map((one) => {
      const item = node("li");
      const button = node("button", "", heap.title(one));
      button.type = "button";
      if (one === row) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => show(one));
      item.append(button);
      return item;
    }));
    draw();
    say(heap.say(row));
    if (back === undefined) return;
    const cells = [...room.querySelectorAll("button")];
    focus(cells.find((cell) => Number(cell.dataset.row) === back) || cells[0] || crumbs.lastChild.firstChild);
  };
  const focus = (cell) => {
    if (!cell) return;
    for (const old of room.querySelectorAll('button[tabindex="0"]')) old.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus();
  };
  const step = (from, dx, dy) => {
    // The nearest cell whose middle lies in that direction; sideways counts double.
    const middle = (cell) => {
      const box = cell.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = middle(from);
    let best = null;
    let least = Infinity;
    for (const cell of room.querySelectorAll("button")) {
      const [cx, cy] = middle(cell);
      const ahead = (cx - x) * dx + (cy - y) * dy;
      const aside = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
      if (cell !== from && ahead > 1 && ahead + 2 * aside < least) {
        best = cell;
        least = ahead + 2 * aside;
      }
    }
    focus(best);
  };
  room.addEventListener("click", (event) => {
    const cell = event.target.closest("button");
    if (!cell) return;
    const row = Number(cell.dataset.row);
    if (heap.kids[row].length) show(row, -1);
    else say(heap.say(row));
  });
  host.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cell = event.target.closest(".map-room button");
    if (event.key === "Escape" || event.key === "Backspace") {
      if (at === 0) return;
      event.preventDefault();
      show(heap.parent[at], at);
    } else if (cell) {
      const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (!way) return;
      event.preventDefault();
      step(cell, ...way);
    }
  });
  const under = (event) => {
    const cell = event.target.closest(".map-room > button");
    if (cell) readOut(Number(cell.dataset.row));
  };
  room.addEventListener("pointerover", under);
  room.addEventListener("focusin", under);
  room.addEventListener("pointerleave", () => readOut(at));
  host.replaceChildren(path, room, read);
  if (!heap.parent.length) return;
  show(0);
  new ResizeObserver(() => {
    if (Math.abs(room.getBoundingClientRect().width - width) < 1) return;
    const kept = room.contains(document.activeElement) ? Number(document.activeElement.dataset.row) : -1;
    draw();
    if (kept >= 0) focus(room.querySelector(`button[data-row="${kept}"]`));
  }).observe(room);
}

/** Bring the tree and the treemap of a report to life. */
export function startHeap(root) {
  const held = JSON.parse(root.querySelector("#memlab-data").textContent).heap;
  if (!held) return;
  const status = root.querySelector("#status");
  const say = (text) => { status.textContent = text; };
  const heap = readHeap(held);
  for (const host of root.querySelectorAll("[data-heap=tree]")) {
    host.removeAttribute("tabindex");
    mountTree(host, heap, { say, name: host.getAttribute("aria-label") });
  }
  for (const host of root.querySelectorAll("[data-heap=treemap]")) mountTreemap(host, heap, { say });
  root.dataset.heap = "ready";
}

if (document.documentElement.dataset.memlab === "page") startHeap(document.documentElement);

export default {
  /** Draw a notebook's widget from its synced state alone. */
  render({ model, el }) {
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
  },
};
