"""The pressure simulator: budgets and refusals here, scenarios as values, and every end of a cage."""

from __future__ import annotations

import os
import sys
import threading
import types
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from cage_subjects import Lru, small_cache, step

from memlab.collectors.limits import Machine
from memlab.errors import BudgetError, MemlabError, UnavailableError, UsageError
from memlab.lab._ballast import PAGE, Ballast, map_touched
from memlab.lab._cage import OVER_BUDGET
from memlab.lab._caged import Inside
from memlab.lab._cgroup import CageGroup
from memlab.lab._subjects import CacheSubject, StepSubject, default_keys
from memlab.lab.memory_monitor import MemoryMonitor
from memlab.lab.pressure import MemoryPressureSimulator
from memlab.lab.scenarios import PressureScenario, PressureStage
from memlab.records.pressure import PressureOutcome
from tests.kit.everyline import interrupt_everywhere

MIB = 2**20
GIB = 2**30
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and limits on processes")
QUICK = PressureScenario.gradual_ramp(seconds=0.3)


class FakeMonitor:
    """A machine of any size."""

    def __init__(self, limit=64 * GIB, available=32 * GIB):
        self.machine = Machine()
        self.reading = types.SimpleNamespace(
            limit_bytes=limit, available_bytes=available, absent={"available_bytes": "nothing answers"}
        )
        self.readings = 0

    def read(self, *, uss=True):
        self.readings += 1
        return self.reading

    def rss_bytes(self):
        return None


def rss():
    return psutil.Process().memory_info().rss


# -- in this process


def test_twenty_steps_of_ten_mb_show_in_rss():
    """Each step's pages are touched: 190 to 230 MiB in all."""
    with MemoryPressureSimulator("256 MiB") as simulator:
        before = simulator.get_memory_usage()
        for _ in range(20):
            simulator.allocate_memory(10)
        grown = simulator.get_memory_usage() - before
        assert 190 <= grown <= 230
        assert len(simulator.allocations) == 20
        assert simulator.allocated_bytes == 200 * MIB


def test_a_spike_goes_back_to_the_system_though_an_array_is_still_referred_to():
    """More than 80 % of 200 MiB, right after the release; the array then reads as zeros."""
    with MemoryPressureSimulator("256 MiB") as simulator:
        before = rss()
        spike = simulator.allocate_memory(200)
        peak = rss()
        simulator.release_memory()
        assert peak - before > 190 * MIB
        assert (peak - rss()) / (peak - before) > 0.8
        assert not spike.any()
        assert simulator.allocations == []


def test_an_allocation_is_touched_float64():
    """The documented type and shape, every page written to, and writable."""
    with MemoryPressureSimulator("64 MiB") as simulator:
        array = simulator.allocate_memory(1.5)
        assert (array.dtype, array.shape) == (np.float64, (196_608,))
        assert array.view(np.uint8)[::PAGE].all()
        array[:] = 7.0
        assert simulator.allocations[0] is array


def test_what_passes_the_budget_is_refused_before_a_page_is_touched():
    """A MemoryError with the figures; nothing is held, and nothing was mapped."""
    with MemoryPressureSimulator(32 * MIB) as simulator:
        simulator.allocate_memory(20)
        before = rss()
        with pytest.raises(MemoryError, match=r"20.0 MiB of 32.0 MiB are allocated") as caught:
            simulator.allocate_memory(13)
        assert isinstance(caught.value, MemlabError)
        assert rss() - before < MIB
        assert len(simulator.allocations) == 1


def test_the_machines_reserve_is_refused_before_a_page_is_touched():
    """A tenth of the ceiling, or 512 MiB, stays: whatever the budget says."""
    monitor = FakeMonitor(limit=64 * GIB, available=6 * GIB + 500 * MIB)
    simulator = MemoryPressureSimulator(20 * GIB, monitor=monitor)
    before = rss()
    with pytest.raises(BudgetError, match=r"6.40 GiB stay in reserve"):
        simulator.allocate_memory(1024)
    assert rss() - before < MIB
    small = MemoryPressureSimulator(20 * GIB, monitor=FakeMonitor(limit=2 * GIB, available=600 * MIB))
    with pytest.raises(BudgetError, match="512 MiB stay in reserve"):
        small.allocate_memory(100)


