"""What a site is, for each way to group: every frame of one or several snapshots as one number, its code.

A code is the place of a name in a table that the snapshots share, and below it a line or a function. The
table is in the order in which ``tracemalloc`` sorts (full file names, where they are known), so that codes
compare as its tracebacks of one frame do. A line of the older snapshot that is no more in the newer one has
a code of its own, though another line has its number now.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, get_args

import numpy as np

from memlab._base.grouping import ranked
from memlab.collectors.function_names import function_names
from memlab.errors import UsageError
from memlab.records.columns import ints
from memlab.records.sites import By, Cumulative, Sites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.columns import Ints
    from memlab.records.snapshot import Snapshot

__all__ = ["GONE", "Axis", "axis_of", "checked", "common_files"]

NAME_BITS = 33
GONE = 1 << 32
"""Added to a line that only the older snapshot's version of the file has."""
_LOW = (1 << NAME_BITS) - 1
_LINE = GONE - 1


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """How snapshots' frames are told apart.

    Attributes:
        codes: for each snapshot, frame -> code; by thread: row -> code.
        names: what the upper bits of a code point to.
        own: places in ``names`` of the user's own code.
        functions: what the lower bits point to, by function; else None: they are a line.
        of_code: code -> function, for codes of lines whose function is known.
    """

    codes: tuple[Ints, ...]
    names: tuple[str, ...]
    own: tuple[int, ...]
    functions: tuple[str, ...] | None = None
    known_codes: Ints | None = None
    known_functions: Ints | None = None
    known_names: tuple[str, ...] = ()

    def sites(self, codes: Ints) -> Sites:
        """Return sites of one frame each."""
        used, frame_of = ranked(codes)
        return self.stacks(used, frame_of, np.ones(len(codes), np.int64))

    def stacks(self, used: Ints, frame_of: Ints, lengths: Ints) -> Sites:
        """Return sites of several frames: places in a table of ascending codes, sites end to end."""
        low = used & _LOW
        function, functions = self._function(used, low)
        return Sites(
            starts=ints(np.concatenate([[0], lengths.cumsum()])),
            frame_of=ints(frame_of),
            frame_file=ints(used >> NAME_BITS),
            frame_line=ints(low & _LINE if self.functions is None else np.zeros(len(used), np.int64)),
            files=self.names,
            frame_function=function,
            functions=functions,
            own_files=self.own,
        )

    def _function(self, used: Ints, low: Ints) -> tuple[Ints, tuple[str, ...]]:
        if self.functions is not None:
            return ints(low), self.functions
        if self.known_codes is None or self.known_functions is None or not len(self.known_codes):
            return ints([]), ()
        at = np.minimum(np.searchsorted(self.known_codes, used), len(self.known_codes) - 1)
        found = np.where(self.known_codes[at] == used, self.known_functions[at], len(self.known_names))
        return ints(found), (*self.known_names, "")


def checked(by: str, cumulative: bool | str, what: str) -> tuple[By, Cumulative]:
    """Return how to group, and where a block counts.

    Raises:
        UsageError: for what is neither, or does not go together.
    """
    if by not in get_args(By):
        raise UsageError(f"{what}: by must be one of {', '.join(get_args(By))}, not {by!r}")
    mode = "inclusive" if cumulative is True else "" if cumulative is False else cumulative
    if mode not in get_args(Cumulative):
        raise UsageError(f'{what}: cumulative must be True, False or "stdlib", not {cumulative!r}')
    if mode and by in ("traceback", "thread"):
        raise UsageError(f"{what}: a {by} has no callers to count in; leave out cumulative, or group by line")
    return by, mode  # type: ignore[return-value]


def axis_of(
    snapshots: Sequence[Snapshot], by: By, lines: Sequence[Ints] | None = None, *, callers: bool = True
) -> Axis:
    """Return the codes of all frames.

    Args:
        snapshots: one or several.
        by: how to group.
        lines: for each snapshot, frame -> line, where it is not the recorded one.
        callers: whether frames that call are looked at too, or only those that allocate.
    """
    if by == "thread":
        return _threads(snapshots)
    if by in ("package", "module"):
        return _named(snapshots, by)
    places, names, own = common_files(snapshots)
    file_of = [place[s.frame_file] << NAME_BITS for s, place in zip(snapshots, places, strict=True)]
    if by == "file":
        return Axis(tuple(file_of), names, own)
    if by == "function":
        tables = [function_names(s, callers=callers) for s in snapshots]
        functions = tuple(sorted({name for table, _ in tables for name in table}))
        index = {name: i for i, name in enumerate(functions)}
        codes = [
            file | np.array([index[name] for name in table], np.int64)[of]
            for file, (table, of) in zip(file_of, tables, strict=True)
        ]
        return Axis(tuple(codes), names, own, functions)
    given = lines if lines is not None else [s.frame_line for s in snapshots]
    codes = [file | (line & _LOW) for file, line in zip(file_of, given, strict=True)]
    return Axis(tuple(codes), names, own, None, *_known_functions(snapshots, codes))


