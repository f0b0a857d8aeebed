"""The notebooks in a real JupyterLab in a real browser: open, run all, read the verdict, click the report.

JupyterLab is driven by its own command API, not by its menus: a click on Run All is accepted before the
kernel is connected, and then nothing runs. Outputs are read from the notebook's model; only what a person
would click in the report is clicked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "out"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# No news toast over the page, and every cell in the document, also those off screen.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def _notebook(*cells):
    made = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "outputs": [], "execution_count": None,
         "source": source}
        for n, source in enumerate(cells)
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


WIDGET_NOTEBOOK = _notebook(
    "%load_ext memlab",
    "class Shelf:\n    def __init__(self):\n        self.books = [bytearray(500_000) for _ in range(100)]",
    "library = {'shelf': Shelf()}",
    "%heap --widget",
)

RUN_ALL = """async (name) => {
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
  await app.commands.execute('notebook:run-all-cells');
  return [...panel.content.model.cells].map(cell => {
    const model = cell.toJSON();
    return {id: model.id, count: model.execution_count ?? null, outputs: model.outputs ?? []};
  });
}"""


@dataclasses.dataclass
class Lab:
    """A running JupyterLab, with copies of the notebooks as its files."""

    url: str
    token: str
    files: Path

    def address(self, notebook):
        # A workspace of its own: JupyterLab would bring back the notebooks of the visit before.
        return f"{self.url}lab/workspaces/{Path(notebook).stem}/tree/notebooks/{notebook}?token={self.token}"


@pytest.fixture(scope="module")
def lab():
    """JupyterLab on a port of its own choosing, with every folder of its own."""
    pytest.importorskip("jupyterlab", reason="needs memlab[notebook]")
    folder = Path(tempfile.mkdtemp(prefix="lab"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        files, settings, runtime = folder / "files", folder / "settings", folder / "runtime"
        for name in ("notebooks", "data"):
            shutil.copytree(ROOT / name, files / name, ignore=shutil.ignore_patterns("__pycache__", "leaks"))
        (files / "notebooks" / "heap-widget.ipynb").write_text(json.dumps(WIDGET_NOTEBOOK))
        for name, values in SETTINGS.items():
            path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        runtime.mkdir()
        environment = os.environ | {
            "HOME": str(folder),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            "MEMLAB_FAST": "1",
        }
        token = secrets.token_hex(16)
        command = [
            *(
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--ip=127.0.0.1",
                "--port=0",
                "--allow-root",
            ),
            f"--IdentityProvider.token={token}",
            f"--ServerApp.root_dir={files}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
        ]
        log = stack.enter_context((folder / "server.log").open("w"))
        server = subprocess.Popen(
            command, env=environment, cwd=files, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        stack.callback(_stop, server)
        yield Lab(_address(server, runtime, folder / "server.log"), token, files)


def _address(server, runtime, log):
    """Wait for the file in which the server writes its address."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # being written
                return json.loads(path.read_text())["url"]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def _stop(server):
    """End the server gently, then its whole group: kernels are in it too."""
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@dataclasses.dataclass
class Visit:
    """A page of JupyterLab with a notebook open, and what the page complained about or asked for."""

    page: object
    notebook: str
    errors: list
    outside: list

    def turn_dark(self):
        """Give JupyterLab its dark theme."""
        self.page.evaluate(
            """async () => {
              await window.jupyterapp.restored;
              await window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'});
            }"""
        )
        self.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")

    def run_all(self):
        """Run every cell and return the cells with their outputs; fail on the first error."""
        cells = self.page.evaluate(RUN_ALL, self.notebook)
        for cell in cells:
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    pytest.fail(f"cell {cell['id']}: {output.get('ename')}: {output.get('evalue')}")
        return {cell["id"]: cell for cell in cells}


@pytest.fixture
def visit(chromium, lab):
    """Open a notebook in a new browser profile that can reach nothing but the server."""
    with contextlib.ExitStack() as stack:
        context = chromium.new_context(viewport={"width": 1400, "height": 1000})
        stack.callback(context.close)
        page = context.new_page()
        seen = Visit(page, "", [], [])

        def guard(route):
            if urlsplit(route.request.url).hostname == "127.0.0.1":
                route.continue_()
            else:
                seen.outside.append(route.request.url)
                route.abort()

        context.route(lambda url: url.startswith("http"), guard)
        page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))

        def go(notebook):
            seen.notebook = notebook
            page.goto(lab.address(notebook))
            page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
            return seen

        yield go