def test_the_reserve_is_asked_between_steps_and_what_was_touched_goes_back():
    """Somebody else takes the machine's memory half-way: the allocation ends, and nothing of it stays."""
    monitor = FakeMonitor(limit=4 * GIB, available=3 * GIB)
    simulator = MemoryPressureSimulator(128 * MIB, monitor=monitor)
    read = monitor.read

    def shrinking(*, uss=True):
        if monitor.readings > 40:
            monitor.reading.available_bytes = 100 * MIB
        return read(uss=uss)

    monitor.read = shrinking
    before = rss()
    with pytest.raises(BudgetError, match="nothing more was allocated"):
        simulator.allocate_memory(100)
    assert rss() - before < 4 * MIB
    assert simulator.allocations == []


def test_without_a_known_ceiling_nothing_is_allocated_unless_the_caller_knows():
    """Not knowing the limit is no permission."""
    monitor = FakeMonitor(limit=None, available=None)
    with pytest.raises(UnavailableError, match="i_know=True"):
        MemoryPressureSimulator(monitor=monitor).allocate_memory(1)
    with MemoryPressureSimulator(monitor=monitor, i_know=True) as simulator:
        assert simulator.allocate_memory(1).nbytes == MIB


def test_without_a_budget_half_of_what_is_available_is_one():
    """The default is bounded too."""
    simulator = MemoryPressureSimulator(monitor=FakeMonitor(available=40 * GIB))
    with pytest.raises(BudgetError, match=r"of 20\.0 GiB"):
        simulator.allocate_memory(21 * 1024)


def test_releasing_takes_the_newest_first_and_no_more_than_there_are():
    """A count beyond what is held releases all."""
    with MemoryPressureSimulator("64 MiB") as simulator:
        first = simulator.allocate_memory(1)
        simulator.allocate_memory(2)
        assert simulator.release_memory() == 2 * MIB
        assert simulator.allocations[0] is first
        assert simulator.release_memory(5) == MIB
        assert simulator.release_memory() == 0


@pytest.mark.parametrize("size", [0, -1, "10", None, True, float("nan"), float("inf"), 1e-9])
def test_a_size_that_is_none_is_refused(size):
    """One sentence, naming what would do."""
    with pytest.raises(UsageError, match=r"size_mb|less than one float"):
        MemoryPressureSimulator("32 MiB").allocate_memory(size)


@pytest.mark.parametrize("budget", [0, -5, "lots", 1.5, True, "0 MiB"])
def test_a_budget_that_is_none_is_refused(budget):
    """Zero, text that is no size, a float."""
    with pytest.raises(UsageError, match=r"budget|size"):
        MemoryPressureSimulator(budget)


@pytest.mark.parametrize("count", [-1, 1.5, "1", True])
def test_a_count_that_is_none_is_refused(count):
    """Only whole numbers of at least 0."""
    with pytest.raises(UsageError, match="count"):
        MemoryPressureSimulator("32 MiB").release_memory(count)


def test_memory_that_cannot_be_read_is_an_error_and_never_0():
    """The reason is told."""
    monitor = FakeMonitor()
    monitor.reading.absent["rss_bytes"] = "statm: No such file"
    with pytest.raises(UnavailableError, match="statm: No such file"):
        MemoryPressureSimulator("1 MiB", monitor=monitor).get_memory_usage()


def test_a_block_is_touched_in_steps_and_unmapped_when_the_answer_is_no():
    """Whoever is asked sees every step, and what it raises passes through."""
    asked = []
    block = map_touched(10 * PAGE, 4 * PAGE, asked.append)
    assert asked == [4 * PAGE, 4 * PAGE, 2 * PAGE]
    block.close()

    def no(size):
        raise BudgetError("no")

    with pytest.raises(BudgetError):
        map_touched(10 * PAGE, PAGE, no)


def test_ballast_grows_by_steps_and_shrinks_by_blocks():
    """What it holds is a whole number of pages, never above what was asked."""
    ballast = Ballast(8 * PAGE)
    assert ballast.grow(100 * PAGE) == 8 * PAGE
    assert ballast.grow(3 * PAGE + 5) == 3 * PAGE
    assert ballast.grow(PAGE - 1) == 0
    ballast.shrink_to(9 * PAGE)
    assert ballast.held_bytes == 8 * PAGE
    ballast.shrink_to(0)
    assert ballast.held_bytes == 0


