"""Columns out of capture files of memray's, read by a process of its own (``memray_child``).

What the child hands over is checked like any foreign data: its size before it is taken, every number before
it points anywhere. A file that crashes the reader, or has it ask for more than it may, is one sentence.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.paths import OWN_FOLDER
from memlab._base.safety import clean
from memlab._base.units import format_bytes
from memlab.collectors import memray_child
from memlab.errors import CaptureError, MissingExtraError, UnavailableError
from memlab.records.columns import ints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memlab.records.columns import Ints

__all__ = [
    "MEASURES",
    "NativeColumns",
    "ReadingLimits",
    "check_installed",
    "is_memray_file",
    "merge_processes",
    "read_memray",
]

MEASURES = ("peak", "leaked", "temporary")
_MIB = 1024 * 1024
_CHILD = Path(memray_child.__file__)
_HEAD = 64
_LZ4 = b"\x04\x22\x4d\x18"
_MAGIC = b"memray\0"


@dataclasses.dataclass(frozen=True, slots=True)
class ReadingLimits:
    """What reading one file may take: its size, the reader's memory, its seconds, and what it hands over."""

    file_bytes: int = 8192 * _MIB
    memory_bytes: int = 4096 * _MIB
    seconds: int = 300
    answer_bytes: int = 256 * _MIB


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NativeColumns:
    """What memray recorded, as columns; file names and symbols as they are.

    Attributes:
        measure, stack, thread, allocator, size, count: a row each; ``measure`` indexes ``MEASURES``.
        lengths, frame_of: stacks end to end, most recent call first.
        frame_name, frame_function, frame_line, native: frames; ``native`` ones are C, C++, Rust or Fortran.
        names: file names, of native frames those of the compiler, or ``<unknown>``.
        functions: names of Python functions and symbols.
        threads: their names; the main one is ``main``, those without a name share one.
        present: which measures are there.
        objects: whether Python's own allocators were recorded block by block.
        native_frames: whether C frames were recorded.
        tracing_bytes: by measure, what was left out because tracing itself took it.
        started_s: wall-clock time at which the capture began.
        processes: how many processes' files are in it.
    """

    measure: Ints
    stack: Ints
    thread: Ints
    allocator: Ints
    size: Ints
    count: Ints
    lengths: Ints
    frame_of: Ints
    frame_name: Ints
    frame_function: Ints
    frame_line: Ints
    native: Ints
    names: tuple[str, ...]
    functions: tuple[str, ...]
    threads: tuple[str, ...]
    present: tuple[str, ...]
    objects: bool
    native_frames: bool
    tracing_bytes: tuple[int, ...]
    started_s: float
    processes: int = 1


def check_installed(what: str, find: Any = importlib.util.find_spec) -> None:
    """Refuse where memray cannot be.

    Args:
        what: the step, which begins the sentence.
        find: tells whether a module is installed.

    Raises:
        UnavailableError: on a system, or a Python, that memray does not run on.
        MissingExtraError: when it is not installed.
    """
    if os.name != "posix" or sys.implementation.name != "cpython":
        raise UnavailableError(
            f"{what}: memray runs on CPython on Linux and macOS only; memlab.tracing() traces with "
            "tracemalloc everywhere"
        )
    if find("memray") is None:
        raise MissingExtraError.needs(what, "memray", "native")


def is_memray_file(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file begins as memray's captures do. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:  # noqa: PTH123 - any kind of path
        head = file.read(_HEAD)
    return head.startswith(_MAGIC) or (head.startswith(_LZ4) and _MAGIC[:-1] in head)


def read_memray(
    path: str | os.PathLike[str],
    measures: Sequence[str] = MEASURES,
    *,
    skip: int | None = None,
    strict: bool = False,
    limits: ReadingLimits | None = None,
    ask: Callable[[dict[str, Any], ReadingLimits], tuple[int, bytes]] | None = None,
) -> NativeColumns:
    """Read one capture file of memray's.

    Args:
        path: the file.
        measures: what is wanted of it.
        skip: how many of the main thread's outermost frames lie outside of the capture. None: as many as
            memray says.
        strict: refuse a measure that the file's format does not have, instead of leaving it out.
        limits: what reading may take.
        ask: runs the child: takes the question, returns its exit code and what it wrote.

    Raises:
        CaptureError: when it is missing, no capture of memray's, damaged, of another version, or takes more
            than it may; one sentence that begins with the file's name.
        UnavailableError, MissingExtraError: where memray cannot be used.
    """
    check_installed("reading a capture of memray's")
    allowed = limits or ReadingLimits()
    place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - resolves no links
    name = clean(place.name) or "the path"
    _check_file(place, name, allowed)
    asked = {
        "path": str(place),
        "measures": list(measures),
        "skip": skip,
        "strict": strict,
        "memory": allowed.memory_bytes,
        "seconds": allowed.seconds,
        "answer": allowed.answer_bytes,
        "folders": [folder for folder in sys.path if folder and Path(folder).is_dir()],
        "own": [OWN_FOLDER + os.sep, _folder_of("memray") + os.sep],
    }
    code, answer = (ask or _ask)(asked, allowed)
    if code:
        raise CaptureError(f"{name} {_why(code, allowed)}")
    try:
        return _columns(answer)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError):
        raise CaptureError(f"{name} {_DAMAGED}") from None


