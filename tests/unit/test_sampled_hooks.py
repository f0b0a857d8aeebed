"""The sampled engine's hooks beside others: who comes, goes and comes back; no memory to be had."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

import pytest

from tests.kit.bounded_child import in_child

if os.environ.get("MEMLAB_REQUIRE_NATIVE") == "1":
    from memlab._native import sites
else:
    sites = pytest.importorskip("memlab._native.sites", reason="the sampling extension was not built")

try:
    import _testcapi
except ImportError:  # some distributions leave CPython's own test module out
    _testcapi = None

needs_testcapi = pytest.mark.skipif(_testcapi is None, reason="CPython's _testcapi is not installed")


@needs_testcapi
def test_short_of_memory_nothing_is_put_in_twice():
    """Whether hooks are in the chain is asked with a small block; none to be had is a MemoryError."""
    told = in_child(
        """
        import _testcapi, tracemalloc
        from memlab._native import sites
        sites.begin(4096.0, 5, 1 << 20, 1)
        tracemalloc.start()
        print(sites.end())
        for domain_fails_at in range(1, 4):
            _testcapi.set_nomemory(domain_fails_at, domain_fails_at + 1)
            try:
                sites.begin(4096.0, 5, 1 << 20, 1)
                said = "began"
            except MemoryError:
                said = "MemoryError"
            finally:
                _testcapi.remove_mem_hooks()
            if said == "began":
                kept = bytearray(500_000)
                sites.end()
        sites.begin(4096.0, 5, 1 << 20, 1)
        kept = bytearray(500_000)
        print(sites.state()["live"] > 0, sites.state()["domains"])
        tracemalloc.stop()
        print(sites.end(), sites.state()["hooked"])
        """
    ).split()
    assert told == ["False", "True", "7", "True", "False"]


@needs_testcapi
def test_hooks_that_come_back_are_not_put_in_twice():
    """A tracer that began on top of them puts them back after their end: they are put in once."""
    told = in_child(
        """
        import _testcapi, tracemalloc
        from memlab._native import sites
        _testcapi.set_nomemory(10**9, 0)  # below ours, and never fails
        sites.begin(4096.0, 5, 1 << 20, 1)
        tracemalloc.start()
        _testcapi.remove_mem_hooks()      # puts back what was before it: ours are out
        print(sites.end(), sites.state()["hooked"])
        tracemalloc.stop()                # puts back what was before that: ours are in again
        kept = [bytes(n) for n in range(3000)]
        sites.begin(4096.0, 5, 1 << 20, 1)
        kept += [bytes(n) for n in range(3000)]
        print(sites.state()["domains"], sites.state()["live"] > 0)
        print(sites.end())
        kept += [bytes(n) for n in range(3000)]
        """
    ).split()
    assert told == ["True", "False", "7", "True", "True"]


def slots_of(module, value):
    """Return the addresses in a loaded library at which a pointer lies."""
    found = []
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    regions = [line.split() for line in maps if line.endswith(module)]
    for region in regions:
        if region[1].startswith("r") and "x" not in region[1]:
            low, high = (int(part, 16) for part in region[0].split("-"))
            words = (ctypes.c_uint64 * ((high - low) // 8)).from_address(low)
            found += [low + 8 * at for at, word in enumerate(words) if word == value]
    return found


def report(domain, address, size):
    """Report a block as a library does; _testcapi raises while tracemalloc is off, libraries do not care."""
    with contextlib.suppress(RuntimeError):
        _testcapi.tracemalloc_track(domain, address, size)


def address_of(name):
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value


@needs_testcapi
@pytest.mark.skipif(not sites.FOLLOWS, reason="libraries' reports are followed on Linux alone")
def test_what_a_library_reports_is_counted_and_its_slots_are_put_back():
    """A report to tracemalloc is a block of its own domain; after the end each slot is what it was."""
    domain, size = 77, 1 << 50  # a number alone; of a gap so wide nothing else is in the sample
    report(domain, 0x1000, 1)  # resolved now, where it is resolved late
    theirs = address_of("PyTraceMalloc_Track")
    before = slots_of(_testcapi.__file__, theirs)
    assert before
    sites.begin(1e9, 2, 1 << 20, 1)
    try:
        during = slots_of(_testcapi.__file__, theirs)
        live = sites.state()["live"]
        report(domain, 0x123450, size)
        tracked = sites.state()["live"]
        with contextlib.suppress(RuntimeError):
            _testcapi.tracemalloc_untrack(domain, 0x123450)
        untracked = sites.state()["live"]
    finally:
        sites.end()
    assert len(during) < len(before)
    assert (tracked - live, untracked - live) == (1, 0)
    assert slots_of(_testcapi.__file__, theirs) == before


@needs_testcapi
@pytest.mark.skipif(not sites.FOLLOWS, reason="libraries' reports are followed on Linux alone")
def test_a_slot_that_another_tool_holds_stays_its_own():
    """A slot that points to neither CPython's function nor its own library was taken by someone: it stays."""
    told = in_child(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import _testcapi, ctypes
        from test_sampled_hooks import address_of, report, slots_of
        from memlab._native import sites
        report(77, 0x1000, 1)
        form = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t)
        seen = form(lambda d, b, s: 0)
        foreign = ctypes.cast(seen, ctypes.c_void_p).value
        slots = slots_of(_testcapi.__file__, address_of("PyTraceMalloc_Track"))
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for slot in slots:
            assert protect(slot & ~4095, 4096, 3) == 0
            ctypes.c_uint64.from_address(slot).value = foreign
        sites.begin(4096.0, 2, 1 << 20, 1)
        print({{ctypes.c_uint64.from_address(slot).value for slot in slots}} == {{foreign}})
        sites.end()
        print({{ctypes.c_uint64.from_address(slot).value for slot in slots}} == {{foreign}})
        """
    )
    assert told.split() == ["True", "True"]
