"""A snapshot, or what changed between two, in the formats of other tools.

- ``speedscope``: https://www.speedscope.app, one profile weighted by bytes and one by blocks (its JSON format
  as https://www.speedscope.app/file-format-schema.json has it);
- ``firefox``: https://profiler.firefox.com, its "processed" format, version 47, which newer ones upgrade;
- ``collapsed``: one line a stack, oldest call first, then bytes: flamegraph.pl, inferno, gprof2dot;
- ``csv`` and ``parquet``: the table of ``to_frame``; Parquet needs pyarrow.

Stack formats can not hold a loss: of a difference they take what grew, and say so in the name.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from memlab._base.atomic import replacing, write_text
from memlab._base.safety import instance_type_name
from memlab._base.version import VERSION
from memlab.errors import MissingExtraError, UsageError
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import SnapshotDiff, SnapshotTable
from memlab.views.tables import to_frame
from memlab.views.words import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.records.columns import Ints

__all__ = ["FORMS", "collapsed", "export", "firefox", "speedscope"]

FORMS: Final[Mapping[str, str]] = {
    "speedscope": ".speedscope.json",
    "firefox": ".firefox.json",
    "collapsed": ".folded",
    "csv": ".csv",
    "parquet": ".parquet",
}
_OTHER_ENDINGS: Final = {".txt": "collapsed", ".collapsed": "collapsed", ".json": "speedscope"}
_Stacks = tuple[list[tuple[str, str, int]], list[list[int]], list[int], list[int], str]


def export(
    result: Snapshot | SnapshotDiff | SnapshotTable, path: str | os.PathLike[str], form: str | None = None
) -> str:
    """Write a result for another tool, whole or not at all.

    Args:
        result: a snapshot, a table of one, or what changed between two.
        path: where.
        form: one of ``FORMS``; None: as the file's ending says.

    Returns:
        The name of the form.

    Raises:
        UsageError: when the form is not known, or the file cannot be written.
        MissingExtraError: for Parquet without pyarrow, for tables without pandas.
    """
    if not isinstance(result, (Snapshot, SnapshotDiff, SnapshotTable)):
        raise UsageError(f"export: needs a snapshot or a difference, not {instance_type_name(result)}")
    chosen = form or _by_ending(os.fsdecode(path))
    if chosen not in FORMS:
        raise UsageError(f"export: no form {chosen!r}; there are {', '.join(FORMS)}")
    if chosen == "parquet":
        _write_parquet(result, path)
    elif chosen == "csv":
        write_text(path, to_frame(result).to_csv(index=False))
    elif isinstance(result, SnapshotTable):
        raise UsageError(f"export: a table has no stacks for {chosen}; export the snapshot, or take csv")
    else:
        write_text(path, _WRITERS[chosen](result))
    return chosen


def _by_ending(path: str) -> str:
    for form, ending in FORMS.items():
        if path.endswith(ending):
            return form
    for ending, form in _OTHER_ENDINGS.items():
        if path.endswith(ending):
            return form
    endings = ", ".join(FORMS.values())
    raise UsageError(
        f"export: the ending of {os.path.basename(path)!r} names no form; name one, or use {endings}"  # noqa: PTH119
    )


def _write_parquet(result: Snapshot | SnapshotDiff | SnapshotTable, path: str | os.PathLike[str]) -> None:
    frame = to_frame(result)
    with replacing(path) as temporary:
        try:
            frame.to_parquet(temporary, index=False)
        except ImportError:
            raise MissingExtraError.needs("Parquet", "pyarrow", "parquet") from None


# -- stacks


def _stacks(result: Snapshot | SnapshotDiff) -> _Stacks:
    """Return frames (name, file, line), stacks of them oldest call first, bytes, blocks, and a title."""
    if isinstance(result, Snapshot):
        table = result.statistics("traceback")
        places, size, blocks = table.places, table.size_bytes, table.blocks
        title = result.label or "snapshot"
    else:
        places, size, blocks = result.places, result.size_diff_bytes, result.blocks_diff
        title = f"growth {result.older_label} to {result.newer_label}".strip()
    keep = np.flatnonzero(size > 0)
    frames = [places.frame(i) for i in range(len(places.frame_file))]
    named = [(printable(f.function), printable(f.file), f.line) for f in frames]
    starts, entries = places.starts.tolist(), places.frame_of
    stacks = [entries[starts[row] : starts[row + 1]][::-1].tolist() for row in keep.tolist()]
    return named, stacks, _plain(size[keep]), _plain(np.maximum(blocks[keep], 0)), printable(title)


def _plain(column: Ints) -> list[int]:
    numbers: list[int] = column.tolist()
    return numbers


def _name(function: str, file: str, line: int) -> str:
    place = f"{file}:{line}" if line > 0 else file
    return f"{function} ({place})" if function else place


def speedscope(result: Snapshot | SnapshotDiff) -> str:
    """Return a result as speedscope's JSON."""
    frames, stacks, size, blocks, title = _stacks(result)

    def profile(name: str, unit: str, weights: list[int]) -> dict[str, Any]:
        return {
            "type": "sampled",
            "name": name,
            "unit": unit,
            "startValue": 0,
            "endValue": sum(weights),
            "samples": stacks,
            "weights": weights,
        }

    return _json(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": f"memlab {VERSION}",
            "name": title,
            "activeProfileIndex": 0,
            "shared": {
                "frames": [
                    {"name": _name(*frame), "file": frame[1], **({"line": frame[2]} if frame[2] > 0 else {})}
                    for frame in frames
                ]
            },
            "profiles": [
                profile(f"{title}: bytes", "bytes", size),
                profile(f"{title}: blocks", "none", blocks),
            ],
        }
    )


