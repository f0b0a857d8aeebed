"""``%%memtrace``, ``%memlive`` and ``memlab.Live`` in one interactive shell of this process."""

from __future__ import annotations

import gc
import json
import re
import sys
import threading
import time
import weakref

import nh3
import pytest
import shells

import memlab
from memlab.errors import MissingExtraError, UsageError
from memlab.faces.ipython import live_widget
from memlab.faces.ipython.live_widget import Live, latest
from memlab.records.capture import Capture
from memlab.store.capture_file import load
from memlab.views.html import live_assets

one_shell, shell, run = shells.one_shell, shells.shell, shells.run


@pytest.fixture
def published(monkeypatch):
    """What would go to the page: displays and messages of widgets."""
    from IPython import display as module

    seen = {"display": [], "update": [], "sent": []}
    monkeypatch.setattr(module, "display", lambda *what, **how: seen["display"].append((what, how)))
    monkeypatch.setattr(module, "update_display", lambda *what, **how: seen["update"].append((what, how)))
    monkeypatch.setattr(
        live_widget._widget_class(),
        "send",
        lambda self, content, buffers=None: seen["sent"].append((content, buffers)),
    )
    yield seen
    for live in tuple(live_widget._shown):
        live.close()


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


# -- %%memtrace


def test_a_cell_is_traced_and_shown(run, shell):
    """The capture's own text; nothing of it enters Out, and the cell's names stay."""
    before = dict(shell.user_ns["Out"])
    done = run("%%memtrace\nblock = bytes(3_000_000)")
    assert done.success
    assert done.out.startswith("Peak: ")
    assert "Process memory (RSS)" in done.out
    assert done.result is None
    assert len(shell.user_ns["block"]) == 3_000_000
    assert shell.user_ns["Out"] == before


def test_a_statement_is_traced_returned_and_written(run, shell, tmp_path):
    """-o returns, -q is silent but for the files; the capture is the one that was saved."""
    done = run(
        f"capture = %memtrace -oq -i 0.005 --save {tmp_path}/a.memlab --report {tmp_path}/a.html sum([1, 2])"
    )
    assert done.out.splitlines() == [
        f"capture written to {tmp_path}/a.memlab",
        f"report written to {tmp_path}/a.html",
    ]
    capture = shell.user_ns["capture"]
    assert type(capture) is Capture
    assert load(tmp_path / "a.memlab") == capture


def test_what_the_cell_raises_passes_after_the_trace(run, shell, tmp_path):
    """The same exception, without memlab's frames; what was recorded is shown and written first."""
    shell.user_ns["error"] = error = KeyError("mine")
    done = run(f"%%memtrace --save {tmp_path}/a.memlab\nx = 1\nraise error")
    assert done.error_in_exec is error
    assert "Peak: " in done.out
    assert type(load(tmp_path / "a.memlab")) is Capture
    at, names = error.__traceback__, []
    while at is not None:
        names.append(at.tb_frame.f_globals.get("__name__"))
        at = at.tb_next
    assert names[-1] == "__main__"
    assert not any(name.startswith("memlab.lab") for name in names)


def test_memtrace_samples_allocation_sites(run, shell):
    """``--sample`` implies ``--sites``: the cell's lines by live memory."""
    pytest.importorskip("memlab._native.sites")
    run("capture = %memtrace -oq --sample 4KiB kept = [bytes(1000) for n in range(3000)]")
    capture = shell.user_ns["capture"]
    assert capture.sites.sample_bytes == 4096
    place = capture.sites.growth().sites[0].site.frame
    assert place.file.startswith(("Cell In[", "%memtrace in In["))
    assert run("%%memtrace --sites -o\nx = 1").result.sites.sample_bytes == 512 * 1024


