// The live view of a notebook: the report's timeline, fed while it grows. It stands behind units.js and
// timeline.js in one script. It draws from the synced state alone (``picture`` and ``figures``), so a saved
// notebook shows the last of it without a kernel; between two syncs, messages bring the new samples.
// Text is only ever set as textContent: no markup is made from data.

const MOST_KEPT = 20000; // samples a view keeps of each series; beyond that, pairs of least and greatest

const numbersOf = (view) => new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** Halve a series that has grown too long: of each four readings its least and greatest stay. */
export function halve(one) {
  const t = [];
  const v = [];
  const whole = one.t.length - (one.t.length % 4);
  for (let i = 0; i < whole; i += 4) {
    let least = i;
    let most = i;
    for (let j = i + 1; j < i + 4; j += 1) {
      if (one.v[j] < one.v[least]) least = j;
      if (one.v[j] >= one.v[most]) most = j;
    }
    for (const at of [Math.min(least, most), Math.max(least, most)]) {
      t.push(one.t[at]);
      v.push(one.v[at]);
    }
  }
  for (let i = whole; i < one.t.length; i += 1) {
    t.push(one.t[i]);
    v.push(one.v[i]);
  }
  one.t = t;
  one.v = v;
}

/** Return a model that can grow, from the synced picture. */
export function growing(picture) {
  const model = readTimeline(picture);
  for (const one of model.series) {
    one.t = Array.from(one.t);
    one.v = Array.from(one.v);
  }
  model.pauses = { t: Array.from(model.pauses.t), d: [...model.pauses.d], g: [...model.pauses.g] };
  model.spans = [];
  model.taken = [...picture.taken];
  return model;
}

/** Put an update behind what is there. Returns false when samples between the two are missing. */
export function grow(model, update, buffers) {
  let whole = true;
  let at = 0;
  update.tracks.forEach((track, number) => {
    const known = model.taken[number] || 0;
    const times = numbersOf(buffers[at]);
    const skip = Math.max(0, known - track.first);
    if (track.first > known) whole = false;
    track.names.forEach((metric, column) => {
      const one = model.series.find((series) => series.metric === metric);
      if (!one) return;
      const values = numbersOf(buffers[at + 1 + column]);
      for (let i = skip; i < times.length; i += 1) {
        one.t.push(times[i]);
        one.v.push(values[i]);
      }
      if (one.t.length > MOST_KEPT) halve(one);
    });
    at += 1 + track.names.length;
    model.taken[number] = Math.max(known, track.first + times.length);
    if (times.length) model.end = Math.max(model.end, times[times.length - 1]);
  });
  for (const [t, d, g] of update.pauses) {
    const last = model.pauses.t.length ? model.pauses.t[model.pauses.t.length - 1] : -1;
    if (t <= last) continue;
    model.pauses.t.push(t);
    model.pauses.d.push(d);
    model.pauses.g.push(g);
  }
  if (model.pauses.t.length > MOST_KEPT) for (const name of ["t", "d", "g"]) model.pauses[name] = model.pauses[name].slice(-MOST_KEPT / 2);
  model.marks = update.marks;
  model.peak = update.peak;
  model.caption = update.caption;
  return whole;
}

function figureBox(name) {
  const box = node("div");
  const value = node("dd", "value", "");
  const note = node("dd", "note", "");
  box.append(node("dt", "", name), value, note);
  return { box, show: (text, under = "") => { value.textContent = text; note.textContent = under; } };
}

