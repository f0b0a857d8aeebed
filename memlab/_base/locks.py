"""One writer at a time for a file that is replaced as a whole, across processes and threads.

The lock is the folder's own descriptor (``flock``): it leaves no file behind, goes when its process does,
however that ends, and so can never be stale. Where folders cannot be locked (Windows, some network file
systems) a file in the temporary folder stands in, named by the path that it guards; that holds on one
machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["only_writer"]

_PATIENCE_S = 120.0
_STEP_S = 0.002


@contextlib.contextmanager
def only_writer(path: str | os.PathLike[str], patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Wait until no other writer of files in this folder is at work, and keep others out for the block.

    Raises:
        UsageError: when the folder is not there.
        UnavailableError: when another writer holds it for longer than ``patience_s``.
    """
    target = Path(os.path.realpath(path))
    descriptor = _open(target)
    try:
        deadline = time.monotonic() + patience_s
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"writing {target.name}: another process has held it for {patience_s:.0f} s; try later"
                )
            time.sleep(_STEP_S)
        yield
    finally:
        os.close(descriptor)  # gives the lock back


def _open(target: Path) -> int:
    try:
        descriptor = os.open(target.parent, os.O_RDONLY) if fcntl is not None else -1
        if descriptor >= 0:
            try:
                return _lockable(descriptor)
            except OSError:
                os.close(descriptor)
        if not target.parent.is_dir():
            raise NotADirectoryError(20, "no such folder")
        name = hashlib.sha256(os.fsencode(target)).hexdigest()[:24]
        return os.open(Path(tempfile.gettempdir(), f"memlab-{name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write {target.name}: {error.strerror or 'no folder'}") from None


def _lockable(descriptor: int) -> int:
    """Return the descriptor if its file system knows locks; whether this one is free is asked later."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return descriptor
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return descriptor


def _taken(descriptor: int) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    return _taken_on_windows(descriptor)


def _taken_on_windows(descriptor: int) -> bool:
    import msvcrt

    locking: Any = msvcrt
    try:
        locking.locking(descriptor, locking.LK_NBLCK, 1)
    except OSError:
        return False
    return True
