"""Captures of a heap that eight threads change, and ten thousand captures that leave nothing behind.

Both run in a process of their own with ``faulthandler``, so that a crash is a failure with a trace.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from memlab.collectors import heap_engine

CHURN = """
import gc, json, sys, threading, time
import memlab
from memlab.collectors import heap_births, heap_engine

if {python}:
    heap_engine.native = heap_births.native = None

class Thing:
    def __init__(self, other):
        self.other, self.text = other, "text of " + str(id(other))

shared, stop, turns = {{}}, threading.Event(), [0] * 8

def steps(n):
    for at in range(n):
        yield [at, shared.get(at)]

def churn(me):
    generators = []
    while not stop.is_set():
        turns[me] += 1
        if turns[me] % 20 == 0:
            time.sleep(0.002)  # else the captures would hardly get a turn
        turn = turns[me] * 8 + me
        thing = Thing(shared.get((turn * 7) % 900))
        thing.more = {{turn: [turn, thing], "half": (turn, [turn])}}
        setattr(thing, "name%d" % (turn % 50), [thing])
        shared[turn % 900] = [thing, "s" * (turn % 99), {{turn, turn + 1}}]
        generators.append(steps(5))
        next(generators[-1])
        if turn % 16 == me:
            del generators[:]
            shared.pop((turn * 3) % 900, None)
        if turn % 4001 == 0:
            shared.clear()
        if turn % 301 == 0:
            vars(thing).clear()
            type("Made", (Thing,), {{"held": [thing]}})

sys.setswitchinterval(1e-4)
threads = [threading.Thread(target=churn, args=(me,), daemon=True) for me in range(8)]
for thread in threads:
    thread.start()
captures = 0
end = time.monotonic() + {seconds}
while time.monotonic() < end or captures < 3:
    graph = memlab.heap()
    assert len(graph) > 10_000
    assert int(graph.starts[-1]) == len(graph.edges)
    captures += 1
    if captures % 3 == 0:
        graph.cycles()
        with memlab.heap_window() as window:
            time.sleep(0.01)
        assert window.diff.exact
stop.set()
for thread in threads:
    thread.join(30)
assert not any(thread.is_alive() for thread in threads)
gc.collect()
print(json.dumps([captures, min(turns)]))
"""

MANY = """
import ctypes, gc, json, resource
import memlab

def native_bytes():
    gc.collect()
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return 0
    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost")]
    libc.mallinfo2.restype = Info
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd  # what malloc gave out, mapped blocks included

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def work(times):
    for turn in range(times):
        graph = memlab.heap(max_objects=3000)
        if turn % 10 == 0:
            graph.cycles()
            with memlab.heap_window(max_objects=3000):
                pass

work(min({times} // 2, 500))
native_bytes()
work(min({times} // 2, 500))
resident_before = resident()
grown = []
for _ in range(7):
    before = native_bytes()
    work({times} // 2)
    grown.append(native_bytes() - before)
print(json.dumps([grown, resident() - resident_before]))
"""


def run(code, seconds):
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("python", "seconds"),
    [
        pytest.param(
            *(0, 2),
            id="native",
            marks=pytest.mark.skipif(heap_engine.native is None, reason="the C extension was not built"),
        ),
        pytest.param(1, 2, id="python"),
        pytest.param(
            *(0, 30),
            id="native for long",
            marks=[
                pytest.mark.long,
                pytest.mark.skipif(heap_engine.native is None, reason="the C extension was not built"),
            ],
        ),
        pytest.param(
            *(1, 30),
            id="python for long",
            marks=pytest.mark.long,
        ),
    ],
)
def test_captures_under_eight_busy_threads(python, seconds):
    """Neither a capture nor a thread fails while lists, dicts, instances, text and generators come and go."""
    captures, turns = run(CHURN.format(python=python, seconds=seconds), 110)
    assert captures >= 3
    assert turns > 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's own accounts of memory")
@pytest.mark.parametrize(
    "times",
    [
        100,
        pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_captures_leak_nothing(times):
    """After hundreds of captures malloc has given out no more than before.

    A leak grows in each of seven windows; a table that doubled once or a cache that filled does so in one.
    """
    grown, resident = run(MANY.format(times=times), 110 if times < 1000 else 3500)
    assert min(grown) < 1536  # 31 bytes a capture at 50 of them; a leaked column would be 3,000 and more
    assert resident < 4 * 2**20
