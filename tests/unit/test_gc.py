"""The collector: watched, adapted and restored exactly, tried in child processes; a choice from trials."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import sys
import threading
import time

import pytest
from kit.everyline import interrupt_everywhere

from memlab import (
    GCMonitor,
    GCOptimizer,
    GCSchedule,
    KindError,
    StepError,
    UnavailableError,
    UsageError,
    gc_performance_monitor,
    recommend_gc,
)
from memlab.analyses.gc_choice import choose, paired
from memlab.collectors.gc_kind import collector_kind
from memlab.lab._gc_child import measure, script_code
from memlab.records.gc_results import GcTrial


def state():
    return {
        "thresholds": gc.get_threshold(),
        "enabled": gc.isenabled(),
        "callbacks": len(gc.callbacks),
        "frozen": gc.get_freeze_count() > 1000,
        "threads": threading.active_count(),
    }


def cycles(count):
    for _ in range(count):
        ring = {}
        ring["ring"] = ring


# -- the monitor


def test_every_collection_is_in_the_table():
    """Generation, pause, yield and start of each, in order, as a table and as figures."""
    with GCMonitor() as monitor:
        gc.collect(0)
        cycles(50)
        gc.collect(1)
        gc.collect(2)
    table = monitor.pauses
    assert table.generation.tolist()[-3:] == [0, 1, 2]
    stats = monitor.stats
    assert stats.collections == len(table)
    assert stats.collected >= 50
    assert stats["max_pause"] == stats.max_pause == table.pause_s.max()
    assert stats.mean_pause == pytest.approx(table.pause_s.mean())
    assert stats.total_pause == pytest.approx(table.pause_s.sum())
    assert 0 < stats.share < 1
    assert stats.by_generation == {g: int((table.generation == g).sum()) for g in range(3)}


def test_a_monitor_without_collections_has_no_pauses():
    """Absent is None, never 0."""
    gc.disable()
    try:
        with GCMonitor() as monitor:
            pass
    finally:
        gc.enable()
    stats = monitor.stats
    assert (stats.collections, stats.mean_pause, stats.p99_pause, stats.max_pause) == (0, None, None, None)
    with pytest.raises(UnavailableError, match="did not run"):
        stats.plot()


def test_monitors_are_used_once_and_read_after_the_end():
    """A second start and a reading before the first are one sentence each; stop may be called twice."""
    monitor = GCMonitor()
    with pytest.raises(UsageError, match="not started"):
        monitor.stats
    monitor.start()
    monitor.stop()
    monitor.stop()
    before = monitor.stats.collections
    gc.collect()
    assert monitor.stats.collections == before
    with pytest.raises(UsageError, match="make a new one"):
        monitor.start()


class Allocating:
    """A finalizer that makes containers, which starts collections in the midst of one."""

    depth = deepest = ended = 0

    def __init__(self):
        self.me = self

    def __del__(self):
        cls = Allocating
        cls.depth += 1
        cls.deepest = max(cls.deepest, cls.depth)
        cls.ended += 1
        [[] for _ in range(5)]
        cls.depth -= 1


def test_finalizers_that_allocate_do_not_make_it_recurse(monkeypatch):
    """Over thousands of collections no callback runs inside another, and nothing is raised in one."""
    raised = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    before = gc.get_threshold()
    wanted = 100_000 if __import__("os").environ.get("MEMLAB_LONG") else 3_000
    with GCMonitor() as monitor:
        gc.set_threshold(3, 2, 1000)
        try:
            while monitor._subscription._owner.written - monitor._subscription._first < wanted:
                for _ in range(50):
                    Allocating()
        finally:
            gc.set_threshold(*before)
            gc.collect()
    assert monitor.stats.collections >= wanted
    assert raised == []
    assert Allocating.deepest <= 3
    assert Allocating.ended > 1000


def test_histogram_and_timeline_are_drawn():
    """Both pictures come back as axes with something on them."""
    from matplotlib.figure import Figure

    with GCMonitor() as monitor:
        for generation in (0, 1, 2, 0):
            gc.collect(generation)
    axes = Figure().subplots()
    assert monitor.plot_histogram(axes) is axes
    assert axes.patches
    assert monitor.plot_timeline(Figure().subplots()).collections


# -- the decorator


def test_the_decorator_keeps_what_the_function_is(caplog):
    """Name, documentation, result and the exception itself; one line at INFO for each call."""
    error = ValueError("mine")

    @gc_performance_monitor
    def work(a, *, b=2):
        """Add."""
        gc.collect()
        if b is None:
            raise error
        return a + b

    with caplog.at_level(logging.INFO, "memlab.gc"):
        assert work(1, b=5) == 6
        with pytest.raises(ValueError, match="mine") as caught:
            work(1, b=None)
    assert caught.value is error
    assert (work.__name__, work.__doc__) == ("work", "Add.")
    first, second = [record.getMessage() for record in caplog.records]
    assert "work: collections " in first
    assert "objects collected, memory " in first
    assert "work (raised ValueError): collections" in second
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_the_decorator_takes_coroutines_and_options(caplog):
    """A coroutine function stays one, and another logger can be named."""
    log = logging.getLogger("mine")

    @gc_performance_monitor(logger=log)
    async def work():
        await asyncio.sleep(0)
        gc.collect()
        return 7

    with caplog.at_level(logging.INFO, "mine"):
        assert asyncio.run(work()) == 7
    assert asyncio.iscoroutinefunction(work)
    (record,) = [r for r in caplog.records if r.name == "mine"]
    assert "/1, pauses" in record.getMessage()
    with pytest.raises(KindError, match="cannot be called") as caught:
        gc_performance_monitor(5)
    assert isinstance(caught.value, TypeError)


# -- the optimizer


def test_light_load_is_left_alone_and_heavy_load_collects_more():
    """A thousand short lists bring fewer than five collections; container garbage brings more."""
    before = state()
    with GCOptimizer() as light:
        [[] for _ in range(1000)]
    with GCOptimizer() as heavy:
        for _ in range(20):
            cycles(2000)
    assert light.stats.collections < 5
    assert heavy.stats.collections > light.stats.collections
    assert state() == before


def run_heavy(optimizer, seconds=10):
    deadline = time.monotonic() + seconds
    live = [{} for _ in range(60_000)]
    while time.monotonic() < deadline and not any(d.action == "raise" for d in optimizer.decisions):
        cycles(3000)
    return live


def test_it_raises_the_thresholds_where_collections_take_much():
    """Each change is a decision with its figures, and the end restores what was there."""
    before = gc.get_threshold()
    with GCOptimizer(interval_s=0.02, target_share=0.01) as optimizer:
        run_heavy(optimizer)
        raised = gc.get_threshold()
    decision = next(d for d in optimizer.decisions if d.action == "raise")
    assert decision.before == before
    assert decision.after[0] == before[0] * 4
    assert raised[0] > before[0]
    assert "aimed at are 1 %" in decision.reason
    assert optimizer.decisions[-1].action == "restore"
    assert gc.get_threshold() == before
    table = optimizer.decisions.to_frame()
    assert table.action.tolist()[-1] == "restore"
    assert "decisions" in str(optimizer.decisions)


def test_it_goes_back_when_the_process_grows():
    """Past the memory budget the old thresholds are in force again."""
    with GCOptimizer(interval_s=0.02, target_share=0.01, memory_budget_mb=20) as optimizer:
        live = run_heavy(optimizer)
        block = bytearray(60 * 1024 * 1024)
        block[::4096] = b"x" * len(block[::4096])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not any(d.action == "lower" for d in optimizer.decisions):
            cycles(500)
    assert "the process grew by" in next(d for d in optimizer.decisions if d.action == "lower").reason
    assert live


def test_freezing_is_asked_for_and_undone():
    """What lived at the start is set aside, and given back at the end; a frozen program is left alone."""
    before = state()
    with GCOptimizer(freeze=True) as optimizer:
        assert gc.get_freeze_count() > 1000
    assert optimizer.decisions[0].action == "freeze"
    assert state() == before
    gc.freeze()
    try:
        with GCOptimizer(freeze=True) as optimizer:
            pass
        assert gc.get_freeze_count() > 1000
        assert "froze objects itself" in optimizer.decisions[0].reason
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("enabled", [True, False])
def test_everything_is_restored_even_after_an_exception(enabled):
    """Thresholds, the enabled flag and the callbacks, whatever the program did to them meanwhile."""
    gc.set_threshold(701, 11, 12)
    (gc.enable if enabled else gc.disable)()
    before = state()
    try:
        error = RuntimeError("mine")
        with pytest.raises(RuntimeError) as caught, GCOptimizer():
            gc.set_threshold(5, 5, 5)
            (gc.disable if enabled else gc.enable)()
            raise error
        assert caught.value is error
        assert state() == before
    finally:
        gc.set_threshold(*[700, 10, 10] if sys.version_info < (3, 13) else [2000, 10, 10])
        gc.enable()


@pytest.mark.parametrize(
    "make", [GCMonitor, lambda: GCOptimizer(interval_s=5), lambda: GCSchedule(every_s=60)], ids=str
)
def test_an_interrupt_at_any_line_restores_everything(make):
    """Wherever Ctrl-C strikes between start and stop, nothing of it is left."""

    def use():
        with make():
            pass

    gc.disable()  # what strikes inside a callback of the collector is swallowed by the interpreter
    try:
        lines, residue = interrupt_everywhere(use, state)
    finally:
        gc.enable()
    assert lines > 15
    assert residue == []


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: GCOptimizer(target_share=0), "target_share"),
        (lambda: GCOptimizer(memory_budget_mb=-1), "memory_budget_mb"),
        (lambda: GCOptimizer(interval_s="1"), "interval_s"),
        (lambda: GCSchedule(every_s=0), "every_s"),
        (lambda: GCSchedule(growth_mb=-1), "growth_mb"),
        (lambda: GCSchedule(generation=3), "generation"),
        (lambda: recommend_gc("x.py", rounds=0), "rounds"),
        (lambda: recommend_gc("x.py", prefer="speed"), "prefer"),
        (lambda: recommend_gc("x.py", most_memory=0), "most_memory"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make, named):
    """The message names the argument and what it must be."""
    with pytest.raises(UsageError, match=f"{named} must be"):
        make()


def test_a_schedule_collects_by_the_clock_alone():
    """The automatic collector rests, the thread collects, and the end restores the thresholds."""
    before = state()
    with GCSchedule(every_s=0.02) as schedule, GCMonitor() as monitor:
        deadline = time.monotonic() + 10
        while schedule.collections < 3 and time.monotonic() < deadline:
            cycles(1000)
    assert schedule.collections >= 3
    assert set(monitor.pauses.generation) == {2}
    assert state() == before


# -- which collector


def test_the_collector_is_told_by_what_it_does():
    """A third threshold that cannot be set is the incremental one, whatever the version says."""
    thresholds = [2000, 10, 0]

    def set_incremental(first, second, third):
        thresholds[:] = [first, second, 0]

    kind = collector_kind(lambda: tuple(thresholds), set_incremental, (3, 14, 2), None)
    assert (kind.name, kind.uses_third_threshold) == ("incremental", False)
    assert thresholds == [2000, 10, 0]

    def set_generational(*values):
        thresholds[:] = values

    kind = collector_kind(lambda: tuple(thresholds), set_generational, (3, 14, 5), None)
    assert kind.name == "generational"
    assert thresholds == [2000, 10, 0]
    assert collector_kind(gil=lambda: False).name == "free-threaded"
    assert collector_kind().name == "generational"


# -- trials and the choice


def trial(name, cpu, p99=0.01, longest=0.02, peak=100, pauses=0.5):
    rounds = len(cpu)
    return GcTrial(
        name, f"code of {name}", tuple(cpu), tuple(cpu), (pauses,) * rounds, (p99,) * rounds,
        (longest,) * rounds, (10,) * rounds, (peak * 2**20,) * rounds,
    )  # fmt: skip


OWN = trial("as it is", [1.0, 1.1, 0.9, 1.0])


@pytest.mark.parametrize(
    ("others", "prefer", "chosen"),
    [
        ([trial("quick", [0.5, 0.6, 0.5, 0.5])], "balanced", "quick"),
        ([trial("a tenth", [0.9, 1.0, 0.8, 0.9])], "balanced", None),
        ([trial("unsteady", [0.4, 1.2, 0.4, 1.1])], "balanced", None),
        ([trial("greedy", [0.5, 0.5, 0.5, 0.5], peak=300)], "balanced", None),
        ([trial("calm", [1.0, 1.1, 0.9, 1.0], p99=0.001, longest=0.002)], "balanced", "calm"),
        ([trial("calm", [1.0, 1.1, 0.9, 1.0], p99=0.001, longest=0.002)], "throughput", None),
        ([trial("calm but long", [1.0, 1.1, 0.9, 1.0], p99=0.001, longest=0.5)], "pause", None),
        ([trial("quick", [0.5, 0.6, 0.5, 0.5], p99=0.5)], "pause", None),
        ([trial("first", [0.5] * 4), trial("much the same", [0.499] * 4)], "balanced", "first"),
        ([trial("good", [0.7] * 4), trial("better", [0.4] * 4)], "balanced", "better"),
    ],
)
def test_the_choice_follows_its_rules(others, prefer, chosen):
    """A fifth, in three rounds of four, within the memory; the simplest of equals; or nothing."""
    best, reason = choose((OWN, *others), prefer, 1.25)
    assert (best.name if best else None) == chosen
    assert reason
    if others[0].name == "greedy":
        assert "greedy would help" in reason


def test_where_the_collector_takes_nothing_there_is_nothing_to_gain():
    """A program that the collector hardly touches is told so."""
    own = trial("as it is", [1.0] * 4, longest=0.001, pauses=0.003)
    best, reason = choose((own, trial("quick", [0.5] * 4)), "balanced", 1.25)
    assert best is None
    assert "0.3 % of the processor time" in reason
    assert "nothing to gain" in reason


def test_ratios_are_taken_round_by_round():
    """The middle of the paired ratios, not the ratio of the middles."""
    assert paired(OWN, trial("x", [0.5, 2.2, 0.45, 0.6]), "cpu_s") == pytest.approx(0.55)


def test_one_run_is_measured_and_leaves_the_collector_as_found():
    """The figures of a known workload: its collections are counted and timed."""
    before = state()
    figures = measure(lambda: [gc.collect() for _ in range(4)], {})
    assert figures["collections"] == 4
    assert 0 < figures["p99_s"] <= figures["max_s"] <= figures["pause_s"]
    assert figures["peak_bytes"] > 2**20
    assert state() == before


def test_a_script_is_frozen_where_its_imports_end():
    """Before the main block, else after the last import; lines stay where they are."""
    frozen = []
    names = {"__memlab_freeze__": lambda: frozen.append(len(names)), "__name__": "__main__"}
    source = b'"""Doc."""\nimport os\nx = 1\nif __name__ == "__main__":\n    y = 2\n'
    exec(script_code(source, "s.py", freeze=True), names)
    assert len(frozen) == 1
    assert (names["x"], names["y"]) == (1, 2)
    frozen.clear()
    exec(script_code(b"import os\nz = 1\n", "s.py", freeze=True), names)
    assert len(frozen) == 1
    exec(script_code(b"", "s.py", freeze=True), names)
    future = b'"""Doc."""\nfrom __future__ import annotations\nw: no_such_name = 1\n'
    exec(script_code(future, "s.py", freeze=True), names)
    assert len(frozen) == 2


SCRIPT = """
import sys
live = [{"n": n} for n in range(30_000)]
def main():
    for _ in range(int(sys.argv[1])):
        ring = {}
        ring["ring"] = ring
