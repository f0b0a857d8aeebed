"""The live view in a real JupyterLab: it moves while cells run, obeys its buttons, and leaves a picture."""

# ruff: noqa: F811 - the fixtures ``lab`` and ``visit`` are another module's
from __future__ import annotations

import json

import pytest
from test_jupyterlab import OUT, _notebook, lab, visit  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CELLS = (
    """
import ctypes, time
import memlab
import psutil
limit = psutil.Process().memory_info().rss + 150_000_000
live = memlab.Live(updates_per_s=5, limit=limit, minutes=5)
live
""",
    # Sleeps, with the GIL free; above the limit for a while.
    """
live.mark("sleeping")
block = bytearray(300_000_000)
for _ in range(20):
    time.sleep(0.1)
del block
for _ in range(10):
    time.sleep(0.1)
""",
    # Python code that never lets go of the GIL by itself: the interpreter switches threads for it.
    """
live.mark("busy")
began = time.monotonic()
while time.monotonic() - began < 2.5:
    sum(range(2_000))
""",
    # A call into C that holds the GIL throughout: nothing in this process can run meanwhile.
    """
live.mark("in C")
ctypes.PyDLL(None).usleep(1_500_000)
""",
    "capture = live.stop()\n[m.label for m in capture.marks]",
)

READY = """async (name) => {
  const app = window.jupyterapp;
  await app.restored;
  const deadline = Date.now() + 60000;
  let panel;
  while (!panel && Date.now() < deadline) {
    panel = [...app.shell.widgets('main')].find(w => w.context?.path.endsWith(name));
    await new Promise(done => setTimeout(done, 100));
  }
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.revealed;
  await panel.sessionContext.session.kernel.info;
  window.panel = panel;
}"""

# Starts a cell and does not wait for its end.
START = """async (number) => {
  const { panel } = window;
  panel.content.activeCellIndex = number;
  window.done = false;
  window.jupyterapp.commands.execute('notebook:run-cell').then(() => { window.done = true; });
}"""

# Looks at the view every 50 ms until the cell has ended: what it said, and whether the kernel was busy.
WATCH = """async (least) => {
  const seen = [];
  const began = Date.now();
  while (!window.done || Date.now() - began < least) {
    const view = document.querySelector('.memlab-live');
    const state = view?.querySelector('.state')?.textContent ?? '';
    const path = view?.querySelector('path.series')?.getAttribute('d') ?? '';
    const now = {
      state, path: path.length, busy: window.panel.sessionContext.session.kernel.status === 'busy',
      alarm: view?.querySelector('.alarm:not([hidden])')?.textContent ?? '',
      rss: view?.querySelector('.figures .value')?.textContent ?? '',
      at: Date.now() - began,
    };
    const last = seen[seen.length - 1];
    const keys = ['state', 'path', 'busy', 'alarm', 'rss'];
    if (!last || keys.some(key => last[key] !== now[key])) seen.push(now);
    await new Promise(done => setTimeout(done, 50));
  }
  return seen;
}"""

SAVE = """async () => {
  await window.jupyterapp.commands.execute('docmanager:save');
  return window.panel.context.path;
}"""


def run(page, number, least=0):
    """Run one cell and return what the view showed meanwhile."""
    page.evaluate(START, number)
    return page.evaluate(WATCH, least)


def moved(seen):
    """The different states of the view while the kernel was busy."""
    return {one["state"] for one in seen if one["busy"] and one["state"]}


def outputs(page, number):
    return page.evaluate("(n) => window.panel.content.model.cells.get(n).toJSON().outputs", number)


def test_the_live_view_runs_beside_cells_and_leaves_a_picture(visit, lab):
    """Updates come in sleeping and busy cells and go on after C; buttons, alarm, stop, reopening work."""
    (lab.files / "notebooks" / "live.ipynb").write_text(json.dumps(_notebook(*CELLS)))
    seen = visit("live.ipynb")
    page = seen.page
    page.evaluate(READY, "live.ipynb")
    run(page, 0, 600)
    view = page.locator(".memlab-live")
    view.get_by_role("slider").wait_for()
    assert view.locator(".figures .value").first.inner_text().endswith("MiB")

    sleeping = run(page, 1)
    assert len(moved(sleeping)) >= 5
    assert len({one["path"] for one in sleeping if one["busy"]}) >= 3  # the line itself grows
    alarms = [one["alarm"] for one in sleeping if one["alarm"]]
    assert alarms[0].startswith("Memory is above the limit of ")
    assert alarms[-1].startswith("Memory was above the limit of ")
    assert len(set(alarms)) == 2  # said when it begins and when it ends, not with each update

    # A click while a cell runs waits; the view says so, and the kernel does it afterwards.
    page.evaluate(START, 2)
    page.wait_for_timeout(300)
    view.get_by_label("Name of the mark").fill("clicked meanwhile")
    view.get_by_role("button", name="Mark", exact=True).click()
    assert view.locator(".pending").inner_text().startswith("Waiting for the kernel")
    busy = page.evaluate(WATCH, 0)
    assert len(moved(busy)) >= 4
    view.locator(".pending", has_text="Marked: clicked meanwhile").wait_for()

    # While C holds the lock nothing moves; afterwards the view goes on by itself.
    stuck = run(page, 3, 2_500)
    during = [one for one in stuck if 500 < one["at"] < 1_300]
    assert len({one["state"] for one in during}) <= 2
    assert len({one["state"] for one in stuck}) >= 3

    # The kernel is idle: clicks are done at once.
    view.get_by_label("Name of the mark").fill("idle mark")
    view.get_by_label("Name of the mark").press("Enter")
    view.locator(".pending", has_text="Marked: idle mark").wait_for()
    view.locator(".mark-name", has_text="idle mark").wait_for(state="attached")
    view.get_by_role("button", name="Snapshot").click()
    view.locator(".shots li", has_text="objects").wait_for()
    view.scroll_into_view_if_needed()
    OUT.mkdir(exist_ok=True)
    view.screenshot(path=OUT / "jupyterlab-live.png")

    # Stopped, the view is the report of what was recorded.
    before = outputs(page, 0)
    assert any("application/vnd.jupyter.widget-view+json" in one["data"] for one in before)
    assert any("Last readings" in "".join(one["data"].get("text/html", "")) for one in before)
    run(page, 4, 500)
    marks = "".join(outputs(page, 4)[0]["data"]["text/plain"])
    for label in ("sleeping", "busy", "in C", "clicked meanwhile", "idle mark", "snapshot 1"):
        assert label in marks
    after = outputs(page, 0)
    assert not any("application/vnd.jupyter.widget-view+json" in one["data"] for one in after)
    frame = page.locator('.jp-OutputArea-output iframe[title="memlab recording"]').first
    frame.scroll_into_view_if_needed()
    frame.content_frame.get_by_role("slider").wait_for()
    page.evaluate(SAVE)
    assert seen.errors == []
    assert seen.outside == []

    # Opened again without a kernel's help, the notebook shows the same.
    again = visit("live.ipynb")
    again.page.evaluate(READY, "live.ipynb")
    kept = again.page.locator(".jp-OutputArea-output p:visible", has_text="Peak ").first
    kept.wait_for()
    frame = again.page.locator('.jp-OutputArea-output iframe[title="memlab recording"]').first
    frame.scroll_into_view_if_needed()
    frame.content_frame.get_by_role("slider").wait_for()
    again.page.screenshot(path=OUT / "jupyterlab-live-reopened.png")
    assert again.errors == []
