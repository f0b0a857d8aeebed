"""What a stream says of allocation sites: tables that grow, and changes at each look.

Every number is held against the tables read so far, and every table against a bound, as it is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.records.columns import floats, ints
from memlab.records.site_timeline import SiteTimeline

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SITE_COLUMNS", "SiteFrames"]

SITE_COLUMNS = 3
_MOST_ROWS = 1_000_000
_MOST_FRAMES = 1_000_000
_MOST_ENTRIES = 16_000_000
_MOST_LOOKS = 1_000_000
_DEEPEST = 128
_US = 1e-6
_UNKNOWN = ("<unknown>", 0, "", 0)


class SiteFrames:
    """The documents of one stream, in the order in which they came."""

    def __init__(self) -> None:
        self.sample_bytes = 0
        self.depth = 1
        self.frames: list[tuple[str, int, str, int]] = []
        self.rows: list[tuple[int, int, tuple[int, ...]]] = []
        self.threads: dict[int, str] = {}
        self.looks: list[int] = []
        self.samples = 0
        self.notes: tuple[str, ...] = ()
        self._entries = 0

    def take(self, document: Any) -> bool:
        """Take a document when it is of this kind; raises a usual error when it is not of its form."""
        for key, handle in _HANDLERS.items():
            if key in document:
                handle(self, document)
                return True
        return False

    def on_sites(self, document: dict[str, Any]) -> None:
        """Note how the sample was taken."""
        sample, depth = _whole(document["sample_bytes"], 1, 2**50), _whole(document["depth"], 1, _DEEPEST)
        self.sample_bytes, self.depth = sample, depth

    def on_frames(self, document: dict[str, Any]) -> None:
        """Add frames to their table."""
        for file, line, function, own in document["site_frames"]:
            if len(self.frames) >= _MOST_FRAMES:
                raise ValueError("too many frames")
            self.frames.append((_text(file), _whole(line, 0, 2**31 - 1), _text(function), _whole(own, 0, 1)))

    def on_rows(self, document: dict[str, Any]) -> None:
        """Add rows to their table."""
        for domain, thread, entries in document["site_rows"]:
            if len(self.rows) >= _MOST_ROWS or len(entries) > _DEEPEST:
                raise ValueError("too many rows")
            self._entries += len(entries)
            if self._entries > _MOST_ENTRIES:
                raise ValueError("too many frames in rows")
            frames = tuple(_whole(entry, 0, len(self.frames) - 1) for entry in entries)
            self.rows.append((_whole(domain, 0, 2**32 - 1), _whole(thread, 0, 2**16), frames))

    def on_threads(self, document: dict[str, Any]) -> None:
        """Note names of threads; a later name is the better one."""
        for place, name in document["site_threads"].items():
            self.threads[_whole(int(place), 0, 2**16)] = _text(name)

    def on_look(self, document: dict[str, Any]) -> None:
        """Note that a look is complete."""
        if len(self.looks) < _MOST_LOOKS:
            self.looks.append(_whole(document["site_look"], 0, 2**53))
        self.samples = max(self.samples, _whole(document["samples"], 0, 2**53))
        self.notes = tuple(_text(note) for note in document["notes"][:20])

    def timeline(self, parts: list[npt.NDArray[np.int64]]) -> SiteTimeline | None:
        """Return the looks as a record; None when there was none. A look that was cut short is left out.

        Args:
            parts: changes: time in microseconds, row, size, count.
        """
        if not self.sample_bytes or not self.looks:
            return None
        table = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0), np.int64)
        looks = np.unique(np.array(self.looks, np.int64))
        tick = np.searchsorted(looks, table[0])
        good = tick < len(looks)
        good[good] &= looks[tick[good]] == table[0][good]
        good &= (table[1] >= 0) & (table[1] < len(self.rows)) & (table[2] >= 0) & (table[2] < 2**62)
        good &= (table[3] >= 0) & (table[3] < 2**32)
        kept = np.flatnonzero(good)
        kept = kept[np.argsort(tick[kept], kind="stable")]
        unknown = len(self.frames)
        frames = [*self.frames, _UNKNOWN]
        lengths = [max(len(entries), 1) for _, _, entries in self.rows]
        files, functions = _table(frame[0] for frame in frames), _table(frame[2] for frame in frames)
        own = {frame[0] for frame in frames if frame[3]}
        most = max([thread for _, thread, _ in self.rows], default=-1)
        mean = format_bytes(self.sample_bytes)
        return SiteTimeline(
            time_s=floats(looks * _US),
            tick=ints(tick[kept]),
            row=ints(table[1][kept]),
            size=ints(table[2][kept]),
            count=ints(table[3][kept]),
            row_domain=ints([domain for domain, _, _ in self.rows]),
            row_thread=ints([thread for _, thread, _ in self.rows]),
            starts=ints(np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))])),
            frame_of=ints([entry for _, _, entries in self.rows for entry in (entries or (unknown,))]),
            frame_file=ints([files[frame[0]] for frame in frames]),
            frame_line=ints([frame[1] for frame in frames]),
            frame_function=ints([functions[frame[2]] for frame in frames]),
            files=tuple(files),
            functions=tuple(functions),
            threads=tuple(self.threads.get(place, f"thread {place}") for place in range(most + 1)),
            own_files=tuple(place for name, place in files.items() if name in own),
            sample_bytes=self.sample_bytes,
            depth=self.depth,
            notes=(
                (
                    f"estimates from {self.samples:,} samples, one each {mean} on average; a site without "
                    "one is not listed"
                ),
                *self.notes,
            ),
        )


def _table(names: Any) -> dict[str, int]:
    index: dict[str, int] = {}
    for name in names:
        index.setdefault(name, len(index))
    return index


def _whole(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("not a number of its table")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("no text")
    value.encode()
    return clean(value)


_HANDLERS = {
    "sites": SiteFrames.on_sites,
    "site_frames": SiteFrames.on_frames,
    "site_rows": SiteFrames.on_rows,
    "site_threads": SiteFrames.on_threads,
    "site_look": SiteFrames.on_look,
}
