"""Memory of a process by its number, from outside; and of its children."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Self

from memlab.collectors.probe import Probe, ProcFiles, status_bytes
from memlab.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Outside"]


class Outside:
    """Reads one process. Use it in ``with``.

    Args:
        pid: its number.
        metric: ``rss_bytes``, ``pss_bytes`` or ``uss_bytes``.

    Raises:
        UnavailableError: when there is no such process, or it may not be read.
    """

    def __init__(self, pid: int, metric: str = "rss_bytes") -> None:
        import psutil

        self._psutil = psutil
        self._metric = metric
        self._own = Probe() if pid == os.getpid() else None
        try:
            self._process: Any = psutil.Process(pid)
        except psutil.NoSuchProcess:
            raise UnavailableError(f"there is no process {pid}") from None
        except psutil.Error as error:
            raise UnavailableError(f"process {pid} cannot be read: {type(error).__name__}") from None

    def read(self, include_children: bool = False) -> int | None:
        """Return the value in bytes; None when the process has ended.

        Raises:
            UnavailableError: when it may not be read, or the system has no such figure.
        """
        if self._own is not None:
            value = self._own.metric(self._metric).read()
        else:
            found = self._of(self._process)
            if found is None:
                return None
            value = found
        return value + sum(size for _, size in self.children()) if include_children else value

    def children(self) -> Iterator[tuple[int, int]]:
        """Give number and value of each child, grandchild and so on that lives."""
        try:
            family = self._process.children(recursive=True)
        except self._psutil.Error:
            return
        for child in family:
            with contextlib.suppress(UnavailableError):
                size = self._of(child)
                if size is not None:
                    yield child.pid, size

    @staticmethod
    def high_water(pid: int) -> int | None:
        """Return the greatest RSS since the process became its program, in bytes; None where unknown."""
        try:
            return status_bytes(ProcFiles(f"/proc/{pid}").read("status"), b"VmHWM")
        except (OSError, ValueError, IndexError, UnavailableError):
            return None

    def close(self) -> None:
        """Close what is open."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _of(self, process: Any) -> int | None:
        name = self._metric.removesuffix("_bytes")
        try:
            info = process.memory_info() if name == "rss" else process.memory_full_info()
            if not info.rss:  # it has ended, and nobody has asked for its exit code yet
                return None
        except (self._psutil.NoSuchProcess, self._psutil.ZombieProcess):
            return None
        except self._psutil.Error as error:
            raise UnavailableError(
                f"process {process.pid} cannot be read: {type(error).__name__}; it may be another user's"
            ) from None
        value = getattr(info, name, None)
        if value is None:
            raise UnavailableError(f"this system does not tell {name.upper()}; read RSS instead")
        return int(value)