def collapsed(result: Snapshot | SnapshotDiff) -> str:
    """Return a result as collapsed stacks: ``oldest;...;newest bytes``, a line each."""
    frames, stacks, size, _, _ = _stacks(result)
    names = [_name(*frame).replace(";", ",").replace("\n", " ") for frame in frames]
    return "".join(
        f"{';'.join(names[f] for f in stack)} {weight}\n" for stack, weight in zip(stacks, size, strict=True)
    )


def firefox(result: Snapshot | SnapshotDiff) -> str:
    """Return a result as a profile for the Firefox Profiler, sizes as weights of samples."""
    frames, stacks, size, _, title = _stacks(result)
    strings: dict[str, int] = {}
    functions: dict[tuple[str, str], int] = {}

    def text(value: str) -> int:
        return strings.setdefault(value, len(strings))

    func_of = [
        functions.setdefault((name or _name(name, file, line), file), len(functions))
        for name, file, line in frames
    ]
    func_names, func_files = [text(n) for n, _ in functions], [text(f) for _, f in functions]
    tree: dict[tuple[int | None, int], int] = {}
    leaves: list[int | None] = []
    for stack in stacks:
        at: int | None = None
        for frame in stack:
            at = tree.setdefault((at, frame), len(tree))
        leaves.append(at)
    many, count = len(frames), len(functions)
    thread = {
        "processType": "default",
        "processStartupTime": 0,
        "processShutdownTime": None,
        "registerTime": 0,
        "unregisterTime": None,
        "pausedRanges": [],
        "name": title,
        "isMainThread": True,
        "pid": "0",
        "tid": 0,
        "samples": {
            "weightType": "bytes",
            "weight": size,
            "eventDelay": [0] * len(size),
            "stack": leaves,
            "time": list(range(len(size))),
            "length": len(size),
        },
        "markers": {name: [] for name in ("data", "name", "startTime", "endTime", "phase", "category")}
        | {"length": 0},
        "stackTable": {
            "frame": [frame for _, frame in tree],
            "prefix": [prefix for prefix, _ in tree],
            "category": [0] * len(tree),
            "subcategory": [0] * len(tree),
            "length": len(tree),
        },
        "frameTable": {
            "address": [-1] * many,
            "inlineDepth": [0] * many,
            "category": [0] * many,
            "subcategory": [0] * many,
            "func": func_of,
            "nativeSymbol": [None] * many,
            "innerWindowID": [0] * many,
            "implementation": [None] * many,
            "line": [line or None for _, _, line in frames],
            "column": [None] * many,
            "length": many,
        },
        "funcTable": {
            "isJS": [False] * count,
            "relevantForJS": [False] * count,
            "name": func_names,
            "resource": [-1] * count,
            "fileName": func_files,
            "lineNumber": [None] * count,
            "columnNumber": [None] * count,
            "length": count,
        },
        "resourceTable": {"lib": [], "name": [], "host": [], "type": [], "length": 0},
        "nativeSymbols": {"libIndex": [], "address": [], "name": [], "functionSize": [], "length": 0},
        "stringArray": list(strings),
    }
    return _json({"meta": _FIREFOX_META, "libs": [], "pages": [], "threads": [thread]})


_FIREFOX_META: Final = {
    "interval": 1,
    "startTime": 0,
    "abi": "",
    "misc": "",
    "oscpu": "",
    "platform": "",
    "processType": 0,
    "extensions": {"id": [], "name": [], "baseURL": [], "length": 0},
    "categories": [{"name": "Other", "color": "grey", "subcategories": ["Other"]}],
    "product": f"memlab {VERSION}",
    "stackwalk": 0,
    "toolkit": "",
    "version": 27,
    "preprocessedProfileVersion": 47,
    "appBuildID": "",
    "sourceURL": "",
    "physicalCPUs": 0,
    "logicalCPUs": 0,
    "symbolicationNotSupported": True,
    "markerSchema": [],
}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


_WRITERS: Final[Mapping[str, Callable[[Snapshot | SnapshotDiff], str]]] = {
    "speedscope": speedscope,
    "firefox": firefox,
    "collapsed": collapsed,
}