_DAMAGED = "is damaged, or was cut short: memray cannot read it; record again, or take a fresh copy"


def _why(code: int, limits: ReadingLimits) -> str:
    """Return the rest of a sentence that begins with the file's name."""
    took = f"takes more than {format_bytes(limits.memory_bytes)} or {limits.seconds} s to read"
    reasons = {
        memray_child.FOREIGN: "is no capture of memray's: name a file that memray has written",
        memray_child.VERSION: "was written by a memray whose files the installed one does not read: install "
        "the version that wrote it, or record again",
        memray_child.MEMORY: f"{took}: it is damaged, or needs higher limits",
        memray_child.FORMAT: "has no temporary allocations: it is an aggregated capture; record without "
        "memray's --aggregate, or with temporary=True",
        memray_child.LARGE: f"holds more than {format_bytes(limits.answer_bytes)} of stacks: record less at "
        "once, or without native frames",
        memray_child.ABSENT: "cannot be read: memray is there and cannot be imported; install it again with "
        "pip install --force-reinstall memray",
    }
    if code in (-9, -24):  # SIGKILL, SIGXCPU
        return f"{took}: it is damaged, or needs higher limits"
    return reasons.get(code, _DAMAGED)


def _check_file(place: Path, name: str, limits: ReadingLimits) -> None:
    try:
        size = place.stat().st_size
        if not place.is_file():
            raise CaptureError(f"{name} is no file: name one that memray has written")
        if size > limits.file_bytes:
            raise CaptureError(
                f"{name} has {format_bytes(size)}, more than {format_bytes(limits.file_bytes)}: pass "
                "file_bytes= if you mean it"
            )
        if not is_memray_file(place):
            raise CaptureError(f"{name} is no capture of memray's: name a file that memray has written")
    except FileNotFoundError:
        raise CaptureError(f"{name} is not there: check the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, CaptureError):
            raise
        raise CaptureError(
            f"{name} cannot be read ({getattr(error, 'strerror', None) or 'I/O error'})"
        ) from None


def _folder_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return places[0] if places else f"{os.sep}no such folder"


def _ask(asked: dict[str, Any], limits: ReadingLimits) -> tuple[int, bytes]:
    """Run the child, and return its exit code and what it wrote; what it writes is bounded."""
    # Isolated, no site: nothing of the program's runs in it. An empty environment names no server of debug
    # information, so that looking up symbols asks nobody.
    environment = {k: os.environ[k] for k in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if k in os.environ}
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603 - our own file, our own interpreter
                [sys.executable, "-I", "-S", "-B", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=os.path.dirname(sys.executable) or None,  # noqa: PTH120
            )
        )
        try:
            answer = _exchange(process, json.dumps(asked).encode(), limits)
        except BaseException:
            process.kill()
            raise
        if answer is None:
            process.kill()
            return memray_child.MEMORY, b""
    return process.returncode, answer


