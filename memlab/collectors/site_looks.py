"""Looks at the sampled engine while a recording runs, written to its stream: what changed since the last one.

The thread inside calls ``look_if_due``: often at first, once a minute later. The engine's tables are copied
in C, and gone through here without numpy, some thousand entries a look. File names become labels at once, as
a stream is a record too. memlab's own stacks are left out.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Any

from memlab._base.paths import OWN_FOLDER
from memlab.collectors.cell_names import CellLabels
from memlab.collectors.sampler_script import columns_frame, json_frame

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Mapping

    from memlab.collectors.sampled_engine import SampledEngine
    from memlab.collectors.sampler_script import Sink

__all__ = ["SiteLooks"]

_FIRST_S, _EVERY_S = 1.0, 60.0
_CHUNK = 2_000
_STANDARD = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_TESTING = OWN_FOLDER + os.sep + "testing"
_MOST_TEXT = 300


class SiteLooks:
    """The looks of one recording.

    Args:
        engine: samples allocations; begun and ended here.
        sink: takes the frames.
        us: returns now, in microseconds since the recording began.
        series: number of the series of changes.
        aliases: labels for code file names.
        every_s: seconds between two looks, once the first minute is over.
        clock: in seconds.
    """

    def __init__(
        self,
        engine: SampledEngine,
        sink: Sink,
        us: Callable[[], int],
        series: int,
        aliases: Mapping[str, str] | None = None,
        *,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._us = us
        self._series = series
        self._labels = CellLabels(aliases)
        self._every_s = every_s
        self._clock = clock
        self._wait_s = min(_FIRST_S, every_s)
        self._due = 0.0
        self._ended = False
        self._frames = self._rows = 0
        self._own: list[bool] = []
        self._helpers: list[bool] = []
        self._outside: list[bool] = []
        self._skipped: list[bool] = []
        self._threads: dict[int, str] = {}
        self._counts: dict[tuple[int, int], int] = {}

    def begin(self) -> None:
        """Begin to sample, and write what a reader needs.

        Raises:
            UnavailableError: when allocations cannot be sampled now.
        """
        self._engine.begin()
        self._sink.put(
            json_frame({"sites": 1, "sample_bytes": self._engine.sample_bytes, "depth": self._engine.frames})
        )
        names = ["row", "size", "count"]
        self._sink.put(json_frame({"series": self._series, "role": "sites", "names": names, "sources": {}}))
        self.look()

    def look_if_due(self) -> None:
        """Look when it is time to; the time between two looks doubles until it is the greatest."""
        if self._clock() >= self._due:
            self.look()

    def end(self) -> None:
        """Stop sampling, and write what there was then. Safe to repeat.

        The end of the process may have stopped it before.
        """
        self._engine.end()
        if not self._ended:
            self._ended = True
            self.look()

    def cancel(self) -> None:
        """Stop sampling without a last look. Safe to repeat."""
        self._engine.end(keep=False)

    def look(self) -> None:
        """Write what changed since the last look."""
        if not self._engine.has_tables:
            return
        tables = self._engine.tables()
        moment = self._us()
        read = tables.read
        self._put_frames(read)
        self._put_threads(tables.thread_names, len(read["threads"]) // 8)
        self._put_rows(read)
        counts: dict[tuple[int, int], int] = {}
        for _, size, row, _ in struct.iter_unpack("=QQII", read["lives"]):
            if not self._skipped[row]:
                key = (row, size)
                counts[key] = counts.get(key, 0) + 1
        changed = [
            (row, size, count)
            for (row, size), count in counts.items()
            if self._counts.get((row, size)) != count
        ]
        changed += [(row, size, 0) for row, size in self._counts.keys() - counts.keys()]
        self._counts = counts
        for start in range(0, len(changed), _CHUNK):
            part = sorted(changed[start : start + _CHUNK])
            columns = [[moment] * len(part), *(list(column) for column in zip(*part, strict=True))]
            self._sink.put(columns_frame(self._series, _arrays(columns)))
        self._sink.put(
            json_frame({"site_look": moment, "samples": tables.samples, "notes": list(tables.notes)})
        )
        self._due = self._clock() + self._wait_s
        self._wait_s = min(self._wait_s * 2, self._every_s)

    def _put_frames(self, read: Mapping[str, Any]) -> None:
        names = read["names"]
        found = []
        for file, function, line in struct.iter_unpack("=IIi", read["frames"][self._frames * 12 :]):
            raw = names[file]
            own = raw.startswith(OWN_FOLDER + os.sep) and not raw.startswith(_TESTING)
            helper = raw.startswith("<frozen ") or (
                raw.startswith(_STANDARD) and not any(folder in raw for folder in _INSTALLED)
            )
            self._own.append(own)
            self._helpers.append(helper)
            function_name = names[function]
            self._outside.append(own and function_name.rpartition(".")[2] == "run_program")
            found.append(
                [
                    self._labels.label(raw)[:_MOST_TEXT],
                    max(line, 0),
                    "" if function_name == "<module>" else _text(function_name),
                    int(self._labels.is_own(raw)),
                ]
            )
        self._frames += len(found)
        for start in range(0, len(found), _CHUNK):
            self._sink.put(json_frame({"site_frames": found[start : start + _CHUNK]}))

    def _put_threads(self, names: Mapping[int, str], count: int) -> None:
        from memlab.collectors.sampled_names import thread_name

        told = {}
        for place in range(count):
            name = _text(thread_name(names, place))[:80]
            if self._threads.get(place) != name:
                self._threads[place] = told[str(place)] = name
        if told:
            self._sink.put(json_frame({"site_threads": told}))

    def _put_rows(self, read: Mapping[str, Any]) -> None:
        stacks = list(struct.iter_unpack("=II", read["stacks"]))
        frames = memoryview(read["stack_frames"]).cast("I")
        found = []
        for stack, thread, domain, _, _, _ in struct.iter_unpack("=IIIIdd", read["rows"][self._rows * 32 :]):
            start, length = stacks[stack]
            entries = frames[start : start + length].tolist()
            outside = next((at for at, entry in enumerate(entries) if self._outside[entry]), length)
            entries = entries[:outside]  # what lies further out is memlab's command line
            first = next((entry for entry in entries if not self._helpers[entry]), -1)
            skipped = first >= 0 and self._own[first]
            self._skipped.append(skipped)
            found.append([domain, thread, [] if skipped else entries])
        self._rows += len(found)
        for start in range(0, len(found), _CHUNK):
            self._sink.put(json_frame({"site_rows": found[start : start + _CHUNK]}))


def _arrays(columns: list[list[int]]) -> list[array[int]]:
    from array import array

    return [array("q", column) for column in columns]


def _text(name: str) -> str:
    return name.encode(errors="replace").decode()[:_MOST_TEXT]
