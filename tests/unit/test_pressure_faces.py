"""Pressure and the guard as commands, magics and a widget; and what their results say."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import samples
from shells import one_shell, run, shell

from memlab.faces.cli import main
from memlab.records.columns import floats, ints
from memlab.records.pressure import PressureOutcome, PressurePhase, PressureRun
from memlab.records.timeline import Timeline
from memlab.store.capture_file import load
from memlab.views.html import build_page, pressure_assets
from memlab.views.pressure_rows import rates
from memlab.views.text import render_text

__all__ = ["one_shell", "run", "shell"]  # fixtures

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and limits on processes")
UNIT = Path(__file__).resolve().parent
MIB = 2**20


@pytest.fixture(autouse=True)
def foreground():
    """A guard refuses where SIGINT is ignored, as in what a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def command(*arguments):
    return main(["pressure", *arguments, "--quiet"])


# -- the command line


@linux
def test_a_scenario_prints_its_result_and_writes_what_was_asked_for(tmp_path, monkeypatch, capsys):
    """Text on standard output, exit code 0, a capture and a page."""
    monkeypatch.chdir(UNIT)
    code = command(
        "spike",
        *("--cache", "cage_subjects:small_cache", "--budget", "64MiB", "--seconds", "0.5"),
        *("--value-bytes", "1000", "--key-count", "500"),
        *("--save", str(tmp_path / "run.memlab"), "--report", str(tmp_path / "run.html")),
    )
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("Pressure: spike and recovery on cage_subjects:small_cache: finished")
    assert "hit rate" in out
    saved = load(tmp_path / "run.memlab")
    assert saved.outcome is PressureOutcome.FINISHED
    assert str(saved) == out.rstrip("\n")
    assert "Phase by phase" in (tmp_path / "run.html").read_text()


