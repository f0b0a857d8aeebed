"""Three programs with one known accumulation point five references deep: it comes first, put rightly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAPS = Path(__file__).resolve().parents[2] / "data" / "heaps"
PROGRAMS = sorted(path.stem for path in HEAPS.glob("*.py"))

ASK = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
program = importlib.import_module(sys.argv[2])
program.run()
import memlab
graph = memlab.heap()
first = graph.suspects().suspects[0]
print(json.dumps({
    "label": first.label, "prose": first.prose, "chain": str(first.chain), "links": len(first.chain.links),
    "share": first.share, "freed": graph.what_if(__import__("numpy").uint32(first.node)).freed_bytes,
    "retained": first.retained_bytes, "expected": program.EXPECTED,
}))
"""


@pytest.fixture(scope="module", params=PROGRAMS)
def found(request):
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(HEAPS), request.param],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_three_programs():
    assert len(PROGRAMS) == 3


def test_the_accumulation_point_comes_first(found):
    """It has the right name, keeps most of the heap, and lies at least five references deep."""
    assert found["label"] == found["expected"]["label"]
    assert found["share"] > 0.4
    assert found["links"] > 5


def test_its_prose_is_right(found):
    for part in found["expected"]["contains"]:
        assert part in f"{found['prose']} {found['chain']}"
    assert f"{round(found['share'] * 100)}%" in found["prose"]


def test_what_it_retains_is_what_a_cut_would_free(found):
    assert found["freed"] == found["retained"]
