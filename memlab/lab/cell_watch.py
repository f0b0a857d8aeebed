"""The live side of the per-cell ledger: measures each cell between ``begin`` and ``end``, and holds nothing.

A cell gets a region of the high-water mark, a thin sampler, a reading of the collector's pauses, and a count
of tracked objects by type before and after. Types and variables are remembered by address and name, never
by reference, so that an object that a cell gives up is free at once. The count is what costs: where it takes
more than its budget it is left out for some cells, and they say so.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import clean, instance_type_name, type_name
from memlab.collectors.census import addresses, native_size
from memlab.collectors.gc_pauses import subscribe
from memlab.collectors.high_water import Region
from memlab.collectors.probe import Probe
from memlab.collectors.sampler import Sampler
from memlab.records.cell_ledger import BoundName, CellLedger, CellRow
from memlab.records.columns import floats, ints
from memlab.records.heap_results import TypeCount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab.collectors.gc_pauses import PauseSubscription
    from memlab.records.timeline import Timeline

__all__ = ["CellWatch"]

MOST_CELLS = 1_000
_BUDGET_S = 0.1
_REST = 20
"""Cells without a count, after one that took too long."""
_INTERVAL_S = 0.02
_SAMPLES = 64
_MOST_TYPES = 12
_MOST_NAMES = 12


@dataclasses.dataclass(slots=True)
class _Open:
    """A cell that runs. Holds numbers and memlab's own objects alone."""

    token: int
    number: int
    label: str
    region: Region | None
    sampler: Sampler | None
    pauses: PauseSubscription | None
    types: dict[int, int] | None
    names: dict[str, int]
    start_bytes: int = 0
    began: float = 0.0
    cut: str = ""


class CellWatch:
    """Measures cells. Close it when it is no longer wanted.

    Args:
        exact: use the kernel's high-water mark for peaks.
        budget_s: time that counting objects may take before and after a cell.
        most: cells kept; the oldest go first.
        census: counts objects: address of a type -> how many, and what gives its name.

    Raises:
        UnavailableError: when this system does not tell the RSS.

    Example:
        >>> watch = CellWatch()
        >>> scope = {}
        >>> watch.begin(1, 7, "block = bytearray(9)", scope)
        >>> scope["block"] = bytearray(9)
        >>> watch.end(1, "ok", scope)
        >>> row = watch.ledger().cells[0]
        >>> watch.close()
        >>> row.number, row.names[0].name, row.names[0].type_name
        (7, 'block', 'builtins.bytearray')
    """

    def __init__(
        self,
        *,
        exact: bool = True,
        budget_s: float = _BUDGET_S,
        most: int = MOST_CELLS,
        census: Callable[[], dict[int, tuple[int, Any]]] | None = None,
    ) -> None:
        self.budget_s = budget_s
        self.overhead_s = 0.0
        self._exact = exact
        self._census = census or _types
        self._rest = 0
        self._why = ""
        self._open: list[_Open] = []
        self._rows: deque[tuple[CellRow, Timeline | None]] = deque(maxlen=most)
        self._dropped = 0
        self._probe = Probe()
        try:
            self._probe.metric("rss_bytes")
            self._pauses = subscribe()  # kept, so that the ring of pauses is made once
        except BaseException:
            self._probe.close()
            raise

    def begin(self, token: int, number: int, label: str, names: Mapping[str, Any]) -> None:
        """Note that a cell begins.

        Args:
            token: what tells this run from others until it ends.
            number: execution count; 0 for none.
            label: its first line, fit to be kept.
            names: the notebook's namespace.
        """
        entered = time.perf_counter()
        types = self._count()
        region, sampler = Region(self._exact), Sampler(_INTERVAL_S, ("rss_bytes",), _SAMPLES)
        opened = _Open(
            token=token,
            number=number,
            label=clean(label),
            region=region,
            sampler=sampler,
            pauses=subscribe(),
            types=types,
            names=_bound(names),
            cut=self._why,
        )
        try:
            sampler.start()
            region.start()
            self._open.append(opened)
        except BaseException:
            _cancel(opened)
            raise
        opened.start_bytes = self._probe.value("rss_bytes") or 0
        self.overhead_s += time.perf_counter() - entered
        opened.began = time.perf_counter()

    def end(self, token: int, outcome: str, names: Mapping[str, Any]) -> None:
        """Note that a cell has ended; does nothing for one that was never begun.

        Args:
            token: as in ``begin``.
            outcome: ``ok``, or the type of the exception.
            names: the notebook's namespace.
        """
        ended = time.perf_counter()
        if not any(cell.token == token for cell in self._open):
            return
        while self._open:
            cell = self._open.pop()
            if cell.token == token:
                self._close_row(cell, ended, outcome, names)
                break
            _cancel(cell)  # the shell told us of its begin and not of its end
        self.overhead_s += time.perf_counter() - ended

    def discard(self, token: int) -> None:
        """Give up a cell that has begun."""
        for cell in self._open:
            if cell.token == token:
                _cancel(cell)
        self._open = [cell for cell in self._open if cell.token != token]

    def take_over(self, other: CellWatch) -> None:
        """Go on with the rows of a watch that has ended."""
        self._rows.extendleft(reversed(other._rows))
        self._dropped += other._dropped
        self.overhead_s += other.overhead_s

    def clear(self) -> None:
        """Forget all rows."""
        self._rows.clear()
        self._dropped = 0
        self.overhead_s = 0.0

    def ledger(self) -> CellLedger:
        """Return what was measured until now."""
        rows = list(self._rows)
        times = [line.time_s if line is not None else np.zeros(0) for _, line in rows]
        values = [
            line.metrics.get("rss_bytes", np.zeros(0, np.int64))
            if line is not None
            else np.zeros(0, np.int64)
            for _, line in rows
        ]
        counts = [len(value) for value in values]
        return CellLedger(
            cells=tuple(row for row, _ in rows),
            starts=ints(np.cumsum([0, *counts])),
            time_s=floats(np.concatenate([np.zeros(0), *times])),
            rss_bytes=ints(np.concatenate([np.zeros(0, np.int64), *values])),
            overhead_s=self.overhead_s,
            dropped=self._dropped,
        )

    def close(self) -> None:
        """End; what was measured can still be read."""
        for cell in self._open:
            _cancel(cell)
        self._open = []
        self._pauses.close()
        self._probe.close()

    def _close_row(self, cell: _Open, ended: float, outcome: str, names: Mapping[str, Any]) -> None:
        assert cell.region is not None
        assert cell.sampler is not None
        assert cell.pauses is not None
        try:
            peak = cell.region.stop()
            end_bytes = self._probe.value("rss_bytes") or cell.start_bytes
            line = cell.sampler.stop()
            cell.pauses.close()
        except BaseException:
            _cancel(cell)
            raise
        pauses = cell.pauses.read().pause_s
        cell.region = cell.sampler = cell.pauses = None  # what was made for this cell is not the cell's
        survivors, objects, cut = self._survivors(cell)
        row = CellRow(
            number=cell.number,
            label=cell.label,
            depth=len(self._open),
            outcome=clean(outcome),
            seconds=ended - cell.began,
            start_bytes=cell.start_bytes,
            end_bytes=end_bytes,
            peak_bytes=None if peak is None else max(peak.value_bytes, end_bytes, cell.start_bytes),
            peak_source="" if peak is None else peak.source,
            gc_seconds=float(pauses.sum()),
            collections=len(pauses),
            objects_diff=objects,
            survivors=survivors,
            names=_new_names(cell.names, names),
            cut=cut,
        )
        if self._rows.maxlen is not None and len(self._rows) == self._rows.maxlen:
            self._dropped += 1
        self._rows.append((row, line))

    def _survivors(self, cell: _Open) -> tuple[tuple[TypeCount, ...], int | None, str]:
        if cell.types is None:
            return (), None, cell.cut
        entered = time.perf_counter()
        known = self._census()
        after = {address: count for address, (count, _) in known.items()}
        grown = sorted(
            ((count - cell.types.get(address, 0), address) for address, count in after.items()), reverse=True
        )
        named = [(known[address][1](), more) for more, address in grown[: 2 * _MOST_TYPES] if more > 0]
        theirs = [pair for pair in named if not pair[0].startswith("memlab.")][:_MOST_TYPES]
        survivors = tuple(TypeCount(name, more, 0) for name, more in theirs)
        objects = sum(after.values()) - sum(cell.types.values())
        self._note_cost(time.perf_counter() - entered, sum(after.values()))
        rest = sum(more > 0 for more, _ in grown) - len(survivors)
        return survivors, objects, f"{rest:,} more types rose" if rest > 0 else ""

    def _count(self) -> dict[int, int] | None:
        if self._rest > 0:
            self._rest -= 1
            return None
        self._why = ""
        entered = time.perf_counter()
        found = {address: count for address, (count, _) in self._census().items()}
        self._note_cost(time.perf_counter() - entered, sum(found.values()))
        return found

    def _note_cost(self, seconds: float, objects: int) -> None:
        if seconds > self.budget_s:
            self._rest = _REST
            self._why = (
                f"objects are counted in one cell of {_REST}: {objects:,} took {seconds * 1e3:.0f} ms,"
                f" above the budget of {self.budget_s * 1e3:.0f} ms"
            )


