"""Benchmarks that only a process of their own can run: what they measure depends on what is alive already.

Each function is called in a fresh interpreter that imports nothing else, and returns its samples.
"""

from __future__ import annotations

import gc
import time

__all__ = ["given_back", "pauses"]

_GARBAGE = 10_000
_KIB = 100 * 1024


def pauses(rounds: int = 50) -> list[float]:
    """Return seconds of full collections, each after 10,000 dicts that hold themselves and a list of 100."""
    gc.collect()
    samples = []
    for _ in range(rounds):
        for number in range(_GARBAGE):
            garbage: dict[str, object] = {"number": number, "data": [0] * 100}
            garbage["self"] = garbage
        began = time.perf_counter()
        gc.collect()
        samples.append(time.perf_counter() - began)
    return samples


def given_back() -> list[float]:
    """Return the part of 100 MiB of bytes objects of 1 KiB that leaves the process when they go.

    Nothing is read while they are there: one block of the reader's, above them, would keep all of them.
    """
    from memlab.collectors.probe import Probe

    gc.collect()
    with Probe() as probe:
        before = probe.value("rss_bytes") or 0
        kept = [bytes(1024) for _ in range(_KIB)]
        kept.clear()
        gc.collect()
        after = probe.value("rss_bytes") or 0
    return [1 - max(0, after - before) / (1024 * _KIB)]
