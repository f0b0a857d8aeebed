"""Snapshots from plain stacks, for tests of what is made of them."""

import numpy as np

from memlab.records.columns import ints
from memlab.records.snapshot import Snapshot


def make(rows, own=(), **fields):
    """Build a snapshot from (frames, domain, size) rows, each of one block; tables in order of appearance.

    A frame is (file, line); the most recent call comes first.
    """
    frames, files, tracebacks = {}, {}, {}
    for trace, _, _ in rows:
        tracebacks.setdefault(trace, len(tracebacks))
        for file, line in trace:
            files.setdefault(file, len(files))
            frames.setdefault((file, line), len(frames))
    return Snapshot(
        traceback=ints([tracebacks[t] for t, _, _ in rows]),
        domain=ints([d for _, d, _ in rows]),
        size_bytes=ints([s for _, _, s in rows]),
        blocks=ints([1] * len(rows)),
        starts=ints(np.cumsum([0, *map(len, tracebacks)])),
        frame_of=ints([frames[f] for t in tracebacks for f in t]),
        frame_file=ints([files[f] for f, _ in frames]),
        frame_line=ints([line for _, line in frames]),
        files=tuple(files),
        own_files=tuple(sorted(files[name] for name in own if name in files)),
        **{"depth": 4, **fields},
    )
