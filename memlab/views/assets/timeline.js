// A timeline that is read point by point, zoomed, moved and followed: one drawing for the report and for the
// live widget. It draws from columns (views/timeline_data.py says which) that are thinned to the pixels there
// are with every column's least and greatest value kept, so that no peak is lost at any zoom. It stands behind
// units.js in one script. Text is only ever set as textContent, places as attributes of shapes and as single
// style properties: no markup is made from data.

const SIDE = { left: 66, right: 16 };
const PLOT = 220;
const PANEL = 66;
const LANE = 18;
const MOST_LANES = 4;
const PAUSES = 24;
const AXIS = 26;
const OVERVIEW = 36;
const LETTER = 6.3; // about the width of a small letter: enough to know which labels have room
const DRAGGED = 5; // pixels after which a press is no click
const LEAST_WINDOW_S = 1e-5;
const BYTE_UNITS = ["B", ...UNITS];
let clips = 0;

const shape = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

// -- numbers

/** Write a value of a series: a size, or a count. */
export const formatAmount = (unit, value) => (unit === "bytes" ? formatBytes(value) : formatCount(value));

/** Write a moment as a person reads it, to the millisecond. */
export function formatMoment(seconds) {
  if (seconds < 60) return `${seconds.toFixed(3)} s`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = (seconds % 60).toFixed(2);
  return `${hours ? `${hours} h ` : ""}${minutes} min ${rest} s`;
}

/** Write a short duration. */
export function formatPause(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 0.001 ? `${(seconds * 1000).toFixed(1)} ms` : `${Math.round(seconds * 1e6)} µs`;
}

/** Return evenly spaced round values that enclose low to high (views/geometry.py does the same). */
export function roundTicks(low, high, sizes, about = 4, whole = true) {
  let span = high - low;
  if (!(span > 0)) {
    const room = Math.max(Math.abs(low) * 0.05, 1);
    low -= room;
    high += room;
    span = 2 * room;
  }
  const rough = span / about;
  let step;
  if (sizes) step = 2 ** Math.max(0, Math.ceil(Math.log2(rough)));
  else {
    const base = 10 ** Math.floor(Math.log10(rough));
    step = base * [1, 2, 5, 10].find((factor) => factor * base >= rough * 0.999);
    if (whole) step = Math.max(step, 1);
  }
  const ticks = [];
  const last = Math.ceil(high / step);
  for (let n = Math.floor(low / step); n <= last; n += 1) ticks.push(n * step);
  return ticks;
}

/** Write a tick in the unit of the distance between ticks. */
export function tickLabel(value, step, sizes) {
  let unit = "";
  if (sizes) {
    const power = step >= 1 ? Math.min(Math.floor(Math.log2(step) / 10), BYTE_UNITS.length - 1) : 0;
    value /= 1024 ** power;
    step /= 1024 ** power;
    unit = ` ${BYTE_UNITS[power]}`;
  }
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step));
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) + unit;
}

/** Return the moments that an axis names, with their texts: seconds, or minutes and hours of a long one. */
export function timeTicks(from, to, about) {
  const rough = (to - from) / about;
  let step;
  if (rough <= 20) {
    const base = 10 ** Math.floor(Math.log10(rough));
    step = base * [1, 2, 5, 10].find((factor) => factor * base >= rough * 0.999);
  } else step = [30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400].find((one) => one >= rough) || 86400 * Math.ceil(rough / 86400);
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9);
  const clock = to >= 120 && step >= 1;
  const two = (number) => String(number).padStart(2, "0");
  const text = (at) => {
    if (!clock) return `${at.toFixed(digits)} s`;
    const whole = Math.round(at);
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
    return h || to >= 3600 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const ticks = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to * (1 + 1e-12); n += 1) ticks.push({ at: n * step, text: text(n * step) });
  return ticks;
}

/** Return the index of the first number of a rising list that is not below a value. */
export function firstFrom(xs, value) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Return the index of the reading nearest to a moment; -1 where there is none. */
export function closest(xs, value) {
  const at = firstFrom(xs, value);
  if (at === 0) return xs.length ? 0 : -1;
  return at === xs.length || value - xs[at - 1] <= xs[at] - value ? at - 1 : at;
}

