// The page's behaviour, added to markup that is complete without it: sortable and filterable tables, charts
// that are read point by point, buttons that copy a line's place, a light and a dark page.
// Text is only ever set as textContent, places as SVG attributes: no markup is made from data.

const make = (name, cls, text) => {
  const node = document.createElement(name);
  if (cls) node.className = cls;
  if (text) node.textContent = text;
  return node;
};

/** Compare two sort keys: numbers as numbers, absent ones last, text by the reader's alphabet. */
export function compare(a, b) {
  const x = Number(a);
  const y = Number(b);
  if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

/** Return the index of the number in a rising list that is nearest to a value. */
export function nearest(xs, value) {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - xs[low - 1] <= xs[low] - value ? low - 1 : low;
}

function sortKey(row, column) {
  const cell = row.cells[column];
  return cell.dataset.sort ?? cell.textContent.trim();
}

function sortTable(table, column, say) {
  const head = table.tHead.rows[0].cells[column];
  const number = head.classList.contains("number");
  const before = head.getAttribute("aria-sort");
  const rising = before ? before === "descending" : !number;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.sort((a, b) => compare(sortKey(a, column), sortKey(b, column)) * (rising ? 1 : -1));
  body.append(...rows);
  say(`Sorted by ${head.textContent}, ${rising ? "ascending" : "descending"}`);
}

/** Turn each heading of a table into a button that sorts by it. */
export function makeSortable(table, say) {
  if (table.tBodies[0].rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button", "sort", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => sortTable(table, column, say));
    head.replaceChildren(button);
  });
}

/** Put a box above a table of some length that hides the rows which lack its text. */
export function makeFilterable(table, say) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 8) return;
  const label = make("label", "filter", "Filter ");
  const box = make("input");
  const caption = table.caption ? table.caption.textContent : "table";
  box.type = "search";
  box.setAttribute("aria-label", `Filter ${caption}`);
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      if (!row.hidden) shown += 1;
    }
    say(`${shown} of ${rows.length} rows shown`);
  });
  label.append(box);
  table.closest(".scroll").before(label);
}

/** Put two lists above tables of pairs: the reader chooses an older and a newer state, and sees their table. */
export function makeChoice(block, say) {
  const names = [...block.querySelectorAll(":scope > .name")];
  const pairs = [...block.querySelectorAll(":scope > [data-older]")];
  if (names.length < 3) return; // of two there is one pair
  const list = (which) => {
    const label = make("label", "pick", `${which} ${block.dataset.choice} `);
    const box = make("select");
    for (const name of names) {
      const option = make("option", "", name.textContent);
      option.value = name.dataset.key;
      box.append(option);
    }
    label.append(box);
    block.insertBefore(label, pairs[0]);
    return box;
  };
  const older = list("Older");
  const newer = list("Newer");
  const last = names.length - 1;
  older.selectedIndex = last - 1;
  newer.selectedIndex = last;
  older.options[last].disabled = true;
  const show = () => {
    if (newer.selectedIndex <= older.selectedIndex) newer.selectedIndex = older.selectedIndex + 1;
    [...newer.options].forEach((option, at) => { option.disabled = at <= older.selectedIndex; });
    for (const pair of pairs) {
      pair.hidden = pair.dataset.older !== older.value || pair.dataset.newer !== newer.value;
      if (!pair.hidden) say(pair.querySelector("caption").textContent);
    }
  };
  [...newer.options].forEach((option, at) => { option.disabled = at < last; });
  older.addEventListener("change", show);
  newer.addEventListener("change", show);
}

