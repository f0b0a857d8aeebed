"""The pytest plugin, in real runs: what it catches, what it leaves alone, and what it says."""

from __future__ import annotations

import json
import re

import pytest

SHARED = """
import logging, warnings
import pytest

kept = []

class Session:
    def __init__(self):
        self.rows = [0] * 20
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run tests in a pytest process of its own, without the plugins of this project's own runs."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(source, *arguments, asyncio=False):
        pytester.makepyfile(test_it=SHARED + source)
        quiet = ("-p", "no:randomly", "-p", "no:cacheprovider", *(() if asyncio else ("-p", "no:asyncio")))
        return pytester.runpytest_subprocess(*quiet, *arguments)

    return run


def test_a_leaking_test_fails_with_line_and_holder(run, pytester):
    """The message names the verdict, the type, the line that makes it and the chain that holds it."""
    result = run(
        """
@pytest.mark.memlab_no_leak(iterations=200, warmup=10)
def test_leaks():
    session = Session()
    kept.append(session)

@pytest.mark.memlab_no_leak(iterations=200, warmup=10)
@pytest.mark.parametrize("keep", [True, False])
def test_each(keep):
    if keep:
        kept.append(Session())
""",
        "--memlab-report",
        "out",
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "memlab: leak: each iteration of test_it.py::test_leaks leaves *",
            "  1. test_it.Session: 2 objects* per iteration",
            "     made at: test_it.py:*",
            "     held by: module test_it -> .kept (list) -> * Session",
            "  report: out/test_it.py-test_leaks-*-leak.html",
        ]
    )
    assert "pytest_plugin/checks.py" not in result.stdout.str()
    pages = sorted(path.name for path in (pytester.path / "out").iterdir())
    assert len(pages) == 4
    sheet = json.loads((pytester.path / "out" / pages[-1]).read_text())
    assert sheet["kind"] == "leak report"
    assert sheet["result"]["verdict"] == "leak"
    page = (pytester.path / "out" / pages[-2]).read_text()
    assert "test_it.py" in page
    assert str(pytester.path) not in page + json.dumps(sheet)


def test_what_fixtures_remember_is_no_leak(run):
    """Each iteration has fixtures of its own, and what pytest keeps for each run of a test is taken away."""
    result = run(
        """
made = 0

@pytest.fixture(scope="session")
def wide():
    return {}

@pytest.fixture
def narrow(wide, request):
    yield wide
    global made
    made += 1

@pytest.mark.memlab_no_leak(iterations=1200, warmup=10, trace=False, strict=True)
def test_clean(narrow, tmp_path, monkeypatch, capsys, caplog, recwarn, record_property):
    record_property("size", 1)
    monkeypatch.setattr(logging, "foo", Session(), raising=False)
    (tmp_path / "file").write_text("x")
    print("x" * 1000)
    logging.warning("hello")
    warnings.warn("hello")
    assert len(caplog.records) == len(recwarn.list) == 1

def test_afterwards(wide, tmp_path_factory):
    assert made == 1212  # the plain run, the hunt, and the set-up after it
    assert not hasattr(logging, "foo")
    left = [path for path in tmp_path_factory.getbasetemp().iterdir() if path.name.startswith("test_clean")]
    assert len(left) <= 3  # of twelve hundred: the first, the one after the hunt, and pytest's link
"""
    )
    result.assert_outcomes(passed=2)


def test_a_test_that_fails_is_not_hunted(run):
    """Outcomes stay what they were: failed, skipped, xfailed; a leak may be what is expected."""
    result = run(
        """
import unittest
pytestmark = pytest.mark.memlab_no_leak(iterations=100, warmup=5, trace=False)
calls = 0

def test_fails():
    global calls
    calls += 1
    assert calls == 0, calls

def test_skips():
    pytest.skip("not here")

@pytest.mark.xfail(strict=True)
def test_expected():
    kept.append(Session())

class TestCase(unittest.TestCase):
    def setUp(self):
        self.sessions = [Session()]

    def test_clean(self):
        assert len(self.sessions) == 1

    def test_leaks(self):
        kept.append(Session())

    def test_fails(self):
        self.assertEqual(1, 2)