def _types() -> dict[int, tuple[int, Any]]:
    """Return, by address of each type, how many objects the collector tracks, and what gives its name."""
    objects = gc.get_objects()
    types = list(map(type, objects))
    del objects
    unique, first, counts = np.unique(addresses(types), return_index=True, return_counts=True)
    # The name is asked for later, and seldom: until the caller lets go of this, the types are held.
    return {
        address: (count, _Name(types[place]))
        for address, place, count in zip(unique.tolist(), first.tolist(), counts.tolist(), strict=True)
    }


class _Name:
    """A type whose name is asked for only where it is shown."""

    __slots__ = ("_cls",)

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __call__(self) -> str:
        return type_name(self._cls)


def _bound(names: Mapping[str, Any]) -> dict[str, int]:
    """Return the addresses of what the notebook's variables refer to."""
    return {name: id(value) for name, value in list(names.items()) if _is_variable(name)}


def _new_names(before: Mapping[str, int], names: Mapping[str, Any]) -> tuple[BoundName, ...]:
    """Return the variables that are bound anew, greatest object first."""
    found = [
        BoundName(clean(name), instance_type_name(value), native_size(value))
        for name, value in list(names.items())
        if _is_variable(name) and before.get(name) != id(value)
    ]
    found.sort(key=lambda bound: (-bound.shallow_bytes, bound.name))
    return tuple(found[:_MOST_NAMES])


def _is_variable(name: Any) -> bool:
    return (
        type(name) is str and not name.startswith("_") and name not in ("In", "Out", "exit", "quit", "open")
    )


def _cancel(cell: _Open) -> None:
    for part in (cell.region, cell.sampler):
        if part is not None:
            part.cancel()
    if cell.pauses is not None:
        cell.pauses.close()