if __name__ == "__main__":
    print(__name__, sys.argv)
    main()
"""


def test_a_script_is_tried_with_each_setting(tmp_path):
    """A small script end to end: every setting has a run, the advice is a value with its code line."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    said = []
    advice = recommend_gc(
        script,
        arguments=["60000"],
        rounds=1,
        settings=["threshold 50,000", "freeze", "collect every second"],
        progress=lambda stage, done: said.append(done),
    )
    assert [t.name for t in advice.trials] == [
        "as it is",
        "threshold 50,000",
        "freeze",
        "collect every second",
    ]
    own, higher, *_ = advice.trials
    assert own.collections[0] > higher.collections[0]
    assert advice.workload == "job.py"
    assert said == sorted(said)
    assert len(said) == 4
    if advice.helps:
        assert advice.code
    assert str(tmp_path) not in str(advice.to_dict())


def test_a_function_is_tried_in_forks_of_this_process():
    """It may be local and closed over; this process is as before, whatever the function does to its own."""
    before, touched = state(), []

    def workload():
        touched.append(1)
        gc.set_threshold(1)
        print("dropped")
        cycles(2000)

    advice = recommend_gc(workload, rounds=2, settings=["freeze"])
    assert touched == []
    assert len(advice.trials[0].cpu_s) == 2
    assert advice.workload.endswith("workload")
    assert state() == before


