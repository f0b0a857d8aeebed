"""The scripts that score leak finders on the corpus: a right answer counts, a near one does not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(BENCHMARKS))
    loaded = []
    try:
        for name in ("corpus", "leak_peers"):
            spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            loaded.append(module)
        yield loaded
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in ("corpus", "leak_peers"):
            sys.modules.pop(name, None)


def suspect(type_name, *, types=(), holder=""):
    links = [{"via": "", "label": holder}]
    return {
        "type_name": type_name,
        "types": [{"type_name": t} for t in types],
        "site": None,
        "chain": {"links": links},
    }


CASE = {
    "culprit_types": ["app.Session", "builtins.dict"],
    "holder": "app.registry",
    "culprit_where": "app/registry.py:add",
}


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (suspect("app.Session"), True),
        (suspect("app.Other", types=["app.Session"]), True),
        (suspect("builtins.dict"), False),
        (suspect("app.Other", holder="module app.registry"), True),
        (suspect("app.Other", holder="module other"), False),
        (None, False),
    ],
)
def test_a_culprit_is_a_type_that_the_case_lists_or_its_holder(scripts, tmp_path, first, named):
    assert scripts[0]._named(CASE, first, tmp_path) is named


def test_the_culprit_of_a_native_leak_is_one_of_its_lines(scripts, tmp_path):
    (tmp_path / "workload.py").write_text(
        "def step():\n    lib.load(x)\n    lib.store(x)\n", encoding="utf-8"
    )
    case = {"culprit_lines": ["lib.load("], "culprit_types": [], "holder": ""}
    first = suspect("memory")
    for line, named in ((2, True), (3, False)):
        first["site"] = {"frames": [{"file": "workload.py", "line": line}]}
        assert scripts[0]._named(case, first, tmp_path) is named
        assert scripts[1]._named("memray", case, [[["x/workload.py", line]]], tmp_path) is named


@pytest.mark.parametrize(
    ("tool", "found", "named"),
    [
        ("objgraph", ["builtins.dict", "app.Session"], True),
        ("objgraph", ["app.Other", "app.Session"], False),
        ("memray", [[["/lib/app/registry.py", 3], ["w.py", 1]], []], True),
        ("memray", [[["/lib/app/other.py", 3]], [["/lib/app/registry.py", 3]]], False),
    ],
)
def test_what_a_peer_lists_first_is_its_answer(scripts, tmp_path, tool, found, named):
    assert scripts[1]._named(tool, CASE, found, tmp_path) is named


def test_a_peer_reports_what_gains_in_both_windows(scripts):
    calls = []
    readings = iter([{"a": 50, "b": 50, "c": 24}, {"b": 60, "a": 25, "c": 99, "d": 50}])
    found = scripts[1]._in_both(lambda: calls.append(1), lambda: next(readings))
    assert found == ["b", "a"]
    assert len(calls) == 2 * scripts[1].WINDOW