/** Return the indices of readings that draw a stretch: per column its first, least, greatest and last one. */
export function thin(t, v, from, to, columns) {
  const low = Math.max(0, firstFrom(t, from) - 1);
  const high = Math.min(t.length, firstFrom(t, to) + 2);
  const kept = [];
  if (high - low <= 4 * columns) {
    for (let i = low; i < high; i += 1) kept.push(i);
    return kept;
  }
  const width = (to - from) / columns;
  for (let i = low; i < high;) {
    const column = Math.floor((t[i] - from) / width);
    let least = i;
    let most = i;
    let last = i;
    for (let j = i + 1; j < high && Math.floor((t[j] - from) / width) === column; j += 1) {
      if (v[j] < v[least]) least = j;
      if (v[j] > v[most]) most = j;
      last = j;
    }
    for (const one of [...new Set([i, least, most, last])].sort((a, b) => a - b)) kept.push(one);
    i = last + 1;
  }
  return kept;
}

// -- the data

const undo = (steps, turn) => {
  const made = new Float64Array(steps.length);
  let sum = 0;
  for (let i = 0; i < steps.length; i += 1) {
    sum += steps[i];
    made[i] = turn(sum);
  }
  return made;
};

/** Undo the packing of views/timeline_data.py: differences of whole numbers become columns of values. */
export function readTimeline(data) {
  const seconds = (units) => units / data.per_second;
  return {
    ...data,
    series: data.series.map((one) => ({
      ...one, t: undo(one.t, seconds), v: undo(one.v, (units) => one.base + units * one.step),
    })),
    pauses: { ...data.pauses, t: undo(data.pauses.t, seconds) },
  };
}

// -- the drawing

const levelsOf = (model) => Math.min(MOST_LANES, model.spans.reduce((most, span) => Math.max(most, span.level + 1), 0));

function layOut(model, chosen) {
  const lanes = levelsOf(model);
  const top = 18 + lanes * LANE + (lanes ? 4 : 0);
  let y = top + PLOT;
  const panels = chosen.filter((one) => one.unit !== "bytes").map((one) => {
    const panel = { one, top: y + 22, bottom: y + 22 + PANEL };
    y = panel.bottom;
    return panel;
  });
  const pauses = model.pauses.t.length ? { top: y + 8, bottom: y + 8 + PAUSES } : null;
  if (pauses) y = pauses.bottom;
  const axis = y;
  const over = { top: axis + AXIS + 6, bottom: axis + AXIS + 6 + OVERVIEW };
  return { lanes, top, bottom: top + PLOT, panels, pauses, axis, over, height: over.bottom + 2 };
}

const fits = (text, width) => {
  const letters = Math.floor(width / LETTER);
  if (letters < 2) return "";
  return text.length <= letters ? text : `${text.slice(0, letters - 1)}…`;
};

function pathOf(one, indices, x, y) {
  let d = "";
  for (const i of indices) d += `${d ? "L" : "M"}${x(one.t[i]).toFixed(1)} ${y(one.v[i]).toFixed(1)}`;
  return d;
}

function scaleOf(low, high, bottom, top) {
  const span = high - low || 1;
  return (value) => bottom + ((value - low) / span) * (top - bottom);
}

function boundsOf(drawn, levels) {
  let low = Infinity;
  let high = -Infinity;
  for (const { one, indices } of drawn) {
    for (const i of indices) {
      low = Math.min(low, one.v[i]);
      high = Math.max(high, one.v[i]);
    }
  }
  for (const level of levels) high = Math.max(high, level);
  if (!(low <= high)) return [0, 1];
  return [low < 0.4 * high || low === high ? 0 : low, high];
}

function drawGrid(into, ticks, y, sizes, right) {
  const step = ticks[1] - ticks[0];
  for (const tick of ticks) {
    const at = y(tick).toFixed(1);
    into.append(
      shape("line", { class: "grid", x1: SIDE.left, x2: right, y1: at, y2: at }),
      shape("text", { class: "tick", x: SIDE.left - 8, y: Number(at) + 4, "text-anchor": "end" }, tickLabel(tick, step, sizes)),
    );
  }
}

