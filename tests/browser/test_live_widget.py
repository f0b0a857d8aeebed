"""The live view in a real JupyterLab: it moves while cells run, obeys its buttons, and leaves a picture."""

# ruff: noqa: F811 - the fixtures ``lab`` and ``visit`` are another module's
from __future__ import annotations

import json

import pytest
from test_jupyterlab import OUT, _notebook, lab, visit  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CELLS = (
    """
import ctypes, pathlib, time
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
while not pathlib.Path("seen above").exists():
    time.sleep(0.05)
del block
while not pathlib.Path("seen below").exists():
    time.sleep(0.05)
""",
    # Python code that never lets go of the GIL by itself: the interpreter switches threads for it.
    """
live.mark("busy")
while not pathlib.Path("seen busy").exists():
    for _ in range(100):
        sum(range(2_000))
""",
    # A call into C that holds the GIL throughout: nothing in this process can run meanwhile.
    """
live.mark("in C")
block = bytearray(40_000_000)
ctypes.PyDLL(None).usleep(1_500_000)
live.mark("out of C")
del block
""",
    """
capture = live.stop()
within = {m.label: m.time_s for m in capture.marks}
time_s = capture.timeline.time_s
print("read in C:", int(((time_s > within["in C"] + 0.2) & (time_s < within["out of C"])).sum()))
[m.label for m in capture.marks]
""",
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

# Waits until a cell that was started has ended.
ENDED = "() => window.done"

# Waits for some more updates while the kernel is busy; the cell goes on until the test says so.
MOVES = """async (more) => {
  const view = document.querySelector('.memlab-live');
  const count = () => Number(view.dataset.updates ?? 0);
  const from = count();
  const path = () => view.querySelector('path.series').getAttribute('d');
  const first = path();
  while (count() < from + more || path() === first) {
    await new Promise(done => setTimeout(done, 20));
  }
  return window.panel.sessionContext.session.kernel.status;
}"""

SAVE = """async () => {
  await window.jupyterapp.commands.execute('docmanager:save');
  return window.panel.context.path;
}"""


def run(page, number):
    """Run one cell to its end."""
    page.evaluate(START, number)
    page.wait_for_function(ENDED, timeout=60_000)


def outputs(page, number):
    return page.evaluate("(n) => window.panel.content.model.cells.get(n).toJSON().outputs", number)


def test_the_live_view_runs_beside_cells_and_leaves_a_picture(visit, lab):
    """Updates come in sleeping and busy cells and go on after C; buttons, alarm, stop, reopening work."""
    (lab.files / "notebooks" / "live.ipynb").write_text(json.dumps(_notebook(*CELLS)))
    seen = visit("live.ipynb")
    page = seen.page
    page.evaluate(READY, "live.ipynb")
    said = lambda name: (lab.files / "notebooks" / name).touch()
    run(page, 0)
    view = page.locator(".memlab-live")
    view.get_by_role("slider").wait_for()
    assert view.locator(".figures .value").first.inner_text().endswith("MiB")

    # A cell that sleeps: updates come, the line grows, and the limit is told once above and once below.
    page.evaluate(START, 1)
    assert page.evaluate(MOVES, 3) == "busy"
    view.locator(".alarm", has_text="Memory is above the limit of ").wait_for()
    said("seen above")
    view.locator(".alarm", has_text="Memory was above the limit of ").wait_for()
    said("seen below")
    page.wait_for_function(ENDED)

    # A cell that computes: the same. A click waits, the view says so, and the kernel does it afterwards.
    page.evaluate(START, 2)
    assert page.evaluate(MOVES, 3) == "busy"
    view.get_by_label("Name of the mark").fill("clicked meanwhile")
    view.get_by_role("button", name="Mark", exact=True).click()
    assert page.evaluate(MOVES, 2) == "busy"
    assert view.locator(".pending").inner_text().startswith("Waiting for the kernel")
    said("seen busy")
    view.locator(".pending", has_text="Marked: clicked meanwhile").wait_for()
    page.wait_for_function(ENDED)

    # While C holds the lock nothing can be sent; afterwards the view goes on.
    run(page, 3)
    page.evaluate(MOVES, 2)

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
    run(page, 4)
    printed, shown = outputs(page, 4)
    assert int("".join(printed["text"]).split(":")[1]) >= 2  # the sampler process read on
    marks = "".join(shown["data"]["text/plain"])
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