def test_an_interrupt_at_any_line_leaves_what_is_held_consistent():
    """Allocating and releasing, interrupted at every line of memlab: the next use is as good as the first."""
    simulator = MemoryPressureSimulator(64 * MIB, monitor=FakeMonitor())

    def use():
        with simulator:
            simulator.allocate_memory(0.5)
            simulator.allocate_memory(0.25)
            simulator.release_memory()

    def state():
        simulator.close()
        return {"held": simulator.allocated_bytes, "arrays": len(simulator.allocations)}

    lines, residue = interrupt_everywhere(use, state)
    assert lines > 30
    assert residue == []


# -- scenarios


def test_the_ready_made_scenarios_begin_and_end_without_ballast():
    """Each has a calm first phase to compare with, and gives everything back."""
    for name in ("ramp", "spike", "sawtooth", "oom"):
        scenario = PressureScenario.named(name)
        assert scenario.stages[0].share == scenario.stages[-1].share == 0.0
        assert max(stage.share for stage in scenario.stages) > 0.8
        assert 2 < scenario.seconds < 6
    assert PressureScenario.approach_oom().stop_at == 0.95


def test_a_scenario_is_a_value_and_can_last_longer():
    """Equal by value, frozen, stretched without changing its heights."""
    assert PressureScenario.sawtooth() == PressureScenario.sawtooth()
    longer = PressureScenario.sawtooth().lasting(20)
    assert longer.seconds == pytest.approx(20)
    assert [s.share for s in longer.stages] == [s.share for s in PressureScenario.sawtooth().stages]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PressureScenario.named("spke"), "did you mean 'spike'"),
        (lambda: PressureScenario.named(3), "there are ramp, spike, sawtooth, oom"),
        (lambda: PressureScenario("x", ()), "1 to 1000 stages"),
        (lambda: PressureScenario("x", [PressureStage("a", 1, 0)]), "must be a tuple"),
        (lambda: PressureScenario("x", ("a",)), "must be a PressureStage"),
        (lambda: PressureScenario("", (PressureStage("a", 1, 0),)), "needs a name"),
        (lambda: PressureStage("a", -1, 0.5), "seconds must be"),
        (lambda: PressureStage("a", 1, 1.5), "share must be a number from 0 to 1"),
        (lambda: PressureStage("a", float("nan"), 0.5), "seconds"),
        (lambda: PressureStage("", 1, 0.5), "needs a name"),
        (lambda: PressureScenario.sawtooth(teeth=0), "teeth"),
        (lambda: QUICK.lasting(0), "length in seconds"),
        (lambda: PressureScenario("x", (PressureStage("a", 0, 0),)).lasting(3), "only jumps"),
        (lambda: PressureScenario("x", (PressureStage("a", 1, 0),), 2.0), "stop_at"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(make, said):
    """One sentence each."""
    with pytest.raises(UsageError, match=said):
        make()


# -- in a cage


@linux
def test_a_ramp_keeps_to_its_course_and_gives_everything_back():
    """The ballast stands where the scenario says, the peak stays below the budget, all of it goes back."""
    run = MemoryPressureSimulator("64 MiB").run(PressureScenario.gradual_ramp(0.8, seconds=0.6))
    assert run.outcome is PressureOutcome.FINISHED
    assert [p.name for p in run.phases] == ["calm", "ramp", "hold", "recovery"]
    room = run.budget_bytes - run.base_rss_bytes
    for phase in run.phases:
        assert phase.target_bytes - run.budget_bytes // 64 <= phase.ballast_bytes <= phase.target_bytes
    assert run.phases[1].target_bytes == int(room * 0.8)
    assert run.base_rss_bytes + int(room * 0.7) < run.peak_rss_bytes <= run.budget_bytes
    assert run.peak_source == "vmhwm"
    assert run.returned_share > 0.95
    assert run.absent["recovery_s"] == "there was no subject"
    assert set(run.timeline.metrics) == {"rss_bytes", "ballast_bytes"}
    assert len(run.timeline) > 20


@linux
def test_the_approach_to_out_of_memory_stops_below_95_per_cent():
    """The run says so, and the kernel's own mark agrees."""
    run = MemoryPressureSimulator("64 MiB").run(PressureScenario.approach_oom(seconds=0.5))
    assert run.outcome is PressureOutcome.STOPPED
    assert 0.85 < run.peak_rss_bytes / run.budget_bytes < 0.95
    assert "95 % of the budget of 64.0 MiB" in run.reason


@linux
def test_the_last_step_leaves_room_for_what_the_cage_itself_still_touches():
    """A step that ends one page below the mark is not taken: the own threads' next page would pass it."""
    inside = Inside({"budget": 64 * MIB, "stages": [], "stop_at": 0.95, "reserve": 0}, -1, Machine())
    try:
        for room, taken in ((PAGE, 0), (MIB // 2, inside.step)):
            inside.rss = lambda room=room: inside.stop_bytes - inside.step - room
            inside._towards(inside.step)
            assert inside.ballast.held_bytes == taken
        assert inside.notes == {"stopped": True}
    finally:
        inside.ballast.shrink_to(0)
        inside._kept.close()
        os.close(inside._statm)


@linux
def test_a_cache_under_a_spike_is_measured_phase_by_phase():
    """Hits, misses, evictions, entries and latencies, that add up."""
    run = MemoryPressureSimulator("64 MiB").run(
        PressureScenario.spike_and_recovery(seconds=0.9), cache=small_cache, value_bytes=1000, key_count=1000
    )
    assert (run.subject, run.subject_kind) == ("cage_subjects:small_cache", "cache")
    assert run.outcome is PressureOutcome.FINISHED
    calm = run.phases[0]
    assert calm.hits + calm.misses == pytest.approx(calm.calls, abs=2)
    assert 0.5 < calm.hit_rate < 0.95
    assert calm.entries == 200
    assert calm.evictions > 0
    assert 0 < calm.latency_p50_s <= calm.latency_p99_s <= calm.latency_max_s < 1
    assert (run.recovery_s is None) == ("recovery_s" in run.absent), "a figure, or the reason"
    assert run.timeline.metrics["calls"][-1] > 1000
    assert (np.diff(run.timeline.metrics["calls"]) >= 0).all()


@linux
def test_a_cache_that_heeds_the_monitor_gives_way_inside_its_cage():
    """The monitor shows the cage as the ceiling, so the cache shrinks and the wall is not met."""
    simulator = MemoryPressureSimulator("64 MiB")
    run = simulator.run(
        PressureScenario.gradual_ramp(0.7, seconds=1.0), cache="cage_subjects:FearfulCache", key_count=4000
    )
    assert run.outcome is PressureOutcome.FINISHED
    assert sum(p.evictions for p in run.phases) > 500


@linux
def test_the_users_own_keys_are_asked_for():
    """Two keys, two misses; all else are hits."""
    run = MemoryPressureSimulator("64 MiB").run(
        QUICK, cache="cage_subjects:small_cache", keys="cage_subjects:two_keys", value_bytes=10
    )
    assert sum(p.hits for p in run.phases) > 1000
    assert run.timeline.metrics["misses"][-1] <= 2


@linux
def test_a_pool_and_a_partial_are_subjects_too():
    """What can be pickled by name needs no name."""
    run = MemoryPressureSimulator("64 MiB").run(QUICK, pool="cage_subjects:Pool")
    assert run.subject_kind == "pool"
    assert run.phases[1].hit_rate == 1.0
    run = MemoryPressureSimulator("64 MiB").run(QUICK, cache=partial(Lru, 50), value_bytes=10)
    assert run.phases[-1].entries == 50


@linux
def test_a_subject_that_raises_is_counted_by_type_and_its_text_is_kept_nowhere():
    """The run goes on to its end."""
    run = MemoryPressureSimulator("64 MiB").run(QUICK, subject="cage_subjects:fails_later")
    assert run.outcome is PressureOutcome.FAILED
    assert run.failures["ValueError"] == sum(p.failures for p in run.phases) > 10
    assert "secret" not in str(run.to_dict())


@linux
def test_a_subject_that_takes_everything_meets_the_wall_and_not_the_machine():
    """It gets a MemoryError; resident memory stays within the budget and 16 MiB."""
    run = MemoryPressureSimulator("64 MiB").run(QUICK, subject="cage_subjects:takes_all")
    assert run.outcome is PressureOutcome.OUT_OF_MEMORY
    assert run.failures["MemoryError"] > 0
    assert run.peak_rss_bytes <= 80 * MIB


@linux
def test_shared_memory_beyond_the_budget_is_ended_by_the_watchdog():
    """No limit on private memory counts it; the watchdog reads what is resident."""
    run = MemoryPressureSimulator("64 MiB").run(
        PressureScenario.gradual_ramp(seconds=2), subject="cage_subjects:takes_shared_memory"
    )
    assert run.outcome in (PressureOutcome.KILLED, PressureOutcome.OUT_OF_MEMORY)
    assert run.peak_rss_bytes <= 64 * MIB + OVER_BUDGET + 32 * MIB


@linux
@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("leaves", PressureOutcome.DIED, "exit code 7"),
        ("is_killed", PressureOutcome.DIED, "SIGKILL"),
        ("hangs", PressureOutcome.DEADLINE, "800 ms"),
        ("holds_the_lock", PressureOutcome.DEADLINE, "ended"),
    ],
)
def test_every_end_is_told_and_leaves_nobody(name, outcome, said):
    """However the subject ends it, what was seen until then is there, and no process is left."""
    run = MemoryPressureSimulator("64 MiB").run(QUICK, subject=f"cage_subjects:{name}", deadline_s=0.8)
    assert run.outcome is outcome, run.reason
    assert said in run.reason
    assert psutil.Process().children(recursive=True) == []


@linux
def test_no_process_starts_inside_a_cage():
    """Its limits would not hold there; the result says that it was tried."""
    run = MemoryPressureSimulator("64 MiB").run(QUICK, subject="cage_subjects:starts_a_process")
    assert run.failures["PermissionError"] > 0
    assert any("tried to start a process" in note for note in run.notes)


@linux
def test_what_a_subject_prints_goes_to_standard_error(capfd):
    """And is no message to the parent."""
    run = MemoryPressureSimulator("64 MiB").run(QUICK, subject="cage_subjects:prints")
    assert run.outcome is PressureOutcome.FINISHED
    captured = capfd.readouterr()
    assert "from inside the cage" in captured.err
    assert captured.out == ""


@linux
@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"subject": "cage_subjects:nothing_such"}, UsageError, "there is no .nothing_such. in"),
        ({"subject": "no_such_module:f"}, UsageError, "making it raised ModuleNotFoundError"),
        ({"subject": "cage_subjects:raises_at_once"}, UsageError, r"LookupError at .*cage_subjects.py:\d+"),
    ],
)
def test_a_subject_that_cannot_begin_is_one_sentence(options, error, said):
    """Its own exception, by type and line."""
    with pytest.raises(error, match=said):
        MemoryPressureSimulator("64 MiB").run(QUICK, **options)