function drawSpans(into, model, view, place) {
  const { x, right } = view;
  for (const span of model.spans) {
    if (span.to < view.from || span.from > view.to) continue;
    const start = Math.max(SIDE.left, x(span.from));
    const width = Math.max(1.5, Math.min(right, x(span.to)) - start);
    const lane = Math.min(span.level, place.lanes - 1);
    const group = shape("g", { class: `span ink-${span.hue}` });
    group.append(shape("title", {}, span.say));
    if (span.level === 0) group.append(shape("rect", { class: "shade", x: start, width, y: place.top, height: place.axis - place.top }));
    group.append(
      shape("rect", { class: "lane", x: start, width, y: 16 + lane * LANE, height: LANE - 3, rx: 3 }),
      shape("text", { class: "name", x: start + 5, y: 16 + lane * LANE + 11 }, fits(span.name, width - 8)),
    );
    into.append(group);
  }
}

function drawMarks(into, model, view, place) {
  let taken = -Infinity;
  for (const mark of model.marks) {
    if (mark.at < view.from || mark.at > view.to) continue;
    const at = view.x(mark.at);
    into.append(shape("line", { class: "mark", x1: at, x2: at, y1: 4, y2: place.axis }));
    const label = fits(mark.label, 150);
    const width = label.length * LETTER;
    const leftward = at + 5 + width > view.right;
    const start = leftward ? at - 5 - width : at + 5;
    if (start < taken) continue;
    taken = start + width + 8;
    into.append(shape("text", { class: "mark-name", x: leftward ? at - 5 : at + 5, y: 11, "text-anchor": leftward ? "end" : "start" }, label));
  }
}

function drawPauses(into, model, view, place) {
  const { t, d } = model.pauses;
  const { top, bottom } = place.pauses;
  const most = d.reduce((high, one) => Math.max(high, one), 0) || 1;
  // One path for all: of the pauses that fall on one pixel the longest is drawn.
  const tallest = new Map();
  const last = firstFrom(t, view.to + 1e-9);
  for (let i = firstFrom(t, view.from); i < last; i += 1) {
    const column = Math.round(view.x(t[i]));
    tallest.set(column, Math.max(tallest.get(column) || 0, d[i]));
  }
  let path = "";
  for (const [column, one] of tallest) path += `M${column} ${bottom}v${-(3 + (bottom - top - 4) * Math.sqrt(one / most)).toFixed(1)}`;
  into.append(
    shape("line", { class: "grid", x1: SIDE.left, x2: view.right, y1: bottom, y2: bottom }),
    shape("text", { class: "tick", x: SIDE.left - 8, y: bottom - 4, "text-anchor": "end" }, "GC"),
    shape("path", { class: "pauses", d: path }),
  );
}

function drawPeak(into, model, view, y, line) {
  const peak = model.peak;
  if (!peak) return;
  const known = peak.at !== null && peak.at !== undefined;
  if (known && (peak.at < view.from || peak.at > view.to)) return;
  const at = y(peak.value);
  if (!known) {
    into.append(
      shape("line", { class: "level", x1: SIDE.left, x2: view.right, y1: at, y2: at }),
      shape("text", { class: "peak-name", x: view.right, y: at - 5, "text-anchor": "end" }, peak.label),
    );
    return;
  }
  const over = view.x(peak.at);
  const words = [peak.label, ...(peak.where ? [peak.where] : [])];
  const long = Math.max(...words.map((word) => word.length)) * LETTER + 12;
  const leftward = over + long > view.right;
  const edge = leftward ? over - 9 : over + 9;
  const under = line ? line.y(line.one.v[closest(line.one.t, peak.at)]) : at;
  if (under - at > 6) into.append(shape("line", { class: "stem", x1: over, x2: over, y1: at, y2: under }));
  into.append(shape("circle", { class: "peak", cx: over, cy: at, r: 4.5 }));
  words.forEach((word, i) => into.append(shape("text", {
    class: i ? "peak-name mono" : "peak-name", x: edge, y: at + 4 + i * 14, "text-anchor": leftward ? "end" : "start",
  }, fits(word, view.right - SIDE.left - 20))));
}

