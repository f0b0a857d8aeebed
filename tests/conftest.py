"""The residue fixture: after every test the interpreter is as it was before it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import psutil
import pytest

_LEAVE_ONE_CALLBACK = {"hypothesis.internal.conjecture.junkdrawer"}  # on first use, to time the collector


def pytest_collection_modifyitems(config, items):
    """Leave the soaks and long fuzzes to ``make test-long``, which sets MEMLAB_LONG=1."""
    if os.environ.get("MEMLAB_LONG") == "1":
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def _module_of(callback):
    return getattr(callback, "__module__", "")


def interpreter_state():
    """Everything process-wide that memlab touches or could touch, as comparable values."""
    process = psutil.Process()
    return {
        # The limit of a tracer that is off means nothing: the next start sets it anew.
        "tracemalloc": tracemalloc.is_tracing() and tracemalloc.get_traceback_limit(),
        "gc enabled": gc.isenabled(),
        "gc thresholds": gc.get_threshold(),
        "gc callbacks": [id(c) for c in gc.callbacks if _module_of(c) not in _LEAVE_ONE_CALLBACK],
        "gc debug": gc.get_debug(),
        # Python 3.12 starts with some hundred frozen objects of its own, which a thaw gives back for good.
        "gc frozen": max(0, gc.get_freeze_count() - (1000 if sys.version_info[:2] == (3, 12) else 0)),
        "trace hook": sys.gettrace(),
        "profile hook": sys.getprofile(),
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "threads": sorted(t.name for t in threading.enumerate()),
        "children": sorted(c.pid for c in process.children()),
        "descriptors": process.num_fds() if hasattr(process, "num_fds") else 0,
        "interrupt handler": signal.getsignal(signal.SIGINT),
        "folder": Path.cwd(),
        "umask": _umask(),
    }


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _differences(before, after):
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Fail a test that leaves a tracer, callback, threshold, thread, child or descriptor behind."""
    if request.node.get_closest_marker("browser") or request.node.get_closest_marker("notebook"):
        yield  # a session-wide server or kernel of the test's own lives on purpose
        return
    before = interpreter_state()
    yield
    after = interpreter_state()
    if _differences(before, after):  # a thread or child may need a moment to be reaped
        gc.collect()
        deadline = time.monotonic() + 2
        while _differences(before, after) and time.monotonic() < deadline:
            time.sleep(0.02)
            after = interpreter_state()
    assert _differences(before, after) == {}


@pytest.fixture(scope="session")
def unwinder():
    """Have memray's unwinder make its pipe, which the process keeps from the first C stack on."""
    from memlab.lab.native_trace import NativeTrace

    for _ in range(3):
        with NativeTrace():
            kept = [bytearray(100_000) for _ in range(20)]
        del kept