@linux
def test_json_is_one_document_and_a_file_is_a_target_too(tmp_path, monkeypatch, capsys):
    """The file's folder is on the path inside the cage; what it prints is not in the document."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "lib" / "mine_under_pressure.py"
    place.parent.mkdir()
    place.write_text("def step():\n    print('noise')\n")
    code = command(
        "ramp",
        *("--subject", "lib/mine_under_pressure.py:step", "--budget", "64MiB", "--seconds", "0.3", "--json"),
    )
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["subject"] == "mine_under_pressure:step"
    assert document["phases"][0]["calls"] > 0


@linux
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("oom",), 0),
        (("ramp", "--subject", "cage_subjects:fails_later"), 1),
        (("ramp", "--subject", "cage_subjects:leaves"), 1),
        (("ramp", "--subject", "cage_subjects:hangs", "--deadline", "0.8"), 3),
    ],
)
def test_the_exit_code_says_how_it_ended(arguments, code, monkeypatch, capsys):
    """Done, failed, or no answer in time."""
    monkeypatch.chdir(UNIT)
    assert command(*arguments, "--budget", "64MiB", "--seconds", "0.3") == code
    assert capsys.readouterr().out.startswith("Pressure: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("spke",), "did you mean 'spike'"),
        (("ramp", "--budget", "lots"), "cannot read the size"),
        (("ramp", "--budget", "90TiB"), "more than may be taken here"),
        (("ramp", "--budget", "4MiB"), "32 MiB or more"),
        (("ramp", "--seconds", "-1"), "length in seconds"),
        (("ramp", "--subject", "nocolon"), "names no function"),
        (("ramp", "--subject", "no/such.py:f"), "no file no/such.py"),
        (("ramp", "--subject", "cage_subjects:step", "--pool", "cage_subjects:Pool"), "not several at once"),
        (("ramp", "--keys", "cage_subjects:two_keys"), "keys are for a cache"),
        (("ramp", "--nth", "3"), "goes with the scenario failures"),
        (("failures",), "needs --subject"),
        (("ramp", "--report", "no/such/folder/x.html"), "cannot write"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(arguments, said, capsys, monkeypatch):
    """It names the step and the remedy, and starts nothing."""
    monkeypatch.chdir(UNIT)
    assert command(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""


@linux
def test_an_interrupt_prints_what_was_seen(monkeypatch, capsys):
    """Exit code 130, and the cage is gone."""
    from memlab.faces.cli import pressure

    def struck(name, seconds, console):
        def sample(now, rss, told):
            raise KeyboardInterrupt

        return sample

    monkeypatch.setattr(pressure, "_progress", struck)
    assert command("ramp", "--budget", "64MiB") == 130
    assert capsys.readouterr().out.startswith("Pressure: gradual ramp: interrupted")


# -- the magics


@linux
def test_the_magic_shows_and_returns_a_run(run, shell, monkeypatch):
    """Shown, not kept; taken with -o."""
    monkeypatch.syspath_prepend(str(UNIT))
    done = run("result = %pressure -o -b 64MiB -t 0.3 --subject cage_subjects:step ramp")
    assert done.success, done.err
    assert done.out.startswith("Pressure: gradual ramp on cage_subjects:step: finished")
    assert shell.user_ns["result"].calls > 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%pressure", "name a scenario"),
        ("%pressure rmp", "did you mean 'ramp'"),
        ("%pressure --budget 90TiB ramp", "more than may be taken here"),
        ("%pressure --widget -o ramp", "a widget writes and returns nothing"),
        ("%pressure --widgt", "no option --widgt"),
        ("%memguard", "say on, off or status"),
        ("%memguard on --limit", "needs a value"),
        ("%memguard on --limit lots", "cannot read the size"),
        ("%memguard on --limit 1MiB", "already, and the limit is"),
        ("%memguard status now", "has no meaning here"),
        ("%memguard off --limit 3GiB", "has no meaning here"),
    ],
)
def test_wrong_use_of_a_magic_is_one_line(run, line, said):
    """And leaves nothing on."""
    done = run(line)
    assert not done.success
    assert said in str(done.error_in_exec)
    assert run("%memguard status").out.strip() == "memlab: the guard is off"


@linux
def test_the_guard_goes_on_and_off_and_off_with_the_extension(run, shell):
    """Twice on is on anew; unloading the extension ends the watcher."""
    from memlab.faces.ipython.magics import unregister

    assert "the limit is 900 GiB" in run("%memguard on --limit 900GiB --no-growth").out
    assert "the limit is 800 GiB" in run("%memguard on --limit 800GiB --no-growth").out
    callbacks = shell.events.callbacks["post_run_cell"]
    assert sum("_after_cell" in str(c) for c in callbacks) == 1
    unregister(shell)
    assert sum("_after_cell" in str(c) for c in callbacks) == 0


# -- the widget


@pytest.fixture
def widget():
    pytest.importorskip("anywidget", reason="needs memlab[notebook]")
    from memlab.faces.ipython.pressure_widget import pressure_widget

    made = pressure_widget("ramp", "64 MiB", 0.4, subject="math:pi.hex")
    yield made
    made.close()


def click(widget, action, scenario="ramp", budget="64 MiB"):
    widget.request = {
        "action": action,
        "scenario": scenario,
        "budget": budget,
        "number": widget.request.get("number", 0) + 1,
    }


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@linux
def test_a_click_runs_a_cage_and_the_widget_shows_it(widget):
    """The picture and the table are in the synced state; the run is there; the still view tells it."""
    pictures = []
    widget.observe(lambda change: pictures.append(len(change["new"].get("t", ()))), names="picture")
    click(widget, "run")
    assert widget.running
    wait_for(lambda: not widget.running)
    assert widget.run.outcome is PressureOutcome.FINISHED
    assert widget.table[0][:2] == ["phase", "lasted"]
    assert widget.picture["budget"] == 64 * MIB
    assert len(widget.picture["t"]) == len(widget.picture["rss"]) == len(widget.picture["ballast"])
    assert pictures
    bundle, _ = widget._repr_mimebundle_()
    assert bundle["text/plain"].startswith("Pressure: gradual ramp on math:pi.hex")
    assert "<table" in bundle["text/html"]


@linux
def test_a_click_stops_it_and_a_wrong_budget_is_told(widget):
    """Neither is an error of the notebook's."""
    click(widget, "run", "sawtooth")
    wait_for(lambda: widget.picture)
    click(widget, "run")  # one at a time
    click(widget, "stop")
    wait_for(lambda: not widget.running)
    assert widget.run.outcome is PressureOutcome.INTERRUPTED
    for budget, said in (("lots", "cannot read the size"), ("90 TiB", "more than may be taken")):
        click(widget, "run", budget=budget)
        wait_for(lambda: not widget.running)
        assert said in widget.status