def test_a_workload_that_fails_is_told_in_one_sentence(tmp_path):
    """A script that raises or leaves, a function that raises, one that never ends, one that is none."""
    script = tmp_path / "bad.py"
    script.write_text("raise RuntimeError('no database')")
    with pytest.raises(
        UnavailableError, match=r"bad.py ended with exit code 1 \(RuntimeError: no database\)"
    ):
        recommend_gc(script, rounds=1)
    script.write_text("import sys; sys.exit(3)")
    with pytest.raises(UnavailableError, match="exit code 3"):
        recommend_gc(script, rounds=1)
    with pytest.raises(UnavailableError, match="workload raised ZeroDivisionError"):
        recommend_gc(lambda: 1 / 0, rounds=1)
    with pytest.raises(UnavailableError, match=r"longer than 0\.2 s"):
        recommend_gc(lambda: time.sleep(30), rounds=1, timeout_s=0.2)
    script.write_text("import time; time.sleep(30)")
    with pytest.raises(UnavailableError, match=r"longer than 0\.5 s"):
        recommend_gc(script, rounds=1, timeout_s=0.5)
    with pytest.raises(UsageError, match="there is no script"):
        recommend_gc("nowhere.py")
    with pytest.raises(StepError, match="int is neither"):
        recommend_gc(5)
    with pytest.raises(UsageError, match="the settings are threshold"):
        recommend_gc(script, settings=["turbo"])