function drawLines(into, model, drawn, view, place) {
  const bytes = drawn.filter(({ one }) => one.unit === "bytes");
  const peak = model.peak && (model.peak.at === null || model.peak.at === undefined
    || (model.peak.at >= view.from && model.peak.at <= view.to)) && bytes.length ? [model.peak.value] : [];
  const limit = model.limit && bytes.length ? [model.limit.value] : [];
  const [low, high] = boundsOf(bytes, [...peak, ...limit]);
  const ticks = roundTicks(low, high, true);
  const y = scaleOf(ticks[0], ticks[ticks.length - 1], place.bottom, place.top);
  drawGrid(into, ticks, y, true, view.right);
  bytes.forEach(({ one, indices }, i) => {
    const d = pathOf(one, indices, view.x, y);
    if (!d) return;
    if (i === 0) {
      const ends = [view.x(one.t[indices[indices.length - 1]]), view.x(one.t[indices[0]])].map((at) => at.toFixed(1));
      into.append(shape("path", { class: `area ink-${one.hue}`, d: `${d}L${ends[0]} ${place.bottom}L${ends[1]} ${place.bottom}Z`, "clip-path": view.clip }));
    }
    into.append(shape("path", { class: `series ink-${one.hue}`, d, "clip-path": view.clip }));
  });
  if (model.limit && bytes.length) {
    const at = y(model.limit.value);
    into.append(
      shape("line", { class: "limit", x1: SIDE.left, x2: view.right, y1: at, y2: at }),
      shape("text", { class: "limit-name", x: SIDE.left + 6, y: at - 5 }, model.limit.label),
    );
  }
  const rss = bytes.find(({ one }) => one.metric === "rss_bytes");
  if (rss) drawPeak(into, model, view, y, rss.one.t.length ? { one: rss.one, y } : null);
  for (const { one, top, bottom } of place.panels) {
    const indices = drawn.find((part) => part.one === one).indices;
    const [least, most] = boundsOf([{ one, indices }], []);
    const few = roundTicks(least, most, false, 2);
    const up = scaleOf(few[0], few[few.length - 1], bottom, top);
    drawGrid(into, few, up, false, view.right);
    into.append(
      shape("text", { class: "tick", x: SIDE.left, y: top - 7 }, one.name),
      shape("path", { class: `series ink-${one.hue}`, d: pathOf(one, indices, view.x, up), "clip-path": view.clip }),
    );
    view.ups.set(one, up);
  }
  for (const { one } of bytes) view.ups.set(one, y);
}

function drawOverview(into, model, chosen, view, place) {
  const { top, bottom } = place.over;
  into.append(shape("rect", { class: "over", x: SIDE.left, y: top, width: view.right - SIDE.left, height: bottom - top, rx: 3 }));
  const one = chosen.find((part) => part.unit === "bytes") || chosen[0];
  if (one && one.t.length) {
    const x = scaleOf(model.start, model.end, SIDE.left, view.right);
    const indices = thin(one.t, one.v, model.start, model.end, Math.max(50, (view.right - SIDE.left) >> 1));
    const [low, high] = boundsOf([{ one, indices }], []);
    into.append(shape("path", { class: "over-line", d: pathOf(one, indices, x, scaleOf(low, high, bottom - 4, top + 5)) }));
  }
  const x = scaleOf(model.start, model.end, SIDE.left, view.right);
  const start = Math.max(SIDE.left, x(view.from));
  const end = Math.min(view.right, x(view.to));
  into.append(shape("rect", { class: "window", x: start, width: Math.max(3, end - start), y: top, height: bottom - top, rx: 3 }));
}

// -- reading

function wordsAt(model, chosen, at, near) {
  const parts = [];
  for (const one of chosen) {
    const i = closest(one.t, at);
    if (i < 0) continue;
    const value = formatAmount(one.unit, one.v[i]);
    parts.push(chosen.length > 1 ? `${one.short || one.name} ${value}` : value);
  }
  let text = `${formatMoment(at)}: ${parts.join(", ")}`;
  const within = model.spans.filter((span) => span.from <= at && at <= span.to).sort((a, b) => a.level - b.level);
  if (within.length) text += ` · in ${within.map((span) => span.name).join(" > ")}`;
  for (const mark of model.marks) if (Math.abs(mark.at - at) <= near) text += ` · mark ${mark.label}`;
  const pause = closest(model.pauses.t, at);
  if (pause >= 0 && Math.abs(model.pauses.t[pause] - at) <= near) {
    text += ` · collector ran ${formatPause(model.pauses.d[pause])} (generation ${model.pauses.g[pause]})`;
  }
  return text;
}

// -- by hand

const button = (text, label, act) => {
  const made = node("button", "", text);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
};

/**
 * Put a timeline into a box. ``windows`` are stretches that follow the newest reading, for one that grows.
 * Returns ``show`` (draw another model), ``zoom`` and ``view`` for whoever put it there.
 */
