"""Benchmarks of one's own and memlab's: what is measured, how a run is judged, what every face says."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st
from shells import one_shell, shell  # noqa: F401 - fixtures

import memlab
from memlab._base.machine import machine_class
from memlab.analyses.rank_test import greater_chance, greater_chances
from memlab.analyses.regression import compare, judge, restless, unsettled
from memlab.analyses.trends import break_points, with_changes
from memlab.collectors.alloc_counts import counting_allocations, native
from memlab.errors import CaptureError, KindError, StepError, UnavailableError, UsageError
from memlab.faces.cli import main
from memlab.lab import regression_suite
from memlab.lab.benchmarks import LIMITS, MemoryBenchmarks
from memlab.lab.suite_metrics import ALLOWED, measure_here
from memlab.lab.user_benchmarks import Benchmark, benchmarks_in, merge_processes
from memlab.records.benchmark import BenchmarkResult, BenchmarkTable, RegressionVerdict
from memlab.store.baseline import Baseline
from memlab.store.lab_book import LabBook

MIB = 1024 * 1024


def table(*results, machine=None, **fields):
    return BenchmarkTable(results, machine=machine or machine_class(), **fields)


def peak(value, name="load:peak_bytes", **fields):
    return BenchmarkResult(name, float(value), "bytes", exact=True, samples=(float(value),), **fields)


def timed(factor=1.0, *, noise=0.01, seed=1, count=50, loop=0.001, name="load:time_s"):
    dice = np.random.default_rng(seed)
    values = 0.01 * factor * np.exp(dice.normal(0, noise, count))
    return BenchmarkResult(
        name, float(np.median(values)), "seconds", samples=tuple(values.tolist()), reference=(loop,) * count,
        process=tuple(n // 2 for n in range(count)), loop="containers/1",
    )  # fmt: skip


# -- measuring


def test_a_benchmark_is_measured_to_the_byte():
    """A function that makes and keeps known blocks: peak, retained bytes and lines are those."""
    kept = []

    @memlab.benchmark
    def keep():
        kept.append(bytes(10_000))
        big = bytearray(2 * MIB)
        return len(big)

    found = keep.run(repeats=2)
    assert 2 * MIB <= found["keep:peak_bytes"].value < 2 * MIB + 20_000
    assert 10_000 <= found["keep:retained_bytes"].value < 11_000
    assert found["keep:peak_bytes"].exact
    if native is not None:
        assert 2 * MIB + 10_000 <= found["keep:allocated_bytes"].value < 2 * MIB + 20_000
        assert 2 <= found["keep:allocations"].value < 20
    lines = [site.site.frame.file for site in found.snapshots["keep"].diff(
        dataclasses.replace(found.snapshots["keep"])).sites]  # fmt: skip
    assert lines == []
    assert found.snapshots["keep"].total_bytes >= 2 * MIB


def test_every_combination_of_parameters_is_a_case_and_values_are_named_without_their_text():
    """Numbers and words are in a case's name; a foreign object is numbered, its text is never asked for."""

    class Secret:
        def __repr__(self):
            raise AssertionError("asked")

    made = Benchmark(lambda n, of: (n, of), name="pair", params={"n": [1, 2], "of": ["a:b", Secret()]})
    assert [case.name for case in made.cases] == ["pair[n=1,of=a;b]", "pair[n=1,of=#1]", "pair[n=2,of=a;b]",
                                                  "pair[n=2,of=#3]"]  # fmt: skip
    chosen = Benchmark(len, name="one", params=[{"obj": 1}, {"obj": 1}])
    assert [case.name for case in chosen.cases] == ["one[obj=1]", "one[obj=1#2]"]


def test_setup_and_teardown_are_not_measured_and_teardown_always_comes():
    """What setup returns is the first argument; teardown gets it even when the function raises."""
    gone = []

    @memlab.benchmark(params={"n": [3]}, setup=lambda n: [bytes(MIB)] * n, teardown=gone.append)
    def size(blocks, n):
        return len(blocks) + n

    assert size.run(repeats=1, snapshots=False)["size[n=3]:peak_bytes"].value < 10_000
    assert len(gone) == 1

    @memlab.benchmark(setup=lambda: "state", teardown=gone.append)
    def fails(_state):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails.run(repeats=1)
    assert gone[-1] == "state"