def test_the_advice_reads_as_a_table_with_the_line_to_copy():
    """Text, table and picture of an advice, and of one that nothing helps."""
    import samples
    from matplotlib.figure import Figure

    advice = samples.gc_advice()
    assert str(advice).startswith("Take threshold 10,000: ")
    assert "gc.set_threshold(10_000, 20, 50)" in str(advice)
    assert advice.to_frame().recommended.tolist() == [False, True]
    assert len(advice.plot(Figure().subplots()).collections) >= 2
    nothing = dataclasses.replace(advice, recommended="", code="", reason="it took 0.1 %")
    assert str(nothing).startswith("Leave the collector as it is: ")


# -- the command


def test_the_command_tries_a_script(tmp_path, capsys):
    """Table and line on stdout, the page on disk, exit code 0; wrong use is exit code 2."""
    from memlab.faces.cli import main

    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    page = tmp_path / "gc.html"
    code = main(
        ["gc", "--recommend", str(script), "--rounds", "1", "--quiet", "--report", str(page), "--", "5000"]
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "freeze, threshold 10,000" in out
    assert page.read_text().startswith("<!doctype html>")
    assert main(["gc"]) == 0
    assert "generation" in capsys.readouterr().out
    assert main(["gc", "--json"]) == 2
    assert main(["gc", "--recommend", "nowhere.py"]) == 2
    assert "there is no script nowhere.py" in capsys.readouterr().err