def test_the_line_at_the_peak_is_the_cells_own(run, shell):
    """Where a stack was seen, it names the cell and its line as the notebook does, with its source."""
    run(
        """
        def grow():
            import time
            table = [bytearray(2_000_000) for _ in range(60)]
            time.sleep(0.4)
            return table
        """
    )
    run("capture = %memtrace -oq grow()")
    seen = [s for s in (shell.user_ns["capture"].peak_stack, *shell.user_ns["capture"].hot) if s is not None]
    for stack in seen:
        assert stack.frame.file.startswith(("Cell In[", "%memtrace in In["))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%memtrace", "there is no code to run"),
        ("%%memtrace 3\nx = 1", "'3' is no option; code goes below"),
        ("%%memtrace -i 0\nx = 1", "-i must be from 0.001 to 60 seconds, not 0"),
        ("%%memtrace -i soon\nx = 1", "soon"),
        ("%%memtrace --colour\nx = 1", "--colour"),
        ("%%memtrace --save /nowhere/a\nx = 1", "nowhere"),
        ("%memlive mark", "no live view runs"),
        ("%memlive stop", "no live view runs"),
        ("%memlive faster", "'faster' is none of"),
        ("%memlive -u 99", "updates_per_s must be a number of"),
        ("%memlive --limit 9apples", "cannot read the size"),
    ],
)
def test_wrong_use_is_one_line(run, cell, said):
    """No traceback, nothing run, nothing left."""
    live_widget._latest.clear()
    done = run(cell)
    assert not done.success
    assert said in done.err + done.out
    assert "Traceback" not in done.err + done.out
    assert not live_widget._shown


# -- the live view