def test_a_coroutine_function_is_awaited():
    """An async benchmark runs in a loop of its own."""
    calls = []

    @memlab.benchmark
    async def later():
        await asyncio.sleep(0)
        calls.append(bytes(100))

    assert later.run(repeats=1, snapshots=False)["later:time_s"].value > 0
    assert calls


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"function": 3}, KindError, "cannot be called"),
        ({"params": {"n": "abc"}}, UsageError, "list of values"),
        ({"params": {"n": []}}, UsageError, "1 to 1,000 cases"),
        ({"params": [1]}, UsageError, "mapping of lists"),
        ({"name": "a:b"}, UsageError, "no colon"),
        ({"clock": "sun"}, UsageError, "cpu or wall"),
        ({"loop": "none"}, UsageError, "containers/1"),
        ({"allowed": -1}, UsageError, "above 0"),
        ({"allowed": {"time_s": float("nan")}}, UsageError, "above 0"),
        ({"setup": 3}, KindError, "must be a function"),
    ],
)
def test_bad_use_of_the_decorator_is_one_sentence(options, error, said):
    """A wrong argument is refused when the benchmark is made, with the remedy."""
    options = {"function": len} | options
    with pytest.raises(error, match=said):
        Benchmark(**options)


def test_a_generator_function_is_refused():
    """Calling one runs nothing, so its figures would be nothing's."""

    def lines():
        yield 1

    with pytest.raises(StepError, match="runs nothing"):
        memlab.benchmark(lines)


def test_benchmarks_are_found_once_each_and_in_order():
    """A benchmark with two names is one; other objects are none."""
    a, b = Benchmark(len, name="a"), Benchmark(len, name="b")
    assert benchmarks_in({"x": b, "y": a, "z": b, "n": 3}) == [b, a]
    with pytest.raises(UsageError, match="two are named"):
        memlab.lab.user_benchmarks.run_benchmarks([a, Benchmark(len, name="a")])
    with pytest.raises(UsageError, match="from 1"):
        a.run(repeats=0)


@pytest.mark.skipif(native is None, reason="the C extension was not built")
def test_allocations_are_counted_exactly_and_by_one_at_a_time():
    """The same code counts the same; nobody counts within a count; tracemalloc within it does no harm."""
    import tracemalloc

    def work():
        return [bytes(100) for _ in range(50)]

    def counted():
        import gc

        gc.collect()
        with counting_allocations() as count:
            work()
        return count.blocks, count.size_bytes

    counted()
    assert counted() == counted()
    with counting_allocations() as outer:
        with pytest.raises(UnavailableError, match="already"), counting_allocations():
            pass
        tracemalloc.start()
        work()
    assert outer.blocks >= 50
    tracemalloc.stop()
    counted()
    assert counted() == counted()


def test_samples_of_processes_are_put_together():
    """Medians are of all samples; what only one process has stays as it is."""
    one = table(timed(count=4), peak(7))
    two = table(dataclasses.replace(timed(2.0, count=4), process=(1,) * 4))
    merged = merge_processes([one, two])
    assert len(merged["load:time_s"].samples) == 8
    assert merged["load:time_s"].value == pytest.approx(0.015, rel=0.3)
    assert merged["load:peak_bytes"].value == 7


# -- memlab's own


def test_the_seven_founding_benchmarks_have_their_names_units_and_limits():
    """Each has its row; times are not judged here, only what does not depend on the machine."""
    results = MemoryBenchmarks(repeats=2, limits=True).run_all_benchmarks()
    assert [r.name for r in results] == [*MemoryBenchmarks.THRESHOLDS, *LIMITS]
    assert [r.threshold for r in results[:7]] == [1e6, 2e6, 1000, 0.01, 0.05, 0.85, 1e-6]
    assert all(r.value > 0 and r.samples for r in results)
    by_name = {r.name: r for r in results}
    assert by_name["cache_hit_rate"].value == pytest.approx(0.99)
    assert by_name["memory_given_back"].passed
    for result in results:
        better = (
            result.value >= result.threshold
            if result.better == "higher"
            else result.value <= result.threshold
        )
        assert result.passed is better
        assert result.to_dict()["status"] == ("PASS" if better else "FAIL")
    frame = MemoryBenchmarks.table(results)
    assert frame.name.tolist() == [r.name for r in results]


