"""Take in a file that ``tracemalloc.Snapshot.dump`` wrote: a pickle, so never read in this process.

A child process with bounded memory, time and no right to write or start anything unpickles it with two
harmless stand-ins for tracemalloc's classes and nothing else; what it prints is JSON, and that is checked
here like any foreign data. This happens only when it is asked for by name, never because a file ends in
``.pickle``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.paths import PathLabels
from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.collectors.snapshot_maker import to_snapshot
from memlab.collectors.trace_blocks import TraceColumns
from memlab.errors import CaptureError, UsageError

if TYPE_CHECKING:
    from memlab.records.snapshot import Snapshot

__all__ = ["import_tracemalloc"]

_MIB = 1024 * 1024
_CHILD = Path(__file__).parent.parent / "collectors" / "pickled_child.py"
_SHORT = 4096


def import_tracemalloc(
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    file_bytes: int = 512 * _MIB,
    memory_bytes: int = 2048 * _MIB,
    seconds: int = 60,
) -> Snapshot:
    """Read a file of ``tracemalloc.Snapshot.dump`` without trusting it.

    Whatever a pickle asks for beyond a snapshot's plain data is refused before it happens. File names in it
    become labels, as in a snapshot of your own.

    Args:
        path: the file.
        label: your name for the snapshot. Default: the file's name without its ending.
        file_bytes: greatest size of the file.
        memory_bytes: greatest memory of the process that reads it (not bounded on Windows).
        seconds: how long that may take.

    Raises:
        CaptureError: when the file is missing, is no such snapshot, is damaged or hostile, or takes more
            than it may; one sentence that begins with the file's name.

    >>> import tempfile, tracemalloc, pathlib
    >>> tracemalloc.start()
    >>> kept = bytearray(1_000_000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "before.pickle")
    ...     tracemalloc.take_snapshot().dump(file)
    ...     tracemalloc.stop()
    ...     snapshot = import_tracemalloc(file)
    >>> snapshot.label, snapshot.total_bytes > 1_000_000
    ('before', True)
    """
    for name, value in (("file_bytes", file_bytes), ("memory_bytes", memory_bytes), ("seconds", seconds)):
        if type(value) is not int or value < 1:
            raise UsageError(f"importing a snapshot: {name} must be a whole number above 0, not {value!r}")
    place = Path(os.fsdecode(path))
    name = clean(place.name) or "the path"
    told = _unpickled(place, name, file_bytes, memory_bytes, seconds)
    try:
        read = _columns(json.loads(told))
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError):
        raise CaptureError(f"{name} is no snapshot of tracemalloc's: take it again with dump()") from None
    given = clean(place.stem) if label is None else label
    return to_snapshot(
        read, PathLabels(), given, notes=("imported from tracemalloc's own file",), sources="none"
    )


def _unpickled(place: Path, name: str, file_bytes: int, memory_bytes: int, seconds: int) -> bytes:
    try:
        size = place.stat().st_size
        if not place.is_file():
            raise CaptureError(f"{name} is no file: name one that tracemalloc's dump() has written")
        if size > file_bytes:
            raise CaptureError(
                f"{name} has {format_bytes(size)}, more than {format_bytes(file_bytes)}: pass file_bytes= if "
                "you mean it"
            )
        with place.open("rb") as file:
            done = _run(file, memory_bytes, seconds)
    except FileNotFoundError:
        raise CaptureError(f"{name} is not there: check the path") from None
    except OSError as error:
        raise CaptureError(f"{name} cannot be read ({error.strerror or 'I/O error'})") from None
    except subprocess.TimeoutExpired:
        raise CaptureError(f"{name} took longer than {seconds} s: pass seconds= if you trust it") from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == _REFUSED:
        why = clean(done.stderr.decode("utf-8", "replace"))
        raise CaptureError(f"{name} is refused: {why}; only a snapshot that dump() has written is read")
    raise CaptureError(
        f"{name} is refused: reading it takes more than {format_bytes(memory_bytes)} or {seconds} s; pass "
        "memory_bytes= or seconds= if you trust it"
    )


_REFUSED = 4


def _run(file: Any, memory_bytes: int, seconds: int) -> subprocess.CompletedProcess[bytes]:
    # Isolated, no site, an empty environment: nothing of the program's runs in the child.
    command = [sys.executable, "-I", "-S", "-B", str(_CHILD), str(memory_bytes), str(seconds)]
    environment = {k: os.environ[k] for k in ("SYSTEMROOT", "LD_LIBRARY_PATH") if k in os.environ}
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603 - our own file, our own interpreter
                command,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=os.path.dirname(sys.executable) or None,  # noqa: PTH120
            )
        )
        try:
            out, err = process.communicate(timeout=seconds + 5)
        except BaseException:
            process.kill()
            process.communicate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err[:_SHORT])


def _columns(told: Any) -> TraceColumns:
    """Check what the child said, and make columns of it."""
    names, stacks, blocks, depth = told["names"], told["stacks"], told["blocks"], told["depth"]
    if not all(type(name) is str for name in names):
        raise TypeError
    _check_text(names)
    lengths = np.array([len(stack) for stack in stacks], np.int64)
    flat = np.array([frame for stack in stacks for frame in stack], np.int64).reshape(-1, 2)
    table = np.array(blocks, np.int64).reshape(-1, 5)
    if bool((lengths < 1).any()) or bool((flat < 0).any()) or bool((table < 0).any()):
        raise ValueError("a number is out of range")
    if (len(flat) and int(flat[:, 0].max()) >= len(names)) or bool((flat[:, 1] >= 2**31).any()):
        raise ValueError("a frame is out of range")
    if len(table) and int(table[:, 2].max()) >= len(stacks):
        raise ValueError("a traceback is out of range")
    if float((table[:, 1].astype(np.float64) * table[:, 4]).sum()) >= 2**62:
        raise ValueError("sizes add up to more than there can be")
    # A traceback may have had several numbers of frames before it was cut: one entry for each.
    pairs, of = np.unique(table[:, 2] * 2**17 + np.minimum(table[:, 3], 2**17 - 1), return_inverse=True)
    stack_of, total = pairs >> 17, pairs & (2**17 - 1)
    starts = lengths.cumsum() - lengths
    own = lengths[stack_of]
    entries = flat[starts[stack_of].repeat(own) + _within(own)] if len(own) else flat
    return TraceColumns(
        traceback=of.astype(np.int64),
        domain=table[:, 0],
        size=table[:, 1],
        count=table[:, 4],
        tracebacks=np.empty(0, np.object_),
        lengths=own,
        total_frames=np.maximum(total, own),
        name_of=entries[:, 0],
        line_of=entries[:, 1],
        names=tuple(names),
        depth=min(max(int(depth), int(own.max(initial=1))), 65_535),
        source="table",
    )


def _check_text(names: list[str]) -> None:
    for name in names:
        name.encode()  # a lone surrogate could be neither printed nor written


def _within(lengths: Any) -> Any:
    return np.arange(int(lengths.sum())) - (lengths.cumsum() - lengths).repeat(lengths)
