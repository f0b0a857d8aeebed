"""Every shipped notebook runs to its end in a kernel of its own and comes to the right answer."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs memlab[notebook,dev]")
import nbformat  # noqa: E402
from traitlets.config import Config  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = [pytest.mark.notebook, pytest.mark.timeout(240)]

# What a reader must find in the outputs, whatever the figures are.
FACTS = {
    "00-start-here": ["peak memory:", "Out[", "LEAK", "<iframe", "leaks.html"],
    "01-find-a-leak": ["LEAK", "StockWatcher", "subscribers", "NO LEAK", "handlers.py"],
    "03-timelines-and-peaks": ["(vmhwm)", "best_days", "Cell In[", "given back"],
    "04-compare-two-captures": ["red lamps", "lower than before", "ElementTree.py", "shrank"],
    "05-native-memory": ["tracemalloc", "ScratchPad.fill", "rows deleted", "memray"],
    "06-the-collector": ["collections", "threshold 50,000", "can only be freed by the collector"],
    "10-post-mortem": ["SIGKILL", "complete: False", "nightly.py", "PROBLEMS"],
    "11-a-leak-in-a-service": ["subscribers", "more watchers", "Heap growth", "[0, 0, 0, 0]"],
    "07-pool-and-caches": ["does not pay", "acquisitions found", "look-ups can hit", "the cache gave way"],
    "08-under-pressure": [
        "the real ceiling",
        "Heedful",
        "stopped below the limit",
        "critical",
        "Post-mortem",
    ],
    "09-benchmarks-and-regressions": ["BASELINE", "NO REGRESSION", "REGRESSION", "worse by"],
    "02-explain-the-heap": ["StockWatcher", "subscribers", "would be freed", "Birth marks", "it is freed"],
}


@pytest.fixture
def lesson(monkeypatch):
    """A copy of notebooks/ and data/, in a folder short enough for the kernel's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="lab"))
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "leaks"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    (folder / "runtime").mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def said(notebook):
    """Everything the outputs say, in every form they have."""
    parts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output["output_type"] != "error", output.get("evalue")
            parts.append(output.get("text", ""))
            parts.extend(v for k, v in output.get("data", {}).items() if k.startswith("text/"))
    return "\n".join(parts)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("fast", ["1", pytest.param("0", marks=pytest.mark.long)], ids=["short", "in full"])
def test_the_notebook_finds_what_it_promises(path, fast, lesson, monkeypatch):
    """The notebook's own assertions hold, and its outputs show the facts it is about, short and in full."""
    monkeypatch.setenv("MEMLAB_FAST", fast)
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        # Sockets by their full path: the kernel's folder is not ours.
        config=Config({"KernelManager": {"transport": "ipc", "ip": str(lesson / "kernel")}}),
        resources={"metadata": {"path": str(lesson / "notebooks")}},
    )
    client.execute()
    shown = said(notebook)
    assert [fact for fact in FACTS[path.stem] if fact not in shown] == []
    # Nothing of this machine is in what a notebook shows.
    assert str(lesson) not in shown
    assert str(ROOT) not in shown


def test_every_notebook_has_its_facts():
    """A new notebook must say above what a reader is to find in it."""
    assert set(FACTS) == {path.stem for path in NOTEBOOKS}
