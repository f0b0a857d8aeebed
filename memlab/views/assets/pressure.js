// Drive a scenario of memory pressure from a notebook, and watch it: controls, one picture, one table.
// Everything is drawn from the widget's synced state; a click only writes a request into it.
// Text is only ever set as textContent: no markup is made from data.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 760;
const HEIGHT = 240;
const LEFT = 70;
const RIGHT = 14;
const TOP = 16;
const BOTTOM = 30;

const node = (name, cls, text) => {
  const made = document.createElement(name);
  if (cls) made.className = cls;
  if (text !== undefined) made.textContent = text;
  return made;
};

const drawn = (name, attributes, text) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
};

const mib = (size) => `${(size / 2 ** 20).toFixed(0)} MiB`;

/** Return a series as the points of a line. */
export const points = (times, values, x, y) => times.map((t, i) => `${x(t).toFixed(1)},${y(values[i]).toFixed(1)}`);

/** Draw the picture of a run anew: resident memory, ballast, budget, and where the phases begin. */
export function draw(svg, picture, summary) {
  svg.replaceChildren();
  svg.setAttribute("aria-label", summary);
  const times = picture.t ?? [];
  const end = Math.max(picture.seconds || 0, times.length ? times[times.length - 1] : 0, 0.1);
  const top = Math.max(picture.budget || 0, ...(picture.rss ?? []), 1) * 1.05;
  const x = (t) => LEFT + ((WIDTH - LEFT - RIGHT) * t) / end;
  const y = (v) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * v) / top;
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const value = (picture.budget || top) * part;
    svg.append(drawn("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(drawn("text", { class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, mib(value)));
  }
  svg.append(drawn("text", { class: "tick", x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, `${end.toFixed(1)} s`));
  if (picture.budget) {
    const at = y(picture.budget);
    svg.append(drawn("line", { class: "budget", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at }));
  }
  if (times.length > 1) {
    const base = `${x(times[times.length - 1]).toFixed(1)},${y(0).toFixed(1)} ${x(times[0]).toFixed(1)},${y(0).toFixed(1)}`;
    svg.append(drawn("polygon", { class: "ballast", points: `${points(times, picture.ballast, x, y).join(" ")} ${base}` }));
    svg.append(drawn("polyline", { class: "rss", points: points(times, picture.rss, x, y).join(" ") }));
  }
  let free = 0;
  for (const [start, name] of picture.phases ?? []) {
    const at = x(start);
    svg.append(drawn("line", { class: "phase", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }));
    if (at < free || at > WIDTH - 60) continue; // no room for its name
    svg.append(drawn("text", { class: "tick", x: at + 4, y: TOP + 8 }, name));
    free = at + 8 + name.length * 7;
  }
}

function fill(table, rows) {
  table.replaceChildren();
  if (!rows.length) return;
  const head = table.createTHead().insertRow();
  for (const title of rows[0]) {
    const cell = node("th", "", title);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const values of rows.slice(1)) {
    const row = body.insertRow();
    values.forEach((value, i) => row.append(node("td", i ? "number" : "", value)));
  }
}

function labelled(text, control) {
  const label = node("label", "", `${text} `);
  label.append(control);
  return label;
}

function render({ model, el }) {
  el.classList.add("memlab-pressure");
  const scenario = node("select");
  for (const [key, label] of model.get("scenarios")) {
    const option = node("option", "", label);
    option.value = key;
    scenario.append(option);
  }
  const budget = node("input");
  budget.size = 9;
  const run = node("button", "", "Run");
  const stop = node("button", "", "Stop");
  const status = node("p", "status");
  status.setAttribute("role", "status");
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const legend = node("p", "legend", "Line: resident memory of the cage. Shade: ballast. Dashed: budget.");
  const table = node("table");
  const bar = node("div", "bar");
  const subject = node("span", "subject", model.get("subject"));
  bar.append(labelled("Scenario", scenario), labelled("Budget", budget), run, stop, subject);
  el.append(bar, status, svg, legend, table);

  const ask = (action) => {
    model.set("request", {
      action,
      scenario: scenario.value,
      budget: budget.value,
      number: (model.get("request").number ?? 0) + 1,
    });
    model.save_changes();
  };
  run.addEventListener("click", () => ask("run"));
  stop.addEventListener("click", () => ask("stop"));
  const show = () => {
    const busy = model.get("running");
    run.disabled = busy;
    stop.disabled = !busy;
    status.textContent = model.get("status");
    scenario.value = model.get("scenario");
    if (document.activeElement !== budget) budget.value = model.get("budget");
    draw(svg, model.get("picture"), model.get("status"));
    fill(table, model.get("table"));
  };
  const names = ["running", "status", "scenario", "budget", "picture", "table"];
  for (const name of names) model.on(`change:${name}`, show);
  show();
  return () => {
    for (const name of names) model.off(`change:${name}`, show);
  };
}

export default { render };