def _known_functions(snapshots: Sequence[Snapshot], codes: list[Ints]) -> tuple[Ints, Ints, tuple[str, ...]]:
    """Return the functions that the snapshots recorded, by code; the first snapshot's word counts."""
    index: dict[str, int] = {}
    every, functions = [], []
    for snapshot, code in zip(snapshots, codes, strict=True):
        if len(snapshot.frame_function):
            table = np.array([index.setdefault(f, len(index)) for f in snapshot.functions], np.int64)
            known = np.flatnonzero(snapshot.frame_function >= 0)
            every.append(code[known])
            functions.append(table[snapshot.frame_function[known]])
    if not every:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), ()
    found, first = np.unique(np.concatenate(every), return_index=True)
    return found, np.concatenate(functions)[first], tuple(index)


def common_files(
    snapshots: Sequence[Snapshot],
) -> tuple[list[Ints], tuple[str, ...], tuple[int, ...]]:
    """Return, for each snapshot, file -> place in a common table; the table; the user's own files in it."""
    first = snapshots[0]
    if all(s is first for s in snapshots[1:]):
        ordered = [first.files[i] for i in np.argsort(_order(first)).tolist()]
    elif all(s.raw_files for s in snapshots):
        raw = {name: r for s in snapshots for name, r in zip(s.files, s.raw_files, strict=True)}
        ordered = sorted(raw, key=lambda name: (raw[name], name))
    else:
        ordered = _merged_order(snapshots)
    index: dict[str, int] = {}
    for name in ordered:
        index.setdefault(name, len(index))
    places = [np.array([index[name] for name in s.files], np.int64) for s in snapshots]
    own = {index[s.files[i]] for s in snapshots for i in s.own_files}
    return places, tuple(index), tuple(sorted(own))


def _order(snapshot: Snapshot) -> Ints:
    if len(snapshot.file_order):
        return snapshot.file_order
    rank = np.empty(len(snapshot.files), np.int64)
    rank[sorted(range(len(rank)), key=snapshot.files.__getitem__)] = np.arange(len(rank))
    return rank


def _merged_order(snapshots: Sequence[Snapshot]) -> list[str]:
    """Put each file that only a later snapshot has behind the one that it followed there."""
    key: dict[str, tuple[float, ...]] = {}
    for snapshot in snapshots:
        before: tuple[float, ...] = (-1.0,)
        for number, i in enumerate(np.argsort(_order(snapshot), kind="stable").tolist()):
            name = snapshot.files[i]
            if name not in key:
                key[name] = (float(number),) if snapshot is snapshots[0] else (*before, float(number))
            before = key[name]
    return sorted(key, key=key.__getitem__)


def _named(snapshots: Sequence[Snapshot], by: str) -> Axis:
    of_files = [_packages(s) if by == "package" else _modules(s) for s in snapshots]
    names = tuple(sorted({name for of in of_files for name in of}))
    index = {name: i for i, name in enumerate(names)}
    codes, own = [], set()
    for snapshot, of in zip(snapshots, of_files, strict=True):
        place = np.array([index[name] for name in of], np.int64)
        codes.append(place[snapshot.frame_file] << NAME_BITS)
        own |= {index[of[i]] for i in snapshot.own_files}
    return Axis(tuple(codes), names, tuple(sorted(own)))


def _packages(snapshot: Snapshot) -> list[str]:
    if len(snapshot.file_package):
        return [snapshot.packages[i] for i in snapshot.file_package.tolist()]
    return [name.partition("/")[0] if "/" in name else "own code" for name in snapshot.files]


def _modules(snapshot: Snapshot) -> list[str]:
    """Return the dotted name of each file: ``json/decoder.py`` is ``json.decoder``."""
    return [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") if name.endswith(".py") else name
        for name in snapshot.files
    ]


def _threads(snapshots: Sequence[Snapshot]) -> Axis:
    for snapshot in snapshots:
        if len(snapshot) and not len(snapshot.thread):
            raise UsageError(
                f"grouping a snapshot by thread: {snapshot.engine} does not record which thread allocates; "
                'keep enough frames and group by="traceback", whose last frames are the thread\'s start'
            )
    names = tuple(sorted({name for s in snapshots for name in s.threads}))
    index = {name: i for i, name in enumerate(names)}
    codes = [
        np.array([index[name] for name in s.threads], np.int64)[s.thread] << NAME_BITS
        if len(s)
        else np.zeros(0, np.int64)
        for s in snapshots
    ]
    return Axis(tuple(codes), names, ())