def test_thresholds_can_be_others_and_results_are_saved_as_json(tmp_path):
    """A limit of one's own decides; unknown names and no numbers are refused."""
    strict = MemoryBenchmarks({"cache_hit_rate": 0.999}, repeats=1)
    result = strict.cache_hit_rate()
    assert result.status == "FAIL"
    MemoryBenchmarks.save([result], tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["results"][0]["status"] == "FAIL"
    with pytest.raises(UsageError, match="there is no 'speed'"):
        MemoryBenchmarks({"speed": 1})
    with pytest.raises(UsageError, match="must be a number"):
        MemoryBenchmarks({"cache_hit_rate": "0.9"})


# -- judging


def test_an_exact_metric_is_judged_to_one_per_cent():
    """1 % more bytes is a regression, 0.4 % is none, 1 % fewer is an improvement, always."""
    for size in (10_000, 3_333_333, 10**12):
        report = compare(table(peak(size * 1.01)), table(peak(size)))
        assert [c.verdict for c in report.changes] == [RegressionVerdict.REGRESSION]
        assert compare(table(peak(size * 1.004)), table(peak(size))).passed
        better = compare(table(peak(size * 0.99)), table(peak(size)))
        assert better.changes[0].verdict is RegressionVerdict.IMPROVED


def test_a_least_difference_is_passed_over_and_nothing_before_is_said_so():
    """A few bytes above 0 are no regression with a least difference; without, growth from 0 is one."""
    assert compare(table(peak(500, least=1024.0)), table(peak(0, least=1024.0))).passed
    [change] = compare(table(peak(500)), table(peak(0))).changes
    assert change.verdict is RegressionVerdict.REGRESSION
    assert change.degradation is None
    assert change.reason == "it was 0 before"


def test_a_noisy_metric_is_judged_against_the_shifted_baseline():
    """A tenth more is found at 50 samples and 1 % noise, 3 % is not reported; faster is an improvement."""
    base = timed(seed=1)
    assert judge(timed(1.1, seed=2), base, 0.1).verdict is RegressionVerdict.REGRESSION
    assert judge(timed(1.03, seed=3), base, 0.1).verdict is RegressionVerdict.UNCHANGED
    assert judge(timed(0.88, seed=4), base, 0.1).verdict is RegressionVerdict.IMPROVED
    found = judge(timed(1.1, seed=2), base, 0.1)
    assert found.low < 0.1 < found.high
    assert found.chance < 0.01


def test_a_slower_machine_is_no_regression():
    """Work and loop both 30 % slower: nothing is found, and the report says that the loop moved."""
    slow = timed(1.3, seed=2, loop=0.0013)
    report = compare(table(slow), table(timed(seed=1)))
    assert report.passed
    assert "30 % more time" in report.notes[0]
    bare = dataclasses.replace(slow, reference=(), loop="")
    older = dataclasses.replace(timed(seed=1), reference=(), loop="")
    assert not compare(table(bare), table(older)).passed


def test_higher_is_better_where_it_is():
    """A rate that falls is a regression, one that rises an improvement."""

    def rate(factor, seed):
        made = timed(1 / factor, seed=seed)
        return dataclasses.replace(
            made, value=1 / made.value, samples=tuple(1 / s for s in made.samples), better="higher"
        )

    assert judge(rate(0.88, 2), rate(1, 1), 0.1).verdict is RegressionVerdict.REGRESSION
    assert judge(rate(1.15, 3), rate(1, 1), 0.1).verdict is RegressionVerdict.IMPROVED


def test_a_restless_machine_gets_no_verdict_and_is_measured_again(tmp_path):
    """Samples that lie 40 % apart are not compared; the suite measures up to three times."""
    wild = timed(noise=0.4)
    assert restless(wild)
    assert unsettled(timed(loop=0.002), timed())
    assert not unsettled(timed(seed=2), timed())
    assert judge(wild, timed(), 0.1).verdict is RegressionVerdict.NOT_COMPARED
    runs = iter([table(wild), table(wild), table(timed()), table(wild)])
    suite = regression_suite.MemoryRegressionSuite(tmp_path)
    assert not restless(suite.settled(lambda: next(runs))["load:time_s"])


def test_what_cannot_be_compared_says_why():
    """Another interpreter, another loop, too few samples, no value, new and missing metrics."""
    said = {
        "another class": compare(
            table(timed()), table(timed(), machine=machine_class().replace("core", "bore"))
        ),
        "the baseline is of": compare(
            table(peak(1)), table(peak(1), machine="PyPy 3.11, linux x86_64, 2 cores")
        ),
        "another reference loop": compare(
            table(timed()), table(dataclasses.replace(timed(), loop="copies/1"))
        ),
        "at least 5": compare(table(timed(count=3)), table(timed())),
        "no reason given": compare(table(dataclasses.replace(peak(1), value=None)), table(peak(1))),
    }
    for words, report in said.items():
        assert report.changes[0].verdict is RegressionVerdict.NOT_COMPARED
        assert words in report.changes[0].reason
    report = compare(table(peak(1, "a:peak_bytes")), table(peak(1, "b:peak_bytes")))
    assert {c.metric: c.verdict.value for c in report.changes} == {
        "a:peak_bytes": "new",
        "b:peak_bytes": "missing",
    }
    assert report.compared == 0


def test_an_open_verdict_says_what_it_would_have_found():
    """With 10 % noise and few samples a tenth is not found, and the report says how many samples would do."""
    found = judge(timed(1.06, noise=0.06, count=10, seed=5), timed(noise=0.06, count=10), 0.1)
    assert found.verdict is RegressionVerdict.UNCHANGED
    assert found.power < 0.8
    assert found.enough > 10


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=12),
    st.lists(st.integers(0, 20), min_size=1, max_size=12),
)
def test_the_rank_test_counts_pairs(newer, older):
    """Its p falls as newer values rise, and is that of the many-at-once form."""
    one, two = np.array(newer, float), np.array(older, float)
    chance = greater_chance(one, two)
    assert 0 < chance <= 1
    assert greater_chance(one + 1, two) <= chance
    assert greater_chances(one[None], two[None])[0] == pytest.approx(chance)


