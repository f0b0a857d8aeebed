"""Take in a capture file of memray's own: of ``memray run``, of its magic, of a ``Tracker``.

It is read by a process of its own with bounded memory and time (``collectors/memray_files``), since memray's
reader trusts what it reads. This happens only when it is asked for by name, never because a file looks so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from memlab._base.paths import PathLabels
from memlab._base.safety import clean
from memlab.collectors.memray_files import MEASURES, ReadingLimits, read_memray
from memlab.collectors.native_maker import native_snapshot
from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.snapshot import Snapshot

__all__ = ["import_memray"]

_MIB = 1024 * 1024


def import_memray(
    path: str | os.PathLike[str],
    measure: str = "peak",
    *,
    label: str | None = None,
    aliases: Mapping[str, str] | None = None,
    sources: str = "none",
    file_bytes: int = 8192 * _MIB,
    memory_bytes: int = 4096 * _MIB,
    seconds: int = 300,
) -> Snapshot:
    """Read a capture file of memray's as a ``Snapshot``.

    File names in it become labels, as in a snapshot of your own; the command line and the search path that
    memray keeps are left out. Symbols of C frames are looked up in the libraries that are here now.

    Args:
        path: the file.
        measure: ``peak`` (default): what was alive at the high-water mark; ``leaked``: what was alive at the
            end; ``temporary``: what was freed before its thread allocated again.
        label: your name for the snapshot. Default: the file's name without its ending.
        aliases: labels for code file names.
        sources: which source files are looked at, see ``memlab.snapshot``: ``own`` only where no file was
            edited since. Default: ``none``; lines that moved are then matched by function.
        file_bytes: greatest size of the file.
        memory_bytes: greatest memory of the process that reads it.
        seconds: how long that may take.

    Raises:
        CaptureError: when the file is missing, no capture of memray's, damaged, of another version, lacks
            the measure, or takes more than it may; one sentence that begins with the file's name.
        MissingExtraError: when memray is not installed.
        UnavailableError: where memray does not run.

    >>> import memray, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "run.bin")
    ...     with memray.Tracker(file):
    ...         kept = bytearray(3_000_000)
    ...     snapshot = import_memray(file)
    >>> snapshot.label, snapshot.measure, snapshot.total_bytes >= 3_000_000
    ('run', 'peak', True)
    """
    if measure not in MEASURES:
        raise UsageError(
            f"importing a capture of memray's: measure is {', '.join(MEASURES)}, not {measure!r}"
        )
    if sources not in ("none", "own", "all"):
        raise UsageError(f"importing a capture of memray's: sources is none, own or all, not {sources!r}")
    for name, value in (("file_bytes", file_bytes), ("memory_bytes", memory_bytes), ("seconds", seconds)):
        if type(value) is not int or value < 1:
            raise UsageError(
                f"importing a capture of memray's: {name} must be a whole number above 0, not {value!r}"
            )
    read = read_memray(path, [measure], strict=True, limits=ReadingLimits(file_bytes, memory_bytes, seconds))
    given = clean(Path(os.fsdecode(path)).stem) if label is None else label
    notes = ("imported from memray's own file",)
    return native_snapshot(read, measure, PathLabels(aliases), given, notes, sources=sources)