def local_step():
    """Not to be found by pickle once it is shadowed."""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scenario": "nothing"}, "no scenario"),
        ({"scenario": 3}, "is no PressureScenario"),
        ({"subject": "no colon"}, "module:function"),
        ({"subject": "a b:c"}, "module:function"),
        ({"subject": 3}, "not builtins.int"),
        ({"subject": lambda: None}, "cannot be taken into another process"),
        ({"subject": step, "cache": small_cache}, "not several at once"),
        ({"subject": step, "keys": "cage_subjects:two_keys"}, "keys are for a cache"),
        ({"cache": small_cache, "value_bytes": 0}, "value_bytes"),
        ({"cache": small_cache, "key_count": "many"}, "key_count"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": "soon"}, "deadline_s"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_before_anything_starts(options, said):
    """One sentence each, and no child."""
    with pytest.raises(UsageError, match=said):
        MemoryPressureSimulator("64 MiB").run(**{"scenario": QUICK, **options})


def test_what_is_defined_in_the_notebook_is_refused_with_the_remedy(monkeypatch):
    """A function of __main__ does not exist in another process."""
    monkeypatch.setattr(local_step, "__module__", "__main__")
    with pytest.raises(UsageError, match="put it into a file"):
        MemoryPressureSimulator("64 MiB").run(QUICK, subject=local_step)
    with pytest.raises(UsageError, match="put it into a file"):
        MemoryPressureSimulator("64 MiB").run(QUICK, subject=partial(local_step))


@pytest.mark.parametrize(
    ("budget", "limit", "available"),
    [(900 * GIB, 64 * GIB, 32 * GIB), (17 * GIB, 64 * GIB, 32 * GIB), (100 * MIB, 2 * GIB, 580 * MIB)],
)
def test_plans_above_the_ceiling_are_refused_and_start_nothing(budget, limit, available, monkeypatch):
    """More than half of what is available, or into the reserve: a MemoryError, and no process."""
    monkeypatch.setattr("subprocess.Popen", None)
    simulator = MemoryPressureSimulator(budget, monitor=FakeMonitor(limit, available))
    with pytest.raises(MemoryError, match="more than may be taken here"):
        simulator.run(QUICK)


def test_a_cage_too_small_for_an_interpreter_is_refused():
    """Before anything starts."""
    with pytest.raises(UsageError, match="32 MiB or more"):
        MemoryPressureSimulator("8 MiB").run(QUICK)


def test_where_there_are_no_limits_on_processes_no_cage_is_made(monkeypatch):
    """Windows: one sentence."""
    monkeypatch.setattr("memlab.lab._cage.os", types.SimpleNamespace(name="nt"))
    with pytest.raises(UnavailableError, match="Linux and macOS do"):
        MemoryPressureSimulator("64 MiB").run(QUICK)


@linux
def test_an_interrupt_ends_the_cage_and_passes_through():
    """What was seen until then is kept, as the last run."""
    simulator = MemoryPressureSimulator("64 MiB")

    def interrupted(now, rss, told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulator.run(QUICK, on_sample=interrupted)
    assert simulator.last_run.outcome is PressureOutcome.INTERRUPTED
    assert psutil.Process().children() == []


@linux
def test_whoever_looks_on_may_end_it_and_his_errors_are_his_own():
    """False ends the run; an exception ends it and is the caller's."""
    simulator = MemoryPressureSimulator("64 MiB")
    run = simulator.run(PressureScenario.gradual_ramp(seconds=5), on_sample=lambda *_: False)
    assert run.outcome is PressureOutcome.INTERRUPTED
    assert run.elapsed_s < 4
    with pytest.raises(ZeroDivisionError):
        simulator.run(QUICK, on_sample=lambda *_: 1 / 0)


@linux
def test_the_reserve_of_the_machine_ends_a_cage():
    """Somebody else takes the machine's memory: the watchdog does not wait."""

    class Shrinking(Machine):
        taken = False

        def available(self):
            return 100 * MIB if self.taken else super().available()

    machine = Shrinking()
    with MemoryMonitor(machine) as monitor:
        run = MemoryPressureSimulator("64 MiB", monitor=monitor).run(
            PressureScenario.gradual_ramp(seconds=3), on_sample=lambda *_: setattr(machine, "taken", True)
        )
    assert run.outcome is PressureOutcome.KILLED
    assert "its reserve" in run.reason


@linux
def test_a_cage_dies_first_with_its_parent_and_at_its_deadline():
    """oom_score_adj, the parent-death signal's owner, limits on memory and an alarm: read from outside."""
    found = {}

    def look(now, rss, told):
        child = psutil.Process().children()[0].pid
        folder = Path(f"/proc/{child}")
        found["first to die"] = (folder / "oom_score_adj").read_text().strip()
        lines = (folder / "limits").read_text().splitlines()
        found["limits"] = {line[:26].strip(): line[26:47].strip() for line in lines}
        found["leader"] = os.getpgid(child) == child

    MemoryPressureSimulator("64 MiB").run(QUICK, on_sample=look)
    assert found["first to die"] == "1000"
    assert found["leader"]
    assert int(found["limits"]["Max data size"]) < 128 * MIB
    assert found["limits"]["Max address space"] != "unlimited"


# -- failing allocations

needs_hook = pytest.mark.skipif(
    not hasattr(pytest.importorskip("_testcapi", reason="this build has no _testcapi"), "set_nomemory"),
    reason="this build cannot make allocations fail",
)


@linux
@needs_hook
@pytest.mark.parametrize(
    ("name", "outcome", "point"),
    [
        ("step", PressureOutcome.FINISHED, "MemoryError raised"),
        ("swallows", PressureOutcome.FINISHED, "returned all the same"),
        ("turns_it_into_something_else", PressureOutcome.FAILED, "KeyError raised"),
    ],
)
def test_each_allocation_fails_once_and_what_became_of_it_is_told(name, outcome, point):
    """The MemoryError came out, was dealt with, or became something else."""
    run = MemoryPressureSimulator("64 MiB").fail_allocations(f"cage_subjects:{name}")
    assert run.outcome is outcome
    assert run.failure_points[point] > 10
    assert sum(run.failure_points.values()) == run.calls


@linux
@needs_hook
def test_one_allocation_can_be_made_to_fail_and_one_beyond_the_last_does_nothing():
    """The Nth, or none where there is none."""
    simulator = MemoryPressureSimulator("64 MiB")
    run = simulator.fail_allocations("cage_subjects:step", nth=5)
    assert run.failure_points == {"MemoryError raised": 1}
    run = simulator.fail_allocations("cage_subjects:step", nth=90_000)
    assert run.failure_points == {}
    assert "no such allocation" in run.reason


@linux
def test_a_build_without_the_hook_refuses_clearly(tmp_path, monkeypatch):
    """One sentence that says which builds have it."""
    (tmp_path / "_testcapi.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnavailableError, match=r"no _testcapi\.set_nomemory"):
        MemoryPressureSimulator("64 MiB").fail_allocations("cage_subjects:step")


# -- cgroups


def group_of(tmp_path, *, mounted="v2"):
    proc = tmp_path / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text("0::/mine\n4:memory:/mine\n")
    v2 = "30 23 0:26 / /v2 rw - cgroup2 cgroup2 rw\n"
    v1 = "35 31 0:32 / /v1 rw - cgroup cgroup rw,memory\n"
    (proc / "mountinfo").write_text({"v2": v2, "v1": v1, "none": ""}[mounted])
    (tmp_path / mounted / "mine").mkdir(parents=True)
    return tmp_path / mounted / "mine"


@pytest.mark.parametrize(("mounted", "file"), [("v2", "memory.max"), ("v1", "memory.limit_in_bytes")])
def test_a_cage_gets_a_group_of_its_own_where_it_may(tmp_path, mounted, file):
    """Made under the own group, with the limit, and the child moved into it; nothing else is written."""
    folder = group_of(tmp_path, mounted=mounted)
    group = CageGroup(64 * MIB, root=str(tmp_path))
    assert group.enclose(4711) == f"cgroup {mounted} {file}"
    (made,) = folder.iterdir()
    assert (made / file).read_text() == str(80 * MIB)
    assert (made / "cgroup.procs").read_text() == "4711"
    for name in (file, "cgroup.procs"):
        (made / name).unlink()  # the kernel's own files do not keep a folder from going
    group.remove()
    assert list(folder.iterdir()) == []
    group.remove()


def test_where_no_group_may_be_made_the_reason_is_kept(tmp_path):
    """The cage goes on without."""
    group_of(tmp_path, mounted="none")
    group = CageGroup(64 * MIB, root=str(tmp_path))
    assert group.enclose(4711) == ""
    assert "v2: its hierarchy is not mounted" in group.reason


# -- parts


def test_the_default_keys_are_the_same_each_time_and_some_are_asked_for_often():
    """Zipf's law, near enough: of 100 keys the first makes up a fifth."""
    drawn = [key for key, _ in zip(default_keys(100), range(5000), strict=False)]
    again = [key for key, _ in zip(default_keys(100), range(5000), strict=False)]
    assert drawn == again
    assert 0.15 < drawn.count("key-0") / 5000 < 0.25


def test_a_cache_subject_takes_any_mapping():
    """Dict itself: item assignment in the place of put; a stored None is no miss."""
    cache = {"a": None}
    subject = CacheSubject(cache, iter("aab"), 5)
    for _ in range(3):
        subject.call()
    subject.refresh()
    assert (subject.hits, subject.misses, subject.entries) == (2, 1, 2)
    assert cache["b"] == bytearray(5)


def test_a_coroutine_function_is_awaited():
    """On one event loop for all calls."""
    import asyncio

    loops = []

    async def coroutine():
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    subject = StepSubject(coroutine)
    subject.call()
    subject.call()
    assert len(loops) == 2
    assert loops[0] is loops[1]
    loops[0].close()


@linux
def test_a_run_from_another_thread_is_as_good():
    """A widget does so; the thread that started the cage lives as long as it."""
    done = []
    thread = threading.Thread(
        target=lambda: done.append(MemoryPressureSimulator("64 MiB").run(QUICK).outcome)
    )
    thread.start()
    thread.join()
    assert done == [PressureOutcome.FINISHED]