def test_a_break_is_found_where_it_is_and_noise_has_none():
    """One step in 40 runs is found at its run; 200 series of noise alone break in at most 3 %."""
    dice = np.random.default_rng(2)
    values = np.concatenate((dice.normal(1, 0.02, 25), dice.normal(1.2, 0.02, 15)))
    assert [at for at, _ in break_points(values)] == [25]
    alarms = sum(bool(break_points(dice.normal(1, 0.02, 40))) for _ in range(200))
    assert alarms <= 6


# -- baseline, book, suite


def test_a_baseline_is_merged_and_reviewable(tmp_path):
    """An update changes the lines of its own metrics only; other metrics and classes stay."""
    baseline = Baseline(tmp_path / "b.json")
    baseline.update(table(peak(1000), timed()))
    baseline.update(table(peak(5), machine="PyPy 3.11, linux x86_64, 2 cores"))
    before = (tmp_path / "b.json").read_text().splitlines()
    baseline.update(table(peak(2000)))
    after = (tmp_path / "b.json").read_text().splitlines()
    assert [line for line in after if line not in before] == ['          "value": 2000,']
    assert baseline.read(machine_class())["load:time_s"].samples == pytest.approx(timed().samples, rel=1e-5)
    assert len(baseline.machines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_the_suite_makes_a_baseline_and_then_finds_what_became_worse(tmp_path):
    """First run: baseline. Then pass, fail, update, pass; every run is in the book."""
    size = [1_000_000]
    suite = memlab.MemoryRegressionSuite(tmp_path / "new", measure=lambda: table(peak(size[0])))
    assert suite.run_regression_tests()["status"] == "baseline created"
    assert suite.run_regression_tests()["passed"]
    size[0] = 1_020_000
    outcome = suite.run_regression_tests()
    assert (outcome["status"], outcome["passed"]) == ("failed", False)
    assert outcome["regressions"][0]["degradation"] == pytest.approx(0.02)
    suite.judge(table(peak(size[0])), update=True)
    assert suite.run_regression_tests()["passed"]
    entries = suite.load_history()
    assert [entry["metrics"]["load:peak_bytes"] for entry in entries] == [1e6, 1e6, 1.02e6, 1.02e6, 1.02e6]
    assert all(entry["timestamp"] > 1.6e9 for entry in entries)
    assert [c.run for c in suite.history().changes] == [3]


def test_check_knows_which_way_is_worse(tmp_path):
    """The four metrics at their founding limits: slower pauses are worse, faster allocation is not."""
    suite = memlab.MemoryRegressionSuite(tmp_path)
    base = {
        "allocation_speed": 100.0,
        "gc_pause_time": 1.0,
        "memory_efficiency": 0.5,
        "cache_performance": 10.0,
    }
    with pytest.raises(UsageError, match="no baseline yet"):
        suite.check(base)
    suite.save_baseline(base)
    assert suite.load_baseline() == base
    assert suite.check(base) == []
    assert (
        suite.check({name: value * (0.5 if name == "gc_pause_time" else 2) for name, value in base.items()})
        == []
    )
    for name, allowed in ALLOWED.items():
        sign = 1 if name == "gc_pause_time" else -1
        assert suite.check({name: base[name] * (1 + sign * allowed * 0.9)}) == []
        [found] = suite.check({name: base[name] * (1 + sign * allowed * 1.1)})
        assert found.metric == name
        assert found.degradation == pytest.approx(allowed * 1.1)
    for wrong in ({"a": "x"}, {"a": []}, {"a": float("nan")}):
        with pytest.raises(UsageError, match="must be a number"):
            suite.check(wrong)
    for options in ({"thresholds": {"a": 0}}, {"processes": -1}, {"samples": 0}):
        with pytest.raises(UsageError):
            memlab.MemoryRegressionSuite(tmp_path, **options)


def test_the_four_metrics_are_measured():
    """Each has samples beside a loop, and the efficiency is the same twice."""
    one, two = measure_here(1), measure_here(1, 1)
    assert [r.name for r in one] == list(ALLOWED)
    assert one["memory_efficiency"].value == two["memory_efficiency"].value
    assert all(r.reference for r in one if not r.exact)


def test_a_regression_comes_with_its_line(tmp_path):
    """Two versions of a function, the second of which keeps more: the line that grew is named."""
    scope = {}
    suite = memlab.MemoryRegressionSuite(tmp_path)
    for extra in ("b''", "bytes(500)"):
        more = f"    more = [{extra} for _ in range(2000)]\n"
        source = f"def load():\n    rows = [0] * 100\n{more}    return rows, more\n"
        path = tmp_path / "loader.py"
        path.write_text(source)
        exec(compile(source, str(path), "exec"), scope)
        report = suite.judge(Benchmark(scope["load"]).run(repeats=1))
    worst = report["load:peak_bytes"]
    assert worst.verdict is RegressionVerdict.REGRESSION
    assert worst.place.endswith("loader.py:3")
    assert "load" in report.causes
    assert "loader.py:3" in report.to_markdown()
    assert report.to_html().count('id="stacks"') == 1


def test_two_runs_of_a_book_are_compared(tmp_path):
    """Medians beside each other; a run that is not there is named with those that are."""
    book = LabBook(tmp_path / "b.db", clock=lambda: 1e9)
    for size in (100, 200):
        book.append(table(peak(size), timed()))
    history = with_changes(book.history())
    report = history.compare(1, 2)
    assert report["load:peak_bytes"].degradation == 1.0
    assert report["load:time_s"].verdict is RegressionVerdict.NOT_COMPARED
    with pytest.raises(UsageError, match="1 to 2"):
        history.compare(1, 9)
    with pytest.raises(CaptureError, match="is not there"):
        LabBook(tmp_path / "none.db").history()
    with pytest.raises(UsageError, match="at least 131,072"):
        LabBook(tmp_path / "b.db", max_bytes=10)
    with pytest.raises(UsageError, match="no run has 'x'"):
        history.plot_trend("x")


# -- faces


def test_markdown_escapes_what_a_page_would_read():
    """Names with markup are text; a report folds what did not change."""
    name = "a|b<img src=x>@team[x](http://y)`:peak_bytes"
    text = compare(table(peak(2, name), peak(1)), table(peak(1, name), peak(1))).to_markdown()
    assert "<img" not in text.replace("\\<", "")
    assert "\\|b" in text
    assert "\\@team" in text
    assert "<details>" in text
    assert samples.run_history().to_markdown().startswith("### memlab: 40 runs")


BENCH = """
import memlab, os
@memlab.benchmark(params={"n": [1000]})
def load(n):
    return [bytes(int(os.environ.get("SIZE", "100"))) for _ in range(n)]
"""


def test_the_command_line_end_to_end(tmp_path, capsys, monkeypatch):
    """bench, regress (baseline, pass, regression, update) and history, with their exit codes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.py").write_text(BENCH)
    common = ["bench.py", "--processes", "2", "--samples", "1", "--quiet"]
    assert main(["bench", *common, "--format", "json", "--save", "run.memlab"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["results"][0]["name"] == "load[n=1000]:peak_bytes"
    assert main(["regress", "run.memlab", "--directory", "d", "--quiet"]) == 0
    assert "BASELINE" in capsys.readouterr().out
    assert main(["regress", "run.memlab", "--directory", "d", "--format", "md", "--quiet"]) == 0
    assert "NO REGRESSION" in capsys.readouterr().out
    monkeypatch.setenv("SIZE", "300")
    assert main(["regress", *common, "--directory", "d", "--format", "html"]) == 1
    assert "<!doctype html>" in capsys.readouterr().out
    assert main(["history", "d", "--report", "h.html"]) == 0
    assert "worse by" in capsys.readouterr().out
    page = (tmp_path / "h.html").read_text()
    pairs = [f'data-older="{a}" data-newer="{b}"' for a, b in ((1, 2), (1, 3), (2, 3))]
    assert all(pair in page for pair in pairs)
    assert page.count(' data-older="') == 3
    assert main(["history", "d", "--compare", "1", "3", "--format", "json", "--quiet"]) == 1
    for line in (["bench", "none.py"], ["bench", "bench.py", "-k", "zzz", "--processes", "1"],
                 ["regress", "bench.py", "--allow", "x"], ["history", "nowhere.db"],
                 ["bench", "bench.py", "--processes", "0"]):  # fmt: skip
        capsys.readouterr()
        assert main(line) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_magic_measures_a_cell_and_shows_it(shell):  # noqa: F811 - the fixture
    """%%membench runs the cell in the notebook's namespace; what the cell raises passes through."""
    found = shell.run_cell_magic("membench", "-oq -n 1 --name made", "kept = [0] * 10_000")
    assert 80_000 <= found["made:peak_bytes"].value < 81_000
    with pytest.raises(ZeroDivisionError):
        shell.run_cell_magic("membench", "-q -n 1", "1 / 0")


PYTEST_FILE = """
import os
def rows():
    return [bytes(int(os.environ.get("SIZE", "100"))) for _ in range(3000)]
def test_rows():
    assert len(rows()) == 3000
def test_small():
    assert True
"""


def test_pytest_holds_tests_against_a_baseline(tmp_path):
    """First run makes it, the same passes, a hungrier one fails, names the line and writes what is asked."""
    import os
    import subprocess

    (tmp_path / "test_it.py").write_text(PYTEST_FILE)

    def run(*more, size="100"):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *more]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"SIZE": size},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("--memlab-update").returncode == 4
    base = ("--memlab-baseline", "base.json")
    first = run(*base)
    assert (first.returncode, "BASELINE" in first.stdout) == (0, True)
    worse = run(
        *base, "--memlab-json", "o.json", "--memlab-markdown", "o.md", "--memlab-book", "b.db", size="300"
    )
    assert worse.returncode == 1
    assert "REGRESSION: test_it.py::test_rows:peak_bytes" in worse.stdout
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["changes"][0]["place"] == "test_it.py:4"
    assert "regression" in (tmp_path / "o.md").read_text()
    assert [run.source for run in LabBook(tmp_path / "b.db").history().runs] == ["pytest"]
    assert run(*base, "--memlab-no-lines").returncode == 0
