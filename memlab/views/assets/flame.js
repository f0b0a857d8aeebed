// Stacks as a flame graph or an icicle, and where their bytes were allocated as a treemap: the same code in a report
// and in a notebook's widget. It stands behind units.js and treemap.js in one script and draws from columns (see
// views/flame_data.py). Only frames wide enough to be seen are elements; narrower neighbours are drawn as one.
// Text is only ever set as textContent, places as single style properties: no markup is made from data.

const ROW = 22; // pixels, as in flame.css
const LEAST = 3; // a narrower frame is drawn together with its neighbours
const MOST_DRAWN = 3000;
const MOST_MOVED = 700; // more elements than this change places at once
const TONE_STEPS = [0.01, 0.05, 0.15, 0.4, 0.8];

const WIDTHS = {
  most: { title: "greater of before and after", of: Math.max },
  now: { title: "after", of: (now) => now },
  change: { title: "change", of: (now, was) => Math.abs(now - was) },
};

const signedBytes = (count) => (count > 0 ? `+${formatBytes(count)}` : formatBytes(count));
const signedCount = (count) => (count > 0 ? `+${formatCount(count)}` : formatCount(count));

/** Return the colour of a difference: ``same``, or ``grew`` or ``shrank`` with its strength. */
export function toneOf(now, was) {
  const greater = Math.max(now, was);
  const part = greater > 0 ? Math.abs(now - was) / greater : 0;
  const strength = TONE_STEPS.filter((step) => part >= step).length;
  return strength ? `${now > was ? "grew" : "shrank"}-${strength}` : "same";
}

// -- trees of stacks

/** Read the columns of a flame tree: rows level by level, those of one parent together, greatest first. */
export function readFlame(data) {
  const rows = data.frame.length;
  const differs = data.was !== undefined;
  const column = () => new Float64Array(rows);
  const tree = {
    data, differs, inverted: data.inverted, parent: new Int32Array(rows).fill(-1), first: new Int32Array(rows),
    count: Int32Array.from(data.kids), frame: data.frame, folded: new Map(), repeats: new Map(data.repeats),
    now: Float64Array.from(data.self), was: differs ? Float64Array.from(data.was) : column(),
    blocks: Float64Array.from(data.blocks), wasBlocks: differs ? Float64Array.from(data.wasBlocks) : column(),
    size: () => rows, open: () => {},
  };
  let next = 1;
  for (let row = 0; row < rows; row += 1) {
    tree.first[row] = next;
    for (let i = 0; i < data.kids[row]; i += 1) tree.parent[next + i] = row;
    next += data.kids[row];
  }
  for (const [row, folded, now, blocks, was = 0, wasBlocks = 0] of data.rest) {
    tree.folded.set(row, { folded, now, was });
    tree.now[row] += now;
    tree.was[row] += was;
    tree.blocks[row] += blocks;
    tree.wasBlocks[row] += wasBlocks;
  }
  const sums = [tree.now, tree.was, tree.blocks, tree.wasBlocks];
  for (let row = rows - 1; row > 0; row -= 1) for (const sum of sums) sum[tree.parent[row]] += sum[row];
  return tree;
}