def test_the_widgets_script_makes_no_markup_and_asks_for_nothing():
    """Text by textContent alone; no request; the style stays within itself."""
    script, style = pressure_assets()
    assert not re.search(r"(inner|outer|insertAdjacent)HTML|document\.write|DOMParser|cssText", script)
    assert not re.search(r"\bimport\b|fetch\(|XMLHttp|WebSocket|eval\(|Function\(", script)
    assert script.count("http") == 1, "the name of SVG"
    assert not re.search(r"url\(|@import|https?:|</", style)
    assert (resources.files("memlab.views") / "assets" / "pressure.js").is_file()


# -- what is said of results


def test_the_text_of_a_run_has_its_phases_and_its_failures():
    """Each figure under its name, what is absent with a dash."""
    lines = render_text(samples.pressure_run()).splitlines()
    assert lines[0] == "Pressure: spike and recovery on shop.cache:make: the subject failed"
    row = next(line for line in lines if line.strip().startswith("spike "))
    assert " ".join(row.split()) == "spike 600 ms 60.0 MiB 80.0 MiB 24,000 2.6 µs 50 µs 2 50.0 % 600"
    assert any("ValueError" in line for line in lines)
    assert any("MemoryError raised" in line for line in lines)


def test_the_page_of_a_run_draws_memory_hits_and_latency():
    """Four charts, the budget as a line, the phases as marks."""
    page = build_page(samples.pressure_run())
    assert [chart.title for chart in page.charts] == [
        "Process memory (RSS)",
        "Ballast",
        "Hit rate (%)",
        "Mean latency (µs)",
    ]
    assert page.charts[0].level[1] == "budget 96.0 MiB"
    assert [text for _, text in page.charts[0].marks] == ["calm", "spike", "recovery"]
    assert page.badge.text == "the subject failed"


def test_rates_are_made_from_running_totals_and_leave_out_stretches_without_calls():
    """Half the lookups hit in the first second, all in the second, none are asked for in the third."""
    time_s = floats(np.arange(0, 3.0, 0.01))
    calls = ints(np.minimum(np.arange(300), 200))
    hits = ints(np.where(np.arange(300) < 100, np.arange(300) // 2, np.minimum(np.arange(300), 200) - 50))
    timeline = Timeline(
        time_s,
        {
            "calls": calls,
            "failures": ints(np.zeros(300)),
            "busy_ns": ints(calls * 3000),
            "hits": hits,
            "misses": ints(calls - hits),
        },
    )
    run = PressureRun("x", "y", "cache", PressureOutcome.FINISHED, "", MIB, timeline)
    derived = rates(run)
    assert derived.time_s[-1] < 2.1
    rate = derived.metrics["hit_rate_percent"]
    assert set(rate[:9].tolist()) <= {45, 50, 55, 60}
    assert set(rate[11:19].tolist()) == {100}
    assert set(derived.metrics["latency_us"].tolist()) == {3}


def test_a_run_without_anything_still_shows():
    """A cage that was ended before it was ready: no zeros, no errors."""
    empty = PressureRun(
        "ramp", "", "none", PressureOutcome.DIED, "it left", MIB, Timeline(floats([]), {}),
        phases=(PressurePhase("a", 0, 0, 0, 0),),
    )  # fmt: skip
    assert "not known" in render_text(empty)
    assert build_page(empty).charts == ()
    assert len(empty.to_frame()) == 1
    assert rates(empty).metrics == {}


def test_a_post_mortem_says_what_frees_what_it_found():
    """The names, what they retain, and the statement that lets it go."""
    text = render_text(samples.post_mortem())
    assert text.startswith("Post-mortem: The process reached 6.00 GiB")
    assert "del frames" in text
    assert "+4.88 GiB" in text
    page = build_page(samples.post_mortem())
    assert page.headline == "Interrupted before memory ran out"
    assert page.charts[0].level[1] == "limit 6.00 GiB"
