"""The file that a recording grows in: opened for appending, written by two processes, read at the end."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from memlab._base.descriptors import close_all
from memlab.collectors import sampler_script
from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Notices", "Stream"]

_CHUNK = 1 << 20


class Stream:
    """A file that is empty at first: ``path``, made anew, or one that has no name.

    Each write goes to the end, whoever writes. It is closed when it is forgotten.

    Raises:
        UsageError: when it cannot be made, or ``path`` is no regular file.
    """

    # On the class: an interrupt may strike before __init__ has run.
    descriptor = -1
    _owned: Iterator[int] = iter(())

    def __init__(self, path: str | None) -> None:
        try:
            if path is None:
                self._open_nameless()
            else:
                self._open(path)
        except (OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"cannot record to {path or 'a temporary file'}: {reason}") from None

    def content(self) -> bytes:
        """Return all that has been written."""
        size = os.fstat(self.descriptor).st_size
        if hasattr(os, "pread"):  # by position: a forked child and its parent share one offset
            parts = []
            at = 0
            while at < size and (part := os.pread(self.descriptor, min(_CHUNK, size - at), at)):
                parts.append(part)
                at += len(part)
            return b"".join(parts)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return os.read(self.descriptor, size)

    def close(self) -> None:
        """Close it. Does nothing the second time."""
        self.descriptor = -1
        close_all(self._owned)

    def __del__(self) -> None:
        self.close()

    def _open(self, path: str) -> None:
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH110, PTH116
            raise UsageError(f"cannot record to {path}: it is no regular file")
        self._owned = iter((opened := os.open(path, flags | os.O_CREAT | os.O_TRUNC, 0o666),))
        self.descriptor = opened

    def _open_nameless(self) -> None:
        if hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):  # a sandbox may refuse it
                self._owned = iter((opened := os.memfd_create("memlab", os.MFD_CLOEXEC),))
                self.descriptor = opened
        if self.descriptor < 0:
            import tempfile

            with tempfile.TemporaryFile() as file:
                self._owned = iter((opened := os.dup(file.fileno()),))
                self.descriptor = opened
        with contextlib.suppress(ImportError):  # Windows; there is but one writer then
            import fcntl

            flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
            fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags | os.O_APPEND)


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