/** Turn a tree round: from its ends back to its beginning. Rows are made when they are looked at. */
export function invertFlame(tree) {
  const { data } = tree;
  const ends = []; // what ends in a row of the tree: [row above which nothing of the stack is known, sums]
  for (let row = 0; row < data.frame.length; row += 1) {
    const own = [data.self[row], tree.differs ? data.was[row] : 0, data.blocks[row], tree.differs ? data.wasBlocks[row] : 0];
    if (row && own.some((value) => value)) ends.push([row, row, own]);
    const rest = tree.folded.get(row);
    if (rest && (rest.now || rest.was)) ends.push([-1, row, [rest.now, rest.was, 0, 0]]);
  }
  const made = {
    data, differs: tree.differs, inverted: !tree.inverted, parent: [-1], first: [0], count: [-1], frame: [-1],
    folded: new Map(), repeats: new Map(), now: [tree.now[0]], was: [tree.was[0]], blocks: [tree.blocks[0]],
    wasBlocks: [tree.wasBlocks[0]], size: () => made.frame.length,
  };
  // By row: the stacks in it, each with the row of the tree that comes next.
  const stacks = [ends.map(([at, row, own]) => ({ frame: at < 0 ? -1 : tree.frame[at], next: at < 0 ? row : tree.parent[row], own, at }))];
  made.open = (row) => {
    if (made.count[row] >= 0) return;
    const groups = new Map();
    for (const one of stacks[row]) {
      if (row && one.next <= 0) continue; // the stack's outermost call: it ends here
      const key = row ? tree.frame[one.next] : one.frame;
      const group = groups.get(key) || { frame: key, sums: [0, 0, 0, 0], times: 1, stacks: [] };
      one.own.forEach((value, i) => { group.sums[i] += value; });
      const here = row ? one.next : one.at;
      group.times = Math.max(group.times, tree.repeats.get(here) || 1);
      group.stacks.push(row ? { ...one, next: tree.parent[one.next] } : one);
      groups.set(key, group);
    }
    const kids = [...groups.values()].sort((a, b) => Math.max(b.sums[0], b.sums[1]) - Math.max(a.sums[0], a.sums[1]) || a.frame - b.frame);
    made.first[row] = made.frame.length;
    made.count[row] = kids.length;
    for (const kid of kids) {
      const at = made.frame.length;
      made.parent.push(row);
      made.first.push(0);
      made.count.push(-1);
      made.frame.push(kid.frame);
      made.now.push(kid.sums[0]);
      made.was.push(kid.sums[1]);
      made.blocks.push(kid.sums[2]);
      made.wasBlocks.push(kid.sums[3]);
      if (kid.times > 1) made.repeats.set(at, kid.times);
      stacks[at] = kid.stacks;
    }
    stacks[row] = null;
  };
  return made;
}

/** Say what frames are called: ``name`` where there is little room, ``where`` beside it, ``label`` in full. */
export function readFrames(data) {
  const known = [];
  return (frame, inverted) => {
    if (frame < 0) return inverted ? FOLDED : ALL;
    if (known[frame]) return known[frame];
    const path = data.files[data.file[frame]];
    const line = data.line[frame] ? `:${data.line[frame]}` : "";
    const called = data.functions[data.function[frame]];
    const cut = path.lastIndexOf("/");
    const spot = (path.slice(cut + 1) || path) + line;
    const label = path + line + (called ? ` in ${called}` : "");
    known[frame] = called ? { name: called, where: spot, label } : { name: spot, where: cut > 0 ? path.slice(0, cut) : "", label };
    return known[frame];
  };
}

const ALL = { name: "all stacks", where: "", label: "all stacks" };
const FOLDED = { name: "folded frames", where: "too small to be listed", label: "folded frames" };

/** Make the test of a search: text anywhere in a frame's label, or a regular expression between slashes. */
export function wantedFrames(wanted, data, named) {
  let test = null;
  const between = /^\/(.*)\/$/.exec(wanted);
  if (between) {
    try {
      const pattern = new RegExp(between[1], "i");
      test = (label) => pattern.test(label);
    } catch {
      return { error: "not a regular expression" };
    }
  } else {
    const lower = wanted.toLowerCase();
    test = (label) => label.toLowerCase().includes(lower);
  }
  const hits = new Uint8Array(data.file.length);
  for (let frame = 0; frame < hits.length; frame += 1) hits[frame] = test(named(frame).label) ? 1 : 0;
  return { hits };
}

