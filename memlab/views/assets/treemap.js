// Squarified treemaps of any tree, which go down and up by click and keys: for a heap (heap.js) as for stacks
// (flame.js). It stands behind units.js in one script.
// Text is only ever set as textContent, places as single style properties: no markup is made from data.

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

// -- the treemap

/** Choose the cells of a row's map: its greatest children, then everything else in one. */
export function cellsOf(tree, row, most) {
  const kids = tree.kids[row].filter((kid) => tree.size[kid] > 0);
  const shown = kids.slice(0, kids.length > most ? most - 1 : most);
  const sum = shown.reduce((all, kid) => all + tree.size[kid], 0);
  return { shown, rest: Math.max(0, tree.size[row] - sum), smaller: kids.length - shown.length };
}

const place = (made, box, room) => {
  made.style.left = `${(box.x / room.width) * 100}%`;
  made.style.top = `${(box.y / room.height) * 100}%`;
  made.style.width = `${(box.width / room.width) * 100}%`;
  made.style.height = `${(box.height / room.height) * 100}%`;
};

function innerCells(tree, row, box) {
  const room = { x: 0, y: 0, width: box.width - 8, height: box.height - 26 };
  const made = node("span", "inner");
  made.setAttribute("aria-hidden", "true");
  const { shown, rest } = cellsOf(tree, row, MOST_INNER);
  const boxes = squarify([...shown.map((kid) => tree.size[kid]), rest], room);
  shown.forEach((kid, i) => {
    if (boxes[i].width < 3 || boxes[i].height < 3) return;
    const cell = node("span", `cell ${tree.paint(kid)}`);
    place(cell, boxes[i], room);
    if (boxes[i].width > 44 && boxes[i].height > 18) cell.append(node("span", "name", tree.title(kid)));
    made.append(cell);
  });
  return made;
}

/**
 * Put a treemap into a box: a click or Enter goes down, Escape, Backspace or the path above go up.
 *
 * The tree has, by row: ``parent``, ``kids`` (greatest first) and ``size``; as functions of a row: ``title``, ``say``
 * (all its words), ``amount`` (the figure beside the title) and ``paint`` (a class); ``others`` names what is left over.
 */
export function mountTreemap(host, tree, { say = () => {}, name = "Treemap of retained size" } = {}) {
  const crumbs = node("ol");
  const path = node("nav", "crumbs");
  const room = node("div", "map-room");
  const read = node("p", "readout");
  path.setAttribute("aria-label", "Path in the treemap");
  path.append(crumbs);
  room.setAttribute("role", "group");
  let at = 0;
  let width = 0;

  const readOut = (row) => { read.textContent = tree.say(row); };
  const draw = () => {
    const box = room.getBoundingClientRect();
    const size = { x: 0, y: 0, width: box.width || 800, height: box.height || 420 };
    width = box.width;
    const { shown, rest, smaller } = cellsOf(tree, at, MOST_CELLS);
    const boxes = squarify([...shown.map((kid) => tree.size[kid]), rest], size);
    const made = shown.map((kid, i) => {
      const cell = node("button", `cell ${tree.paint(kid)}`);
      const leaf = !tree.kids[kid].length;
      cell.type = "button";
      cell.tabIndex = i ? -1 : 0;
      cell.dataset.row = kid;
      if (leaf) cell.classList.add("leaf");
      cell.setAttribute("aria-label", `${tree.say(kid)}${leaf ? "" : ": open"}`);
      place(cell, boxes[i], size);
      if (boxes[i].width > 36 && boxes[i].height > 18) {
        const title = node("span", "title");
        title.append(node("span", "name", tree.title(kid)));
        if (boxes[i].width > 120) title.append(node("span", "size", tree.amount(kid)));
        cell.append(title);
      }
      if (!leaf && boxes[i].width > 60 && boxes[i].height > 60) cell.append(innerCells(tree, kid, boxes[i]));
      return cell;
    });
    if (rest > 0) {
      const cell = node("div", "cell others");
      const last = boxes[shown.length];
      const words = tree.others(smaller);
      place(cell, last, size);
      cell.title = `${words}: ${formatBytes(rest)}`;
      if (last.width > 60 && last.height > 18) cell.append(node("span", "name", words));
      made.push(cell);
    }
    room.replaceChildren(...made);
    room.setAttribute("aria-label", `${name}: ${tree.title(at)}`);
    readOut(at);
  };
  const show = (row, back) => {
    at = row;
    const rows = [];
    for (let up = row; up >= 0; up = tree.parent[up]) rows.unshift(up);
    crumbs.replaceChildren(...rows.map((one) => {
      const item = node("li");
      const button = node("button", "", tree.title(one));
      button.type = "button";
      if (one === row) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => show(one));
      item.append(button);
      return item;
    }));
    draw();
    say(tree.say(row));
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
    if (tree.kids[row].length) show(row, -1);
    else say(tree.say(row));
  });
  host.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cell = event.target.closest(".map-room button");
    if (event.key === "Escape" || event.key === "Backspace") {
      if (at === 0) return;
      event.preventDefault();
      show(tree.parent[at], at);
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
  if (!tree.parent.length) return null;
  show(0);
  new ResizeObserver(() => {
    if (Math.abs(room.getBoundingClientRect().width - width) < 1) return;
    const kept = room.contains(document.activeElement) ? Number(document.activeElement.dataset.row) : -1;
    draw();
    if (kept >= 0) focus(room.querySelector(`button[data-row="${kept}"]`));
  }).observe(room);
  return { draw };
}