"""
    )
    result.assert_outcomes(failed=3, passed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*AssertionError: 1", "*memlab: leak: *TestCase::test_leaks*"])


def test_a_test_that_cannot_be_repeated_says_so(run):
    """Its own exception is what is shown, with a note of the iteration."""
    result = run(
        """
@pytest.mark.memlab_no_leak(iterations=50, warmup=5, trace=False)
def test_once():
    kept.append(1)
    assert len(kept) < 30
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 30 < 30*", "*raised this in iteration 29 of the hunt*"])


@pytest.mark.parametrize("with_plugin", ["asyncio", "anyio"])
def test_async_tests_are_repeated(run, pytester, with_plugin):
    """Coroutine tests of pytest-asyncio and of anyio are hunted as others are."""
    if with_plugin == "asyncio":
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    result = run(
        f"""
import asyncio
pytestmark = pytest.mark.{with_plugin}

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.memlab_no_leak(iterations=120, warmup=10)
async def test_leaks():
    await asyncio.sleep(0)
    kept.append(Session())

@pytest.mark.memlab_no_leak(iterations=120, warmup=10, trace=False)
async def test_clean():
    await asyncio.sleep(0)

@pytest.mark.memlab_peak("1 MiB")
async def test_peak():
    rows = [bytearray(10_000) for _ in range(400)]
    await asyncio.sleep(0.05)
""",
        asyncio=with_plugin == "asyncio",
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*made at: test_it.py:*", "memlab: the peak is * MiB above the start*"])


def test_peaks_have_limits(run, pytester):
    """A call above its limit fails with the lines that held the memory, although it is gone by then."""
    result = run(
        """
import time

@pytest.mark.memlab_peak("2 MiB")
def test_too_much():
    rows = [bytearray(10_000) for _ in range(500)]
    time.sleep(0.1)
    del rows

@pytest.mark.memlab_peak(limit="24 MiB")
def test_enough():
    rows = [bytearray(10_000) for _ in range(500)]

@pytest.mark.memlab_peak("1 MiB")
def test_own_failure():
    rows = [bytearray(10_000) for _ in range(500)]
    assert not rows[:1], "my own"
""",
        "--memlab-report=out",
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "memlab: the peak is * MiB above the start, * MiB over the limit of 2.00 MiB (traced +*",
            "*MiB in * blocks at test_it.py:*",
            "*AssertionError: my own*",
        ]
    )
    (sheet,) = (pytester.path / "out").glob("*peak.json")
    assert json.loads(sheet.read_text())["kind"] == "snapshot"


def test_the_fixture_checks_a_part_of_a_test(run):
    """``memlab.assert_no_leak`` and ``memlab.peak`` fail as the markers do, and return what they saw."""
    result = run(
        """
def test_part(memlab):
    assert memlab.assert_no_leak(Session, iterations=100, warmup=5, trace=False).verdict == "no leak"
    with memlab.peak("8 MiB") as watch:
        rows = bytearray(2_000_000)
    assert 2_000_000 <= watch.seen.peak_bytes < 8_000_000

def test_leaks(memlab):
    memlab.assert_no_leak(lambda: kept.append(Session()), iterations=200, warmup=5)

def test_peak(memlab):
    with memlab.peak("1 MiB"):
        rows = bytearray(3_000_000)
"""
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["memlab: leak: *", "*held by: *kept*", "memlab: the peak is * MiB above*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("memlab_peak", "the marker memlab_peak takes one limit such as '24 MiB', not 0 of them"),
        ("memlab_peak('lots')", "the marker memlab_peak cannot read the size 'lots'*"),
        ("memlab_peak(True)", "the marker memlab_peak takes a limit such as '24 MiB', not bool"),
        ("memlab_no_leak(3)", "the marker memlab_no_leak takes keywords only*"),
        ("memlab_no_leak(budget=3)", "the marker memlab_no_leak has no argument 'budget'*"),
        ("memlab_no_leak(budget_s=0)", "the marker memlab_no_leak budget_s must be between 0.1 s and a day*"),
    ],
)
def test_a_marker_that_makes_no_sense_ends_the_run(run, marker, said):
    """One line names the test and the remedy; no test runs."""
    result = run(f"@pytest.mark.{marker}\ndef test_it():\n    kept.append(1)\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_it.py::test_it: {said}"])


