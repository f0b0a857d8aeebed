"""Files that appear whole or not at all.

A file is written under a temporary name in its own folder, flushed to disk, and moved into place in one
step; on any failure the temporary file is removed and what stood there before is untouched. A link is
followed, a file that is there keeps its mode, and a new one gets what the process's mask leaves it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["replacing", "write_text"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path; what the block leaves there becomes ``path`` when the block ends well.

    Raises:
        UsageError: when the folder is missing or cannot be written, or ``path`` is no regular file.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = _mode(target)
        temporary = _create(target, 0o666 if mode is None else 0o600)
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from None
    try:
        if mode is not None:
            temporary.chmod(mode)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _cannot_write(path: str | os.PathLike[str], error: Exception) -> UsageError:
    return UsageError(f"cannot write {os.fspath(path)}: {getattr(error, 'strerror', None) or error}")


def _mode(target: Path) -> int | None:
    """Return the mode of the file that is there; refuse a folder, device or pipe, never to replace it."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(0, "it is there and is no regular file")
    return stat.S_IMODE(mode)


def _create(target: Path, mode: int) -> Path:
    # Not tempfile: its files are private, and this one is to be what open() would have made.
    temporary = target.with_name(f".{target.name[:80]}.{os.urandom(6).hex()}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    return temporary


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