def _exchange(process: Any, question: bytes, limits: ReadingLimits) -> bytes | None:
    """Write the question, read the answer; None when it is too long or takes too long."""
    with contextlib.suppress(BrokenPipeError):  # it ended before: its exit code says why
        process.stdin.write(question)
        process.stdin.close()
    deadline = time.monotonic() + limits.seconds + 10
    answer = bytearray()
    while True:
        if not select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
            return None
        part = os.read(process.stdout.fileno(), 1 << 20)
        if not part:
            break
        answer += part
        if len(answer) > limits.answer_bytes + _MOST_TEXT:
            return None
    try:
        process.wait(max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        return None
    return bytes(answer)


_MOST_TEXT = 64 * _MIB


def _columns(answer: bytes) -> NativeColumns:
    """Check what the child said, and make columns of it."""
    head, _, body = answer.partition(b"\n")
    said = json.loads(head)
    names, functions = tuple(said["names"]), tuple(said["functions"])
    for text in (*names, *functions, *(word for pair in said["threads"] for word in pair)):
        text.encode()  # no text, or a lone surrogate, which could be neither printed nor written
    numbers, columns = np.frombuffer(body, np.int64), {}
    for name, length in said["columns"]:
        if type(length) is not int or not 0 <= length <= len(numbers):
            raise ValueError("a column is cut short")
        columns[name], numbers = numbers[:length], numbers[length:]
    rows = len(columns["size"])
    present = tuple(measure for measure in MEASURES if measure in said["rows"])
    measure = np.repeat(
        [MEASURES.index(one) for one in said["rows"]], [int(n) for n in said["rows"].values()]
    ).astype(np.int64)
    _check(columns, measure, names, functions, said["threads"])
    plain: dict[str, Any] = {name: ints(columns[name]) for name in _PLAIN}
    return NativeColumns(
        measure=ints(measure),
        stack=ints(columns["row_stack"]),
        **plain,
        names=names,
        functions=functions,
        threads=tuple(is_main or clean(name) for is_main, name in said["threads"]),
        present=present,
        objects=said["objects"] is True,
        native_frames=said["native"] is True,
        tracing_bytes=tuple(int(said["tracing_bytes"].get(one, 0)) for one in MEASURES),
        started_s=float(said["started_s"]) if rows else 0.0,
    )


_PLAIN = (
    *("thread", "allocator", "size", "count", "lengths", "frame_of"),
    *("frame_name", "frame_function", "frame_line", "native"),
)


def _check(
    columns: dict[str, Any], measure: Ints, names: Sequence[str], functions: Sequence[str], threads: Any
) -> None:
    """Raise ValueError for a number that points outside of its table, or is none that memray records."""
    rows, frames = len(columns["size"]), len(columns["frame_name"])
    for name, length in (
        *((name, rows) for name in ("row_stack", "thread", "allocator", "count")),
        *((name, frames) for name in ("frame_function", "frame_line", "native")),
        ("frame_of", int(columns["lengths"].sum())),
    ):
        if len(columns[name]) != length:
            raise ValueError(f"column {name} has another length")
    if len(measure) != rows or bool((columns["lengths"] < 1).any()):
        raise ValueError("a stack has no frame")
    for name, least, limit in (
        ("row_stack", 0, len(columns["lengths"])),
        ("thread", 0, len(threads)),
        ("allocator", 0, 1 << 16),
        ("size", 1, 1 << 62),
        ("count", 1, 1 << 62),
        ("frame_of", 0, frames),
        ("frame_name", 0, len(names)),
        ("frame_function", 0, len(functions)),
        ("frame_line", 0, 1 << 31),
        ("native", 0, 2),
    ):
        column = columns[name]
        if len(column) and (int(column.min()) < least or int(column.max()) >= limit):
            raise ValueError(f"column {name} points outside its table")
    if float(columns["size"].astype(np.float64).sum()) >= 2**62:
        raise ValueError("sizes add up to more than there can be")


def merge_processes(parts: Sequence[NativeColumns]) -> NativeColumns:
    """Return the columns of several processes' files as those of one; the first is the parent's.

    A peak is then the sum of each process's own, which they may have reached at different moments.
    """
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, list[Any]] = {name: [] for name in ("measure", "stack", *_PLAIN)}
    names: list[str] = []
    functions: list[str] = []
    threads: list[str] = []
    stacks = frames = 0
    for number, part in enumerate(parts):
        offsets = {
            "stack": stacks,
            "thread": len(threads),
            "frame_of": frames,
            "frame_name": len(names),
            "frame_function": len(functions),
        }
        for name, column in joined.items():
            column.append(getattr(part, name) + offsets.get(name, 0))
        names += part.names
        functions += part.functions
        threads += (
            part.threads if not number else [f"child {number}: {one or 'unnamed'}" for one in part.threads]
        )
        stacks += len(part.lengths)
        frames += len(part.frame_name)
    columns: dict[str, Any] = {name: ints(np.concatenate(column)) for name, column in joined.items()}
    return dataclasses.replace(
        parts[0],
        **columns,
        names=tuple(names),
        functions=tuple(functions),
        threads=tuple(threads),
        tracing_bytes=tuple(map(sum, zip(*(part.tracing_bytes for part in parts), strict=True))),
        processes=len(parts),
    )
