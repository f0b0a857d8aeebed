"""What the user's own lines say through which most was allocated: read when the snapshot is made, redacted.

A block counts at the innermost of the user's own frames on its traceback. Few lines of few files are read,
each file once: a tokenizer tells strings and comments from code, and is slow while allocations are traced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.source import redacted_lines
from memlab._base.source_lines import source_size, whole_text
from memlab.records.columns import ints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memlab.records.columns import Ints

__all__ = ["LEAST_DEPTH", "own_lines"]

LEAST_DEPTH = 4
"""Frames a tracer must keep for this: with fewer, the tokenizer's leavings would look like the program's."""

_MOST_LINES = 64
_MOST_FILES = 12
_LARGEST_FILE = 200_000


def own_lines(
    columns: Mapping[str, Ints], own_files: Sequence[int], raw_files: Sequence[str]
) -> dict[str, Any]:
    """Return the columns ``source_frame`` and ``sources`` of a snapshot that is being made.

    Args:
        columns: its columns so far.
        own_files: which of its files are the user's own.
        raw_files: the full name of each of its files.
    """
    texts: dict[int, tuple[str, ...]] = {}
    read, said = [], []
    files, lines = columns["frame_file"], columns["frame_line"]
    for frame in _innermost(columns, own_files, len(raw_files)):
        file, line = int(files[frame]), int(lines[frame])
        if file not in texts:
            texts[file] = _lines(raw_files[file]) if len(texts) < _MOST_FILES else ()
        text = texts[file][line - 1].strip() if 1 <= line <= len(texts[file]) else ""
        if text:
            read.append(frame)
            said.append(text)
    return {"source_frame": ints(read), "sources": tuple(said)}


def _innermost(columns: Mapping[str, Ints], own_files: Sequence[int], files: int) -> list[int]:
    """Return the frames of the user's own code that lead to most bytes, greatest first."""
    frame_of, starts = columns["frame_of"], columns["starts"]
    own_file = np.zeros(files, np.bool_)
    own_file[list(own_files)] = True
    own = own_file[columns["frame_file"][frame_of]]
    if not own.any():
        return []
    first = np.minimum.reduceat(np.where(own, np.arange(len(own)), len(own)), starts[:-1])
    led = first < starts[1:]
    held = np.zeros(len(first), np.int64)
    np.add.at(held, columns["traceback"], columns["size_bytes"])
    through = np.zeros(len(columns["frame_file"]), np.int64)
    np.add.at(through, frame_of[first[led]], held[led])
    greatest = np.argsort(-through, kind="stable")[:_MOST_LINES]
    return [frame for frame in greatest.tolist() if through[frame] > 0]


def _lines(filename: str) -> tuple[str, ...]:
    if source_size(filename) > _LARGEST_FILE:
        return ()
    text = whole_text(filename)
    return redacted_lines(text) if text is not None and len(text) <= _LARGEST_FILE else ()