TABLE = """
import time

def test_big():
    rows = bytearray(30_000_000)
    rows[::4096] = b"x" * len(rows[::4096])

def test_small():
    pass

@pytest.mark.parametrize("n", range(4))
def test_keeps(n):
    kept.append(bytearray(b"x" * 3_000_000))
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_table_shows_peak_and_growth(run, pytester, workers):
    """Each test has a row, greatest peak first, also when pytest-xdist's workers run them."""
    result = run(TABLE, "--memlab", "--memlab-collect", "--memlab-report", "out", *workers)
    result.assert_outcomes(passed=6)
    rows = re.findall(r"\+(\S+ \S+) +(\S+ \S+) +\S+ +\S+ \S+  (test_it.py::\S+)", result.stdout.str())
    assert rows[0][2] == "test_it.py::test_big"
    assert rows[0][0].startswith("28.")
    assert len(rows) == 6
    sheet = json.loads((pytester.path / "out" / "memlab-tests.json").read_text())
    found = {row["nodeid"].partition("::")[2]: row for row in sheet["tests"]}
    assert len(found) == 6
    assert found["test_big"]["peak_bytes"] > 28_000_000
    assert found["test_big"]["growth_bytes"] < 5_000_000
    assert sum(found[f"test_keeps[{n}]"]["growth_bytes"] for n in range(4)) > 8_000_000


def test_markers_work_under_xdist(run):
    """A worker hunts, the controller reports the failure with its line."""
    result = run(
        """
@pytest.mark.memlab_no_leak(iterations=200, warmup=5)
def test_leaks():
    kept.append(Session())

def test_other():
    pass
""",
        "-n",
        "2",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*memlab: leak: *", "*made at: test_it.py:*"])


def test_the_plugin_is_shy(run):
    """Without marker, fixture or option no other module of memlab's is imported, and nothing is measured."""
    result = run(
        """
import sys

def test_shy(pytestconfig):
    mine = sorted(name for name in sys.modules if name.startswith("memlab"))
    assert mine == [
        "memlab", "memlab._base", "memlab._base.version", "memlab.errors", "memlab.faces",
        "memlab.faces.pytest_baseline", "memlab.faces.pytest_plugin", "memlab.faces.pytest_plugin.options",
    ]
    names = [name for name, _ in pytestconfig.pluginmanager.list_name_plugin() if "memlab" in name]
    assert sorted(names) == ["memlab", "memlab-baseline"]
    assert not {"numpy", "psutil", "pandas"} & sys.modules.keys()
"""
    )
    result.assert_outcomes(passed=1)
    assert "memlab" not in result.stdout.str().replace("plugins: ", "").split("\n", 4)[4]


def test_strict_fails_without_a_verdict(run):
    """A test that cannot be judged passes with a word in its report, and fails where strict is asked for."""
    source = """
from functools import lru_cache
numbers = iter(range(10**9))

@lru_cache(maxsize=100_000)
def cached(n):
    return [n]

@pytest.mark.memlab_no_leak(iterations=6, warmup=0, trace=False, strict={strict})
def test_few():
    cached(next(numbers))
"""
    passed = run(source.format(strict=False), "-rP")
    passed.assert_outcomes(passed=1)
    passed.stdout.fnmatch_lines(["*memlab: inconclusive: *"])
    failed = run(source.format(strict=True))
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*strict=True asks for a verdict*"])


def test_a_folder_that_cannot_be_had_is_told_at_once(run, pytester):
    """Before any test runs, in one line."""
    pytester.path.joinpath("taken").write_text("")
    result = run("def test_it():\n    pass\n", "--memlab-report", "taken/deep")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --memlab-report: cannot make *taken/deep: *"])