def test_updates_are_messages_of_samples_and_words(published):
    """Each has the samples as numbers, figures as words, and is JSON; at most as many as were asked for."""
    live = Live(0.02, 10, types=False)
    live._ipython_display_()
    wait_for(lambda: len(published["sent"]) >= 3)
    live.mark("here")
    wait_for(lambda: any(content["marks"] for content, _ in published["sent"]))
    capture = live.stop()
    at = [0, 0]
    for content, buffers in published["sent"]:
        json.dumps(content)
        assert [track["names"] for track in content["tracks"]] == [["rss_bytes"], ["allocated_blocks"]]
        assert [track["first"] for track in content["tracks"]] == at
        rows = [track["rows"] for track in content["tracks"]]
        assert [len(b) // 8 for b in buffers] == [rows[0]] * 2 + [rows[1]] * 2
        at = [one + more for one, more in zip(at, rows, strict=True)]
        assert content["figures"]["running"]
        assert content["figures"]["rss"].endswith("iB")
    assert at[0] <= len(capture.timeline)
    assert published["sent"][-1][0]["marks"][0]["label"] == "here"


def test_the_view_leaves_the_report_in_its_place(published):
    """Shown: the widget with its text, and a folded table. Ended: the capture's own display, no widget."""
    live = Live(types=False, limit=1)
    live._ipython_display_()
    (view, how), (still, _) = published["display"]
    assert live_widget._WIDGET in view[0]
    assert view[0]["text/plain"].startswith("memory of this kernel: RSS ")
    assert "Memory is above the limit of 1 B" in view[0]["text/plain"]
    kept = nh3.clean(still[0]["text/html"])
    assert re.search(r"<td>\d[\d.]* MiB</td>", kept)
    live.stop()
    (report, again), (emptied, _) = published["update"]
    assert again["display_id"] == how["display_id"]
    assert live_widget._WIDGET not in report[0]
    assert report[0]["text/plain"] == str(live.capture())
    assert report[0]["image/svg+xml"].startswith("<svg")
    assert emptied[0]["text/html"] == ""
    assert not live._view.widget.picture["running"]
    live._ipython_display_()  # shown again, it is the capture
    assert published["display"][-1][0] == (live.capture(),)


def test_the_state_alone_draws_the_picture(published):
    """The synced picture and figures hold all that the script needs, as JSON."""
    live = Live(types=False)
    live.mark("</script>\x00")
    live._view.sync()
    state = live._view.widget.get_state()
    picture = json.loads(json.dumps(state["picture"]))
    assert {"series", "spans", "pauses", "marks", "peak", "taken", "running"} <= set(picture)
    assert picture["marks"][0]["label"] == "</script>\\x00"
    assert json.dumps(state["figures"])
    live.close()


def test_buttons_do_what_the_methods_do(published):
    """Mark, snapshot and stop by message; an answer comes with the number of the question."""
    live = Live(types=False)
    live._ipython_display_()
    message = lambda content: live_widget._handle(weakref.ref(live), content)
    message({"do": "mark", "label": " by hand ", "number": 1})
    assert live._view.widget.figures["answer"] == "Marked: by hand"
    message({"do": "mark", "label": "", "number": 2})
    assert live._view.widget.figures["answer"] == "Marked: mark 2"
    message({"do": "snapshot", "number": 3})
    assert live._view.widget.figures["answered"] == 3
    assert len(live.snapshots) == 1
    assert live._view.widget.figures["snapshots"][0].startswith("Snapshot at ")
    for nonsense in (None, 3, {}, {"do": "explode"}, {"do": "mark", "label": ["x"], "number": "4"}):
        message(nonsense)
    message({"do": "stop", "number": 5})
    assert not live.is_alive
    assert live.recording.ended == "its Stop button was pressed"
    message({"do": "mark", "label": "late", "number": 6})
    assert "does not run" in live._view.widget.figures["answer"]


def test_a_traced_program_gives_snapshots_of_lines(published):
    """With tracemalloc on, the snapshot is one of allocation sites."""
    live = Live(types=False)
    with memlab.tracing():
        shot = live.snapshot("traced")
    assert type(shot).__name__ == "Snapshot"
    assert shot.label == "traced"
    live.close()


def test_a_view_that_is_shown_stays_and_one_that_is_not_goes(published):
    """Displayed without a name it runs on; when its last page is gone it ends with its last reference."""
    live = Live(types=False)
    gone = weakref.ref(live)
    live._ipython_display_()
    view = live._view
    this = weakref.ref(live)
    live_widget._handle(this, {"do": "shown"})
    del live
    gc.collect()
    assert gone().is_alive
    live_widget._handle(this, {"do": "gone"})
    gc.collect()
    wait_for(lambda: gone() is None)
    assert view._recording() is None
    quiet = Live(types=False)
    gone = weakref.ref(quiet)
    del quiet
    gc.collect()
    assert gone() is None
    assert not [t for t in threading.enumerate() if t.name == "memlab-live"]


def test_a_page_that_is_gone_gets_no_messages(published):
    """Nothing is sent while nobody looks; the recording goes on, and a new page gets the whole."""
    live = Live(0.02, 10, types=False)
    live._ipython_display_()
    this = weakref.ref(live)
    live_widget._handle(this, {"do": "shown"})
    wait_for(lambda: published["sent"])
    live_widget._handle(this, {"do": "gone"})
    time.sleep(0.15)
    count, samples = len(published["sent"]), live.recording.taken[1]
    wait_for(lambda: live.recording.taken[1] > samples + 5)
    assert len(published["sent"]) <= count + 1
    live_widget._handle(this, {"do": "shown"})
    assert live._view.widget.picture["taken"][1] >= samples
    wait_for(lambda: len(published["sent"]) > count + 1)
    live.close()


def test_the_magic_begins_marks_and_ends(run, shell, published):
    """%memlive shows a view; mark, snapshot and stop act on the one that was begun last."""
    assert run("live = %memlive -o --no-types -l 64GiB").success
    live = shell.user_ns["live"]
    assert latest() is live
    assert run("%memlive mark half way").success
    assert run("%memlive snapshot").success
    assert run("%memlive stop").success
    assert [m.label for m in live.capture().marks] == ["half way", "snapshot 1"]
    with pytest.raises(UsageError, match="no live view runs"):
        latest()


def test_the_method_prints_nothing(run, published, capsys):
    """Not from the thread, not at its end."""
    live = Live(0.01, 10, types=False)
    live._ipython_display_()
    wait_for(lambda: len(published["sent"]) > 2)
    live.stop()
    assert capsys.readouterr() == ("", "")


def test_without_anywidget_it_says_what_to_install(monkeypatch):
    """One sentence with the command, and no thread."""
    monkeypatch.setattr(live_widget, "_classes", [])
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'memlab\[notebook\]'"):
        Live()
    assert not [t for t in threading.enumerate() if t.name == "memlab-live"]


def test_the_script_makes_no_markup_and_asks_for_nothing():
    """The same rule as for the page's own script."""
    script, style = live_assets()
    assert not re.search(r"(inner|outer|insertAdjacent)HTML|document\.write|DOMParser|cssText", script)
    bare = script.replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|\bimport\b|fetch\(|XMLHttp|WebSocket|eval\(|Function\(", bare)
    assert "</" not in script
    assert not re.search(r"url\(|@import|https?:|</", style)
    assert len(script.encode()) < 48_000