export function mountTimeline(host, first, { say = () => {}, name = "Timeline", windows = null } = {}) {
  const state = { model: first, from: first.start, to: first.end, at: null, follow: windows ? windows[0] : null, off: new Set(), seen: new Set(), view: null };
  const tools = node("div", "tools");
  const switches = node("div", "switches");
  const zooms = node("div", "zooms");
  const room = node("div", "room");
  const pad = node("div", "pad");
  const brush = node("div", "brush");
  const readout = node("p", "readout");
  const hint = node("p", "keys", "Drag to zoom; arrows read, + and \u2212 zoom, Shift with arrows moves, 0 shows the whole.");
  clips += 1;
  const clipName = `memlab-clip-${clips}`;
  let picture = null;
  let cursor = null;
  let drag = null;
  let asked = 0;

  const chosen = () => state.model.series.filter((one) => !state.off.has(one.key));
  const whole = () => [state.model.start, Math.max(state.model.end, state.model.start + LEAST_WINDOW_S)];
  const rest = () => { readout.textContent = state.model.caption || ""; };

  const meet = () => {
    // A series is shown or not as it asks to be, until somebody switches it.
    for (const one of state.model.series) {
      if (state.seen.has(one.key)) continue;
      state.seen.add(one.key);
      if (!one.on) state.off.add(one.key);
      const toggle = button("", "", () => {
        if (state.off.has(one.key)) state.off.delete(one.key);
        else if (chosen().length > 1) state.off.add(one.key);
        toggle.setAttribute("aria-pressed", String(!state.off.has(one.key)));
        draw();
      });
      toggle.className = `switch ink-${one.hue}`;
      toggle.setAttribute("aria-pressed", String(!state.off.has(one.key)));
      toggle.append(node("span", "swatch"), one.name);
      switches.append(toggle);
    }
    switches.hidden = state.model.series.length < 2;
  };

  const follow = () => {
    const [start, end] = whole();
    if (state.follow === null) return;
    state.to = end;
    state.from = Number.isFinite(state.follow) ? Math.max(start, end - state.follow) : start;
  };

  function draw() {
    const width = Math.max(260, Math.floor(room.clientWidth || 800));
    const model = state.model;
    const parts = chosen();
    const place = layOut(model, parts);
    const right = width - SIDE.right;
    const view = { from: state.from, to: state.to, right, x: scaleOf(state.from, state.to, SIDE.left, right), ups: new Map(), clip: `url(#${clipName})` };
    const made = shape("svg", { viewBox: `0 0 ${width} ${place.height}`, width, height: place.height, role: "img", "aria-label": `${name}. ${model.caption || ""}` });
    const clip = shape("clipPath", { id: clipName });
    clip.append(shape("rect", { x: SIDE.left, y: 0, width: right - SIDE.left, height: place.axis }));
    const defs = shape("defs", {});
    defs.append(clip);
    made.append(defs);
    const drawn = parts.map((one) => ({ one, indices: thin(one.t, one.v, view.from, view.to, Math.max(60, (right - SIDE.left) >> 1)) }));
    drawSpans(made, model, view, place);
    drawLines(made, model, drawn, view, place);
    drawMarks(made, model, view, place);
    if (place.pauses) drawPauses(made, model, view, place);
    for (const tick of timeTicks(view.from, view.to, Math.max(2, Math.min(8, (right - SIDE.left) / 110)))) {
      made.append(shape("text", { class: "tick", x: view.x(tick.at), y: place.axis + 17, "text-anchor": "middle" }, tick.text));
    }
    drawOverview(made, model, parts, view, place);
    cursor = shape("g", { class: "cursor" });
    made.append(cursor);
    if (picture) picture.replaceWith(made);
    else room.prepend(made);
    picture = made;
    pad.style.left = `${SIDE.left}px`;
    pad.style.right = `${SIDE.right}px`;
    pad.style.height = `${place.axis}px`;
    brush.style.left = `${SIDE.left}px`;
    brush.style.right = `${SIDE.right}px`;
    brush.style.top = `${place.over.top}px`;
    brush.style.height = `${OVERVIEW}px`;
    state.view = { ...view, place, drawn, width };
    state.stops = drawn.length ? drawn[0].indices.filter((i) => drawn[0].one.t[i] >= view.from && drawn[0].one.t[i] <= view.to) : [];
    const last = Math.max(0, state.stops.length - 1);
    pad.setAttribute("aria-valuemin", 0);
    pad.setAttribute("aria-valuemax", last);
    for (const one of zooms.querySelectorAll("[data-window]")) one.setAttribute("aria-pressed", String(state.follow === Number(one.dataset.window)));
    if (state.at !== null && state.at >= view.from && state.at <= view.to) point(state.at);
    else {
      state.at = null;
      pad.setAttribute("aria-valuenow", last);
      pad.setAttribute("aria-valuetext", model.caption || "");
      rest();
    }
  }

  function point(at) {
    state.at = at;
    const { view } = state;
    const over = view.x(at);
    const parts = [shape("line", { x1: over, x2: over, y1: 4, y2: view.place.axis })];
    for (const { one } of view.drawn) {
      const i = closest(one.t, at);
      if (i >= 0 && view.ups.has(one)) parts.push(shape("circle", { cx: view.x(one.t[i]), cy: view.ups.get(one)(one.v[i]), r: 4 }));
    }
    cursor.replaceChildren(...parts);
    const words = wordsAt(state.model, view.drawn.map(({ one }) => one), at, (4 * (view.to - view.from)) / (view.right - SIDE.left));
    readout.textContent = words;
    const primary = view.drawn.length ? view.drawn[0].one : null;
    if (primary) pad.setAttribute("aria-valuenow", Math.max(0, firstFrom(state.stops.map((i) => primary.t[i]), at)));
    pad.setAttribute("aria-valuetext", words);
  }

  function readAt(clientX) {
    const { view } = state;
    const primary = view.drawn.length ? view.drawn[0].one : null;
    if (!primary || !state.stops.length) return;
    const box = picture.getBoundingClientRect();
    const at = momentAt(clientX, box);
    const moments = state.stops.map((i) => primary.t[i]);
    point(moments[closest(moments, at)]);
  }

  const momentAt = (clientX, box) => {
    const over = ((clientX - box.left) / box.width) * state.view.width;
    const part = (over - SIDE.left) / (state.view.right - SIDE.left);
    return state.from + Math.min(1, Math.max(0, part)) * (state.to - state.from);
  };

  const soon = () => {
    if (asked) return;
    asked = requestAnimationFrame(() => { asked = 0; draw(); });
  };

  function zoom(from, to, aloud = true) {
    const [start, end] = whole();
    const length = Math.min(end - start, Math.max(LEAST_WINDOW_S, to - from));
    state.from = Math.min(Math.max(start, from), end - length);
    state.to = state.from + length;
    state.follow = null;
    if (aloud) {
      draw();
      say(length >= end - start ? "Showing the whole" : `Showing ${formatMoment(state.from)} to ${formatMoment(state.to)}`);
    } else soon();
  }

  const scale = (factor) => {
    const middle = state.at !== null ? state.at : (state.from + state.to) / 2;
    const part = (middle - state.from) / (state.to - state.from);
    const length = (state.to - state.from) * factor;
    zoom(middle - part * length, middle + (1 - part) * length);
  };
  const move = (part) => {
    const far = (state.to - state.from) * part;
    zoom(state.from + far, state.to + far);
  };
  const unzoom = () => {
    if (windows) {
      state.follow = Infinity;
      follow();
      draw();
      say("Showing the whole");
    } else zoom(...whole());
  };
  const step = (to) => {
    const { drawn } = state.view;
    if (!state.stops.length) return;
    const moments = state.stops.map((i) => drawn[0].one.t[i]);
    const now = state.at === null ? (to > 0 ? -1 : moments.length) : closest(moments, state.at);
    point(moments[Math.max(0, Math.min(moments.length - 1, now + to))]);
  };

  pad.tabIndex = 0;
  pad.setAttribute("role", "slider");
  pad.setAttribute("aria-label", `Reading of ${name}`);
  pad.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const far = Math.max(1, Math.round(state.stops.length / 10));
    const keys = event.shiftKey
      ? { ArrowRight: () => move(0.25), ArrowLeft: () => move(-0.25) }
      : {
        ArrowRight: () => step(1), ArrowUp: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => step(-1),
        PageUp: () => step(far), PageDown: () => step(-far), Home: () => step(-Infinity), End: () => step(Infinity),
        "-": () => scale(2), 0: unzoom, Escape: unzoom, "=": () => scale(0.5),
      };
    const act = event.key === "+" ? () => scale(0.5) : event.key === "_" ? () => scale(2) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  pad.addEventListener("focus", () => { if (state.at === null && state.stops.length) step(Infinity); });
  pad.addEventListener("blur", () => { clear(); });
  pad.addEventListener("pointermove", (event) => {
    if (!drag) readAt(event.clientX);
    else if (drag.moves) {
      const far = ((event.clientX - drag.x) / (state.view.right - SIDE.left)) * (drag.to - drag.from);
      zoom(drag.from - far, drag.to - far, false);
    } else select(event.clientX);
  });
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { x: event.clientX, from: state.from, to: state.to, moves: event.shiftKey, began: momentAt(event.clientX, picture.getBoundingClientRect()) };
    pad.setPointerCapture(event.pointerId);
  });
  pad.addEventListener("pointerup", (event) => {
    const was = drag;
    drag = null;
    if (!was || was.moves) return;
    const now = momentAt(event.clientX, picture.getBoundingClientRect());
    if (Math.abs(event.clientX - was.x) > DRAGGED) zoom(Math.min(was.began, now), Math.max(was.began, now));
    else readAt(event.clientX);
  });
  pad.addEventListener("pointercancel", () => { drag = null; draw(); });
  pad.addEventListener("pointerleave", () => { if (!drag && document.activeElement !== pad) clear(); });
  pad.addEventListener("dblclick", unzoom);

  function clear() {
    state.at = null;
    if (cursor) cursor.replaceChildren();
    rest();
  }

  function select(clientX) {
    const now = momentAt(clientX, picture.getBoundingClientRect());
    const { view } = state;
    const [a, b] = [view.x(Math.min(drag.began, now)), view.x(Math.max(drag.began, now))];
    cursor.replaceChildren(shape("rect", { class: "selection", x: a, width: b - a, y: 0, height: view.place.axis }));
    readout.textContent = `${formatMoment(Math.min(drag.began, now))} to ${formatMoment(Math.max(drag.began, now))}`;
  }

  brush.setAttribute("aria-hidden", "true"); // the keys move as well
  const slide = (event) => {
    const box = brush.getBoundingClientRect();
    const [start, end] = whole();
    const middle = start + ((event.clientX - box.left) / box.width) * (end - start);
    const half = (state.to - state.from) / 2;
    zoom(middle - half, middle + half, false);
  };
  brush.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    brush.setPointerCapture(event.pointerId);
    slide(event);
  });
  brush.addEventListener("pointermove", (event) => { if (brush.hasPointerCapture(event.pointerId)) slide(event); });

  switches.setAttribute("role", "group");
  switches.setAttribute("aria-label", "What is drawn");
  zooms.setAttribute("role", "group");
  zooms.setAttribute("aria-label", "Zoom");
  for (const one of windows || []) {
    const made = button(Number.isFinite(one) ? `${one / 60} min` : "All", Number.isFinite(one) ? `Follow the last ${one / 60} minutes` : "Follow the whole", () => {
      state.follow = one;
      follow();
      draw();
    });
    made.dataset.window = one;
    zooms.append(made);
  }
  zooms.append(button("\u2212", "Zoom out", () => scale(2)), button("+", "Zoom in", () => scale(0.5)));
  if (!windows) zooms.append(button("Whole", "Show the whole", unzoom));
  tools.append(switches, zooms);
  room.append(pad, brush);
  host.classList.add("memlab-timeline", "timechart");
  host.replaceChildren(tools, room, readout, hint);
  meet();
  follow();
  draw();
  let width = room.clientWidth;
  const watcher = new ResizeObserver(() => {
    if (Math.abs(room.clientWidth - width) < 1) return;
    width = room.clientWidth;
    soon();
  });
  watcher.observe(room);
  return {
    show(model) {
      state.model = model;
      meet();
      follow();
      if (!drag) draw();
    },
    zoom,
    view: () => [state.from, state.to],
    end: () => watcher.disconnect(),
  };
}

/** Bring the timelines of a report to life: each takes the place of its still picture. */
export function startTimelines(root) {
  const held = JSON.parse(root.querySelector("#memlab-data").textContent).timelines;
  const status = root.querySelector("#status");
  const say = (text) => { status.textContent = text; };
  for (const host of root.querySelectorAll("[data-timeline]")) {
    mountTimeline(host, readTimeline(held[host.id]), { say, name: host.dataset.timeline });
  }
  root.dataset.timelines = "ready";
}

if (document.documentElement.dataset.memlab === "page") startTimelines(document.documentElement);