/** Sum what the frames found stand for, each stack once, however often it passes through one of them. */
export function sumHits(tree, hits) {
  const under = new Uint8Array(tree.data.frame.length);
  const sum = { frames: 0, now: 0, was: 0 };
  for (let row = 1; row < under.length; row += 1) {
    const above = under[tree.parent[row]];
    const hit = hits[tree.frame[row]];
    if (hit && !above) {
      sum.now += tree.now[row];
      sum.was += tree.was[row];
    }
    under[row] = hit || above;
  }
  for (const hit of hits) sum.frames += hit;
  return sum;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A sandboxed frame has no clipboard; the old way still works from a click.
    const area = node("textarea", "unseen");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// -- the picture

/**
 * Choose what is drawn below a row: frames with their places from 0 to 1, and strips of narrow ones.
 *
 * A part is as wide as its bytes times the scale of the row above. Where parts need more room than there is, since some
 * grew and others shrank, all of them are drawn narrower: widths compare siblings (see views/flame_data.py).
 */
export function layFlame(tree, zoom, mode, pixels, most = MOST_DRAWN) {
  const of = (now, was) => WIDTHS[mode].of(now, was);
  const path = [];
  for (let up = zoom; up >= 0; up = tree.parent[up]) path.unshift(up);
  for (let least = LEAST; ; least *= 2) {
    const drawn = path.map((row, level) => ({ row, x: 0, wide: 1, level, above: row !== zoom }));
    const pending = [{ row: zoom, x: 0, wide: 1, level: path.length - 1, scale: Infinity }];
    let levels = path.length;
    while (pending.length) {
      const { row, x, wide: room, level, scale: above } = pending.pop();
      tree.open(row);
      const stop = tree.first[row] + tree.count[row];
      const rest = tree.folded.get(row) || { now: 0, was: 0 };
      let ownNow = tree.now[row] - rest.now;
      let ownWas = tree.was[row] - rest.was;
      let needed = of(rest.now, rest.was);
      for (let kid = tree.first[row]; kid < stop; kid += 1) {
        ownNow -= tree.now[kid];
        ownWas -= tree.was[kid];
        needed += of(tree.now[kid], tree.was[kid]);
      }
      needed += of(ownNow, ownWas);
      const scale = needed > 0 ? Math.min(above, room / needed) : 0;
      const kids = [];
      let at = x;
      let strip = null;
      for (let kid = tree.first[row]; kid < stop; kid += 1) {
        const wide = of(tree.now[kid], tree.was[kid]) * scale;
        if (wide * pixels >= least) {
          kids.push({ row: kid, x: at, wide, level: level + 1, scale });
          strip = null;
        } else if (wide > 0) {
          if (!strip) {
            strip = { row: -1, x: at, wide: 0, level: level + 1, strip: [] };
            drawn.push(strip);
          }
          strip.wide += wide;
          strip.strip.push(kid);
        }
        at += wide;
      }
      const wide = of(rest.now, rest.was) * scale;
      if (wide * pixels >= LEAST) drawn.push({ row: -1, x: at, wide, level: level + 1, folded: rest });
      if (kids.length || wide > 0) levels = Math.max(levels, level + 2);
      drawn.push(...kids);
      pending.push(...kids.reverse());
    }
    if (drawn.length <= most) return { drawn: drawn.filter((one) => one.row >= 0 || one.wide * pixels >= 1), levels };
  }
}

/** Put a flame graph into a box: it zooms by click and keys, searches, turns upside down and round. */
export function mountFlame(host, data, { say = () => {}, name = "Flame graph" } = {}) {
  const upright = readFlame(data);
  const named = readFrames(data);
  const sources = new Map(data.sources);
  const trees = { [upright.inverted]: upright };
  const state = { tree: upright, mode: data.mode, zoom: 0, at: 0, bottom: false, hits: null };
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const room = node("div", "flame-room");
  const read = node("p", "readout");
  const tip = node("div", "flame-tip");
  const bar = node("div", "flame-bar");
  const found = node("output", "flame-found");
  const box = node("input");
  const allFolded = [...upright.folded.values()].reduce((sum, one) => sum + one.folded, 0);
  let elements = new Map();
  let placed = [];

  const nameOf = (row) => named(state.tree.frame[row], row > 0 && state.tree.frame[row] < 0);
  const figures = (row) => {
    const { now, was, blocks, wasBlocks, differs } = state.tree;
    const parts = differs
      ? [`${formatBytes(now[row])} now`, `${formatBytes(was[row])} before`, changeOf(now[row], was[row])]
      : [`${formatBytes(now[row])} (${formatShare(now[row], now[0])})`];
    const many = `${formatCount(blocks[row])} ${blocks[row] === 1 ? "block" : "blocks"}`;
    parts.push(differs ? `${many} (${signedCount(blocks[row] - wasBlocks[row])})` : many);
    const times = state.tree.repeats.get(row);
    if (times) parts.push(`recurs up to ${formatCount(times)} times, merged`);
    const folded = row ? state.tree.folded.get(row)?.folded : allFolded;
    if (folded) parts.push(`${formatCount(folded)} smaller ${folded === 1 ? "frame is" : "frames are"} folded`);
    return parts;
  };
  const changeOf = (now, was) => {
    if (now === was) return "as before";
    const percent = Math.round(((now - was) / was) * 100);
    return signedBytes(now - was) + (was > 0 ? (percent ? ` (${signedCount(percent)} %)` : "") : ", new");
  };
  const codeOf = (row) => {
    const text = sources.get(state.tree.frame[row]);
    return text ? [node("code", "", text)] : [];
  };
  const words = (row) => [nameOf(row).label, ...figures(row)].join(", ");
  const paint = (row) => {
    const frame = state.tree.frame[row];
    if (state.tree.differs) return toneOf(state.tree.now[row], state.tree.was[row]);
    return frame < 0 ? "hue-0" : `hue-${data.hue[data.file[frame]]}`;
  };
  const readOut = (row) => { read.textContent = words(row); };

  const frameElement = (row) => {
    const made = node("div", "frame");
    made.setAttribute("role", "treeitem");
    made.dataset.row = row;
    made.append(node("span", "name"), node("span", "where"), node("span", "size"));
    return made;
  };
  const dress = (made, item, pixels) => {
    const { row } = item;
    const { tree } = state;
    const title = nameOf(row);
    const size = tree.differs ? signedBytes(tree.now[row] - tree.was[row]) : formatBytes(tree.now[row]);
    const wide = item.wide * pixels;
    const hit = state.hits && tree.frame[row] >= 0 && state.hits[tree.frame[row]];
    made.className = `frame ${paint(row)}${item.above ? " above" : ""}${state.hits ? (hit ? " hit" : " miss") : ""}`;
    const [first, second, third] = made.children;
    first.textContent = wide > 24 ? title.name + (tree.repeats.get(row) ? ` ×${tree.repeats.get(row)}` : "") : "";
    second.textContent = wide > 180 ? title.where : "";
    third.textContent = wide > 110 ? size : "";
    made.setAttribute("aria-label", `${title.label}, ${size}`);
    made.setAttribute("aria-level", item.level + 1);
    const above = tree.parent[row];
    made.setAttribute("aria-posinset", above < 0 ? 1 : row - tree.first[above] + 1);
    made.setAttribute("aria-setsize", above < 0 ? 1 : tree.count[above]);
    made.setAttribute("aria-selected", String(row === state.zoom));
    made.tabIndex = row === state.at ? 0 : -1;
  };
  const put = (made, item) => {
    made.style.left = `${item.x * 100}%`;
    made.style.width = `${item.wide * 100}%`;
    made.style[state.bottom ? "bottom" : "top"] = `${item.level * ROW}px`;
    made.style[state.bottom ? "top" : "bottom"] = "";
  };
  const stripElement = (item) => {
    const hit = state.hits && item.strip && item.strip.some((row) => state.tree.frame[row] >= 0 && state.hits[state.tree.frame[row]]);
    const made = node("div", `strip${item.folded ? " folded" : ""}${hit ? " hit" : ""}`);
    made.setAttribute("aria-hidden", "true");
    made.title = item.folded
      ? `${formatCount(item.folded.folded)} smaller frames, folded: ${state.tree.differs ? changeOf(item.folded.now, item.folded.was) : formatBytes(item.folded.now)}`
      : `${formatCount(item.strip.length)} narrow ${item.strip.length === 1 ? "frame" : "frames"}`;
    put(made, item);
    return made;
  };
  const draw = (moving = false) => {
    const pixels = room.getBoundingClientRect().width || 900;
    const { drawn, levels } = layFlame(state.tree, state.zoom, state.mode, pixels);
    if (!drawn.some((item) => item.row === state.at)) state.at = state.zoom;
    const before = moving && !still.matches && drawn.length <= MOST_MOVED ? new Map([...elements].map(([row, made]) => [row, [made.style.left, made.style.width]])) : null;
    const next = new Map();
    placed = drawn;
    room.replaceChildren(...drawn.map((item) => {
      if (item.row < 0) return stripElement(item);
      const made = elements.get(item.row) || frameElement(item.row);
      dress(made, item, pixels);
      put(made, item);
      next.set(item.row, made);
      return made;
    }));
    elements = next;
    room.style.height = `${levels * ROW}px`;
    room.dataset.frames = next.size;
    readOut(state.zoom);
    if (!before) return;
    for (const [row, made] of next) {
      const [left, width] = before.get(row) || [];
      if (left !== undefined && (left !== made.style.left || width !== made.style.width)) {
        made.animate([{ left, width }, { left: made.style.left, width: made.style.width }], { duration: 180, easing: "ease-out" });
      }
    }
  };
  const focus = (row) => {
    const made = elements.get(row);
    if (!made) return;
    elements.get(state.at)?.setAttribute("tabindex", -1);
    state.at = row;
    made.tabIndex = 0;
    made.focus({ preventScroll: true });
    made.scrollIntoView({ block: "nearest", inline: "nearest" });
    made.setAttribute("aria-label", words(row));
    readOut(row);
  };
  const zoomTo = (row, keep = true) => {
    const inside = room.contains(document.activeElement);
    state.zoom = row;
    state.at = row;
    draw(true);
    tip.hidden = true;
    out.disabled = row === 0;
    say(`${row ? "Zoomed to" : "Showing"} ${words(row)}`);
    if (keep && inside) focus(row);
  };

  // Tools above the picture.
  const button = (text, act, cls = "") => {
    const made = node("button", cls, text);
    made.type = "button";
    made.addEventListener("click", () => act(made));
    return made;
  };
  const toggle = (text, act) => {
    const made = button(text, () => {
      const on = made.getAttribute("aria-pressed") !== "true";
      made.setAttribute("aria-pressed", on);
      act(on);
    });
    made.setAttribute("aria-pressed", "false");
    return made;
  };
  const search = () => {
    const wanted = box.value.trim();
    box.removeAttribute("aria-invalid");
    state.hits = null;
    found.textContent = "";
    if (wanted) {
      const answer = wantedFrames(wanted, data, named);
      if (answer.error) {
        box.setAttribute("aria-invalid", "true");
        found.textContent = answer.error;
      } else {
        const sum = sumHits(upright, answer.hits);
        state.hits = answer.hits;
        found.textContent = [
          `${formatCount(sum.frames)} ${sum.frames === 1 ? "frame" : "frames"}`,
          `${formatBytes(sum.now)} (${formatShare(sum.now, upright.now[0])})`,
          ...(upright.differs ? [changeOf(sum.now, sum.was)] : []),
        ].join(", ");
      }
      say(found.textContent);
    }
    draw();
  };
  const sizeOf = (row) => WIDTHS[state.mode].of(state.tree.now[row], state.tree.was[row]);
  const widest = () => {
    let best = -1;
    for (const { row } of placed) {
      if (row > 0 && state.hits && state.tree.frame[row] >= 0 && state.hits[state.tree.frame[row]] && (best < 0 || sizeOf(row) > sizeOf(best))) best = row;
    }
    return best;
  };
  const out = button("Zoom out", () => zoomTo(0));
  const turn = toggle(upright.inverted ? "Callers first" : "Allocating line first", () => {
    const way = !state.tree.inverted;
    trees[way] ??= invertFlame(state.tree);
    state.tree = trees[way];
    elements = new Map();
    state.zoom = 0;
    state.at = 0;
    out.disabled = true;
    draw();
    say(way ? "From the allocating line to its callers" : "From the outermost call to the allocating line");
  });
  const upside = toggle("Root at the bottom", (on) => {
    state.bottom = on;
    draw();
  });
  const path = button("Copy path", async (made) => {
    const rows = [];
    for (let up = state.at; up > 0; up = state.tree.parent[up]) rows.unshift(nameOf(up).label);
    const done = await copyText(rows.join("\n") || ALL.label);
    made.focus();
    say(done ? `Copied ${formatCount(rows.length)} ${rows.length === 1 ? "frame" : "frames"}` : "Could not copy");
    made.textContent = done ? "Copied" : "Failed";
    setTimeout(() => { made.textContent = "Copy path"; }, 1500);
  });
  box.type = "search";
  box.placeholder = "text or /regex/";
  box.addEventListener("input", search);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || widest() < 0) return;
    event.preventDefault();
    focus(widest());
  });
  found.setAttribute("aria-live", "off"); // the status line says it
  const label = node("label", "", "Find ");
  label.append(box);
  bar.append(label, found);
  if (upright.differs) {
    const width = node("label", "", "Width ");
    const choice = node("select");
    for (const [mode, { title }] of Object.entries(WIDTHS)) {
      const option = node("option", "", title);
      option.value = mode;
      option.selected = mode === state.mode;
      choice.append(option);
    }
    choice.addEventListener("change", () => {
      state.mode = choice.value;
      draw(true);
      say(`Widths are now: ${WIDTHS[state.mode].title}`);
    });
    width.append(choice);
    bar.append(width);
  }
  const buttons = node("span", "flame-buttons");
  out.disabled = true;
  buttons.append(turn, upside, path, out);
  bar.append(buttons);

  // Pointer and keys.
  const rowOf = (event) => {
    const made = event.target.closest(".frame");
    return made ? Number(made.dataset.row) : -1;
  };
  room.addEventListener("click", (event) => {
    const row = rowOf(event);
    if (row < 0) return;
    zoomTo(row, false);
    focus(row);
  });
  room.addEventListener("pointermove", (event) => {
    const row = rowOf(event);
    tip.hidden = row < 0 || event.pointerType === "touch";
    if (row < 0) return;
    readOut(row);
    tip.replaceChildren(node("strong", "", nameOf(row).label), ...codeOf(row), ...figures(row).map((text) => node("span", "", text)));
    const frame = host.getBoundingClientRect();
    const left = Math.min(event.clientX - frame.left + 14, frame.width - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${event.clientY - frame.top + 18}px`;
  });
  room.addEventListener("pointerleave", () => {
    tip.hidden = true;
    readOut(room.contains(document.activeElement) ? state.at : state.zoom);
  });
  room.addEventListener("focusin", (event) => {
    const row = rowOf(event);
    if (row >= 0) readOut(row);
  });
  const beside = (row, step) => {
    const item = placed.find((one) => one.row === row);
    const level = placed.filter((one) => one.row >= 0 && one.level === item.level).sort((a, b) => a.x - b.x);
    return level[level.indexOf(item) + step];
  };
  room.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !placed.length) return;
    const { tree, at } = state;
    const outwards = () => { if (tree.parent[at] >= 0) focus(tree.parent[at]); };
    const inwards = () => {
      const kid = placed.find((one) => one.row > 0 && tree.parent[one.row] === at);
      if (kid) focus(kid.row);
    };
    const go = {
      ArrowDown: state.bottom ? outwards : inwards,
      ArrowUp: state.bottom ? inwards : outwards,
      ArrowRight: () => focus(beside(at, 1)?.row),
      ArrowLeft: () => focus(beside(at, -1)?.row),
      Home: () => focus(0),
      Enter: () => zoomTo(at),
      " ": () => zoomTo(at),
      Escape: () => { if (state.zoom) zoomTo(tree.parent[state.zoom]); },
      Backspace: () => { if (state.zoom) zoomTo(tree.parent[state.zoom]); },
      "/": () => box.focus(),
      c: () => path.click(),
    }[event.key];
    if (!go) return;
    event.preventDefault();
    go();
  });

  room.setAttribute("role", "tree");
  room.setAttribute("aria-label", name);
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  host.classList.add("flame");
  host.replaceChildren(bar, room, read, tip);
  draw();
  let wide = room.getBoundingClientRect().width;
  new ResizeObserver(() => {
    const now = room.getBoundingClientRect().width;
    if (Math.abs(now - wide) < 1) return;
    wide = now;
    const inside = room.contains(document.activeElement);
    draw();
    if (inside) focus(state.at);
  }).observe(room);
  return {
    /** Show a frame by what it is called in full: search for it and go to its widest row. */
    show: (text) => {
      box.value = text;
      zoomTo(0, false);
      search();
      host.scrollIntoView({ block: "start" });
      if (widest() >= 0) focus(widest());
      else box.focus();
    },
    places: new Set(data.file.map((file, frame) => data.files[file] + (data.line[frame] ? `:${data.line[frame]}` : ""))),
  };
}

// -- places

const GROUPS = {
  package: { title: "packages, files, lines" },
  file: { title: "files, lines" },
  line: { title: "lines" },
};

function stepsOf(data, file, line, group) {
  const path = data.files[file];
  const parts = path.split("/").filter((part) => part);
  const spot = (inside) => (line ? [`${inside}:${line}`] : ["other lines"]);
  if (group === "line") return spot(path);
  if (group === "file") return [path, ...spot(parts.at(-1) ?? path)];
  const whose = data.packages[data.package[file]];
  const inside = parts.length > 1 && parts[0] === whose ? parts.slice(1) : parts;
  return [whose, ...inside.slice(0, -1).map((part) => `${part}/`), ...inside.slice(-1), ...spot(inside.at(-1) ?? path)];
}

/** Make the tree of places: what each line allocated itself, summed by file, folder and package. */
export function placesOf(data, mode, group) {
  const differs = data.was !== undefined;
  const root = { title: "everything", now: 0, was: 0, blocks: 0, size: 0, hue: 0, kids: new Map() };
  const add = (steps, hue, now, was, blocks) => {
    let here = root;
    const size = WIDTHS[mode].of(now, was);
    for (const step of [null, ...steps]) {
      if (step !== null) {
        if (!here.kids.has(step)) here.kids.set(step, { title: step, now: 0, was: 0, blocks: 0, size: 0, hue, kids: new Map() });
        here = here.kids.get(step);
      }
      here.now += now;
      here.was += was;
      here.blocks += blocks;
      here.size += size;
    }
  };
  data.file.forEach((file, frame) => {
    const was = differs ? data.sumWas[frame] : 0;
    if (!data.sum[frame] && !was) return;
    add(stepsOf(data, file, data.line[frame], group), data.hue[file], data.sum[frame], was, data.sumBlocks[frame]);
  });
  for (const [file, now, blocks, was = 0] of data.other) add(stepsOf(data, file, 0, group), data.hue[file], now, was, blocks);
  const tree = { parent: [], kids: [], size: [], places: [] };
  const list = (place, parent) => {
    const row = tree.places.length;
    let one = place;
    let before = ""; // what the title has in front of its last step
    let last = place.title;
    while (one.kids.size === 1 && row) { // a step that holds one step alone shows no choice
      [one] = one.kids.values();
      if (!one.title.startsWith(last)) before += last.endsWith("/") ? last : `${last}/`;
      last = one.title;
    }
    one = { ...one, title: before + last };
    tree.places.push(one);
    tree.parent.push(parent);
    tree.size.push(one.size);
    tree.kids.push([]);
    const kids = [...one.kids.values()].filter((kid) => kid.size > 0);
    kids.sort((a, b) => b.size - a.size || (a.title < b.title ? -1 : 1));
    for (const kid of kids) tree.kids[row].push(list(kid, row));
    return row;
  };
  list(root, -1);
  const whole = root.size;
  tree.title = (row) => tree.places[row].title;
  tree.amount = (row) => (differs ? signedBytes(tree.places[row].now - tree.places[row].was) : formatBytes(tree.places[row].now));
  tree.others = (smaller) => `${formatCount(smaller)} smaller`;
  tree.paint = (row) => (differs ? toneOf(tree.places[row].now, tree.places[row].was) : `hue-${tree.places[row].hue}`);
  tree.say = (row) => {
    const { title, now, was, blocks } = tree.places[row];
    const change = differs ? [`${formatBytes(was)} before`, now === was ? "as before" : signedBytes(now - was)] : [];
    return [title, `${formatBytes(now)}${differs ? " now" : ""}`, ...change, `${formatCount(blocks)} blocks`, formatShare(tree.size[row], whole)].join(", ");
  };
  return tree;
}

/** Put the treemap of places into a box, with the choice of what its areas are and how they are grouped. */
export function mountPlaces(host, data, { say = () => {}, name = "Treemap of places" } = {}) {
  const state = { mode: data.mode === "change" ? "most" : data.mode, group: "package" };
  const bar = node("div", "flame-bar");
  const map = node("div");
  const draw = () => mountTreemap(map, placesOf(data, state.mode, state.group), { say, name });
  const choose = (title, key, all) => {
    const label = node("label", "", `${title} `);
    const choice = node("select");
    for (const [value, one] of Object.entries(all)) {
      const option = node("option", "", one.title);
      option.value = value;
      choice.append(option);
    }
    choice.addEventListener("change", () => {
      state[key] = choice.value;
      draw();
    });
    label.append(choice);
    bar.append(label);
  };
  choose("Group by", "group", GROUPS);
  if (data.was !== undefined) choose("Area", "mode", WIDTHS);
  host.replaceChildren(bar, map);
  draw();
}

/** Bring the stacks of a report to life; places in tables get a button that shows them in the graph. */
export function startFlame(root) {
  const status = root.querySelector("#status");
  const say = (text) => { status.textContent = text; };
  for (const [part, data] of scopes(root)) {
    if (!data.flame) continue;
    for (const host of part.querySelectorAll("[data-flame=treemap]")) mountPlaces(host, data.flame, { say });
    for (const host of part.querySelectorAll("[data-flame=graph]")) {
      addWays(part, mountFlame(host, data.flame, { say }));
    }
    root.dataset.flame = "ready";
  }
}

function addWays(part, graph) {
  for (const place of part.querySelectorAll("td [data-copy]")) {
    const text = place.dataset.copy;
    if (!graph.places.has(text)) continue;
    const made = node("button", "copy", "in graph");
    made.type = "button";
    made.setAttribute("aria-label", `Show ${text} in the flame graph`);
    made.addEventListener("click", () => graph.show(text));
    place.parentElement.append(made);
  }
}

if (document.documentElement.dataset.memlab === "page") startFlame(document.documentElement);

/** Draw a notebook's widget from its synced state alone. */
export function renderFlame({ model, el }) {
  const status = node("p", "unseen");
  const graph = node("div");
  const map = node("div", "treemap");
  const legend = node("ul", "hues");
  const say = (text) => { status.textContent = text; };
  const draw = () => {
    const data = model.get("flame");
    legend.replaceChildren(...model.get("legend").map(([cls, text]) => node("li", cls, text)));
    mountFlame(graph, data, { say });
    mountPlaces(map, data, { say });
  };
  status.setAttribute("role", "status");
  el.classList.add("memlab-heap", "memlab-flame");
  el.replaceChildren(node("p", "heading", model.get("heading")), graph, legend, map, status);
  draw();
  model.on("change:flame", draw);
  return () => model.off("change:flame", draw);
}