/** Lay a cursor over a chart: it follows the pointer, and the arrow keys where it has the focus. */
export function makeReadable(svg, series) {
  const figure = svg.closest("figure");
  const readout = figure.querySelector(".readout");
  const summary = readout.textContent;
  const line = svg.querySelector("line.cursor");
  const spot = svg.querySelector("circle.cursor");
  const last = series.x.length - 1;
  const pad = make("div", "pad");
  let at = last;
  const show = (index) => {
    at = Math.max(0, Math.min(last, index));
    line.setAttribute("x1", series.x[at]);
    line.setAttribute("x2", series.x[at]);
    spot.setAttribute("cx", series.x[at]);
    spot.setAttribute("cy", series.y[at]);
    svg.classList.add("read");
    readout.textContent = series.say[at];
    pad.setAttribute("aria-valuenow", at);
    pad.setAttribute("aria-valuetext", series.say[at]);
  };
  const rest = () => {
    svg.classList.remove("read");
    readout.textContent = summary;
  };
  pad.tabIndex = 0;
  pad.setAttribute("role", "slider");
  pad.setAttribute("aria-label", `Reading of ${figure.querySelector("figcaption h3, figcaption h4").textContent}`);
  pad.setAttribute("aria-valuemin", 0);
  pad.setAttribute("aria-valuemax", last);
  pad.setAttribute("aria-valuenow", at);
  pad.setAttribute("aria-valuetext", series.say[at]);
  pad.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    show(nearest(series.x, ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width));
  });
  pad.addEventListener("pointerleave", () => {
    if (document.activeElement !== pad) rest();
  });
  pad.addEventListener("focus", () => show(at));
  pad.addEventListener("blur", rest);
  pad.addEventListener("keydown", (event) => {
    const far = Math.max(1, Math.round(last / 10));
    const go = {
      ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1,
      PageUp: at + far, PageDown: at - far, Home: 0, End: last,
    }[event.key];
    if (go === undefined) return;
    event.preventDefault();
    show(go);
  });
  svg.parentElement.append(pad);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A sandboxed frame has no clipboard; the old way still works from a click.
    const area = make("textarea", "unseen");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Give each place of code a button that copies it. */
export function addCopyButtons(root, say) {
  for (const place of root.querySelectorAll("[data-copy]")) {
    const button = make("button", "copy", "copy");
    const text = place.dataset.copy;
    button.type = "button";
    button.setAttribute("aria-label", `Copy ${text}`);
    button.addEventListener("click", async () => {
      const done = await copy(text);
      button.focus();
      button.textContent = done ? "copied" : "failed";
      say(done ? `Copied ${text}` : `Could not copy ${text}`);
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    place.after(button);
  }
}

/** Add the button that turns the page dark or light, starting from what the system prefers, or from what the
 * notebook that shows the page says it is: a sandboxed page cannot ask. */
export function addThemeButton(root, tools, say) {
  const button = make("button", "theme", "");
  const dark = () => (root.dataset.theme
    ? root.dataset.theme === "dark"
    : window.matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = dark() ? "Light page" : "Dark page"; };
  button.type = "button";
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
    say(`The page is ${root.dataset.theme} now`);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  window.addEventListener("message", (event) => {
    const theme = event.data?.memlabTheme;
    if (theme !== "dark" && theme !== "light") return;
    root.dataset.theme = theme;
    name();
  });
  name();
  tools.append(button);
}

function openForPrint(root) {
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...root.querySelectorAll("details:not([open])")];
    for (const part of opened) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of opened) part.open = false;
  });
}

function followLinks(root) {
  // Inside a frame made from text, a fragment link would load the page around it.
  for (const link of root.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      const goal = document.getElementById(link.getAttribute("href").slice(1));
      if (!goal) return;
      event.preventDefault();
      goal.scrollIntoView();
      goal.focus({ preventScroll: true });
    });
  }
}

/** Bring a whole page to life. */
export function start(root) {
  const status = root.querySelector("#status");
  const say = (text) => { status.textContent = text; };
  const data = JSON.parse(root.querySelector("#memlab-data").textContent);
  for (const table of root.querySelectorAll("table[data-rows]")) {
    makeFilterable(table, say);
    makeSortable(table, say);
  }
  for (const block of root.querySelectorAll("[data-choice]")) makeChoice(block, say);
  for (const svg of root.querySelectorAll("svg[data-chart]")) {
    const series = data.charts[svg.dataset.chart];
    if (series && series.x.length) makeReadable(svg, series);
  }
  addCopyButtons(root, say);
  addThemeButton(root, root.querySelector(".tools"), say);
  openForPrint(root);
  followLinks(root);
  root.dataset.ready = "yes";
}

if (document.documentElement.dataset.memlab === "page") start(document.documentElement);
