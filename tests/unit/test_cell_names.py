"""A recording made in a notebook names cells as the notebook does, never the kernel's temporary files."""

from __future__ import annotations

import os

import pytest
from unit.shells import one_shell, run, shell  # noqa: F401 - fixtures

from memlab.collectors.cell_names import CellLabels, cell_aliases

GROW = """
def grow(size):
    block = bytearray(size)
    for at in range(0, size, 4096):
        block[at] = 1
    return block
"""
WAIT = """
import time
def begun(recording):
    deadline = time.monotonic() + 20
    while recording.snapshot().timeline.time_s.size < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
"""


def files_of(capture):
    """The files that a capture names, wherever it does."""
    found = {frame.file for look in capture.hot for frame in look.frames}
    if capture.sites is not None:
        found |= {total.site.frame.file for total in capture.sites.growth().sites}
    return found


@pytest.fixture
def places(run, shell, monkeypatch, tmp_path):  # noqa: F811
    """Have cells compiled under the names of temporary files, as ipykernel does."""
    folder = tmp_path / "ipykernel_4711"
    number = iter(range(1_000))
    monkeypatch.setattr(
        type(shell.compile), "get_code_name", lambda *_: str(folder / f"{next(number)}.py"), raising=True
    )
    return folder


def test_a_recording_names_the_cells_that_ran_in_it(run, shell, places):  # noqa: F811
    """The line that took memory, in the cell that holds it, with its source."""
    run("import memlab" + WAIT)
    number = shell.execution_count
    run(GROW)
    here = shell.execution_count
    run(
        "with memlab.record(0.001) as recording:\n"
        "    begun(recording)\n"
        "    kept = grow(300 * 2**20)\n"
        "    time.sleep(0.05)\n"
        "del kept"
    )
    capture = shell.user_ns["recording"].capture
    named = {f"{frame.file}:{frame.line}" for look in capture.hot for frame in look.frames}
    assert f"Cell In[{here}]:3" in named
    assert named & {f"Cell In[{number}]:{line}" for line in (2, 4)}, named
    assert "ipykernel" not in capture.to_html() + str(capture)


def test_a_cell_that_is_run_after_the_start_is_named_too(run, shell, places):  # noqa: F811
    """Begun in one cell, ended in another: what was run between them was compiled after it began."""
    run("import memlab" + WAIT)
    run("recording = memlab.record(0.001)\nrecording.start()\nbegun(recording)")
    number = shell.execution_count
    run(GROW + "kept = grow(300 * 2**20)\ntime.sleep(0.05)\ndel kept")
    run("recording.stop()")
    capture = shell.user_ns["recording"].capture
    assert f"Cell In[{number}]" in {look.frame.file for look in capture.hot}
    assert "ipykernel" not in str(capture)


def test_allocation_sites_of_a_recording_name_their_cells(run, shell, places):  # noqa: F811
    """Also of a recording that begins before the cell is there."""
    pytest.importorskip("memlab._native.sites")
    run("import memlab\nrecording = memlab.record(sites='4 KiB')\nrecording.start()")
    number = shell.execution_count
    run("kept = [bytes(1000) for n in range(3000)]")
    run("recording.stop()\ndel kept")
    capture = shell.user_ns["recording"].capture
    assert f"Cell In[{number}]" in files_of(capture)
    assert not any(os.sep in file and "ipykernel" in file for file in files_of(capture))


def test_labels_ask_about_a_file_when_they_meet_it(run, shell, places):  # noqa: F811
    """Cells are known, however late, and a file of the user's stays what it is."""
    labels = CellLabels()
    run("def late(): pass")
    file = shell.user_ns["late"].__code__.co_filename
    assert file.startswith(str(places))
    number = shell.execution_count - 1
    assert labels.label(file) == f"Cell In[{number}]" == cell_aliases()[file]
    assert labels.is_own(file)
    assert labels.label(__file__).endswith("test_cell_names.py")
    assert file in labels.aliases
    assert __file__ not in labels.aliases