def _texts(cell):
    """Everything one cell put out, as text."""
    return "\n".join(
        text if isinstance(text, str) else "".join(text)
        for output in cell["outputs"]
        for text in (output.get("text", ""), *output.get("data", {}).values())
        if isinstance(text, (str, list))
    )


def _report_frame(page, title="memlab leak report"):
    """The frame in which the notebook shows the report, scrolled to."""
    element = page.locator(f'.jp-OutputArea-output iframe[title="{title}"]').first
    element.scroll_into_view_if_needed()
    return element.content_frame


@pytest.mark.parametrize(
    ("notebook", "theme"), [("00-start-here.ipynb", "light"), ("01-find-a-leak.ipynb", "dark")]
)
def test_a_notebook_runs_and_its_report_can_be_used(visit, notebook, theme):
    """All cells run, the verdict stands in the page; the report has the theme, sorts, and turns."""
    seen = visit(notebook)
    if theme == "dark":
        seen.turn_dark()
    cells = seen.run_all()
    verdicts = [key for key, cell in cells.items() if "<strong>LEAK</strong>" in _texts(cell)]
    assert len(verdicts) == 1
    page = seen.page

    # A person sees the verdict beside the cell, above the frame, in plain HTML.
    summary = page.locator(".jp-OutputArea-output p:visible", has_text="LEAK: ").first
    summary.scroll_into_view_if_needed()
    assert " leaves " in summary.inner_text()

    frame = _report_frame(page)
    frame.get_by_role("heading", level=1).wait_for()
    assert "leaves" in frame.get_by_role("heading", level=1).inner_text()

    # A click on a heading sorts; a second one turns the order round.
    table = frame.locator("table:has(button.sort)").first
    head = table.locator("button.sort").first
    words = table.locator("tbody td:first-child .what")
    head.click()
    rising = words.all_text_contents()
    head.click()
    assert len(rising) > 1
    assert words.all_text_contents() == rising[::-1]
    assert frame.locator("#status").text_content().startswith("Sorted by")

    # The theme button says what it will do, and does it.
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    first = frame.locator("html").evaluate(ground)
    assert (sum(map(int, re.findall(r"\d+", first))) < 3 * 128) == (theme == "dark"), first
    other = {"light": "dark", "dark": "light"}[theme]
    frame.get_by_role("button", name=f"{other.title()} page").click()
    assert frame.locator("html").evaluate(ground) != first
    frame.get_by_role("button", name=f"{theme.title()} page").click()
    assert frame.locator("html").evaluate(ground) == first

    OUT.mkdir(exist_ok=True)
    page.screenshot(path=OUT / f"jupyterlab-{Path(notebook).stem}.png")
    assert seen.errors == []
    assert seen.outside == []


def test_the_heap_widget_opens_level_by_level(visit):
    """%heap --widget shows tree and treemap; keys open the way down to what the notebook keeps."""
    seen = visit("heap-widget.ipynb")
    cells = seen.run_all()
    kinds = {kind for output in cells["cell-3"]["outputs"] for kind in output.get("data", {})}
    # What a notebook keeps where there are no widgets.
    assert {"application/vnd.jupyter.widget-view+json", "text/plain", "image/svg+xml"} <= kinds

    page = seen.page
    widget = page.locator(".jp-OutputArea-output .memlab-heap").first
    tree = widget.get_by_role("treegrid")
    tree.wait_for()
    tree.scroll_into_view_if_needed()
    shelf = tree.locator("tbody tr", has_text="__main__.Shelf").filter(has_text="47.7 MiB")
    for _ in range(6):  # from the notebook's namespace down
        if shelf.count():
            break
        row = tree.locator("tbody tr[aria-expanded=false]").first
        row.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    assert shelf.count() == 1
    OUT.mkdir(exist_ok=True)
    page.screenshot(path=OUT / "jupyterlab-heap-widget.png")
    assert seen.errors == []
    assert seen.outside == []
