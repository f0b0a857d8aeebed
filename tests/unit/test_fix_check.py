"""Verifying a fix: fixed, better, the same, worse, or no verdict."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import samples

import memlab
from memlab.analyses.fix_check import compare_reports
from memlab.records.leak_report import Verdict

HUNT = {"iterations": 300, "warmup": 10, "trace": False}


class Keeper:
    def __init__(self, per_call):
        self.kept = []
        self.per_call = per_call

    def __call__(self):
        self.kept.extend([] for _ in range(self.per_call))


@pytest.fixture(scope="module")
def leaking():
    return memlab.find_leaks(Keeper(4), **HUNT)


@pytest.mark.parametrize(
    ("per_call", "verdict"), [(0, "fixed"), (1, "better"), (4, "same"), (9, "worse")], ids=str
)
def test_the_verdict_follows_the_rate(leaking, per_call, verdict):
    """Four objects an iteration before; none, one, four and nine after."""
    check = leaking.verify(Keeper(per_call), **HUNT)
    assert check.verdict == verdict, str(check)
    rate = next(rate for rate in check.rates if rate.metric == "tracked_objects")
    assert rate.before == pytest.approx(4, abs=0.2)
    assert rate.after == pytest.approx(per_call, abs=0.2)
    assert rate.change == verdict


def test_no_leak_before(leaking):
    """Where there was none, a leak is worse, and none is the same."""
    clean = memlab.find_leaks(Keeper(0), **HUNT)
    assert compare_reports(clean, leaking).verdict == "worse"
    assert compare_reports(clean, clean).verdict == "same"


def test_a_hunt_without_a_verdict_decides_nothing(leaking):
    """Inconclusive on either side is inconclusive; a bound that was found is better."""
    unsure = dataclasses.replace(leaking, verdict=Verdict.INCONCLUSIVE, reason="too few")
    assert compare_reports(unsure, leaking).verdict == "inconclusive"
    assert compare_reports(leaking, unsure).verdict == "inconclusive"
    filling = dataclasses.replace(leaking, verdict=Verdict.WARMING_UP)
    assert compare_reports(leaking, filling).verdict == "better"


def test_suspects_are_gone_left_or_new():
    """Suspects are told apart by type and holder."""
    report = samples.leak_report()
    check = compare_reports(report, dataclasses.replace(report, suspects=report.suspects[1:]))
    assert len(check.gone) == 1
    assert len(check.left) == len({*check.left})
    assert check.new == ()
    assert compare_reports(samples.no_leak_report(), report).new[0] in (*check.gone, *check.left)


def test_a_saved_report_can_be_verified_against(leaking, tmp_path):
    """From a file, in Python and on the command line; the comparison is one page."""
    saved = tmp_path / "before.memlab"
    leaking.save(saved)
    assert memlab.verify_fix(saved, Keeper(0), **HUNT).verdict == "fixed"
    step = tmp_path / "step.py"
    step.write_text("def step():\n    return []\n")
    page = tmp_path / "fix.html"
    command = [sys.executable, "-m", "memlab", "leaks", f"{step}:step", "--against", str(saved)]
    done = subprocess.run(
        [*command, "--iterations", "300", "--report", str(page)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("FIXED: ")
    text = page.read_text()
    assert "The evidence before the change" in text
    assert "The evidence after the change" in text
    same = subprocess.run([*command, "--save", str(saved)], capture_output=True, text=True, check=False)
    assert same.returncode == 2
    assert "overwrite" in same.stderr


def test_what_is_no_report_is_refused(tmp_path):
    """One sentence says what the file holds and how to make the right one."""
    path = tmp_path / "other.memlab"
    samples.memit_result().save(path)
    with pytest.raises(memlab.UsageError, match=r"holds a memit, not a leak report; save one with"):
        memlab.verify_fix(path, lambda: None)
