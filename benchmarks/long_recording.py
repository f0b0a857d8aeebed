"""What a long recording costs: bytes on disk while it runs and when it is finished, and the sampler's time.

A program moves memory five times a second, makes cyclic garbage (so that the collector runs) and opens a span
now and then; `memlab.record(0.1, path=...)` watches it. The page states an hour: `--seconds 3600`.

    python benchmarks/long_recording.py [--seconds 60] [--interval 0.1]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

import memlab

MIB = 2**20
EVERY_S = 0.2
SPAN_EVERY_S = 72.0


def work(recording: memlab.Recorder, seconds: float) -> float:
    """Move memory until the time is over; return the sampler's processor time, read just before."""
    chance = random.Random(1)
    ends = time.monotonic() + seconds
    span_at = time.monotonic()
    kept: list[bytearray] = []
    spent = 0.0
    while (now := time.monotonic()) < ends:
        kept.append(bytearray(chance.randrange(8 * MIB)))
        del kept[: -chance.randrange(1, 9)]
        for _ in range(2000):
            ring: list[object] = []
            ring.append(ring)
        if now >= span_at:
            span_at += SPAN_EVERY_S
            with recording.span("stage"):
                time.sleep(EVERY_S)
        for child in psutil.Process().children():
            times = child.cpu_times()
            spent = times.user + times.system
        time.sleep(EVERY_S)
    return spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--interval", type=float, default=0.1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.memlab")
        with memlab.record(args.interval, path=path) as recording:
            spent = work(recording, args.seconds)
            running = sum(file.stat().st_size for file in Path(folder).iterdir())
        finished = path.stat().st_size
        capture = memlab.load(path)
    print(
        f"{args.seconds:.0f} s at {1 / args.interval:.0f} Hz, load {os.getloadavg()[0]:.1f}: "
        f"{len(capture.timeline):,} rows, {len(capture.spans)} spans, {len(capture.pauses):,} collections"
    )
    print(
        f"on disk while it ran {running / MIB:.2f} MiB, finished {finished / MIB:.2f} MiB (an hour: under 2)"
    )
    print(f"the sampler took {spent:.1f} s of processor time: {100 * spent / args.seconds:.2f} % of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
