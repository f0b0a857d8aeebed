"""The file that a recording grows in: opened for appending, written by two processes, read at the end."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from memlab.collectors import sampler_script
from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Notices", "content_of", "open_stream"]

_CHUNK = 1 << 20


def open_stream(path: str | None) -> int:
    """Return a descriptor of an empty stream: the file ``path``, made anew, or one that has no name.

    Each write goes to the end, whoever writes.

    Raises:
        UsageError: when it cannot be made, or ``path`` is no regular file.
    """
    flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path is None:
            return _nameless()
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH110, PTH116
            raise UsageError(f"cannot record to {path}: it is no regular file")
        return os.open(path, flags | os.O_CREAT | os.O_TRUNC, 0o666)
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot record to {path or 'a temporary file'}: {reason}") from None


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # a sandbox may refuse it
            return _appending(os.memfd_create("memlab", os.MFD_CLOEXEC))
    import tempfile

    with tempfile.TemporaryFile() as file:
        return _appending(os.dup(file.fileno()))


def _appending(descriptor: int) -> int:
    with contextlib.suppress(ImportError):  # Windows; there is but one writer then
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor


def content_of(descriptor: int) -> bytes:
    """Return all that has been written to a stream."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, _CHUNK):
        parts.append(part)
    return b"".join(parts)


class Notices:
    """Frames that the sampler sends to the target, cut out of the bytes of a pipe."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Take bytes; give each whole document (empty for columns) with its frame."""
        self._rest += data
        head = sampler_script.HEAD
        while len(self._rest) >= head.size:
            sync, kind, length, _ = head.unpack_from(self._rest)
            if sync != sampler_script.SYNC:
                self._rest = b""
                return
            if len(self._rest) < head.size + length:
                return
            whole, self._rest = self._rest[: head.size + length], self._rest[head.size + length :]
            document = {}
            if kind == sampler_script.JSON_FRAME:
                with contextlib.suppress(ValueError):
                    document = json.loads(whole[head.size :])
            yield document, whole