function typeTable() {
  const part = node("section", "types");
  const heading = node("h4", "", "Types that gained most objects");
  const table = node("table");
  const head = table.createTHead().insertRow();
  for (const [title, cls] of [["Type", ""], ["Gained", "number"], ["Now", "number"]]) {
    const cell = node("th", cls, title);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  const note = node("p", "note", "");
  part.append(heading, table, note);
  return {
    part,
    show(rows, reason) {
      body.replaceChildren(...rows.map(([name, gained, now]) => {
        const row = node("tr");
        row.append(node("td", "mono", name), node("td", "number", `+${formatCount(gained)}`), node("td", "number", formatCount(now)));
        return row;
      }));
      table.hidden = !rows.length;
      note.textContent = reason || (rows.length ? "" : "None gained any since the view began.");
    },
  };
}

export default {
  /** Draw the live view from its synced state, and go on with what messages bring. */
  render({ model, el }) {
    const status = node("p", "unseen");
    status.setAttribute("role", "status");
    const alarm = node("p", "alarm");
    alarm.setAttribute("role", "alert");
    const say = (text) => { status.textContent = text; };
    const figures = ["Now", "Peak", "Since the start", "Collector"].map(figureBox);
    const list = node("dl", "figures");
    list.append(...figures.map((one) => one.box));
    const state = node("p", "state");
    const types = typeTable();
    const shots = node("ul", "shots");
    const heading = node("p", "heading", "Memory of this kernel");
    const top = node("div", "top");
    const label = node("input");
    const acts = node("form", "acts");
    const pending = node("p", "pending", "");
    const host = node("div");
    let asked = 0;

    const ask = (what, words) => {
      asked += 1;
      pending.textContent = "Waiting for the kernel\u2026";
      model.send({ do: what, label: words, number: asked });
    };
    const press = (text, act, cls = "") => {
      const made = node("button", cls, text);
      made.type = "button";
      made.addEventListener("click", act);
      return made;
    };
    label.type = "text";
    label.maxLength = 60;
    label.placeholder = "name of a mark";
    label.setAttribute("aria-label", "Name of the mark");
    const doMark = () => { ask("mark", label.value); label.value = ""; };
    acts.addEventListener("submit", (event) => { event.preventDefault(); doMark(); });
    label.addEventListener("keydown", (event) => event.stopPropagation());
    const buttons = [press("Mark", doMark), press("Snapshot", () => ask("snapshot", "")), press("Stop", () => ask("stop", ""))];
    acts.append(label, ...buttons, pending);
    const hint = node("p", "hint", "While a cell runs, clicks wait until it ends; in its code, live.mark(\"\u2026\"), live.snapshot() and live.stop() do the same at once.");
    top.append(heading, state);
    el.classList.add("memlab-live");
    el.replaceChildren(top, alarm, list, host, acts, hint, types.part, shots, status);

    let living = growing(model.get("picture"));
    const chart = mountTimeline(host, living, { say, name: "Memory of this kernel", windows: [60, 300, Infinity] });
    let alarmed = "";
    let drawn = 0;

    const showFigures = (now) => {
      figures[0].show(now.rss, now.rss_note);
      figures[1].show(now.peak, now.peak_note);
      figures[2].show(now.growth, now.growth_note);
      figures[3].show(now.pauses, now.pauses_note);
      state.textContent = now.state;
      state.classList.toggle("ended", !now.running);
      types.show(now.types, now.types_note);
      types.part.hidden = now.types_off;
      shots.replaceChildren(...now.snapshots.map((text) => node("li", "", text)));
      for (const one of [...buttons, label]) one.disabled = !now.running;
      hint.hidden = !now.running;
      if (now.answered >= asked) pending.textContent = now.answer;
      // Said once for each crossing, not with each update.
      if (now.alarm_number !== alarmed) {
        alarmed = now.alarm_number;
        alarm.textContent = now.alarm;
      }
      alarm.hidden = !now.alarm;
      alarm.classList.toggle("over", !now.alarm_lasts);
      if (now.alarm !== alarm.textContent && !now.alarm_lasts) alarm.textContent = now.alarm;
    };
    const soon = () => {
      if (drawn) return;
      // A page that is not looked at asks for no frame; nothing piles up meanwhile.
      drawn = requestAnimationFrame(() => { drawn = 0; chart.show(living); });
    };
    const onMessage = (content, buffers) => {
      if (content.kind !== "update") return;
      const whole = grow(living, content, buffers || []);
      el.dataset.updates = Number(el.dataset.updates || 0) + 1; // for tests, and for whoever wonders
      showFigures(content.figures);
      soon();
      if (!whole) model.send({ do: "sync", number: asked });
    };
    const onPicture = () => {
      const picture = model.get("picture");
      // While it runs, the view has more than the thinned picture, unless it missed something.
      if (picture.running && picture.taken[0] <= living.taken[0]) return;
      living = growing(picture);
      soon();
    };
    const onFigures = () => showFigures(model.get("figures"));
    model.on("msg:custom", onMessage);
    model.on("change:picture", onPicture);
    model.on("change:figures", onFigures);
    onFigures();
    if (model.get("figures").running) model.send({ do: "shown", number: 0 });
    return () => {
      model.off("msg:custom", onMessage);
      model.off("change:picture", onPicture);
      model.off("change:figures", onFigures);
      chart.end();
      model.send({ do: "gone", number: 0 });
    };
  },
};
