"""A short form of the score of shapes: a few that leak and a few that do not, one seed each."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

import memlab

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "leak_shapes.py"
CALLS = 480


@pytest.fixture(scope="module")
def shapes():
    spec = importlib.util.spec_from_file_location("leak_shapes", SCRIPT)
    module = sys.modules["leak_shapes"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop("leak_shapes", None)


def hunt(make):
    step = make(random.Random(1), CALLS)
    return memlab.find_leaks(step, iterations=CALLS, budget_s=1.0)


@pytest.mark.parametrize("name", ["object_each_tenth_call", "strings_only", "weak_table_with_strong_values"])
def test_a_shape_that_leaks_is_called_one(shapes, name):
    """One object in ten calls, nothing that the collector tracks, a value that keeps its weak key."""
    report = hunt(shapes.LEAKS[name])
    assert report.verdict is memlab.Verdict.LEAK, report.reason
    assert report.suspects


@pytest.mark.parametrize("name", ["ring_buffer", "cleared_now_and_then", "one_jump", "bounded_cache"])
def test_a_healthy_shape_is_called_no_leak(shapes, name):
    """A full ring, a list that is cleared, a table filled at once, a cache that fills to its bound."""
    report = hunt(shapes.HEALTHY[name])
    assert report.verdict not in (memlab.Verdict.LEAK, memlab.Verdict.NATIVE_LEAK), report.reason


def test_there_are_shapes_enough(shapes):
    """At least twenty-four of each, by the name of their function."""
    assert len(shapes.LEAKS) >= 24
    assert len(shapes.HEALTHY) >= 24
    assert not shapes.LEAKS.keys() & shapes.HEALTHY.keys()
